"""Load that does not wait: requests come at a rate, whatever becomes of those before, as from a crowd of strangers."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

CONNECTIONS = 256
"""Kept alive; when all of them wait for an answer, the crowd is as large as this benchmark makes it."""


@dataclass(frozen=True)
class OpenLoad:
    """What one stretch of such load measured.

    Attributes:
        offered_per_second: requests that were really sent.
        accepted_per_second: answered with 200.
        refused_share: of the requests, answered with 503.
        errors: other answers and broken connections.
        p50_ms: of the accepted ones.
        p99_ms: of the accepted ones.
    """

    offered_per_second: float
    accepted_per_second: float
    refused_share: float
    errors: int
    p50_ms: float
    p99_ms: float


def drive_open(url: str, *, body: bytes, headers: Mapping[str, str], rate: float, seconds: float) -> OpenLoad:
    """Send the same POST `rate` times a second, from another process.

    Args:
        url: address on this machine.
        body: of every request.
        headers: of every request.
        rate: requests per second, evenly spaced.
        seconds: how long.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_drive, (url, body, dict(headers), rate, seconds))


def _drive(url: str, body: bytes, headers: dict[str, str], rate: float, seconds: float) -> OpenLoad:
    address = urlsplit(url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    return asyncio.run(_run(address.hostname or "", address.port or 80, request, rate, seconds))


async def _run(host: str, port: int, request: bytes, rate: float, seconds: float) -> OpenLoad:
    began = time.perf_counter()
    turns = iter(range(int(rate * seconds)))
    answers: list[tuple[int, float]] = []

    async def stranger() -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for turn in turns:  # shared: whoever is free sends the next request
            await asyncio.sleep(began + turn / rate - time.perf_counter())
            asked_at = time.perf_counter()
            if asked_at > began + seconds:
                break
            try:
                streams = streams or await asyncio.open_connection(host, port)
                streams[1].write(request)
                status = await _read_status(streams[0])
            except (OSError, EOFError):
                streams, status = None, 0
            answers.append((status, 1e3 * (time.perf_counter() - asked_at)))
        if streams:
            streams[1].close()

    await asyncio.gather(*(stranger() for _ in range(CONNECTIONS)))
    return _summarize(answers, time.perf_counter() - began)


def _summarize(answers: list[tuple[int, float]], elapsed: float) -> OpenLoad:
    statuses = Counter(status for status, _ms in answers)
    accepted = sorted(milliseconds for status, milliseconds in answers if status == 200)

    def percentile(share: float) -> float:
        return round(accepted[min(len(accepted) - 1, int(share * len(accepted)))], 2) if accepted else 0.0

    return OpenLoad(
        offered_per_second=round(len(answers) / elapsed, 1),
        accepted_per_second=round(len(accepted) / elapsed, 1),
        refused_share=round(statuses[503] / max(1, len(answers)), 4),
        errors=len(answers) - statuses[200] - statuses[503],
        p50_ms=percentile(0.5),
        p99_ms=percentile(0.99),
    )


async def _read_status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])
