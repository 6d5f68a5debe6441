"""Any classification network of the timm library, behind the same few functions as our own.

Source: Wightman 2019, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional

from training.engine.architectures import ALL_STAGES
from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.exceptions import ConfigError
from training.engine.networks.base import BATCH_NORMS, Network
from training.engine.networks.stems import use_cifar_stem
from training.engine.out_of_memory import is_out_of_memory

Layout = Literal["channels_first", "channels_last", "tokens", "none"]

DEFAULT_DROPOUT: Final = 0.2
SIZE_FAILURES: Final = (AssertionError, RuntimeError, ValueError)
"""What timm's networks raise where a size does not suit them."""

FAILURES: Final = (*SIZE_FAILURES, ArithmeticError, AttributeError, LookupError, TypeError)
"""And what those raise, of more than a thousand, that cannot be built or asked as the others are."""

LOGIT_AGREEMENT: Final = 1e-3
"""Largest difference, relative to the largest logit, between timm's own answer and ours from the feature map."""


class TimmNetwork(Network):
    """A timm network that takes images in [0, 1] of 32 px and enlarges them itself.

    Transformers that classify by a class token are pooled over their other tokens instead,
    because those are the feature map.

    Args:
        name: timm's name of the architecture.
        class_count: Number of classes K.
        mean: Mean of each colour that is subtracted, in [0, 1].
        std: Standard deviation of each colour by which is divided.
        stem: "imagenet" as timm has it, or "cifar": 3×3 filters, stride 1, no max-pool.
        input_size: Side to which images are enlarged, in pixels.
        dropout: Probability with which each feature before the last layer is dropped in training.

    Raises:
        ConfigError: The architecture cannot have this stem or input size, or does not classify by a feature map.
    """

    def __init__(
        self,
        name: str,
        *,
        class_count: int,
        mean: Sequence[float],
        std: Sequence[float],
        stem: str = "imagenet",
        input_size: int = IMAGE_SIZE,
        dropout: float = DEFAULT_DROPOUT,
    ) -> None:
        super().__init__(mean=mean, std=std)
        self.name, self.input_size = name, input_size
        self.arguments = {"class_count": class_count, "stem": stem, "input_size": input_size, "dropout": dropout}
        self.backbone = _create_backbone(name, class_count=class_count, input_size=input_size, dropout=dropout)
        if stem == "cifar" and not use_cifar_stem(self.backbone):
            message = f"stem is 'cifar'; allowed is imagenet for {name}, whose first layer cannot be replaced."
            raise ConfigError(message, field="stem", value=stem)
        self.frozen_norms: tuple[nn.Module, ...] = ()
        self._find_layout()

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names, within the backbone, of the last layer's parameters."""
        classifier = self.backbone.pretrained_cfg["classifier"]
        prefixes = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        return tuple(
            name for name, _ in self.backbone.named_parameters() if name.startswith(tuple(f"{p}." for p in prefixes))
        )

    @property
    def head_keys(self) -> tuple[str, ...]:
        """Names, in the state dict, of the last layer's tensors."""
        return tuple(f"backbone.{name}" for name in self.head_names)

    @property
    def stages(self) -> list[list[str]]:
        """The backbone's parameters by name, from the stem to the last stage; the head is in none."""
        head = set(self.head_names)
        groups = group_parameters(self.backbone, self.backbone.group_matcher(coarse=True))
        names = [[name for name in groups[key] if name not in head] for key in sorted(groups)]
        return [stage for stage in names if stage]

    def parameters_by_depth(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the head, then of each stage towards the stem."""
        by_name = dict(self.backbone.named_parameters())
        return [[by_name[name] for name in names] for names in (self.head_names, *reversed(self.stages))]

    def extract_features(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to the last feature map (N, C, h, w)."""
        return self._as_map(self.backbone.forward_features(self._enlarge(images)))

    def pool(self, feature_map: Tensor) -> Tensor:
        """Map a feature map (N, C, h, w) to the vectors (N, D) that the last layer sees; dropout only in training."""
        return cast("Tensor", self.backbone.forward_head(self._as_native(feature_map), pre_logits=True))

    def classify(self, feature_map: Tensor) -> Tensor:
        """Map a feature map (N, C, h, w) to logits (N, K)."""
        return cast("Tensor", self.backbone.forward_head(self._as_native(feature_map)))

    def freeze(self, stage_count: int) -> None:
        """Stop the first stages from learning, for good; their batch-norms keep their statistics even in training.

        Args:
            stage_count: Number of stages, counted from the stem, or `ALL_STAGES`.

        Raises:
            ConfigError: There are fewer stages.
        """
        stages = self.stages
        if stage_count > len(stages):
            allowed = f"0 to {len(stages)}, or {ALL_STAGES} for all, for {self.name}"
            message = f"frozen_stages is {stage_count}; allowed is {allowed}."
            raise ConfigError(message, field="frozen_stages", value=stage_count)
        frozen = {name for stage in (stages if stage_count == ALL_STAGES else stages[:stage_count]) for name in stage}
        for name, parameter in self.backbone.named_parameters():
            if name in frozen:
                parameter.requires_grad = False
        self.frozen_norms = tuple(
            module
            for prefix, module in self.backbone.named_modules()
            if isinstance(module, BATCH_NORMS) and f"{prefix}.weight" in frozen
        )
        self.train(self.training)

    def train(self, mode: bool = True) -> TimmNetwork:  # noqa: FBT001, FBT002 - torch's own signature
        """Set training mode for all but frozen batch-norms."""
        super().train(mode)
        for norm in self.frozen_norms:
            norm.eval()
        return self

    def _enlarge(self, images: Tensor) -> Tensor:
        """Normalise (N, 3, H, W) and resize to (N, 3, S, S), bilinearly."""
        images = self.normalise(images)
        size = (self.input_size, self.input_size)
        if tuple(images.shape[2:]) == size:
            return images
        return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)

    def _as_map(self, features: Tensor) -> Tensor:
        """Map what the backbone makes to (N, C, h, w)."""
        match self.layout:
            case "channels_first":
                return features
            case "channels_last":
                return features.permute(0, 3, 1, 2)
            case _:
                tokens = features[:, self.prefix_tokens :]  # (N, h * w, C)
                return tokens.transpose(1, 2).reshape(-1, tokens.shape[2], self.grid_size, self.grid_size)

    def _as_native(self, feature_map: Tensor) -> Tensor:
        """Undo `_as_map`; prefix tokens, which the head does not look at, become zeros."""
        match self.layout:
            case "channels_first":
                return feature_map
            case "channels_last":
                return feature_map.permute(0, 2, 3, 1)
            case _:
                return functional.pad(feature_map.flatten(2).transpose(1, 2), (0, 0, self.prefix_tokens, 0))

    @torch.no_grad()
    def _find_layout(self) -> None:
        """Ask the backbone once, and learn how its feature map is arranged.

        Raises:
            ConfigError: It cannot take the input size, or its answer does not follow from a feature map.
        """
        self.eval()
        count = IMAGE_CHANNELS * IMAGE_SIZE**2
        probe = torch.linspace(0, 1, count).view(1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
        images = self._enlarge(probe)
        try:
            features = self.backbone.forward_features(images)
            answer = self.backbone(images)
            self.layout, self.prefix_tokens, self.grid_size = _describe_layout(features, backbone=self.backbone)
            is_usable = self.layout != "none" and _agree(self.classify(self._as_map(features)), answer)
        except FAILURES as error:
            raise _explain(error, name=self.name, input_size=self.input_size) from error
        if not is_usable:
            raise _no_map(self.name)
        self.train()


def read_normalisation(network: TimmNetwork) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation of each colour with which timm's weights of an architecture were trained."""
    settings = network.backbone.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def _create_backbone(name: str, *, class_count: int, input_size: int, dropout: float) -> Any:  # noqa: ANN401
    """Build timm's network with random weights; its type is timm's own and differs from name to name."""
    settings = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": input_size} if settings is not None and settings.fixed_input_size else {}
    try:
        backbone: Any = timm.create_model(name, num_classes=class_count, drop_rate=dropout, **size)
    except FAILURES as error:
        raise _explain(error, name=name, input_size=input_size) from error
    if getattr(backbone, "global_pool", None) == "token":
        try:
            backbone.reset_classifier(class_count, "avg")
        except AssertionError as error:
            raise _no_map(name) from error
    return backbone


def _no_map(name: str) -> ConfigError:
    """Make the sentence for an architecture that decides by something else than a feature map."""
    message = f"architecture is {name!r}; allowed is a network that classifies by a feature map."
    return ConfigError(message, field="architecture", value=name)


def _explain(error: Exception, *, name: str, input_size: int) -> ConfigError:
    """Make the sentence for an architecture that timm cannot build, or that does not take an input size."""
    if is_out_of_memory(error):
        raise error
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if not isinstance(error, SIZE_FAILURES):
        allowed = (
            f"a network that can be built and asked with input_size {input_size} ({type(error).__name__}: {reason})"
        )
        return ConfigError(f"architecture is {name!r}; allowed is {allowed}.", field="architecture", value=name)
    message = f"input_size is {input_size}; allowed is a size that {name} can divide into its stages ({reason})."
    return ConfigError(message, field="input_size", value=input_size)


def _describe_layout(features: object, *, backbone: Any) -> tuple[Layout, int, int]:  # noqa: ANN401 - see above
    """Return how features are arranged, the number of prefix tokens and the side of the tokens' grid."""
    if not isinstance(features, Tensor):  # several networks in one, each with a map of its own
        return "none", 0, 0
    if features.ndim == 4:
        is_last = features.shape[3] == backbone.num_features != features.shape[1]
        return "channels_last" if is_last else "channels_first", 0, 0
    if features.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        side = math.isqrt(features.shape[1] - prefix)
        if side and side**2 == features.shape[1] - prefix:
            return "tokens", prefix, side
    return "none", 0, 0


def _agree(ours: Tensor, theirs: object) -> bool:
    """Whether two answers have one shape and nearly the same values."""
    if not isinstance(theirs, Tensor) or ours.shape != theirs.shape or ours.ndim != 2:
        return False
    return bool((ours - theirs).abs().max() <= LOGIT_AGREEMENT * theirs.abs().max().clamp(min=1.0))
