"""The one settings file. Without any environment: the embedded mode. `.env.example` lists all.

`DATABASE_URL` and `REDIS_URL` make it production: Postgres and Redis, not SQLite and Valkey under `CIFARSITE_VAR`.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import django_stubs_ext
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from cifarsite import embedded, logs, openapi
from cifarsite.environment import BASE_DIR, env, read_choice, read_fraction, read_number, read_switch, read_url
from training.schedule import canary_schedule

django_stubs_ext.monkeypatch()  # lets `ModelAdmin[Model]` and friends be written


# --- Where things live -----------------------------------------------------------------------------------------------
VAR = Path(env.str("CIFARSITE_VAR", default=str(BASE_DIR / "var"))).resolve()
ARTIFACTS_ROOT = Path(env.str("ARTIFACTS_ROOT", default=str(VAR / "artifacts"))).resolve()
ARTIFACTS_URL = read_url(
    "ARTIFACTS_URL", ("s3",)
)  # empty: ARTIFACTS_ROOT is the store, else this machine's share of it
ARTIFACTS_S3_ENDPOINT = read_url("ARTIFACTS_S3_ENDPOINT", ("http", "https"))
_BUCKET = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9._-]+)*)/?", ARTIFACTS_URL)
if ARTIFACTS_URL and (_BUCKET is None or "/." in ARTIFACTS_URL):
    message = "ARTIFACTS_URL is not valid: give s3://BUCKET or s3://BUCKET/PREFIX, and credentials in AWS's variables."
    raise ImproperlyConfigured(message)
if ARTIFACTS_S3_ENDPOINT and not ARTIFACTS_URL:
    message = "ARTIFACTS_S3_ENDPOINT is set without ARTIFACTS_URL: give the bucket too, or neither for a local folder."
    raise ImproperlyConfigured(message)
_DATABASE_URL = read_url("DATABASE_URL", ("postgres", "postgresql"))
try:
    _DATABASE = env.db_url_config(_DATABASE_URL) if _DATABASE_URL else {}
except ValueError as error:
    message = "DATABASE_URL is not valid: give postgres://USER:PASSWORD@HOST:PORT/NAME."
    raise ImproperlyConfigured(message) from error
_REDIS_URL = read_url("REDIS_URL", ("redis", "rediss", "unix"))
if bool(_DATABASE_URL) != bool(_REDIS_URL):
    message = "DATABASE_URL and REDIS_URL go together: set both for production, or neither for the embedded mode."
    raise ImproperlyConfigured(message)
EMBEDDED = not _DATABASE_URL

DEBUG = read_switch("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if not EMBEDDED:
        message = "SECRET_KEY is not set: give a long random text, kept secret, the same for every process."
        raise ImproperlyConfigured(message)
    try:
        SECRET_KEY = embedded.secret_key(VAR)
    except OSError as error:
        message = f"CIFARSITE_VAR={VAR} cannot be used: {error.strerror}. Choose a folder that can be written."
        raise ImproperlyConfigured(message) from error
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if EMBEDDED else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- Applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "cifarsite",
    "cifarsite.accounts",
    "training",
    "classifier",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "corsheaders",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "cifarsite.compression.PageCompressionMiddleware",
    "cifarsite.content_policy.ContentPolicyMiddleware",
    "cifarsite.overload.OverloadMiddleware",  # before all that costs something; refusals have the headers of the above
    "cifarsite.conditional.ApiConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "cifarsite.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cifarsite.request_logs.RequestLogMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "cifarsite.urls"
WSGI_APPLICATION = "cifarsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Jobs ------------------------------------------------------------------------------------------------------------
LEASE_SECONDS = read_number("CIFARSITE_LEASE_SECONDS", 45, minimum=2, maximum=3600)
HEARTBEAT_SECONDS = read_number("CIFARSITE_HEARTBEAT_SECONDS", 10, minimum=1, maximum=1200)
PROGRESS_SECONDS = read_number("CIFARSITE_PROGRESS_SECONDS", 600, minimum=1)
if HEARTBEAT_SECONDS * 2 > LEASE_SECONDS:
    message = (
        f"CIFARSITE_HEARTBEAT_SECONDS={HEARTBEAT_SECONDS} is not valid: "
        f"give at most half of CIFARSITE_LEASE_SECONDS, which is {LEASE_SECONDS}."
    )
    raise ImproperlyConfigured(message)

# --- Database --------------------------------------------------------------------------------------------------------
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": VAR / env.str("CIFARSITE_SQLITE_NAME", default="db.sqlite3"),  # tests give their worker the test file
    # IMMEDIATE with a 20 s wait: 900 concurrent writes gave no "database is locked", the defaults gave 216.
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
    # Kept open: closing the last connection makes SQLite fold its log back, some 10 ms at every request.
    "CONN_MAX_AGE": None,
    # Cross-process tests need a file.
    "TEST": {"NAME": VAR / "test.sqlite3"},
}
DATABASES: dict[str, Any] = {
    "default": _SQLITE
    if EMBEDDED
    else {
        **_DATABASE,
        "CONN_MAX_AGE": 60,  # seconds
        "CONN_HEALTH_CHECKS": True,
        # Whoever falls silent in a transaction for a lease's time is disconnected: a worker that was stopped, or that
        # is cut off, would otherwise keep its job's row locked, and nobody could take the job over.
        "OPTIONS": {
            **_DATABASE.get("OPTIONS", {}),
            "options": " ".join(
                [
                    f"-c idle_in_transaction_session_timeout={LEASE_SECONDS * 1000}",  # milliseconds
                    _DATABASE.get("OPTIONS", {}).get("options", ""),
                ]
            ).strip(),
        },
    },
}

# --- Cache, broker, tasks --------------------------------------------------------------------------------------------
_SOCKET = embedded.socket_path(VAR)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"unix://{_SOCKET}?db=1" if EMBEDDED else _REDIS_URL,
        "KEY_PREFIX": "cifarsite",
    },
}
CELERY_BROKER_URL = f"redis+socket://{_SOCKET}" if EMBEDDED else _REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_keepalive": True}  # seconds
CELERY_TASK_IGNORE_RESULT = True  # the database is the truth
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "training.execute_evaluation": {"queue": "inference"},  # an exact name goes before patterns
    "training.execute_*": {"queue": "training"},
    "classifier.execute_*": {"queue": "inference"},
    "accounts.deliver": {"queue": "deliveries"},  # others' mail servers and web addresses may be slow
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# KiB: a child that has loaded MLflow (184 MB; 82 MB without) is replaced after its task.
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 150_000
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    # No `expires`: a worker whose clock is ahead would drop every one. What piled up is skipped (training.tasks.sweep).
    "sweep": {"task": "training.sweep", "schedule": timedelta(seconds=5)},
    **canary_schedule(),
    "clean": {"task": "training.clean", "schedule": timedelta(days=1)},
    "deliver": {"task": "accounts.ring_for_due", "schedule": timedelta(seconds=30)},
}

# --- Accounts --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "classify"
ACCOUNT_ADAPTER = "cifarsite.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[cifarsite] "
ACCOUNT_EMAIL_NOTIFICATIONS = True  # of what changed about an account, to its confirmed address
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before an e-mail address is changed; `accounts.proof` tells what else
# Seconds for which a password that was typed, at the sign-in too, stands for whoever sits there.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 60 * read_number("CIFARSITE_REAUTHENTICATION_MINUTES", 10, minimum=1, maximum=1440)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "cifarsite"
MFA_TOTP_TOLERANCE = 1  # steps of 30 s that a telephone's clock may be off
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an account needs no address here
SIGNUP_OPEN = read_switch("CIFARSITE_SIGNUP_OPEN", default=True)
SITE_URL = read_url("CIFARSITE_URL", ("http", "https")).rstrip("/")  # where people find the site, for links in mails
WEBHOOKS_PRIVATE = read_switch("CIFARSITE_WEBHOOKS_PRIVATE", default=False)
try:
    EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
except (ImproperlyConfigured, ValueError) as error:
    message = "EMAIL_URL is not valid: give smtp+tls://USER:PASSWORD@HOST:587, or consolemail:// for the log."
    raise ImproperlyConfigured(message) from error
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="cifarsite@localhost")
MAIL_DOMAIN = DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"

# --- Languages and time ----------------------------------------------------------------------------------------------
LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LANGUAGE_CODE = read_choice("LANGUAGE_CODE", "en", allowed=("en", "fr"))
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError) as error:
    message = f"TIME_ZONE={TIME_ZONE!r} is not valid: give a name of the tz database, such as Europe/Paris."
    raise ImproperlyConfigured(message) from error
USE_TZ = True

# --- Static files ----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
# The embedded mode serves the files where they lie: a folder collected for production earlier would hide newer ones.
STATIC_ROOT = None if EMBEDDED else BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = EMBEDDED
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": ARTIFACTS_ROOT}}
    if _BUCKET is None
    else {
        "BACKEND": "training.remote_store.ArtifactStorage",
        "OPTIONS": {
            "bucket_name": _BUCKET[1],
            "location": _BUCKET[2].strip("/"),
            "endpoint_url": ARTIFACTS_S3_ENDPOINT or None,
        },
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if EMBEDDED
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}

# --- API -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "cifarsite.authentication.ApiTokenAuthentication",
        "cifarsite.authentication.CheckedSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["training.api.throttling.RateThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "cifarsite.schema.ApiSchema",
    "EXCEPTION_HANDLER": "cifarsite.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,  # `?format=` means nothing here
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105  # nosec B105  # a model's name, no secret
MIGRATION_MODULES = {"knox": None}  # they would create the table of the model that ours replaces
TOKEN_MAX_DAYS = 3650
REST_KNOX = {"TOKEN_TTL": timedelta(days=read_number("CIFARSITE_TOKEN_DAYS", 90, minimum=1, maximum=TOKEN_MAX_DAYS))}
IDEMPOTENCY_HOURS = read_number("CIFARSITE_IDEMPOTENCY_HOURS", 24, minimum=1, maximum=8760)
API_VERSION = "1.0.0"
# Requests of one user in a minute, each counted against one of them; 0: no limit.
RATES = {
    "predict": read_number("CIFARSITE_PREDICT_RATE", 0),  # one picture, on the page too
    "batch": read_number("CIFARSITE_BATCH_RATE", 0),  # several pictures
    "train": read_number("CIFARSITE_TRAIN_RATE", 0),  # a training run that is asked for
    "api": read_number("CIFARSITE_API_RATE", 0),  # all else
}
SPECTACULAR_SETTINGS = openapi.describe_api(version=API_VERSION)

# --- Limits ----------------------------------------------------------------------------------------------------------
MEBIBYTE = 1024 * 1024
IMAGE_MAX_BYTES = read_number("CIFARSITE_IMAGE_MAX_MIB", 10, minimum=1) * MEBIBYTE
IMAGE_MAX_PIXELS = read_number("CIFARSITE_IMAGE_MAX_MEGAPIXELS", 40, minimum=1) * 1_000_000
KEEP_ORIGINALS = read_switch("CIFARSITE_KEEP_ORIGINALS", default=False)  # whether owners may have their files kept
BATCH_MAX_IMAGES = read_number("CIFARSITE_BATCH_MAX_IMAGES", 32, minimum=1, maximum=1000)
BATCH_MAX_BYTES = read_number("CIFARSITE_BATCH_MAX_MIB", 64, minimum=1) * MEBIBYTE
ARCHIVE_MAX_BYTES = read_number("CIFARSITE_ARCHIVE_MAX_MIB", 2048, minimum=1) * MEBIBYTE
PACKAGE_MAX_BYTES = read_number("CIFARSITE_PACKAGE_MAX_MIB", 256, minimum=1, maximum=4096) * MEBIBYTE
ARCHIVE_MAX_ITEMS = read_number("CIFARSITE_ARCHIVE_MAX_ITEMS", 100_000, minimum=1, maximum=1_000_000)  # of a batch job
BATCH_FORM_MAX_FILES = read_number("CIFARSITE_BATCH_FORM_MAX_FILES", 1000, minimum=1, maximum=10_000)
BATCH_JOBS_PER_USER = read_number("CIFARSITE_BATCH_JOBS_PER_USER", 10)  # waiting and running; 0: no limit
BATCH_ARCHIVE_DAYS = read_number("CIFARSITE_BATCH_ARCHIVE_DAYS", 7, maximum=3650)  # after the job's end
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
FORM_MAX_FILES = 100  # of any form but those that are for more
# Of the forms that are; one too many is answered with how many may be.
DATA_UPLOAD_MAX_NUMBER_FILES = max(FORM_MAX_FILES, BATCH_FORM_MAX_FILES, BATCH_MAX_IMAGES) + 1
# Larger uploads are streamed to a temporary file; this bounds what a form may hold in memory.
FILE_UPLOAD_MAX_MEMORY_SIZE = IMAGE_MAX_BYTES
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "cifarsite.upload_handlers.NamelessFileUploadHandler",
]

# --- Inference, inside the web process -------------------------------------------------------------------------------
# Threads of one picture; 0: measured when the model is loaded, and so is the precision.
_IS_MEASURED = env.str("CIFARSITE_INFERENCE_THREADS", default="auto").strip().lower() == "auto"
INFERENCE_THREADS = 0 if _IS_MEASURED else read_number("CIFARSITE_INFERENCE_THREADS", 1, minimum=1)
INFERENCE_PRECISION = read_choice("CIFARSITE_INFERENCE_PRECISION", "auto", allowed=("auto", "f32", "bf16"))
QUEUE_MAX = read_number("CIFARSITE_QUEUE_MAX", 20, maximum=1000)  # pictures' requests that wait in a web process
BATCH_ENGINE = read_choice("CIFARSITE_BATCH_ENGINE", "auto", allowed=("auto", "openvino", "torch"))

# --- Training --------------------------------------------------------------------------------------------------------
# Empty: nothing is recorded. That is production's default, and the embedded mode's when it is told `off`.
if env.str("MLFLOW_TRACKING_URI", default="").strip().lower() == "off":
    MLFLOW_TRACKING_URI = ""
else:
    MLFLOW_TRACKING_URI = read_url("MLFLOW_TRACKING_URI", ("http", "https", "sqlite", "postgresql"))
    if EMBEDDED and not MLFLOW_TRACKING_URI:
        MLFLOW_TRACKING_URI = f"sqlite:///{VAR / 'mlflow.sqlite3'}"
MLFLOW_URL = read_url("MLFLOW_URL", ("http", "https"))  # where a person opens MLflow's interface
TRAINING_THREADS = read_number("CIFARSITE_TRAINING_THREADS", 0)  # 0: all cores
CHECKPOINT_DAYS = read_number("CIFARSITE_CHECKPOINT_DAYS", 30, minimum=1, maximum=3650)  # of runs that have ended
TRAINING_SLOTS = read_number("CIFARSITE_TRAINING_SLOTS", 1, minimum=1, maximum=64)  # where there is no GPU
USER_ACTIVE_RUNS = read_number("CIFARSITE_USER_ACTIVE_RUNS", 0)  # waiting and running ones of a user; 0: no limit
USER_RUNNING_RUNS = read_number("CIFARSITE_USER_RUNNING_RUNS", 0)  # at the same time; 0: no limit
# A version whose test accuracy is lower than the champion's by more than this answers with a stated reason only.
PROMOTION_MARGIN = read_fraction("CIFARSITE_PROMOTION_MARGIN", 0.01)
CHAMPION_PACKAGES = BASE_DIR / "training" / "champion"

# --- Security --------------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "cifarsite.accounts.sessions"
SESSION_COOKIE_HTTPONLY = True
HTTPS = read_switch("CIFARSITE_HTTPS", default=not EMBEDDED)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
if HTTPS:
    # One proxy speaks it for us and says who asks; without this all visitors would share one count of wrong passwords.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
    SECURE_HSTS_SECONDS = read_number("CIFARSITE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
# Load balancers and Prometheus ask over plain HTTP, behind the proxy.
SECURE_REDIRECT_EXEMPT = [r"^api/v1/(health|ready)$", r"^metrics$"]

# Pages of other origins may use the API with a token; never the session, whose cookie they may not send.
CORS_ALLOWED_ORIGINS = env.list("CIFARSITE_CORS_ORIGINS", default=[])
if wrong := [origin for origin in CORS_ALLOWED_ORIGINS if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin)]:
    message = f"CIFARSITE_CORS_ORIGINS holds {wrong[0]!r}: give origins by commas, such as https://example.org."
    raise ImproperlyConfigured(message)
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "if-none-match"]
CORS_EXPOSE_HEADERS = ["etag", "idempotency-replayed", "location", "retry-after"]

# --- Figures ---------------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.str("CIFARSITE_METRICS_TOKEN", default="")  # empty: only signed-in staff read /metrics

# --- Logs ------------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    message = f"LOG_LEVEL={LOG_LEVEL!r} is not valid: give DEBUG, INFO, WARNING, ERROR or CRITICAL."
    raise ImproperlyConfigured(message)
LOG_FORMAT = read_choice("CIFARSITE_LOG_FORMAT", "plain" if EMBEDDED else "json", allowed=logs.FORMATS)
LOGGING = logs.logging_config(log_format=LOG_FORMAT, level=LOG_LEVEL)
# One line per request where programs read the log. People follow it for jobs, and open pages ask every second.
_REQUEST_LEVEL = logging.INFO if LOG_FORMAT == "json" else logging.DEBUG
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_DEFAULT_LOG_LEVEL = DJANGO_STRUCTLOG_STATUS_2XX_LOG_LEVEL = _REQUEST_LEVEL
# Django itself warns of these.
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = DJANGO_STRUCTLOG_STATUS_5XX_LOG_LEVEL = _REQUEST_LEVEL
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # personal data, which the log does not need
