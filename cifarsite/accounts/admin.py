"""Users and tokens in the admin panel."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from cifarsite.accounts.models import ApiToken, User

admin.site.register(User, UserAdmin)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    """Tokens can be seen and revoked here; they are made by their owner, since they are shown once."""

    list_display = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]
    search_fields = ["token_key", "name", "user__username"]
    fields = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]
    readonly_fields = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a token made here could not be shown to its owner."""
        return False
