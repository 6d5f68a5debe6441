"""Fields that contradict each other are refused in one sentence that names a field, its value and what is allowed."""

from __future__ import annotations

import pytest

from training.engine.config import TrainConfig
from training.engine.exceptions import ConfigError

ALBUMENTATIONS = {"augmentation_backend": "albumentations", "flip_mode": "random", "full_size_from": 0.0}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"architecture": "resnet18", "width_multiplier": 1},
            "optimizer is 'muon_sgd'; allowed is any other with resnet18: its rates are those of whitened_cnn.",
        ),
        ({"layer_decay": 0.5}, "layer_decay is 0.5; allowed is only 1 with architecture whitened_cnn."),
        (
            {"architecture": "resnet18", "width_multiplier": 1, "optimizer": "muon_adamw", "layer_decay": 0.5},
            "layer_decay is 0.5; allowed is only 1 with optimizer muon_adamw.",
        ),
        ({"schedule": "step"}, "step_epochs is 0; allowed is 1 or more with schedule step."),
        ({"step_epochs": 3}, "step_epochs is 3; allowed is only 0 with schedule linear."),
        ({"schedule": "plateau"}, "plateau_patience is 0; allowed is 1 or more with schedule plateau."),
        (
            {"schedule": "one_cycle", "plateau_patience": 3},
            "plateau_patience is 3; allowed is only 0 with schedule one_cycle.",
        ),
        (
            {"schedule": "one_cycle", "warmup_epochs": 1},
            "warmup_epochs is 1.0; allowed is only 0 with schedule one_cycle, which has a warm-up of its own.",
        ),
        ({"epochs": 4, "warmup_epochs": 4}, "warmup_epochs is 4.0; allowed is less than epochs, 4."),
        (
            {"validation_fraction": 0, "schedule": "plateau", "plateau_patience": 1},
            "schedule is 'plateau'; allowed is any but plateau with validation_fraction 0.",
        ),
        (
            {"validation_fraction": 0, "early_stopping_patience": 5},
            "early_stopping_patience is 5; allowed is only 0 with validation_fraction 0.",
        ),
        (
            {"validation_fraction": 0, "tested_weights": "best"},
            "tested_weights is 'best'; allowed is only last with validation_fraction 0.",
        ),
        ({"mixup_alpha": -0.1}, "mixup_alpha is -0.1; allowed is a number from 0 to 10."),
        (
            {"mixup_alpha": 0, "mixup_probability": 0.5},
            "mixup_alpha is 0.0; allowed is more than 0 with mixup_probability above 0.",
        ),
        (
            {"cutmix_alpha": 0, "cutmix_probability": 0.5},
            "cutmix_alpha is 0.0; allowed is more than 0 with cutmix_probability above 0.",
        ),
        (
            {"mixup_probability": 0.75, "cutmix_probability": 0.5},
            "cutmix_probability is 0.5; allowed is at most 1 less mixup_probability, 0.25.",
        ),
        (
            {"batch_size": 4, "accumulation_steps": 5},
            "accumulation_steps is 5; allowed is at most batch_size, 4.",
        ),
        ({"auxiliary_epochs": 5}, "auxiliary_epochs is 5; allowed is only 0 without auxiliary_dataset."),
        (
            {"auxiliary_learning_rate": 0.1},
            "auxiliary_learning_rate is 0.1; allowed is only 0 without auxiliary_dataset.",
        ),
        (
            {"auxiliary_dataset": "d", "auxiliary_epochs": 5, "auxiliary_learning_rate": 0.1},
            "auxiliary_dataset is 'd'; allowed is another dataset than the one that is trained on.",
        ),
        (
            {"auxiliary_dataset": "other", "auxiliary_learning_rate": 0.1},
            "auxiliary_epochs is 0; allowed is at least 1 with auxiliary_dataset.",
        ),
        (
            {"auxiliary_dataset": "other", "auxiliary_epochs": 5},
            "auxiliary_learning_rate is 0.0; allowed is at least 1e-05 with auxiliary_dataset.",
        ),
        (
            {"auxiliary_dataset": "x", "auxiliary_epochs": 2, "auxiliary_learning_rate": 0.1, "warmup_epochs": 2},
            "warmup_epochs is 2.0; allowed is less than auxiliary_epochs, 2.",
        ),
        ({"batch_size": 500, "devices": 3}, "devices is 3; allowed is a divisor of batch_size, 500."),
        (
            {**ALBUMENTATIONS, "policy": "randaugment"},
            "policy is 'randaugment'; allowed is only none with augmentation_backend albumentations.",
        ),
        (
            {**ALBUMENTATIONS, "erasing_probability": 0.5},
            "erasing_probability is 0.5; allowed is only 0 with augmentation_backend albumentations.",
        ),
        (
            {**ALBUMENTATIONS, "flip_mode": "alternating"},
            "flip_mode is 'alternating'; allowed is only random with augmentation_backend albumentations.",
        ),
        (
            {**ALBUMENTATIONS, "full_size_from": 0.5},
            "full_size_from is 0.5; allowed is only 0 with augmentation_backend albumentations.",
        ),
    ],
)
def test_contradiction_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_recipe("fast", dataset="d", **changes)
    field = sentence.partition(" ")[0]
    assert (str(caught.value), caught.value.field) == (sentence, field)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "one_cycle"},
        {"schedule": "plateau", "plateau_patience": 2, "warmup_epochs": 0.5},
        {"mixup_probability": 0.5, "cutmix_probability": 0.5},
        {"mixup_alpha": 0, "validation_fraction": 0},
        ALBUMENTATIONS,
        {"auxiliary_dataset": "other", "auxiliary_epochs": 1, "auxiliary_learning_rate": 0.1},
    ],
)
def test_what_fits_together_is_taken(changes: dict[str, object]) -> None:
    assert TrainConfig.from_recipe("fast", dataset="d", **changes).recipe == "fast"
