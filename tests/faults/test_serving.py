"""The files of the model that serves go bad, and champions change while everybody asks."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable

import pytest

from tests.tiny_model import picture, register_version
from tests.web_server import Traffic, Web
from training.choices import ModelState
from training.models import ModelVersion
from training.services import promote_version

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

CHANGES = 4


@pytest.fixture
def champion() -> ModelVersion:
    return register_version(state=ModelState.CHAMPION)


def delete(version: ModelVersion) -> None:
    shutil.rmtree(version.path)


def corrupt(version: ModelVersion) -> None:
    graph = version.path / "model.onnx"
    data = graph.read_bytes()
    graph.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("damage", [delete, corrupt])
def test_a_champion_whose_files_go_bad_goes_on_where_it_is_loaded(
    start_web: Callable[[], Web], champion: ModelVersion, damage: Callable[[ModelVersion], None]
) -> None:
    web = start_web()
    web.warm_up(champion)
    damage(champion)
    answers = [web.predict(picture(1)) for _ in range(20)]
    assert {(status, body["model_version"], body["class_id"]) for status, body in answers} == {(200, str(champion), 1)}
    fresh = start_web()
    status, body = fresh.ask("GET", "/api/v1/ready")
    assert (status, body["errors"][0]["code"]) == (503, "model_not_ready")
    assert fresh.predict(picture(1))[0] == 503
    assert fresh.ask("GET", "/api/v1/health")[0] == 200


def test_promotions_and_rollbacks_under_load(start_web: Callable[[], Web], champion: ModelVersion) -> None:
    web = start_web()
    web.warm_up(champion)
    other = register_version(shift=1)
    traffic = Traffic(web)
    clients = [threading.Thread(target=traffic.run) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for change in range(CHANGES):
            version, answer = (champion, 1) if change % 2 else (other, 0)
            promote_version(version=version, by=None)
            champion.refresh_from_db()
            other.refresh_from_db()
            known = traffic.answers[200, str(version), answer]
            web.wait(lambda: traffic.answers[200, str(version), answer] > known + 10, f"{version} does not answer")  # noqa: B023
    finally:
        traffic.stop.set()
        for client in clients:
            client.join()
    assert champion.state == ModelState.CHAMPION
    # No request failed, and none got one model's answer under the other's name.
    assert set(traffic.answers) == {(200, str(champion), 1), (200, str(other), 0)}
