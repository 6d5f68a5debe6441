"""The engine's words in the reader's language.

The engine knows no Django and writes English; its fields, recipes and progress are nevertheless shown on pages. The
markers below are there for makemessages alone; a text that is missing here is shown in English.
"""

from __future__ import annotations

import re
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from training.engine.fields import FieldSpec

MARKED: Final = frozenset(
    {
        # Titles, labels, helps and units of the fields.
        gettext_noop("Run"),
        gettext_noop("Network"),
        gettext_noop("Optimization"),
        gettext_noop("Augmentation"),
        gettext_noop("Architecture"),
        gettext_noop("Network that is trained: whitened_cnn, or a classification network of the timm library."),
        gettext_noop("Width"),
        gettext_noop("Multiplies the channels of every block of whitened_cnn; cost grows with its square."),
        gettext_noop("×"),
        gettext_noop("Depth"),
        gettext_noop("Convolutions in each of the three blocks of whitened_cnn."),
        gettext_noop("convolutions"),
        gettext_noop("Stem"),
        gettext_noop("First layers: cifar keeps small pictures in full, imagenet reduces them at once."),
        gettext_noop("Input size"),
        gettext_noop("Side to which the network enlarges pictures before its first layer."),
        gettext_noop("Pretrained weights"),
        gettext_noop("Where the network starts from: random weights, ImageNet weights, or a file."),
        gettext_noop("Weights file"),
        gettext_noop("Safetensors file to start from, on the machine that trains."),
        gettext_noop("Dropout"),
        gettext_noop("Share of the features before the last layer that is dropped while training."),
        gettext_noop("Frozen stages"),
        gettext_noop("Stages of the pretrained network, from the stem on, that do not learn; −1 for all."),
        gettext_noop("stages"),
        gettext_noop("Epochs"),
        gettext_noop("Passes over the training images."),
        gettext_noop("epochs"),
        gettext_noop("Batch size"),
        gettext_noop("Images in one optimizer step."),
        gettext_noop("images"),
        gettext_noop("Learning rate"),
        gettext_noop(
            "Peak rate; with Muon that of the convolution filters: the length of one update relative to the filter."
        ),
        gettext_noop("Learning rate of biases"),
        gettext_noop("Peak rate of the normalisation biases, for the loss summed over a batch (SGD)."),
        gettext_noop("Learning rate of the head"),
        gettext_noop("Peak rate of the last layer, for the loss summed over a batch (SGD)."),
        gettext_noop("Momentum"),
        gettext_noop("Nesterov momentum of SGD."),
        gettext_noop("Muon momentum"),
        gettext_noop("Nesterov momentum of Muon."),
        gettext_noop("Weight decay"),
        gettext_noop(
            "Shrinkage of the weights; with muon_sgd of biases and head, by so much for each image of a batch."
        ),
        gettext_noop("Label smoothing"),
        gettext_noop("Share of the target spread over all classes."),
        gettext_noop("Whitening bias epochs"),
        gettext_noop("Epochs during which the first layer's bias learns."),
        gettext_noop("Crop padding"),
        gettext_noop("How far a random crop may reach beyond the image, which is continued by reflection."),
        gettext_noop("px"),
        gettext_noop("Cutout"),
        gettext_noop("Side of a square that is painted over in each training image; 0 for none."),
        gettext_noop("Flip"),
        gettext_noop("Mirror training images every other epoch."),
        gettext_noop("First crop size"),
        gettext_noop("Side of the random crops in the first epoch; it grows to the whole image."),
        gettext_noop("Full size from"),
        gettext_noop("Fraction of the epochs after which crops have full size."),
        gettext_noop("Optimizer"),
        gettext_noop(
            "Muon moves the convolution filters and leaves biases and head, with rates of their own, "
            "to the optimizer named second; the others move every weight at the learning rate."
        ),
        gettext_noop("Schedule"),
        gettext_noop("How the learning rate falls from its peak."),
        gettext_noop("Warm-up"),
        gettext_noop("Epochs over which the learning rate first rises in a straight line."),
        gettext_noop("Epochs per step"),
        gettext_noop("Epochs after which the step schedule lowers the rate; 0 with any other schedule."),
        gettext_noop("Plateau patience"),
        gettext_noop(
            "Epochs without improvement after which the plateau schedule lowers the rate; 0 with any other schedule."
        ),
        gettext_noop("Decay factor"),
        gettext_noop("What the step and plateau schedules multiply the rate by."),
        gettext_noop("Peak position"),
        gettext_noop("Share of the steps after which the one-cycle schedule is at its peak."),
        gettext_noop("Gradient clipping"),
        gettext_noop("Largest norm of the mean loss’s gradient; longer ones are shortened to it; 0 for none."),
        gettext_noop("Accumulation"),
        gettext_noop("Parts in which a batch is computed one after the other, to need less memory."),
        gettext_noop("parts"),
        gettext_noop("Weight averaging"),
        gettext_noop(
            "Share of the old in a moving average of the weights, which is then "
            "what is measured and packaged; 0 for none."
        ),
        gettext_noop("Monitored figure"),
        gettext_noop("What early stopping and the plateau schedule watch."),
        gettext_noop("Early stopping"),
        gettext_noop("Epochs without improvement after which training ends; 0 for never."),
        gettext_noop("Least improvement"),
        gettext_noop("Change of the monitored figure that counts as an improvement."),
        gettext_noop("Tested weights"),
        gettext_noop(
            "Weights that are tested and packaged: of the epoch with the best validation accuracy, or of the last."
        ),
        gettext_noop("Augmentation backend"),
        gettext_noop("Whole batches on the device, or Albumentations image by image."),
        gettext_noop("Crop border"),
        gettext_noop("What continues an image beyond its border."),
        gettext_noop("Flip mode"),
        gettext_noop("Each image in turn as it is and mirrored, or drawn anew each time."),
        gettext_noop("Colour jitter"),
        gettext_noop(
            "Largest relative change of brightness, contrast and saturation; "
            "the hue turns by up to a quarter of it; 0 for none."
        ),
        gettext_noop("Random erasing"),
        gettext_noop("Probability that a rectangle of an image is painted over."),
        gettext_noop("Augmentation policy"),
        gettext_noop("Random distortions and colour changes from a published list."),
        gettext_noop("RandAugment operations"),
        gettext_noop("Operations that RandAugment applies to each image."),
        gettext_noop("operations"),
        gettext_noop("RandAugment magnitude"),
        gettext_noop("Strength of RandAugment’s operations."),
        gettext_noop("MixUp α"),
        gettext_noop("Shape of the distribution of MixUp’s shares; small values mix little."),
        gettext_noop("MixUp"),
        gettext_noop("Probability that a batch is blended with itself in another order."),
        gettext_noop("CutMix α"),
        gettext_noop("Shape of the distribution of CutMix’s shares; 1 makes all alike."),
        gettext_noop("CutMix"),
        gettext_noop("Probability that a rectangle of each image of a batch comes from another one."),
        gettext_noop("Validation share"),
        gettext_noop("Share of the training split, equal per class, that only measures."),
        gettext_noop("Precision"),
        gettext_noop("Arithmetic of convolutions; auto takes bfloat16 where it is faster."),
        gettext_noop("Test-time augmentation"),
        gettext_noop(
            "Measure also what the mean answer to mirrored and shifted copies of a test image "
            "would gain and cost; answers are given without."
        ),
        gettext_noop("Seed"),
        gettext_noop("Start of every random draw."),
        # What an engine is at.
        gettext_noop("calibrating"),
        gettext_noop("evaluating on the test split"),
        gettext_noop("answering images of no class"),
        gettext_noop("exporting"),
        gettext_noop("sealing the package"),
        gettext_noop("Writing the dataset"),
        gettext_noop("Downloading CIFAR-10"),
        gettext_noop("Downloading STL-10"),
        gettext_noop("Checking the images"),
        # Recipes.
        gettext_noop("Fast"),
        gettext_noop("A compact network of two million parameters that learns much from a short training."),
        gettext_noop("Accurate"),
        gettext_noop(
            "A deeper compact network and a longer training: for an hour on a small CPU, or a minute on a GPU."
        ),
    }
)
"""Every engine text that a page shows; a test compares it with the engine's fields and recipes."""


_EPOCH = re.compile(r"Epoch (?P<epoch>[0-9]+)/(?P<epochs>[0-9]+)")
_FILES_READ = re.compile(r"(?P<count>[0-9,]+) files read")
_IMAGES_DRAWN = re.compile(r"(?P<count>[0-9,]+) images drawn")


def translate(text: str) -> str:
    """Return an engine text in the active language."""
    return _(text) if text else ""


def allowed_values(spec: FieldSpec) -> str:
    """Say in the active language what a field accepts, as `training.engine.config.describe_allowed` does in English."""
    if spec.type == "bool":
        return _("true or false")
    if spec.examples:
        listed = {"choices": ", ".join(spec.examples), "count": len(spec.choices) - len(spec.examples)}
        return _("one of %(choices)s, or one of %(count)s other names") % listed
    if spec.choices:
        return _("one of %(choices)s") % {"choices": ", ".join(spec.choices)}
    bounds = {"minimum": _bound(spec.minimum), "maximum": _bound(spec.maximum)}
    if spec.type == "str":
        return _("text of %(minimum)s to %(maximum)s characters") % bounds
    if spec.type == "int":
        return _("a whole number from %(minimum)s to %(maximum)s") % bounds
    return _("a number from %(minimum)s to %(maximum)s") % bounds


def translate_progress(message: str) -> str:
    """Return what an engine is at in the active language, as the start of a sentence."""
    if match := _EPOCH.fullmatch(message):
        text = _("Epoch %(epoch)s of %(epochs)s") % match.groupdict()
    elif match := _FILES_READ.fullmatch(message):
        count = int(match["count"].replace(",", ""))
        text = ngettext("%(count)s file read", "%(count)s files read", count) % {"count": _grouped(count)}
    elif match := _IMAGES_DRAWN.fullmatch(message):
        count = int(match["count"].replace(",", ""))
        text = ngettext("%(count)s image drawn", "%(count)s images drawn", count) % {"count": _grouped(count)}
    else:
        text = translate(message)
    return text[:1].upper() + text[1:]


def _grouped(count: int) -> str:
    return number_format(count, force_grouping=True)


def show_value(value: object) -> str:
    """Write a setting's value as it is shown and typed."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return plain_number(value) if isinstance(value, int | float) else str(value)


def plain_number(value: float) -> str:
    """Write a number as a person types it: no exponent, no superfluous zeros."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _bound(value: float | None) -> str:
    return _("any") if value is None else plain_number(value)
