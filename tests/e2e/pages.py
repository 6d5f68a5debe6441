"""Every page of the site: who looks at it, and where it is once a site has something to show.

A new address has to be listed here, as a page or under `NO_PAGES`; `test_every_page.py` fails until it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from cifarsite.accounts.models import User
from cifarsite.accounts.tokens import make_token
from classifier.models import BatchJob, Prediction
from classifier.sharing import share_prediction
from tests.evaluations import make_evaluation
from tests.factories import (
    BatchJobFactory,
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    EvaluationFactory,
    ModelVersionFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
    make_transfer_run,
)
from tests.training.people import prove
from training.choices import JobStatus, ModelState, Scope
from training.models import Dataset, DatasetImport, Evaluation, ModelVersion, TrainingRun


@dataclass(frozen=True, slots=True)
class World:
    """A site that has something of everything, and the people who look at it."""

    user: User
    guarded: User
    operator: User
    dataset: Dataset
    dataset_import: DatasetImport
    run: TrainingRun
    running: TrainingRun
    version: ModelVersion
    evaluation: Evaluation
    evaluating: Evaluation
    prediction: Prediction
    batch: BatchJob
    token: str
    share: str

    def person(self, who: str) -> User | None:
        """Return who looks at a page; None is a stranger."""
        return {"user": self.user, "guarded": self.guarded, "operator": self.operator}.get(who)


def make_world(dataset_folder: str) -> World:
    """Fill the database; `dataset_folder` has a dataset's arrays."""
    user = UserFactory.create(username="ada", email="ada@example.org", groups=["user"])
    guarded = UserFactory.create(username="alan", groups=["user"])
    TOTP.activate(guarded, generate_totp_secret())
    RecoveryCodes.activate(guarded)
    operator = UserFactory.create(username="grace", groups=["operator", "trainer"], is_staff=True)
    operator.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["training", "classifier"]))
    dataset = DatasetFactory.create(name="photographs", location=dataset_folder)
    run = make_transfer_run(dataset=dataset, owner=operator, log_tail="epoch 1\nepoch 2")
    version = ModelVersionFactory.create(run=run)
    TrainingRun.objects.filter(pk=run.pk).update(metrics=version.manifest["metrics"])
    running = TrainingRunFactory.create(dataset=dataset, owner=operator, status=JobStatus.RUNNING, progress_total=100)
    EpochMetricFactory.create_batch(2, run=running)
    TrainingRunFactory.create(dataset=dataset, owner=operator)
    champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
    own: dict[str, Any] = {"owner": user, "model_version": champion}
    prediction = PredictionFactory.create(**own)
    PredictionFactory.create(**own, out_of_distribution=True)
    return World(
        user=user,
        guarded=guarded,
        operator=operator,
        dataset=dataset,
        dataset_import=DatasetImportFactory.create(status=JobStatus.FAILED, detail="cat/1.png is no image."),
        run=run,
        running=running,
        version=version,
        evaluation=make_evaluation(version, dataset, answers=np.load(dataset.path / "test_labels.npy")),
        evaluating=EvaluationFactory.create(version=champion, dataset=dataset, status=JobStatus.RUNNING),
        prediction=prediction,
        batch=BatchJobFactory.create(owner=user, status=JobStatus.SUCCEEDED, progress_done=2, progress_total=2),
        token=make_token(owner=user, name="laptop", scopes=[Scope.PREDICT], days=30)[0].token_key,
        share=share_prediction(owner=user, pk=prediction.pk).token,
    )


def session_cookie(person: User) -> dict[str, str]:
    """Return the name and value of a cookie with which a browser is signed in as `person`."""
    client = Client()
    client.force_login(person)
    prove(client, person)  # some pages ask for it
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value}


@dataclass(frozen=True, slots=True)
class PageEntry:
    """A page.

    Attributes:
        name: Of its address in the URLconf.
        who: "stranger", "user", "guarded" (with a second factor) or "operator".
        arguments: What the address names, from the world.
        title: Of the entry in a test's report, where an address is listed more than once.
        query: What follows the question mark, from the world.
    """

    name: str
    who: str
    arguments: Callable[[World], list[Any]] = lambda _world: []
    title: str = ""
    query: Callable[[World], dict[str, Any]] | None = None

    def path(self, world: World) -> str:
        """Return the page's address."""
        return reverse(self.name, args=self.arguments(world), query=self.query(world) if self.query else None)


PAGES: Final = (
    PageEntry("account_login", "stranger"),
    PageEntry("account_signup", "stranger"),
    PageEntry("account_reset_password", "stranger"),
    PageEntry("account_reset_password_done", "stranger"),
    PageEntry("account_reset_password_from_key", "stranger", lambda _world: ["0", "old-key"]),
    PageEntry("account_reset_password_from_key_done", "stranger"),
    PageEntry("account_email_verification_sent", "stranger"),
    PageEntry("account_confirm_email", "stranger", lambda _world: ["old-key"]),
    PageEntry("account_inactive", "stranger"),
    PageEntry("learn", "stranger", title="learn-stranger"),
    PageEntry("shared", "stranger", lambda world: [world.share]),
    PageEntry("learn", "operator"),
    PageEntry("classify", "user"),
    PageEntry("history", "user"),
    PageEntry("prediction", "user", lambda world: [world.prediction.pk]),
    PageEntry("prediction_delete", "user", lambda world: [world.prediction.pk]),
    PageEntry("batches", "user"),
    PageEntry("batch", "user", lambda world: [world.batch.pk]),
    PageEntry("batches_cancel", "user", query=lambda world: {"batch": [world.batch.pk]}),
    PageEntry("batches_delete", "user", query=lambda world: {"batch": [world.batch.pk]}),
    PageEntry("tokens", "user"),
    PageEntry("token_revoke", "user", lambda world: [world.token]),
    PageEntry("notifications", "user"),
    PageEntry("account", "user"),
    PageEntry("account_webhook", "user"),
    PageEntry("account_data", "user"),
    PageEntry("account_delete", "user"),
    PageEntry("mfa_index", "user", title="mfa_index-without"),
    PageEntry("mfa_activate_totp", "user"),
    PageEntry("mfa_index", "guarded"),
    PageEntry("mfa_deactivate_totp", "guarded"),
    PageEntry("mfa_view_recovery_codes", "guarded"),
    PageEntry("mfa_generate_recovery_codes", "guarded"),
    PageEntry("mfa_reauthenticate", "guarded"),
    PageEntry("account_email", "user"),
    PageEntry("account_change_password", "user"),
    PageEntry("account_logout", "user"),
    PageEntry("account_reauthenticate", "user"),
    PageEntry("runs", "operator"),
    PageEntry("run_new", "operator"),
    PageEntry("run", "operator", lambda world: [world.run.pk]),
    PageEntry("run", "operator", lambda world: [world.running.pk], title="run-running"),
    PageEntry("run_compare", "operator", query=lambda world: {"run": [world.run.pk, world.running.pk]}),
    PageEntry("runs_cancel", "operator", query=lambda world: {"run": [world.run.pk, world.running.pk]}),
    PageEntry("workers", "operator"),
    PageEntry("versions", "operator"),
    PageEntry("version", "operator", lambda world: [world.version.pk]),
    PageEntry("version_answers", "operator", lambda world: [world.version.pk, 0, 0]),
    PageEntry("evaluation", "operator", lambda world: [world.evaluation.pk]),
    PageEntry("evaluation", "operator", lambda world: [world.evaluating.pk], title="evaluation-running"),
    PageEntry("evaluation_answers", "operator", lambda world: [world.evaluation.pk, 0, 0]),
    PageEntry("version_promote", "operator", lambda world: [world.version.pk]),
    PageEntry("package_import", "operator"),
    PageEntry("datasets", "operator"),
    PageEntry("dataset", "operator", lambda world: [world.dataset.pk]),
    PageEntry("import_new", "operator"),
    PageEntry("import_detail", "operator", lambda world: [world.dataset_import.pk]),
    PageEntry("admin:index", "operator"),
    PageEntry("admin:training_trainingrun_changelist", "operator"),
    PageEntry("admin:training_trainingrun_add", "operator"),
)

NO_PAGES: Final = {
    # Fragments, files and data.
    "classify_answer", "prediction_seen", "prediction_map", "prediction_map_drawing", "prediction_neighbours",
    "shared_picture", "account_archive", "mfa_download_recovery_codes", "prediction_thumbnail", "prediction_original",
    "batch_live", "batch_csv", "batch_jsonl", "run_live", "run_curve", "run_compare_curves", "workers_live",
    "import_live", "evaluation_live", "dataset_sample", "dataset_histogram", "dataset_preview", "metrics",
    # What only forms post to.
    "prediction_share", "prediction_share_revoke", "history_delete", "notification_read",
    "notifications_read", "prediction_label", "prediction_original_delete", "batch_cancel", "batch_resume",
    "batch_delete", "queue_pause", "queue_unpause", "run_control", "run_cancel", "run_resume", "run_clone",
    "run_extend", "run_priority", "version_rollback", "evaluate",
    "evaluation_cancel", "import_cancel", "dataset_accept_copies", "set_language",
    # Reached amid signing in (`test_account.py`), or by ways that are not in use: a code by mail, no password.
    "mfa_authenticate", "account_confirm_login_code", "account_set_password",
    # Swagger and ReDoc draw pages of their own (`test_docs.py`).
    "swagger", "redoc",
}  # fmt: skip
"""Names of addresses at which nobody finds a page."""

_NOT_WALKED: Final = re.compile(r"^(api/|admin/)")


def names_of_addresses() -> set[str]:
    """Return the names of all addresses but those of the API and of the admin panel, which is Django's."""
    return set(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: Any, prefix: str) -> Iterator[str]:
    for pattern in patterns:
        template = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            if not _NOT_WALKED.match(template):
                yield from _walk(pattern.url_patterns, template)
        elif isinstance(pattern, URLPattern) and not _NOT_WALKED.match(template):
            yield str(pattern.name)
