"""Function: a user's own forward and backward, written with tensors.

For gradients that are easier to state by hand than to put together from rows; a new kernel is a row instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ..framework.op import Kernel, Op, Plan
from .mode import enable_grad, mode, no_grad
from .tensor import _FLOATING, _OWN, Node, Output, Own, Tensor, linked, wrap
from .watch import gate

_ROW = Op("function", Kernel(numpy=lambda: None, triton=lambda: None))
_PLAN = Plan(_ROW, 0)


class Context:
    """What forward leaves for backward: saved tensors, attributes, and remarks about the outputs."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Any, ...] = ()
        self._non_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._node: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs or others) for backward; changing them in place afterwards is an error."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: expected tensors, got {type(t).__name__}")
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The saved tensors; RuntimeError once the graph was freed or one of them was changed in place."""
        return self._node.unpack()

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that forward changed these inputs in place; each of them must be among its outputs."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for outputs that nothing depends on."""
        self._materialize = value


class FunctionNode(Node):
    """The node of one call of a Function."""

    __slots__ = ("context", "count", "function", "like", "saved")
    custom = True
    context: Any
    count: int
    function: Any
    like: Any
    saved: list[Any] | None

    def name(self) -> str:
        return f"{self.function.__name__}Backward"

    def run(self, gradients: Sequence[Any], create_graph: bool) -> list[Any]:
        """The gradients of the inputs, as the walk wants them: tensors with ``create_graph``, else arrays."""
        given = [g if g is None or isinstance(g, Tensor) else wrap(g) for g in gradients]
        with enable_grad() if create_graph else no_grad():
            results = self.function.backward(self.context, *given)
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(self.edges):
            raise RuntimeError(
                f"{self.function.__name__}.backward: expected {len(self.edges)} gradients, one per input of forward, "
                f"got {len(results)}"
            )
        out: list[Any] = []
        for i, (result, shape, edge) in enumerate(zip(results, self.shapes, self.edges, strict=True)):
            if result is not None and not isinstance(result, Tensor):
                raise TypeError(
                    f"{self.function.__name__}.backward: gradient {i} is {type(result).__name__}, expected a Tensor or None"
                )
            if result is None or edge is None:
                out.append(None)
                continue
            if result.shape != shape:
                raise RuntimeError(
                    f"{self.function.__name__}.backward: gradient {i} has shape {result.shape}, its input has shape {shape}"
                )
            out.append(result if create_graph else result.array)
        return out

    def unpack(self) -> tuple[Tensor | None, ...]:
        """The saved tensors, as they were."""
        if self.saved is None:
            raise RuntimeError(
                f"{self.function.__name__}: the saved tensors were freed by a backward before; use retain_graph=True there"
            )
        out: list[Tensor | None] = []
        for saved in self.saved:
            if saved is None:
                out.append(None)
                continue
            array, edge, storage, version = saved
            if storage is None:  # what a hook made of it
                array = array.open().array
            elif storage.version != version:
                raise RuntimeError(
                    f"{self.function.__name__}: a saved tensor was changed in place: "
                    f"it was at version {version}, now it is at version {storage.version}"
                )
            if type(edge) is Own:
                edge = self if self.like is None else Output(self, edge.index)
            out.append(linked(array, edge, storage))
        return tuple(out)

    def release(self) -> None:
        """Let the saved tensors go."""
        self.saved = None


class Function:
    """Subclass it with static ``forward(ctx, ...)`` and ``backward(ctx, *grads)`` and call ``apply``.

    ``backward`` returns one gradient (a tensor of the input's shape, or None) for each argument of ``forward``.
    In the newer form ``forward(...)`` has no ctx and ``setup_context(ctx, inputs, output)`` fills it.
    """

    setup_context: Any = None

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs; nothing in here is recorded."""
        raise NotImplementedError("Function: define forward")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute one gradient for each argument of forward."""
        raise NotImplementedError("Function: define backward")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call forward, remembering how to go back where an input requires a gradient."""
        needs = tuple(isinstance(a, Tensor) and a.wants_grad for a in args)
        context = Context(needs)
        with no_grad():
            if cls.setup_context is None:
                results = cls.forward(context, *args)
            else:
                results = cls.forward(*args)
                cls.setup_context(context, args, results)
        several = isinstance(results, tuple)
        outs = results if several else (results,)
        for o in outs:
            if not isinstance(o, Tensor):
                raise TypeError(f"{cls.__name__}.forward: expected to return tensors, got {type(o).__name__}")
        inputs = [a for a in args if isinstance(a, Tensor)]
        dirty = {id(t) for t in context._dirty}
        fresh = tuple(_own(o) if id(o) not in dirty and any(o is i for i in inputs) else o for o in outs)
        if dirty:
            cls._check_dirty(context._dirty, outs, any(needs) and mode.recording)
        if not (any(needs) and mode.recording):
            context._node = _Saved(cls, context)
            return fresh if several else fresh[0]
        edges = [a.edge if isinstance(a, Tensor) else None for a in args]
        node = FunctionNode(_ROW, _PLAN, edges, [a.shape if isinstance(a, Tensor) else () for a in args], {})
        node.function, node.context, context._node = cls, context, node
        silent = {id(t) for t in context._non_differentiable}
        node.count = len(fresh)
        node.like = None
        if len(fresh) > 1:
            node.like = (
                [(o.shape, o.array.dtype, getattr(o.array, "backend", None)) for o in fresh]
                if context._materialize
                else [None] * len(fresh)
            )
        for i, (o, made) in enumerate(zip(outs, fresh, strict=True)):
            if id(o) not in silent and made.array.dtype in _FLOATING:
                made.source, made.wants_grad = (Output(node, i) if len(fresh) > 1 else node), True
            if id(made) in dirty:
                made.storage.rewrites += 1
        node.saved = [_save(t, outs, fresh) for t in context._saved]
        if gate.packing is not None:
            node.saved = gate.packing(node.saved)
        context._saved = ()
        return fresh if several else fresh[0]

    @classmethod
    def _check_dirty(cls, dirty: tuple[Tensor, ...], outs: Sequence[Any], recorded: bool) -> None:
        for t in dirty:
            if not any(t is o for o in outs):
                raise RuntimeError(f"{cls.__name__}.forward: what mark_dirty names must be among the outputs")
            if recorded and t.source is None and t.wants_grad:
                raise RuntimeError(f"{cls.__name__}.forward: changed a leaf that requires a gradient in place")
            if recorded and t.origin is not None:
                raise RuntimeError(f"{cls.__name__}.forward: changed a view in place; clone() it first")


class _Refusal(Function):
    """Passes a gradient on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, name: str, result: Tensor, *dependencies: Tensor) -> Tensor:
        ctx.name = name
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{ctx.name}: it is marked with once_differentiable, and was to be differentiated twice")


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for a Function's ``backward`` that has no gradient itself; asking for one is a RuntimeError."""

    @wraps(function)
    def backward(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = function(ctx, *grads)
        wanting = [g for g in grads if isinstance(g, Tensor) and g.wants_grad]
        if not mode.recording or not wanting:
            return results
        name = function.__qualname__
        refused = tuple(
            _Refusal.apply(name, r, *wanting) if isinstance(r, Tensor) else r
            for r in (results if isinstance(results, tuple) else (results,))
        )
        return refused if isinstance(results, tuple) else refused[0]

    return backward


class _Saved:
    """Stands in for the node of a call that was not recorded, so that ``ctx.saved_tensors`` still answers."""

    def __init__(self, function: Any, context: Context) -> None:
        self._tensors = context._saved

    def unpack(self) -> tuple[Any, ...]:
        return self._tensors


def _own(t: Tensor) -> Tensor:
    """An input returned as an output: the same memory under a new tensor."""
    out = wrap(t.array)
    out._storage = t.storage
    return out


def _save(t: Tensor | None, outs: Sequence[Tensor], fresh: Sequence[Tensor]) -> Any:
    if t is None:
        return None
    for i, (o, made) in enumerate(zip(outs, fresh, strict=True)):
        if (t is o or t is made) and made.source is not None:
            return made.array, (_OWN[i] if i < len(_OWN) else Own(i)), made.storage, made.storage.version
    return t.array, t.edge, t.storage, t.storage.version
