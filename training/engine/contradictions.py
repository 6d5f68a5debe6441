"""What fields of a configuration may not say together; each refusal is one sentence. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.engine.exceptions import ConfigError

if TYPE_CHECKING:
    from training.engine.config import TrainConfig


def refuse_contradictions(config: TrainConfig) -> None:
    """Look at the fields together, each of which is allowed by itself.

    Raises:
        ConfigError: Two fields contradict each other.
    """
    if config.optimizer == "muon_sgd" and config.architecture != "whitened_cnn":
        _refuse(config, "optimizer", f"any other with architecture {config.architecture}: its rates are whitened_cnn's")
    _check_schedule(config)
    _check_validation(config)
    _check_mixing(config)
    if config.accumulation_steps > config.batch_size:
        _refuse(config, "accumulation_steps", f"at most batch_size, {config.batch_size}")
    if config.batch_size % config.devices:
        _refuse(config, "devices", f"a divisor of batch_size, {config.batch_size}")
    if config.augmentation_backend == "albumentations":
        _check_albumentations(config)


def _check_schedule(config: TrainConfig) -> None:
    """Each schedule has settings of its own, which mean nothing to the others."""
    for schedule, field in (("step", "step_epochs"), ("plateau", "plateau_patience")):
        if config.schedule == schedule and getattr(config, field) == 0:
            _refuse(config, field, f"1 or more with schedule {schedule}")
        if config.schedule != schedule and getattr(config, field) > 0:
            _refuse(config, field, f"only 0 with schedule {config.schedule}")
    if config.schedule == "one_cycle" and config.warmup_epochs > 0:
        _refuse(config, "warmup_epochs", "only 0 with schedule one_cycle, which has a warm-up of its own")
    if config.warmup_epochs >= config.epochs:
        _refuse(config, "warmup_epochs", f"less than epochs, {config.epochs}")


def _check_validation(config: TrainConfig) -> None:
    """Whatever is decided by validation images needs some."""
    if config.validation_fraction > 0:
        return
    if config.schedule == "plateau":
        _refuse(config, "schedule", "any but plateau with validation_fraction 0")
    if config.early_stopping_patience > 0:
        _refuse(config, "early_stopping_patience", "only 0 with validation_fraction 0")
    if config.tested_weights == "best":
        _refuse(config, "tested_weights", "only last with validation_fraction 0")


def _check_mixing(config: TrainConfig) -> None:
    """A batch is mixed in one way at most, by shares that can be drawn."""
    for name in ("mixup", "cutmix"):
        if getattr(config, f"{name}_probability") > 0 and getattr(config, f"{name}_alpha") == 0:
            _refuse(config, f"{name}_alpha", f"more than 0 with {name}_probability above 0")
    if config.mixup_probability + config.cutmix_probability > 1:
        _refuse(config, "cutmix_probability", f"at most 1 less mixup_probability, {1 - config.mixup_probability:g}")


def _check_albumentations(config: TrainConfig) -> None:
    """Its pipeline knows only a part of what the tensor backend does."""
    for field, allowed in (("policy", "none"), ("erasing_probability", 0), ("flip_mode", "random")):
        if getattr(config, field) != allowed:
            _refuse(config, field, f"only {allowed} with augmentation_backend albumentations")
    if config.full_size_from > 0:
        _refuse(config, "full_size_from", "only 0 with augmentation_backend albumentations")


def _refuse(config: TrainConfig, field: str, allowed: str) -> None:
    value = getattr(config, field)
    raise ConfigError(f"{field} is {value!r}; allowed is {allowed}.", field=field, value=value)
