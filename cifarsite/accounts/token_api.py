"""The API of one's own tokens. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from django.shortcuts import get_object_or_404
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from cifarsite.accounts.models import ApiToken, User
from cifarsite.accounts.querysets import ApiTokenQuerySet
from cifarsite.accounts.token_serializers import (
    MadeTokenSerializer,
    TokenPageSerializer,
    TokenQuerySerializer,
    TokenRequestSerializer,
    TokenSerializer,
    token_body,
)
from cifarsite.accounts.tokens import TokenTooNarrowError, default_days, make_token, revoke_token
from cifarsite.authentication import Credential
from training.api.idempotency import idempotent
from training.api.scopes import ANY_TOKEN, ScopeMissing
from training.api.serializers import problem_responses

_JSON: Final = "application/json"
_REFUSALS: Final = {401: "No valid token and no session.", 403: "A session without its CSRF token."}
_NONE: Final = {404: "You have no such token."}
_NARROW: Final = {
    **_REFUSALS,
    403: "A session without its CSRF token, or the token that asks has not all scopes of the other.",
}


class TokenPagination(CursorPagination):
    """The newest first."""

    ordering = ("-created", "pk")
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return what the cursor holds, None without one.

        Raises:
            NotFound: it is none of ours.
        """
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not _is_moment(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor


class OwnTokensView(APIView):
    """A view of the tokens of whoever asks, who may come with any token."""

    scope = ANY_TOKEN
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)


class TokensView(OwnTokensView):
    """All of one's tokens."""

    @extend_schema(
        operation_id="list_tokens",
        tags=["Tokens"],
        summary="List your tokens",
        parameters=[TokenQuerySerializer],
        responses={
            (200, _JSON): TokenPageSerializer,
            **problem_responses(
                descriptions={400: "A parameter that is unknown or wrong.", **_REFUSALS, 404: "A wrong cursor."}
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first, without the tokens themselves."""
        TokenQuerySerializer(data=request.query_params.dict()).is_valid(raise_exception=True)
        paginator = TokenPagination()
        page = paginator.paginate_queryset(_own(request), request, view=self)
        return paginator.get_paginated_response([token_body(token) for token in page or []])

    @extend_schema(
        operation_id="create_token",
        tags=["Tokens"],
        summary="Make a token",
        description=(
            "A token that asks for another gives it no scope that it lacks itself; the new one ends with it at the "
            "latest, and is revoked with it."
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
        wanted = TokenRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _naming_scopes():
            row, token = make_token(
                owner=_asker(request),
                name=wanted.validated_data["name"],
                scopes=wanted.validated_data["scopes"],
                days=wanted.validated_data.get("days", default_days()),
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


def _is_moment(text: str) -> bool:
    try:
        return parse_datetime(text) is not None
    except ValueError:  # well formed, but there is no such day
        return False


def _asker(request: Request) -> User:
    return cast("User", request.user)  # signed in, or the view would not have been reached


def _own(request: Request) -> ApiTokenQuerySet:
    own: ApiTokenQuerySet = ApiToken.objects.owned_by(_asker(request))
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
