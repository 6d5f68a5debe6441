"""Promotions while programs ask, for `bench.serve`: no request may fail, and no answer may mix two models.

    python -m bench.serving_swaps URL TOKEN --promotions 1000 [--pause 1.0]

Runs under the site's own environment and prints JSON. Every web process looks for a new champion once a second, so a
shorter pause than that makes promotions which nobody sees.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import django

from bench.serving_site import FORM, make_form, make_picture
from training.engine.constants import PACKAGE_FILES
from training.engine.package import seal_package

if TYPE_CHECKING:
    from training.models import ModelVersion

CLIENTS = 4


@dataclass
class Crowd:
    """Clients that never stop asking, and what they were answered."""

    url: str
    token: str
    sha256_of: dict[str, str]
    answers: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    errors: int = 0
    mixed: int = 0
    swaps_seen: int = 0

    def run(self) -> None:
        """Ask over one connection until told to stop."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        headers, body = {"Authorization": f"Token {self.token}", "Content-Type": FORM}, make_form(make_picture())
        last = ""
        while not self.stop.is_set():
            try:
                connection.request("POST", address.path, body, headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                self.errors += 1
                continue
            if response.status != http.HTTPStatus.OK:
                self.errors += 1
                continue
            name = answer["model_version"]
            self.answers[name] += 1
            self.mixed += self.sha256_of.get(name) != answer["model_sha256"]
            self.swaps_seen += bool(last) and name != last
            last = name


def make_rival(champion: ModelVersion) -> ModelVersion:
    """Register another version with the champion's weights and a manifest, so a hash, of its own."""
    from training.registry import register_package  # noqa: PLC0415  # Django is set up by now

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "draft")
        draft.mkdir()
        for name in PACKAGE_FILES:
            shutil.copy(champion.path / name, draft / name)
        manifest = {key: value for key, value in champion.manifest.items() if key not in {"schema", "files"}}
        return register_package(seal_package(draft, {**manifest, "seed": manifest["seed"] + 1}, Path(folder)))


def main() -> None:
    """Promote in turn, and print what the crowd met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--promotions", type=int, default=1000)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds from one promotion to the next")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
    django.setup()
    from training.models import ModelVersion  # noqa: PLC0415
    from training.services import promote_version  # noqa: PLC0415

    champion = ModelVersion.objects.champion()
    assert champion is not None
    pair = [make_rival(champion), champion]
    crowd = Crowd(options.url, options.token, {str(version): version.package_sha256 for version in pair})
    clients = [threading.Thread(target=crowd.run) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for number in range(options.promotions):
        version = ModelVersion.objects.get(pk=pair[number % 2].pk)
        promote_version(version=version, by=None)
        time.sleep(options.pause)
    crowd.stop.set()
    for client in clients:
        client.join()
    figures = {
        "promotions": options.promotions,
        "pause_seconds": options.pause,
        "requests": crowd.answers.total(),
        "errors": crowd.errors,
        "mixed_answers": crowd.mixed,
        "swaps_seen_by_clients": crowd.swaps_seen,
        "clients": CLIENTS,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
