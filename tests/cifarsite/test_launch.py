"""Where the site listens."""

from __future__ import annotations

import socket

import pytest

from cifarsite.bootstrap import StartError
from cifarsite.launch import Address


@pytest.mark.parametrize(
    ("environment", "host", "url"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:8000"),
        ({"HOST": "", "PORT": ""}, "127.0.0.1", "http://127.0.0.1:8000"),
        ({"HOST": "0.0.0.0", "PORT": "80"}, "0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104  # not bound
        ({"HOST": "::", "PORT": "8080"}, "::", "http://[::1]:8080"),
        ({"HOST": "10.1.2.3"}, "10.1.2.3", "http://10.1.2.3:8000"),
        ({"HOST": "localhost", "PORT": "65535"}, "localhost", "http://localhost:65535"),
    ],
)
def test_the_environment_says_where(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], host: str, url: str
) -> None:
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.delenv("PORT", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address = Address.from_environment()

    assert address.host == host
    assert address.url == url


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "80.0", "８０a"])
def test_a_wrong_port_is_named(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)

    with pytest.raises(StartError, match=r"^PORT='.*' is not valid: give a number from 1 to 65535\.$"):
        Address.from_environment()


def test_a_free_port_passes_and_a_taken_one_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", taken.getsockname()[1])
        taken.listen()
        with pytest.raises(StartError, match=rf"^Port {address.port} is in use: "):
            address.check()
    address.check()


def test_a_name_that_is_nobodys_is_named() -> None:
    with pytest.raises(StartError, match=r"^HOST='nobody\.invalid' cannot be listened on: "):
        Address("nobody.invalid", 8000).check()
