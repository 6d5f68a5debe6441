"""What may be asked of the classifier: an answer to a picture, and what the person says it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from classifier.choices import Source
from classifier.file_names import find_name_fault, harmless_name
from classifier.history_rows import record
from classifier.images import ImageRejected, read_image
from classifier.inference import Predictor, predictor
from classifier.models import Prediction
from classifier.originals import attach_original, attached_originals, require_keeping
from training.engine.photograph import ImageLimits
from training.exceptions import ServiceError

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_DECIMALS = 6  # of a probability; more would be noise


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture to classify.

    Attributes:
        data: The file, of any content.
        name: What the person's program calls it; None where it came without a name.
        keep: Whether the person wants the file itself kept.
    """

    data: bytes
    name: str | None
    keep: bool = False


def predict(*, owner: User, upload: Upload, source: Source, mirrored: bool = False) -> Prediction:
    """Classify a picture and keep the answer.

    Args:
        owner: whose history it joins.
        upload: the picture.
        source: by which way it came.
        mirrored: ask about its mirror image as well, and average.

    Returns:
        The saved row; its `model_version` is loaded.

    Raises:
        ImageRejected: the file is no picture that is accepted, or its name is none.
        ModelNotReady: no model can answer.
        OriginalsNotKeptError: the file shall be kept, and this site keeps none.
    """
    prediction = classify(owner=owner, upload=upload, source=source, mirrored=mirrored)
    keep_answers([prediction])
    return prediction


def classify(*, owner: User, upload: Upload, source: Source, mirrored: bool = False) -> Prediction:
    """Classify a picture as `predict` does, and keep nothing; `keep_answers` does."""
    return _answer(predictor(), owner=owner, upload=upload, source=source, mirrored=mirrored)


def classify_many(
    *, owner: User, uploads: Sequence[Upload], source: Source, mirrored: bool = False
) -> list[Prediction | ImageRejected]:
    """Classify pictures with one model; `keep_answers` keeps the answers, all of them or, if that fails, none.

    Args:
        owner: whose history they will join.
        uploads: the pictures.
        source: by which way they came.
        mirrored: ask about each one's mirror image as well, and average.

    Returns:
        For each picture, in order, a row that is not saved yet, or why there is none.

    Raises:
        ModelNotReady: no model can answer.
        OriginalsNotKeptError: a file shall be kept, and this site keeps none.
    """
    model = predictor()
    results: list[Prediction | ImageRejected] = []
    for upload in uploads:
        try:
            results.append(_answer(model, owner=owner, upload=upload, source=source, mirrored=mirrored))
        except ImageRejected as refusal:
            results.append(refusal)
    return results


def keep_answers(results: Sequence[Prediction | ImageRejected]) -> None:
    """Save the rows among `results` with the files that shall be kept, all of them or none."""
    predictions = [result for result in results if isinstance(result, Prediction)]
    originals = attached_originals(predictions)
    if not originals:
        _save(predictions)
        return
    with transaction.atomic():
        _save(predictions)
        for original in originals:  # one by one: together they may have as much as a request
            original.save(force_insert=True)


def _save(predictions: Sequence[Prediction]) -> None:
    if len(predictions) == 1:
        record(predictions[0])
    else:
        Prediction.objects.bulk_create(predictions)


def _answer(model: Predictor, *, owner: User, upload: Upload, source: Source, mirrored: bool) -> Prediction:
    """Ask `model` about a picture; return a row that is not saved yet.

    Raises:
        ImageRejected: the file is no picture that is accepted, or its name is none.
        OriginalsNotKeptError: the file shall be kept, and this site keeps none.
    """
    if upload.keep:
        require_keeping()
    fault = "" if upload.name is None else find_name_fault(upload.name)
    if fault:
        raise ImageRejected("bad_file_name", 400, fault)
    started = time.perf_counter()
    limits = ImageLimits(max_bytes=settings.IMAGE_MAX_BYTES, max_pixels=settings.IMAGE_MAX_PIXELS)
    image = read_image(upload.data, limits=limits)
    scores = model.classify(image.pixels[None], mirrored=mirrored)
    probabilities = [round(float(value), _DECIMALS) for value in scores.probabilities[0]]
    class_id = int(scores.logits[0].argmax())
    latency_ms = round(1000 * (time.perf_counter() - started), 3)
    prediction = Prediction(
        owner=owner,
        source=source,
        file_name=harmless_name(upload.name or ""),
        width=image.width,
        height=image.height,
        thumbnail=image.thumbnail,
        pixels=image.pixels.tobytes(),
        model_version=model.version,
        model_sha256=scores.sha256,
        class_id=class_id,
        class_key=scores.class_keys[class_id],
        confidence=probabilities[class_id],
        probabilities=probabilities,
        out_of_distribution=scores.out_of_distribution[0],
        latency_ms=latency_ms,
    )
    if upload.keep:
        attach_original(prediction, data=upload.data, image_format=image.format)
    return prediction


def set_label(*, prediction: Prediction, label_key: str) -> None:
    """Note what the owner says the picture shows; an empty key takes the note back.

    Raises:
        ServiceError: the model that answered knows no such class.
        Prediction.DoesNotExist: the answer was deleted meanwhile.
    """
    if label_key and label_key not in prediction.model_version.class_keys:
        raise ServiceError(_("Choose one of the model's classes."))
    prediction.label_key = label_key
    if not Prediction.objects.filter(pk=prediction.pk).update(label_key=label_key):
        raise Prediction.DoesNotExist
