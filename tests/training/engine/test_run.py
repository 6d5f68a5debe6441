"""A run as a process: exit codes, signals, and how each failure is told."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine import device, run
from training.engine.__main__ import main
from training.engine.data import load_dataset
from training.engine.data_checks import REPORT_NAME, check_dataset, write_report
from training.engine.events import parse_line
from training.engine.exceptions import DatasetError, DivergedError, RankLostError, Reason
from training.engine.package import verify_package
from training.engine.publish import publish_package
from training.engine.ranks import Ranks
from training.engine.run import explain_failure, run_fit

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _restore_process() -> Iterator[None]:
    """Undo what a run changes in its process: signal handlers and the number of threads."""
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("run") / "data")


def write_config(path: Path, dataset: Path, **overrides: object) -> Path:
    path.write_text(json.dumps(tiny_config(dataset, **overrides).to_dict()), encoding="utf-8")
    return path


def fit_here(config: Path, workdir: Path, *, resume: Path | None = None) -> int:
    """Run in this process, so that torch is imported once for all tests; one thread suits images so few."""
    return run_fit(config_path=config, workdir=workdir, resume=resume, threads=1)


def test_two_phases_make_a_package_that_names_both_datasets(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_dataset(tmp_path / "other", class_keys=("red", "blue"), name="two-colours", seed=8)
    first = {"auxiliary_dataset": str(other), "auxiliary_epochs": 1, "auxiliary_learning_rate": 0.06}
    config = write_config(tmp_path / "run.json", dataset, **first)
    assert fit_here(config, tmp_path / "work") == 0
    finished = last_event(capsys)
    manifest = verify_package(tmp_path / "work" / finished["package"]).raw
    assert (manifest["config"]["dataset"], manifest["config"]["auxiliary_dataset"]) == ("colours", "two-colours")
    assert (manifest["auxiliary_dataset"]["name"], manifest["auxiliary_dataset"]["train_count"]) == ("two-colours", 48)


def test_test_images_in_the_auxiliary_dataset_stop_a_run(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = write_dataset(tmp_path / "copy", name="copy", seed=8)
    np.save(copy / "train_images.npy", np.repeat(np.load(dataset / "test_images.npy"), 3, axis=0))
    first = {"auxiliary_dataset": str(copy), "auxiliary_epochs": 1, "auxiliary_learning_rate": 0.06}
    config = write_config(tmp_path / "run.json", dataset, **first)
    assert fit_here(config, tmp_path / "work") == 1
    failed = last_event(capsys)
    assert failed["reason"] == "bad_dataset"
    assert failed["detail"].startswith("24 of the test images are exact copies of training images of the auxiliary")


def last_event(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    event = parse_line(capsys.readouterr().out.splitlines()[-1])
    assert event is not None
    return dict(event)


def test_exact_copies_across_the_splits_stop_a_run_unless_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky = write_dataset(tmp_path / "leaky")
    report = check_dataset(leaky)
    report["comparisons"][2]["exact"] = 4
    write_report(report, leaky / REPORT_NAME)
    config = write_config(tmp_path / "run.json", leaky, epochs=1)
    assert fit_here(config, tmp_path / "work") == 1
    refused = last_event(capsys)
    assert (refused["event"], refused["reason"]) == ("failed", "bad_dataset")
    assert refused["detail"].startswith("4 of the test images are exact copies of training images")
    assert not (tmp_path / "work").exists()
    arguments = ["fit", "--config", str(config), "--workdir", str(tmp_path / "work"), "--threads", "1"]
    assert main([*arguments, "--accept-copies"]) == 0


def test_finished_run_names_a_sound_package(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_here(write_config(tmp_path / "run.json", dataset), tmp_path / "work") == 0
    finished = last_event(capsys)
    package = verify_package(tmp_path / "work" / finished["package"])
    assert finished["event"] == "finished"
    assert finished["package_sha256"] == package.sha256
    assert finished["metrics"] == package.metrics
    assert finished["training"] == package.raw["training"]
    assert finished["training"]["epochs_run"] == 2
    assert finished["wall_seconds"] == package.raw["wall_seconds"] > 0


def test_sigterm_saves_and_the_resumed_run_ends_with_the_same_weights(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run.json", dataset, epochs=16)
    assert fit_here(config, tmp_path / "whole") == 0
    whole = last_event(capsys)
    command = [
        sys.executable,
        "-m",
        "training.engine",
        "fit",
        "--config",
        str(config),
        "--workdir",
        str(tmp_path / "work"),
    ]
    command += ["--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"epoch_end"' in line:
                process.send_signal(signal.SIGTERM)
                break
        events = [event for event in map(parse_line, process.stdout) if event is not None]
    stopped = events[-1]
    assert process.returncode == 75
    assert stopped["event"] == "stopped"
    assert 4 <= stopped["step"] <= 64  # a machine that is busy may hear of the signal as late as while it publishes
    assert stopped["checkpoint"] == f"checkpoints/step-{stopped['step']:08d}"
    assert fit_here(config, tmp_path / "work", resume=tmp_path / "work" / stopped["checkpoint"]) == 0
    resumed = last_event(capsys)
    weights = [
        verify_package(tmp_path / folder / event["package"]).raw["files"]["weights.safetensors"]
        for folder, event in (("whole", whole), ("work", resumed))
    ]
    assert weights[0] == weights[1]
    assert resumed["metrics"] == whole["metrics"]


@pytest.fixture
def train_only(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, Path]]:
    """Return a function that trains to the last step and no further; it returns configuration and checkpoint."""

    def train(**overrides: object) -> tuple[Path, Path]:
        config = write_config(tmp_path / "run.json", dataset, **overrides)

        def stop(*_args: object, **_options: object) -> None:
            raise KeyError

        with monkeypatch.context() as patch:
            patch.setattr(run, "publish_package", stop)
            assert fit_here(config, tmp_path / "first") == 1
        return config, tmp_path / "first" / "checkpoints" / "step-00000008"

    return train


def test_stop_right_after_resuming_names_the_checkpoint_that_lies_elsewhere(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    train_only: Callable[..., tuple[Path, Path]],
) -> None:
    config, checkpoint = train_only()
    load = load_dataset

    def load_then_signal(path: Path) -> object:
        signal.raise_signal(signal.SIGTERM)
        return load(path)

    monkeypatch.setattr(run, "load_dataset", load_then_signal)
    assert fit_here(config, tmp_path / "second", resume=checkpoint) == 75
    assert last_event(capsys) == {"event": "stopped", "step": 8, "checkpoint": str(checkpoint)}


@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_a_run_that_moves_keeps_the_precision_that_auto_chose(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    train_only: Callable[..., tuple[Path, Path]],
    first: str,
) -> None:
    monkeypatch.setattr(device, "_cpu_computes_bfloat16", lambda: first == "bfloat16")
    config, checkpoint = train_only()
    capsys.readouterr()
    monkeypatch.setattr(device, "_cpu_computes_bfloat16", lambda: first == "float32")
    assert fit_here(config, tmp_path / "second", resume=checkpoint) == 0
    started = parse_line(capsys.readouterr().out.splitlines()[0])
    assert started is not None
    assert started["event"] == "started"
    assert (started["precision"], started["resumed_from_step"]) == (first, 8)


def test_a_checkpoint_of_another_precision_setting_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], train_only: Callable[..., tuple[Path, Path]]
) -> None:
    _config, checkpoint = train_only(precision="float32")
    other = write_config(tmp_path / "other.json", dataset, precision="bfloat16")
    assert fit_here(other, tmp_path / "second", resume=checkpoint) == 1
    assert last_event(capsys) == {
        "event": "failed",
        "reason": "error",
        "detail": f"{checkpoint} belongs to another configuration or dataset.",
    }


def test_stop_before_the_first_step_has_no_checkpoint(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = load_dataset

    def load_then_signal(path: Path) -> object:
        signal.raise_signal(signal.SIGTERM)
        return load(path)

    monkeypatch.setattr(run, "load_dataset", load_then_signal)
    assert fit_here(write_config(tmp_path / "run.json", dataset), tmp_path / "work") == 75
    assert last_event(capsys) == {"event": "stopped", "step": 0, "checkpoint": None}


def test_diverged_run_fails_loudly(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda *args, **options: cross_entropy(*args, **options) * float("inf")
    )
    assert fit_here(write_config(tmp_path / "run.json", dataset), tmp_path / "work") == 1
    failed = last_event(capsys)
    assert (failed["event"], failed["reason"]) == ("failed", "diverged")
    assert failed["detail"].startswith("The training loss stopped being a finite number before step ")
    assert not (tmp_path / "work" / "package").exists()


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{", "is not JSON."),
        ("[]", "is not a JSON object."),
        ('{"recipe": "fast", "dataset": "d", "epochs": 0}', "epochs is 0; allowed is a whole number from 1 to 1000."),
    ],
)
def test_wrong_configuration_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, detail: str
) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    assert fit_here(tmp_path / "run.json", tmp_path / "work") == 2
    failed = last_event(capsys)
    assert (failed["event"], failed["reason"]) == ("failed", "bad_config")
    assert failed["detail"].endswith(detail)


def test_missing_configuration_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_here(tmp_path / "none.json", tmp_path / "work") == 2
    assert last_event(capsys)["detail"].endswith("none.json cannot be read: No such file or directory.")


def test_missing_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_here(write_config(tmp_path / "run.json", tmp_path / "nowhere"), tmp_path / "work") == 1
    failed = last_event(capsys)
    assert failed["reason"] == "bad_dataset"
    assert failed["detail"].startswith(f"{tmp_path / 'nowhere'} is not an imported dataset")


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (DatasetError("The data is gone."), "bad_dataset", "The data is gone."),
        (DivergedError("It diverged."), "diverged", "It diverged."),
        (OSError(errno.ENOSPC, "No space"), "disk_full", "No space left on the disk that holds the run."),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "disk_full",
            "No space left on the disk that holds the run.",
        ),
        (ValueError("odd\nmore"), "error", "Unexpected ValueError: odd"),
        (KeyError(), "error", "Unexpected KeyError: no details"),
    ],
)
def test_every_failure_has_a_reason_and_a_sentence(error: Exception, reason: Reason, detail: str) -> None:
    assert explain_failure(error) == (reason, detail)


def test_unexpected_error_is_told_and_traced(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str, *, ranks: Ranks) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(run, "choose_device", fail)
    assert fit_here(write_config(tmp_path / "run.json", dataset), tmp_path / "work") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "event": "failed",
        "reason": "error",
        "detail": "Unexpected ZeroDivisionError: division by zero",
    }
    assert "Traceback" in captured.err


def test_wrong_arguments_exit_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    from training.engine.__main__ import main

    with pytest.raises(SystemExit) as caught:
        main(["fit", "--config", "run.json", "--workdir", "work", "--threads", "0"])
    assert caught.value.code == 2
    assert "0 is not between 1 and 1024" in capsys.readouterr().err


def test_threads_are_shared_while_processes_train_together_and_given_back(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    train, publish = run._train, publish_package

    def look(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counts.append(torch.get_num_threads())
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(Ranks, "join", lambda: Ranks(local_size=2))
    monkeypatch.setattr(run, "choose_device", lambda _precision, *, ranks: device.reference_device())
    monkeypatch.setattr(run, "_train", look(train))
    monkeypatch.setattr(run, "publish_package", look(publish))
    config = write_config(tmp_path / "run.json", dataset, epochs=1)
    assert run_fit(config_path=config, workdir=tmp_path / "work", resume=None, threads=4) == 0
    assert counts == [2, 4]


def test_a_process_that_is_not_the_first_says_nothing_where_they_fail_to_meet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Ranks:
        raise RankLostError("Nobody came.")

    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back afterwards
    monkeypatch.setattr(Ranks, "join", fail)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, is_torchrun, code, is_told in (("0", False, 76, False), ("0", True, 1, True), ("1", True, 1, False)):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setattr(run, "is_torchelastic_launched", lambda is_torchrun=is_torchrun: is_torchrun)
        assert fit_here(tmp_path / "none.json", tmp_path) == code
        assert ("Nobody came." in capsys.readouterr().out) == is_told
