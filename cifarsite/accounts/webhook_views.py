"""The page of one's own webhook."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cifarsite.accounts.account_views import asker
from cifarsite.accounts.forms import WebhookForm
from cifarsite.accounts.notices import MOST_ATTEMPTS
from cifarsite.accounts.proof import proof_required
from cifarsite.accounts.webhook_settings import describe_webhook, remove_webhook, set_webhook
from training.exceptions import ServiceError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@proof_required
def webhook(request: HttpRequest) -> HttpResponse:
    """Set the address that notifications are posted to, and show the secret this once; or remove it."""
    user = asker(request)
    if "remove" in request.POST:
        if remove_webhook(user=user):
            messages.success(request, _("Nothing is posted any more."))
        return redirect("account")
    secret: str | None = None
    state = describe_webhook(user)
    posted = request.POST if request.method == "POST" else None
    form = WebhookForm(posted, initial={"url": state.webhook.url if state else ""})
    if form.is_bound and form.is_valid():
        try:
            secret = set_webhook(user=user, url=form.cleaned_data["url"])
            state = describe_webhook(user)
        except ServiceError as error:
            form.add_error("url", str(error))
    context = {"form": form, "webhook": state, "most_attempts": MOST_ATTEMPTS, "secret": secret}
    return render(request, "accounts/webhook.html", context, status=400 if form.errors else 200)
