"""A real MLflow server for tests, with something in front of it that can be away, hang, or lose answers.

MLflow's own web application on a loopback port, behind a filter: what it stores is real, and so is what a client sees.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # of clients in this process, which read it at each request
Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]


class Fault(Enum):
    """What happens to a request."""

    NONE = auto()
    REFUSE = auto()  # 503, and nothing is stored
    HANG = auto()  # no answer, and nothing is stored, until the server recovers
    DROP = auto()  # it is stored, and the answer is lost


class MlflowServer:
    """The server and its fault.

    Attributes:
        uri: Where it listens.
        fault: What happens to requests from now on.
        paths: The last part of each request's address, in order.
        on_request: Called with that part before a request is served.
    """

    def __init__(self, application: Application) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_arguments: object) -> None:
                """Say nothing of requests: a thread may outlive the test whose log that would be."""

        self._application = application
        self._released = threading.Event()
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        self.recover()

    def recover(self) -> None:
        """Serve from now on, and forget what was asked."""
        os.environ[_PATIENCE] = "60"  # seconds; for a machine that does much else
        self.fault = Fault.NONE
        self.paths: list[str] = []
        self.on_request: Callable[[str], None] = lambda _path: None
        self._released.set()

    def fail(self, fault: Fault) -> None:
        """Treat requests so from now on."""
        if fault is Fault.HANG:
            os.environ[_PATIENCE] = "1"
            self._released.clear()
        self.fault = fault

    def stop(self) -> None:
        self.recover()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, environment: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environment["PATH_INFO"]).rpartition("/")[2]
        self.paths.append(path)
        self.on_request(path)
        match self.fault:
            case Fault.NONE:
                return self._application(environment, start_response)
            case Fault.REFUSE:
                start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"away"]
            case Fault.DROP:
                b"".join(self._application(environment, lambda *_answer: lambda _data: None))
            case Fault.HANG:
                self._released.wait(60)
        environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start_response("200 OK", [])
        return []


@contextmanager
def run_mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """Serve a new store under `folder`; once in a process, because MLflow keeps it in globals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_PATIENCE, "60")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_TRACKING_URI", "")  # which the server sets, for all of this process
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder / 'mlflow.sqlite3'}")
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(folder / "artifacts"))
        from mlflow.server import app, handlers

        handlers.initialize_backend_stores()
        server = MlflowServer(app)
        try:
            yield server
        finally:
            server.stop()
