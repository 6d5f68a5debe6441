"""What an ONNX file says of itself, read without onnx, torch or OpenVINO, and without following anything it names.

A library that loads a graph also opens the files that the graph names as its weights. Packages from elsewhere are
looked through first, here, in the file's own encoding. Source: onnx.proto3 and the protocol buffers' wire format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE, ONNX_FEATURE_MAP, ONNX_INPUT, ONNX_LOGITS
from training.engine.exceptions import PackageError

OPSETS: Final = range(13, 24)
"""Versions of the standard operators that OpenVINO reads; the engine writes 18."""

_MOST_NODES: Final = 50_000
_FLOAT: Final = 1
_STANDARD: Final = frozenset({"", "ai.onnx"})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

Value = int | memoryview


@dataclass(slots=True)
class Graph:
    """What is looked at of a graph.

    Attributes:
        inputs: Shape of each input by name, without those that only name stored weights; None for a free length.
        outputs: The same of the outputs.
        opsets: Version by operator domain.
        initializers: Names of stored weights.
        nodes: Number of operations.
    """

    inputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    initializers: set[str] = field(default_factory=set)
    nodes: int = 0


def check_graph(path: Path, *, classes: int) -> None:
    """Make sure that a graph is of the kind that is served.

    That is: one input `images` (N, 3, 32, 32), outputs `logits` (N, K) and `feature_map` (N, C, h, w), all float32;
    standard operators without loops, branches or functions; every weight inside the file.

    Args:
        path: The ONNX file.
        classes: K.

    Raises:
        PackageError: it is not.
    """
    graph = read_graph(path)
    image = (None, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
    if graph.inputs != {ONNX_INPUT: image}:
        raise PackageError(f"The graph's inputs are {_shown(graph.inputs)}; it takes {_shown({ONNX_INPUT: image})}.")
    logits, features = graph.outputs.get(ONNX_LOGITS), graph.outputs.get(ONNX_FEATURE_MAP)
    fits = logits == (None, classes) and features is not None and len(features) == 4 and features[0] is None
    if not fits or len(graph.outputs) != 2:
        wanted = f"{ONNX_LOGITS} (N, {classes}) and {ONNX_FEATURE_MAP} (N, C, h, w)"
        raise PackageError(f"The graph's outputs are {_shown(graph.outputs)}; it gives {wanted}.")
    version = graph.opsets.get("", graph.opsets.get("ai.onnx", 0))
    if set(graph.opsets) - _STANDARD or version not in OPSETS:
        known = f"standard ones, version {OPSETS.start} to {OPSETS.stop - 1}"
        raise PackageError(f"The graph's operators are {graph.opsets}; allowed are {known}.")


def read_graph(path: Path) -> Graph:
    """Read what `Graph` holds.

    Raises:
        PackageError: the file is no such graph, or holds what is not allowed in one.
    """
    graph = Graph()
    try:
        _read_model(memoryview(path.read_bytes()), graph)
    except (IndexError, UnicodeDecodeError) as error:
        raise PackageError("The graph is no ONNX file, or a truncated one.") from error
    graph.inputs = {name: shape for name, shape in graph.inputs.items() if name not in graph.initializers}
    return graph


def _read_model(data: memoryview, graph: Graph) -> None:
    for number, value in _fields(data):
        if number == 7:
            _read_graph(_part(value), graph)
        elif number == 8:
            domain, version = "", 0
            for inner, found in _fields(_part(value)):
                domain = _text(found) if inner == 1 else domain
                version = int(found) if inner == 2 and isinstance(found, int) else version
            graph.opsets[domain] = version
        elif number in {20, 25}:
            raise PackageError("The graph brings functions or training steps of its own; a served one has none.")


def _read_graph(data: memoryview, graph: Graph) -> None:
    for number, value in _fields(data):
        if number == 1:
            graph.nodes += 1
            if graph.nodes > _MOST_NODES:
                raise PackageError(f"The graph has more than {_MOST_NODES:,} operations.")
            _check_node(_part(value))
        elif number == 5:
            graph.initializers.add(_check_tensor(_part(value)))
        elif number in {11, 12}:
            name, shape = _read_value_info(_part(value))
            (graph.inputs if number == 11 else graph.outputs)[name] = shape
        elif number == 15:
            raise PackageError("The graph holds sparse weights; a served one has none.")


def _check_node(data: memoryview) -> None:
    for number, value in _fields(data):
        if number == 7 and _text(value) not in _STANDARD:
            raise PackageError(f"The graph uses an operator of {_text(value)[:80]!r}; allowed are standard ones.")
        if number == 5:
            for inner, found in _fields(_part(value)):
                if inner in {5, 10}:
                    _check_tensor(_part(found))
                elif inner in {6, 11}:
                    raise PackageError("The graph branches or loops; a served one runs straight through.")
                elif inner in {22, 23}:
                    raise PackageError("The graph holds sparse weights; a served one has none.")


def _check_tensor(data: memoryview) -> str:
    """Return the name of stored weights.

    Raises:
        PackageError: they lie in another file.
    """
    name = ""
    for number, value in _fields(data):
        if number == 8:
            name = _text(value)
        elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise PackageError("The graph names other files for its weights; a package's are inside.")
    return name


def _read_value_info(data: memoryview) -> tuple[str, tuple[int | None, ...]]:
    name, shape, is_float = "", (), False
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            shape, is_float = _read_type(_part(value))
    if not is_float:
        raise PackageError(f"The graph's {name[:80]!r} is not made of 32-bit numbers.")
    return name, shape


def _read_type(data: memoryview) -> tuple[tuple[int | None, ...], bool]:
    lengths: list[int | None] = []
    is_float = False
    for number, tensor in _fields(data):
        for inner, value in _fields(_part(tensor)) if number == 1 else ():
            if inner == 1:
                is_float = value == _FLOAT
            elif inner == 2:
                lengths = [_read_length(_part(length)) for key, length in _fields(_part(value)) if key == 1]
    return tuple(lengths), is_float


def _read_length(data: memoryview) -> int | None:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            return value
    return None


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message.

    Raises:
        IndexError: it ends before it should.
        PackageError: it is no message.
    """
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in {_FIXED32, _FIXED64}:
            length = 4 if kind == _FIXED32 else 8
        else:
            raise PackageError("The graph is no ONNX file.")
        if position + length > end:
            raise IndexError
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise PackageError("The graph is no ONNX file.")


def _part(value: Value) -> memoryview:
    if isinstance(value, int):
        raise PackageError("The graph is no ONNX file.")
    return value


def _text(value: Value) -> str:
    return bytes(_part(value)).decode()


def _shown(shapes: dict[str, tuple[int | None, ...]]) -> str:
    """Name inputs or outputs in a sentence."""
    parts = [f"{name[:40]} ({', '.join('N' if n is None else str(n) for n in s)})" for name, s in shapes.items()]
    return ", ".join(parts[:8]) or "none"
