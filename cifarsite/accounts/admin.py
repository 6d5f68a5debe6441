"""Users and tokens in the admin panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allauth.mfa import admin as mfa_admin
from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cifarsite.accounts.deletion import administrators, delete_account
from cifarsite.accounts.models import ApiToken, User
from training.admin.base import Deletion, ReadOnlyAdmin, asker, protecting
from training.exceptions import ServiceError


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    """People; their groups tell what they may do, *staff status* lets them in here."""

    list_display = ["username", "email", "role", "is_staff", "is_active", "date_joined", "last_login"]
    date_hierarchy = "date_joined"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Fetch the groups of all in one query."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=gettext_lazy("groups"))
    def role(self, user: User) -> str:
        """Show the groups."""
        return ", ".join(group.name for group in user.groups.all()) or "—"

    def get_deleted_objects(self, objs: Sequence[User] | QuerySet[User], request: HttpRequest) -> Deletion:
        """Name the accounts, not what they hold, which nobody else may see; protect the last administrators."""
        names = [str(user) for user in objs]
        deletion: Deletion = (names, {str(self.opts.verbose_name_plural): len(names)}, set(), [])
        leaving = {user.pk for user in objs}
        ruling = set(administrators().values_list("pk", flat=True))
        why = (
            _("%(row)s is the only administrator") if len(ruling) == 1 else _("%(row)s: one administrator has to stay")
        )
        return protecting(deletion, objs, keep=lambda user: user.pk in ruling and ruling <= leaving, why=why)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, and delete; a refusal is said, and no success beside it."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirect("admin:accounts_user_changelist")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """List people, and carry actions out; as above."""
        try:
            return super().changelist_view(request, extra_context)
        except ServiceError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirect(request.get_full_path())

    def log_deletions(self, request: HttpRequest, queryset: Sequence[User] | QuerySet[User]) -> list[LogEntry]:
        """Write nothing yet: each is logged when it goes."""
        return []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete the account as its owner would."""
        self._delete(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete each account as its owner would."""
        for user in queryset:
            self._delete(request, user)

    def _delete(self, request: HttpRequest, user: User) -> None:
        """Delete an account, and log it; in transactions of the deletion's own, so that others write in between."""
        kind = ContentType.objects.get_for_model(User)
        entry = LogEntry.objects.create(
            user=asker(request),
            content_type=kind,
            object_id=str(user.pk),
            object_repr=str(user),
            action_flag=DELETION,
        )
        try:
            delete_account(user=user)
        except ServiceError:
            entry.delete()
            raise


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    """Tokens can be seen and revoked here; they are made by their owner, since they are shown once."""

    list_display = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]
    list_filter = ["created", "last_used_at", ("user", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = ["token_key", "name", "user__username"]
    fields = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]
    readonly_fields = ["token_key", "name", "user", "scopes", "created", "last_used_at", "expiry"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a token made here could not be shown to its owner."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Refuse: there is nothing that could be changed."""
        return False


admin.site.unregister(mfa_admin.Authenticator)  # allauth's own shows the keys


@admin.register(Authenticator)
class SecondFactorAdmin(ReadOnlyAdmin[Authenticator]):
    """Who has a second factor, without its key; it is deleted here for somebody whose telephone is lost."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        """Let those delete it who may."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        """Delete it, and recovery codes that are left alone, which open nothing any more."""
        super().delete_model(request, obj)
        left = Authenticator.objects.filter(user=obj.user)
        if not left.exclude(type=Authenticator.Type.RECOVERY_CODES).exists():
            left.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Authenticator]) -> None:
        """Delete each like one."""
        for authenticator in queryset:
            self.delete_model(request, authenticator)
