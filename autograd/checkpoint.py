"""Checkpointing: what a piece of forward keeps for its gradients is let go, and computed again when they are asked for.

The graph is made as always.  Then every node of the piece is robbed of what it keeps; the first of them that backward
comes to has the piece run once more, on the same inputs, and all get back what their twins of the second run keep.
So it costs a second forward and saves what lies between the inputs and the outputs of the piece.

Source: Chen, Xu, Zhang, Guestrin (2016), "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from typing import Any

from ..framework import device as devices
from ..framework.random import default_generator
from .autocast import _count as count_regions
from .mode import enable_grad, mode
from .tensor import Node, Tensor
from .watch import Dropped, watching


class CheckpointError(RuntimeError):
    """A piece that computed something else when it was run again."""


class _Piece:
    """One checkpointed call: how to run it again, and the nodes that wait for that."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.inputs = [(t, t.storage.version) for t in _tensors((args, kwargs))]
        self.casting, self.caches = mode.casting, mode.cast_cache is not None
        self.state: Any = None  # of the generator before, where the piece draws random numbers
        self.around: Callable[[], Any] = nullcontext  # for the second run
        self.compared = True
        self.kinds: list[list[Any]] = []  # per node: shape and dtype of what it kept
        self.edges: list[Any] = []
        self.kept: dict[int, Any] = {}  # what the second run's nodes keep, until they are asked for it

    def run(self, around: Callable[[], Any]) -> tuple[Any, list[Node]]:
        """Call the function, and note the nodes that are made."""
        nodes: list[Node] = []
        casting, cache = mode.casting, mode.cast_cache
        mode.casting, mode.cast_cache = self.casting, ({} if self.caches else None)  # casts are made in the piece
        count_regions(1)
        devices.catch_up()  # what a fused function has put off belongs to what came before
        try:
            with enable_grad(), watching(nodes.append), around():
                result = self.function(*self.args, **self.kwargs)
                devices.catch_up()
        finally:
            count_regions(-1)
            mode.casting, mode.cast_cache = casting, cache
        return result, nodes

    def rob(self, nodes: list[Node]) -> None:
        """Take from each node what it keeps."""
        for number, node in enumerate(nodes):
            kept = _kept_of(node)
            self.kinds.append([_kind(s) for s in kept])
            self.edges.append([_edge(s) for s in kept])
            if kept:
                _give(node, None)
                node.kept = Dropped(self, number)

    def restore(self, node: Node, number: int) -> None:
        """Give a node what it kept, from the second run, which is made for the first node that asks."""
        if number not in self.kept:
            self._again()
        _give(node, self.kept.pop(number))
        if type(node.kept) is Dropped:  # of a checkpoint inside this one
            node.kept.restore(node)

    def _again(self) -> None:
        for t, version in self.inputs:
            if t.storage.version != version:
                raise RuntimeError(
                    "checkpoint: an input was changed in place since forward, so it cannot be computed again: "
                    f"it was at version {version}, now it is at version {t.storage.version}"
                )
        with ExitStack() as stack:
            if self.state is not None:
                now = default_generator.get_state()
                stack.callback(default_generator.set_state, now)
                default_generator.set_state(self.state)
            _, nodes = self.run(self.around)
        if len(nodes) != len(self.kinds):
            raise CheckpointError(
                f"checkpoint: {len(self.kinds)} operations were recorded in forward, {len(nodes)} when run again; "
                "the function must do the same every time"
            )
        for number, node in enumerate(nodes):
            if not self.kinds[number]:
                continue
            if type(node.kept) is Dropped:  # of a checkpoint inside this one
                self.kept[number] = node.kept
                continue
            kept = _kept_of(node)
            kinds = [_kind(s) for s in kept]
            if self.compared and kinds != self.kinds[number]:
                raise CheckpointError(
                    f"checkpoint: {node!r} kept {self.kinds[number]} in forward, {kinds} when run again; "
                    "the function must do the same every time"
                )
            edges = self.edges[number]
            self.kept[number] = [_with_edge(s, e) for s, e in zip(kept, edges, strict=True)]


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _kept_of(node: Node) -> list[Any]:
    if type(node.kept) is Dropped:
        return [node.kept]
    return list(getattr(node, "saved", node.kept) or ())


def _give(node: Node, kept: Any) -> None:
    if type(kept) is not Dropped and hasattr(node, "saved"):
        node.saved, node.kept = kept, None
    else:
        node.kept = kept


# what is kept is (array, edge, storage, version), a list of these, or None


def _kind(saved: Any) -> Any:
    if type(saved) is list:
        return [_kind(s) for s in saved]
    array: Any = saved[0] if type(saved) is tuple else None
    return (tuple(array.shape), str(array.dtype)) if hasattr(array, "shape") else None


def _edge(saved: Any) -> Any:
    if type(saved) is list:
        return [_edge(s) for s in saved]
    return saved[1] if type(saved) is tuple else None


def _with_edge(saved: Any, edge: Any) -> Any:
    if type(saved) is list:
        return [_with_edge(s, e) for s, e in zip(saved, edge, strict=True)]
    return (saved[0], edge, *saved[2:]) if type(saved) is tuple else saved


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = False,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, whose intermediate results are computed again in backward instead of being kept.

    Random numbers are the same both times with ``preserve_rng_state``; autocast is as it was.  ``context_fn`` gives two
    context managers, for the first run and the second.  Gradients of gradients and checkpoints inside checkpoints work.
    Raises CheckpointError, a RuntimeError, in backward where the second run records something else
    (``determinism_check="none"`` looks at the number of operations only), and ValueError for ``use_reentrant=True``,
    PyTorch's older way, which can do less.

    >>> from trigrad.autograd import tensor
    >>> x = tensor([2.0]).requires_grad_()
    >>> checkpoint(lambda x: (x * x * x).sum(), x).backward(); x.grad.tolist()
    [12.0]
    """
    if use_reentrant:
        raise ValueError("checkpoint: use_reentrant=True is not available; use_reentrant=False does all that it does")
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: expected determinism_check 'default' or 'none', got {determinism_check!r}")
    first, second = (nullcontext(), nullcontext()) if context_fn is None else context_fn()
    if not mode.recording:
        with first:
            return function(*args, **kwargs)
    piece = _Piece(function, args, kwargs)
    piece.around, piece.compared = (lambda: second), determinism_check == "default"
    before = default_generator.position()
    state = default_generator.get_state() if preserve_rng_state and before[2] < 0 else None
    result, nodes = piece.run(lambda: first)
    if default_generator.position() != before:
        if preserve_rng_state and state is None:
            raise RuntimeError("checkpoint: random numbers inside a graph cannot be drawn again")
        piece.state = state
    piece.rob(nodes)
    return result


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = False,
    preserve_rng_state: bool = True,
) -> Any:
    """The functions (or a Sequential's modules) one after the other, in ``segments`` pieces, all but the last checkpointed."""
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(chain), 1):
        raise ValueError(f"checkpoint_sequential: expected segments in [1, {len(chain)}], got {segments}")
    length = len(chain) // segments

    def piece(begin: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for function in chain[begin:end]:
                x = function(x)
            return x

        return run

    for begin in range(0, length * (segments - 1), length):
        input = checkpoint(
            piece(begin, begin + length), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return piece(length * (segments - 1), len(chain))(input)
