# One file, three images: `web` (no torch), `worker` (torch; CPU and CUDA), `mlflow` (the tracking server).
FROM python:3.11-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# A user without rights, and the two folders it may write: both are volumes.
RUN useradd --uid 10001 --create-home app && install --directory --owner app /data/var /data/artifacts /data/mlflow


FROM python AS mlflow
COPY requirements/mlflow.txt requirements/
RUN pip install --require-hashes --requirement requirements/mlflow.txt
USER app


FROM python AS web
COPY requirements/base.txt requirements/
RUN pip install --require-hashes --requirement requirements/base.txt
COPY . .
# Collecting needs settings, not services: the values below are never used to connect and stay out of the image.
RUN DATABASE_URL=postgres://build/none REDIS_URL=redis://build ALLOWED_HOSTS=build SECRET_KEY=only-while-building \
    CIFARSITE_VAR=/tmp/var python manage.py collectstatic --no-input
ENV CIFARSITE_VAR=/data/var ARTIFACTS_ROOT=/data/artifacts
USER app


FROM python AS worker
COPY requirements/worker.txt requirements/
RUN pip install --require-hashes --requirement requirements/worker.txt
COPY . .
ENV CIFARSITE_VAR=/data/var ARTIFACTS_ROOT=/data/artifacts
USER app
