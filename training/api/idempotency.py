"""`Idempotency-Key`: a program that got no answer may ask again, and what it asked for is done once.

Source: draft-ietf-httpapi-idempotency-key-header-07, "The Idempotency-Key HTTP Header Field" (2025).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any, Final, Protocol, cast

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from training.models import IdempotencyKey
from training.models.idempotency import KeyInFlightError, KeyReusedError

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

Handler = Callable[..., Response]


class _KeyProblem(APIException):
    location = f"header:{HEADER}"


class BadKey(_KeyProblem):
    """The header's value is none that is taken."""

    status_code = 400
    default_code = "bad_key"
    default_detail = _("Give a key of 1 to 255 visible ASCII characters, such as a UUID.")


class KeyInFlight(_KeyProblem):
    """The first request is not answered yet."""

    status_code = 409
    default_code = "key_in_flight"
    default_detail = _("The request of this key is being carried out. Ask again in a moment.")
    wait = 1


class KeyReused(_KeyProblem):
    """The key was given to another request."""

    status_code = 422
    default_code = "key_reused"
    default_detail = _(
        "This key was given to another request. Make a new key for each request that is not a repetition."
    )


class _Idempotent(Protocol):
    is_idempotent: bool


def idempotent(*, prepare: str = "", secrets: tuple[str, ...] = ()) -> Callable[[Handler], Handler]:
    """Let a view's method be asked twice with one key, and do its work once.

    With a key the method runs in a transaction that also notes its answer, so that a process that dies leaves both or
    neither. Without one it runs as it is. Whatever it raises, or answers with a status of 400 or more, is as if it had
    never been asked.

    Args:
        prepare: Name of a method of the view that is called with the request before the transaction, for what takes
            long and writes nothing. What it returns is the decorated method's last argument.
        secrets: Keys of the answer that are never stored: they are null when the answer is given again.
    """

    def decorate(method: Handler) -> Handler:
        @wraps(method)
        def handle(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401  # as Django has it
            def work() -> tuple[Any, ...]:
                return (*args, getattr(view, prepare)(request)) if prepare else args

            key = request.headers.get(HEADER)
            if key is None:
                return method(view, request, *work(), **kwargs)
            claim = _claim(request, key)
            if claim.status is not None:
                return _replay(claim)
            return _carry_out(claim, work, lambda *rest: method(view, request, *rest, **kwargs), secrets)

        cast("_Idempotent", handle).is_idempotent = True
        return cast("Handler", handle)

    return decorate


def _claim(request: Request, key: str) -> IdempotencyKey:
    """Return the key's row, answered or the request's own.

    Raises:
        BadKey: the key is none.
        KeyInFlight: another process is at it.
        KeyReused: it was given to another request.
    """
    if not _KEY.fullmatch(key):
        raise BadKey
    try:
        owner_id = cast("int", request.user.pk)  # signed in, or the view would not have been reached
        return IdempotencyKey.claim(owner_id=owner_id, key=key, request_sha256=fingerprint(request))
    except KeyInFlightError as error:
        raise KeyInFlight from error
    except KeyReusedError as error:
        raise KeyReused from error


def _carry_out(
    claim: IdempotencyKey, work: Callable[[], tuple[Any, ...]], method: Handler, secrets: tuple[str, ...]
) -> Response:
    """Run `method` and keep its answer, both or neither.

    Raises:
        KeyInFlight: it took so long that another process has taken over; nothing was done.
    """
    kept = False
    try:
        prepared = work()
        with transaction.atomic():
            response = method(*prepared)
            succeeded, body = response.status_code < 400, _render(response, secrets)
            if not succeeded:
                transaction.set_rollback(True)
            elif not claim.keep(status=response.status_code, headers=dict(response.headers), body=body):
                raise KeyInFlight
        kept = succeeded
    finally:
        if not kept:
            claim.release()
    if kept and (later := _render(response, secrets)) != body:  # whether a worker was woken, for example
        claim.amend(body=later)
    return response


def _replay(claim: IdempotencyKey) -> HttpResponse:
    headers = {name: value for name, value in claim.headers.items() if name != "Content-Type"}
    response = HttpResponse(claim.body, status=claim.status, content_type="application/json", headers=headers)
    response.headers[REPLAYED] = "true"
    return response


def _render(response: Response, secrets: tuple[str, ...]) -> str:
    data = {**response.data, **dict.fromkeys(secrets)} if secrets else response.data
    return str(JSONRenderer().render(data), "utf-8")


def fingerprint(request: Request) -> str:
    """Return the SHA-256 of what is asked: method, address and body, files by what is in them, not held in memory.

    The body counts as it was understood: another boundary or another order of JSON's keys makes no other request.
    """
    digest = sha256()

    def add(part: str | bytes) -> None:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)

    add(request.method or "")
    add(request.get_full_path())
    if not isinstance(request.data, MultiValueDict):
        for piece in json.JSONEncoder(sort_keys=True).iterencode(request.data):
            digest.update(piece.encode())
        return digest.hexdigest()
    for name, values in request.data.lists():
        for value in values:
            add(str(name))
            if isinstance(value, UploadedFile):
                add(value.name or "")
                add(_hash_file(value))
            else:
                add(str(value))
    return digest.hexdigest()


def _hash_file(file: UploadedFile[Any]) -> bytes:
    digest = sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.digest()
