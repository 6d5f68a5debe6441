"""The Learn page: what CIFAR-10 is, how the recipes work, a playground, and what this project measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from training.class_names import display_name
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.fields import FIELD_GROUPS
from training.engine.recipes import RECIPES, Recipe
from training.engine.recipes.base import NEUTRAL
from training.engine_texts import show_value, translate
from training.measured import Measurement, read_measured
from training.samples import SAMPLES_PER_CLASS
from training.views.queries import newest_cifar10

_WHAT: Final[dict[str, Promise]] = {
    "plain": _("The compact network at full width, trained plainly"),
    "fast": _("Recipe fast: half as wide, smaller batches, crops that grow"),
    "quarter_hour": _("Recipe accurate, changed: the best of a quarter of an hour"),
    "champion": _("Recipe accurate: the model that ships"),
    "one_phase": _("The compact network, from these images alone"),
    "two_phases": _("The same after a first phase on other labelled images"),
    "frozen": _("EfficientNet-Lite0 with ImageNet weights, the head alone"),
    "finetuned": _("EfficientNet-Lite0 with ImageNet weights, every layer"),
}
"""What was done, by the key of a measurement."""

_WIDTH, _HEIGHT = 460, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 14, 446, 258
_SECOND_TICKS: Final = (60, 120, 300, 600, 1200, 3600, 7200)


class LearnView(TemplateView):
    """For everybody; photographs appear for those who may look at the site's data."""

    template_name = "learn/learn.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the classes, the recipes and the figures."""
        may_see_data = self.request.user.has_perm("training.view_dataset")
        measured = read_measured()
        return super().get_context_data(
            classes=[{"key": key, "name": display_name(key)} for key in CIFAR10_CLASS_KEYS],
            dataset=newest_cifar10() if may_see_data else None,
            samples_per_class=SAMPLES_PER_CLASS,
            recipes=[describe_recipe(recipe) for recipe in RECIPES.values()],
            rows=[(number, _WHAT[row.key], row) for number, row in enumerate(measured.all_images, start=1)],
            few_rows=[(_WHAT[row.key], row) for row in measured.few_images],
            champion=next(row for row in measured.all_images if row.key == "champion"),
            commands=list(dict.fromkeys(row.command for row in (*measured.all_images, *measured.few_images))),
            chart=draw_chart(measured.all_images),
            **kwargs,
        )


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe in the reader's language, with the settings that make it, by what they are about."""
    settings = []
    for title, fields in FIELD_GROUPS.items():
        own = [
            {"label": translate(spec.label), "help": translate(spec.help), "value": show_value(recipe.defaults[name])}
            for name, spec in fields.items()
            if name in NEUTRAL and recipe.defaults[name] != NEUTRAL[name]
        ]
        if own:
            settings.append({"title": translate(title), "fields": own})
    return {
        "name": recipe.name,
        "title": translate(recipe.title),
        "summary": translate(recipe.summary),
        "source": recipe.source,
        "measured": recipe.measured,
        "settings": settings,
        "count": sum(len(group["fields"]) for group in settings),
    }


@dataclass(frozen=True, slots=True)
class Chart:
    """Accuracy by training time on a logarithmic axis, in the units of an SVG's view box.

    Attributes:
        view_box: Of the SVG.
        points: `number`, `x` and `y`, and `top` and `bottom` of what the seeds spread over.
        columns: `x` and `seconds` of the vertical lines.
        lines: `y` and `accuracy` of the horizontal ones.
    """

    view_box: str
    points: list[dict[str, float]]
    columns: list[dict[str, float]]
    lines: list[dict[str, float]]


def draw_chart(rows: tuple[Measurement, ...]) -> Chart:
    """Place measurements in a chart."""
    seconds = [row.seconds for row in rows]
    left, right = math.log(min(seconds) * 0.75), math.log(max(seconds) * 1.25)
    bottom = math.floor(100 * min(row.lowest for row in rows)) / 100
    top = math.ceil(100 * max(row.highest for row in rows)) / 100

    def x_of(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (math.log(value) - left) / (right - left)

    def y_of(value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (value - bottom) / (top - bottom)

    steps = round(100 * (top - bottom))
    return Chart(
        view_box=f"0 0 {_WIDTH} {_HEIGHT}",
        points=[
            {
                "number": number,
                "x": x_of(row.seconds),
                "y": y_of(row.accuracy),
                "top": y_of(row.highest),
                "bottom": y_of(row.lowest),
            }
            for number, row in enumerate(rows, start=1)
        ],
        columns=[{"x": x_of(tick), "seconds": tick} for tick in _SECOND_TICKS if left < math.log(tick) < right],
        lines=[{"y": y_of(bottom + step / 100), "accuracy": bottom + step / 100} for step in range(steps + 1)],
    )
