"""The real web server in processes of its own on the test's database, and clients that ask it.

Nothing here may import Django's models at the top: pytest loads this file before Django is set up.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cifarsite.web import granian_command
from tests.fixtures import shared_environment
from training.processes import kill_group, spawn

if TYPE_CHECKING:
    from training.models import ModelVersion

PATIENCE_SECONDS = 60.0
Body = bytes | Iterator[bytes] | None
BOUNDARY = "XboundaryX"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    return head + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass
class Web:
    """A running web server."""

    port: int
    token: str
    process: subprocess.Popen[str]
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method: str, path: str, body: Body = None, **headers: str) -> tuple[int, dict[str, Any]]:
        connection = self.connect()
        try:
            headers = {"Authorization": f"Token {self.token}", **headers}
            connection.request(method, path, body, headers, encode_chunked=True)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def predict(self, data: bytes) -> tuple[int, dict[str, Any]]:
        return self.ask("POST", "/api/v1/predict", form(data), **{"Content-Type": FORM})

    def count_loads(self, version: ModelVersion) -> int:
        """Return how many processes have said that they answer with `version`."""
        return self.log.read_text().count(f"Model version {version} (")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()[-4000:]}"
            time.sleep(0.05)

    def is_up(self) -> bool:
        try:
            return self.ask("GET", "/api/v1/health")[0] == 200
        except OSError:
            return False

    def warm_up(self, version: ModelVersion) -> None:
        """Ask until both processes have loaded `version`."""
        from tests.tiny_model import picture

        def both() -> bool:
            self.predict(picture(0))
            return self.count_loads(version) == 2

        self.wait(both, f"not both processes loaded {version}")


@pytest.fixture
def start_web(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Web]]:
    """Return a function that starts a server with two processes on the test's database, and variables of its own."""
    from cifarsite.accounts.models import ApiToken, User

    started: list[Web] = []
    owner = User.objects.create(username="ada")
    _row, token = ApiToken.objects.create(user=owner)

    def start(**variables: str) -> Web:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tmp_path / f"web{len(started)}.log"
        environment = {"CIFARSITE_HTTPS": "false", "ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "INFO"}
        with log.open("w") as stream:
            process = spawn(
                granian_command("127.0.0.1", port),
                env={**shared_environment(), **environment, **variables},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        web = Web(port=port, token=str(token), process=process, log=log)
        started.append(web)
        web.wait(web.is_up, "the server does not answer")
        return web

    yield start
    for web in started:
        kill_group(web.process)


@dataclass
class Traffic:
    """Clients that never stop asking; what they were answered, by (status, version, class)."""

    web: Web
    answers: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    deadline: float = float("inf")
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop."""
        from tests.tiny_model import picture

        while not self.stop.is_set():
            asked_at = time.monotonic()
            status, body = self.web.predict(picture(1))
            self.answers[status, body.get("model_version", ""), body.get("class_id", -1)] += 1
            if asked_at > self.deadline:
                self.late[body.get("model_version", "")] += 1


def begin_archive_upload(port: int, *, session: str, declared: int, sent: int) -> socket.socket:
    """Send the first bytes of an archive that is to become a dataset; returns the open connection.

    Args:
        port: Of the server.
        session: The session's key of somebody who may import.
        declared: How many bytes the request says that it has.
        sent: How many bytes of the archive are sent.

    Raises:
        OSError: the server does not take them.
    """
    token = "a" * 32
    head = (
        f"POST /data/new/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: sessionid={session}; csrftoken={token}\r\n"
        f"X-CSRFToken: {token}\r\nContent-Type: {FORM}\r\nContent-Length: {declared}\r\n\r\n"
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="upload"; filename="a.zip"\r\n\r\n'
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(head.encode() + b"x" * sent)
    return connection
