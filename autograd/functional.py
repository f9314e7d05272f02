"""Derivatives of functions: jacobian, hessian and their products with vectors, under PyTorch's names.

The functions are called on copies of the inputs that are views of them, so that no ``.grad`` is touched.  J v is
a gradient of gradients: that of u -> u^T J, which is linear in u, for the gradient v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..framework.fill import full
from .engine import grad
from .mode import enable_grad
from .tensor import Tensor, wrap

Inputs = Tensor | Sequence[Tensor]
Function = Callable[..., Any]


def _several(name: str, what: str, values: Any) -> tuple[bool, tuple[Tensor, ...]]:
    """Whether several were given, and all of them."""
    several = isinstance(values, (tuple, list))
    given = tuple(values) if several else (values,)
    for i, t in enumerate(given):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: expected {what}, a Tensor or a tuple of them, got {type(t).__name__} at {i}")
    return several, given


def _begin(t: Tensor, create_graph: bool) -> Tensor:
    """An input as the function gets it: its own leaf, or with ``create_graph`` joined to the caller's."""
    if create_graph and t.requires_grad:
        return t.reshape(t.shape) if t.is_leaf else t * 1
    return t.detach().requires_grad_()


def _end(results: Any, create_graph: bool) -> Any:
    if isinstance(results, tuple):
        return tuple(_end(r, create_graph) for r in results)
    return results if create_graph else results.detach()


def _vectors(name: str, v: Any, like: tuple[Tensor, ...], several: bool, what: str) -> tuple[Tensor, ...]:
    """``v``, checked against the tensors that it must look like; ones for a single tensor of one element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"{name}: v may be left out only where {what} is a single tensor of one element")
        return (_ones(like[0]),)
    _, given = _several(name, "v", v)
    if len(given) != len(like):
        raise RuntimeError(f"{name}: expected one v per tensor of {what}, {len(like)}, got {len(given)}")
    for i, (t, other) in enumerate(zip(given, like, strict=True)):
        if t.shape != other.shape:
            raise RuntimeError(f"{name}: v[{i}] has shape {t.shape}, {what}[{i}] has shape {other.shape}")
    return given


def _filled(t: Tensor, value: float) -> Tensor:
    return wrap(full(t.shape, value, t.array.dtype, getattr(t.array, "backend", None)))


def _ones(t: Tensor) -> Tensor:
    return _filled(t, 1)


def _outputs(name: str, outputs: Any, strict: bool) -> tuple[bool, tuple[Tensor, ...]]:
    several, given = _several(name, "the outputs of func", outputs)
    if strict:
        for i, o in enumerate(given):
            if not o.requires_grad:
                raise RuntimeError(
                    f"{name}: output {i} does not depend on the inputs, which strict=True does not allow"
                )
    return several, given


def _gradients(
    name: str,
    outputs: Sequence[Tensor],
    inputs: tuple[Tensor, ...],
    weights: Sequence[Tensor | None],
    strict: bool,
    create_graph: bool,
    retain_graph: bool = True,
) -> tuple[Tensor, ...]:
    """The gradient for each input, zeros where outputs do not depend on it (an error with ``strict``)."""
    live = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if live:
        outs, ws = zip(*live, strict=True)
        found = grad(outs, inputs, ws, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True)
    results = []
    for i, (g, x) in enumerate(zip(found, inputs, strict=True)):
        if strict and (g is None or (create_graph and not g.requires_grad)):
            what = "the outputs do not depend" if g is None else "their derivatives do not depend"
            raise RuntimeError(f"{name}: {what} on input {i}, which strict=True does not allow")
        results.append(_filled(x, 0) if g is None else g)
    return tuple(results)


def _as_given(results: tuple[Any, ...], several: bool) -> Any:
    return results if several else results[0]


def vjp(func: Function, inputs: Inputs, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, v^T J): the gradient of ``func(*inputs)`` for the gradient ``v`` of its outputs, one per input.

    ``v`` may be left out for one output of one element.  With ``create_graph`` all that is returned is differentiable;
    with ``strict`` RuntimeError is raised where outputs do not depend on an input, which gives zeros otherwise.
    """
    several, given = _several("vjp", "inputs", inputs)
    with enable_grad():
        xs = tuple(_begin(t, create_graph) for t in given)
        many, outs = _outputs("vjp", func(*xs), strict)
        vs = _vectors("vjp", v, outs, many, "outputs")
        results = _gradients("vjp", outs, xs, vs, strict, create_graph, create_graph)
    return _as_given(_end(outs, create_graph), many), _as_given(_end(results, create_graph), several)


def jvp(func: Function, inputs: Inputs, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, J v): how the outputs of ``func(*inputs)`` change when the inputs go along ``v``.

    Every row on the way must have second derivatives.  ``v`` may be left out for one input of one element; the rest is
    as in ``vjp``.
    """
    several, given = _several("jvp", "inputs", inputs)
    vs = _vectors("jvp", v, given, several, "inputs")
    with enable_grad():
        xs = tuple(_begin(t, create_graph) for t in given)
        many, outs = _outputs("jvp", func(*xs), strict)
        duals = tuple(_filled(o, 0).requires_grad_() for o in outs)
        backward = _gradients("jvp", outs, xs, duals, strict, True)
        results = _gradients("jvp", backward, duals, vs, False, create_graph, create_graph)
    return _as_given(_end(outs, create_graph), many), _as_given(_end(results, create_graph), many)


def jacobian(
    func: Function,
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of ``func``: for each output and input a tensor of the output's shape followed by the input's.

    A single output or input gives no tuple at its level.  One backward is made per element of the outputs.
    ``create_graph`` and ``strict`` are as in ``vjp``.  Raises NotImplementedError for ``vectorize`` and "forward-mode".
    """
    if vectorize or strategy != "reverse-mode":
        raise NotImplementedError("jacobian: only vectorize=False with strategy='reverse-mode' is available")
    several, given = _several("jacobian", "inputs", inputs)
    with enable_grad():
        xs = tuple(_begin(t, create_graph) for t in given)
        many, outs = _outputs("jacobian", func(*xs), strict)
        rows = tuple(_rows("jacobian", o, xs, strict, create_graph) for o in outs)
    return _as_given(tuple(_as_given(_end(r, create_graph), several) for r in rows), many)


def _rows(name: str, output: Tensor, xs: tuple[Tensor, ...], strict: bool, create_graph: bool) -> tuple[Tensor, ...]:
    from ..framework.op import OPS

    stack = OPS["stack"].function
    collected: list[list[Tensor]] = [[] for _ in xs]
    flat = output.reshape(-1)
    for i in range(output.numel()):
        one = flat[i]
        for held, g in zip(collected, _gradients(name, [one], xs, [None], strict, create_graph), strict=True):
            held.append(g)
    return tuple(
        stack(held).reshape((*output.shape, *x.shape)) if held else _empty(output, x)
        for held, x in zip(collected, xs, strict=True)
    )


def _empty(output: Tensor, x: Tensor) -> Tensor:
    shape = (*output.shape, *x.shape)
    return wrap(full(shape, 0, x.array.dtype, getattr(x.array, "backend", None)))


def _one_number(name: str, func: Function, strict: bool) -> Callable[..., Tensor]:
    def run(*xs: Tensor) -> Tensor:
        out = func(*xs)
        if isinstance(out, (tuple, list)) and len(out) == 1:
            out = out[0]
        if not isinstance(out, Tensor):
            raise TypeError(f"{name}: expected func to give one Tensor, got {type(out).__name__}")
        if out.numel() != 1:
            raise RuntimeError(f"{name}: expected func to give a tensor of one element, got shape {out.shape}")
        if strict and not out.requires_grad:
            raise RuntimeError(f"{name}: the output does not depend on the inputs, which strict=True does not allow")
        return out.reshape(())

    return run


def hessian(
    func: Function,
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of ``func``, which gives one number: ``h[i][j]`` has the shapes of inputs i and j.

    A single input gives no tuples.  The arguments are those of ``jacobian``.
    """
    if vectorize or outer_jacobian_strategy != "reverse-mode":
        raise NotImplementedError("hessian: only vectorize=False with 'reverse-mode' is available")
    several, _ = _several("hessian", "inputs", inputs)
    number = _one_number("hessian", func, strict)

    def first(*xs: Tensor) -> tuple[Tensor, ...]:
        joined = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in xs)
        return _gradients("hessian", [number(*joined)], joined, [None], strict, True)

    rows = jacobian(first, inputs, create_graph, strict)
    return rows if several else rows[0]


def _hessian_product(
    name: str, func: Function, inputs: Inputs, v: Any, create_graph: bool, strict: bool
) -> tuple[Tensor, Any]:
    several, given = _several(name, "inputs", inputs)
    vs = _vectors(name, v, given, several, "inputs")
    with enable_grad():
        xs = tuple(_begin(t, create_graph) for t in given)
        out = _one_number(name, func, strict)(*xs)
        first = _gradients(name, [out], xs, [None], strict, True)
        results = _gradients(name, first, xs, vs, strict, create_graph, create_graph)
    return _end(out, create_graph), _as_given(_end(results, create_graph), several)


def vhp(func: Function, inputs: Inputs, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, v^T H) for the Hessian of ``func``, which gives one number; the rest is as in ``vjp``."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(func: Function, inputs: Inputs, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, H v).  H is symmetric where second derivatives are continuous, so it is computed as ``vhp`` is."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)
