"""Posting a notification to an address that a person gave: signed, and never into the network that the site is in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import time
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import urllib3
from django.conf import settings
from django.utils.translation import gettext as _

from cifarsite.accounts.models import Fault, Webhook
from cifarsite.accounts.notifications import Notice

SIGNATURE: Final = "Cifarsite-Signature"
DELIVERY: Final = "Cifarsite-Delivery"
_SECONDS: Final = 5.0  # to connect, and again for each wait for an answer
_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class WebhookError(Exception):
    """The address did not take it.

    Attributes:
        fault: Why.
        status_code: HTTP status of the answer; None without one.
    """

    def __init__(self, fault: Fault, message: str, *, status_code: int | None = None) -> None:
        super().__init__(message)
        self.fault, self.status_code = fault, status_code


class AddressRefusedError(ValueError):
    """Nothing is posted to that address."""


def check_address(url: str) -> None:
    """Make sure that something may be posted to an address, as far as that can be told without asking anybody.

    Raises:
        AddressRefusedError: it may not.
    """
    host = _host_of(url)
    parts = urlsplit(url) if host else None
    if parts is None or parts.scheme not in _PORTS or parts.username or parts.password:
        example = "https://example.org/hook"
        message = _("Give an address such as %(example)s, without a password in it.") % {"example": example}
        raise AddressRefusedError(message)
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        is_local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    else:
        is_local = not _is_public(literal)
    if is_local and not settings.WEBHOOKS_PRIVATE:
        raise AddressRefusedError(_("This address is in a private network; this site posts to public addresses only."))


def _host_of(url: str) -> str:
    """Return the host of an address that a request can be made of: in ASCII, with a possible port; else ""."""
    try:
        parts = urlsplit(url)
        is_possible = url.isascii() and parts.port != 0
    except ValueError:  # a port that is no number, or beyond 65535
        return ""
    return (parts.hostname or "") if is_possible else ""


def post_notice(webhook: Webhook, notice: Notice, *, delivery: int) -> int:
    """Post a notification, signed.

    The host's name is looked up once and the connection goes to the address that was checked, so that no second look
    can find another; redirects are not followed, and the answer's body is not read.

    Returns:
        The answer's status, 2xx.

    Raises:
        WebhookError: the address is private, does not answer in time, or answers other than 2xx.
    """
    parts = urlsplit(webhook.url)
    body = json.dumps(notice_body(notice), ensure_ascii=False).encode()
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "cifarsite",
        DELIVERY: str(delivery),
        SIGNATURE: sign(body, secret=webhook.secret, at=int(time.time())),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connect(parts) as pool:
        try:
            answer = pool.request("POST", path, body=body, headers=headers, redirect=False, preload_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            fault = Fault.TOO_SLOW if isinstance(error, urllib3.exceptions.ReadTimeoutError) else Fault.UNREACHABLE
            raise WebhookError(fault, f"No answer: {type(error).__name__}") from error
        answer.release_conn()
    if not 200 <= answer.status < 300:  # any 2xx
        raise WebhookError(Fault.ANSWER, f"The answer was {answer.status}", status_code=answer.status)
    return int(answer.status)


def sign(body: bytes, *, secret: str, at: int) -> str:
    """Return the header's value: the moment in seconds, and the HMAC-SHA256 of the moment, a dot and the body."""
    mark = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mark}"


def notice_body(notice: Notice) -> dict[str, Any]:
    """Return what is posted, which is also what the API tells of a notification."""
    return {
        "id": notice.id,
        "job": {"kind": notice.kind, "id": notice.job_id, "name": notice.job},
        "status": notice.status.value,
        "reason": notice.reason or None,
        "at": notice.at.isoformat(),
        "read": notice.is_read,
        "address": f"{settings.SITE_URL}{notice.path}" if notice.path else None,
    }


def _connect(parts: SplitResult) -> urllib3.HTTPConnectionPool:
    options: dict[str, Any] = {
        "host": _resolve(parts),
        "port": parts.port or _PORTS[parts.scheme],
        "timeout": urllib3.Timeout(connect=_SECONDS, read=_SECONDS),
        "retries": False,
    }
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(**options)
    return urllib3.HTTPSConnectionPool(**options, server_hostname=parts.hostname, assert_hostname=parts.hostname)


def _resolve(parts: SplitResult) -> str:
    """Return one address of the host.

    Raises:
        WebhookError: it has none, or one of them is private and nothing may be posted there.
    """
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or _PORTS[parts.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WebhookError(Fault.NO_HOST, "The host's name cannot be looked up") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not settings.WEBHOOKS_PRIVATE and not all(_is_public(ipaddress.ip_address(each)) for each in addresses):
        raise WebhookError(Fault.PRIVATE, "The host is in a private network")
    return addresses[0]


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of the open internet; one that stands for another is judged by that one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local or address.is_reserved:
            return False
        inner = [address.sixtofour, *(address.teredo or ())]
        if not all(_is_public(each) for each in inner if each is not None):
            return False
    return address.is_global and not address.is_multicast
