"""What can go wrong between a program and the site."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the site found wrong.

    Attributes:
        location: The field, header or part of the site.
        code: The kind, for programs.
        detail: One sentence, for people.
    """

    location: str
    code: str
    detail: str


class CifarsiteError(Exception):
    """What every error of this package is."""


class UnreachableError(CifarsiteError):
    """The site did not answer, or what answered is no cifarsite."""


class RefusedError(CifarsiteError):
    """The site refused a request.

    Attributes:
        status: HTTP status.
        faults: What is wrong, one or more; the first one's sentence is the error's message.
        retry_after_seconds: When the site asks to be tried again, None where it does not say.
    """

    def __init__(self, *, status: int, faults: tuple[Fault, ...], retry_after_seconds: float | None = None) -> None:
        super().__init__(faults[0].detail)
        self.status = status
        self.faults = faults
        self.retry_after_seconds = retry_after_seconds

    @property
    def code(self) -> str:
        """The first fault's code."""
        return self.faults[0].code


def read_refusal(response: httpx2.Response, *, retry_after_seconds: float | None) -> CifarsiteError:
    """Turn an answer of 400 or above into an error."""
    try:
        body = response.json()
        faults = tuple(Fault(fault["location"], fault["code"], fault["detail"]) for fault in body["errors"])
    except (ValueError, KeyError, TypeError):
        faults = ()
    if faults:
        return RefusedError(status=response.status_code, faults=faults, retry_after_seconds=retry_after_seconds)
    return UnreachableError(f"{response.url} answered with status {response.status_code}, not as a cifarsite does.")
