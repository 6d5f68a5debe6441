"""Bells that are written down instead of rung."""

from __future__ import annotations

import pytest

from training.doorbell import Bell


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    bells: list[tuple[str, int]] = []

    def ring(task: str, pk: int) -> Bell:
        bells.append((task, pk))
        return Bell(was_heard=True)

    for name in ("runs", "reruns", "imports", "versions"):
        monkeypatch.setattr(f"training.services.{name}.ring", ring)
    return bells
