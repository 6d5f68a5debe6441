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

from training.engine.exceptions import Allowed, ConfigError, RefusedValueError, UnknownFieldError
from training.engine.fields import FIELDS

MARKED: Final = frozenset(
    {
        # Titles, labels, helps and units of the fields.
        gettext_noop("Run"),
        gettext_noop("Network"),
        gettext_noop("Optimization"),
        gettext_noop("Augmentation"),
        gettext_noop("Transfer"),
        gettext_noop("Auxiliary dataset"),
        gettext_noop("Another imported dataset that the network learns from first."),
        gettext_noop("Auxiliary epochs"),
        gettext_noop("Passes over the auxiliary dataset’s training images; 0 without one."),
        gettext_noop("Auxiliary learning rate"),
        gettext_noop("Peak rate on the auxiliary dataset, in place of the learning rate; 0 without one."),
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
        gettext_noop("Devices"),
        gettext_noop("Graphics cards of one machine, or processes where it has none, that share each batch."),
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
        gettext_noop("Layer decay"),
        gettext_noop(
            "What the learning rate is multiplied by from the head to the last stage, "
            "and on to each stage nearer the stem; 1 for one rate everywhere."
        ),
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
        # What a field accepts, by itself and beside others.
        gettext_noop("true or false"),
        gettext_noop("one of %(choices)s, or one of %(count)s other names"),
        gettext_noop("one of %(choices)s"),
        gettext_noop("text of %(minimum)s to %(maximum)s characters"),
        gettext_noop("a whole number from %(minimum)s to %(maximum)s"),
        gettext_noop("a number from %(minimum)s to %(maximum)s"),
        gettext_noop("any other with %(architecture)s: its rates are those of whitened_cnn"),
        gettext_noop("only %(value)s with %(other)s %(setting)s"),
        gettext_noop("1 or more with %(other)s %(setting)s"),
        gettext_noop("only 0 with %(other)s one_cycle, which has a warm-up of its own"),
        gettext_noop("any but plateau with %(other)s 0"),
        gettext_noop("more than 0 with %(other)s above 0"),
        gettext_noop("less than %(other)s, %(limit)s"),
        gettext_noop("at most %(other)s, %(limit)s"),
        gettext_noop("at most 1 less %(other)s, %(limit)s"),
        gettext_noop("a divisor of %(other)s, %(limit)s"),
        gettext_noop("only 0 without %(other)s"),
        gettext_noop("another dataset than the one that is trained on"),
        gettext_noop("at least %(minimum)s with %(other)s"),
        gettext_noop("0 without pretrained weights"),
        gettext_noop("%(value)s for %(architecture)s"),
        gettext_noop("no file for %(architecture)s"),
        gettext_noop("1 for %(architecture)s, whose width is part of its name"),
        gettext_noop("%(depth)s for %(architecture)s, whose depth is part of its name"),
        gettext_noop("a whole number from %(minimum)s to %(maximum)s for %(architecture)s"),
        gettext_noop("none or file for %(architecture)s, whose ImageNet weights nobody publishes"),
        gettext_noop("the path of a .safetensors file where %(other)s is file"),
        gettext_noop("no file where %(other)s is %(setting)s"),
        # What an engine is at.
        gettext_noop("validating"),
        gettext_noop("calibrating"),
        gettext_noop("evaluating on the test split"),
        gettext_noop("answering images of no class"),
        gettext_noop("looking at training images"),
        gettext_noop("arranging the map"),
        gettext_noop("exporting"),
        gettext_noop("sealing the package"),
        gettext_noop("Writing the dataset"),
        gettext_noop("Downloading CIFAR-10"),
        gettext_noop("Downloading STL-10"),
        gettext_noop("Checking the images"),
        # Recipes.
        gettext_noop("Fast"),
        gettext_noop("A compact network of half a million parameters that learns much from a short training."),
        gettext_noop("Accurate"),
        gettext_noop(
            "A deeper compact network and a longer training: for an hour on a small CPU, or a minute on a GPU."
        ),
        gettext_noop("ResNet-18, fine-tuned"),
        gettext_noop(
            "The classic baseline: a ResNet-18 that starts from ImageNet weights and learns for up to fifty epochs."
        ),
        gettext_noop("From ImageNet weights"),
        gettext_noop(
            "A backbone of the timm library from ImageNet weights: for few training images, or for the best accuracy."
        ),
        gettext_noop("Transfer from STL-10"),
        gettext_noop(
            "Learns from the auxiliary dataset first, then from your own: of use where you have few labelled images. "
            "STL-10 is to be imported before, or another auxiliary dataset chosen."
        ),
    }
)
"""Every engine text that a page shows; a test compares it with the engine's fields and recipes."""

_LONGEST_SHOWN: Final = 40
_EPOCH = re.compile(r"Epoch (?P<epoch>[0-9]+)/(?P<epochs>[0-9]+)")
_PHASE = re.compile(r"Phase (?P<phase>[12]), epoch (?P<epoch>[0-9]+)/(?P<epochs>[0-9]+)")
_FILES_READ = re.compile(r"(?P<count>[0-9,]+) files read")
_IMAGES_DRAWN = re.compile(r"(?P<count>[0-9,]+) images drawn")


def translate(text: str) -> str:
    """Return an engine text in the active language."""
    return _(text) if text else ""


def translate_allowed(allowed: Allowed) -> str:
    """Say in the active language what a field accepts, as the end of a sentence."""
    shown = {name: show_value(value) for name, value in allowed.parameters.items()}
    if "other" in shown:
        shown["other"] = _("“%(label)s”") % {"label": translate(FIELDS[shown["other"]].label)}
    return _(allowed.template) % shown


def explain_refusal(error: ConfigError, *, typed: str | None = None) -> str:
    """Say in the active language, and with the page's labels, what the engine refuses.

    Args:
        error: The refusal; one that is not told in parts is shown as it is.
        typed: What stands in the form, where the value is made of that; a long text is cut.
    """
    if isinstance(error, UnknownFieldError):
        listed = {"field": error.field, "known": error.known}
        return _("%(field)s is not a training option; allowed are %(known)s.") % listed
    if not isinstance(error, RefusedValueError):
        return str(error)
    parts = {"label": translate(FIELDS[error.field].label), "allowed": translate_allowed(error.allowed)}
    if error.value is None or error.value == "":
        return _("%(label)s is missing; allowed is %(allowed)s.") % parts
    value = show_value(error.value) if typed is None else typed
    parts["value"] = value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
    return _("%(label)s is “%(value)s”; allowed is %(allowed)s.") % parts


def translate_progress(message: str) -> str:
    """Return what an engine is at in the active language, as the start of a sentence."""
    if match := _EPOCH.fullmatch(message):
        text = _("Epoch %(epoch)s of %(epochs)s") % match.groupdict()
    elif match := _PHASE.fullmatch(message):
        text = _("Phase %(phase)s: epoch %(epoch)s of %(epochs)s") % match.groupdict()
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
