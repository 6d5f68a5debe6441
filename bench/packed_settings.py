"""The site's settings with static files collected and compressed, as production has them, whatever the database is."""

import os
from pathlib import Path

from cifarsite.settings import *  # noqa: F403
from cifarsite.settings import STORAGES

STATIC_ROOT = Path(os.environ["BENCH_STATIC_ROOT"])
WHITENOISE_USE_FINDERS = False
STORAGES["staticfiles"] = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
