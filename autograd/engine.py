"""The backward pass: take nodes in reverse order of creation and ask the table for each gradient.

A node's consumers were all made after it, so when it is the youngest node left, its gradient is complete.  A heap
of creation numbers is therefore the whole schedule: nothing recurses, and a node whose gradient nobody sent is
never visited.  Without ``create_graph`` the walk handles raw arrays; with it, tensors, through the gate, so that
every gradient is itself remembered.  The engine names three rows: ``add`` to accumulate, ``accumulate`` to do so for
many leaves in one launch, and ``sum_to`` to un-broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from ..framework import capture
from ..framework.array import DeviceArray, contiguous_strides, laid_out
from ..framework.fill import full, zeros_like
from ..framework.op import OPS, VARIADIC
from ..framework.strides import packed
from .mode import enable_grad, mode
from .tensor import _F32, _F64, AFTERWARDS, Node, Output, Own, Tensor, apply, linked, wrap
from .watch import Dropped, Packed


def _run_raw(row: Any, arguments: Sequence[Any], settings: Any) -> Any:
    first = arguments[0]
    if type(first) is tuple:  # the gradients of a row with as many outputs as were asked for
        first = first[0]
    if type(first) is np.ndarray:
        if row.view:  # which computes nothing that could warn
            return row.kernel.numpy(*arguments, **settings)
        kind = first.dtype
        run = row.wide if kind is _F32 or kind is _F64 else row.kernel.numpy
        out = mode.quiet(run, *arguments, **settings)
        return np.asarray(out) if isinstance(out, np.generic) else out
    return row.kernel.triton(*arguments, **settings)


def _run_recorded(row: Any, arguments: Sequence[Any], settings: Any) -> Any:
    return apply(row, *arguments, **settings)


class _Walk:
    """One backward pass: what has arrived where, and which node is next."""

    def __init__(self, create_graph: bool, retain_graph: bool, targets: Iterable[Any]) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.run: Callable[..., Any] = _run_recorded if create_graph else _run_raw
        self.arriving: dict[Any, Any] = {}  # Node or leaf -> its gradient so far (a list, per output, for several)
        self.heap: list[tuple[int, Node]] = []
        self.targets = set(targets)  # edges whose gradients are asked for, where only some are
        self.captured: dict[Any, Any] = {}
        self.needed: set[Node] | None = None
        self.useful: set[Any] = set()
        self.later: list[tuple[Tensor, Any]] = []  # what came to leaves of a device after their first gradient

    def arrive(self, edge: Any, gradient: Any) -> None:
        """Add a gradient to what has come to ``edge`` so far."""
        arriving = self.arriving
        if type(edge) is Output:
            node = edge.node
            slots = arriving.get(node)
            if slots is None:
                slots = arriving[node] = [None] * node.count
                heappush(self.heap, (-node.number, node))
            before = slots[edge.index]
            slots[edge.index] = gradient if before is None else self.run(OPS["add"], (before, gradient), {})
            return
        before = arriving.get(edge)
        if before is not None:
            if isinstance(edge, Tensor) and type(gradient) is DeviceArray:
                self.later.append((edge, gradient))
            else:
                arriving[edge] = self.run(OPS["add"], (before, gradient), {})
            return
        arriving[edge] = gradient
        if not isinstance(edge, Tensor):
            heappush(self.heap, (-edge.number, edge))

    def restrict(self, roots: Iterable[Any]) -> None:
        """Find the nodes from which a target can be reached; the others will not be visited."""
        found: set[Node] = set()
        stack = [_node_of(e) for e in roots if not isinstance(e, Tensor)]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack.extend(_node_of(e) for e in _flat(node.edges) if e is not None and not isinstance(e, Tensor))
        targets = {(_node_of(t) if not isinstance(t, Tensor) else t) for t in self.targets}
        needed: set[Node] = set()
        for node in sorted(found, key=lambda n: n.number):
            below = (e if isinstance(e, Tensor) else _node_of(e) for e in _flat(node.edges) if e is not None)
            if any(e in targets or e in needed for e in below):
                needed.add(node)
        self.needed = needed
        self.useful = needed | _nodes(self.targets)

    def is_flat(self, edge: Any) -> bool:
        """Whether the outputs depend on ``edge``, but by way of inputs whose derivative is zero."""
        stack = [n.edges[place] for n in self.needed or () if not n.custom for place in n.plan.flat]
        seen: set[Any] = set()
        while stack:
            found = stack.pop()
            if found is not None and found not in seen:
                seen.add(found)
                if not isinstance(found, Tensor):
                    stack.extend(_flat(_node_of(found).edges))
        return edge in seen

    def wants(self, edge: Any) -> bool:
        if edge is None:
            return False
        if self.needed is None:
            return True
        return edge in self.targets or (not isinstance(edge, Tensor) and _node_of(edge) in self.useful)

    def go(self) -> None:
        """Visit every node that a gradient reaches."""
        heap, arriving = self.heap, self.arriving
        while heap:
            node = heappop(heap)[1]
            gradient = arriving.pop(node)
            if node.hooks or self.targets:
                gradient = self.inspect(node, gradient)
                if self.needed is not None and node not in self.needed:
                    continue
            if node.count == 1:
                gradients: Sequence[Any] = (gradient,)
            else:
                gradients = [
                    self.zeros(like) if g is None and like is not None else g
                    for g, like in zip(gradient, node.like, strict=True)
                ]
            self.visit(node, gradients)

    def visit(self, node: Node, gradients: Sequence[Any]) -> None:
        plan = node.plan
        if type(node.kept) is Dropped:
            node.kept.restore(node)
        if node.custom:
            results = node.run(gradients, self.create_graph)  # type: ignore[attr-defined]
            for edge, result in zip(node.edges, results, strict=True):
                if result is not None and self.wants(edge):
                    self.arrive(edge, result)
            if not self.retain_graph:
                node.release()  # type: ignore[attr-defined]
            return
        if plan.missing:
            raise RuntimeError(
                f"{node.op.name}: its input {plan.missing[0]!r} has no gradient row, so it is not differentiable there"
            )
        kept = node.kept
        if kept is None and plan.keeps:
            raise RuntimeError(
                f"backward: the graph was freed by a backward before (at {node!r}); use retain_graph=True there to walk it again"
            )
        if node.op.differentiable == VARIADIC:
            gradients = (tuple(gradients),)
        edges, shapes, run = node.edges, node.shapes, self.run
        unrestricted = self.needed is None
        for row, places, keeps, setter in plan.steps:
            if not unrestricted and not any(self.wants(e) for p in places for e in _flat([edges[p]])):
                continue
            settings = node.settings if setter is None else setter(node)
            if keeps:
                results = run(row, (*gradients, *[self.unpack(node, kept[k]) for k in keeps]), settings)  # type: ignore[index]
            else:
                results = run(row, gradients, settings)
            if len(places) == 1:
                results = (results,)
            for place, result in zip(places, results, strict=True):
                edge = edges[place]
                if type(edge) is list:
                    for e, r, shape in zip(edge, result, shapes[place], strict=True):
                        if e is not None and (unrestricted or self.wants(e)):
                            self.arrive(e, self.fitted(r, shape))
                elif edge is not None and (unrestricted or self.wants(edge)):
                    shape = shapes[place]
                    if result.shape != shape:
                        result = self.fitted(result, shape)
                    self.arrive(edge, result)
        if not self.retain_graph:
            node.kept = None

    def fitted(self, result: Any, shape: tuple[int, ...]) -> Any:
        """The gradient summed down to the shape of its input, where that was broadcast."""
        return result if result.shape == shape else self.run(OPS["sum_to"], (result,), {"shape": shape})

    def unpack(self, node: Node, saved: Any) -> Any:
        """A kept array, after making sure that it is still what it was."""
        if type(saved) is list:
            return tuple(self.unpack(node, s) for s in saved)
        array, edge, storage, version = saved
        if storage is None:
            return self.opened(node, array, edge) if type(array) is Packed else array
        if storage.version != version:
            raise RuntimeError(
                f"backward: a tensor that {node.op.name} needs for its gradient was changed in place: "
                f"it was at version {version}, now it is at version {storage.version}"
            )
        if not self.create_graph:
            return array
        if type(edge) is Own:
            edge = node if node.like is None else Output(node, edge.index)
        return linked(array, edge, storage)

    def opened(self, node: Node, packed: Packed, edge: Any) -> Any:
        """What a hook made of a kept array, as it was."""
        array = packed.open().array
        if not self.create_graph:
            return array
        if type(edge) is Own:
            edge = node if node.like is None else Output(node, edge.index)
        return linked(array, edge)

    def zeros(self, like: Any) -> Any:
        shape, dtype, backend = like
        array = full(shape, 0, dtype, backend)
        return wrap(array) if self.create_graph else array

    def inspect(self, node: Node, gradient: Any) -> Any:
        """Show the finished gradient to hooks, and keep it where it was asked for."""
        slots = gradient if node.count > 1 else [gradient]
        for index, hook in tuple(node.hooks or ()):
            if slots[index] is not None:
                slots[index] = self.hooked(hook, slots[index])
        for target in self.targets:
            if not isinstance(target, Tensor) and _node_of(target) is node:
                slot = slots[target.index if type(target) is Output else 0]
                if slot is not None:
                    self.captured[target] = slot
        return gradient if node.count > 1 else slots[0]

    def hooked(self, hook: Callable[[Tensor], Tensor | None], gradient: Any) -> Any:
        result = hook(gradient if isinstance(gradient, Tensor) else wrap(gradient))
        if result is None:
            return gradient
        if not isinstance(result, Tensor) or result.shape != gradient.shape:
            raise RuntimeError(f"hook: expected a tensor of shape {gradient.shape} or None, got {result!r}")
        return result if self.create_graph else result.array

    def settle(self) -> None:
        """Add to leaves what came later, in the order in which it came: one launch for all leaves at a time."""
        while self.later:
            waiting, self.later = self.later, []
            sums: dict[Tensor, Any] = {}
            terms = []
            for leaf, gradient in waiting:
                if leaf in sums:
                    self.later.append((leaf, gradient))
                    continue
                before = self.arriving[leaf]
                # references to an array of ours alone: the dict's, this name and getrefcount's own
                if getrefcount(before) <= 3 and _is_plain(before, before) and before.dtype == gradient.dtype:
                    sums[leaf] = before
                    terms.append(gradient)
                else:
                    sums[leaf] = self.arriving[leaf] = self.run(OPS["add"], (before, gradient), {})
                    terms.append(None)
            pairs = [(s, t) for s, t in zip(sums.values(), terms, strict=True) if t is not None]
            if pairs:
                self.run(OPS["accumulate"], tuple(zip(*pairs, strict=True)), {})

    def take(self) -> tuple[Tensor, Any]:
        """A leaf and what has arrived there, handed over for good: no reference to the gradient stays behind."""
        leaf, gradient = self.arriving.popitem()
        for index, hook in tuple(leaf.hooks or ()):
            if index != AFTERWARDS:
                gradient = self.hooked(hook, gradient)
        return leaf, gradient


def _node_of(edge: Any) -> Node:
    return edge.node if type(edge) is Output else edge


def _nodes(edges: Iterable[Any]) -> set[Any]:
    return {_node_of(e) for e in edges if not isinstance(e, Tensor)}


def _flat(edges: Iterable[Any]) -> Iterable[Any]:
    for edge in edges:
        if type(edge) is list:
            yield from edge
        else:
            yield edge


def _start(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], create_graph: bool, name: str) -> list[Any]:
    """The first gradients, checked: (edge, gradient) for each output."""
    started = []
    for output, gradient in zip(outputs, gradients, strict=True):
        if not isinstance(output, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(output).__name__}")
        if not output.wants_grad:
            raise RuntimeError(f"{name}: this tensor does not require a gradient and was not made from one that does")
        if gradient is None:
            if output.array.size != 1:
                raise RuntimeError(
                    f"{name}: a gradient is needed for an output of shape {output.shape}; only one of one element has a default"
                )
            value: Any = full(output.shape, 1, output.array.dtype, getattr(output.array, "backend", None))
            value = wrap(value)
        elif not isinstance(gradient, Tensor):
            raise TypeError(f"{name}: the gradient must be a Tensor, got {type(gradient).__name__}")
        elif gradient.shape != output.shape:
            raise RuntimeError(f"{name}: the output has shape {output.shape}, its gradient has shape {gradient.shape}")
        elif gradient.device is not output.device:
            raise RuntimeError(f"{name}: the output is on {output.device}, its gradient on {gradient.device}")
        else:
            value = gradient if gradient.array.dtype == output.array.dtype else gradient.to(dtype=output.dtype)
        started.append((output.edge, value if create_graph else value.array))
    return started


walks: Any = None  # what makes another walk of the usual one, while anomalies are looked for: see anomaly.py


def _walk(started: list[Any], create_graph: bool, retain_graph: bool | None, targets: Iterable[Any]) -> _Walk:
    kind: Any = _Walk if walks is None else walks(_Walk)
    walk = kind(create_graph, create_graph if retain_graph is None else retain_graph, targets)
    if walk.targets:
        walk.restrict(edge for edge, _ in started)
    while started:
        walk.arrive(*started.pop())
    if create_graph:
        casting, mode.casting = mode.casting, {}  # gradients are of the dtypes that forward chose
        try:
            with enable_grad():
                walk.go()
        finally:
            mode.casting = casting
    else:
        walk.go()
        walk.settle()
    return walk


def backward(
    output: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of ``output`` to ``.grad`` of the leaves it was made from, or of ``inputs`` only.

    The graph's kept arrays are freed on the way unless ``retain_graph`` (by default as ``create_graph``).
    With ``create_graph`` the gradients are themselves differentiable.  Raises RuntimeError as ``Tensor.backward``.
    """
    wanted = _inputs("backward", inputs) if inputs is not None else ()
    started = _start([output], [gradient], create_graph, "backward")
    walk = _walk(started, create_graph, retain_graph, [t.edge for t in wanted])
    asked = {id(t) for t in wanted}
    together: list[tuple[Tensor, Any]] = []
    hooked: list[Tensor] = []
    while walk.arriving:
        leaf, g = walk.take()
        if inputs is None or id(leaf) in asked:
            _accumulate(leaf, g, together)
            if leaf.hooks:
                hooked.append(leaf)
        del g
    for t in wanted:
        if t.source is not None and t.source in walk.captured:
            _accumulate(t, walk.captured.pop(t.source), together)
    if together:
        _run_raw(OPS["accumulate"], (tuple(held.array for held, _ in together), tuple(g for _, g in together)), {})
        for held, _ in together:
            held.storage.version += 1
    for leaf in hooked:
        for index, hook in tuple(leaf.hooks or ()):
            if index == AFTERWARDS:
                hook(leaf)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of ``outputs`` (weighted by ``grad_outputs``) with respect to ``inputs``, one for each.

    Touches no ``.grad``.  Raises RuntimeError for an input that requires no gradient, and for one that the outputs
    do not depend on unless ``allow_unused`` (then None) or ``materialize_grads`` (then zeros).
    """
    many = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    asked = _inputs("grad", inputs)
    given = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if grad_outputs is None:
        given = [None] * len(many)
    if len(given) != len(many):
        raise RuntimeError(f"grad: got {len(many)} outputs and {len(given)} grad_outputs")
    started = _start(many, given, create_graph, "grad")
    walk = _walk(started, create_graph, retain_graph, [t.edge for t in asked])
    found = dict(walk.captured)
    while walk.arriving:
        leaf, g = walk.take()
        found[leaf] = g
    results: list[Tensor | None] = []
    for i, t in enumerate(asked):
        value = found.get(t.edge)
        if value is None and walk.is_flat(t.edge):
            results.append(wrap(zeros_like(t.array)))
        elif value is None:
            if not allow_unused and not materialize_grads:
                raise RuntimeError(f"grad: the outputs do not depend on input {i}; allow_unused=True gives None for it")
            results.append(wrap(zeros_like(t.array)) if materialize_grads else None)
        else:
            results.append(value if isinstance(value, Tensor) else wrap(value))
    return tuple(results)


def _inputs(name: str, inputs: Any) -> list[Tensor]:
    asked = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not asked:
        raise RuntimeError(f"{name}: inputs is empty")
    for i, t in enumerate(asked):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: input {i} is {type(t).__name__}, expected a Tensor")
        if not t.wants_grad:
            raise RuntimeError(f"{name}: input {i} does not require a gradient")
    return asked


def _accumulate(leaf: Tensor, gradient: Any, together: list[tuple[Tensor, Any]]) -> None:
    """Make ``gradient`` the leaf's own, or add it to what is there: in place, unless it is itself remembered.

    On a device additions are left to be done ``together``.
    """
    if capture.thread.leaf is not None:
        capture.thread.leaf(leaf)
    held = leaf._grad
    if isinstance(gradient, Tensor):
        leaf._grad = gradient if held is None else held + gradient
        return
    if held is None:
        # references to an array of ours alone: the caller's name, this parameter and getrefcount's own
        owned = getrefcount(gradient) <= 3 and _is_plain(gradient, leaf.array)
        leaf._grad = wrap(gradient if owned else _copy(gradient, leaf.array))
    elif held.wants_grad:
        leaf._grad = held + wrap(gradient)
    elif isinstance(gradient, np.ndarray):
        np.add(held.array, gradient, out=held.array)
        held.storage.version += 1
    elif held.array.dtype == gradient.dtype and packed(held.shape, held.array.strides) is not None:
        together.append((held, gradient))
    else:
        held._into(OPS["add"], wrap(gradient))


def _is_plain(array: Any, leaf: Any) -> bool:
    """Whether memory holds this array and no other, laid out as the leaf is where that has no gaps."""
    if isinstance(array, np.ndarray):
        return array.base is None and (array.strides == leaf.strides or array.flags.c_contiguous)
    wanted = _gapless(array.shape, leaf.strides)
    alike = all(n == 1 or a == b for n, a, b in zip(array.shape, array.strides, wanted, strict=True))
    return alike and getrefcount(array.block) <= 2


def _copy(array: Any, leaf: Any) -> Any:
    """A copy laid out as the leaf is, so that optimizers can walk both in one order."""
    if isinstance(array, np.ndarray):
        out = np.empty_like(leaf, dtype=array.dtype)
        out[...] = array
        return out
    from ..framework.launch import copy_into

    out = laid_out(array, _gapless(array.shape, leaf.strides))
    copy_into(out, array)
    return out


def _gapless(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """These strides where they leave no gaps, else row-major ones."""
    return packed(shape, strides) or contiguous_strides(shape)
