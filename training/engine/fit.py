"""Train a network: the loop, its checkpoints and its events.

Everything that changes during a run lives in tensors or in `Position`, and every random draw depends on nothing but
(seed, epoch, step): a run resumed from any step continues exactly as if it had never stopped, on a CPU to the last bit
for the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.augment import to_float
from training.engine.checkpoint import Checkpoint, save_checkpoint
from training.engine.config import TrainConfig
from training.engine.constants import VALIDATING
from training.engine.data import Dataset, Split, split_validation
from training.engine.device import Device
from training.engine.evaluate import predict_logits
from training.engine.events import emit
from training.engine.exceptions import CheckpointError, DivergedError
from training.engine.metrics import compute_f1_macro
from training.engine.networks import Network, build_from_config, count_parameters
from training.engine.pipeline import Augmenter
from training.engine.position import Phase, Position, Validation, divide_batch
from training.engine.progress import repeat_slowly
from training.engine.ranks import Ranks
from training.engine.reporting import StepReporter
from training.engine.schedules import crop_size_at, rate_at
from training.engine.seed import make_generator, seed_everything, seed_layers
from training.engine.selection import Selection, strip
from training.engine.step import Learner

CHECKPOINT_FOLDER: Final = "checkpoints"
WHITENING_IMAGES: Final = 5000
"""Training images whose patches define the first layer (Jordan 2024)."""


class StopRequested(Exception):  # noqa: N818 - says what happened
    """Somebody asked the run to stop; it has saved what it needs to continue."""

    def __init__(self, *, step: int, checkpoint: Path | None) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step
        self.checkpoint = checkpoint


class Trainer:
    """One phase of a run, mostly the only one, from the first step or from a checkpoint to the last step.

    Args:
        config: What to do.
        dataset: The data, opened.
        device: Where to compute.
        workdir: Directory that receives `checkpoints/`.
        is_stopping: Asked after each step; when true the run saves a checkpoint and raises `StopRequested`.
        normalised_as: The dataset with whose colour statistics the network normalises; the data's own when None.
        ranks: The processes that train together; `is_stopping` must answer all of them alike.
        keep_all_checkpoints: Whether somebody else removes old checkpoints; else all but the newest two are removed.

    Raises:
        ConfigError: A batch cannot be divided among the processes, or the network cannot be built.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        dataset: Dataset,
        device: Device,
        workdir: Path,
        is_stopping: Callable[[], bool] = lambda: False,
        normalised_as: Dataset | None = None,
        ranks: Ranks | None = None,
        keep_all_checkpoints: bool = False,
    ) -> None:
        self.config, self.dataset, self.device, self.workdir = config, dataset, device, workdir
        self.is_stopping, self.ranks = is_stopping, ranks or Ranks()
        self.keep_all_checkpoints = keep_all_checkpoints
        self.phase = Phase()
        training, validation = split_validation(
            dataset.train.labels,
            class_count=len(dataset.class_keys),
            fraction=config.validation_fraction,
            seed=config.seed,
        )
        self.train_split: Split = dataset.train.select(training).to(device.torch_device)
        self.validation_split: Split = dataset.train.select(validation)
        self.batch_size = divide_batch(
            config.batch_size, images=len(self.train_split), dataset=dataset.name, ranks=self.ranks
        )
        self.steps_per_epoch = len(self.train_split) // self.batch_size
        self.total_steps = config.epochs * self.steps_per_epoch
        self.augmenter = Augmenter(
            config,
            image_count=len(self.train_split),
            mean=dataset.mean,
            class_count=len(dataset.class_keys),
            device=device.torch_device,
        )
        self.network = self._build_network(normalised_as or dataset)
        self.parameter_counts = count_parameters(self.network)  # before the whitening bias is frozen
        self.learner = Learner(self.network, config=config, device=device, ranks=self.ranks)
        self.selection = Selection(self.network, config=config)
        self.position = Position()
        self.sums = torch.zeros(2, dtype=torch.float64, device=device.torch_device)  # of the epoch: loss, hits
        self.last_checkpoint: Path | None = None
        self._clock = time.monotonic()

    @property
    def epoch(self) -> int:
        """The epoch under way, counted from 0."""
        return self.position.step // self.steps_per_epoch

    @property
    def step(self) -> int:
        """Optimizer steps taken in all phases of the run."""
        return self.phase.steps_before + self.position.step

    @property
    def all_steps(self) -> int:
        """Optimizer steps of all phases of the run."""
        return self.phase.steps_before + self.total_steps + self.phase.steps_after

    def train(self) -> Network:
        """Take all remaining steps, or fewer where training stops early, and return the network as it is to be tested.

        Raises:
            DivergedError: The loss is not finite.
            DiskFullError: No space left for a checkpoint.
            StopRequested: `is_stopping` said so.
        """
        self._emit_started()
        self.ranks.copy_first(list(self.network.state_dict().values()))  # processors may differ in the last bit
        self._clock = time.monotonic()
        while self.position.step < self.total_steps and not self.selection.is_over:
            self.raise_if_stopping()
            self._train_epoch(self.epoch)
            self._end_epoch(self.epoch - 1)
        self.selection.conclude()
        return self.network

    def raise_if_stopping(self) -> None:
        """Stop here, between steps that are saved, if somebody asked for it.

        Raises:
            StopRequested: `is_stopping` said so.
        """
        if self.is_stopping():
            raise StopRequested(step=self.step, checkpoint=self.last_checkpoint)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same configuration, data and phase; this run may have more epochs.

        Its schedules are those of its whole length from the next step on.

        Raises:
            CheckpointError: It belongs to another run, or to a longer one.
        """
        state = checkpoint.state
        if not self._continues(state["identity"]):
            raise CheckpointError(f"{checkpoint.path} belongs to another configuration or dataset.")
        tensors = checkpoint.tensors
        self.network.load_state_dict(strip(tensors, prefix="network."))
        self.learner.load_state_tensors(tensors)
        self.learner.scaler.load_state_dict(state["scaler"])
        self.selection.load(tensors=tensors, state=state["selection"])
        self.sums.copy_(tensors["sums"])
        self.position = Position(step=int(state["step"]) - self.phase.steps_before, **state["position"])
        self.last_checkpoint = checkpoint.path

    def save(self) -> None:
        """Write a checkpoint of the current step and announce it; of several processes, the first one does."""
        self._advance_clock()
        if not self.ranks.is_first:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {**self.learner.state_tensors(), **self.selection.state_tensors(), "sums": self.sums}
        position = {name: value for name, value in asdict(self.position).items() if name != "step"}
        saved = save_checkpoint(
            self.workdir / CHECKPOINT_FOLDER,
            step=self.step,
            tensors=tensors,
            state={
                "identity": self._identity(),
                "position": position,
                "scaler": self.learner.scaler.state_dict(),
                "selection": self.selection.state_dict(),
            },
            keep_all=self.keep_all_checkpoints,
        )
        self.last_checkpoint = saved.path
        path = saved.path.relative_to(self.workdir).as_posix()
        epoch = self._epoch_of_last_step()
        emit("checkpoint", phase=self.phase.number, epoch=epoch, step=self.step, path=path, sha256=saved.sha256)

    def _build_network(self, normalised_as: Dataset) -> Network:
        """Draw or load the initial weights and adapt them to training images."""
        seed_everything(self.config.seed)
        network = build_from_config(
            self.config,
            class_count=len(self.dataset.class_keys),
            mean=normalised_as.mean,
            std=normalised_as.std,
        )
        order = torch.randperm(
            len(self.train_split), generator=make_generator(seed=self.config.seed, purpose="patches")
        )
        sample = self.train_split.images[order[:WHITENING_IMAGES].to(self.device.torch_device)].cpu()
        network.adapt_to(to_float(sample))
        return network.to(self.device.torch_device).to(memory_format=torch.channels_last)

    def _train_epoch(self, epoch: int) -> None:
        """Take the remaining steps of one epoch."""
        config, position = self.config, self.position
        self.network.start_epoch(epoch, config=config)
        size = crop_size_at(epoch, epochs=config.epochs, start=config.start_crop_size, full_from=config.full_size_from)
        generator = make_generator(seed=config.seed, purpose="shuffle", epoch=epoch)
        order = torch.randperm(len(self.train_split), generator=generator).to(self.device.torch_device)
        reporter = StepReporter(
            phase=self.phase.number, step=self.step, loss_sum=self._read_sums()[0], batch_size=self.batch_size
        )
        for index in range(position.step % self.steps_per_epoch, self.steps_per_epoch):
            batch = order[index * self.batch_size : (index + 1) * self.batch_size]
            self._train_step(batch, size=size, epoch=epoch)
            position.step += 1
            if reporter.is_due():
                loss_sum = self._read_sums()[0]
                reporter.report(
                    epoch=epoch, step=self.step, loss_sum=loss_sum, learning_rate=self.learner.learning_rate
                )
            if self.is_stopping() and index + 1 < self.steps_per_epoch:
                self._read_sums()
                self.save()
                raise StopRequested(step=self.step, checkpoint=self.last_checkpoint)

    def _train_step(self, batch: Tensor, *, size: int, epoch: int) -> None:
        """Learn from one batch.

        Args:
            batch: (B,) int64, rows of the training split.
            size: Side of the crops, in pixels.
            epoch: Epoch, counted from 0.
        """
        step = self.position.step
        images = self.augmenter.augment(self.train_split.images[batch], rows=batch, side=size, epoch=epoch, step=step)
        images, targets = self.augmenter.mix(images, self.train_split.labels[batch], epoch=epoch, step=step)
        self._set_learning_rates()
        seed_layers(seed=self.config.seed, epoch=epoch, step=step, rank=self.ranks.rank)
        self.sums += self.learner.learn(self.ranks.share(images), self.ranks.share(targets))
        self.selection.follow_step()

    def _set_learning_rates(self) -> None:
        """Set every group's rate for the step about to be taken."""
        whitening_steps = self.config.whitening_bias_epochs * self.steps_per_epoch
        for optimizer in self.learner.optimizers:
            for group in optimizer.param_groups:
                factor = rate_at(
                    self.position.step,
                    steps=whitening_steps if group["name"] == "whitening" else self.total_steps,
                    steps_per_epoch=self.steps_per_epoch,
                    config=self.config,
                    plateaus=self.selection.plateau.count,
                )
                group["lr"] = group["initial_lr"] * factor

    def _end_epoch(self, epoch: int) -> None:
        """Measure, announce and save an epoch that is over."""
        loss_sum, hits = self._read_sums()
        seen = self.steps_per_epoch * self.batch_size
        validation = self._validate()
        if validation.loss is not None and not math.isfinite(validation.loss):
            raise DivergedError(
                f"The validation loss is not a finite number after step {self.step}: lower the learning rate."
            )
        self._advance_clock()
        emit(
            "epoch_end",
            phase=self.phase.number,
            epoch=epoch + 1,
            step=self.step,
            images=seen,
            train_loss=loss_sum / seen,
            train_accuracy=hits / seen,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            f1_macro=validation.f1_macro,
            learning_rate=self.learner.learning_rate,
            seconds=self.position.epoch_seconds,
        )
        self.selection.follow_epoch(loss=validation.loss, accuracy=validation.accuracy)
        self.sums.zero_()
        self.position.epoch_seconds = 0.0
        self.save()

    def _validate(self) -> Validation:
        """Measure the validation split; of several processes the first one does, and the others are told."""
        if not len(self.validation_split):
            return Validation()
        figures = torch.zeros(3, dtype=torch.float64)
        if self.ranks.is_first:
            figures = torch.tensor(self._measure(), dtype=torch.float64)
        self.ranks.copy_first([figures])
        return Validation(*figures.tolist())

    def _measure(self) -> tuple[float, float, float]:
        """Return loss, the training loss on unchanged images, accuracy and F1 of the validation split."""
        goes_on = repeat_slowly(self._tell_validation)
        logits = predict_logits(self.selection.measured, self.validation_split, device=self.device, on_batch=goes_on)
        labels = self.validation_split.labels
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing).item()
        predicted = logits.argmax(dim=1)
        f1_macro = compute_f1_macro(predicted, labels, class_count=logits.shape[1])
        return loss, (predicted == labels).double().mean().item(), f1_macro

    def _tell_validation(self) -> None:
        """Keep the supervisor patient; nobody is asked to stop, since the other processes wait for the figures."""
        emit("progress", done=self.step, total=self.all_steps, message=VALIDATING)

    def _read_sums(self) -> tuple[float, float]:
        """Return the epoch's summed loss and hits so far; waits for the device.

        Raises:
            DivergedError: The loss is not finite; being a sum, it stays so once it was.
        """
        loss_sum, hits = self.sums.tolist()
        if not math.isfinite(loss_sum):
            raise DivergedError(
                f"The training loss stopped being a finite number before step {self.step}: lower the learning rate."
            )
        return loss_sum, hits

    def _advance_clock(self) -> None:
        """Add the time since the last call to the position."""
        now = time.monotonic()
        self.position.seconds += now - self._clock
        self.position.epoch_seconds += now - self._clock
        self._clock = now

    def _epoch_of_last_step(self) -> int:
        """Return the epoch, counted from 1, to which the last step belongs."""
        return (self.position.step - 1) // self.steps_per_epoch + 1

    def _continues(self, identity: Mapping[str, Any]) -> bool:
        """Whether what a checkpoint shares with its run is this run's, or that of the same run with fewer epochs."""
        epochs = identity["config"]["epochs"]
        config = {**identity["config"], "epochs": self.config.epochs}
        return epochs <= self.config.epochs and {**identity, "config": config} == self._identity()

    def _identity(self) -> dict[str, Any]:
        """Return what a checkpoint must share with the run that continues from it."""
        # Where the data lie changes nothing, and a run may move to another number of devices, although batch norms then
        # measure other shares of a batch.
        free = {"dataset", "auxiliary_dataset", "devices"}
        return {
            "config": {key: value for key, value in self.config.to_dict().items() if key not in free},
            "dataset_sha256": self.dataset.sha256,
            "auxiliary_sha256": self.phase.auxiliary_sha256,
            "phase": self.phase.number,
            "precision": self.device.precision,
        }

    def _emit_started(self) -> None:
        """Announce the phase."""
        total, trainable = self.parameter_counts
        emit(
            "started",
            phase=self.phase.number,
            epochs=self.config.epochs,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.all_steps,
            device=self.device.torch_device.type,
            device_name=self.device.name,
            precision=self.device.precision,
            total_parameters=total,
            trainable_parameters=trainable,
            resumed_from_step=self.step,
        )
