"""`manage.py predict FILE …`: what the page and the API do, for files on this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import translation
from django.utils.translation import gettext as _

from classifier.api.serializers import answer_body
from classifier.choices import Source
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady
from classifier.originals import OriginalsNotKeptError
from classifier.services import Upload, predict
from training.class_names import display_name

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class Command(BaseCommand):
    """Classify files. One that cannot be read says why, the others are answered, and the exit code is 1."""

    help = "Classify pictures with the champion and keep the answers in a person's history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument("--user", metavar="USERNAME", help="whose history; without it, the first administrator's")
        parser.add_argument("--keep", action="store_true", help="keep the files too, where the site allows it")
        parser.add_argument("--json", action="store_true", help="print one JSON list, in the API's shape")
        parser.add_argument("--lang", choices=[code for code, _name in settings.LANGUAGES], default="en")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Answer file after file.

        Raises:
            CommandError: no owner or no model; or at least one file was not answered.
        """
        owner = _find_owner(options["user"])
        with translation.override(options["lang"]):
            results = [
                self._answer(file, owner=owner, keep=options["keep"], as_json=options["json"])
                for file in options["files"]
            ]
        if options["json"]:
            self.stdout.write(json.dumps(results, ensure_ascii=False, indent=1))
        failed = sum("error" in result for result in results)
        if failed:
            raise CommandError(f"{failed} of {len(results)} files could not be classified.")

    def _answer(self, file: Path, *, owner: User, keep: bool, as_json: bool) -> dict[str, Any]:
        try:
            data = _read(file)
            prediction = predict(owner=owner, upload=Upload(data, file.name, keep), source=Source.COMMAND)
        except (ModelNotReady, OriginalsNotKeptError) as error:
            raise CommandError(str(error)) from error
        except ImageRejected as rejected:
            return self._refuse(file, code=rejected.code, detail=str(rejected.detail))
        except OSError as error:
            return self._refuse(file, code="unreadable", detail=f"{error.strerror}.")
        if not as_json:
            name = display_name(prediction.class_key)
            doubt = f"  ({_('may be none of the classes')})" if prediction.out_of_distribution else ""
            self.stdout.write(f"{file}: {name} {prediction.confidence:.1%}{doubt}")
        return {"file": str(file), **answer_body(prediction)}

    def _refuse(self, file: Path, *, code: str, detail: str) -> dict[str, Any]:
        self.stderr.write(f"{file}: {detail}")
        return {"file": str(file), "error": {"code": code, "detail": detail}}


def _read(file: Path) -> bytes:
    """Return the file's bytes, no more than tell that it is too large."""
    with file.open("rb") as stream:
        return stream.read(settings.IMAGE_MAX_BYTES + 1)


def _find_owner(username: str | None) -> User:
    """Return the person of that name, or the first administrator.

    Raises:
        CommandError: there is none.
    """
    users = get_user_model().objects.filter(is_active=True)
    found = users.filter(username=username) if username else users.filter(is_superuser=True).order_by("pk")
    owner = found.first()
    if owner is None:
        raise CommandError(
            f"There is no active account named {username!r}."
            if username
            else "There is no administrator yet: name the owner with --user USERNAME."
        )
    return owner
