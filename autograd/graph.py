"""The graph itself: its nodes, pictures of it, and hooks for what it keeps; under the names of ``torch.autograd.graph``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from .mode import no_grad
from .tensor import AccumulateGrad as AccumulateGrad
from .tensor import Handle, Parameter, Tensor, wrap
from .tensor import Node as Node
from .watch import Packed, gate

_lock = threading.Lock()
_regions = 0  # in all threads


class _Thread(threading.local):
    def __init__(self) -> None:
        self.hooks: list[tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = []


_thread = _Thread()


def _count(change: int) -> None:
    global _regions
    with _lock:
        _regions += change
        gate.packing = _packed if _regions else None


def _packed(kept: list[Any]) -> list[Any]:
    return [_pack(saved) for saved in kept] if _thread.hooks else kept


def _pack(saved: Any) -> Any:
    if type(saved) is list:
        return [_pack(s) for s in saved]
    if saved is None or saved[2] is None:  # nothing, or a number
        return saved
    pack, unpack = _thread.hooks[-1]
    hooks, _thread.hooks = _thread.hooks, []  # what the hook computes is kept as usual
    try:
        with no_grad():
            held = pack(wrap(saved[0]))
    finally:
        _thread.hooks = hooks
    return Packed(held, unpack), saved[1], None, 0


class saved_tensors_hooks:
    """Inside, ``pack_hook`` gets each tensor that is kept for a gradient, and whatever it returns is kept instead.

    When the gradient is computed ``unpack_hook`` gets that and returns a tensor with the same values.  The innermost
    hooks count.  What rows keep that a fused function has put together is not shown to them.

    >>> from trigrad.autograd import tensor
    >>> x = tensor([2.0]).requires_grad_()
    >>> with saved_tensors_hooks(lambda t: t.tolist(), lambda values: tensor(values)):
    ...     y = x.exp()
    >>> y.backward(); x.grad.tolist() == y.tolist()
    True
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self._hooks = (pack_hook, unpack_hook)

    def __enter__(self) -> Self:
        _thread.hooks.append(self._hooks)
        _count(1)
        return self

    def __exit__(self, *exception: object) -> None:
        _count(-1)
        _thread.hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Inside, what is kept for gradients waits in the memory of the host and comes back when it is needed."""

    def __init__(self) -> None:
        super().__init__(lambda t: (t.device, t.cpu().clone()), lambda held: held[1].to(held[0]))


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> _Handles:
    """Call ``fn`` with the gradients of all tensors once the last is there (None for those that have none), or, with
    ``mode`` "any", with the first gradient that comes.

    "all" waits for each tensor that requires a gradient, in every backward.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"register_multi_grad_hook: expected mode 'all' or 'any', got {mode!r}")
    found: dict[int, Tensor] = {}
    waited = [i for i, t in enumerate(tensors) if t.requires_grad]

    def hook_of(i: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            if mode == "any":
                if not found:
                    fn(gradient)
                found[i] = gradient
            else:
                found[i] = gradient
            if len(found) == len(waited):
                given = [found.get(k) for k in range(len(tensors))]
                found.clear()
                if mode == "all":
                    fn(given)

        return hook

    return _Handles([tensors[i].register_hook(hook_of(i)) for i in waited])


class _Handles:
    """Several handles; ``remove()`` takes all hooks out."""

    def __init__(self, handles: list[Handle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the hooks out; doing so twice is harmless."""
        for handle in self._handles:
            handle.remove()


# pictures


def _root(output: Any) -> Any:
    if isinstance(output, Tensor):
        if output.grad_fn is None and not output.requires_grad:
            raise ValueError("graph: this tensor has no history")
        return AccumulateGrad(output) if output.grad_fn is None else output.grad_fn
    return output


def _key(node: Any) -> int:
    return id(node.variable) if isinstance(node, AccumulateGrad) else id(node)


def _shapes(node: Any) -> list[tuple[int, ...]]:
    """The shape of the input behind each of ``next_functions``."""
    flat: list[tuple[int, ...]] = []
    for edge, shape in zip(node.edges, node.shapes, strict=True):
        flat.extend(shape if type(edge) is list else [shape])
    return flat


def _label(node: Any) -> str:
    if isinstance(node, AccumulateGrad):
        t = node.variable
        return f"{'Parameter' if isinstance(t, Parameter) else 'leaf'} {tuple(t.shape)} {t.dtype.name}"
    return str(node.name())


def _inputs(node: Any) -> list[tuple[Any, tuple[int, ...]]]:
    if isinstance(node, AccumulateGrad):
        return []
    pairs = zip(node.next_functions, _shapes(node), strict=True)
    return [(below, shape) for (below, _), shape in pairs if below is not None]


def dot(output: Any) -> str:
    """The graph behind a tensor (or node) as DOT text for Graphviz: a box per leaf, an arrow per gradient, with its shape."""
    root = _root(output)
    lines = ["digraph {", "    rankdir=BT", "    node [shape=ellipse]"]
    names: dict[int, str] = {}
    arrows: list[str] = []
    stack = [root]
    held = [root]  # so that no id is used twice

    def name_of(node: Any) -> str:
        key = _key(node)
        if key not in names:
            names[key] = f"n{len(names)}"
            box = " shape=box" if isinstance(node, AccumulateGrad) else ""
            lines.append(f'    {names[key]} [label="{_label(node)}"{box}]')
            held.append(node)
            stack.append(node)
        return names[key]

    name_of(stack.pop())
    while stack:
        node = stack.pop()
        for below, shape in _inputs(node):
            arrows.append(f'    {name_of(below)} -> {names[_key(node)]} [label="{shape}"]')
    return "\n".join([*lines, *arrows, "}"])


def tree(output: Any) -> Any:
    """The graph behind a tensor (or node) as a ``rich.tree.Tree``: what each node came from below it, with shapes."""
    from rich.text import Text
    from rich.tree import Tree

    root = _root(output)
    shape = f" {tuple(output.shape)}" if isinstance(output, Tensor) and output.grad_fn is not None else ""
    top = Tree(Text(_label(root) + shape))
    seen: dict[int, int] = {_key(root): 1}
    stack = [(root, top)]
    while stack:
        node, branch = stack.pop()
        below = []
        for child, size in _inputs(node):
            leaf = isinstance(child, AccumulateGrad)
            text = _label(child) if leaf else f"{_label(child)} {tuple(size)}"
            known = _key(child) in seen
            number = seen.setdefault(_key(child), len(seen) + 1)
            if known and not leaf:
                branch.add(Text(f"{text} (shown before, as #{number})"))
                continue
            below.append((child, branch.add(Text(text if leaf else f"{text} #{number}"))))
        stack.extend(reversed(below))
    return top


def show(output: Any) -> None:
    """Print the graph behind a tensor (or node) as a tree: what each node came from below it, with shapes."""
    from rich.console import Console

    Console().print(tree(output))
