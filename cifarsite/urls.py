"""Addresses of the site: pages, accounts, the admin panel, the API and its documentation."""

from allauth.account.decorators import secure_admin_login
from allauth.account.views import email
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path

from cifarsite.accounts import account_views, notification_views, views, webhook_views
from cifarsite.accounts.proof import proof_required
from cifarsite.metrics import MetricsView

# One way in, with one lockout: the admin panel's login is the site's own.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("cifarsite.api_router")),  # first: what programs ask for most is found after the fewest others
    path("", include("classifier.urls")),
    path("", include("training.urls")),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<slug:key>/revoke/", views.revoke, name="token_revoke"),
    path("account/", account_views.account, name="account"),
    path("account/webhook/", webhook_views.webhook, name="account_webhook"),
    path("account/data/", account_views.data, name="account_data"),
    path("account/data.zip", account_views.archive, name="account_archive"),
    path("account/delete/", account_views.delete, name="account_delete"),
    path("notifications/", notification_views.notifications, name="notifications"),
    path("notifications/read/", notification_views.read_all, name="notifications_read"),
    path("notifications/<int:pk>/read/", notification_views.read, name="notification_read"),
    path("accounts/email/", login_required(proof_required(email)), name="account_email"),  # its forms ask themselves
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
]

# Pages for people, problem+json for programs under /api/.
handler400 = "cifarsite.problems.bad_request"
handler403 = "cifarsite.problems.permission_denied"
handler404 = "cifarsite.problems.page_not_found"
handler500 = "cifarsite.problems.server_error"
handler429 = "cifarsite.error_pages.too_many_requests"  # allauth's, when somebody tries too often
