"""What is done with several jobs of a list at once: a question that names them, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.generic import TemplateView

from training.exceptions import ServiceError
from training.jobs import Job
from training.views.numbers import Named, read_numbers

Parameters = list[tuple[str, str]]


def list_parameters(request: HttpRequest, *, but: Iterable[str] = ()) -> Parameters:
    """Return what the address says of a list: its filters, order and page, without what is empty or named in `but`."""
    left_out = set(but)
    return [(name, value) for name, values in request.GET.lists() if name not in left_out for value in values if value]


class SeveralView(TemplateView):
    """Ask whether something shall be done with the chosen jobs, do it when that is posted, and show the list again.

    The address carries, besides the numbers of the jobs, that of the list, which is shown again as it was.

    Attributes:
        named: By which name the address and the form name a job.
        list_view: Name of the list's address.
    """

    named: ClassVar[Named]
    list_view: ClassVar[str]

    def find(self, numbers: Sequence[int]) -> list[Any]:
        """Return those of the jobs with which it can be done."""
        raise NotImplementedError

    def act(self, numbers: Sequence[int]) -> None:
        """Do it, and say on the next page what became of each job.

        Raises:
            ServiceError: none is chosen, or too many.
        """
        raise NotImplementedError

    def find_list(self, *, but: Iterable[str] = ()) -> str:
        """Return the address of the list as it was."""
        return reverse(self.list_view, query=list_parameters(self.request, but=[self.named, *but]))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401  # Django's own
        """Ask."""
        try:
            numbers = read_numbers(request.GET, name=self.named)
        except ServiceError as error:
            context = self.get_context_data(refusal=str(error), back=self.find_list())
            return self.render_to_response(context, status=error.status)
        jobs: list[Job] = self.find(numbers)
        left_out = len(set(numbers)) - len(jobs)
        return self.render_to_response(self.get_context_data(jobs=jobs, left_out=left_out, back=self.find_list()))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Do it."""
        try:
            self.act(read_numbers(request.POST, name=self.named))
        except ServiceError as error:
            messages.error(request, str(error))
        return redirect(self.find_list(but=["page"]))  # which may be gone, where the filters leave fewer now


def tell_outcome(request: HttpRequest, *, done: str, left_alone: Iterable[tuple[Sequence[int], str]]) -> None:
    """Say on the next page what was done, and which jobs were left alone.

    Args:
        request: The request.
        done: What was done; empty where nothing was.
        left_alone: Numbers of jobs, with a sentence in which they stand.
    """
    if done:
        messages.success(request, done)
    for numbers, sentence in left_alone:
        if numbers:
            messages.warning(request, sentence % {"numbers": ", ".join(map(str, numbers))})
