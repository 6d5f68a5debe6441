"""What a person prefers: language, time zone, and whether mails tell of jobs' ends."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from allauth.account.models import EmailAddress
from django.conf import settings
from django.utils.translation import gettext as _

from cifarsite.accounts.models import User
from training.exceptions import ServiceError


@cache
def time_zones() -> tuple[str, ...]:
    """Return the names that a person may choose among."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))


def change_preferences(*, user: User, language: str, time_zone: str, wants_mail: bool) -> None:
    """Store what a person prefers.

    Args:
        user: The person.
        language: One of the site's; "" for the browser's.
        time_zone: One of `time_zones`; "" for the browser's.
        wants_mail: Whether the end of a job is told by e-mail.

    Raises:
        ServiceError: there is no such language or time zone, or no address to which mail may go.
    """
    if language and language not in dict(settings.LANGUAGES):
        raise ServiceError(_("Choose one of the site's languages."))
    if time_zone and time_zone not in time_zones():
        raise ServiceError(_("There is no time zone of that name."))
    if wants_mail and not user.wants_mail and not has_confirmed_address(user):
        raise ServiceError(_("Confirm an e-mail address first: mails go to that."))
    user.language, user.time_zone, user.wants_mail = language, time_zone, wants_mail
    user.save(update_fields=["language", "time_zone", "wants_mail"])


def has_confirmed_address(user: User) -> bool:
    """Whether mail for a person has somewhere to go."""
    return bool(EmailAddress.objects.filter(user=user, verified=True).exists())
