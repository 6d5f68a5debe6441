"""Application configuration of the site itself: its commands, templates and system checks."""

from django.apps import AppConfig


class CifarsiteConfig(AppConfig):
    """The site around the two applications."""

    name = "cifarsite"

    def ready(self) -> None:
        """Register the system checks."""
        from cifarsite import checks  # noqa: F401, PLC0415  # they read settings, complete only now
