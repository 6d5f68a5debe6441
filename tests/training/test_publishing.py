"""Uploads beside the supervision of a job: the lease lives, the newest checkpoint wins, a stale worker harms nobody."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from tests.factories import TrainingRunFactory
from tests.fixtures import RemoteArtifacts
from tests.training.test_checkpoints import save
from training import publishing
from training.engine.events import CheckpointEvent
from training.exceptions import DamagedArtifactError, FenceLostError, StoreError
from training.jobs import Job
from training.models import TrainingRun
from training.publishing import CheckpointPublisher, do_beside_lease, insist

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(publishing, "PATIENCE_SECONDS", 0.1)


@pytest.fixture
def job() -> TrainingRun:
    claimed = TrainingRun.claim(TrainingRunFactory.create().pk, worker="here")
    assert claimed is not None
    return claimed


def announce(*, step: int) -> CheckpointEvent:
    path = f"checkpoints/step-{step:08d}"
    return {"event": "checkpoint", "phase": 0, "epoch": 1, "step": step, "path": path, "sha256": ""}


def await_one(publisher: CheckpointPublisher, job: Job) -> CheckpointEvent | None:
    assert publisher.wait(job, until=time.monotonic() + 30)
    return publisher.take()


class TestLease:
    def test_it_is_renewed_meanwhile(
        self, remote_artifacts: RemoteArtifacts, job: TrainingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote_artifacts.settings.HEARTBEAT_SECONDS = 0.05
        renewals: list[None] = []
        monkeypatch.setattr(job, "renew_lease", lambda: renewals.append(None))

        def work() -> int:
            time.sleep(0.5)
            return 7

        assert do_beside_lease(job, work) == 7
        assert len(renewals) > 1

    def test_a_job_that_was_taken_away_is_left_at_once(
        self, remote_artifacts: RemoteArtifacts, job: TrainingRun
    ) -> None:
        remote_artifacts.settings.HEARTBEAT_SECONDS = 0.05
        TrainingRun.objects.filter(pk=job.pk).update(fence=2)
        began = time.monotonic()
        with pytest.raises(FenceLostError):
            do_beside_lease(job, lambda: time.sleep(3))
        assert time.monotonic() - began < 3

    def test_locally_nothing_is_beside(self, artifacts_root: Path, job: TrainingRun) -> None:
        assert do_beside_lease(job, lambda: 7) == 7


class TestInsisting:
    def test_a_store_that_comes_back_is_used(self) -> None:
        answers = [StoreError("The store is away"), None]

        def act() -> int:
            error = answers.pop(0)
            if error is not None:
                raise error
            return 7

        assert insist(act) == 7

    @pytest.mark.parametrize("error", [StoreError("Away"), DamagedArtifactError("Torn"), OSError(errno.ENOSPC, "Full")])
    def test_what_stays_so_is_raised(self, error: OSError) -> None:
        def fail() -> None:
            raise error

        with pytest.raises(OSError, match=error.strerror):
            insist(fail)


class TestCheckpoints:
    def test_locally_each_is_safe_at_once(self, artifacts_root: Path) -> None:
        publisher = CheckpointPublisher("runs/1/1")
        event = announce(step=10)
        publisher.submit(event)
        assert (publisher.take(), publisher.take()) == (event, None)

    def test_locally_all_stay_until_one_is_named(self, artifacts_root: Path, job: TrainingRun) -> None:
        """However late the supervisor is, what the row names is there."""
        publisher = CheckpointPublisher(f"runs/{job.pk}/1")
        locations = [save(step=step, run=job.pk)[0] for step in (10, 20, 30, 40)]
        publisher.submit(announce(step=30))
        assert all((artifacts_root / location).is_dir() for location in locations)
        publisher.confirm(locations[2])  # 40 was written meanwhile
        assert [(artifacts_root / location).is_dir() for location in locations] == [False, True, True, True]

    def test_one_is_named_when_the_store_has_it(self, remote_artifacts: RemoteArtifacts, job: TrainingRun) -> None:
        location, _sha256 = save(step=10)
        publisher = CheckpointPublisher("runs/1/1")
        event = announce(step=10)
        publisher.submit(event)
        assert await_one(publisher, job) == event
        assert remote_artifacts.keys("index/") == [f"index/{location}.json"]
        publisher.close()

    def test_one_that_was_replaced_is_skipped(
        self, remote_artifacts: RemoteArtifacts, job: TrainingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[str] = []

        def publish(location: str) -> None:
            started.append(location)
            time.sleep(0.2)

        monkeypatch.setattr(publishing, "publish", publish)
        publisher = CheckpointPublisher("runs/1/1")
        for step in (10, 20, 30):
            publisher.submit(announce(step=step))
        first, second = await_one(publisher, job), await_one(publisher, job)
        assert [event and event["step"] for event in (first, second)] == [10, 30]
        assert [location[-2:] for location in started] == ["10", "30"]
        assert not publisher.wait(job, until=time.monotonic() + 1)
        publisher.close()

    @pytest.mark.parametrize("error", [StoreError("Away"), FileNotFoundError(errno.ENOENT, "Gone")])
    def test_one_that_does_not_get_there_is_not_named(
        self, remote_artifacts: RemoteArtifacts, job: TrainingRun, monkeypatch: pytest.MonkeyPatch, error: OSError
    ) -> None:
        def fail(_location: str) -> None:
            raise error

        monkeypatch.setattr(publishing, "publish", fail)
        publisher = CheckpointPublisher("runs/1/1")
        publisher.submit(announce(step=10))
        assert await_one(publisher, job) is None
        publisher.close()

    def test_a_full_store_is_told(
        self, remote_artifacts: RemoteArtifacts, job: TrainingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_location: str) -> None:
            raise OSError(errno.ENOSPC, "The store of artifacts is full")

        monkeypatch.setattr(publishing, "publish", fail)
        publisher = CheckpointPublisher("runs/1/1")
        publisher.submit(announce(step=10))
        with pytest.raises(OSError, match="full"):
            await_one(publisher, job)
        assert publisher.take() is None
        publisher.close()

    def test_naming_one_late_costs_no_newer_one(self, remote_artifacts: RemoteArtifacts, job: TrainingRun) -> None:
        publisher = CheckpointPublisher("runs/1/1")
        locations = [save(step=step)[0] for step in (10, 20)]
        for step in (10, 20):
            publisher.submit(announce(step=step))
        assert await_one(publisher, job) is not None
        publisher.confirm(locations[0])  # while the second one is under way, or was just stored
        assert await_one(publisher, job) is not None
        publisher.confirm(locations[1])
        publisher._pool.submit(int).result()  # type: ignore[union-attr]  # whatever it removes is removed by now
        assert remote_artifacts.keys("index/") == [f"index/{location}.json" for location in locations]
        publisher.close()

    def test_the_last_two_that_rows_named_are_kept(self, remote_artifacts: RemoteArtifacts, job: TrainingRun) -> None:
        publisher = CheckpointPublisher("runs/1/1")
        locations = []
        for step in (10, 20, 30):
            locations.append(save(step=step)[0])
            publisher.submit(announce(step=step))
            assert await_one(publisher, job) is not None
            publisher.confirm(locations[-1])
        deadline = time.monotonic() + 30
        kept = [f"index/{location}.json" for location in locations[1:]]
        while remote_artifacts.keys("index/") != kept:
            assert time.monotonic() < deadline, remote_artifacts.keys("index/")
            time.sleep(0.05)
        publisher.close()
