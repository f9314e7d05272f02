"""The libraries that are compared, each with its data, its way to record work for the GPU, and its clock.

``Ours`` is trigrad on ``cuda`` or, to try the benchmark itself, on ``interpreter``; ``Torch`` is PyTorch on the same
GPU or the CPU.  A case is written once against a ``Kit``: the first side to build it draws the random numbers, the
other sides read the same memory.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

import trigrad as tg

PRECISIONS = ("ieee", "tf32", "bf16")  # of products: float32 exactly, float32 from rounded operands, bfloat16
TOLERANCES = {"ieee": 1e-5, "tf32": 1e-3, "bf16": 1e-2, "float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


class Shared:
    """A tensor of ours on a GPU as other libraries may read it where it lies."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor  # keeps the memory alive
        size = tensor.element_size()
        kind = {"bfloat16": "<i2", "bool": "|b1"}.get(_name(tensor.dtype)) or np.dtype(_name(tensor.dtype)).str
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape),
            "strides": tuple(size * s for s in tensor.stride()),
            "typestr": kind,
            "data": (tensor.data_ptr(), False),
            "version": 2,
        }


def _name(dtype: Any) -> str:
    """``float32`` for the dtype of any library."""
    return str(dtype).split(".")[-1]


class Kit:
    """What a case is made of, in one library.

    ``cast`` is a dtype's name in which every floating input is wanted, for references in higher precision.
    """

    def __init__(self, side: Side, seed: int = 0, given: Sequence[Any] | None = None, cast: str | None = None) -> None:
        self.side, self.t, self.F, self.cast = side, side.lib, side.lib.nn.functional, cast
        self.made: list[Any] = []
        self._given = None if given is None else iter(given)
        self._seed = seed

    def dtype(self, name: str) -> Any:
        """The library's dtype called ``name``; in a reference, the wider one."""
        wide = self.cast if self.cast and "float" in name else name
        return getattr(self.t, wide)

    def _finished(self, draw: Callable[[], Any], grad: bool, own: bool) -> Any:
        if self._given is None:
            plain = draw()
        else:
            plain = self.side.taken(next(self._given))
            if own:
                plain = plain.clone()
            if self.cast is not None and plain.is_floating_point():
                plain = plain.to(getattr(self.t, self.cast))
        self.made.append(plain.clone() if own else plain)  # what is own will change
        return plain.detach().requires_grad_() if grad else plain

    def normal(
        self,
        *shape: int,
        dtype: str = "float32",
        last: bool = False,
        grad: bool = False,
        own: bool = False,
        scale: float = 1.0,
    ) -> Any:
        """Normal random numbers; ``last`` puts dimension 1 of an image last in memory, ``own`` makes a copy of them."""

        def draw() -> Any:
            self._seed += 1
            tg.manual_seed(self._seed)
            if last and len(shape) == 4:
                n, c, h, w = shape
                made = tg.randn(n, h, w, c, device=self.side.device)
            else:
                made = tg.randn(shape or 1, device=self.side.device).reshape(shape)
            made = made * scale if scale != 1 else made
            made = made.to(getattr(tg, dtype))
            return made.permute(0, 3, 1, 2) if last and len(shape) == 4 else made

        return self._finished(draw, grad, own)

    def classes(self, high: int, *shape: int) -> Any:
        """Random integers from 0 to ``high - 1``."""

        def draw() -> Any:
            self._seed += 1
            tg.manual_seed(self._seed)
            return tg.randint(0, high, tuple(shape), device=self.side.device)

        return self._finished(draw, False, False)

    def like(self, tensor: Any) -> Any:
        """Normal random numbers with a tensor's shape, dtype and layout: a gradient for it."""
        shape = tuple(tensor.shape)
        last = len(shape) == 4 and shape[1] > 1 and tensor.stride()[1] == 1
        return self.normal(*shape, dtype=_name(tensor.dtype), last=last)

    def grad(self, outputs: Any, inputs: Any, gradient: Any) -> Any:
        """Gradients; the graph is kept."""
        single = not isinstance(inputs, (list, tuple))
        found = self.t.autograd.grad([outputs], [inputs] if single else list(inputs), [gradient], retain_graph=True)
        return found[0] if single else tuple(found)

    @property
    def optimizer(self) -> dict[str, Any]:
        """Options with which this library's optimizers are at their best."""
        return self.side.fused


class Side:
    """One library on one device."""

    name = ""
    lib: Any
    device: Any
    gpu = False
    fused: dict[str, Any] = {}

    def taken(self, tensor: Any) -> Any:
        """A tensor of ours as one of this library."""
        raise NotImplementedError

    def host(self, tensor: Any) -> np.ndarray:
        """A tensor as a NumPy array."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait for all work."""

    def precision(self, way: str) -> contextlib.AbstractContextManager[None]:
        """Compute products of float32 in this way, here and in what is recorded here."""
        raise NotImplementedError

    def record(self, body: Callable[[], None]) -> tuple[Callable[[], Any], str]:
        """``body`` as something that can be called again cheaply, and how: ``graph`` or ``loop``."""
        body()
        return body, "loop"

    def seconds(self, replay: Callable[[], Any], times: int) -> float:
        """How long ``times`` calls take together, on the device's own clock where it has one."""
        self.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            replay()
        self.synchronize()
        return time.perf_counter() - start


class Ours(Side):
    """trigrad."""

    name = "trigrad"
    lib = tg

    def __init__(self, device: str) -> None:
        self.device = device
        self.gpu = device.startswith("cuda")

    def taken(self, tensor: Any) -> Any:
        return tensor.to(self.device)

    def host(self, tensor: Any) -> np.ndarray:
        return tensor.detach().cpu().numpy()

    def synchronize(self) -> None:
        if self.gpu:
            tg.cuda.synchronize()

    @contextlib.contextmanager
    def precision(self, way: str) -> Iterator[None]:
        products = (tg.backends.cuda.matmul, tg.backends.cudnn)
        before = [p.fp32_precision for p in products]
        for p in products:
            p.fp32_precision = "tf32" if way == "tf32" else "ieee"
        try:
            yield
        finally:
            for p, old in zip(products, before, strict=True):
                p.fp32_precision = old

    def record(self, body: Callable[[], None]) -> tuple[Callable[[], Any], str]:
        if not self.gpu:
            return super().record(body)
        replay = tg.capture(body)
        for _ in range(4):  # the first call compiles, the second captures, or the third where the second made state
            replay()
        self.synchronize()
        return replay, "graph"

    def seconds(self, replay: Callable[[], Any], times: int) -> float:
        if not self.gpu:
            return super().seconds(replay, times)
        begin, end = (tg.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(times):
            replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


class Numpy(Ours):
    """trigrad's NumPy half: the reference where PyTorch is not installed."""

    name = "trigrad on the CPU"

    def __init__(self) -> None:
        super().__init__("cpu")


class Torch(Side):
    """PyTorch, with the settings under which it is fastest."""

    name = "torch"

    def __init__(self, device: str) -> None:
        import torch

        self.lib = torch
        self.gpu = device.startswith("cuda")
        self.device = torch.device("cuda" if self.gpu else "cpu")
        if self.gpu:
            self.fused = {"fused": True, "capturable": True}
            torch.backends.cudnn.benchmark = True
            self.stream = torch.cuda.Stream()
            torch.cuda.set_stream(self.stream)  # graphs are captured where gradients were recorded

    def taken(self, tensor: Any) -> Any:
        torch = self.lib
        tensor = tensor.detach()
        bfloat16 = _name(tensor.dtype) == "bfloat16"
        if self.gpu:
            tg.cuda.synchronize()
            found = torch.as_tensor(Shared(tensor), device=self.device)
        else:
            array = tensor.cpu().numpy()
            found = torch.from_numpy(array.view(np.int16) if bfloat16 else array)
        return found.view(torch.bfloat16) if bfloat16 else found

    def host(self, tensor: Any) -> np.ndarray:
        tensor = tensor.detach()
        return tensor.cpu().float().numpy() if tensor.dtype is self.lib.bfloat16 else tensor.cpu().numpy()

    def synchronize(self) -> None:
        if self.gpu:
            self.lib.cuda.synchronize()

    @contextlib.contextmanager
    def precision(self, way: str) -> Iterator[None]:
        backends = self.lib.backends
        before = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = way == "tf32"
        try:
            yield
        finally:
            backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = before

    def record(self, body: Callable[[], None]) -> tuple[Callable[[], Any], str]:
        if not self.gpu:
            return super().record(body)
        torch = self.lib
        for _ in range(2):
            body()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            body()
        graph.replay()
        torch.cuda.synchronize()
        return graph.replay, "graph"

    def seconds(self, replay: Callable[[], Any], times: int) -> float:
        if not self.gpu:
            return super().seconds(replay, times)
        begin, end = (self.lib.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(times):
            replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


def peer(ours: Ours) -> Torch | None:
    """PyTorch beside ours, or None where it is not installed or sees no GPU."""
    if find_spec("torch") is None:
        return None
    if ours.gpu:
        import torch

        if not torch.cuda.is_available():
            return None
    return Torch(ours.device if ours.gpu else "cpu")


# -- work, recorded and timed ------------------------------------------------------------------------------------------


def repeated(works: Sequence[Callable[[], Any]], copies: int) -> Callable[[], None]:
    """A function that does ``copies`` pieces of work in turn and keeps as many results as there are inputs.

    The results that live at one time are as many as the inputs, so writes rotate through memory as reads do.
    """

    def body() -> None:
        kept: deque[Any] = deque(maxlen=len(works))
        for i in range(copies):
            kept.append(works[i % len(works)]())

    return body


def flat(out: Any) -> list[Any]:
    """The tensors in what a case returned."""
    if out is None:
        return []
    if isinstance(out, (list, tuple)):
        return [t for item in out for t in flat(item)]
    return [out]


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """|got - expected| / |expected| over all elements; infinite where a shape differs or a value is no number."""
    if got.shape != expected.shape:
        return float("inf")
    wide, want = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    size = float(np.linalg.norm(want))
    far = float(np.linalg.norm(wide - want))
    return far / size if size else far


def distance(ours: Ours, other: Side, got: Any, expected: Any) -> float:
    """The same for a tensor of ours and one of ``other``, on the GPU where both are there."""
    if not (ours.gpu and other.gpu):
        return difference(np.asarray(ours.host(got), np.float64), other.host(expected))
    if tuple(got.shape) != tuple(expected.shape):
        return float("inf")
    have, want = other.taken(got).double(), expected.detach().double()
    size, far = float(want.norm()), float((have - want).norm())
    return far / size if size else far


def interleaved(
    timers: dict[str, Callable[[int], float]], rounds: int, least: float, fewest: int = 1, most: int = 2000
) -> dict[str, list[float]]:
    """Seconds of one call of each timer, round by round, in alternating order.

    A timer takes a number of calls and says how long they took; the number is chosen so that they take ``least``
    seconds, within ``fewest`` and ``most``.
    """
    times = dict.fromkeys(timers, fewest)
    if least:
        for name, timer in timers.items():
            times[name] = max(fewest, min(most, int(least / max(timer(1), 1e-7))))
    found: dict[str, list[float]] = {name: [] for name in timers}
    for r in range(rounds):
        for name in list(timers) if r % 2 == 0 else list(timers)[::-1]:
            found[name].append(max(timers[name](times[name]) / times[name], 1e-9))
    return found


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median in microseconds, and the distance of the extremes as a share of it."""
    middle = statistics.median(seconds)
    return {"us": round(middle * 1e6, 4), "spread": round((max(seconds) - min(seconds)) / middle, 4)}
