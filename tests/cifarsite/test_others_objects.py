"""What belongs to one person is not there for another: every address of the site that names a thing, and every verb.

The addresses are the URLconf's: one that is added later fails here until it stands in one of the two lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from cifarsite.accounts.models import ApiToken, Notification, User
from classifier.sharing import share_prediction
from tests.api_fixtures import make_token
from tests.evaluations import make_evaluation
from tests.factories import (
    BatchJobFactory,
    DatasetFactory,
    OriginalFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
)
from training.choices import JobStatus
from training.models import ModelVersion, TrainingRun
from training.storage import artifacts

pytestmark = pytest.mark.django_db

VERBS: Final = ("get", "head", "post", "put", "patch", "delete")
NOT_OURS: Final = ("accounts/", "admin/", "i18n/")
"""Addresses of libraries, which look after themselves."""


def prediction_of(owner: User) -> object:
    return PredictionFactory.create(owner=owner).pk


def answered_of(owner: User) -> object:
    """One whose model is there, so that it can be asked where it looked."""
    return PredictionFactory.create(owner=owner, model_version=ModelVersion.objects.get()).pk


def original_of(owner: User) -> object:
    return OriginalFactory.create(prediction__owner=owner).pk


def share_of(owner: User) -> object:
    """A prediction with a link."""
    return share_prediction(owner=owner, pk=PredictionFactory.create(owner=owner).pk).pk


def compared_of(owner: User) -> object:
    """One of a person who may see the dataset with whose images its model compares."""
    owner.groups.add(Group.objects.get(name="trainer"))
    dataset = DatasetFactory.create(name="compared")
    folder = artifacts(dataset.location)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "train_images.npy", np.zeros((1, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "train_labels.npy", np.zeros(1, dtype=np.int64))
    make_evaluation(ModelVersion.objects.get(), dataset, answers=[0], vectors=[[1, 0, 0, 0]])
    return answered_of(owner)


def batch_of(owner: User) -> object:
    """One that has ended and may go on."""
    return BatchJobFactory.create(owner=owner, status=JobStatus.CANCELLED, archive="uploads/some").pk


def waiting_batch_of(owner: User) -> object:
    return BatchJobFactory.create(owner=owner).pk


def token_of(owner: User) -> object:
    make_token(owner)
    return ApiToken.objects.get(user=owner).token_key


def notification_of(owner: User) -> object:
    TrainingRun.request_cancel(TrainingRunFactory.create(owner=owner).pk)
    return Notification.objects.get(owner=owner).pk


PRIVATE: Final[dict[str, Callable[[User], object]]] = {
    "history/<int:pk>/": prediction_of,
    "history/<int:pk>/thumbnail.jpg": prediction_of,
    "history/<int:pk>/seen.png": prediction_of,
    "history/<int:pk>/map/": answered_of,
    "history/<int:pk>/map.png": answered_of,
    "history/<int:pk>/neighbours/": compared_of,
    "history/<int:pk>/original": original_of,
    "history/<int:pk>/original/delete/": original_of,
    "history/<int:pk>/share/": prediction_of,
    "history/<int:pk>/share/revoke/": share_of,
    "history/<int:pk>/label/": prediction_of,
    "history/<int:pk>/delete/": prediction_of,
    "tokens/<slug:key>/revoke/": token_of,
    "notifications/<int:pk>/read/": notification_of,
    "api/v1/notifications/<int:pk>/read": notification_of,
    "api/v1/tokens/<slug:key>": token_of,
    "api/v1/predictions/<int:pk>": prediction_of,
    "api/v1/predictions/<int:pk>/label": prediction_of,
    "api/v1/predictions/<int:pk>/seen": prediction_of,
    "api/v1/predictions/<int:pk>/activation_map": answered_of,
    "api/v1/predictions/<int:pk>/activation_map.png": answered_of,
    "api/v1/predictions/<int:pk>/neighbours": compared_of,
    "api/v1/predictions/<int:pk>/original": original_of,
    "api/v1/predictions/<int:pk>/share": share_of,
    "api/v1/predictions/<int:pk>/thumbnail": prediction_of,
    **{
        f"batches/<int:pk>/{page}": batch_of
        for page in ("", "live/", "cancel/", "resume/", "delete/", "results.csv", "results.jsonl")
    },
    **{
        f"api/v1/batches/<int:pk>{part}": batch_of
        for part in ("", "/resume", "/items", "/results.csv", "/results.jsonl")
    },
    "api/v1/batches/<int:pk>/cancel": waiting_batch_of,
}
"""What only its owner sees; the function makes one and returns what the address names it by."""

SHARED: Final = (
    *("training/", "data/", "models/", "shared/"),
    *("api/v1/runs/", "api/v1/queues/", "api/v1/models/", "api/v1/datasets/", "api/v1/evaluations/"),
)
"""Beginnings of addresses of what is shared: by permission, which `tests/training` tests, or by the owner's link."""


def templates() -> list[str]:
    """Return the addresses that name a thing."""
    return sorted(template for template in _walk(get_resolver().url_patterns, "") if "<" in template)


def _walk(patterns: Any, prefix: str) -> Iterator[str]:
    for pattern in patterns:
        template = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            yield template
        elif isinstance(pattern, URLResolver) and not template.startswith(NOT_OURS):
            yield from _walk(pattern.url_patterns, template)


@pytest.mark.parametrize("template", templates())
def test_every_address_is_known_as_private_or_shared(template: str) -> None:
    assert (template in PRIVATE) is not template.startswith(SHARED), (
        f"List {template!r} in PRIVATE, with a function that makes such a thing, or its beginning in SHARED."
    )


def test_no_list_names_what_is_not_there() -> None:
    assert set(PRIVATE) <= set(templates())


def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Return every row of our tables, but for when a token was used."""
    rows = {}
    for model in apps.get_models():
        if model._meta.app_label in {"accounts", "classifier", "training"}:
            rows[model._meta.label] = list(model._default_manager.order_by("pk").values())
    for token in rows["accounts.ApiToken"]:
        del token["last_used_at"]
    return rows


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("who", ["user", "administrator"])
@pytest.mark.parametrize("template", sorted(PRIVATE))
def test_another_person_s_thing_is_not_there(champion: object, template: str, who: str, verb: str) -> None:
    thing = PRIVATE[template](UserFactory.create())
    stranger = UserFactory.create(groups=[who], is_superuser=who == "administrator", is_staff=who == "administrator")
    path = "/" + template.replace("<int:pk>", str(thing)).replace("<slug:key>", str(thing))
    client, content_type = Client(raise_request_exception=False), "application/json"
    if template.startswith("api/"):
        client.defaults["HTTP_AUTHORIZATION"] = f"Token {make_token(stranger)}"
    else:
        client.force_login(stranger)
        content_type = "application/x-www-form-urlencoded"
    before = snapshot()
    response = client.generic(verb.upper(), path, b"{}" if template.startswith("api/") else b"", content_type)
    unknown_verb = verb.upper() not in response.headers.get("Allow", verb.upper())
    assert response.status_code == (405 if unknown_verb else 404)
    assert snapshot() == before


@pytest.mark.parametrize("template", sorted(PRIVATE))
def test_its_owner_finds_it(champion: object, template: str) -> None:
    """Or the test above would prove nothing."""
    owner = UserFactory.create()
    thing = PRIVATE[template](owner)
    path = "/" + template.replace("<int:pk>", str(thing)).replace("<slug:key>", str(thing))
    client = Client()
    client.force_login(owner)
    found = {client.generic(verb.upper(), path).status_code for verb in ("get", "post")}
    found.add(client.put(path, {"label": ""}, content_type="application/json").status_code)
    found.add(client.delete(path).status_code)
    assert 404 not in found
    assert found & {200, 202, 204, 302}
