"""Addresses of the API, version 1, and of its documentation."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView

from cifarsite.accounts.account_api import AccountDataView, AccountView
from cifarsite.accounts.notification_api import NotificationReadView, NotificationsReadView, NotificationsView
from cifarsite.accounts.token_api import TokensView, TokenView
from cifarsite.accounts.webhook_api import WebhookView
from cifarsite.docs_views import RedocView, SwaggerView
from cifarsite.health import HealthView, ReadyView, WelcomeView

_api: list[URLPattern | URLResolver] = [
    path("", WelcomeView.as_view(), name="root"),
    path("health", HealthView.as_view(), name="health"),
    path("ready", ReadyView.as_view(), name="ready"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("tokens", TokensView.as_view(), name="tokens"),
    path("tokens/<slug:key>", TokenView.as_view(), name="token"),
    path("account", AccountView.as_view(), name="account"),
    path("account/data", AccountDataView.as_view(), name="account_data"),
    path("account/webhook", WebhookView.as_view(), name="account_webhook"),
    path("notifications", NotificationsView.as_view(), name="notifications"),
    path("notifications/read", NotificationsReadView.as_view(), name="notifications_read"),
    path("notifications/<int:pk>/read", NotificationReadView.as_view(), name="notification_read"),
    path("", include("classifier.api.urls")),
    path("", include("training.api.urls")),
]

urlpatterns = [
    path("api/v1/", include((_api, "api"))),
    path("docs", SwaggerView.as_view(), name="swagger"),
    path("redoc", RedocView.as_view(), name="redoc"),
]
