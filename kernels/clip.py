"""Clipping gradients: the norm of all of them together, and scaling or clamping them in place.

    total_norm   = (sum over all elements of all tensors of |x|^p)^(1/p);  the greatest |x| for p = inf, the least for
                   p = -inf, the number of elements that are not 0 for p = 0
    clip_by_norm : x = x * min(1, max_norm / (total_norm + 1e-6))
    clip_value   : x = max(-value, min(value, x))

A norm that is nan, or infinite, makes every gradient so, as in PyTorch.  On a device the norm stays there: two launches
find it (the parts are added up in one order, whatever runs first), one scales.

Source: Pascanu, Mikolov, Bengio (2013), "On the difficulty of training recurrent neural networks", section 3.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from math import inf
from typing import Any

import numpy as np

from ..autograd import Tensor, apply, no_grad
from ..framework import dtypes
from ..framework.array import empty, empty_like
from ..framework.elementwise import widen
from ..framework.fill import fill
from ..framework.group import base_of, batches, pieces, place_of, step_group
from ..framework.language import jit, libdevice, tl
from ..framework.language import reduce as fold
from ..framework.launch import launch
from ..framework.op import Kernel, Op, Sample, register
from ..framework.reduction import plus
from .div import quotient
from .max import higher
from .min import lower
from .sqrt import root
from .stack import stack

PART = 4096  # elements of one part of a norm on a GPU


@no_grad()
def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of the norms of ``tensors`` (one, or several), as a 0-d tensor on the device of the first.

    ``foreach`` is PyTorch's choice between two implementations; here there is one.  Raises RuntimeError for a norm that
    is not finite where ``error_if_nonfinite``, which waits for the device.

    >>> get_total_norm([Tensor([3.0, 0.0]), Tensor([4.0])]).item()
    5.0
    """
    _check_foreach("get_total_norm", foreach)
    return _total_norm("get_total_norm", _several("get_total_norm", tensors), norm_type, error_if_nonfinite)


@no_grad()
def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale the gradients of ``parameters``, whose norm is ``total_norm``, in place, so that it is at most ``max_norm``.

    >>> w = Tensor([1.0], requires_grad=True); w.grad = Tensor([8.0])
    >>> clip_grads_with_norm_(w, 2.0, Tensor(8.0)); print(w.grad)
    tensor([2.])
    """
    _check_foreach("clip_grads_with_norm_", foreach)
    for grads in _by_device(_gradients("clip_grads_with_norm_", parameters)):
        norm = total_norm if total_norm.device is grads[0].device else total_norm.to(grads[0].device)
        apply(CLIP_BY_NORM, grads, norm, max_norm=float(max_norm))


@no_grad()
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of ``parameters`` in place, so that their norm together is at most ``max_norm``.

    Returns the norm before, a 0-d tensor.  Raises RuntimeError for one that is not finite where ``error_if_nonfinite``.

    >>> w = Tensor([1.0, 1.0], requires_grad=True); w.grad = Tensor([3.0, 4.0])
    >>> clip_grad_norm_([w], 2.5).item()
    5.0
    >>> print(w.grad)
    tensor([1.5, 2. ])
    """
    _check_foreach("clip_grad_norm_", foreach)
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    else:
        generated = not hasattr(parameters, "__len__")
        parameters = list(parameters)
        if generated and not parameters:
            warnings.warn("clip_grad_norm_: parameters is an empty generator, nothing is clipped", stacklevel=3)
    grads = _gradients("clip_grad_norm_", parameters)
    norm = _total_norm("clip_grad_norm_", grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


@no_grad()
def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every element of the gradients of ``parameters`` to [-clip_value, clip_value], in place.

    >>> w = Tensor([1.0, 1.0], requires_grad=True); w.grad = Tensor([3.0, -0.5])
    >>> clip_grad_value_(w, 1.0); w.grad.tolist()
    [1.0, -0.5]
    """
    _check_foreach("clip_grad_value_", foreach)
    for grads in _by_device(_gradients("clip_grad_value_", parameters)):
        apply(CLIP_VALUE, grads, value=float(clip_value))


def _check_foreach(name: str, foreach: Any) -> None:
    if foreach is not None and not isinstance(foreach, bool):
        raise TypeError(f"{name}: expected foreach to be True, False or None, got {foreach!r}")


def _several(name: str, tensors: Any) -> list[Tensor]:
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for t in given:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(t).__name__}")
    return given


def _gradients(name: str, parameters: Any) -> list[Tensor]:
    return [p.grad for p in _several(name, parameters) if p.grad is not None]


def _by_device(tensors: Iterable[Tensor]) -> list[tuple[Tensor, ...]]:
    """The tensors by device; one that is there twice stands in two groups, so that no launch writes it twice."""
    found: dict[tuple[Any, int], list[Tensor]] = {}
    times: dict[int, int] = {}
    for t in tensors:
        times[id(t)] = time = times.get(id(t), 0) + 1
        found.setdefault((t.device, time), []).append(t)
    return [tuple(many) for many in found.values()]


def _total_norm(name: str, tensors: list[Tensor], norm_type: float, strict: bool) -> Tensor:
    power = float(norm_type)
    if not tensors:
        return Tensor(0.0)
    for t in tensors:
        if not t.dtype.is_floating_point:
            raise RuntimeError(f"{name}: expected floating tensors, got {t.dtype.name}")
    groups: Any = _by_device(tensors)
    if power == 0:
        groups = [(t,) for t in tensors]  # the norm of norms is then no norm of all the elements
    norms = [apply(TOTAL_NORM, group, norm_type=power) for group in groups]
    if len(norms) > 1:
        together = stack([n.to(norms[0].device) for n in norms])
        norm = apply(TOTAL_NORM, (together,), norm_type=power)
    else:
        norm = norms[0] if power else apply(TOTAL_NORM, (norms[0],), norm_type=power)
    if strict and not np.isfinite(norm.item()):
        raise RuntimeError(
            f"{name}: the norm of order {norm_type} is not finite ({norm.item()}); error_if_nonfinite=False goes on with it"
        )
    return norm


# -- the norm -----------------------------------------------------------------------------------------------------


def _result(tensors: tuple[Any, ...]) -> np.dtype:
    """The dtype of the norm: what the tensors' are promoted to."""
    kinds = list(dict.fromkeys(t.dtype for t in tensors))
    kind = dtypes.dtype_of(kinds[0])
    for other in kinds[1:]:
        kind = dtypes.promote_types(kind, dtypes.dtype_of(other))
    return kind.numpy


def norm_numpy(tensors, *, norm_type):
    p, parts = norm_type, []
    work = np.float64 if any(a.dtype == np.float64 for a in tensors) else np.float32
    for a in tensors:
        if not a.size:
            continue
        x = np.abs(a.astype(work, copy=False))
        if p == inf:
            parts.append(x.max())
        elif p == -inf:
            parts.append(x.min())
        elif p == 0:
            parts.append(np.count_nonzero(x))
        else:
            terms = x if p == 1 else x * x if p == 2 else np.power(x, p)
            parts.append(np.add.reduce(terms, axis=None))
    if not parts:
        return np.zeros((), _result(tensors))
    total = max(parts) if p == inf else min(parts) if p == -inf else sum(map(float, parts))
    if abs(p) == inf and any(x != x for x in parts):
        total = np.nan
    if p not in (0, 1, inf, -inf):
        total = np.sqrt(total) if p == 2 else np.float64(total) ** (1 / p)
    return np.asarray(total).astype(_result(tensors))


@jit
def _term(x, power, KIND: tl.constexpr):
    if KIND == "square":
        return x * x
    elif KIND == "count":
        return (x != 0).to(x.dtype)
    elif KIND == "power":
        return libdevice.pow(tl.abs(x), power)
    else:
        return tl.abs(x)


@jit
def _part(
    base,
    begin,
    size,
    power,
    identity,
    KIND: tl.constexpr,
    COMBINE: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # BLOCK elements of one array from ``begin`` on; only the last ones need a mask, which stands in the way of wide loads
    element = begin + tl.arange(0, BLOCK)
    mask = element < size if LAST else None
    terms = _term(widen(tl.load(base + element, mask=mask)).to(identity.dtype), power, KIND)
    if LAST:
        terms = tl.where(mask, terms, identity)
    return fold(terms, 0, COMBINE)


@jit
def _parts(
    parts_ptr,
    table,
    programs,
    like,
    first,
    power,
    identity,
    KIND: tl.constexpr,
    COMBINE: tl.constexpr,
    ALIGNMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # parts: one for each program, from ``first`` on · table, programs: see place_of
    # one program per BLOCK elements of one array
    line, begin, size = place_of(table, programs, 2, BLOCK)
    base = base_of(line, 0, like, ALIGNMENT)
    if begin + BLOCK <= size:
        part = _part(base, begin, size, power, identity, KIND, COMBINE, False, BLOCK)
    else:
        part = _part(base, begin, size, power, identity, KIND, COMBINE, True, BLOCK)
    tl.store(parts_ptr + first + tl.program_id(0).to(tl.int64), part)


@jit
def _whole(out_ptr, parts_ptr, n, power, identity, KIND: tl.constexpr, COMBINE: tl.constexpr, BLOCK: tl.constexpr):
    # out: one element · parts: n of them · one program
    acc = tl.zeros((BLOCK,), identity.dtype) + identity
    for start in range(0, n, BLOCK):
        place = start + tl.arange(0, BLOCK)
        acc = COMBINE(acc, tl.where(place < n, tl.load(parts_ptr + place, mask=place < n), identity))
    total = fold(acc, 0, COMBINE)
    if KIND == "square":
        total = root(total)
    elif KIND == "power":
        total = libdevice.pow(total, 1 / power)
    tl.store(out_ptr, total.to(out_ptr.dtype.element_ty))


def norm_triton(tensors, *, norm_type):
    out = empty_like(tensors[0], (), _result(tensors))
    backend = out.backend
    found = batches((tensors,), writes=0)
    if not found:
        fill(out, 0)
        return out
    work = np.dtype(np.float64 if any(b.kind == np.float64 for b in found) else np.float32)
    kind = {inf: "most", -inf: "least", 0: "count", 1: "sum", 2: "square"}.get(norm_type, "power")
    combine = higher if kind == "most" else lower if kind == "least" else plus
    identity, power = work.type(inf if kind == "least" else 0), work.type(norm_type)
    block = max(PART, backend.block)
    prepared = [(batch, *batch.tables(block)) for batch in found]
    parts = empty((sum(count for *_, count in prepared),), work, backend)
    first = 0
    for batch, table, programs, count in prepared:
        # one program per BLOCK elements of each array, array after array
        launch(
            _parts,
            (count,),
            parts,
            table,
            programs,
            *batch.likes,
            np.int64(first),
            power,
            identity,
            KIND=kind,
            COMBINE=combine,
            ALIGNMENT=batch.alignment,
            BLOCK=block,
        )
        first += count
    # one program
    launch(
        _whole,
        (1,),
        out,
        parts,
        np.int64(first),
        power,
        identity,
        KIND=kind,
        COMBINE=combine,
        BLOCK=1024,
    )
    return out


def norm_samples(rng):
    two = (np.array([3.0, 0.0]), np.array([[-4.0]]))
    for p, answer in [(2.0, 5.0), (1.0, 7.0), (inf, 4.0), (-inf, 0.0), (0.0, 2.0), (3.0, (27.0 + 64.0) ** (1 / 3))]:
        yield Sample(f"worked, p = {p}", (two,), {"norm_type": p}, answers=(answer,))
    yield Sample("worked, empty", ((np.zeros((0, 2)),),), {"norm_type": 2.0}, answers=(0.0,))
    with_nan = (np.array([1.0, np.nan]), np.array([2.0]))
    for p in (2.0, inf, -inf):
        yield Sample(f"worked, nan, p = {p}", (with_nan,), {"norm_type": p}, answers=(np.nan,))
    shapes = [(3, 4), (0,), (), (1500,), (2, 5, 3)]
    for p in (2.0, 1.5, inf):
        tensors = tuple(np.asarray(rng.normal(size=s)) for s in shapes)
        yield Sample(f"group, p = {p}", (tensors,), {"norm_type": p}, terms=1527)
    yield Sample("strided", ((rng.normal(size=(6, 8))[:, ::2].T, rng.normal(size=3)),), {"norm_type": 2.0}, terms=27)
    mixed = (rng.normal(size=5).astype(np.float32), rng.normal(size=(2, 3)), rng.normal(size=7).astype(np.float16))
    yield Sample("dtypes", (mixed,), {"norm_type": 2.0}, terms=18, dtypes=())
    yield Sample(
        "not finite",
        ((np.array([inf]),),),
        {"norm_type": 2.0, "error_if_nonfinite": True},
        raises=(
            RuntimeError,
            "get_total_norm: the norm of order 2.0 is not finite (inf); error_if_nonfinite=False goes on with it",
        ),
    )
    yield Sample(
        "integers",
        ((np.array([1]),),),
        raises=(RuntimeError, "get_total_norm: expected floating tensors, got int64"),
    )


TOTAL_NORM = register(
    Op(
        name="total_norm",
        kernel=Kernel(numpy=norm_numpy, triton=norm_triton),
        samples=norm_samples,
        function=get_total_norm,
        differentiable=0,
        zero=("tensors",),  # the norm is for clipping, which nobody differentiates
    )
)


# -- clipping by it -----------------------------------------------------------------------------------------------


def by_norm_numpy(tensors, total_norm, *, max_norm):
    for (x,) in pieces((tensors,), 1):
        number = x.dtype.type
        factor = number(max_norm) / (number(total_norm) + number(1e-6))
        x *= number(1) if factor > 1 else factor
    return ()


@jit
def _by_norm(x, norm, most):
    factor = quotient(most, norm + 1e-6)
    return (x * tl.where(factor > 1, 1, factor).to(x.dtype),)


def by_norm_triton(tensors, total_norm, *, max_norm):
    step_group(_by_norm, (tensors,), total_norm, (max_norm,), writes=1)
    return ()


def by_norm_samples(rng):
    settings = {"max_norm": 2.5}
    two = lambda: (np.array([3.0, 0.0]), np.array([[-4.0]]))  # noqa: E731
    factor = 2.5 / (5.0 + 1e-6)
    yield Sample("worked", (two(), np.array(5.0)), settings, answers=([3 * factor, 0.0], [[-4 * factor]]))
    yield Sample("worked, short", (two(), np.array(2.0)), settings, answers=([3.0, 0.0], [[-4.0]]))
    yield Sample("worked, nan", (two(), np.array(np.nan)), settings, answers=([np.nan, np.nan], [[np.nan]]))
    yield Sample("worked, infinite", (two(), np.array(inf)), settings, answers=([0.0, 0.0], [[-0.0]]))
    tensors = tuple(np.asarray(rng.normal(size=s)) for s in [(3, 4), (0,), (), (1500,)])
    yield Sample("group", (tensors, np.array(40.0)), settings)


CLIP_BY_NORM = register(
    Op(
        name="clip_by_norm",
        kernel=Kernel(numpy=by_norm_numpy, triton=by_norm_triton),
        samples=by_norm_samples,
        outputs=(),
        differentiable=0,
        zero=("tensors", "total_norm"),  # there is no output to differentiate
        writes=("tensors",),
    )
)


# -- clamping -----------------------------------------------------------------------------------------------------


def value_numpy(tensors, *, value):
    for (x,) in pieces((tensors,), 1):
        np.maximum(x, -value, out=x)
        np.minimum(x, value, out=x)
    return ()


@jit
def _by_value(x, most):
    x = tl.where(x < -most, -most, x)
    return (tl.where(x > most, most, x),)


def value_triton(tensors, *, value):
    step_group(_by_value, (tensors,), (value,), writes=1)
    return ()


def value_samples(rng):
    settings = {"value": 1.5}
    x = np.array([3.0, -2.0, 1.0, np.nan, inf])
    yield Sample("worked", ((x, np.array(-1.75)),), settings, answers=([1.5, -1.5, 1.0, np.nan, 1.5], -1.5))
    yield Sample("group", (tuple(np.asarray(rng.normal(size=s)) for s in [(3, 4), (0,), (), (1500,)]),), settings)


CLIP_VALUE = register(
    Op(
        name="clip_value",
        kernel=Kernel(numpy=value_numpy, triton=value_triton),
        samples=value_samples,
        outputs=(),
        differentiable=0,
        zero=("tensors",),  # there is no output to differentiate
        writes=("tensors",),
    )
)
