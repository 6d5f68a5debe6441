"""The kinds of faults that `bench.faults` injects: functions of the site that say whether they found something.

Django must be set up before this is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench import fault_processes, fault_requests, fault_serving
from bench.fault_site import Site

Fault = Callable[[Site], bool]

FAULTS: Final[dict[str, tuple[Fault, int]]] = {
    "engine_killed": (fault_processes.kill_engine, 40),
    "supervisor_killed": (fault_processes.kill_supervisor, 16),
    "worker_killed": (fault_processes.kill_worker, 12),
    "worker_and_broker_killed": (fault_processes.kill_worker_and_broker, 3),
    "deployed": (fault_processes.deploy, 8),
    "broker_restarted": (fault_processes.restart_broker, 5),
    "broker_emptied": (fault_processes.empty_broker, 10),
    "broker_down_at_submit": (fault_processes.submit_without_broker, 4),
    "database_restarted": (fault_processes.restart_database, 6),
    "delivered_eight_times": (fault_requests.deliver_eight_times, 20),
    "claimed_at_once": (fault_requests.claim_at_once, 20),
    "supervisor_stopped": (fault_processes.stop_supervisor, 2),
    "clock_two_hours_off": (fault_processes.set_clock_ahead, 0),
    "disk_full_at_checkpoint": (fault_requests.fill_disk_at_checkpoint, 3),
    "disk_full_at_upload": (fault_requests.fill_disk_at_upload, 2),
    "checkpoint_damaged": (fault_requests.damage_checkpoint, 10),
    "cancelled_queued": (fault_requests.cancel_queued, 6),
    "cancelled_running": (fault_requests.cancel_running, 6),
    "cancelled_saving": (fault_requests.cancel_saving, 3),
    "engine_stopped": (fault_processes.stop_engine, 0),
    "mlflow_down": (fault_processes.lose_mlflow, 0),
    "mlflow_hanging": (fault_processes.hang_mlflow, 0),
    "package_corrupted": (fault_serving.damage_package, 2),
    "package_deleted": (fault_serving.delete_package, 2),
    "promoted": (fault_serving.promote, 8),
    "rolled_back": (fault_serving.roll_back, 6),
    "web_killed_mid_upload": (fault_serving.kill_web, 2),
    "sixteen_writers": (fault_requests.write_sixteenfold, 1),
}
"""Every fault with its share of those that are drawn; each happens once (the clocks and still engines twice) in any
case."""

TWICE = ("clock_two_hours_off", "engine_stopped")
SLOW = ("engine_stopped", "mlflow_down", "mlflow_hanging")
NOT_INJECTED = {
    "batch worker killed at item k": "a test of its own: tests/faults",
    "restore of a backup on an empty host": "a test of its own: tests/training",
}
