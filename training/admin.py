"""Training in the admin panel: the same services as on the pages; what a worker or a service writes is read-only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from training.choices import ImportSource, ModelState
from training.exceptions import ClassesDifferError, ServiceError
from training.forms import MAIN_SETTINGS, MORE_SETTINGS, ImportForm, RunForm, SettingField
from training.jobs import Job
from training.models import Dataset, DatasetImport, ModelVersion, Promotion, TrainingRun, Worker
from training.services import cancel_import, cancel_run, promote_version, request_import, request_run

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_ModelT = TypeVar("_ModelT", bound=Model)
_JobT = TypeVar("_JobT", bound=Job)
# Objects, counts, missing permissions and protected objects, as `get_deleted_objects` returns them.
_Deletion = tuple[list[Any], dict[str, int], set[str], list[str]]


def _asker(request: HttpRequest) -> User:
    """Return the person who asks; the admin lets nobody else in."""
    return cast("User", request.user)


class ReadOnlyAdmin(admin.ModelAdmin[_ModelT]):
    """Rows to look at: services and workers write them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: _ModelT | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: _ModelT | None = None) -> bool:
        """Refuse."""
        return False


class JobAdmin(admin.ModelAdmin[_JobT]):
    """A kind of job: its Add form asks the service for one, its rows can be cancelled but not edited."""

    list_filter = ["status", "reason", ("owner", admin.RelatedOnlyFieldListFilter)]
    date_hierarchy = "requested_at"
    actions = ["cancel_selected"]
    exclude = ["log_tail"]
    readonly_fields = ["log"]
    add_form: type[forms.ModelForm[Any]]
    add_fieldsets: list[Any]

    def request_job(self, request: HttpRequest, form: Any) -> _JobT:  # noqa: ANN401  # the subclass's own form
        """Ask the service for the job that the form describes."""
        raise NotImplementedError

    def cancel_job(self, request: HttpRequest, job: _JobT) -> None:
        """Ask the service for the job's end."""
        raise NotImplementedError

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, job: Job) -> str:
        """Show how far the job is."""
        return f"{job.progress_percent} %" if job.progress_total else "—"

    @admin.display(description=gettext_lazy("last log lines"))
    def log(self, job: Job) -> str:
        """Show what the engine wrote last."""
        return job.log_tail or "—"

    @admin.action(description=gettext_lazy("Cancel selected"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[_JobT]) -> None:
        """Cancel the chosen jobs, and say of each that had ended already."""
        cancelled = 0
        for job in queryset:
            try:
                self.cancel_job(request, job)
            except ServiceError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                cancelled += 1
        if cancelled:
            sentence = ngettext("%(count)d job is being cancelled.", "%(count)d jobs are being cancelled.", cancelled)
            self.message_user(request, sentence % {"count": cancelled}, messages.SUCCESS)

    def get_form(
        self,
        request: HttpRequest,
        obj: _JobT | None = None,
        change: bool = False,  # noqa: FBT001, FBT002  # Django's own signature
        **kwargs: Any,  # noqa: ANN401
    ) -> type[forms.ModelForm[_JobT]]:
        """Ask for a job with the form of the pages."""
        return self.add_form if obj is None else super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: _JobT | None = None) -> Any:  # noqa: ANN401  # the stubs' union
        """Arrange the form of the pages, or what is known of a job."""
        return self.add_fieldsets if obj is None else super().get_fieldsets(request, obj)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Operators stop everybody's jobs."""
        return request.user.has_perm("training.manage_trainingrun")

    def has_change_permission(self, request: HttpRequest, obj: _JobT | None = None) -> bool:
        """Refuse: only transitions change a job."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: _JobT | None = None) -> bool:
        """Refuse for a job that is alive."""
        return (obj is None or obj.is_terminal) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Sequence[_JobT] | QuerySet[_JobT], request: HttpRequest) -> _Deletion:
        """Protect the living among the chosen jobs."""
        deletion = super().get_deleted_objects(objs, request)
        return _protecting(deletion, objs, keep=lambda job: not job.is_terminal, why=_("%(row)s is still at work"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form again with the reason when the service refuses what the form let pass."""
        try:
            return super().add_view(request, form_url, extra_context)
        except ServiceError as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: _JobT, form: Any, change: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Let the service make the row."""
        obj.pk = self.request_job(request, form).pk
        obj.refresh_from_db()


class RunAdminForm(RunForm, forms.ModelForm[TrainingRun]):
    """The form of the pages, in the shape that the admin expects."""

    class Meta:
        model = TrainingRun
        fields = ["dataset", "recipe"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's own signature
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field, SettingField) and field.allowed:
                field.help_text = f"{field.help_text} {field.allowed.capitalize()}."


@admin.register(TrainingRun)
class TrainingRunAdmin(JobAdmin[TrainingRun]):
    """Training runs."""

    list_display = ["__str__", "status", "progress", "dataset", "recipe", "owner", "requested_at", "finished_at"]
    list_select_related = ["dataset", "owner"]
    search_fields = ["=pk", "dataset__name", "recipe", "owner__username", "detail"]
    add_form = RunAdminForm
    add_fieldsets = [
        (None, {"fields": ["dataset", "recipe", *MAIN_SETTINGS]}),
        *((gettext_lazy(title), {"fields": names, "classes": ["collapse"]}) for title, names in MORE_SETTINGS.items()),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingRun]:
        """Leave a dataset's manifest where it is."""
        return super().get_queryset(request).defer("dataset__manifest", "dataset__checks")

    def view_on_site(self, obj: TrainingRun) -> str:
        """Return the run's page."""
        return reverse("run", args=[obj.pk])

    def request_job(self, request: HttpRequest, form: RunAdminForm) -> TrainingRun:
        """Ask for the run."""
        chosen = form.cleaned_data
        return request_run(
            owner=_asker(request), dataset=chosen["dataset"], recipe=chosen["recipe"], overrides=form.overrides()
        )

    def cancel_job(self, request: HttpRequest, job: TrainingRun) -> None:
        """Ask for the run's end."""
        cancel_run(run=job, by=_asker(request))


@admin.register(DatasetImport)
class DatasetImportAdmin(JobAdmin[DatasetImport]):
    """Dataset imports."""

    list_display = ["name", "source", "status", "progress", "owner", "requested_at", "finished_at"]
    list_select_related = ["owner"]
    list_filter = ["source", *JobAdmin.list_filter]
    search_fields = ["name", "owner__username", "detail"]
    add_form = ImportForm
    add_fieldsets = [(None, {"fields": ["source", "upload", "name", "skip_unreadable", "notes"]})]

    def view_on_site(self, obj: DatasetImport) -> str:
        """Return the import's page."""
        return reverse("import_detail", args=[obj.pk])

    def request_job(self, request: HttpRequest, form: ImportForm) -> DatasetImport:
        """Ask for the import."""
        chosen = form.cleaned_data
        return request_import(
            owner=_asker(request),
            name=chosen["name"],
            source=ImportSource(chosen["source"]),
            upload=chosen["upload"],
            skip_unreadable=chosen["skip_unreadable"],
            notes=chosen["notes"],
        )

    def cancel_job(self, request: HttpRequest, job: DatasetImport) -> None:
        """Ask for the import's end."""
        cancel_import(job=job, by=_asker(request))


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
        """Make the one chosen version the champion; other classes are confirmed on the page made for that."""
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, _("Choose exactly one version: one model answers."), messages.ERROR)
            return None
        try:
            promote_version(version=chosen[0], by=_asker(request))
        except ClassesDifferError as error:
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
    ) -> _Deletion:
        """Protect the champion among the chosen versions."""
        deletion = super().get_deleted_objects(objs, request)
        return _protecting(
            deletion, objs, keep=lambda version: version.state == ModelState.CHAMPION, why=_("%(row)s is the champion")
        )


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin[Promotion]):
    """Who promoted what, and when."""

    list_display = ["at", "version", "previous", "by"]
    list_select_related = ["version", "previous", "by"]
    date_hierarchy = "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promotion]:
        """Leave the manifests where they are."""
        return super().get_queryset(request).defer("version__manifest", "previous__manifest")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    """The workers that reported themselves."""

    list_display = ["name", "queues", "gpu_name", "started_at", "last_seen_at"]


def _protecting(
    deletion: _Deletion, rows: Sequence[_ModelT] | QuerySet[_ModelT], *, keep: Callable[[_ModelT], bool], why: str
) -> _Deletion:
    """Add the rows to keep to those that the confirmation page calls protected; it then deletes nothing."""
    objects, counts, permissions_needed, protected = deletion
    kept = [why % {"row": row} for row in rows if keep(row)]
    return (objects, counts, set(), [*protected, *kept]) if kept else (objects, counts, permissions_needed, protected)
