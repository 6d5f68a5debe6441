"""The site: settings, URLs, accounts and the processes around the two applications."""

from cifarsite.celery import app as celery_app

__all__ = ["celery_app"]
