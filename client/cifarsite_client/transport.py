"""One request that is repeated, safely, while the site asks for patience or cannot be reached."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from cifarsite_client.errors import RefusedError, UnreachableError, read_refusal

PATIENCE_SECONDS: Final = 60.0
"""For how long a request is repeated by default."""

_TIMEOUT: Final = httpx2.Timeout(60.0, connect=5.0)
_PATIENT_STATUSES: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_IN_FLIGHT: Final = "key_in_flight"
_guess_wait: Final = wait_random_exponential(multiplier=0.5, max=15)

Parts = list[tuple[str, tuple[str, Any, str]]]


class _DisconnectedError(UnreachableError):
    """The connection failed: asking once more may help."""


class Transport:
    """Sends requests to one site.

    Every POST carries an `Idempotency-Key` that stays the same when it is repeated, so that nothing is done twice.

    Args:
        base_url: Address of the site, such as `http://127.0.0.1:8000`.
        token: API token; "" for what is public.
        language: Of class names and sentences, `en` or `fr`.
        patience_seconds: For how long a request is repeated while the site is overloaded, not ready or out of reach.
        transport: How bytes travel; tests replace it.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: str,
        language: str,
        patience_seconds: float,
        transport: httpx2.BaseTransport | None,
    ) -> None:
        headers = {"Accept-Language": language, "User-Agent": "cifarsite-client/1.0"}
        if token:
            headers["Authorization"] = f"Token {token}"
        address = _read_address(base_url).join("/api/v1/")
        self._http = httpx2.Client(base_url=address, headers=headers, timeout=_TIMEOUT, transport=transport)
        self._patience_seconds = patience_seconds

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,  # noqa: ANN401  # whatever JSON holds
        open_parts: Callable[[], Parts] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever JSON holds
        """Send a request and return the JSON of its answer, None where the answer has no body.

        Args:
            method: `GET`, `POST`, …
            path: Relative to the API, or a whole address that the site gave.
            params: Query parameters; those that are None are left out.
            json: Body.
            open_parts: Instead of a body, opens the files of a form, anew for each try.

        Raises:
            RefusedError: the site refused the request, and repeating it did not or would not help.
            UnreachableError: there was no answer.
        """
        key = str(uuid.uuid4())

        def send() -> Any:  # noqa: ANN401
            response = self._send_once(method, path, params=params, json=json, open_parts=open_parts, key=key)
            return response.json() if response.content else None

        return self._retrying()(send)

    @contextmanager
    def stream(self, path: str, *, params: Mapping[str, Any] | None = None) -> Iterator[Iterator[bytes]]:
        """Download something, in pieces; it is not repeated.

        Raises:
            RefusedError: the site refused.
            UnreachableError: the connection failed.
        """
        try:
            with self._http.stream("GET", path, params=_known(params)) as response:
                if response.is_error:
                    response.read()
                    raise read_refusal(response, retry_after_seconds=read_retry_after(response))
                yield response.iter_bytes()
        except httpx2.HTTPError as error:
            raise _disconnected(error) from error

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception(_is_worth_a_retry),
            wait=_choose_wait,
            stop=stop_before_delay(self._patience_seconds),
            reraise=True,
        )

    def _send_once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None,
        json: Any,  # noqa: ANN401
        open_parts: Callable[[], Parts] | None,
        key: str,
    ) -> httpx2.Response:
        headers = {"Idempotency-Key": key} if method == "POST" else {}
        parts = open_parts() if open_parts is not None else None
        try:
            response = self._http.request(method, path, params=_known(params), json=json, files=parts, headers=headers)
        except httpx2.HTTPError as error:
            raise _disconnected(error) from error
        finally:
            for _field, (_name, file, _type) in parts or ():
                if not isinstance(file, bytes):
                    file.close()
        if response.is_error:
            raise read_refusal(response, retry_after_seconds=read_retry_after(response))
        return response


def read_retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds of `Retry-After`, which has them as a number or as a date; None where there is none."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read_address(base_url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(base_url)
        is_usable = address.scheme in {"http", "https"} and bool(address.host)
    except httpx2.InvalidURL:
        is_usable = False
    if not is_usable:
        message = f"{base_url!r} is no address: give one such as http://127.0.0.1:8000."
        raise UnreachableError(message)
    return address


def _known(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if params is None else {name: value for name, value in params.items() if value is not None}


def _disconnected(error: httpx2.HTTPError) -> UnreachableError:
    return _DisconnectedError(f"{error.request.url} cannot be reached: {error}")


def _is_worth_a_retry(error: BaseException) -> bool:
    if isinstance(error, RefusedError):
        return error.status in _PATIENT_STATUSES or error.code == _IN_FLIGHT
    return isinstance(error, _DisconnectedError)


def _choose_wait(state: RetryCallState) -> float:
    """Wait for as long as the site asks, else longer with every try."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, RefusedError) else None
    return _guess_wait(state) if asked is None else asked
