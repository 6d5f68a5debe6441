"""Application configuration: the groups exist in every database that has been migrated."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Accounts of the site."""

    name = "cifarsite.accounts"
    label = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Keep the groups' permissions in step with the code after every migration, and hear of jobs that end."""
        from cifarsite.accounts.groups import ensure_groups  # noqa: PLC0415  # models are loaded only now
        from cifarsite.accounts.notifications import notify_owner  # noqa: PLC0415
        from training.endings import register_listener  # noqa: PLC0415

        register_listener(notify_owner)
        post_migrate.connect(ensure_groups, dispatch_uid="accounts.ensure_groups")
