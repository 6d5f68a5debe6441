"""Faults that meet the web server and the packages that it serves, for `bench.faults`.

Django must be set up before this is imported.
"""

from __future__ import annotations

import shutil
import time

from django.test import Client

from bench.fault_site import Site, stub_versions
from cifarsite.accounts.models import User
from tests.tiny_model import crown
from tests.web_server import begin_archive_upload
from training.choices import ModelState
from training.exceptions import ServiceError
from training.models import ModelVersion
from training.processes import kill_group
from training.services import promote_version

MEBIBYTE = 1024 * 1024


def damage_package(site: Site) -> bool:
    """Make a version the champion whose files are wrong: what is loaded has to go on serving."""
    return _crown_damaged(site, delete=False)


def delete_package(site: Site) -> bool:
    """Make a version the champion whose files are gone."""
    return _crown_damaged(site, delete=True)


def _crown_damaged(site: Site, *, delete: bool) -> bool:
    champion = ModelVersion.objects.champion()
    known = {name for _at, name, _class in list(site.visitor_seen())}
    fresh = [version for version in stub_versions() if str(version) not in known and version != champion]
    if champion is None or not fresh or site.damaged_versions:
        return False
    version, graph = fresh[0], fresh[0].path / "model.onnx"
    hidden = version.path.with_name(f".hidden-{version.pk}")
    shutil.copytree(version.path, hidden)
    graph.unlink()
    if not delete:
        graph.write_bytes((hidden / "model.onnx").read_bytes()[:-1] + b"?")
    try:
        promote_version(version=version, by=None)
        site.other_faults.append(f"{version} was promoted although its files are wrong")
    except ServiceError:
        pass
    crown(version)
    site.damaged_versions[str(version)] = time.time()

    def repair() -> None:
        crown(champion)
        shutil.rmtree(version.path)
        hidden.rename(version.path)
        site.repair(str(version))

    site.after(5, repair)
    return True


def promote(site: Site) -> bool:
    """Promote another version while pictures are being classified."""
    others = [version for version in stub_versions()[-20:] if version.state != ModelState.CHAMPION]
    if not others or site.damaged_versions:
        return False
    promote_version(version=site.chance.choice(others), by=None)
    return True


def roll_back(site: Site) -> bool:
    """Promote the version that was the champion before."""
    champion = ModelVersion.objects.champion()
    last = champion.promotions.order_by("-pk").first() if champion else None
    if last is None or last.previous is None or site.damaged_versions:
        return False
    promote_version(version=last.previous, by=None)
    return True


def kill_web(site: Site) -> bool:
    """Kill the web server while an archive of 25 MiB arrives."""
    if site.web is None or not site.web.is_running:
        return False
    root, _new = User.objects.get_or_create(username="root", is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(root)
    session = client.cookies["sessionid"].value
    try:
        with begin_archive_upload(site.web_port, session=session, declared=40 * MEBIBYTE, sent=25 * MEBIBYTE):
            kill_group(site.web.process)
    except OSError:
        return False  # it is only just starting
    return True
