"""Why a model package from elsewhere is refused, in the reader's language; the engine speaks English alone."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from training.archive_texts import describe_refusal
from training.engine.archive_rules import ArchiveError
from training.engine.exceptions import PackageError
from training.sentences import Sentences

REFUSALS: Final = Sentences(
    # The archive's content.
    gettext_noop("It holds '%(entry)s'; a model package holds %(names)s, in one folder."),
    gettext_noop("It lacks %(names)s."),
    gettext_noop("A file was altered: its hash or its size differs from the manifest's."),
    # The manifest.
    gettext_noop("The manifest has more than %(bytes)s bytes."),
    gettext_noop("The manifest is not JSON."),
    gettext_noop("The manifest is not a JSON object."),
    gettext_noop("The manifest names a key twice."),
    gettext_noop("The manifest holds %(name)s, which is no number."),
    gettext_noop("The manifest's %(where)s names a class twice."),
    gettext_noop("The manifest's %(where)s names a class that the model does not know."),
    gettext_noop("The manifest's %(where)s has not a logit for each class."),
    gettext_noop("The manifest's %(where)s has not the same sources in each row."),
    gettext_noop("The manifest's %(where)s is not in the order of the classes."),
    gettext_noop("The manifest's %(where)s has not a row and a column for each class."),
    gettext_noop("The manifest's %(where)s has a range with images and without figures."),
    gettext_noop("The manifest's %(where)s is not of the form that is expected there."),
    gettext_noop("The manifest's %(where)s is no plain text of at most %(limit)s characters."),
    gettext_noop("The manifest's %(where)s is no whole number from %(low)s to %(high)s."),
    gettext_noop("The manifest's %(where)s is no number from %(low)s to %(high)s."),
    gettext_noop("The manifest's %(where)s is neither true nor false."),
    gettext_noop("The manifest's %(where)s is no list of %(least)s to %(most)s."),
    gettext_noop("The manifest's %(where)s is no object of at most %(most)s entries."),
    gettext_noop("The manifest's %(where)s is no object."),
    gettext_noop("The manifest's %(where)s is missing."),
    gettext_noop("The manifest's %(where)s has a key that is not known: %(key)s."),
    gettext_noop("The manifest's %(where)s is no name of a class."),
    gettext_noop("The manifest's %(where)s is no moment with its time zone."),
    gettext_noop("The manifest's %(where)s is no base64 of a size that is expected there."),
    gettext_noop("The manifest's %(where)s is no base64."),
    gettext_noop("The manifest's %(where)s does not stand for %(size)s bytes."),
    gettext_noop("The manifest's %(where)s is not %(wanted)s."),
    # The graph.
    gettext_noop("The graph's inputs are %(found)s; it takes %(wanted)s."),
    gettext_noop("The graph's outputs are %(found)s; it gives %(wanted)s."),
    gettext_noop("The graph's operators are %(found)s; allowed are %(wanted)s."),
    gettext_noop("The graph is no ONNX file, or a truncated one."),
    gettext_noop("The graph is no ONNX file."),
    gettext_noop("The graph brings functions or training steps of its own; a served one has none."),
    gettext_noop("The graph has more than %(most)s operations."),
    gettext_noop("The graph holds sparse weights; a served one has none."),
    gettext_noop("The graph uses an operator of %(name)s; allowed are standard ones."),
    gettext_noop("The graph branches or loops; a served one runs straight through."),
    gettext_noop("The graph names other files for its weights; a package's are inside."),
    gettext_noop("The graph's %(name)s is not made of 32-bit numbers."),
)
"""What the checks of `training.services.packages` and of the engine say; a test compares them."""


def explain_package_refusal(error: PackageError | ArchiveError) -> str:
    """Say in the active language what is wrong with a package."""
    return describe_refusal(error)[1] if isinstance(error, ArchiveError) else REFUSALS.translate(str(error))
