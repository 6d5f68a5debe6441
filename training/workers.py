"""What a Celery worker does besides tasks: it reports itself, and it tells its supervisors when it shuts down."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import time
from typing import Any, Final

from celery import signals
from django.db import Error, connection
from django.db.models.functions import Now
from django.utils import timezone

from training.devices import count_devices
from training.engine.machine_memory import read_machine_memory
from training.engine.parent_death import die_with_parent
from training.models import Worker
from training.stopping import worker_stopping

REPORT_SECONDS: Final = 10.0
_NVIDIA_SMI_SECONDS: Final = 5.0
_MEBIBYTE: Final = 1024 * 1024

logger = logging.getLogger(__name__)


class _Report:
    """The row of the worker that this process is the parent of; a pool child has a copy of how it was at its birth."""

    node = ""  # the worker's name, before it is ready to be reported
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


def name_process() -> str:
    """Return what a job's row calls this process: the worker's name (outside of one the machine's), a colon, its id.

    A job is carried out by a pool child, the report comes from its parent: by the name they are found to be one worker.
    """
    return f"{_Report.node or socket.gethostname()}:{os.getpid()}"


def read_gpus() -> list[dict[str, Any]]:
    """Return the NVIDIA GPUs: `name`, `used_bytes` and `total_bytes` of each; the last two may be None."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi does not answer: %s", error)
        return []
    return [_read_gpu(line) for line in answer.stdout.splitlines() if line.strip()]


def _read_gpu(line: str) -> dict[str, Any]:
    """Read `NVIDIA H200, 4, 143771`: the numbers are MiB, or words where a device does not tell (`[N/A]`)."""
    name, *numbers = (part.strip() for part in line.rsplit(",", 2))
    used, total = (int(number) * _MEBIBYTE if number.isdecimal() else None for number in (*numbers, "", "")[:2])
    return {"name": name[:255], "used_bytes": used, "total_bytes": total}


def _remember_parent(*, sender: Any, **_signal: object) -> None:  # noqa: ANN401 - its types lack the name
    _Report.pid = os.getpid()
    _Report.node = sender.hostname


def _bind_to_parent(**_signal: object) -> None:
    """End this pool child when the worker ends, however it ends; the engine in turn ends with the child."""
    die_with_parent()
    if os.getppid() != _Report.pid:  # it ended before the request was made
        os._exit(1)


def _tell_supervisors(**_signal: object) -> None:
    worker_stopping.set()


def _report_start(*, sender: Any, **_signal: object) -> None:  # noqa: ANN401 - its types lack the controller
    _Report.name = sender.hostname
    queues = sorted(sender.app.amqp.queues.consume_from)
    _Report.fields = {
        "host": socket.gethostname(),
        "queues": queues,
        "concurrency": sender.controller.concurrency,
        "devices": count_devices(),
        "started_at": timezone.now(),
    }
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
        if not Worker.objects.filter(name=_Report.name).update(last_seen_at=Now(), **_measure()):
            _write_row()  # forgotten meanwhile: the machine slept, or the database was away at the start
    except Error as error:
        logger.warning("The worker could not report that it lives: %s", error)
    finally:
        connection.close()


def _write_row() -> None:
    fields = {**_Report.fields, **_measure(), "last_seen_at": Now()}
    Worker.objects.update_or_create(name=_Report.name, defaults=fields)


def _measure() -> dict[str, Any]:
    """Return the fields that change: the memory of the machine and of its GPUs."""
    memory = read_machine_memory()
    gpus = read_gpus()
    return {
        "gpu_name": gpus[0]["name"] if gpus else "",
        "gpus": gpus,
        "memory_used_bytes": memory.total - memory.free if memory else None,
        "memory_total_bytes": memory.total if memory else None,
    }


def _report_end(**_signal: object) -> None:
    """Remove the row of a worker that ended on purpose; one that was killed just grows old."""
    try:
        Worker.objects.filter(name=_Report.name).delete()
    except Error as error:
        logger.warning("The worker could not sign off: %s", error)
    finally:
        connection.close()
