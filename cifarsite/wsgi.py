"""WSGI entry point, served by granian. Each process that loads it loads the champion too."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
application = get_wsgi_application()

from cifarsite.web import WORKERS  # noqa: E402
from classifier.inference import warm_up  # noqa: E402  # models can be imported only now

warm_up(processes=WORKERS)
