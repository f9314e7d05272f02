"""``capture``: a whole step, with its backward passes and optimizers, that a GPU does again and again as one graph.

Launching a kernel takes the host a few microseconds, which small networks do not keep the GPU busy for.  A captured step
is given to the GPU as a whole.  What the graph itself is, and how numbers that change get into it, ``framework/capture.py``
says; here are the tensors: arguments are copied to where the graph reads them, results are copied from where it leaves
them, ``.grad`` is as the step leaves it, and whatever does not fit any more is captured anew.
"""

from __future__ import annotations

import linecache
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any

import numpy as np

from ..framework import capture as graphs
from ..framework import gpu
from ..framework.array import DeviceArray, contiguous_strides
from ..framework.device import Backend, backend, device
from ..framework.launch import copied, copy_into
from ..framework.slots import SMALL, Collection, span
from ..framework.strides import packed
from .fusion import _catch_up, apart
from .tensor import Tensor, host_array, wrap

_KEPT = 8  # graphs that are kept for the same arguments
_MOST = 64  # graphs that are made for the same arguments, before it is said that this leads nowhere

Step = Callable[..., Any]


def capture(
    step: Step | None = None,
    *,
    device: Any = None,
    pool: Captured | None = None,
    history: int = 2,
) -> Any:
    """``step``, to be called as before; from its second call on, a GPU does it as one graph.  Also a decorator.

    Each call is one real step, with the same results as without ``capture``.  The first call with arguments of new shapes,
    dtypes, strides or values runs as usual, the second is captured, later ones only start the graph.  On other devices
    every call runs as usual.

    Arguments are tensors without gradients, NumPy arrays (the step gets tensors), numbers, strings, None and other values
    that can be compared, in tuples, lists and dicts; ``device`` is where tensors and arrays are moved first, if given.
    Results are tensors of their own, without history, in the same form.  Python code in the step runs when it is captured,
    and its effects on Python objects are not repeated; random numbers, and trigrad's optimizers with their options, go on
    as they would.  What needs a value from the GPU or a copy from the host raises RuntimeError while the step is captured.

    ``pool``: share the memory of another captured step; the two must not run at the same time.  ``history``: the results
    of how many calls ``read`` can still give.  Raises TypeError and ValueError for options that make no sense.

    >>> double = capture(lambda x: 2 * x)
    >>> double(Tensor([1.0, 2.0])).tolist(), double.read(0).tolist()
    ([2.0, 4.0], [2.0, 4.0])
    """
    if step is None:
        return lambda function: capture(function, device=device, pool=pool, history=history)
    return Captured(step, device, pool, history)


class Captured:
    """What ``capture`` returns.  Dropping it, or ``reset``, gives the memory of its graphs back."""

    def __init__(self, step: Step, device: Any, pool: Captured | None, history: int) -> None:
        if not callable(step):
            raise TypeError(f"capture: expected a function, got {type(step).__name__}")
        if pool is not None and not isinstance(pool, Captured):
            raise TypeError(f"capture: expected a captured step as pool, got {type(pool).__name__}")
        if isinstance(history, bool) or not isinstance(history, int) or history < 1:
            raise ValueError(f"capture: expected a history of 1 or more, got {history!r}")
        self._step = step
        self._device = None if device is None else _device(device)
        self._pools: dict[Backend, Any] = {} if pool is None else pool._pools
        self._cases: dict[Any, _Case] = {}
        self._past: deque[_Result] = deque(maxlen=history)
        update_wrapper(self, step)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given: list[Any] = []
        _catch_up()  # what a fused function around this has put off is no part of the step
        if graphs.thread.recording is None:
            form = (_apart(args, given), _apart(kwargs, given) if kwargs else _NOTHING)
            case = self._cases.get(form)
            if case is not None:
                for run in case.runs:
                    if run.ready():
                        return self._again(run, given)
        with apart():
            if graphs.thread.recording is not None:  # part of another step that is being captured
                return self._step(*args, **kwargs)
            if case is None:
                case = _Case()
                result = self._first(case, form, given)
                self._cases[form] = case
                return result
            return self._plainly(form, given) if case.backend is None else self._capture(case, form, given)

    def read(self, lag: int = 1) -> Any:
        """The results of the call ``lag`` calls ago, as NumPy arrays; None where there was none, or it is forgotten.

        It waits for that call and not for those after it, so ``read(1)`` in a loop does not keep the GPU waiting.
        Raises ValueError for a lag that ``history`` does not reach.
        """
        if not 0 <= lag < (self._past.maxlen or 0):
            raise ValueError(
                f"read: expected a lag from 0 to {(self._past.maxlen or 0) - 1} (see history), got {lag!r}"
            )
        return self._past[-1 - lag].values() if len(self._past) > lag else None

    def reset(self) -> None:
        """Forget all graphs and results: the next call is a first one."""
        self._cases.clear()
        self._past.clear()
        self._pools = {}

    # -- without a graph

    def _plainly(self, form: Any, given: list[Any]) -> Any:
        """A call as usual, but for arguments that are moved, and results that belong to the caller."""
        tensors = [_tensor(x) for x in given]
        if self._device is not None:
            tensors = [t.to(self._device) for t in tensors]
        args, kwargs = _arguments(form, iter(tensors))
        leaves: list[Any] = []
        out = _apart(self._step(*args, **kwargs), leaves, results=True)
        fresh = [t.detach().clone() for t in leaves]
        self._past.append(_Result(out, [t.array for t in fresh], None, None))
        return _together(out, iter(fresh))

    def _first(self, case: _Case, form: Any, given: list[Any]) -> Any:
        """A call as usual that notes which leaves get gradients, and on which device work is done."""
        before, context = graphs.thread.leaf, gpu.thread.context
        gpu.thread.context = None

        def leaf(leaf: Tensor) -> None:
            case.leaves[id(leaf)] = leaf
            if before is not None:
                before(leaf)

        graphs.thread.leaf = leaf
        likely = {t.array.backend for t in given if isinstance(t, Tensor) and isinstance(t.array, DeviceArray)}
        if self._device is not None and self._device.type != "cpu":
            likely = {backend(self._device)}
        place: Any = likely.pop() if len(likely) == 1 else None
        try:
            with graphs.Rehearsal(place) if hasattr(place, "recording") else nullcontext():
                result = self._plainly(form, given)
        finally:
            graphs.thread.leaf = before
            card = gpu.thread.context
            if card is None:
                gpu.thread.context = context
        arrays = [*self._past[-1].arrays, *(t.array for t in (*case.leaves.values(), *given) if isinstance(t, Tensor))]
        found = {a.backend for a in arrays if isinstance(a, DeviceArray) and hasattr(a.backend, "recording")}
        found |= {b for b in gpu.backends.values() if card is not None and b._card is card}
        if len(found) > 1:
            names = ", ".join(sorted(str(b.device) for b in found))
            raise RuntimeError(f"capture: a captured step works on one device, this one on {names}")
        case.backend = found.pop() if found else None
        return result

    # -- with one

    def _capture(self, case: _Case, form: Any, given: list[Any]) -> Any:
        case.made += 1
        if case.made > _MOST:
            raise RuntimeError(
                f"capture: {_MOST} graphs were made for the same arguments, because parameters, gradients or options keep "
                "changing between calls; keep them, or call the step without capture"
            )
        where: Any = case.backend
        recording = where.recording(self._pools.get(where))
        self._pools[where] = recording.pool
        inputs = [_Input(x, where) for x in given]
        for place, x in zip(inputs, given, strict=True):
            place.fill(x)
        notes = _Notes(recording, case.leaves)
        before, graphs.thread.leaf = graphs.thread.leaf, notes.leaf
        try:
            with recording:
                args, kwargs = _arguments(form, iter([wrap(place.array) for place in inputs]))
                leaves: list[Any] = []
                out = _apart(self._step(*args, **kwargs), leaves, results=True)
                del args, kwargs
                outputs = _Outputs(out, leaves, where)
                del leaves
            run = _Run(recording.end(), inputs, outputs, notes)
            run.graph.run_first()
        except graphs.Postponed:
            notes.revert()
            recording.revert()
            return self._plainly(form, given)
        except BaseException as error:
            notes.revert()
            recording.revert()
            explained = _explained(error, self._step)
            if explained is None:
                raise
            raise explained from error
        finally:
            graphs.thread.leaf = before
        del case.runs[_KEPT - 1 :]
        case.runs.insert(0, run)
        case.leaves.update((id(leaf), leaf) for leaf, _ in run.grads)
        return self._results(run)

    def _again(self, run: _Run, given: list[Any]) -> Any:
        if run.side is not None and run.side() is not None:
            raise RuntimeError("capture: a captured step runs in the compute stream, not in stream(s)")
        for place, x in zip(run.inputs, given, strict=True):
            place.fill(x)
        run.graph.run()
        run.restore()
        return self._results(run)

    def _results(self, run: _Run) -> Any:
        outputs = run.outputs
        arrays = outputs.fresh()
        past = self._past
        mark = past[0].mark if len(past) == past.maxlen and past[0].backend is outputs.backend else None
        past.append(_Result(outputs.form, arrays, outputs.backend, outputs.backend.mark(mark)))
        return _together(outputs.form, iter([wrap(a) for a in arrays]))


class _Case:
    """What is known of calls with arguments of one form."""

    def __init__(self) -> None:
        self.backend: Backend | None = None  # the device with graphs on which the step works
        self.leaves: dict[int, Tensor] = {}  # those that get gradients
        self.runs: list[_Run] = []  # the newest first
        self.made = 0


class _Result:
    """The results of one call, and a mark behind the work that makes them."""

    __slots__ = ("arrays", "backend", "form", "mark")

    def __init__(self, form: Any, arrays: list[Any], backend: Any, mark: Any) -> None:
        self.form, self.arrays, self.backend, self.mark = form, arrays, backend, mark

    def values(self) -> Any:
        return _together(self.form, iter([self._host(a) for a in self.arrays]))

    def _host(self, array: Any) -> np.ndarray:
        if isinstance(array, np.ndarray):
            return array.copy()
        if self.backend is None:
            return array.numpy()
        out = np.empty(array.shape, array.dtype)
        if array.is_contiguous:
            self.backend.copy_out_behind(self.mark, out, array.ptr)
            return out
        # memory order first; the results of a graph have no gaps
        order = sorted(range(array.ndim), key=lambda d: (-array.strides[d], d))
        flat = np.empty(tuple(array.shape[d] for d in order), array.dtype)
        self.backend.copy_out_behind(self.mark, flat, array.ptr)
        out[...] = flat.transpose(np.argsort(order))
        return out


class _Notes:
    """Leaves whose gradients the step touches, and how these were before."""

    def __init__(self, recording: Any, known: dict[int, Tensor]) -> None:
        self.recording = recording
        self.start = {i: (leaf, leaf._grad, leaf.wants_grad, leaf.storage.version) for i, leaf in known.items()}
        self.touched: dict[int, Tensor] = {}
        self.conditions: list[tuple[Tensor, Any]] = []  # (leaf, the array of its gradient before the step, or None)

    def leaf(self, leaf: Tensor) -> None:
        """Told when a leaf's gradient is about to be read or written."""
        if id(leaf) in self.touched:
            return
        self.touched[id(leaf)] = leaf
        self.recording.watch(leaf)
        held = leaf._grad
        if id(leaf) not in self.start:
            self.start[id(leaf)] = (leaf, held, leaf.wants_grad, leaf.storage.version)
        before = self.start[id(leaf)][1]
        if held is None:
            if before is None:  # the graph writes what it would otherwise have added
                self.conditions.append((leaf, None))
        elif held is before:  # the graph reads it there
            self.conditions.append((leaf, held.array))

    def revert(self) -> None:
        for leaf, grad, wants, _ in self.start.values():
            leaf._grad, leaf.wants_grad = grad, wants


class _Run:
    """A graph with its arguments, its results and the gradients that it leaves."""

    def __init__(self, graph: Any, inputs: list[_Input], outputs: _Outputs, notes: _Notes) -> None:
        self.graph = graph
        self.inputs = inputs
        self.outputs = outputs
        self.side = getattr(graph.backend, "side", None)
        self.grads = [(leaf, leaf._grad) for leaf in notes.touched.values()]
        self._conditions = notes.conditions
        moved = [(leaf.storage, leaf.storage.version - notes.start[i][3]) for i, leaf in notes.touched.items()]
        self._versions = [(storage, steps) for storage, steps in moved if steps]

    def ready(self) -> bool:
        """Whether doing the graph again does what the step would."""
        for leaf, array in self._conditions:
            held = leaf._grad
            if (held.array if held is not None else None) is not array:
                return False
        return self.graph.ready()

    def restore(self) -> None:
        """Leave gradients, and the counts of changes, as the step does."""
        for leaf, grad in self.grads:
            leaf._grad = grad
        for storage, steps in self._versions:
            storage.version += steps


class _Input:
    """Where the graph reads an argument."""

    def __init__(self, given: Any, where: Any) -> None:
        array = given.array if isinstance(given, Tensor) else host_array(given)
        strides = contiguous_strides(array.shape)
        if isinstance(array, DeviceArray) and array.backend is where:
            strides = array.strides  # with its gaps, so that the same kernels run
        self.array = span(array, where, strides)
        self._bytes = array.nbytes if packed(array.shape, strides) is not None else 0

    def fill(self, given: Any) -> None:
        """Copy a value of the same form there."""
        place = self.array
        where: Any = place.backend
        array = given.array if type(given) is Tensor or isinstance(given, Tensor) else host_array(given, copy=False)
        if not place.size:
            return
        if not isinstance(array, DeviceArray):
            where.copy_in(place.ptr, np.ascontiguousarray(array))
        elif array.backend is not place.backend:
            where.copy_in(place.ptr, array.numpy())
        elif self._bytes:
            where.copy_device(place.ptr, array.ptr, self._bytes)
        else:
            copy_into(place, array)


class _Outputs:
    """Where the graph leaves its results, and how the caller gets copies."""

    def __init__(self, form: Any, leaves: list[Any], where: Any) -> None:
        self.form = form
        self.backend: Any = where
        self._arrays: list[DeviceArray] = []
        for t in leaves:
            if not isinstance(t.array, DeviceArray) or t.array.backend is not where:
                raise graphs.Refused(
                    f"a result of shape {t.shape} is on {t.device}; the results of a captured step are on {where.device}"
                )
            self._arrays.append(t.array if packed(t.array.shape, t.array.strides) is not None else copied(t.array))
        small = [i for i, a in enumerate(self._arrays) if 0 < a.nbytes <= SMALL]
        self._small = small if len(small) > 1 else []
        self._collection = Collection([self._arrays[i] for i in small]) if self._small else None

    def fresh(self) -> list[DeviceArray]:
        """Copies in memory of their own, made in the stream in which the graph runs."""
        where, arrays, collection = self.backend, self._arrays, self._collection
        out: list[Any] = [None] * len(arrays)
        if collection is not None:
            block = where.allocate(collection.nbytes)
            collection.copy(block)
            ptr = block.ptr
            for i in self._small:
                a = arrays[i]
                out[i] = DeviceArray(block, ptr, a.dtype, a.shape, a.strides, where)
                ptr += collection.slot
        for i, a in enumerate(arrays):
            if out[i] is None:
                block = where.allocate(a.nbytes)
                if a.size:
                    where.copy_device(block.ptr, a.ptr, a.nbytes)
                out[i] = DeviceArray(block, block.ptr, a.dtype, a.shape, a.strides, where)
        return out


# -- nested values


def _apart(value: Any, leaves: list[Any], results: bool = False) -> Any:
    """The form of a nested value, which can be compared, with its tensors and arrays appended to ``leaves``."""
    if isinstance(value, Tensor):
        leaves.append(value)
        if results:
            return Tensor
        array = value.array
        if value.wants_grad:
            raise RuntimeError(
                "capture: an argument requires a gradient, which would be lost, since the step gets a copy; detach() it, or "
                "let the step reach it by itself"
            )
        where = array.backend if isinstance(array, DeviceArray) else None
        return (Tensor, array.shape, array.dtype, where, array.strides)
    kind = type(value)
    if kind is tuple or kind is list:
        return (kind, *[_apart(x, leaves, results) for x in value])
    if isinstance(value, dict):
        return (dict, tuple(value), *[_apart(x, leaves, results) for x in value.values()])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (kind, *[_apart(x, leaves, results) for x in value])
    if isinstance(value, np.ndarray) and not results:
        leaves.append(value)
        return (Tensor, value.shape, value.dtype)
    try:
        hash(value)
    except TypeError:
        what = "a result" if results else "an argument"
        raise TypeError(
            f"capture: {what} is a {kind.__name__}; expected tensors, numbers, strings and None, in tuples, lists and dicts"
        ) from None
    return (_Value, _Value(value))


class _Value:
    """A value that is part of a form: equal to one of the same type with the same value, which NaN is too."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = (type(value), value.hex() if type(value) is float else value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


_NOTHING = (dict, ())  # the form of no keyword arguments


def _arguments(form: Any, leaves: Iterator[Any]) -> tuple[Any, Any]:
    """The arguments of a step, by position and by keyword, with tensors taken from ``leaves`` in order."""
    return _together(form[0], leaves), _together(form[1], leaves)


def _together(form: Any, leaves: Iterator[Any]) -> Any:
    """The nested value of a form, with its tensors taken from ``leaves`` in order."""
    if form is Tensor:
        return next(leaves)
    kind = form[0]
    if kind is Tensor:
        return next(leaves)
    if kind is _Value:
        return form[1].value
    if kind is dict:
        return {key: _together(x, leaves) for key, x in zip(form[1], form[2:], strict=True)}
    items = [_together(x, leaves) for x in form[1:]]
    return items if kind is list else tuple(items) if kind is tuple else kind(*items)


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else wrap(host_array(value))


def _device(where: Any) -> device:
    chosen = device(where)
    return chosen if chosen.type == "cpu" else backend(chosen).device


# -- errors


def _explained(error: BaseException, step: Step) -> RuntimeError | None:
    """The error with the operation and the user's line, where trigrad raised it because the step was being captured."""
    if not isinstance(error, RuntimeError):
        return None
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    ours = [str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("trigrad", "cuda") for frame, _ in frames]
    if not ours or not ours[-1]:
        return None  # the step's own
    last = max((i for i, own in enumerate(ours) if not own), default=None)
    name = getattr(step, "__name__", type(step).__name__)
    if last is None:
        return type(error)(f"capture: {name}: {error}")
    frame, line = frames[last]
    op = next((name for name in (_operation(f) for f, _ in frames[last + 1 :]) if name), "step")
    file = frame.f_code.co_filename
    text = linecache.getline(file, line, frame.f_globals).strip()
    return type(error)(f"capture: {op}, at {file}:{line}{f' ({text})' if text else ''}: {error}")


def _operation(frame: Any) -> str:
    """The name of the operation that a frame of ours does; none for the ways to one."""
    name = str(frame.f_code.co_name)
    if name in ("apply", "apply_"):
        return str(getattr(frame.f_locals.get("op"), "name", ""))
    return "" if name in ("call", "__call__", "_call", "forward") else name.strip("_<>")
