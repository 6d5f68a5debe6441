"""The web server is killed while an archive arrives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from cifarsite.accounts.models import User
from tests.web_server import Web, begin_archive_upload
from training.models import DatasetImport
from training.processes import kill_group
from training.sweeper import sweep

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

MEBIBYTE = 1024 * 1024
DECLARED, SENT = 40 * MEBIBYTE, 25 * MEBIBYTE  # more than is kept in memory


def test_a_killed_web_server_leaves_no_row_and_no_file(
    start_web: Callable[[], Web], artifacts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    web = start_web()
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    session = client.cookies["sessionid"].value
    with begin_archive_upload(web.port, session=session, declared=DECLARED, sent=SENT):
        time.sleep(1)  # it has been written to wherever it goes
        kill_group(web.process)
    assert not DatasetImport.objects.exists()
    sweep()
    assert [path for path in (*temporary.rglob("*"), *artifacts_root.rglob("*")) if path.is_file()] == []
