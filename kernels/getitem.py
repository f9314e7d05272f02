"""Indexing: ``x[index]`` and ``x[index] = value`` for every kind of index that PyTorch takes.

    getitem:   out[i]       = input[index(i)],  a view of the basic part of the index
               grad_input   = zeros, but grad where the index points

    setitem:   out          = input, but value where the index points
               grad_input   = grad, but zeros where the index points
               grad_value   = grad where the index points

An index is a tuple of integers, slices, None, Ellipsis, masks and arrays of integers.  Its basic part (all but masks
and arrays) makes a view; what is left is one call of the row ``index`` or ``index_put`` (see ``index.py``).  Integers
are part of the basic index, as in PyTorch and unlike NumPy: ``x[0, :, [1, 2]]`` has the shape of ``x[0][:, [1, 2]]``.
Masks and integer tensors in device memory are read on the host, so such an index waits for the device.
"""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..autograd.mode import mode
from ..autograd.tensor import may_write, wrap
from ..framework.array import DeviceArray, from_numpy
from ..framework.fill import full, zeros_like
from ..framework.launch import copied, copy_into
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension
from ..framework.view import viewing
from .index import INDEX, INDEX_PUT, indexed_shape, lead, put

Entry = int | None | tuple[int, int, int]  # of one dimension: an index, a new dimension, or (start, stop, step)


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for integers, slices, None and Ellipsis, a copy for masks and arrays of integers.

    Raises IndexError for an index out of range, for too many and for things that are no index, and ValueError for a
    slice with a negative step.

    >>> x = Tensor([[1, 2, 3], [4, 5, 6]]); x[1, ::2].tolist(), x[[0, 1], [2, 0]].tolist(), x[x > 4].tolist()
    ([4, 6], [3, 4], [5, 6])
    """
    if type(index) is int and input.array.ndim:
        return apply(GETITEM, input, index=(_place("getitem", index, 0, input.array.shape[0]),))
    entries, advanced = _understood("getitem", input.array.shape, index)
    if not advanced:
        return apply(GETITEM, input, index=entries)
    window = input if _everything(entries, input.array.shape) else apply(GETITEM, input, index=entries)
    positions, dims = _positions("getitem", window.array.shape, advanced)
    return apply(INDEX, window, _beside(positions, input), dims=dims)


def setitem(input: Tensor, index: Any, value: Any) -> Tensor:
    """Write ``value``, a number or a tensor that broadcasts and is cast, to where ``index`` points; returns ``input``.

    Where an array of integers names a place twice, the last value stays.  Recorded if ``input`` or ``value`` has a
    history.  Raises as ``getitem``, RuntimeError where the value does not fit, for a leaf that requires a gradient, and
    for a recorded write into a view.

    >>> x = Tensor([1.0, 2.0, 3.0]); x[1:] = 0; x.tolist()
    [1.0, 0.0, 0.0]
    """
    shape = input.array.shape
    entries, advanced = _understood("setitem", shape, index)
    value = _as_value(input, value)
    recorded = mode.recording and (input.wants_grad or value.wants_grad)
    may_write("setitem", input, recorded)
    window = _view(input.array, index=entries)
    if not advanced:
        value = _fitted(value, window.shape)
        if recorded:
            return apply_(SETITEM, input, value, index=entries)
        _assign(window, value.array)
        input.storage.version += 1
        return input
    positions, dims = _positions("setitem", window.shape, advanced)
    value = _fitted(value, indexed_shape(window.shape, positions.shape, dims))
    value, positions = _without_repeats(value, positions, window.shape, dims)
    places = _beside(positions, input)
    if not recorded:
        put(window, _apart(window, value.array), places.array, dims)
        input.storage.version += 1
        return input
    if _everything(entries, shape):
        return apply_(INDEX_PUT, input, value, places, dims=dims)
    changed = apply(INDEX_PUT, apply(GETITEM, input, index=entries), value, places, dims=dims)
    return apply_(SETITEM, input, changed, index=entries)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of the slice number ``index`` along ``dim``, which disappears.

    Raises IndexError for a dimension or an index that does not exist.

    >>> select(Tensor([[1.0, 2.0], [3.0, 4.0]]), 1, 0).tolist()
    [1.0, 3.0]
    """
    shape = input.array.shape
    if not shape:
        raise IndexError("select: a 0-d tensor has no dimension to select from")
    d = dimension("select", dim, len(shape))
    place = _place("select", index, d, shape[d])
    return apply(GETITEM, input, index=(*((0, n, 1) for n in shape[:d]), place))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of ``length`` slices of ``input`` along ``dim``, from ``start``, which may count from the end.

    Raises IndexError for a start out of range and RuntimeError where the length goes past the end.

    >>> narrow(Tensor([1.0, 2.0, 3.0]), 0, 1, 2).tolist()
    [2.0, 3.0]
    """
    shape = input.array.shape
    if not shape:
        raise RuntimeError("narrow: a 0-d tensor has no dimension to narrow")
    d = dimension("narrow", dim, len(shape))
    n, first, count = shape[d], as_int(start), as_int(length)
    if count < 0:
        raise RuntimeError(f"narrow: length must not be negative, got {count}")
    if not -n <= first <= n:
        raise IndexError(f"narrow: start {first} is out of range for dimension {d} of size {n}")
    first += n if first < 0 else 0
    if first + count > n:
        raise RuntimeError(f"narrow: start {first} and length {count} go past the end of dimension {d} of size {n}")
    return apply(GETITEM, input, index=(*((0, m, 1) for m in shape[:d]), (first, first + count, 1)))


# -- what an index means -----------------------------------------------------------------------------------------


def _place(name: str, i: int, d: int, n: int) -> int:
    """An integer index counted from the front."""
    if not -n <= i < n:
        raise IndexError(f"{name}: index {i} is out of range for dimension {d} of size {n}")
    return i + n if i < 0 else i


def _understood(
    name: str, shape: tuple[int, ...], index: Any
) -> tuple[tuple[Entry, ...], list[tuple[int, np.ndarray]]]:
    """The basic index, and what is left for the view it makes: (dimension, array of integers or mask) pairs."""
    parts = [_part(name, p) for p in (index if isinstance(index, tuple) else (index,))]
    taken = sum(_takes(p) for p in parts)
    if taken > len(shape):
        raise IndexError(f"{name}: {taken} dimensions are indexed, the tensor has {len(shape)}")
    if sum(p is Ellipsis for p in parts) > 1:
        raise IndexError(f"{name}: an index can have one Ellipsis, this one has more")
    entries: list[Entry] = []
    advanced: list[tuple[int, np.ndarray]] = []
    d = place = 0  # the dimension of the tensor, and of the view, that comes next
    for part in parts:
        if part is None:
            entries.append(None)
            place += 1
        elif part is Ellipsis:
            for n in shape[d : d + len(shape) - taken]:
                entries.append((0, n, 1))
            d += len(shape) - taken
            place += len(shape) - taken
        elif isinstance(part, slice):
            entries.append(_slice(name, part, shape[d]))
            d, place = d + 1, place + 1
        elif isinstance(part, int):
            entries.append(_place(name, part, d, shape[d]))
            d += 1
        elif part.dtype == bool and not part.ndim:
            entries.append(None)  # a new dimension, kept for True and emptied for False
            advanced.append((place, np.zeros(int(part), np.int64)))
            place += 1
        else:
            k = part.ndim if part.dtype == bool else 1
            if part.dtype == bool and part.shape != shape[d : d + k]:
                raise IndexError(
                    f"{name}: the mask has shape {part.shape}, the dimensions it is for have {shape[d : d + k]}"
                )
            advanced.append((place, part))
            entries.extend((0, n, 1) for n in shape[d : d + k])
            d, place = d + k, place + k
    return tuple(entries), advanced


def _part(name: str, part: Any) -> Any:
    """One part of an index as None, Ellipsis, an int, a slice, or a NumPy array of integers or bool."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, (bool, np.bool_)):
        return np.asarray(part)
    if isinstance(part, Tensor):
        part = part.host()
    elif isinstance(part, (list, tuple, range)):
        part = _sequence(name, part)
    elif not isinstance(part, np.ndarray):
        try:
            return as_int(part)
        except TypeError:
            raise IndexError(
                f"{name}: an index is made of integers, slices, None, Ellipsis, masks and arrays of integers, "
                f"got {type(part).__name__}"
            ) from None
    if part.dtype == bool:
        return part
    if part.dtype.kind not in "iu" or part.dtype == np.uint8:
        raise IndexError(
            f"{name}: a tensor in an index must be an integer or a bool one, got {part.dtype.name}"
            + (", which could mean either" if part.dtype == np.uint8 else "")
        )
    return part if part.ndim else int(part)


def _sequence(name: str, part: Any) -> np.ndarray:
    try:
        array = np.asarray([p.host() if isinstance(p, Tensor) else p for p in part])
    except ValueError:
        raise IndexError(f"{name}: a list in an index must have elements of one length") from None
    if array.dtype == object:
        raise IndexError(f"{name}: a list in an index must hold integers or bools; separate other parts by commas")
    return array if array.size else array.astype(np.int64)


def _takes(part: Any) -> int:
    """How many dimensions of the tensor a part of an index stands for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _slice(name: str, part: slice, n: int) -> tuple[int, int, int]:
    bounds = (part.start, part.stop, part.step)
    start, stop, step = (x if x is None or type(x) is int else _bound(name, x) for x in bounds)
    if step is not None and step <= 0:
        raise ValueError(f"{name}: the step of a slice must be positive, got {step}")
    first, last, by = slice(start, stop, step).indices(n)
    return first, max(first, last), by


def _bound(name: str, x: Any) -> int:
    try:
        return as_int(x)
    except TypeError:
        raise TypeError(f"{name}: the bounds of a slice must be integers or None, got {type(x).__name__}") from None


def _everything(entries: tuple[Entry, ...], shape: tuple[int, ...]) -> bool:
    return all(e == (0, n, 1) for e, n in zip(entries, shape, strict=False)) and len(entries) <= len(shape)


def _positions(
    name: str, shape: tuple[int, ...], advanced: list[tuple[int, np.ndarray]]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Arrays and masks over dimensions of a view as one: row-major numbers of places in those dimensions together."""
    if len(advanced) == 1 and advanced[0][1].dtype == bool:
        d, mask = advanced[0]
        return np.flatnonzero(mask).astype(np.int64, copy=False), tuple(range(d, d + mask.ndim))
    arrays: list[np.ndarray] = []
    dims: list[int] = []
    for d, part in advanced:
        for k, array in enumerate(np.nonzero(part) if part.dtype == bool else (part,)):
            arrays.append(array)
            dims.append(d + k)
    try:
        spread = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = " and ".join(str(a.shape) for a in arrays)
        raise IndexError(f"{name}: the arrays of an index must broadcast, these have shapes {shapes}") from None
    positions = np.zeros(spread[0].shape, np.int64)
    for d, array in zip(dims, spread, strict=True):
        n = shape[d]
        if array.size:
            low, high = int(array.min()), int(array.max())
            if low < -n or high >= n:
                raise IndexError(
                    f"{name}: index {low if low < -n else high} is out of range for dimension {d} of size {n}"
                )
        positions *= n
        positions += np.where(array < 0, array + n, array)
    return positions, tuple(dims)


def _beside(positions: np.ndarray, input: Tensor) -> Tensor:
    """Host positions as a tensor on the device of ``input``."""
    array = input.array
    return wrap(from_numpy(positions, array.backend) if isinstance(array, DeviceArray) else positions)


# -- values that are written ----------------------------------------------------------------------------------------


def _as_value(input: Tensor, value: Any) -> Tensor:
    """The value as a tensor of the input's dtype on its device."""
    array = input.array
    if isinstance(value, np.ndarray) and value.ndim:
        value = Tensor(value, device=input.device)
    elif isinstance(value, (int, float, np.generic, np.ndarray)):
        backend = array.backend if isinstance(array, DeviceArray) else None
        return wrap(mode.quiet(full, (), value, array.dtype, backend))
    elif isinstance(value, (list, tuple)):
        value = Tensor(value, device=input.device)
    if not isinstance(value, Tensor):
        raise TypeError(f"setitem: expected a number or a Tensor as the value, got {type(value).__name__}")
    if value.device is not input.device:
        if value.ndim:
            raise RuntimeError(f"setitem: the tensor is on {input.device}, the value on {value.device}")
        value = value.to(input.device)
    return value.to(input.dtype)


def _fitted(value: Tensor, region: tuple[int, ...]) -> Tensor:
    """The value without leading dimensions of size 1 that the region lacks; it must then broadcast to the region."""
    shape = value.array.shape
    extra = len(shape) - len(region)
    if extra > 0 and set(shape[:extra]) == {1}:
        value = value.reshape(shape[extra:])
    own = value.array.shape
    if len(own) > len(region) or any(n not in (1, m) for n, m in zip(reversed(own), reversed(region), strict=False)):
        raise RuntimeError(f"setitem: a value of shape {shape} does not broadcast to the indexed shape {region}")
    return value


def _without_repeats(
    value: Tensor, positions: np.ndarray, shape: tuple[int, ...], dims: tuple[int, ...]
) -> tuple[Tensor, np.ndarray]:
    """Value and positions with only the last of several values for one place, which alone has a gradient."""
    flat = positions.reshape(-1)
    last = _last_of_each(flat)
    if last is None:
        return value, positions
    if value.ndim:
        first = lead(dims)
        region = indexed_shape(shape, positions.shape, dims)
        rows = value.expand(region).reshape(*region[:first], flat.size, *region[first + positions.ndim :])
        value = apply(INDEX, rows, _beside(last, value), dims=(first,))
    return value, flat[last]


def _last_of_each(flat: np.ndarray) -> np.ndarray | None:
    """Where each position stands last, or None where none is repeated."""
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    final = np.ones(flat.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=final[:-1])
    return None if final.all() else np.sort(order[final])


def _apart(window: Any, value: Any) -> Any:
    """The value, copied where it lies in the memory that is about to be written."""
    if isinstance(value, DeviceArray):
        return copied(value) if value.block is window.block else value
    return value.copy() if np.may_share_memory(window, value) else value


def _assign(window: Any, value: Any) -> None:
    if isinstance(window, DeviceArray):
        copy_into(window, _apart(window, value))
    else:
        np.copyto(window, value, casting="unsafe")


# -- NumPy and devices ------------------------------------------------------------------------------------------------


def _view(array: Any, *, index: tuple[Entry, ...]) -> Any:
    return forward(array, index=index)


@viewing
def forward(input, *, index):
    key = tuple(slice(*e) if type(e) is tuple else e for e in index)
    return input[(*key, ...)]


def backward(grad, *, index, shape):
    out = zeros_like(grad, shape)
    _assign(forward(out, index=index), grad)
    return out


def set_numpy(input, value, *, index):
    out = np.array(input, order="C")
    _assign(forward(out, index=index), value)
    return out


def set_triton(input, value, *, index):
    out = copied(input)
    _assign(forward(out, index=index), value)
    return out


def clear_numpy(grad, *, index):
    return set_numpy(grad, np.zeros((), grad.dtype), index=index)


def clear_triton(grad, *, index):
    return set_triton(grad, zeros_like(grad, ()), index=index)


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample("worked", (x,), {"index": (1, (0, 3, 2))}, answers=([4.0, 6.0], [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))
    yield Sample("one number", (x,), {"index": (0, 1)}, answers=(2.0, [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    yield Sample("new dimensions", (rng.normal(size=(3, 4)),), {"index": (None, (1, 3, 1), None, (0, 4, 3))})
    yield Sample("some dimensions", (rng.normal(size=(4, 2, 5)).T,), {"index": ((1, 5, 2),)})
    yield Sample("none left", (rng.normal(size=(3, 4)),), {"index": ((2, 2, 1),)})
    yield Sample("0-d", (rng.normal(size=()),), {"index": (None,)})
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"index": ((0, 0, 1), 2)})
    yield Sample(
        "out of range",
        (np.zeros((2, 3)), (0, 3)),
        raises=(IndexError, "getitem: index 3 is out of range for dimension 1 of size 3"),
    )
    yield Sample(
        "too many",
        (np.zeros((2, 3)), (0, 1, 1)),
        raises=(IndexError, "getitem: 3 dimensions are indexed, the tensor has 2"),
    )
    yield Sample(
        "backwards",
        (np.zeros(3), slice(None, None, -1)),
        raises=(ValueError, "getitem: the step of a slice must be positive, got -1"),
    )
    yield Sample(
        "two ellipses",
        (np.zeros(3), (..., ...)),
        raises=(IndexError, "getitem: an index can have one Ellipsis, this one has more"),
    )
    yield Sample(
        "no index",
        (np.zeros(3), "a"),
        raises=(
            IndexError,
            "getitem: an index is made of integers, slices, None, Ellipsis, masks and arrays of integers, got str",
        ),
    )


def set_samples(rng):
    x = np.array([1.0, 2.0, 3.0])
    yield Sample("worked", (x, np.array(5.0)), {"index": ((1, 3, 1),)}, answers=([1.0, 5.0, 5.0], [1.0, 0.0, 0.0], 2.0))
    yield Sample("row", (rng.normal(size=(3, 4)), rng.normal(size=(4,))), {"index": (1,)})
    yield Sample(
        "broadcast", (rng.normal(size=(4, 5)).T, rng.normal(size=(3, 1))), {"index": ((0, 5, 2), (1, 3, 1))}, terms=2
    )
    yield Sample("nothing", (rng.normal(size=(3, 4)), rng.normal(size=(1,))), {"index": ((3, 3, 1),)})
    yield Sample("0-d", (rng.normal(size=()), rng.normal(size=())), {"index": ()})
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), 0, np.zeros(2)),
        raises=(RuntimeError, "setitem: a value of shape (2,) does not broadcast to the indexed shape (3,)"),
    )


GETITEM = register(
    Op(
        name="getitem",
        kernel=Kernel(numpy=forward, triton=forward),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="getitem_backward",
                settings=lambda call: {"index": call.settings["index"], "shape": call.shape("input")},
            ),
        ),
        samples=samples,
        function=getitem,
        view=True,
    )
)

register(
    Op(
        name="getitem_backward",
        kernel=Kernel(numpy=backward, triton=backward),
        grads=(Grad(of=("grad",), keeps=(), op="getitem", settings=lambda call: {"index": call.settings["index"]}),),
    )
)

SETITEM = register(
    Op(
        name="setitem",
        kernel=Kernel(numpy=set_numpy, triton=set_triton),
        grads=(Grad(of=("input",), keeps=(), op="setitem_backward"), Grad(of=("value",), keeps=(), op="getitem")),
        samples=set_samples,
        function=setitem,
    )
)

register(
    Op(
        name="setitem_backward",
        kernel=Kernel(numpy=clear_numpy, triton=clear_triton),
        grads=(Grad(of=("grad",), keeps=(), op="setitem_backward"),),
    )
)
