"""`manage.py up` as a person meets it: real processes, real signals, and every trouble a newcomer can provoke."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not settings.EMBEDDED, reason="it starts an embedded site of its own: once is enough"),
]


class Site:
    """A running `manage.py up`, and what it prints."""

    def __init__(self, var: Path) -> None:
        self.var, self.port = var, free_port()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=site_environment(var, PORT=self.port),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        def find() -> re.Match[str] | None:
            return next((found for line in list(self.lines) if (found := re.search(pattern, line))), None)

        wait_until(lambda: find() is not None or self.process.poll() is not None)
        found = find()
        assert found, "\n".join(self.lines)
        return found

    def wait_until_ready(self) -> None:
        self.wait_for_line(r"^Ready: http://127\.0\.0\.1:\d+$")


def site_environment(var: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CIFARSITE_", "COV_"))}
    return {**inherited, "CIFARSITE_VAR": str(var), "PYTHONUNBUFFERED": "1", **more}


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(var: Path) -> dict[int, str]:
    """Find every live process that was started for the folder, whoever its parent is now."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (entry / "environ").read_bytes().split(b"\0")  # Valkey writes its title over it
            if f"CIFARSITE_VAR={var}".encode() in environment or f"{var}/valkey" in command:
                found[int(entry.name)] = command
        except (OSError, ValueError):
            continue
    return found


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run_up(var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=site_environment(var, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def users(var: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(var / "db.sqlite3") as database:
        return database.execute("SELECT username, password FROM accounts_user ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "var"


@pytest.fixture(scope="module")
def site(var: Path) -> Iterator[Site]:
    with Site(var) as running:
        running.wait_until_ready()
        yield running


def test_it_answers_where_it_says(site: Site) -> None:
    address = site.wait_for_line(r"^Ready: (.*)$").group(1)

    assert address == f"http://127.0.0.1:{site.port}"
    with urllib.request.urlopen(f"{address}/accounts/login/", timeout=30) as answer:  # noqa: S310  # our own
        assert answer.status == 200


def test_the_administrator_can_log_in_with_what_was_printed(site: Site) -> None:
    name = site.wait_for_line(r"^Administrator: (\S+)$").group(1)
    password = site.wait_for_line(r"^Password: (\S+) \(shown only now\)$").group(1)

    ((stored_name, stored_password),) = users(site.var)
    assert name == stored_name == "admin"
    assert check_password(password, stored_password)
    assert not (site.var / "valkey" / "valkey.log").read_text().count(password)


def test_every_process_runs_and_is_named_in_the_log(site: Site) -> None:
    commands = " ".join(processes_of(site.var).values())

    queues = ("--queues training ", "--queues inference,default ", "--queues deliveries ")
    for part in ("valkey-server", "granian", *queues, "beat"):
        assert part in commands
    site.wait_for_line(r"^web +\| ")


def test_a_start_is_quiet(site: Site) -> None:
    site.wait_until_ready()
    lines = [line for line in site.lines if "SecurityWarning" not in line]  # Celery's to root, whom it rightly warns

    assert not [line for line in lines if "Warning" in line or "No directory at" in line]
    assert not [line for line in lines if line.startswith("valkey") and " * " in line]  # its notices


def test_a_second_start_on_the_same_folder_says_so(site: Site) -> None:
    result = run_up(site.var, PORT=free_port())

    assert result.returncode == 1
    assert result.stderr == (
        f"CommandError: The site already runs on {site.var} (process {site.process.pid}): "
        "stop it first, or choose another folder with CIFARSITE_VAR.\n"
    )


def test_a_port_in_use_is_named(site: Site, tmp_path: Path) -> None:
    result = run_up(tmp_path / "other", PORT=site.port)

    assert result.returncode == 1
    assert result.stderr == (
        f"CommandError: Port {site.port} is in use: stop what listens there, or choose another one with PORT=8001.\n"
    )
    assert processes_of(tmp_path / "other") == {}


def test_a_process_that_dies_is_started_again(site: Site) -> None:
    (beat,) = [pid for pid, command in processes_of(site.var).items() if command.rstrip().endswith(" beat")]
    os.kill(beat, signal.SIGKILL)

    site.wait_for_line(r"^up +\| beat ended, killed by SIGKILL; starting it again in 0\.5 s$")
    wait_until(lambda: any(command.rstrip().endswith(" beat") for command in processes_of(site.var).values()))


def test_sigterm_stops_everything(site: Site) -> None:
    site.process.terminate()

    assert site.process.wait(PATIENCE_SECONDS) == 0
    assert processes_of(site.var) == {}


def test_a_second_start_keeps_the_data_and_ctrl_c_ends_it(var: Path) -> None:
    before = users(var)
    with Site(var) as second:
        second.wait_until_ready()
        second.process.send_signal(signal.SIGINT)

        assert second.process.wait(PATIENCE_SECONDS) == 0
        assert not [line for line in second.lines if line.startswith(("Password", "Administrator"))]
    assert users(var) == before
    assert processes_of(var) == {}


def test_nothing_survives_a_killed_supervisor(var: Path) -> None:
    with Site(var) as killed:
        killed.wait_until_ready()
        killed.process.kill()
        killed.process.wait(PATIENCE_SECONDS)

        wait_until(lambda: processes_of(var) == {}, seconds=30)


def test_it_stops_with_the_program_that_started_it(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, 'manage.py', 'up', '--with-parent'])"
    environment = site_environment(tmp_path / "var", PORT=free_port(), CIFARSITE_ADMIN_PASSWORD="from-environment")
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert starter.stdout is not None
    lines = []
    for line in starter.stdout:
        lines.append(line.rstrip())
        if line.startswith("Ready"):
            break
    starter.kill()
    starter.wait()

    wait_until(lambda: processes_of(tmp_path / "var") == {}, seconds=30)
    starter.stdout.close()
    assert "Administrator: admin" in lines
    assert not [line for line in lines if "from-environment" in line]


def make_rubbish(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 1000)


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT)")
        database.execute("INSERT INTO django_migrations VALUES (1, 'training', '9999_from_the_future', '2030-01-01')")
    database.close()


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE accounts_user (name TEXT)")
    database.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_rubbish, "cannot be used: file is not a database. Move it away to start afresh, or restore a backup."),
        (
            make_newer,
            "was written by a newer version of the site (migration training.9999_from_the_future): "
            "update the code, or restore an older backup.",
        ),
        (
            make_foreign,
            'cannot be used: table "accounts_user" already exists. Move it away to start afresh, or restore a backup.',
        ),
    ],
)
def test_a_broken_database_is_named(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    make(tmp_path / "db.sqlite3")

    result = run_up(tmp_path, PORT=free_port())

    assert result.returncode == 1
    assert result.stderr == f"CommandError: The database {tmp_path}/db.sqlite3 {sentence}\n"
    assert result.stdout == ""
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("variable", ["CIFARSITE_VAR", "ARTIFACTS_ROOT"])
@pytest.mark.parametrize("secret_key", ["", "given"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, variable: str, secret_key: str) -> None:
    (tmp_path / "file").touch()

    result = run_up(tmp_path / "var", PORT=free_port(), SECRET_KEY=secret_key, **{variable: str(tmp_path / "file")})

    assert result.returncode == 1
    assert f"{variable}={tmp_path}/file cannot be used: " in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "up.lock").mkdir()

    result = run_up(tmp_path, PORT=free_port())

    assert result.returncode == 1
    assert result.stderr == f"CommandError: [Errno 21] Is a directory: '{tmp_path}/up.lock'\n"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "eighty"}, "PORT='eighty' is not valid: give a number from 1 to 65535."),
        ({"HOST": "192.0.2.1"}, "HOST='192.0.2.1' cannot be listened on: Cannot assign requested address."),
        (
            {"CIFARSITE_ADMIN_USERNAME": "two words"},
            "CIFARSITE_ADMIN_USERNAME='two words' cannot be used: Enter a valid username.",
        ),
        (
            {
                "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
                "REDIS_URL": "redis://127.0.0.1:1",
                "SECRET_KEY": "x",
            },
            "The static files are not collected: run `python manage.py collectstatic` first.",
        ),
    ],
)
def test_a_wrong_wish_is_named(tmp_path: Path, environment: dict[str, str], sentence: str) -> None:
    var = tmp_path / "var"
    result = run_up(var, **{"PORT": free_port(), **environment})

    assert result.returncode == 1
    assert result.stderr.startswith(f"CommandError: {sentence}")
    assert len(result.stderr.splitlines()) == 1
    assert processes_of(var) == {}
