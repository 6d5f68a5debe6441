"""How allauth creates accounts here."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from cifarsite.accounts.groups import USER
from cifarsite.accounts.language import remember_language
from cifarsite.accounts.models import User
from cifarsite.accounts.proof import is_proof_old


class AccountAdapter(DefaultAccountAdapter):
    """New accounts join the group *user*; sign-up can be closed with CIFARSITE_SIGNUP_OPEN=false."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultAccountAdapter.error_messages,
        "too_many_login_attempts": gettext_lazy("Too many wrong passwords. Try again in five minutes."),
        **dict.fromkeys(
            ("username_password_mismatch", "email_password_mismatch"),
            gettext_lazy("The name or the password is wrong."),
        ),
        **dict.fromkeys(("enter_current_password", "incorrect_password"), gettext_lazy("This is not your password.")),
        "email_taken": gettext_lazy("There is an account with this address already."),
        "duplicate_email": gettext_lazy("This address is yours already."),
        "max_email_addresses": gettext_lazy("There can be no more than %d addresses."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say whether strangers may make an account."""
        return bool(settings.SIGNUP_OPEN)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:  # noqa: ANN401, FBT001, FBT002
        """Save the account and let it classify images."""
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            user.groups.add(Group.objects.get(name=USER))
        return user

    def is_reauthentication_required(self, *, app: str, **options: Any) -> bool:  # noqa: ANN401
        """Say whether the password is asked for again: not of whoever has just signed in."""
        return super().is_reauthentication_required(app=app, **options) and is_proof_old(self.request)

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:  # noqa: ANN401
        """Let the browser of whoever signed in get its pages in the language that they chose."""
        response = cast("HttpResponse", super().post_login(request, user, **options))
        remember_language(response, user)
        return response
