"""Pages of datasets: what there is to train on."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.generic import DetailView, ListView, View

from training.class_names import display_name
from training.engine.dataset_files import PREVIEW_EPOCHS, PREVIEW_IMAGES
from training.engine.recipes import RECIPES
from training.engine_texts import translate
from training.exceptions import ServiceError
from training.histograms import HISTOGRAM_IMAGES, count_channels, draw_histogram
from training.models import Dataset
from training.previews import list_previews, name_augmentations, read_preview
from training.samples import SAMPLES_PER_CLASS, draw_class_strip
from training.services import accept_copies
from training.views.access import PageAccessMixin
from training.views.checks import build_check_report
from training.views.progress import poll_seconds
from training.views.queries import datasets_for_list, imports_to_watch, newest_runs_of

_NEVER_CHANGES_SECONDS = 30 * 24 * 3600
_DRAWN_ANEW_SECONDS = 3600  # after which pictures that a newer version of the code drew are seen
_SHOWN_SKIPPED = 100


class DatasetListView(PageAccessMixin, ListView[Dataset]):
    """All datasets, and the imports that are at work or went wrong."""

    permission_required = "training.view_dataset"
    template_name = "training/datasets.html"
    context_object_name = "datasets"
    paginate_by = 20

    def get_queryset(self) -> QuerySet[Dataset]:
        """Return the datasets with what the list shows of their manifests."""
        return datasets_for_list()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the imports to watch, and how soon the page shall refresh itself."""
        context = super().get_context_data(**kwargs)
        imports = list(imports_to_watch())
        context["imports"] = imports
        context["poll"] = min((poll_seconds(job) for job in imports if not job.is_terminal), default=0) * 2
        return context


class DatasetView(PageAccessMixin, DetailView[Dataset]):
    """One dataset: its classes, a look at its pictures, its manifest, its faults."""

    permission_required = "training.view_dataset"
    queryset = Dataset.objects.select_related("copies_accepted_by")
    template_name = "training/dataset.html"
    context_object_name = "dataset"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the counts per class, the entries that were left out and the report of the checks."""
        manifest = self.object.manifest
        train, test = manifest["splits"]["train"]["per_class"], manifest["splits"]["test"]["per_class"]
        skipped = manifest.get("skipped", [])
        return super().get_context_data(
            manifest=manifest,
            classes=[
                {"index": index, "name": display_name(key), "train": train[key], "test": test[key]}
                for index, key in enumerate(self.object.class_keys)
            ],
            largest_class=max([*train.values(), *test.values()], default=1),
            samples_per_class=SAMPLES_PER_CLASS,
            histogram_count=min(HISTOGRAM_IMAGES, self.object.train_count),
            previews=_arrange_previews(self.object),
            preview_count=min(PREVIEW_IMAGES, self.object.train_count),
            preview_epochs=PREVIEW_EPOCHS,
            skipped=skipped[:_SHOWN_SKIPPED],
            skipped_count=len(skipped),
            newest_runs=newest_runs_of(self.object),
            checks=build_check_report(self.object),
            **kwargs,
        )


def _arrange_previews(dataset: Dataset) -> list[dict[str, Any]] | None:
    """Return the recipes whose pictures are there, with what they do; None where that is not known."""
    recipes = list_previews(dataset)
    if recipes is None:
        return None
    return [
        {"name": recipe.name, "title": translate(recipe.title), "augmentations": name_augmentations(recipe)}
        for recipe in recipes
    ]


class DatasetAcceptCopiesView(PageAccessMixin, View):
    """Let runs use a dataset although test images of it are exact copies of training images."""

    permission_required = "training.accept_dataset_copies"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Accept the copies and show the dataset again."""
        try:
            accept_copies(dataset=get_object_or_404(Dataset, pk=pk), by=self.viewer)
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("The copies are accepted: runs may use this dataset."))
        return redirect("dataset", pk=pk)


@method_decorator(cache_control(private=True, max_age=_NEVER_CHANGES_SECONDS, immutable=True), name="dispatch")
class DatasetSampleView(PageAccessMixin, View):
    """A few pictures of one class, as one PNG. A dataset never changes, so a browser keeps it."""

    permission_required = "training.view_dataset"

    def get(self, request: HttpRequest, pk: int, class_index: int) -> HttpResponse:
        """Return the strip of pictures."""
        dataset = get_object_or_404(Dataset, pk=pk)
        if class_index >= len(dataset.class_keys):
            raise Http404
        try:
            strip = draw_class_strip(dataset, class_index)
        except (OSError, ValueError) as error:
            raise Http404 from error
        return HttpResponse(strip, content_type="image/png")


@method_decorator(cache_control(private=True, max_age=_NEVER_CHANGES_SECONDS, immutable=True), name="dispatch")
class DatasetHistogramView(PageAccessMixin, View):
    """How bright red, green and blue are, as one SVG. A dataset never changes, so a browser keeps it."""

    permission_required = "training.view_dataset"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the drawing."""
        try:
            shares = count_channels(get_object_or_404(Dataset, pk=pk))
        except (OSError, ValueError) as error:
            raise Http404 from error
        return HttpResponse(draw_histogram(shares), content_type="image/svg+xml")


@method_decorator(cache_control(private=True, max_age=_DRAWN_ANEW_SECONDS), name="dispatch")
class DatasetPreviewView(PageAccessMixin, View):
    """What a recipe's augmentations make of some training images, as one PNG."""

    permission_required = "training.view_dataset"

    def get(self, request: HttpRequest, pk: int, recipe: str) -> HttpResponse:
        """Return the picture."""
        dataset = get_object_or_404(Dataset, pk=pk)
        if recipe not in RECIPES:
            raise Http404
        try:
            drawn = read_preview(dataset, recipe)
        except OSError as error:
            raise Http404 from error
        return HttpResponse(drawn, content_type="image/png")
