"""What drf-spectacular is told: how the API's description is titled, ordered and shown, without another host."""

from __future__ import annotations

from typing import Any


def describe_api(*, version: str) -> dict[str, Any]:
    """Return `SPECTACULAR_SETTINGS`.

    Args:
        version: of the API.
    """
    return {
        "TITLE": "cifarsite",
        "DESCRIPTION": "Classify images into the ten CIFAR-10 classes, and train the models that answer. "
        "Make a token under “API tokens”, or with `manage.py api_token USERNAME`. What concerns the account itself "
        "(its data, tokens, notifications and webhook) takes a session or a token with the scope `account`.",
        "VERSION": version,
        "OAS_VERSION": "3.1.1",
        "TAGS": [
            {"name": name}
            for name in (
                "Pictures",
                "Batches",
                "History",
                "Model",
                "Models",
                "Datasets",
                "Runs",
                "Queues",
                "Tokens",
                "Account",
                "Site",
            )
        ],
        "COMPONENT_SPLIT_PATCH": False,  # what a PATCH takes is required, too
        "ENUM_NAME_OVERRIDES": {
            "JobStatusEnum": "training.choices.JobStatus",
            "ImportSourceEnum": "training.choices.ImportSource",
            "PictureSourceEnum": "classifier.choices.Source",
        },
        "SERVE_INCLUDE_SCHEMA": False,
        "SERVE_AUTHENTICATION": [],
        "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
        "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},  # null: no other host judges the schema
        "SWAGGER_UI_DIST": "SIDECAR",
        "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
        "REDOC_DIST": "SIDECAR",
    }
