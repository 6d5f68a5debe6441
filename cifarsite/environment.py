"""How the settings read environment variables: each reader refuses a bad value with a sentence that names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR: Final = Path(__file__).resolve().parent.parent
env: Final = environ.Env()
env.read_env(BASE_DIR / ".env")


def read_number(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
    """Read a whole number in [`minimum`, `maximum`] from the environment, or say which variable is wrong."""
    raw = env.str(name, default=str(default)).strip()
    # Twenty digits are more than any limit, and Python refuses to read thousands of them.
    if not raw.isdecimal() or len(raw) > 20 or not minimum <= int(raw) <= maximum:
        message = f"{name}={raw!r} is not valid: give a whole number from {minimum} to {maximum}."
        raise ImproperlyConfigured(message)
    return int(raw)


def read_fraction(name: str, default: float) -> float:
    """Read a number in [0, 1] from the environment, or say which variable is wrong."""
    raw = env.str(name, default=str(default)).strip()
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", raw) or not 0 <= float(raw) <= 1:
        message = f"{name}={raw!r} is not valid: give a number from 0 to 1, such as {default}."
        raise ImproperlyConfigured(message)
    return float(raw)


def read_switch(name: str, *, default: bool) -> bool:
    """Read a yes/no variable, or say which variable is wrong."""
    raw = env.str(name, default=str(default)).strip().lower()
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off", ""}:
        return False
    message = f"{name}={raw!r} is not valid: give true or false."
    raise ImproperlyConfigured(message)


def read_url(name: str, schemes: tuple[str, ...]) -> str:
    """Read an optional URL with one of `schemes`, or say which variable is wrong. Empty means not set."""
    raw = str(env.str(name, default="")).strip()
    if raw and not raw.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        message = f"{name} is not valid: it must start with {' or '.join(f'{scheme}://' for scheme in schemes)}."
        raise ImproperlyConfigured(message)
    return raw


def read_choice(name: str, default: str, *, allowed: Sequence[str]) -> str:
    """Read one of some words, or say which variable is wrong."""
    chosen = str(env.str(name, default=default)).strip().lower()
    if chosen not in allowed:
        message = f"{name}={chosen!r} is not valid: give {', '.join(allowed[:-1])} or {allowed[-1]}."
        raise ImproperlyConfigured(message)
    return chosen
