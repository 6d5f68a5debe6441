"""What fields of a configuration may not say together; each refusal is one sentence. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from training.engine.architectures import WHITENED_CNN
from training.engine.constants import LEAST_LEARNING_RATE
from training.engine.exceptions import Allowed, RefusedValueError, allow

if TYPE_CHECKING:
    from training.engine.config import TrainConfig


def refuse_contradictions(config: TrainConfig) -> None:
    """Look at the fields together, each of which is allowed by itself.

    Raises:
        ConfigError: Two fields contradict each other.
    """
    if config.optimizer == "muon_sgd" and config.architecture != WHITENED_CNN:
        template = "any other with %(architecture)s: its rates are those of whitened_cnn"
        _refuse(config, "optimizer", allow(template, architecture=config.architecture))
    if config.layer_decay != 1:
        _check_layer_decay(config)
    _check_schedule(config)
    _check_validation(config)
    _check_mixing(config)
    _check_transfer(config)
    if config.accumulation_steps > config.batch_size:
        allowed = allow("at most %(other)s, %(limit)s", other="batch_size", limit=config.batch_size)
        _refuse(config, "accumulation_steps", allowed)
    if config.batch_size % config.devices:
        allowed = allow("a divisor of %(other)s, %(limit)s", other="batch_size", limit=config.batch_size)
        _refuse(config, "devices", allowed)
    if config.augmentation_backend == "albumentations":
        _check_albumentations(config)


def _check_layer_decay(config: TrainConfig) -> None:
    """One rate that fades with depth needs stages, and no other rates beside it."""
    for field, excluded in (("architecture", WHITENED_CNN), ("optimizer", "muon_adamw")):
        if getattr(config, field) == excluded:
            _refuse(config, "layer_decay", _only(1, beside=field, config=config))


def _check_schedule(config: TrainConfig) -> None:
    """Each schedule has settings of its own, which mean nothing to the others."""
    for schedule, field in (("step", "step_epochs"), ("plateau", "plateau_patience")):
        if config.schedule == schedule and getattr(config, field) == 0:
            _refuse(config, field, allow("1 or more with %(other)s %(setting)s", other="schedule", setting=schedule))
        if config.schedule != schedule and getattr(config, field) > 0:
            _refuse(config, field, _only(0, beside="schedule", config=config))
    if config.schedule == "one_cycle" and config.warmup_epochs > 0:
        template = "only 0 with %(other)s one_cycle, which has a warm-up of its own"
        _refuse(config, "warmup_epochs", allow(template, other="schedule"))
    if config.warmup_epochs >= config.epochs:
        _refuse(config, "warmup_epochs", allow("less than %(other)s, %(limit)s", other="epochs", limit=config.epochs))


def _check_validation(config: TrainConfig) -> None:
    """Whatever is decided by validation images needs some."""
    if config.validation_fraction > 0:
        return
    if config.schedule == "plateau":
        _refuse(config, "schedule", allow("any but plateau with %(other)s 0", other="validation_fraction"))
    if config.early_stopping_patience > 0:
        _refuse(config, "early_stopping_patience", _only(0, beside="validation_fraction", config=config))
    if config.tested_weights == "best":
        _refuse(config, "tested_weights", _only("last", beside="validation_fraction", config=config))


def _check_mixing(config: TrainConfig) -> None:
    """A batch is mixed in one way at most, by shares that can be drawn."""
    for name in ("mixup", "cutmix"):
        if getattr(config, f"{name}_probability") > 0 and getattr(config, f"{name}_alpha") == 0:
            allowed = allow("more than 0 with %(other)s above 0", other=f"{name}_probability")
            _refuse(config, f"{name}_alpha", allowed)
    left = 1 - config.mixup_probability
    if config.cutmix_probability > left:
        allowed = allow("at most 1 less %(other)s, %(limit)s", other="mixup_probability", limit=left)
        _refuse(config, "cutmix_probability", allowed)


def _check_albumentations(config: TrainConfig) -> None:
    """Its pipeline knows only a part of what the tensor backend does."""
    required: dict[str, int | str] = {
        "policy": "none",
        "erasing_probability": 0,
        "flip_mode": "random",
        "full_size_from": 0,
    }
    for field, value in required.items():
        if getattr(config, field) != value:
            _refuse(config, field, _only(value, beside="augmentation_backend", config=config))


def _check_transfer(config: TrainConfig) -> None:
    """The settings of the first of two phases go with its dataset."""
    if not config.auxiliary_dataset:
        for field in ("auxiliary_epochs", "auxiliary_learning_rate"):
            if getattr(config, field):
                _refuse(config, field, allow("only 0 without %(other)s", other="auxiliary_dataset"))
        return
    if config.auxiliary_dataset == config.dataset:
        _refuse(config, "auxiliary_dataset", allow("another dataset than the one that is trained on"))
    for field, least in (("auxiliary_epochs", 1), ("auxiliary_learning_rate", LEAST_LEARNING_RATE)):
        if getattr(config, field) < least:
            allowed = allow("at least %(minimum)s with %(other)s", minimum=least, other="auxiliary_dataset")
            _refuse(config, field, allowed)
    if config.warmup_epochs >= config.auxiliary_epochs:
        allowed = allow("less than %(other)s, %(limit)s", other="auxiliary_epochs", limit=config.auxiliary_epochs)
        _refuse(config, "warmup_epochs", allowed)


def _only(value: int | str, *, beside: str, config: TrainConfig) -> Allowed:
    """Allow one value beside what another field is set to."""
    setting = getattr(config, beside)
    return allow("only %(value)s with %(other)s %(setting)s", value=value, other=beside, setting=setting)


def _refuse(config: TrainConfig, field: str, allowed: Allowed) -> NoReturn:
    raise RefusedValueError(field=field, value=getattr(config, field), allowed=allowed)
