"""The groups and what each may do.

A group on the way from *user* to *administrator* includes all that the one before it may. A *viewer* stands beside
them: they look at everything that an operator looks at, and change nothing.
"""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

USER, TRAINER, OPERATOR, ADMINISTRATOR = "user", "trainer", "operator", "administrator"
VIEWER = "viewer"

_WATCHING = [
    "training.view_worker",
    "training.view_jobqueue",
    "training.view_transition",
    "classifier.view_prediction",  # counts, never a picture
    "classifier.view_batchjob",
]
_PERMISSIONS: dict[str, list[str]] = {
    USER: ["training.view_modelversion"],
    TRAINER: [
        "training.view_dataset",
        "training.accept_dataset_copies",
        "training.view_datasetimport",
        "training.add_datasetimport",
        "training.view_trainingrun",
        "training.add_trainingrun",
        "training.view_epochmetric",
        "training.view_promotion",
        "training.view_evaluation",
        "training.add_evaluation",
        "training.export_modelversion",
    ],
    OPERATOR: [
        "training.manage_trainingrun",
        "training.promote_modelversion",
        "training.import_modelversion",
        "classifier.add_batchjob",  # in the admin panel; everybody may on the pages
        *_WATCHING,
    ],
}
_ORDER = [USER, TRAINER, OPERATOR]

GROUP_NAMES = {
    USER: _("user"),
    TRAINER: _("trainer"),
    OPERATOR: _("operator"),
    VIEWER: _("viewer"),
    ADMINISTRATOR: _("administrator"),
}
"""What the groups are called before people, the one that may do least first."""


def permissions_of(group: str) -> list[str]:
    """Return the `app.codename` permissions of `group`, those of the groups before it included."""
    if group == VIEWER:
        return [name for name in permissions_of(OPERATOR) if name.partition(".")[2].startswith("view_")]
    return [name for step in _ORDER[: _ORDER.index(group) + 1] for name in _PERMISSIONS[step]]


def ensure_groups(*, using: str = DEFAULT_DB_ALIAS, **_signal: object) -> None:
    """Create the groups and set their permissions; safe to repeat. Administrators have every permission."""
    for name in (*_ORDER, VIEWER):
        wanted = Q(pk__in=[])
        for permission in permissions_of(name):
            app_label, codename = permission.split(".")
            wanted |= Q(content_type__app_label=app_label, codename=codename)
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(Permission.objects.using(using).filter(wanted))
    administrators, _created = Group.objects.using(using).get_or_create(name=ADMINISTRATOR)
    administrators.permissions.set(Permission.objects.using(using).all())
