"""The API's documentation for people: Swagger and ReDoc, from files of our own, under the site's strict CSP."""

from __future__ import annotations

from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView


class SwaggerView(SpectacularSwaggerSplitView):
    """Try the API in the browser."""

    template_name = "docs/swagger.html"
    url_name = "api:schema"


class RedocView(SpectacularRedocView):
    """Read about the API."""

    template_name = "docs/redoc.html"
    url_name = "api:schema"
