"""Fixtures of the tests about accounts."""

from tests.api_fixtures import _fresh_process, champion, program, stranger, user

__all__ = ["_fresh_process", "champion", "program", "stranger", "user"]
