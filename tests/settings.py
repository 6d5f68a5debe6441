"""The site's settings, with a folder of the tests' own: nothing a test does may touch anybody's data.

A module of settings because pytest-django reads them before any conftest. Processes that tests start inherit the folder
and use the site's settings themselves.
"""

import os
import tempfile
from pathlib import Path

TEST_FOLDER = Path(tempfile.mkdtemp(prefix="cifarsite-test-"))
os.environ["CIFARSITE_VAR"] = str(TEST_FOLDER)
os.environ["CIFARSITE_HTTPS"] = "false"  # the test client speaks plain HTTP, on Postgres too
os.environ["DJANGO_SETTINGS_MODULE"] = "cifarsite.settings"
os.environ.pop("ARTIFACTS_ROOT", None)
for name in ("DATABASE_URL", "REDIS_URL"):
    os.environ.setdefault(name, "")  # or a `.env` would have the tests run on production's

from cifarsite.settings import *  # noqa: E402, F403
from cifarsite.settings import STORAGES  # noqa: E402

# Hashed names need `collectstatic` first; a test of its own does that.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

# Tests compare answers with exact ones; those of the choice ask for it.
INFERENCE_PRECISION, INFERENCE_THREADS = "f32", 1
