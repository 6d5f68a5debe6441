"""What commands are told by name or number: datasets, model versions, runs, priorities."""

from __future__ import annotations

import re

from django.core.management.base import CommandError

from training.choices import Priority
from training.models import Dataset, ModelVersion, TrainingRun


def find_dataset(name: str) -> Dataset:
    """Return the dataset of that name.

    Raises:
        CommandError: There is none.
    """
    dataset = Dataset.objects.filter(name=name).first()
    if dataset is None:
        raise CommandError(_describe_missing_dataset(name))
    return dataset


def find_version(text: str) -> ModelVersion:
    """Return the version that `text` names: a number, `v` and a number, or the first characters of its hash.

    Raises:
        CommandError: none, or more than one.
    """
    number = re.fullmatch(r"v?([0-9]{1,9})", text)
    by_number = ModelVersion.objects.filter(pk=int(number[1])).first() if number else None
    if by_number is not None:
        return by_number
    found = list(ModelVersion.objects.filter(package_sha256__startswith=text.lower())[:2]) if len(text) >= 6 else []
    if len(found) != 1:
        message = f"{text} names no model version" if not found else f"{text} names more than one model version"
        message += "; `manage.py models` lists them."
        raise CommandError(message)
    return found[0]


def find_run(pk: int) -> TrainingRun:
    """Return the run of that number.

    Raises:
        CommandError: there is none.
    """
    run: TrainingRun | None = TrainingRun.objects.select_related("dataset", "owner").filter(pk=pk).first()
    if run is None:
        message = f"There is no run {pk}; `manage.py runs` lists them."
        raise CommandError(message)
    return run


def read_priority(text: str) -> Priority:
    """Return the priority of that name.

    Raises:
        CommandError: there is none.
    """
    names = {priority.name.lower(): priority for priority in Priority}
    if text.lower() not in names:
        message = f"The priority is {text!r}; allowed are {', '.join(names)}."
        raise CommandError(message)
    return names[text.lower()]


def _describe_missing_dataset(name: str) -> str:
    known = ", ".join(Dataset.objects.values_list("name", flat=True))
    if not known:
        return f"There is no dataset named {name}, nor any other; make one with: manage.py import_dataset --demo"
    return f"There is no dataset named {name}. Imported are: {known}."
