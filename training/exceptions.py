"""Errors that services raise; each message is one sentence that a person can act on."""

from __future__ import annotations

import errno
from typing import ClassVar


class ServiceError(Exception):
    """A request that cannot be carried out. `str(error)` is the sentence to show.

    Attributes:
        status: What the API answers with.
        location: What is wrong, for programs.
        code: In which way, for programs.
    """

    status: ClassVar[int] = 409
    location: ClassVar[str] = "state"
    code: ClassVar[str] = "conflict"


class NameTakenError(ServiceError):
    """A dataset of that name exists already."""


class CopiesRefusedError(ServiceError):
    """Test images of the dataset are exact copies of training images, and nobody accepted that."""


class ClassesDifferError(ServiceError):
    """The version's classes are not the champion's, and nobody confirmed that this is wanted."""

    code: ClassVar[str] = "classes_differ"


class ReasonNeededError(ServiceError):
    """The version is not known to be as accurate as the champion, and nobody said why it shall answer all the same."""

    code: ClassVar[str] = "reason_needed"


class PackageRefusedError(ServiceError):
    """A model package from elsewhere that is not taken."""

    status: ClassVar[int] = 422
    location: ClassVar[str] = "file"
    code: ClassVar[str] = "package_refused"


class PackageTooLargeError(PackageRefusedError):
    """A model package from elsewhere that holds or unfolds to more than is taken."""

    status: ClassVar[int] = 413
    code: ClassVar[str] = "too_large"


class FenceLostError(Exception):
    """The job was taken from this worker (lease expired, or another claim): it must stop and write nothing more."""


class StoreError(OSError):
    """The store of artifacts did not do what was asked; `strerror` is a sentence without its full stop."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EIO, sentence)


class DamagedArtifactError(StoreError):
    """What the store holds is not what was published."""
