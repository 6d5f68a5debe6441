"""Training runs: results, learning curves, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.db.models import Count, F, Max, Q
from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.checkpoints import find_earlier, is_sound, list_checkpoints, parse_location
from training.choices import JobStatus
from training.engine.package import hash_file
from training.exceptions import DamagedArtifactError
from training.models import EpochMetric, TrainingRun
from training.store import lend


def check_successes() -> Iterator[Finding]:
    """A run that succeeded has its model version."""
    for run in TrainingRun.objects.filter(status=JobStatus.SUCCEEDED, version=None):
        sentence = _("It succeeded, and no model version came of it.")
        yield Finding(kind="success_without_version", subject=str(run), sentence=sentence)


def check_epochs() -> Iterator[Finding]:
    """The epochs of a run count from 1 without a gap, in each phase."""
    phases = EpochMetric.objects.order_by().values("run", "phase").annotate(rows=Count("pk"), last=Max("epoch"))
    for phase in phases.exclude(rows=F("last")).order_by("run", "phase"):
        run = TrainingRun.objects.get(pk=phase["run"])
        sentence = _("Of its %(last)d epochs, %(rows)d are there.") % {"last": phase["last"], "rows": phase["rows"]}
        yield Finding(kind="epochs_with_gaps", subject=str(run), sentence=sentence)


def check_checkpoints() -> Iterator[Finding]:
    """The checkpoint that a run names is there and whole."""
    for run in TrainingRun.objects.exclude(checkpoint="").order_by("pk").iterator():
        if is_whole(run.checkpoint, sha256=run.checkpoint_sha256):
            continue
        sentence = _("Its checkpoint of step %(step)d is damaged or gone.") % {"step": run.checkpoint_step}
        repair = partial(_name_earlier, run)
        yield Finding(kind="damaged_checkpoint", subject=str(run), sentence=sentence, repair=repair)


def is_whole(location: str, *, sha256: str = "") -> bool:
    """Whether the store has a sound checkpoint at `location`.

    Raises:
        OSError: the store does not answer.
    """
    try:
        with lend(location) as path:
            return is_sound(path, sha256=sha256)
    except (FileNotFoundError, DamagedArtifactError):
        return False


def _name_earlier(run: TrainingRun) -> str:
    """Let a run name the newest sound checkpoint before the one that is damaged, or none; unless it went on meanwhile.

    The epochs since then go as well for a run that will train them again; those of one that has ended stay.
    """
    recorded = parse_location(run.checkpoint)
    earlier = [] if recorded is None else find_earlier(recorded, list_checkpoints(recorded.run))
    sound = next((name for name in earlier if is_whole(name.location)), None)
    unchanged = TrainingRun.objects.filter(~Q(status=JobStatus.RUNNING), pk=run.pk, checkpoint=run.checkpoint)
    if sound is None:
        unchanged.update(checkpoint="", checkpoint_sha256="", checkpoint_step=0)
        return _("It names no checkpoint any more, and would start afresh.")
    with lend(sound.location) as path:
        sha256 = hash_file(path / "state.json")
    unchanged.update(checkpoint=sound.location, checkpoint_sha256=sha256, checkpoint_step=sound.step)
    return _("It names the checkpoint of step %(step)d again.") % {"step": sound.step}
