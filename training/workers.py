"""What a Celery worker does besides tasks: it reports itself, and it tells its supervisors when it shuts down."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from django.db import Error, connection
from django.db.models.functions import Now
from django.utils import timezone

from training.engine.parent_death import die_with_parent
from training.models import Worker
from training.stopping import worker_stopping

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

REPORT_SECONDS: Final = 10.0
_NVIDIA_SMI_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class _Report:
    """The row of the worker that this process is the parent of."""

    name = ""
    fields: dict[str, Any] = {}
    next_due = 0.0
    pid = 0


def connect_signals() -> None:
    """Listen to the worker's life. Safe to repeat."""
    signals.worker_init.connect(_remember_parent, dispatch_uid="cifarsite.remember_parent")
    signals.worker_process_init.connect(_bind_to_parent, dispatch_uid="cifarsite.bind_to_parent")
    signals.worker_shutting_down.connect(_tell_supervisors, dispatch_uid="cifarsite.tell_supervisors")
    signals.worker_ready.connect(_report_start, dispatch_uid="cifarsite.report_start")
    signals.heartbeat_sent.connect(_report_life, dispatch_uid="cifarsite.report_life")
    signals.worker_shutdown.connect(_report_end, dispatch_uid="cifarsite.report_end")


def name_gpu() -> str:
    """Return the name of the first NVIDIA GPU, or nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi does not answer: %s", error)
        return ""
    return answer.stdout.partition("\n")[0].strip()[:255]


def _remember_parent(**_signal: object) -> None:
    _Report.pid = os.getpid()


def _bind_to_parent(**_signal: object) -> None:
    """End this pool child when the worker ends, however it ends; the engine in turn ends with the child."""
    die_with_parent()
    if os.getppid() != _Report.pid:  # it ended before the request was made
        os._exit(1)


def _tell_supervisors(**_signal: object) -> None:
    worker_stopping.set()


def _report_start(*, sender: Consumer, **_signal: object) -> None:
    _Report.name = sender.hostname
    queues = sorted(sender.app.amqp.queues.consume_from)
    _Report.fields = {"queues": queues, "gpu_name": name_gpu(), "started_at": timezone.now()}
    try:
        _write_row()
        logger.info("Worker %s serves %s", _Report.name, ", ".join(queues))
    except Error as error:
        logger.warning("The worker could not report itself: %s", error)
    finally:
        connection.close()  # children forked later must not inherit it
    _Report.next_due = time.monotonic() + REPORT_SECONDS


def _report_life(**_signal: object) -> None:
    if not _Report.name or time.monotonic() < _Report.next_due:
        return
    _Report.next_due = time.monotonic() + REPORT_SECONDS
    try:
        if not Worker.objects.filter(name=_Report.name).update(last_seen_at=Now()):
            _write_row()  # forgotten meanwhile: the machine slept, or the database was away at the start
    except Error as error:
        logger.warning("The worker could not report that it lives: %s", error)
    finally:
        connection.close()


def _write_row() -> None:
    Worker.objects.update_or_create(name=_Report.name, defaults={**_Report.fields, "last_seen_at": Now()})


def _report_end(**_signal: object) -> None:
    """Remove the row of a worker that ended on purpose; one that was killed just grows old."""
    try:
        Worker.objects.filter(name=_Report.name).delete()
    except Error as error:
        logger.warning("The worker could not sign off: %s", error)
    finally:
        connection.close()
