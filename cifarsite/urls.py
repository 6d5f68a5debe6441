"""Addresses of the site: pages, accounts, the admin panel, the API and its documentation."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from cifarsite.accounts import views
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
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
]

# Pages for people, problem+json for programs under /api/.
handler400 = "cifarsite.problems.bad_request"
handler403 = "cifarsite.problems.permission_denied"
handler404 = "cifarsite.problems.page_not_found"
handler500 = "cifarsite.problems.server_error"
