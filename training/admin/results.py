"""Datasets, model versions, promotions and workers in the admin panel."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.admin.base import Deletion, ReadOnlyAdmin, asker, protecting
from training.choices import ModelState
from training.exceptions import ClassesDifferError, ReasonNeededError, ServiceError
from training.models import Dataset, ModelVersion, Promotion, Worker
from training.services import promote_version


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin[Dataset]):
    """Datasets; an import makes them. Their page shows the manifest and the checks."""

    list_display = ["name", "train_count", "test_count", "synthetic", "created_at", "copies_accepted_at"]
    list_filter = ["synthetic"]
    search_fields = ["name", "sha256"]
    exclude = ["manifest", "checks"]

    def view_on_site(self, obj: Dataset) -> str:
        """Return the dataset's page, which shows its manifest."""
        return reverse("dataset", args=[obj.pk])


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin[ModelVersion]):
    """Model versions; a run makes them, an operator promotes one."""

    list_display = ["__str__", "state", "test_accuracy", "package_sha256", "run", "created_at"]
    list_select_related = ["run"]
    list_filter = ["state"]
    search_fields = ["=pk", "package_sha256"]
    exclude = ["manifest"]
    actions = ["promote_selected"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        """Leave the manifests where they are."""
        return super().get_queryset(request).defer("manifest")

    def view_on_site(self, obj: ModelVersion) -> str:
        """Return the version's page, which shows its manifest."""
        return reverse("version", args=[obj.pk])

    @admin.action(description=gettext_lazy("Promote selected"), permissions=["promote"])
    def promote_selected(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> HttpResponse | None:
        """Make the one chosen version the champion; what needs a consent or a reason is asked on the page for that."""
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, _("Choose exactly one version: one model answers."), messages.ERROR)
            return None
        try:
            promote_version(version=chosen[0], by=asker(request))
        except (ClassesDifferError, ReasonNeededError) as error:
            self.message_user(request, str(error), messages.WARNING)
            return redirect("version_promote", pk=chosen[0].pk)
        except ServiceError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, _("The champion is now %(version)s.") % {"version": chosen[0]}, messages.SUCCESS)
        return None

    def has_promote_permission(self, request: HttpRequest) -> bool:
        """Operators choose the model that answers."""
        return request.user.has_perm("training.promote_modelversion")

    def has_delete_permission(self, request: HttpRequest, obj: ModelVersion | None = None) -> bool:
        """Refuse for the champion."""
        is_champion = obj is not None and obj.state == ModelState.CHAMPION
        return not is_champion and admin.ModelAdmin.has_delete_permission(self, request, obj)

    def get_deleted_objects(
        self, objs: Sequence[ModelVersion] | QuerySet[ModelVersion], request: HttpRequest
    ) -> Deletion:
        """Protect the champion among the chosen versions."""
        deletion = super().get_deleted_objects(objs, request)
        return protecting(
            deletion, objs, keep=lambda version: version.state == ModelState.CHAMPION, why=_("%(row)s is the champion")
        )


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin[Promotion]):
    """Who promoted what, and when."""

    list_display = ["at", "version", "previous", "kind", "by", "reason"]
    list_filter = ["kind"]
    list_select_related = ["version", "previous", "by"]
    date_hierarchy = "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promotion]:
        """Leave the manifests where they are."""
        return super().get_queryset(request).defer("version__manifest", "previous__manifest")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    """The workers that reported themselves."""

    list_display = ["name", "queues", "gpu_name", "started_at", "last_seen_at"]
