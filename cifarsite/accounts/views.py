"""The pages of one's own API tokens."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cifarsite.accounts.forms import TokenForm
from cifarsite.accounts.models import ApiToken, User
from cifarsite.accounts.proof import proof_required
from cifarsite.accounts.querysets import ApiTokenQuerySet
from cifarsite.accounts.tokens import make_token, revoke_token
from training.choices import Scope
from training.exceptions import ServiceError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@proof_required
def tokens(request: HttpRequest) -> HttpResponse:
    """List one's tokens, and make one, which is shown in the answer to the form and never again."""
    form = TokenForm(request.POST if request.method == "POST" else None)
    context: dict[str, object] = {}
    if form.is_bound and form.is_valid():
        wanted = form.cleaned_data
        try:
            row, secret = make_token(
                owner=_asker(request), name=wanted["name"], scopes=wanted["scopes"], days=wanted["days"]
            )
            context = {"made": row, "secret": secret, "example": _example(request, row, secret)}
            form = TokenForm()
        except ServiceError as error:
            form.add_error(None, str(error))
    context |= {"form": form, "tokens": _own(request)}
    return render(request, "accounts/tokens.html", context, status=400 if form.errors else 200)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, key: str) -> HttpResponse:
    """Ask whether a token shall go, and remove it when the answer is posted."""
    found = get_object_or_404(_own(request), token_key=key)
    if request.method == "POST":
        revoke_token(found)
        messages.success(request, _("The token is removed: nobody can use it any more."))
        return redirect("tokens")
    return render(request, "accounts/token_revoke.html", {"token": found, "made": found.made.count()})


def _asker(request: HttpRequest) -> User:
    return cast("User", request.user)


def _own(request: HttpRequest) -> ApiTokenQuerySet:
    own: ApiTokenQuerySet = ApiToken.objects.owned_by(_asker(request))
    return own


def _example(request: HttpRequest, token: ApiToken, secret: str) -> str:
    """Return a command line that uses the token for something that it may do."""
    name, body = "api:predict", " --form file=@picture.jpg"
    if Scope.PREDICT not in token.scope_list:
        names = {Scope.TRAIN: "api:runs", Scope.OPERATE: "api:workers", Scope.ACCOUNT: "api:account"}
        name, body = names[token.scope_list[0]], ""
    return f"curl --header 'Authorization: Token {secret}'{body} {request.build_absolute_uri(reverse(name))}"
