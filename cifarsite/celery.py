"""The Celery application: a doorbell between the database and the workers (docs/architecture: decision 1)."""

import os

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")

app = Celery("cifarsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def _keep_logging(**_signal: object) -> None:
    """Leave logging as Django has set it up; Celery, with a listener here, adds no handlers and formats of its own."""
