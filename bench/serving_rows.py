"""What rows of the history cost, for `bench.serve`: to write one, and to list them when there are many.

    python -m bench.serving_rows --threads 8 --predictions 2000 --history 100000 1000000

Runs under the site's own environment, without a web server, and prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.test import override_settings

from bench.serving_site import USERNAME, make_picture

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.models import Prediction
    from training.models import ModelVersion

ROUNDS = 5
LISTINGS = 20
CHUNK = 2000


@dataclass
class Answers:
    """Makes answered pictures of one person."""

    owner: User
    version: ModelVersion
    thumbnail: bytes

    def make(self, numbers: Iterable[int]) -> list[Prediction]:
        """Return rows that are not saved, one for each number."""
        from classifier.models import Prediction  # noqa: PLC0415  # Django is set up by now

        keys = self.version.class_keys
        return [
            Prediction(
                owner=self.owner,
                source="api",
                file_name=f"picture-{number}.jpg",
                width=32,
                height=32,
                thumbnail=self.thumbnail,
                model_version=self.version,
                model_sha256=self.version.package_sha256,
                class_id=number % len(keys),
                class_key=keys[number % len(keys)],
                confidence=0.91,
                probabilities=[0.01] * (len(keys) - 1) + [0.91],
                latency_ms=1.5,
            )
            for number in numbers
        ]


def measure_writes(answers: Answers, *, threads: int, predictions: int) -> list[dict[str, Any]]:
    """Write rows alone and from several threads, each by its own commit and gathered; medians of the rounds."""
    from classifier.history_rows import record  # noqa: PLC0415

    def save(row: Prediction) -> None:
        row.save(force_insert=True)

    kinds: list[tuple[str, int, Callable[[Prediction], None]]] = [
        ("each its own, by the ORM", 1, save),
        ("alone, direct", 1, record),
        ("each its own, by the ORM", threads, save),
        ("gathered", threads, record),
    ]
    seconds: dict[int, list[float]] = {index: [] for index in range(len(kinds))}
    processor: dict[int, list[float]] = {index: [] for index in range(len(kinds))}
    for _round in range(ROUNDS):
        for index, (_name, count, write) in enumerate(kinds):
            rows = answers.make(range(predictions))
            began, began_processor = time.perf_counter(), time.process_time()
            _write(rows, count, write)
            seconds[index].append(time.perf_counter() - began)
            processor[index].append(time.process_time() - began_processor)
    return [
        {
            "how": name,
            "threads": count,
            "rows_per_second": round(predictions / statistics.median(seconds[index]), 1),
            "ms_per_row": round(1e3 * statistics.median(seconds[index]) / predictions, 4),
            "processor_ms_per_row": round(1e3 * statistics.median(processor[index]) / predictions, 4),
        }
        for index, (name, count, _write_row) in enumerate(kinds)
    ]


def _write(rows: Sequence[Prediction], threads: int, write: Callable[[Prediction], None]) -> None:
    from django.db import connection  # noqa: PLC0415

    def work(start: int) -> None:
        for row in rows[start::threads]:
            write(row)
        connection.close()

    workers = [threading.Thread(target=work, args=(start,)) for start in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def measure_history(answers: Answers, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Fill the history up to each size and list its newest page, a page in its middle and one class."""
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from classifier.models import Prediction  # noqa: PLC0415

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(answers.owner, backend="django.contrib.auth.backends.ModelBackend")
    figures = []
    for size in sorted(sizes):
        for start in range(Prediction.objects.count(), size, CHUNK):
            Prediction.objects.bulk_create(answers.make(range(start, min(size, start + CHUNK))))
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        middle = Prediction.objects.order_by("-pk")[size // 2].pk
        for page in ("", f"?before={middle}", "?class_key=cat"):
            address = f"/history/{page}"
            assert client.get(address).status_code == 200, address
            taken = []
            for _listing in range(LISTINGS):
                began = time.perf_counter()
                client.get(address)
                taken.append(1e3 * (time.perf_counter() - began))
            with CaptureQueriesContext(connection) as queries:
                client.get(address)
            shown = "/history/?before=…" if "before" in page else address
            figures.append(
                {"rows": size, "page": shown, "median_ms": round(statistics.median(taken), 2), "queries": len(queries)}
            )
    return figures


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--predictions", type=int, default=2000, help="rows of each round")
    parser.add_argument("--history", type=int, nargs="*", default=[100_000, 1_000_000], help="rows")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
    django.setup()
    from cifarsite.accounts.models import User  # noqa: PLC0415
    from training.models import ModelVersion  # noqa: PLC0415

    champion = ModelVersion.objects.champion()
    assert champion is not None
    answers = Answers(User.objects.get(username=USERNAME), champion, make_picture())
    writes = measure_writes(answers, threads=options.threads, predictions=options.predictions)
    # Production's names of static files would have to be collected first.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
        history = measure_history(answers, options.history)
    print(json.dumps({"stored_prediction": writes, "history": history}))


if __name__ == "__main__":
    main()
