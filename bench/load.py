"""A load generator: keep-alive clients that send one request over and over, in a process of their own.

`wrk` does it when it is installed (https://github.com/wg/wrk), for it takes the least from the cores that the server
needs; a plain asyncio client does it otherwise, and says so in the result.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LUA = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "POST", file:read("*all")
file:close()
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests": %d, "microseconds": %d, "p50": %f, "p95": %f, "p99": %f, "errors": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one stretch of load measured.

    Attributes:
        requests_per_second: answered with 200.
        p50_ms: of all answers, as the next two.
        p95_ms: likewise.
        p99_ms: likewise.
        errors: every answer but 200, such as the refusals of a busy site, and every broken connection.
    """

    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def tool() -> str:
    """Name the load generator that `drive` uses here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def drive(url: str, *, body: bytes, headers: Mapping[str, str], clients: int, seconds: float) -> Load:
    """Send the same POST from `clients` keep-alive connections for `seconds`, from another process.

    Args:
        url: address on this machine.
        body: of every request.
        headers: of every request.
        clients: connections; each waits for its answer before it asks again.
        seconds: how long.
    """
    if tool() == "wrk":
        return _drive_wrk(url, body=body, headers=headers, clients=clients, seconds=seconds)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_drive_asyncio, (url, body, dict(headers), clients, seconds))


def _drive_wrk(url: str, *, body: bytes, headers: Mapping[str, str], clients: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder, "body"), Path(folder, "script.lua")
        file.write_bytes(body)
        lines = (f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
        script.write_text(_LUA.format(body=file, headers="\n".join(lines)))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "30s", "--latency", "-s"]
        done = subprocess.run([*command, str(script), url], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.rpartition("RESULT ")[2])
    return Load(
        requests_per_second=(found["requests"] - found["errors"]) / found["microseconds"] * 1e6,
        p50_ms=found["p50"] / 1e3,
        p95_ms=found["p95"] / 1e3,
        p99_ms=found["p99"] / 1e3,
        errors=int(found["errors"]),
    )


def _drive_asyncio(url: str, body: bytes, headers: dict[str, str], clients: int, seconds: float) -> Load:
    address = urlsplit(url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    return asyncio.run(_run_clients(address.hostname or "", address.port or 80, request, clients, seconds))


async def _run_clients(host: str, port: int, request: bytes, clients: int, seconds: float) -> Load:
    began = time.perf_counter()
    deadline = began + seconds
    results = await asyncio.gather(*(_run_client(host, port, request, deadline) for _ in range(clients)))
    elapsed = time.perf_counter() - began
    errors = sum(errors for _latencies, errors in results)
    latencies = sorted(latency for latencies, _errors in results for latency in latencies)

    def percentile(share: float) -> float:
        return 1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else 0.0

    return Load(
        requests_per_second=(len(latencies) - errors) / elapsed,
        p50_ms=percentile(0.5),
        p95_ms=percentile(0.95),
        p99_ms=percentile(0.99),
        errors=errors,
    )


async def _run_client(host: str, port: int, request: bytes, deadline: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    errors = 0
    while time.perf_counter() < deadline:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            while time.perf_counter() < deadline:
                asked_at = time.perf_counter()
                writer.write(request)
                ok = await _read_answer(reader)
                latencies.append(time.perf_counter() - asked_at)
                errors += not ok
            writer.close()
        except (OSError, EOFError):
            errors += 1
    return latencies, errors


async def _read_answer(reader: asyncio.StreamReader) -> bool:
    """Read one answer to its end and say whether it is a 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length))
    return head.split(b" ", 2)[1] == b"200"
