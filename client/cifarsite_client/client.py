"""The client: one method for each thing that the site can be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from cifarsite_client.pictures import UNKNOWN_TYPE, Picture, PictureSource, group, load_picture, open_file
from cifarsite_client.shapes import Job, ModelInfo, Prediction, Refusal
from cifarsite_client.transport import PATIENCE_SECONDS, Parts, Transport

POLL_SECONDS: Final = 1.0
"""How often a waiting program asks where a job stands."""


class Client:
    """Talks to one site; any number of threads may use it at once.

    Use it as a context manager, or `close` it.

    Args:
        base_url: Address of the site, such as `http://127.0.0.1:8000`.
        token: API token; "" for what is public.
        language: Of class names and sentences, `en` or `fr`.
        patience_seconds: For how long a request is repeated while the site is overloaded, not ready or out of reach.
        transport: How bytes travel; tests replace it.

    Raises:
        UnreachableError: `base_url` is no address.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        language: str = "en",
        patience_seconds: float = PATIENCE_SECONDS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(
            base_url=base_url,
            token=token,
            language=language,
            patience_seconds=patience_seconds,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def classes(self) -> dict[int, str]:
        """Return the classes' names by number."""
        body = self._transport.ask("GET", "classes")
        return {int(number): name for number, name in body["classes"].items()}

    def model_info(self) -> ModelInfo:
        """Describe the model that answers."""
        return ModelInfo.read(self._transport.ask("GET", "model/info"))

    def predict(self, picture: PictureSource, *, keep: bool = False) -> Prediction:
        """Classify a picture, and keep the answer in the history.

        Args:
            picture: A path, or the bytes of a file.
            keep: Whether the file itself is kept as well, where the site allows it.

        Raises:
            UnreadableFileError: there is no such file.
            RefusedError: it is no picture that is accepted, or the token is not.
            UnreachableError: the site did not answer.
        """
        loaded = load_picture(picture)
        params = _wish(keep=keep)
        answer = self._transport.ask("POST", "predict", params=params, open_parts=lambda: [("file", loaded.part)])
        return Prediction.read(answer)

    def predict_many(self, pictures: Iterable[PictureSource], *, keep: bool = False) -> Iterator[Prediction | Refusal]:
        """Classify pictures, in as few requests as the site's limits allow.

        Args:
            pictures: Paths, or the bytes of files.
            keep: Whether the files themselves are kept as well, where the site allows it.

        Yields:
            For each picture, in order, the answer or why there is none.

        Raises:
            UnreadableFileError: there is no such file.
            RefusedError: the site refused a whole request.
            UnreachableError: the site did not answer.
        """
        for some in group(load_picture(picture) for picture in pictures):
            yield from self._predict_group(some, keep=keep)

    def predictions(self, **filters: str | float | None) -> Iterator[Mapping[str, Any]]:
        """Yield the answers of one's history, the newest first, page by page.

        Args:
            filters: As in the API's documentation.
        """
        return self._pages("predictions", filters)

    def submit_batch(self, archive: str | Path) -> Job:
        """Hand in an archive of pictures, which a worker answers.

        Args:
            archive: Path of a .zip, .tar, .tar.gz or .tar.xz; it is sent in pieces, whatever its size.

        Raises:
            UnreadableFileError: there is no such file.
            RefusedError: the archive was refused.
        """
        path = Path(archive)

        def open_parts() -> Parts:
            return [("archive", (path.name, open_file(path), UNKNOWN_TYPE))]

        return Job.read(self._transport.ask("POST", "batches", open_parts=open_parts))

    def batch(self, number: int) -> Job:
        """Return where a batch stands."""
        return Job.read(self._transport.ask("GET", f"batches/{number}"))

    def batches(self, **filters: str | float | None) -> Iterator[Job]:
        """Yield one's batches, the newest first, page by page."""
        return (Job.read(body) for body in self._pages("batches", filters))

    def batch_items(self, number: int, **filters: str | float | None) -> Iterator[Mapping[str, Any]]:
        """Yield the answers of a batch in the order of its archive, page by page, also while it runs."""
        return self._pages(f"batches/{number}/items", filters)

    def cancel_batch(self, number: int) -> Job:
        """Ask for a batch's end; the answers that it has are kept."""
        return Job.read(self._transport.ask("POST", f"batches/{number}/cancel"))

    def wait_for_batch(self, number: int, *, listener: Callable[[Job], None] | None = None) -> Job:
        """Wait until a batch has ended.

        Args:
            number: The batch.
            listener: Told about where it stands, every second.
        """
        return self._wait(lambda: self.batch(number), listener)

    def download_batch(self, number: int, path: str | Path) -> None:
        """Write a batch's answers to a file: CSV, or JSON lines where its name ends in `.jsonl`.

        Raises:
            OSError: the file cannot be written.
        """
        ending = "jsonl" if str(path).endswith(".jsonl") else "csv"
        with self._transport.stream(f"batches/{number}/results.{ending}") as pieces, Path(path).open("wb") as file:
            file.writelines(pieces)

    def request_run(
        self, *, dataset: str, recipe: str = "fast", settings: Mapping[str, Any] | None = None, **options: object
    ) -> Job:
        """Queue a training run.

        Args:
            dataset: Name of an imported dataset.
            recipe: Set of defaults.
            settings: Options that differ from the recipe's.
            options: `priority`, `after`, as in the API's documentation.
        """
        body = {"dataset": dataset, "recipe": recipe, "settings": dict(settings or {}), **options}
        return Job.read(self._transport.ask("POST", "runs", json=body))

    def run(self, number: int) -> Job:
        """Return where a training run stands."""
        return Job.read(self._transport.ask("GET", f"runs/{number}"))

    def runs(self, **filters: str | float | None) -> Iterator[Job]:
        """Yield the training runs, the newest first, page by page."""
        return (Job.read(body) for body in self._pages("runs", filters))

    def cancel_run(self, number: int) -> Job:
        """Ask for a training run's end."""
        return Job.read(self._transport.ask("POST", f"runs/{number}/cancel"))

    def wait_for_run(self, number: int, *, listener: Callable[[Job], None] | None = None) -> Job:
        """Wait until a training run has ended.

        Args:
            number: The run.
            listener: Told about where it stands, every second.
        """
        return self._wait(lambda: self.run(number), listener)

    def _predict_group(self, pictures: Sequence[Picture], *, keep: bool) -> Iterator[Prediction | Refusal]:
        parts: Parts = [("files", picture.part) for picture in pictures]
        answer = self._transport.ask("POST", "batch_predict", params=_wish(keep=keep), open_parts=lambda: parts)
        for item in answer["predictions"]:
            yield Refusal(**item["error"]) if "error" in item else Prediction.read(item)

    def _wait(self, look: Callable[[], Job], listener: Callable[[Job], None] | None) -> Job:
        while True:
            job = look()
            if listener is not None:
                listener(job)
            if job.has_ended:
                return job
            time.sleep(POLL_SECONDS)

    def _pages(self, path: str, filters: Mapping[str, str | float | None]) -> Iterator[Mapping[str, Any]]:
        page = self._transport.ask("GET", path, params=filters)
        while True:
            yield from page["results"]
            if page["next"] is None:
                return
            page = self._transport.ask("GET", page["next"])


def _wish(*, keep: bool) -> dict[str, str | None]:
    return {"keep": "1" if keep else None}
