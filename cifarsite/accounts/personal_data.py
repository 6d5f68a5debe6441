"""Everything of one person as one ZIP archive, written while it is sent: memory stays flat whatever its length."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from cifarsite.accounts.models import ApiToken, Notification, User
from cifarsite.accounts.notifications import describe
from cifarsite.accounts.streamed_zip import Entry, write_zip
from cifarsite.accounts.token_serializers import token_body
from cifarsite.accounts.webhooks import notice_body
from classifier.activation_maps import seen_pixels
from classifier.api.export_views import write_csv
from classifier.api.serializers import answer_body
from classifier.batches.bodies import batch_body, json_lines
from classifier.drawings import draw_pixels
from classifier.history import class_keys_of, iterate_predictions
from classifier.models import BatchJob, Original, Prediction
from classifier.querysets import Wanted
from training.jobs import Job
from training.models import DatasetImport, Evaluation, TrainingRun

_CHUNK: Final = 200
_ENDINGS: Final = {"image/jpeg": "jpg"}


def write_archive(owner: User, *, language: str) -> Iterator[bytes]:
    """Yield the archive of a person's data, with its words in `language`; only they may be given it."""
    with translation.override(language):  # the caller has answered when the first part is asked for
        yield from write_zip(_entries(owner))


def _entries(owner: User) -> Iterator[Entry]:
    yield Entry("README.txt", [_explain().encode()])
    yield Entry("profile.json", [_as_json(_profile(owner))])
    tokens: QuerySet[ApiToken] = ApiToken.objects.owned_by(owner)
    yield Entry("tokens.json", [_as_json([token_body(token) for token in tokens])])
    yield Entry("notifications.jsonl", _lines(Notification.objects.owned_by(owner), _notices))
    yield Entry("runs.jsonl", _lines(TrainingRun.objects.filter(owner=owner).select_related("dataset"), _runs))
    yield Entry("imports.jsonl", _lines(DatasetImport.objects.filter(owner=owner), _imports))
    evaluations = Evaluation.objects.filter(owner=owner).select_related("dataset")
    yield Entry("evaluations.jsonl", _lines(evaluations, _evaluations))
    batches = BatchJob.objects.with_version().owned_by(owner)
    yield Entry("batches.jsonl", _lines(batches, lambda rows: [batch_body(job) for job in rows]))
    for page in _chunks(batches):
        for job in page:
            yield Entry(f"batches/{job.pk}.jsonl", (part.encode() for part in json_lines(job)))
    yield Entry("predictions.csv", (part.encode() for part in write_csv(owner, Wanted())))
    yield Entry("predictions.jsonl", _predictions(owner))
    yield from _pictures(owner)


def _explain() -> str:
    return _(
        "This is what the site keeps of you. Files ending in .jsonl hold one JSON object a line.\n"
        "predictions: your history, with the pictures in thumbnails/, what the model saw of them in seen/, and the "
        "files that you had kept in originals/.\n"
        "batches: your batches, with their answers in batches/. Tokens are listed without the tokens themselves.\n"
    )


def _profile(owner: User) -> dict[str, Any]:
    addresses = EmailAddress.objects.filter(user=owner).order_by("pk")
    webhook = getattr(owner, "webhook", None)
    return {
        "username": owner.username,
        "first_name": owner.first_name,
        "last_name": owner.last_name,
        "email": owner.email or None,
        "addresses": [{"email": row.email, "confirmed": row.verified, "primary": row.primary} for row in addresses],
        "groups": sorted(owner.groups.values_list("name", flat=True)),
        "joined": owner.date_joined,
        "last_login": owner.last_login,
        "language": owner.language or None,
        "time_zone": owner.time_zone or None,
        "wants_mail": owner.wants_mail,
        "webhook": urlsplit(webhook.url).hostname if webhook else None,
    }


def _notices(rows: list[Notification]) -> list[dict[str, Any]]:
    return [notice_body(notice) for notice in describe(rows)]


def _runs(rows: list[TrainingRun]) -> list[dict[str, Any]]:
    own = ("status", "reason", "detail", "recipe", "config", "metrics", "wall_seconds")
    return [{**_job(run), "dataset": run.dataset.name, **{name: getattr(run, name) for name in own}} for run in rows]


def _imports(rows: list[DatasetImport]) -> list[dict[str, Any]]:
    own = ("status", "reason", "detail", "name", "source", "notes")
    return [{**_job(job), **{name: getattr(job, name) for name in own}} for job in rows]


def _evaluations(rows: list[Evaluation]) -> list[dict[str, Any]]:
    own = ("status", "reason", "detail", "with_augmentation", "report")
    return [
        {
            **_job(job),
            "version": f"v{job.version_id}",
            "dataset": job.dataset.name,
            **{name: getattr(job, name) for name in own},
        }
        for job in rows
    ]


def _job(job: Job) -> dict[str, Any]:
    moments = ("requested_at", "started_at", "finished_at")
    return {"id": job.pk, **{name: getattr(job, name) for name in moments}}


def _predictions(owner: User) -> Iterator[bytes]:
    for rows in iterate_predictions(owner=owner, wanted=Wanted()):
        keys = class_keys_of(rows)
        bodies = [_prediction(row, class_keys=keys[row.model_version_id]) for row in rows]
        yield b"".join(_as_json(body) + b"\n" for body in bodies)


def _prediction(row: Prediction, *, class_keys: list[str]) -> dict[str, Any]:
    own = ("created_at", "file_name", "source", "width", "height")
    return {
        **answer_body(row, class_keys=class_keys),
        **{name: getattr(row, name) for name in own},
        "label": row.label_key or None,
        "shared_since": row.share.created_at if hasattr(row, "share") else None,
        "thumbnail": f"thumbnails/{row.pk}.jpg",
        "original": _original_name(row.original) if hasattr(row, "original") else None,
    }


def _pictures(owner: User) -> Iterator[Entry]:
    for page in _chunks(Prediction.objects.owned_by(owner).only("thumbnail", "pixels")):
        for row in page:
            yield Entry(f"thumbnails/{row.pk}.jpg", [bytes(row.thumbnail)], is_picture=True)
            if (pixels := seen_pixels(row)) is not None:
                yield Entry(f"seen/{row.pk}.png", [draw_pixels(pixels)], is_picture=True)
    for originals in _chunks(Original.objects.owned_by(owner).defer("data")):
        for original in originals:  # its file is read now, and no other's with it
            yield Entry(_original_name(original), [bytes(original.data)], is_picture=True)


def _original_name(original: Original) -> str:
    ending = _ENDINGS.get(original.media_type, original.media_type.rpartition("/")[2])
    return f"originals/{original.pk}.{ending}"


def _lines(rows: Any, bodies: Callable[[list[Any]], list[dict[str, Any]]]) -> Iterator[bytes]:  # noqa: ANN401  # a queryset
    for page in _chunks(rows):
        yield b"".join(_as_json(body) + b"\n" for body in bodies(page))


def _chunks(rows: Any) -> Iterator[list[Any]]:  # noqa: ANN401  # a queryset of any model
    """Yield a queryset's rows by key, some at a time."""
    found: list[Model] = list(rows.order_by("-pk")[:_CHUNK])
    while found:
        yield found
        found = list(rows.filter(pk__lt=found[-1].pk).order_by("-pk")[:_CHUNK])


def _as_json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, cls=DjangoJSONEncoder).encode()
