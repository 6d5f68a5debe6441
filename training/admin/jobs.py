"""Runs, imports and evaluations in the admin panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from training.admin.base import Deletion, JobT, asker, protecting
from training.choices import ImportSource
from training.exceptions import ServiceError
from training.forms import MAIN_SETTINGS, MORE_SETTINGS, ImportForm, RunForm, SettingField
from training.jobs import Job
from training.models import Dataset, DatasetImport, Evaluation, ModelVersion, TrainingRun
from training.services import (
    cancel_evaluation,
    cancel_import,
    cancel_run,
    request_evaluation,
    request_import,
    request_run,
    resume_run,
)


class JobAdmin(admin.ModelAdmin[JobT]):
    """A kind of job: its Add form asks the service for one; its rows can be cancelled, and some resumed, not edited."""

    list_filter = ["status", "priority", "reason", ("owner", admin.RelatedOnlyFieldListFilter)]
    date_hierarchy = "requested_at"
    list_per_page = 50
    actions = ["cancel_selected"]
    exclude = ["log_tail"]
    readonly_fields = ["log"]
    add_form: type[forms.ModelForm[Any]]
    add_fieldsets: list[Any]

    def request_job(self, request: HttpRequest, form: Any) -> JobT:  # noqa: ANN401  # the subclass's own form
        """Ask the service for the job that the form describes."""
        raise NotImplementedError

    def cancel_job(self, request: HttpRequest, job: JobT) -> None:
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
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[JobT]) -> None:
        """Cancel the chosen jobs, and say of each that had ended already."""
        cancelled = self.act_on_each(request, queryset, self.cancel_job)
        if cancelled:
            sentence = ngettext("%(count)d job is being cancelled.", "%(count)d jobs are being cancelled.", cancelled)
            self.message_user(request, sentence % {"count": cancelled}, messages.SUCCESS)

    def act_on_each(self, request: HttpRequest, jobs: QuerySet[JobT], act: Callable[[HttpRequest, JobT], None]) -> int:
        """Do something with each of the chosen jobs, and say why where that is refused; return how many it was not."""
        done = 0
        for job in jobs:
            try:
                act(request, job)
            except ServiceError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                done += 1
        return done

    def get_form(
        self,
        request: HttpRequest,
        obj: JobT | None = None,
        change: bool = False,  # noqa: FBT001, FBT002  # Django's own signature
        **kwargs: Any,  # noqa: ANN401
    ) -> type[forms.ModelForm[JobT]]:
        """Ask for a job with the form of the pages."""
        return self.add_form if obj is None else super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: JobT | None = None) -> Any:  # noqa: ANN401  # the stubs' union
        """Arrange the form of the pages, or what is known of a job."""
        return self.add_fieldsets if obj is None else super().get_fieldsets(request, obj)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Operators stop everybody's jobs."""
        return request.user.has_perm("training.manage_trainingrun")

    def has_change_permission(self, request: HttpRequest, obj: JobT | None = None) -> bool:
        """Refuse: only transitions change a job."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: JobT | None = None) -> bool:
        """Refuse for a job that is alive."""
        return (obj is None or obj.is_terminal) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Sequence[JobT] | QuerySet[JobT], request: HttpRequest) -> Deletion:
        """Protect the living among the chosen jobs."""
        deletion = super().get_deleted_objects(objs, request)
        return protecting(deletion, objs, keep=lambda job: not job.is_terminal, why=_("%(row)s is still at work"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form again with the reason when the service refuses what the form let pass."""
        try:
            return super().add_view(request, form_url, extra_context)
        except ServiceError as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: JobT, form: Any, change: Any) -> None:  # noqa: ANN401  # Django's own signature
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

    list_display = [
        "__str__",
        "status",
        "priority",
        "progress",
        "dataset",
        "recipe",
        "owner",
        "requested_at",
        "finished_at",
    ]
    actions = ["cancel_selected", "resume_selected"]
    list_select_related = ["dataset", "owner"]
    search_fields = ["=pk", "dataset__name", "recipe", "owner__username", "detail"]
    add_form = RunAdminForm
    add_fieldsets = [
        (None, {"fields": ["dataset", "recipe", *MAIN_SETTINGS, "priority", "after"]}),
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
            owner=asker(request),
            dataset=chosen["dataset"],
            recipe=chosen["recipe"],
            overrides=form.overrides(),
            priority=chosen["priority"],
            after=chosen["after"],
        )

    def cancel_job(self, request: HttpRequest, job: TrainingRun) -> None:
        """Ask for the run's end."""
        cancel_run(run=job, by=asker(request))

    @admin.action(description=gettext_lazy("Resume selected"), permissions=["cancel"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        """Let the chosen runs go on, and say of each that cannot."""
        resumed = self.act_on_each(request, queryset, self.resume_job)
        if resumed:
            sentence = ngettext(
                "%(count)d run goes on from where it stopped.", "%(count)d runs go on from where they stopped.", resumed
            )
            self.message_user(request, sentence % {"count": resumed}, messages.SUCCESS)

    def resume_job(self, request: HttpRequest, job: TrainingRun) -> None:
        """Ask the service to queue the run again."""
        resume_run(run=job, by=asker(request))


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
            owner=asker(request),
            name=chosen["name"],
            source=ImportSource(chosen["source"]),
            upload=chosen["upload"],
            skip_unreadable=chosen["skip_unreadable"],
            notes=chosen["notes"],
        )

    def cancel_job(self, request: HttpRequest, job: DatasetImport) -> None:
        """Ask for the import's end."""
        cancel_import(job=job, by=asker(request))


class EvaluationAdminForm(forms.ModelForm[Evaluation]):
    """What is measured on what."""

    class Meta:
        model = Evaluation
        fields = ["version", "dataset", "with_augmentation"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's own signature
        super().__init__(*args, **kwargs)
        for name, rows in {"version": ModelVersion.objects, "dataset": Dataset.objects}.items():
            self.fields[name].queryset = rows.defer("manifest")  # type: ignore[attr-defined]  # a choice of rows


@admin.register(Evaluation)
class EvaluationAdmin(JobAdmin[Evaluation]):
    """Evaluations of model versions."""

    list_display = ["__str__", "dataset", "status", "progress", "measured", "owner", "requested_at", "finished_at"]
    search_fields = ["=pk", "dataset__name", "owner__username", "detail"]
    exclude = ["log_tail", "report"]
    readonly_fields = ["measured", "log"]
    add_form = EvaluationAdminForm
    add_fieldsets = [(None, {"fields": ["version", "dataset", "with_augmentation"]})]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evaluation]:
        """Leave reports and manifests where they are."""
        return Evaluation.objects.to_list()

    @admin.display(description=gettext_lazy("accuracy"))
    def measured(self, job: Any) -> str:  # noqa: ANN401  # with what `to_list` adds
        """Show the share of right answers."""
        return "—" if job.measured is None else f"{job.measured:.2%}"

    def view_on_site(self, obj: Evaluation) -> str:
        """Return the evaluation's page."""
        return reverse("evaluation", args=[obj.pk])

    def request_job(self, request: HttpRequest, form: EvaluationAdminForm) -> Evaluation:
        """Ask for the evaluation."""
        return request_evaluation(owner=asker(request), **form.cleaned_data)

    def cancel_job(self, request: HttpRequest, job: Evaluation) -> None:
        """Ask for the evaluation's end."""
        cancel_evaluation(evaluation=job, by=asker(request))
