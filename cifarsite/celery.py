"""The Celery application: a doorbell between the database and the workers (docs/architecture: decision 1)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")

app = Celery("cifarsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
