"""Which checkpoint a run goes on from, and which are let go."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.factories import TrainingRunFactory
from tests.fixtures import RemoteArtifacts
from training.checkpoints import choose_outdated, find_checkpoint, is_sound, keep_only, list_checkpoints, parse_location
from training.choices import JobStatus
from training.models import TrainingRun
from training.storage import artifacts
from training.store import forget_copy, publish

pytestmark = pytest.mark.django_db


def locate(*, step: int, fence: int = 1, run: int = 1) -> str:
    return f"runs/{run}/{fence}/checkpoints/step-{step:08d}"


def save(*, step: int, fence: int = 1, run: int = 1) -> tuple[str, str]:
    """Write a sound checkpoint; returns its location and the hash of its state."""
    location = locate(step=step, fence=fence, run=run)
    folder = artifacts(location)
    folder.mkdir(parents=True)
    (folder / "tensors.safetensors").write_bytes(b"tensors")
    state = json.dumps({"step": step, "tensors_sha256": hashlib.sha256(b"tensors").hexdigest()}).encode()
    (folder / "state.json").write_bytes(state)
    return location, hashlib.sha256(state).hexdigest()


def make_run(*, step: int, fence: int = 1, **fields: object) -> TrainingRun:
    """Return a run whose newest checkpoint is on the disk."""
    run: TrainingRun = TrainingRunFactory.create(fence=fence, **fields)
    run.checkpoint, run.checkpoint_sha256 = save(step=step, fence=fence, run=run.pk)
    run.checkpoint_step = step
    run.save()
    return run


@pytest.mark.parametrize(
    "location", ["", "models/1", "runs/1/1", "runs/1/1/checkpoints/step-x", "runs/1/1/checkpoints"]
)
def test_what_is_no_checkpoint(location: str) -> None:
    assert parse_location(location) is None


def test_a_location_tells_run_claim_and_step() -> None:
    name = parse_location(locate(step=20, fence=3, run=7))
    assert name == (20, 3, 7, "runs/7/3/checkpoints/step-00000020")


@pytest.mark.usefixtures("artifacts_root")
class TestFind:
    def test_the_recorded_one(self) -> None:
        run = make_run(step=20)
        save(step=10, run=run.pk)
        assert find_checkpoint(run) == artifacts(run.checkpoint)

    def test_without_a_recorded_one_a_run_starts_afresh(self) -> None:
        run = TrainingRunFactory.create()
        save(step=10, run=run.pk)
        assert find_checkpoint(run) is None

    def test_one_that_is_newer_than_the_row_knows_is_left(self) -> None:
        run = make_run(step=20)
        (artifacts(run.checkpoint) / "state.json").unlink()
        save(step=30, run=run.pk)
        save(step=5, run=run.pk)
        earlier, _sha256 = save(step=10, run=run.pk)
        assert find_checkpoint(run) == artifacts(earlier)

    def test_a_sound_one_that_is_not_the_recorded_one_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        run = make_run(step=20)
        run.checkpoint_sha256 = "0" * 64
        assert find_checkpoint(run) is None
        assert f"Run {run.pk}: checkpoint step 20 is damaged or gone, the one before is tried" in caplog.text

    def test_an_extension_goes_on_from_its_parents(self) -> None:
        parent = make_run(step=20, status=JobStatus.SUCCEEDED)
        child = TrainingRunFactory.create(
            checkpoint=parent.checkpoint, checkpoint_sha256=parent.checkpoint_sha256, checkpoint_step=20
        )
        assert find_checkpoint(child) == artifacts(parent.checkpoint)


class TestFindRemotely:
    def test_another_machine_fetches_it(self, remote_artifacts: RemoteArtifacts) -> None:
        run = make_run(step=20)
        publish(run.checkpoint)
        root = remote_artifacts.move_to("second")
        assert find_checkpoint(run) == root / run.checkpoint
        assert is_sound(root / run.checkpoint, sha256=run.checkpoint_sha256)

    @pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
    def test_a_damaged_one_falls_back_to_the_one_before(self, remote_artifacts: RemoteArtifacts, name: str) -> None:
        run = make_run(step=20)
        earlier, _sha256 = save(step=10, run=run.pk)
        for location in (earlier, run.checkpoint):
            publish(location)
            forget_copy(location)
        remote_artifacts.bucket.Object(f"site/{run.checkpoint}/{name}").put(Body=b"torn")
        assert find_checkpoint(run) == artifacts(earlier)
        assert not artifacts(run.checkpoint).exists()

    def test_both_machines_are_listed(self, remote_artifacts: RemoteArtifacts) -> None:
        remote_artifacts.move_to("first")
        there, _sha256 = save(step=10)
        publish(there)
        remote_artifacts.move_to("second")
        here, _sha256 = save(step=20, fence=2)
        save(step=30, run=11)
        assert [name.location for name in list_checkpoints(1)] == [here, there]


class TestOutdated:
    @staticmethod
    def outdated(recorded: str, *others: str) -> list[str]:
        names = [parse_location(location) for location in (recorded, *others)]
        known = [name for name in names if name is not None]
        return [name.location for name in choose_outdated(known[0], known)]

    def test_the_recorded_one_and_the_one_before_stay(self) -> None:
        steps = [locate(step=step) for step in (10, 20, 30, 40)]
        assert self.outdated(steps[3], *steps[:3]) == [steps[1], steps[0]]

    def test_a_newer_one_of_the_same_claim_is_about_to_be_named(self) -> None:
        newer = [locate(step=step) for step in (20, 30)]
        assert self.outdated(locate(step=10), *newer) == []

    def test_a_worker_that_lost_the_run_takes_nothing_from_a_later_claim(self) -> None:
        later = [locate(step=step, fence=2) for step in (5, 10)]
        assert self.outdated(locate(step=30), *later) == []

    def test_one_of_epochs_that_were_lost_goes(self) -> None:
        lost, before = locate(step=40), locate(step=20)
        assert self.outdated(locate(step=30, fence=2), lost, before) == [lost]


@pytest.mark.usefixtures("artifacts_root")
def test_of_a_run_that_succeeded_one_checkpoint_is_left() -> None:
    kept, _sha256 = save(step=30, fence=2)
    save(step=20, fence=2)
    save(step=10)
    (artifacts("runs/1/2") / "config.json").touch()
    (artifacts("runs/1/2") / "package").mkdir()
    keep_only(kept, run=1)
    left = sorted(path.relative_to(artifacts()).as_posix() for path in artifacts("runs").rglob("*") if path.is_file())
    assert left == [f"{kept}/state.json", f"{kept}/tensors.safetensors"]


@pytest.mark.usefixtures("artifacts_root")
def test_of_a_run_that_names_none_nothing_is_left() -> None:
    save(step=10)
    keep_only("", run=1)
    assert not artifacts("runs/1").exists()
