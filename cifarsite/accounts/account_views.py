"""The page of one's own account: what one prefers, how one is told of jobs' ends, one's data, and the way out."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.models import EmailAddress
from allauth.core import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from cifarsite.accounts.deletion import delete_account, is_last_administrator
from cifarsite.accounts.forms import DeletionForm, PreferencesForm
from cifarsite.accounts.groups import GROUP_NAMES
from cifarsite.accounts.language import remember_language
from cifarsite.accounts.models import User
from cifarsite.accounts.notices import MOST_ATTEMPTS
from cifarsite.accounts.personal_data import write_archive
from cifarsite.accounts.preferences import change_preferences
from cifarsite.accounts.proof import needs_proof, proof_required
from cifarsite.accounts.webhook_settings import describe_webhook
from classifier.models import BatchJob, Prediction
from training.api.files import send_stream
from training.exceptions import ServiceError
from training.job_kinds import job_models


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Show the account, and store what its owner prefers."""
    user = asker(request)
    form = PreferencesForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_bound and form.is_valid():
        try:
            change_preferences(user=user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, str(error))
        else:
            return _say_saved(user)
    return _show(request, form=form, status=400 if form.errors else 200)


def _say_saved(user: User) -> HttpResponse:
    response = redirect("account")
    if user.language:
        remember_language(response, user)
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)  # or the one chosen before would go on
    return response


def _show(request: HttpRequest, *, status: int = 200, **context: object) -> HttpResponse:
    user = asker(request)
    known: dict[str, Any] = {
        "form": PreferencesForm(user=user),
        "webhook": describe_webhook(user),
        "most_attempts": MOST_ATTEMPTS,
        "groups": [GROUP_NAMES.get(name, name) for name in sorted(user.groups.values_list("name", flat=True))],
        "address": EmailAddress.objects.filter(user=user).order_by("-primary", "pk").first(),
        "is_mfa_enabled": is_mfa_enabled(user, [Authenticator.Type.TOTP]),
    }
    return render(request, "accounts/account.html", {**known, **context}, status=status)


@login_required
@never_cache
@require_GET
@proof_required
def data(request: HttpRequest) -> HttpResponse:
    """Say what the archive of a person's data holds, and offer it."""
    return render(request, "accounts/data.html")


@login_required
@never_cache
@require_GET
def archive(request: HttpRequest) -> HttpResponseBase:
    """Send everything of the person who asks; their page asks for the password, where that is wanted again."""
    if needs_proof(request):
        return redirect("account_data")
    parts = write_archive(asker(request), language=translation.get_language())
    return send_stream(parts, content_type="application/zip", name=f"cifarsite-{asker(request).pk}.zip")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Ask whether the account shall go, and delete it when its owner proves that they are."""
    user = asker(request)
    form = DeletionForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_bound:
        if not ratelimit.consume(request, action="reauthenticate", user=user):
            return cast("HttpResponse", ratelimit.respond_429(request))
        if form.is_valid():
            try:
                delete_account(user=user)
            except ServiceError as error:
                form.add_error(None, str(error))
            else:
                logout(request)
                messages.success(request, _("Your account and your data are deleted."))
                return redirect("account_login")
    context = {"form": form, "is_last": is_last_administrator(user), **_count(user)}
    return render(request, "accounts/delete.html", context, status=400 if form.errors else 200)


def _count(user: User) -> dict[str, int]:
    live = sum(model.objects.active().filter(owner=user).count() for model in job_models())
    return {
        "predictions": Prediction.objects.owned_by(user).count(),
        "batches": BatchJob.objects.owned_by(user).count(),
        "live": live,
    }


def asker(request: HttpRequest) -> User:
    """Return the person who asks; the decorators let nobody else in."""
    return cast("User", request.user)
