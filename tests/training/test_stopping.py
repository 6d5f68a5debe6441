"""The flag that a worker shares with its children, and signals that are noted."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from training.stopping import SharedFlag, StopSignals, worker_stopping


@pytest.fixture(autouse=True)
def _lower_the_flag() -> Iterator[None]:
    yield
    worker_stopping.clear()


def test_a_child_sees_the_flag_that_its_parent_raises() -> None:
    flag = SharedFlag()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(42 if flag.is_set() else 1)
    flag.set()
    os.write(writing, b"!")
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C interrupt, as a shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.requested is False
        os.kill(os.getpid(), number)
        assert signals.requested is True
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.requested is False
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_workers_flag_counts_too() -> None:
    with StopSignals() as signals:
        worker_stopping.set()
        assert signals.requested is True


def test_other_threads_install_no_handler() -> None:
    requested: list[bool] = []

    def enter() -> None:
        with StopSignals() as signals:
            requested.append(signals.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert requested == [False]
