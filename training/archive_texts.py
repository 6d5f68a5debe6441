"""The engine's refusals of archives, in the reader's language and with a code for programs."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from training.engine.archive_rules import ArchiveError

_OTHER: Final = "damaged"
# Part of the engine's sentence, code, the sentence for the reader.
_ENTRIES: Final = (
    ("climbs out of its folder", "unsafe_name", gettext_noop("“%(entry)s” climbs out of its folder with “..”.")),
    ("has an absolute path", "unsafe_name", gettext_noop("“%(entry)s” has an absolute path.")),
    ("has a backslash", "unsafe_name", gettext_noop("“%(entry)s” has a backslash in its name.")),
    ("not plain text", "unsafe_name", gettext_noop("“%(entry)s” has a name that is not plain text.")),
    ("has a name of more than", "unsafe_name", gettext_noop("“%(entry)s” has too long a name.")),
    ("is a symbolic link", "special_file", gettext_noop("“%(entry)s” is a link; only files are taken.")),
    ("is a hard link", "special_file", gettext_noop("“%(entry)s” is a link; only files are taken.")),
    ("is a device", "special_file", gettext_noop("“%(entry)s” is a special file; only files are taken.")),
    ("is a named pipe", "special_file", gettext_noop("“%(entry)s” is a special file; only files are taken.")),
    ("is a sparse file", "special_file", gettext_noop("“%(entry)s” is a special file; only files are taken.")),
    ("is of an unknown kind", "special_file", gettext_noop("“%(entry)s” is a special file; only files are taken.")),
    ("is encrypted", "encrypted", gettext_noop("“%(entry)s” is encrypted. Pack the files without a password.")),
    ("uses compression method", "unsupported", gettext_noop("“%(entry)s” is packed in a way that is not read here.")),
    ("an archive inside", "nested", gettext_noop("“%(entry)s” is an archive inside the archive. Unpack it first.")),
    ("has the same name", "name_collision", gettext_noop("The name of “%(entry)s” is that of another entry.")),
    ("is there twice", "name_collision", gettext_noop("“%(entry)s” is there twice.")),
    ("overlaps", "overlap", gettext_noop("“%(entry)s” overlaps other parts of the archive.")),
    ("is one too many", "too_many_entries", gettext_noop("The archive has too many entries: split it.")),
    ("times its", "bomb", gettext_noop("“%(entry)s” unfolds to many times its size.")),
    ("unpacks to more than", "bomb", gettext_noop("“%(entry)s” unfolds to more than is taken.")),
    ("brings the total above", "bomb", gettext_noop("The archive unfolds to more than is taken: split it.")),
    ("to the size it states", "lying_size", gettext_noop("“%(entry)s” has another size than the archive says.")),
    ("two different sizes", "lying_size", gettext_noop("The archive states two sizes of “%(entry)s”.")),
    ("states a packed size", "lying_size", gettext_noop("“%(entry)s” has another size than the archive says.")),
    ("cut short", "truncated", gettext_noop("The archive is damaged or cut short at “%(entry)s”.")),
    ("has no name", _OTHER, gettext_noop("An entry of the archive has no name.")),
    ("two different names", _OTHER, gettext_noop("The archive states two names of “%(entry)s”.")),
    ("a folder that carries data", _OTHER, gettext_noop("“%(entry)s” is a folder that carries data.")),
    ("a negative size", _OTHER, gettext_noop("The archive is damaged at “%(entry)s”.")),
    ("a size that is no number", _OTHER, gettext_noop("The archive is damaged at “%(entry)s”.")),
    ("a damaged header", _OTHER, gettext_noop("The archive is damaged at “%(entry)s”.")),
    ("a damaged extension header", _OTHER, gettext_noop("The archive is damaged at “%(entry)s”.")),
    ("an extension header of over", _OTHER, gettext_noop("The archive has too long a header at “%(entry)s”.")),
    ("is not where", _OTHER, gettext_noop("The archive is damaged at “%(entry)s”.")),
)
_WHOLE: Final = (
    ("is empty", "empty", gettext_noop("The archive is empty.")),
    ("contains no files", "empty", gettext_noop("There are no files in the archive.")),
    ("directory is missing", "truncated", gettext_noop("The archive’s directory is missing, damaged or cut short.")),
    ("directory is larger", "too_many_entries", gettext_noop("The archive has too many entries: split it.")),
    ("is not a .zip", "not_an_archive", gettext_noop("This is no .zip, .tar, .tar.gz or .tar.xz archive.")),
)
SENTENCES: Final = tuple({sentence: None for _part, _code, sentence in (*_ENTRIES, *_WHOLE)})
"""The sentences for the reader, each once."""


def describe_refusal(error: ArchiveError) -> tuple[str, str]:
    """Return code and sentence of a refusal; the engine's own sentence where there is no other."""
    said = str(error)
    why = said if error.entry is None else said.replace(f"'{error.entry}'", "", 1)  # a name may say anything
    for part, code, sentence in _WHOLE if error.entry is None else _ENTRIES:
        if part in why:
            return code, _(sentence) % {"entry": error.entry}
    return _OTHER, said
