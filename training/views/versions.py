"""Pages of model versions: the list, where one comes from, the choice of the champion, and the way back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.generic import DetailView, ListView, View

from training.choices import ModelState
from training.exceptions import ClassesDifferError, ServiceError
from training.models import ModelVersion
from training.services import LONGEST_REASON, find_evaluable, promote_version, roll_back
from training.services.gate import explain_needed_reason, is_comparable
from training.services.versions import find_predecessor
from training.sights import find_evaluation
from training.views.access import PageAccessMixin
from training.views.evaluation import build_evaluation
from training.views.image_map import draw_map
from training.views.queries import newest_evaluations_of, versions_for_list, versions_with_history
from training.views.reports import build_report

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_KEY: Final = re.compile("[0-9]{1,18}")


class VersionListView(PageAccessMixin, ListView[ModelVersion]):
    """All versions, the champion first."""

    permission_required = "training.view_modelversion"
    template_name = "training/versions.html"
    context_object_name = "versions"
    paginate_by = 20

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Return the versions with what the list shows of their manifests."""
        return versions_for_list()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add where rolling back leads."""
        return super().get_context_data(**_way_back(self.viewer), **kwargs)


class VersionView(PageAccessMixin, DetailView[ModelVersion]):
    """Where a version comes from, what it measured, and who promoted it."""

    permission_required = "training.view_modelversion"
    template_name = "training/version.html"
    context_object_name = "version"

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Return versions with their history."""
        return versions_with_history()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the test report, what else was evaluated, and the moment the package was sealed."""
        manifest = self.object.manifest
        return super().get_context_data(
            manifest=manifest,
            report=build_report(manifest["metrics"]),
            evaluation=build_evaluation(manifest),
            **self._evaluations(),
            sealed_at=parse_datetime(manifest.get("created_at", "")),
            **(_way_back(self.viewer) if self.object.state == ModelState.CHAMPION else {}),
            **kwargs,
        )

    def _evaluations(self) -> dict[str, Any]:
        """Return what those see who may see evaluations: the last ones, the map of the best, what else can be asked."""
        if not self.viewer.has_perm("training.view_evaluation"):
            return {}
        found = find_evaluation(self.object)
        return {
            "evaluations": newest_evaluations_of(self.object),
            "mapped": found,
            "dots": draw_map(found, class_keys=self.object.class_keys),
            "datasets": find_evaluable(self.object) if self.viewer.has_perm("training.add_evaluation") else (),
        }


class VersionPromoteView(PageAccessMixin, DetailView[ModelVersion]):
    """Compare a version with the champion, then make it the champion.

    A version with other classes needs a second consent, one that is not known to be as accurate a reason: the page
    then shows a box, and a field.
    """

    permission_required = "training.promote_modelversion"
    template_name = "training/version_promote.html"
    context_object_name = "version"
    queryset = ModelVersion.objects.all()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the champion, and whether the classes are the same."""
        champion = ModelVersion.objects.champion()
        return super().get_context_data(
            champion=champion,
            is_champion=self.object.state == ModelState.CHAMPION,
            classes_differ=champion is not None and champion.class_keys != self.object.class_keys,
            reason_needed=champion and explain_needed_reason(self.object, champion=champion),
            is_comparable=champion is not None and is_comparable(self.object, champion),
            accuracy_change=champion and self.object.test_accuracy - champion.test_accuracy,
            longest_reason=LONGEST_REASON,
            reason=self.request.POST.get("reason", ""),
            **kwargs,
        )

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Promote, or show the page again with the reason why not."""
        self.object = self.get_object()
        accepted = request.POST.get("accept_class_change") == "on"
        try:
            promotion = promote_version(
                version=self.object,
                by=self.viewer,
                accept_class_change=accepted,
                reason=request.POST.get("reason", ""),
            )
        except ClassesDifferError:
            return self._refuse(_("Tick the box to confirm that the answers will have other classes."))
        except ServiceError as error:
            return self._refuse(str(error))
        if promotion.previous is None:
            messages.success(request, _("%(version)s now answers.") % {"version": self.object})
        else:
            replaced = {"version": self.object, "previous": promotion.previous}
            messages.success(request, _("%(version)s now answers in place of %(previous)s.") % replaced)
        return redirect("version", pk=self.object.pk)

    def _refuse(self, sentence: str) -> HttpResponseBase:
        return self.render_to_response(self.get_context_data(refusal=sentence), status=409)


class VersionRollbackView(PageAccessMixin, View):
    """Let the version answer again that answered before the champion, with one click."""

    permission_required = "training.promote_modelversion"
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Go back, unless the champion is another one than the page showed."""
        shown = request.POST.get("champion", "")
        try:
            promotion = roll_back(by=self.viewer, champion=int(shown) if _KEY.fullmatch(shown) else 0)
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            names = {"version": promotion.version, "previous": promotion.previous}
            messages.success(request, _("%(version)s answers again in place of %(previous)s.") % names)
        return redirect("versions")


def _way_back(viewer: User) -> dict[str, Any]:
    """Return the champion and the version to which rolling back leads, for those who may."""
    champion = ModelVersion.objects.champion() if viewer.has_perm("training.promote_modelversion") else None
    return {"champion": champion, "before": champion and find_predecessor(champion)}
