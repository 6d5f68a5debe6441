"""The real web server, two processes on one database: promotion while serving, damaged packages, hostile uploads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from classifier.models import Prediction
from tests.tiny_model import crown, picture, register_version
from tests.web_server import FORM, Body, Traffic, Web, form
from training.choices import ModelState
from training.models import ModelVersion

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

PROMISED_SECONDS = 2.0
"""Within which every web process answers with a new champion, on a machine that is not busy with tests."""
LATE_SECONDS = 10.0
"""When an answer of the old champion is a fault on any machine."""


@pytest.fixture
def champion() -> ModelVersion:
    return register_version(state=ModelState.CHAMPION)


def test_both_processes_answer_with_the_new_champion(start_web: Callable[[], Web], champion: ModelVersion) -> None:
    web = start_web()
    web.warm_up(champion)
    other = register_version(shift=1)
    traffic = Traffic(web)
    clients = [threading.Thread(target=traffic.run) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.5)
        crown(other)
        traffic.deadline = time.monotonic() + LATE_SECONDS
        web.wait(lambda: web.count_loads(other) == 2 and traffic.late.total() > 20, "not both processes switched")
    finally:
        traffic.stop.set()
        for client in clients:
            client.join()
    # No request failed, none got one model's answer under the other's name, and none got the old one late.
    assert set(traffic.answers) == {(200, str(champion), 1), (200, str(other), 0)}
    assert set(traffic.late) == {str(other)}
    assert Prediction.objects.filter(model_version=other, class_id=0).count() == traffic.answers[200, str(other), 0]


def test_promotions_and_rollbacks_under_load_lose_and_mix_nothing(
    start_web: Callable[[], Web], champion: ModelVersion
) -> None:
    web = start_web()
    web.warm_up(champion)
    other = register_version(shift=1)
    met: Counter[tuple[int, str, str, int]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            status, body = web.predict(picture(1))
            met[status, body.get("model_version", ""), body.get("model_sha256", ""), body.get("class_id", -1)] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for number in range(6):
            crown((other, champion)[number % 2])
            time.sleep(1.2)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert set(met) == {(200, str(champion), champion.package_sha256, 1), (200, str(other), other.package_sha256, 0)}


def test_a_damaged_package_leaves_the_loaded_model_serving(
    start_web: Callable[[], Web], champion: ModelVersion
) -> None:
    web = start_web()
    web.warm_up(champion)
    damaged = register_version(shift=2)
    graph = damaged.path / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    crown(damaged)
    time.sleep(PROMISED_SECONDS)
    answers = [web.predict(picture(1)) for _ in range(20)]
    assert {(status, body["model_version"]) for status, body in answers} == {(200, str(champion))}
    assert web.ask("GET", "/api/v1/ready")[0] == 200
    fresh = start_web()
    status, body = fresh.ask("GET", "/api/v1/ready")
    assert (status, body["errors"][0]["code"]) == (503, "model_not_ready")
    assert fresh.predict(picture(1))[0] == 503
    assert fresh.ask("GET", "/api/v1/health")[0] == 200
    graph.write_bytes(whole)


def test_uploads_over_a_real_connection(start_web: Callable[[], Web], champion: ModelVersion) -> None:
    web = start_web()

    def chunks(data: bytes, size: int = 5000) -> Iterator[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    kind = {"Content-Type": FORM}
    chunked = {**kind, "Transfer-Encoding": "chunked"}
    small, large = form(picture(3)), form(b"x" * (11 * 1024 * 1024))
    status, body = web.ask("POST", "/api/v1/predict", chunks(small), **chunked)
    assert (status, body["class_key"]) == (200, "cat")
    assert web.ask("POST", "/api/v1/predict", small[:-10], **kind)[0] == 400
    assert _status_of_large_upload(web, large, kind) == 413
    assert _status_of_large_upload(web, chunks(large), chunked) == 413
    assert Prediction.objects.count() == 1
    # A client that leaves in the middle of its upload disturbs nobody and leaves nothing.
    with socket.create_connection(("127.0.0.1", web.port)) as rude:
        head = f"POST /api/v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {web.token}\r\n"
        rude.sendall(f"{head}Content-Type: {FORM}\r\nContent-Length: {len(small)}\r\n\r\n".encode() + small[:50])
    assert web.predict(picture(4))[1]["class_key"] == "deer"
    assert Prediction.objects.count() == 2


def _status_of_large_upload(web: Web, body: Body, headers: dict[str, str]) -> int:
    """Send what is refused before it is read whole; the server may close the connection while we still send."""
    connection = web.connect()
    headers = {"Authorization": f"Token {web.token}", **headers}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer is there already
        connection.request("POST", "/api/v1/predict", body, headers, encode_chunked=True)
    try:
        return connection.getresponse().status
    finally:
        connection.close()
