"""Devices of a machine: each is held by one run at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from training.devices import HeldDevices, count_devices, fits_this_machine, hold_devices, list_gpus


@pytest.fixture(autouse=True)
def _own_folder(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.VAR = tmp_path
    list_gpus.cache_clear()
    yield
    list_gpus.cache_clear()


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '0, Alpha\\n1, Beta\\n2, Gamma\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_gpu")
class TestProcessor:
    def test_it_has_one_place_however_many_devices_a_run_wants(self) -> None:
        assert (count_devices(), fits_this_machine(8)) == (1, True)
        with hold_devices(2) as first, hold_devices(1) as second:
            assert (first, second) == (HeldDevices(ids=()), None)
        with hold_devices(1) as again:
            assert again is not None
            assert again.environment == {}

    def test_it_has_as_many_places_as_are_configured(self, settings: Settings) -> None:
        settings.TRAINING_SLOTS = 2
        assert count_devices() == 2
        with hold_devices(1) as first, hold_devices(1) as second, hold_devices(1) as third:
            assert (first is None, second is None, third) == (False, False, None)

    def test_whoever_is_killed_lets_go(self, settings: Settings) -> None:
        settings.VAR.joinpath("devices").mkdir()
        code = (
            "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True);"
            "time.sleep(60)"
        )
        lock = settings.VAR / "devices" / "cpu-0.lock"
        with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with hold_devices(1) as devices:
                assert devices is None
            holder.kill()
            holder.wait()
            with hold_devices(1) as devices:
                assert devices is not None


@pytest.mark.usefixtures("three_gpus")
class TestGraphicsCards:
    def test_each_is_held_once(self) -> None:
        assert [gpu.name for gpu in list_gpus()] == ["Alpha", "Beta", "Gamma"]
        assert count_devices() == 3
        with hold_devices(2) as first, hold_devices(2) as second, hold_devices(1) as third:
            assert first == HeldDevices(ids=("0", "1"))
            assert second is None
            assert third == HeldDevices(ids=("2",))
            assert first.environment == {"CUDA_VISIBLE_DEVICES": "0,1"}

    def test_what_is_not_to_be_had_is_let_go_at_once(self) -> None:
        with hold_devices(2), hold_devices(2) as too_many:
            assert too_many is None
            with hold_devices(1) as one:
                assert one == HeldDevices(ids=("2",))

    def test_more_than_there_are_never_fit(self) -> None:
        assert (fits_this_machine(3), fits_this_machine(4)) == (True, False)

    def test_only_visible_ones_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
        assert [gpu.id for gpu in list_gpus()] == ["1", "2"]


def test_a_driver_that_does_not_answer_is_no_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == ()
