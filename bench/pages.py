"""How long the server takes for each page when the site has been used for long, and what a first visit loads.

    python -m bench.pages [--predictions 100000] [--runs 1000] [--epochs 200000] [--items 100000] [--requests 20]

Each page is asked for in this process, with all middleware, by an administrator who owns the rows; milliseconds are
those until the last byte of the answer is made, on the clock and of this process's processor time, which other programs
on the machine (their number is noted as its load) do not lengthen as much. SQLite without
DATABASE_URL, else a database of its own on that server. What a first visit loads is the HTML as it is answered, and
every style, script, font and picture that it names or that those name, compressed as WhiteNoise stores them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.installed import installed
from bench.machine import RESULTS, save_result
from bench.page_rows import Sizes, Used, fill

if TYPE_CHECKING:
    from django.test import Client

TARGET_MS: Final = 100
TARGET_BYTES: Final = 200 * 1024
# Static files as they lie, on both databases: what they take when compressed is calculated here.
_PLAIN: Final = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
_PACKED: Final = {".woff2", ".png", ".jpg", ".webp"}  # gzip gains nothing on them, and WhiteNoise leaves them
_NAMED: Final = {
    ".css": re.compile(r"""url\(["']?([^"')]+)["']?\)"""),
    ".js": re.compile(r"""^import\b[^"']*["']([^"']+)["']""", re.MULTILINE),
}


def list_pages(used: Used) -> dict[str, str]:
    """Return the address of each page under the name that the table shows."""
    history = "/history/?"
    batch = f"/batches/{used.batch}/"
    return {
        "classify": "/",
        "history": "/history/",
        "history, in its middle": f"{history}before={used.middle}",
        "history, one class": f"{history}class_key=cat",
        "history, one model and way": f"{history}version={used.version}&source=command",
        "history, answers said to be wrong": f"{history}said=wrong",
        "history, sure ones of a day": f"{history}sure_from=99&day_from=2020-01-01",
        "history, a day on which nothing was": f"{history}day_to=2020-01-01",
        "history, a name that is nowhere": f"{history}name=nowhere",
        "prediction": f"/history/{used.prediction}/",
        "delete a prediction": f"/history/{used.prediction}/delete/",
        "batches": "/batches/",
        "batch": batch,
        "batch, its end": f"{batch}?start=99950",
        "batch, one class": f"{batch}?show=class:cat",
        "batch, errors": f"{batch}?show=errors",
        "batch, unsure": f"{batch}?show=unsure",
        "batch, wrong": f"{batch}?show=wrong",
        "runs": "/training/",
        "runs, the last page": f"/training/?page={used.run_pages}",
        "runs, failed": "/training/?status=failed",
        "run": f"/training/{used.run}/",
        "run, refreshed": f"/training/{used.run}/live/",
        "run, its curves": f"/training/{used.run}/curve.json",
        "compare two runs": f"/training/compare/?run={used.run}&run={used.run - 1}",
        "compare six runs": "/training/compare/?" + "&".join(f"run={used.run - back}" for back in range(6)),
        "compare six runs, their curves": "/training/compare/curves.json?"
        + "&".join(f"run={used.run - back}" for back in range(6)),
        "new run": "/training/new/",
        "workers": "/workers/",
        "models": "/models/",
        "model": f"/models/{used.version}/",
        "model, behind one cell": f"/models/{used.version}/answers/3/5/",
        "promote": f"/models/{used.candidate}/promote/",
        "import a model": "/models/import/",
        "data": "/data/",
        "dataset": f"/data/{used.dataset}/",
        "import data": "/data/new/",
        "learn": "/learn/",
        "notifications": "/notifications/",
        "account": "/account/",
        "delete the account": "/account/delete/",
        "second factor": "/accounts/2fa/",
        "tokens": "/tokens/",
        "e-mail": "/accounts/email/",
        "password": "/accounts/password/change/",
        "API, Swagger": "/docs",
        "API, ReDoc": "/redoc",
        "admin": "/admin/",
        "admin, runs": "/admin/training/trainingrun/",
        "admin, batches": "/admin/classifier/batchjob/",
        "admin, predictions": "/admin/classifier/prediction/",
    }


def measure_page(client: Client, address: str, *, requests: int) -> dict[str, Any]:
    """Ask for a page again and again; the first two times fill caches and are not counted."""
    from django.db import connection  # noqa: PLC0415  # Django is set up by now
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    taken: list[float] = []
    worked: list[float] = []
    for _request in range(requests + 2):
        began, began_work = time.perf_counter(), time.process_time()
        response = client.get(address, follow=True)
        taken.append(1e3 * (time.perf_counter() - began))
        worked.append(1e3 * (time.process_time() - began_work))
        assert response.status_code == 200, (address, response.status_code)
    with CaptureQueriesContext(connection) as queries:
        body = client.get(address, follow=True).content.decode()
    count = len(queries)  # the next request forgets them
    packed = client.get(address, follow=True, headers={"Accept-Encoding": "gzip"}).content
    return {
        "median_ms": round(statistics.median(taken[2:]), 1),
        "worst_ms": round(max(taken[2:]), 1),
        "processor_ms": round(statistics.median(worked[2:]), 1),
        "queries": count,
        "first_load_kib": round((len(packed) + sum(_loaded(body).values())) / 1024, 1),
    }


def _loaded(html: str) -> dict[str, int]:
    """Return what a page loads and what each file takes on its way."""
    tags = re.findall(r"<(?:link|script|img|use)\b[^>]*>", html)
    names = [match[1] for tag in tags for match in re.finditer(r'(?:href|src)="(/static/[^"#?]+)', tag)]
    sizes: dict[str, int] = {}
    while names:
        name = names.pop()
        if name not in sizes:
            sizes[name], further = _sent(name)
            names += further
    return sizes


def _sent(name: str) -> tuple[int, list[str]]:
    """Return the bytes of a static file as it is sent, and the files that it names."""
    from django.contrib.staticfiles import finders  # noqa: PLC0415

    found = finders.find(name.removeprefix("/static/"))
    assert isinstance(found, str), name
    path, folder = Path(found), Path(name).parent
    data = path.read_bytes()
    size = len(data) if path.suffix in _PACKED else len(gzip.compress(data, 9, mtime=0))
    pattern = _NAMED.get(path.suffix)
    named = [] if pattern is None else pattern.findall(data.decode())
    return size, [os.path.normpath(folder / one) for one in named if not one.startswith(("data:", "#", "http"))]


def measure(sizes: Sizes, *, requests: int) -> dict[str, Any]:
    """Fill the database that Django was set up with, and measure each page on it."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client, override_settings  # noqa: PLC0415

    from cifarsite.bootstrap import ensure_champion  # noqa: PLC0415
    from training.models import ModelVersion  # noqa: PLC0415

    ensure_champion()
    version = ModelVersion.objects.champion()
    assert version is not None
    owner = get_user_model().objects.create_superuser("bench", "bench@example.org", "bench")
    began = time.perf_counter()
    used = fill(owner, version=version, sizes=sizes)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    with override_settings(STORAGES=_PLAIN):
        return {name: _tell(client, name, address, requests) for name, address in list_pages(used).items()}


def _tell(client: Client, name: str, address: str, requests: int) -> dict[str, Any]:
    """Measure a page and print its line."""
    figures = measure_page(client, address, requests=requests)
    marks = " slow" if figures["median_ms"] > TARGET_MS else ""
    marks += " heavy" if figures["first_load_kib"] > TARGET_BYTES / 1024 else ""
    print(
        f"{name:<40} {figures['median_ms']:>7.1f} ms, worst {figures['worst_ms']:>7.1f} ms, "
        f"{figures['processor_ms']:>6.1f} ms of the processor, "
        f"{figures['queries']:>2} queries, {figures['first_load_kib']:>6.1f} KiB{marks}",
        flush=True,
    )
    return figures


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=100_000, help="answers of the largest batch")
    parser.add_argument("--requests", type=int, default=20, help="counted requests of each page")
    parser.add_argument("--no-save", action="store_true", help="print only")
    arguments = parser.parse_args()
    sizes = Sizes(arguments.predictions, arguments.runs, arguments.epochs, arguments.items)
    is_embedded = not os.environ.get("DATABASE_URL")
    with (
        tempfile.TemporaryDirectory(prefix="bench-pages-") as folder,
        installed(Path(folder), is_embedded=is_embedded, settings={}),
    ):
        rows = measure(sizes, requests=arguments.requests)
    if not arguments.no_save:
        save_pages("SQLite" if is_embedded else "PostgreSQL", sizes, rows, requests=arguments.requests)
    return 0


def save_pages(database: str, sizes: Sizes, rows: dict[str, Any], *, requests: int) -> None:
    """Save the figures of one database beside those of the other that were measured earlier."""
    path = RESULTS / "pages.json"
    earlier = json.loads(path.read_text())["databases"] if path.is_file() else {}
    measured = {"load_average": [round(load, 1) for load in os.getloadavg()], "pages": rows}
    figures = {"rows": asdict(sizes), "requests": requests, "databases": {**earlier, database: measured}}
    save_result("pages.json", figures, packages=("django",))


if __name__ == "__main__":
    sys.exit(main())
