"""Every row against its files, its hashes, its history and its lease: what `manage.py audit` looks for.

A check is a function without arguments that yields `Finding`s. It changes nothing; a finding may bring a repair, which
is safe to make at any moment, also while the site runs.
"""

from training.audit.datasets import check_datasets
from training.audit.evaluations import check_evaluations
from training.audit.files import check_orphans
from training.audit.findings import Check, Finding, look
from training.audit.jobs import check_histories, check_leases
from training.audit.runs import check_checkpoints, check_epochs, check_successes
from training.audit.versions import check_champion, check_packages

CHECKS: tuple[Check, ...] = (
    check_leases,
    check_histories,
    check_successes,
    check_epochs,
    check_checkpoints,
    check_packages,
    check_champion,
    check_datasets,
    check_evaluations,
    check_orphans,
)
"""What is checked of training, in this order."""

__all__ = ["CHECKS", "Check", "Finding", "look"]
