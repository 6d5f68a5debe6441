"""The API of one's own tokens. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.shortcuts import get_object_or_404
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from cifarsite.accounts.models import ApiToken
from cifarsite.accounts.proof import require_proof
from cifarsite.accounts.querysets import ApiTokenQuerySet
from cifarsite.accounts.token_serializers import (
    MadeTokenSerializer,
    TokenPageSerializer,
    TokenRequestSerializer,
    TokenSerializer,
    token_body,
)
from cifarsite.accounts.tokens import TokenTooNarrowError, default_days, make_token, revoke_token
from cifarsite.authentication import Credential
from training.api.idempotency import idempotent
from training.api.lists import ListQuerySerializer, NewestFirst, checked_query, page_of
from training.api.requests import asker, checked_body
from training.api.scopes import ScopeMissing
from training.api.serializers import problem_responses
from training.choices import Scope

_JSON: Final = "application/json"
_REFUSALS: Final = {401: "No valid token and no session.", 403: "A session without its CSRF token."}
_NONE: Final = {404: "You have no such token."}
_NARROW: Final = {
    **_REFUSALS,
    403: "A session without its CSRF token or a recent proof, or a token that has not all scopes of the other.",
}


class NewestTokens(NewestFirst):
    """The newest first, by the moment they were made: their keys are hashes."""

    ordering = ("-created", "pk")

    def is_position(self, text: str) -> bool:
        """Whether a cursor may hold this: a moment."""
        try:
            return parse_datetime(text) is not None
        except ValueError:  # well formed, but there is no such day
            return False


class OwnTokensView(APIView):
    """A view of the tokens of whoever asks."""

    scope = Scope.ACCOUNT
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)


class TokensView(OwnTokensView):
    """All of one's tokens."""

    @extend_schema(
        operation_id="list_tokens",
        tags=["Tokens"],
        summary="List your tokens",
        parameters=[ListQuerySerializer],
        responses={
            (200, _JSON): TokenPageSerializer,
            **problem_responses(
                descriptions={400: "A parameter that is unknown or wrong.", **_REFUSALS, 404: "A wrong cursor."}
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first, without the tokens themselves."""
        checked_query(ListQuerySerializer, request)
        return page_of(_own(request), request=request, view=self, describe=_describe, pages=NewestTokens)

    @extend_schema(
        operation_id="create_token",
        tags=["Tokens"],
        summary="Make a token",
        description=(
            "A token that asks for another gives it no scope that it lacks itself; the new one ends with it at the "
            "latest, and is revoked with it. A session has to have proven its owner lately."
        ),
        request=TokenRequestSerializer,
        responses={
            (201, _JSON): MadeTokenSerializer,
            **problem_responses(
                descriptions={400: "A value that is refused; `errors` names the field.", **_NARROW, 409: "Too many."}
            ),
        },
    )
    @idempotent(secrets=("token",))
    def post(self, request: Request) -> Response:
        """Make it, and show it this once."""
        require_proof(request)
        wanted = checked_body(TokenRequestSerializer, request)
        with _naming_scopes():
            row, token = make_token(
                owner=asker(request),
                name=wanted["name"],
                scopes=wanted["scopes"],
                days=wanted.get("days", default_days()),
                made_with=_asking_token(request),
            )
        location = reverse("api:token", args=[row.token_key], request=request)
        headers = {"Location": location, "Cache-Control": "no-store"}
        return Response({**token_body(row), "token": token}, status=201, headers=headers)


class TokenView(OwnTokensView):
    """One of one's tokens."""

    @extend_schema(
        operation_id="get_token",
        tags=["Tokens"],
        summary="Describe a token",
        responses={(200, _JSON): TokenSerializer, **problem_responses(descriptions={**_REFUSALS, **_NONE})},
    )
    def get(self, request: Request, key: str) -> Response:
        """Describe it, without the token itself."""
        return Response(token_body(_find(request, key)))

    @extend_schema(
        operation_id="revoke_token",
        tags=["Tokens"],
        summary="Revoke a token",
        description="It and the tokens that were made with it are refused from now on.",
        responses={204: None, **problem_responses(descriptions={**_NARROW, **_NONE})},
    )
    def delete(self, request: Request, key: str) -> Response:
        """Remove it."""
        with _naming_scopes():
            revoke_token(_find(request, key), by=_asking_token(request))
        return Response(status=204)


def _describe(tokens: Sequence[ApiToken]) -> list[dict[str, Any]]:
    return [token_body(token) for token in tokens]


def _own(request: Request) -> ApiTokenQuerySet:
    own: ApiTokenQuerySet = ApiToken.objects.owned_by(asker(request))
    return own


def _find(request: Request, key: str) -> ApiToken:
    return get_object_or_404(_own(request), token_key=key)


def _asking_token(request: Request) -> ApiToken | None:
    credential: Any = request.auth
    return _own(request).get(pk=credential.digest) if isinstance(credential, Credential) else None


@contextmanager
def _naming_scopes() -> Iterator[None]:
    """Answer a token that may do too little as everywhere else.

    Raises:
        ScopeMissing: it may do too little.
    """
    try:
        yield
    except TokenTooNarrowError as error:
        raise ScopeMissing(str(error)) from error
