"""How much memory there is: the machine's, or a control group's where that is less."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.engine import machine_memory
from training.engine.machine_memory import Memory, advise_less_memory, own_cgroup, read_machine_memory

GIB = 2**30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a control group on a machine of 8 GiB, of which 5 are free."""
    (tmp_path / "meminfo").write_text("MemTotal:        8388608 kB\nMemFree:  1 kB\nMemAvailable:    5242880 kB\n")
    (tmp_path / "own").write_text("12:cpu:/elsewhere\n0::/pod/run\n")
    monkeypatch.setattr(machine_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine_memory, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(machine_memory, "CGROUPS", tmp_path / "cgroup")
    folder = tmp_path / "cgroup" / "pod" / "run"
    folder.mkdir(parents=True)
    return folder


def limit(folder: Path, *, limit: str, used: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")


def test_without_a_limit_the_machine_counts(group: Path) -> None:
    limit(group, limit="max", used=GIB)
    assert own_cgroup() == group
    assert read_machine_memory() == Memory(free=5 * GIB, total=8 * GIB)
    assert str(read_machine_memory()) == "5.0 of 8.0 GiB"


def test_the_tightest_limit_of_the_group_and_those_around_it_counts(group: Path) -> None:
    limit(group, limit=str(4 * GIB), used=GIB)
    limit(group.parent, limit=str(6 * GIB), used=5 * GIB)
    assert read_machine_memory() == Memory(free=GIB, total=4 * GIB)


def test_a_group_above_its_limit_has_nothing_free(group: Path) -> None:
    limit(group, limit=str(GIB), used=2 * GIB)
    assert read_machine_memory() == Memory(free=0, total=GIB)


def test_another_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MEMINFO", "OWN_CGROUP"):
        monkeypatch.setattr(machine_memory, name, tmp_path / "missing")
    assert read_machine_memory() is None
    assert own_cgroup() == Path("/sys/fs/cgroup")


@pytest.mark.parametrize(("architecture", "size"), [("whitened_cnn", "width_multiplier"), ("resnet18", "input_size")])
def test_advice_names_what_was_tried_and_what_to_change(architecture: str, size: str) -> None:
    settings = {"batch_size": 512, "accumulation_steps": 2, "architecture": architecture}
    assert advise_less_memory(settings) == (
        "batch_size 512 with accumulation_steps 2 was tried; "
        f"lower batch_size, raise accumulation_steps or lower {size}"
    )
