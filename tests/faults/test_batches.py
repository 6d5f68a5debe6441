"""A worker is killed in the middle of a batch: the next one goes on there, and every entry has one row."""

from __future__ import annotations

import pytest

from cifarsite.accounts.models import User
from classifier.choices import EXECUTE_BATCH
from classifier.models import BatchItem, BatchJob
from tests.classifier.archive_makers import pictures, request, tar_of, zip_of
from tests.faults.helpers import history, wait_for
from tests.installation import Installation, Program
from tests.tiny_model import register_version
from training.choices import Cause, JobStatus, ModelState
from training.doorbell import ring
from training.engine.constants import CIFAR10_CLASS_KEYS as KEYS

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

COUNT = 6000


@pytest.mark.parametrize("pack", [zip_of, lambda files: tar_of(files, mode="w:gz")], ids=["zip", "tar.gz"])
def test_a_worker_killed_at_some_item(installation: Installation, pack: object) -> None:
    assert callable(pack)
    register_version(state=ModelState.CHAMPION)
    job = request(User.objects.create(username="ada"), pack(pictures(COUNT)))
    first = installation.start_worker("one", queues="inference,default")
    ring(EXECUTE_BATCH, job.pk)
    wait_for_batch(job, program=first, progress_done__gt=0)
    for child in first.children():
        child.kill()
    first.kill()
    job.refresh_from_db()
    killed_at = job.progress_done
    assert (job.status, job.items.count()) == (JobStatus.RUNNING, killed_at)
    assert 0 < killed_at < COUNT
    second = installation.start_worker("two", queues="inference,default")
    wait_for_batch(job, program=second, sweeping=True, status=JobStatus.SUCCEEDED)
    assert history(job) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    rows = list(BatchItem.objects.order_by("index").values_list("index", "class_key"))
    assert rows == [(number, KEYS[number % 10]) for number in range(COUNT)]
    assert job.progress_done == job.progress_total == COUNT


def wait_for_batch(job: BatchJob, *, program: Program, sweeping: bool = False, **fields: object) -> None:
    wait_for(BatchJob.objects.filter(pk=job.pk, **fields).exists, program=program, sweeping=sweeping)
    job.refresh_from_db()
