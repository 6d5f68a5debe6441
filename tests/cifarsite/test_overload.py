"""A full queue: who is let in, in which order, and how the others are refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from cifarsite.overload import OverloadMiddleware, Queue
from cifarsite.web import AT_ONCE, granian_command

ADDRESS = "/api/v1/predict"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_those_who_wait_are_served_in_their_order() -> None:
    queue = Queue(at_once=1, waiting=3)
    order: list[int] = []
    assert queue.enter()

    def work(number: int) -> None:
        assert queue.enter()
        order.append(number)
        queue.leave()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        wait_for(lambda number=number: len(queue._turns) == number)
    assert not queue.enter()
    queue.leave()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2]
    assert queue.enter()


def test_no_more_than_so_many_work_and_every_place_comes_back() -> None:
    queue = Queue(at_once=3, waiting=100)
    lock, inside, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            assert queue.enter()
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.0001)
            with lock:
                inside -= 1
            queue.leave()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, queue._free, len(queue._turns)) == (3, 3, 0)


@pytest.mark.parametrize("waiting", [0, 2])
def test_one_too_many_is_refused_before_it_is_read(settings: Settings, waiting: int) -> None:
    settings.QUEUE_MAX = waiting
    leave, entered = threading.Event(), []

    def slow_site(request: HttpRequest) -> HttpResponse:
        entered.append(request)
        assert leave.wait(10)
        return HttpResponse("answer")

    site = OverloadMiddleware(slow_site)
    answers: list[HttpResponse] = []
    request = RequestFactory().post
    threads = [
        threading.Thread(target=lambda: answers.append(site(request(ADDRESS)))) for _ in range(AT_ONCE + waiting)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(entered) == AT_ONCE and len(site._queue._turns) == waiting)
    refused = request(ADDRESS, b"a body", content_type="application/octet-stream")
    refusal = site(refused)
    assert int(refusal.headers["Content-Length"]) == len(refusal.content)
    assert (refusal.status_code, refusal.headers["Content-Type"]) == (503, "application/problem+json")
    assert [error["code"] for error in json.loads(refusal.content)["errors"]] == ["overloaded"]
    assert site(request(ADDRESS)).headers["Retry-After"] == "1"
    assert refused.body == b"a body"  # nobody has read it
    leave.set()
    for thread in threads:
        thread.join(10)
    assert [answer.content for answer in answers] == [b"answer"] * (AT_ONCE + waiting)


def test_only_pictures_of_programs_queue() -> None:
    site = OverloadMiddleware(lambda _request: HttpResponse("answer"))
    site._queue = Queue(at_once=0, waiting=0)
    factory = RequestFactory()
    for open_to_all in (factory.get(ADDRESS), factory.post("/classify/"), factory.get("/api/v1/health")):
        assert site(open_to_all).status_code == 200
    for address in (ADDRESS, "/api/v1/batch_predict", "/api/v1/predict_base64"):
        assert site(factory.post(address)).status_code == 503


def test_a_place_comes_back_when_the_site_breaks() -> None:
    def broken(_request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    site = OverloadMiddleware(broken)
    for _ in range(AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError):
            site(RequestFactory().post(ADDRESS))
    assert site._queue._free == AT_ONCE


def test_the_server_has_threads_for_those_who_wait(settings: Settings) -> None:
    command = granian_command("127.0.0.1", 8000)
    threads = int(command[command.index("--blocking-threads") + 1])
    assert threads > AT_ONCE + settings.QUEUE_MAX
