"""How the site shows icons, class names, numbers, durations and moments. Use with `{% load site %}`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from training.class_names import display_name
from training.failure_texts import explain_failure

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw one icon of the sprite; `label` makes it speak, otherwise it is decoration.

    The name must be a quoted literal: `tools/vendor.mjs` reads the templates to know which icons to keep.
    """
    source = static("vendor/icons/sprite.svg")
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>', label, source, name
        )
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', source, name)


@register.simple_tag
def api_version() -> str:
    """Return the site's version, as the API tells it."""
    return str(settings.API_VERSION)


@register.simple_tag
def signup_is_open() -> bool:
    """Say whether strangers may make an account."""
    return bool(settings.SIGNUP_OPEN)


@register.filter
def class_name(class_key: str) -> str:
    """Return the class's name in the reader's language."""
    return display_name(class_key)


@register.filter
def failure_text(detail: str) -> str:
    """Say in the reader's language why a job failed."""
    return explain_failure(detail)


def _localized(value: float, decimals: int) -> str:
    # Django cuts the digits of floats off instead of rounding them.
    return number_format(Decimal(f"{value:.{decimals}f}"), decimal_pos=decimals, force_grouping=True)


@register.filter
def unlocalized(value: float) -> str:
    """Write a number as HTML attributes want it, whatever the language."""
    return f"{value:.6g}"


@register.filter
def number(value: float | None, decimals: int = 0) -> str:
    """Write a number with the reader's separators; an em dash when there is none."""
    return "—" if value is None else _localized(value, decimals)


@register.filter
def percent(fraction: float | None, decimals: int = 1) -> str:
    """Write a fraction in [0, 1] as a percentage that never rounds up to certainty nor down to nothing."""
    if fraction is None:
        return "—"
    smallest = 10.0**-decimals
    value = 100.0 * fraction
    if 0.0 < value < smallest / 2:
        return _("< %(number)s%%") % {"number": _localized(smallest, decimals)}
    if value < 100.0:
        value = min(value, 100.0 - smallest)
    return _("%(number)s%%") % {"number": _localized(value, decimals)}


@register.filter
def points(fraction: float) -> str:
    """Write a difference of two fractions in percentage points, always with its sign."""
    value = round(100.0 * fraction, 2)  # first, so that next to nothing is no “−0.00”
    sign = "−" if value < 0 else "+"
    return f"{sign}{_localized(abs(value), 2)}"


@register.filter
def duration(seconds: float | None) -> str:
    """Write a span of time with its two largest units: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return "—"
    whole = max(0, round(seconds))
    if whole < 60:
        return _("%(seconds)s s") % {"seconds": whole}
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": f"{rest:02d}"}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": f"{minutes:02d}"}


@register.simple_tag
def local_time(moment: datetime | None) -> SafeString | str:
    """Show a moment; `static/js/site.js` rewrites it in the reader's own time zone, without it it is UTC.

    It is as long as what it becomes, so that the lines around it stay where they are.
    """
    if moment is None:
        return "—"
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-local-time>{}<span class="when-no-js"> UTC</span></time>',
        utc.isoformat(timespec="seconds"),
        date_format(utc, pgettext("Django's format of a moment", "M j, Y, g:i A")),
    )
