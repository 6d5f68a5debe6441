"""What is compiled on a GPU: here only traced, which shows that it can be, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from training.engine.compilation import compile_for
from training.engine.networks import WhitenedCnn
from training.engine.optim import orthogonalize


class Tracer:
    """A compiler that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.count += 1
        return graph.forward


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracer]:
    tracer, compiler = Tracer(), torch.compile
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend=tracer, fullgraph=True))
    with torch._dynamo.config.patch(suppress_errors=False):
        yield tracer


def test_the_processor_runs_what_it_is_given() -> None:
    network = nn.Linear(2, 2)
    assert compile_for(torch.device("cpu"), network) is network


def test_growing_crops_are_compiled_twice_and_names_stay(tracer: Tracer) -> None:
    network = WhitenedCnn(class_count=3, mean=[0.5] * 3, std=[0.2] * 3, width_multiplier=0.0625).train()
    names = list(network.state_dict())
    forward = compile_for(torch.device("cuda"), network)
    for side in (24, 24, 26, 28, 30, 32):
        images = torch.rand(4, 3, side, side)
        logits = forward(images)
        assert logits.shape == (4, 3)
        torch.autograd.backward(logits.sum())
    assert tracer.count == 2
    assert list(network.state_dict()) == names


def test_orthogonalisation_is_compiled_a_few_times_for_all_shapes(tracer: Tracer) -> None:
    compiled = compile_for(torch.device("cuda"), orthogonalize)
    for rows, columns in ((64, 216), (64, 576), (256, 576), (256, 2304), (128, 2304), (96, 64)):
        matrix = torch.rand(rows, columns)
        assert torch.allclose(compiled(matrix), orthogonalize(matrix), atol=1e-5)
    assert 1 < tracer.count <= 4


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_graph: Any, _inputs: Any) -> Any:
        raise RuntimeError("there is no compiler")

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend=fail))
    with torch._dynamo.config.patch(suppress_errors=False):
        network = nn.Linear(2, 2)
        images = torch.rand(3, 2)
        assert torch.equal(compile_for(torch.device("cuda"), network)(images), network(images))
