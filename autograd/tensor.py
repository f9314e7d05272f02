"""Tensor: an array that remembers; ``apply``: the one gate through which every operation passes.

Array computes, Tensor remembers.  A tensor made by an operation points at a ``Node``; a node points at the nodes
of its inputs, never at the tensors themselves, and holds only the arrays that some gradient row asked for.
No node refers to itself, so reference counting alone frees a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np

from ..framework import device as devices
from ..framework import dtypes
from ..framework.array import DeviceArray, RawArray, from_numpy
from ..framework.op import OPS, Op, Plan
from ..framework.storage import Storage
from . import methods
from .methods import Methods
from .mode import mode

_new = object.__new__
_ndarray = np.ndarray
_next = count().__next__  # nodes are numbered in order of creation; the engine walks the numbers down
_F32 = dtypes.float32.numpy
_F64 = dtypes.float64.numpy
_I64 = dtypes.int64.numpy
_FLOATING = frozenset(d.numpy for d in dtypes.FLOATING)
_NUMBERS = (float, int, bool)
AFTERWARDS = -1  # stands, in a leaf's hooks, for the number of an output: to be called once ``.grad`` is there


class Output:
    """The edge to an output of a node that has several."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index


class Own:
    """The edge of a kept output: marks "made by the node that holds it", so that no node refers to itself."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


_OWN = tuple(Own(i) for i in range(8))


born: Any = None  # told of each new node, while some thread asks: see watch.py
packing: Any = None  # makes something else of what nodes keep, while some thread asks: see graph.py
marks: Any = None  # told of each new tensor, while some thread is in inference mode: see inference.py


class Unrecorded(Storage):
    """The memory of a tensor that was made in inference mode, and can have no gradient."""

    __slots__ = ()


class Node:
    """One remembered call of an op: the ``grad_fn`` of its outputs."""

    __slots__ = (
        "__weakref__",
        "device",
        "dtype",
        "edges",
        "hooks",
        "kept",
        "number",
        "op",
        "plan",
        "settings",
        "shapes",
        "trace",
    )

    trace: Any  # where it was made, while anomalies are looked for: see anomaly.py
    dtype: np.dtype  # of the first tensor input, where some gradient's settings ask for it
    device: devices.device
    count = 1  # outputs that may receive a gradient
    like: Any = None  # with several: (shape, dtype, back end) of each, to make zeros
    custom = False  # a Function's: it runs itself

    def __init__(self, op: Op, plan: Plan, edges: list[Any], shapes: list[Any], settings: Mapping[str, Any]) -> None:
        self.op = op
        self.plan = plan
        self.edges = edges  # per input: a Node, an Output, a leaf Tensor, None, or a list of these for a tuple input
        self.shapes = shapes
        self.settings = settings
        # (array, edge, storage, version) per kept input or output; None once freed; or what stands for it: see watch.py
        self.kept: Any = None
        self.hooks: list[Any] | None = None
        self.number = _next()
        if born is not None:
            born(self)

    def shape(self, name: str) -> Any:
        """Shape of the input ``name``, a tuple of shapes for a tuple of arrays."""
        return self.shapes[self.op.inputs.index(name)]

    def name(self) -> str:
        """The row's name in CamelCase with ``Backward``."""
        return "".join(w.title() for w in self.op.name.split("_")) + "Backward"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes whose gradients this node computes, each with the number of their output."""
        flat: list[Any] = []
        for edge in self.edges:
            flat.extend(edge if type(edge) is list else [edge])
        return tuple(_public(edge) for edge in flat)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class WideNode(Node):
    """A node with several outputs."""

    __slots__ = ("count", "like")


class AccumulateGrad:
    """The end of the graph at a leaf, as ``next_functions`` shows it."""

    __slots__ = ("variable",)
    next_functions: tuple[()] = ()

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    def name(self) -> str:
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


def _public(edge: Any) -> tuple[Any, int]:
    if isinstance(edge, Output):
        return edge.node, edge.index
    if isinstance(edge, Tensor):
        return AccumulateGrad(edge), 0
    return edge, 0


class Tensor(Methods):
    """A multi-dimensional array of one dtype on one device, which remembers how it was made.

    ``Tensor(data)`` copies ``data`` (nested lists, numbers, a NumPy array, a tensor), as ``trigrad.tensor`` does.
    """

    __slots__ = ("__weakref__", "_grad", "_storage", "array", "hooks", "origin", "source", "wants_grad")

    array: RawArray
    wants_grad: bool  # whether gradients flow here: a leaf that was told so, or a result of one
    source: Any  # the Node (or Output of one) that made it; None for a leaf
    _grad: Tensor | None
    _storage: Storage | None  # made when first somebody must count changes
    hooks: list[Any] | None  # of a leaf; those of a result live on its node
    origin: tuple[Tensor, int] | None  # of a view: the tensor it is a view of, and its storage's ``rewrites`` then

    def __init__(
        self, data: Any, dtype: dtypes.dtype | None = None, device: Any = None, requires_grad: bool = False
    ) -> None:
        self.array = _raw(data, dtype, device)
        self.source = self._grad = self._storage = self.hooks = self.origin = None
        self.wants_grad = False
        if marks is not None:
            marks(self)
        if requires_grad:
            self.requires_grad = True

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes._OF[self.array.dtype]

    @property
    def device(self) -> devices.device:
        array = self.array
        return devices.CPU if type(array) is np.ndarray else array.device  # type: ignore[return-value]

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def storage(self) -> Storage:
        """The memory this tensor shares with its views."""
        found = self._storage
        if found is None:
            found = self._storage = Storage.under(self.array)
        return found

    @property
    def _version(self) -> int:
        return self.storage.version

    # -- what it remembers --------------------------------------------------------------------------------------

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor; None for a leaf."""
        source = self.source
        return source.node if type(source) is Output else source

    def is_inference(self) -> bool:
        """Whether this tensor was made in inference mode, or is a view of one that was."""
        return type(self._storage) is Unrecorded

    @property
    def is_leaf(self) -> bool:
        return self.source is None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor.  Only a leaf's may be set, and only a floating one's."""
        return self.wants_grad

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if self.source is not None:
            if on:
                return
            raise RuntimeError(
                "requires_grad: only a leaf's can be turned off; use detach() for a result without history"
            )
        if on and self.array.dtype not in _FLOATING:
            raise RuntimeError(f"requires_grad: only floating tensors have gradients, this one is {self.dtype.name}")
        if on and type(self._storage) is Unrecorded and not mode.inference:
            raise RuntimeError(
                "requires_grad: this tensor was made in inference mode and can have no gradient; clone() it first"
            )
        self.wants_grad = bool(on)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` accumulated here; None before."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape or value.array.dtype != self.array.dtype or value.device is not self.device:
                raise RuntimeError(f"grad: expected {_describe(self)}, got {_describe(value)}")
        self._grad = value

    @property
    def edge(self) -> Any:
        """Where this tensor's gradient goes: its node, itself when it is a leaf that wants one, or nowhere."""
        return self.source or (self if self.wants_grad else None)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf it was made from (or of ``inputs`` only).

        ``gradient`` has this tensor's shape and may be left out for a tensor of one element.  Raises RuntimeError
        where it is missing or misshapen, or where the graph was freed by a backward before.
        """
        from .engine import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same memory without history."""
        out = wrap(self.array)
        out._storage = self.storage
        return out

    def detach_(self) -> Tensor:
        """Forget this tensor's own history; views cannot."""
        if self.origin is not None:
            raise RuntimeError("detach_: not for views; use detach()")
        self.source, self.wants_grad = None, False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history; writes through it are not counted as changes of this tensor."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
        self.array, self._storage = value.array, value.storage

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call ``hook`` with this tensor's gradient when it is computed; a tensor that it returns replaces it."""
        if not self.wants_grad:
            raise RuntimeError("register_hook: this tensor does not require a gradient")
        if not callable(hook):
            raise TypeError(f"register_hook: expected a function, got {type(hook).__name__}")
        return self._hook(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Handle:
        """Call ``hook`` with this leaf at the end of each ``backward`` that has added to its ``.grad``."""
        if self.source is not None or not self.wants_grad:
            raise RuntimeError("register_post_accumulate_grad_hook: expected a leaf that requires a gradient")
        if not callable(hook):
            raise TypeError(f"register_post_accumulate_grad_hook: expected a function, got {type(hook).__name__}")
        if self.hooks is None:
            self.hooks = []
        entry = (AFTERWARDS, hook)
        self.hooks.append(entry)
        return Handle(self.hooks, entry)

    def _hook(self, hook: Any) -> Handle:
        node, index = (self, 0) if self.source is None else _public(self.source)
        if node.hooks is None:
            node.hooks = []
        entry = (index, hook)
        node.hooks.append(entry)
        return Handle(node.hooks, entry)

    def retain_grad(self) -> None:
        """Have ``backward`` fill ``.grad`` of this tensor, though it is not a leaf."""
        if not self.wants_grad:
            raise RuntimeError("retain_grad: this tensor does not require a gradient")
        if self.source is not None and not self.retains_grad:
            from weakref import ref

            self._hook(RetainGrad(ref(self)))

    @property
    def retains_grad(self) -> bool:
        node = self.grad_fn
        return node is not None and any(
            isinstance(hook, RetainGrad) and hook.tensor() is self for _, hook in node.hooks or ()
        )

    # -- getting at the numbers ----------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array that shares this tensor's memory.

        Raises RuntimeError for a tensor with history and TypeError for one in device memory; ``force=True``
        detaches and copies as needed.
        """
        if self.wants_grad and not force:
            raise RuntimeError("numpy: this tensor requires a gradient; use tensor.detach().numpy()")
        if isinstance(self.array, DeviceArray):
            if not force:
                raise TypeError(f"numpy: this tensor is in the memory of {self.device}; use tensor.cpu().numpy()")
            return self.host()
        return self.array

    def host(self) -> np.ndarray:
        """The values as a NumPy array, copied where the memory is a device's."""
        array = self.array
        if isinstance(array, np.ndarray):
            return array
        devices.catch_up()
        return array.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array.astype(dtype) if dtype is not None and dtype != array.dtype else (array.copy() if copy else array)

    def item(self) -> float | int | bool:
        """The value of a tensor of one element, as a Python number.  Raises RuntimeError for any other size."""
        if self.array.size != 1:
            raise RuntimeError(f"item: a tensor with {self.array.size} elements cannot be converted to a number")
        value = self.host().reshape(())[()]
        return value.item() if hasattr(value, "item") and not _is_small_float(value) else float(value)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers, or one number."""
        host = self.host()
        return (host.astype(np.float32) if host.dtype == dtypes.bfloat16.numpy else host).tolist()

    def data_ptr(self) -> int:
        """Address of the first element."""
        array = self.array
        if isinstance(array, np.ndarray):
            return int(array.__array_interface__["data"][0])
        devices.catch_up()
        return array.ptr

    # -- dunders that NumPy or Python ask for ---------------------------------------------------------------------

    __array_ufunc__ = None  # NumPy arrays hand binary operators over to us
    __hash__ = object.__hash__

    def __len__(self) -> int:
        if not self.array.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"the truth of a tensor with {self.array.size} elements is ambiguous: use any() or all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype in _FLOATING or self.array.size != 1:
            raise TypeError(f"only an integer tensor of one element can be an index, this is {_describe(self)}")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.array.ndim == 0 else str(self)

    def __repr__(self) -> str:
        from .printing import text

        return text(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.source is not None:
            raise RuntimeError(
                "deepcopy: only leaves can be copied, this tensor was made by an operation; detach() it first"
            )
        out = _new(type(self))
        memo[id(self)] = out
        array = self.array.copy() if isinstance(self.array, np.ndarray) else from_numpy(self.host(), self.array.backend)
        _fill(out, array)
        out.wants_grad = self.wants_grad
        if self._grad is not None:
            out._grad = self._grad.__deepcopy__(memo)
        return out

    def __reduce__(self) -> Any:
        raise TypeError("tensors are not pickled: save them with trigrad.save, which writes safetensors")

    # -- for the methods of Methods -------------------------------------------------------------------------------

    def _into(self, op: Op, *inputs: Any, **settings: Any) -> Tensor:
        return apply_(op, self, *inputs, **settings)


class Parameter(Tensor):
    """A tensor that a Module takes for one of its parameters; a leaf that requires a gradient by default."""

    __slots__ = ("__dict__",)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if isinstance(data, Tensor):
            _fill(self, data.array)
            self._storage = data.storage
            self.requires_grad = requires_grad
        else:
            super().__init__(data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Handle:
    """What registering a hook returns; ``remove()`` takes the hook out again."""

    def __init__(self, hooks: list[Any], entry: Any) -> None:
        self._hooks, self._entry = hooks, entry

    def remove(self) -> None:
        """Take the hook out; doing so twice is harmless."""
        self._hooks[:] = [e for e in self._hooks if e is not self._entry]


class RetainGrad:
    """The hook behind ``retain_grad``; it does not keep its tensor alive."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __call__(self, grad: Tensor) -> None:
        tensor = self.tensor()
        if tensor is not None:
            tensor._grad = grad if tensor._grad is None else tensor._grad + grad


def _fill(t: Tensor, array: RawArray) -> Tensor:
    t.array = array
    t.wants_grad = False
    t.source = t._grad = t._storage = t.hooks = t.origin = None
    return t


def wrap(array: RawArray) -> Tensor:
    """A tensor around an array as it is, without history."""
    t = _new(Tensor)
    t.array = array
    t.wants_grad = False
    t.source = t._grad = t._storage = t.hooks = t.origin = None
    if marks is not None:
        marks(t)
    return t


def linked(array: RawArray, edge: Any, storage: Storage | None = None) -> Tensor:
    """A kept array as a tensor with its history, for gradients of gradients; a leaf is itself."""
    if isinstance(edge, Tensor):
        if edge.array is array:
            return edge
        row = OPS["identity"]  # what the leaf was, or a copy of it: its gradient is the leaf's
        edge = Node(row, row.plan(1), [edge], [array.shape], {})
    t = wrap(array)
    t._storage = storage
    if edge is not None:
        t.source, t.wants_grad = edge, True
    return t


# -- the gate ----------------------------------------------------------------------------------------------------


autocasted: Any = None  # what casts the inputs of calls, while some thread is in an autocast region: see autocast.py
waiting: Any = None  # what puts calls off, while some thread runs a fused function: see fusion.py


def put_off(by: Any) -> None:
    """Ask ``by`` about every call on a device, from now on; None ends it."""
    global waiting
    waiting = by


def apply(op: Op, *inputs: Any, **settings: Any) -> Any:
    """Run a row on tensors and Python numbers and, where some input asks for a gradient, remember how.

    Promotes dtypes as the row says.  Raises TypeError for what is neither, RuntimeError for tensors of different
    devices and for shapes that do not broadcast.
    """
    if autocasted is not None:
        inputs = autocasted(op, inputs)
    run = None
    if len(inputs) == 2:  # two float32 arrays on the CPU: the most frequent call, by the shortest way
        x, y = inputs
        if isinstance(x, Tensor) and isinstance(y, Tensor) and x.origin is None and y.origin is None:
            a, b = arrays = (x.array, y.array)
            if type(a) is _ndarray and type(b) is _ndarray and a.dtype is _F32 and b.dtype is _F32:
                run = op.wide
                edge = x.source or (x if x.wants_grad else None)
                other = y.source or (y if y.wants_grad else None)
                wanted = (edge is not None) + 2 * (other is not None)
                edges, shapes = [edge, other], [a.shape, b.shape]
    if run is None:
        if waiting is not None:
            out = waiting.call(op, inputs, settings)
            if out is not None:
                return out
        inputs, arrays, edges, shapes, wanted, run = _gather(op, inputs)
    try:
        out = mode.quiet(run, *arrays, **settings)
    except ValueError as error:
        raise _explained(op, arrays, error) from None
    kind = type(out)
    if kind is not _ndarray and kind is not DeviceArray:
        if kind is tuple:
            return _several(op, inputs, out, wanted, edges, shapes, settings)
        out = np.asarray(out)
    t = _new(Tensor)
    t.array = out
    t._grad = t._storage = t.hooks = t.origin = None
    if marks is not None:
        marks(t)
    if op.aliases:
        _alias(op, inputs, t)
    if wanted and mode.recording and (out.dtype is _F32 or out.dtype in _FLOATING):
        plan = op.plans.get(wanted) or op.plan(wanted)
        if plan.live:
            t.source = node = Node(op, plan, edges, shapes, settings)
            t.wants_grad = True
            if plan.asks:
                _remember_kind(node, inputs)
            if plan.keeps:
                node.kept = _keep(plan, inputs, (t,))
            return t
    t.source = None
    t.wants_grad = False
    return t


def _gather(op: Op, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What apply needs to know of its inputs: (inputs, arrays, edges, shapes, wanted bits, function to run)."""
    arrays: list[Any] = []
    edges: list[Any] = []
    shapes: list[Any] = []
    wanted = 0
    bit = 1
    dtype = None
    backend = None  # of arrays on a device; the CPU's have none
    plain = whole = True
    for x in inputs:
        if isinstance(x, Tensor):
            array = x.array
            edge = x.source or (x if x.wants_grad else None)
            if edge is not None:
                wanted |= bit
            edges.append(edge)
            if type(array) is not _ndarray:
                if dtype is None:
                    dtype, backend = array.dtype, array.backend  # type: ignore[union-attr]
                elif array.dtype is not dtype or array.backend is not backend:  # type: ignore[union-attr]
                    plain = False
            elif backend is not None:
                plain = False
            elif dtype is None:
                dtype = array.dtype
            elif array.dtype is not dtype:
                plain = False
            if x.origin is not None and x.origin[1] != x.storage.rewrites:
                _stale_view(op, x)
            arrays.append(array)
            shapes.append(array.shape)
        elif type(x) is float or type(x) is int:
            if type(x) is float:
                whole = False
            arrays.append(x)
            edges.append(None)
            shapes.append(())
        else:
            plain = False
        bit <<= 1
    if (
        plain
        and backend is not None
        and (dtype in _FLOATING or not op.promotion or (whole and dtype is _I64 and op.promotion == "arithmetic"))
    ):
        return inputs, arrays, edges, shapes, wanted, op.kernel.triton
    if plain and (dtype is _F32 or dtype is _F64):
        return inputs, arrays, edges, shapes, wanted, op.wide
    if plain and dtype is not None and not op.promotion:
        return inputs, arrays, edges, shapes, wanted, op.kernel.numpy
    inputs, ready, run = _prepare(op, inputs)
    return inputs, ready, _edges(inputs), _shapes(inputs), _wanted(inputs), run


def _alias(op: Op, inputs: Any, output: Tensor) -> None:
    """Note what a call shares or changes: a view shares its input's storage, a written input's version moves."""
    if op.writes:
        _bump(op, inputs)
    if op.view:
        _share(inputs[0], output)


def _share(base: Tensor, output: Tensor) -> None:
    """Let a view have its input's storage; reshape is one only where strides allow."""
    if _share_memory(output.array, base.array):
        output._storage = storage = base.storage
        output.origin = (base if base.origin is None else base.origin[0], storage.rewrites)


def _share_memory(a: RawArray, b: RawArray) -> bool:
    """Whether two arrays, of which one may be a view of the other, lie in the same memory."""
    if isinstance(a, np.ndarray):
        return not a.size or np.may_share_memory(a, b)
    return a.block is b.block  # type: ignore[union-attr]


def may_write(name: str, target: Tensor, recorded: bool) -> None:
    """Raise RuntimeError, naming the op, where writing into ``target`` would make some gradient wrong."""
    array = target.array
    if waiting is not None:
        waiting.writes(target)
    if (
        0 in array.strides
        and array.size
        and any(n > 1 and not s for n, s in zip(array.shape, array.strides, strict=True))
    ):
        raise RuntimeError(
            f"{name}_: several of its elements are one place in memory, since it was expanded; clone() it first"
        )
    if type(array) is _ndarray and not array.flags.writeable:
        raise RuntimeError(f"{name}_: its memory is that of a read-only NumPy array; clone() it first")
    if type(target._storage) is Unrecorded and not mode.inference:
        raise RuntimeError(
            f"{name}_: this tensor was made in inference mode and is changed in place there alone; clone() it first"
        )
    if recorded and target.source is None and target.wants_grad:
        raise RuntimeError(f"{name}_: a leaf that requires a gradient cannot be changed in place; use no_grad()")
    if target.origin is not None and mode.recording and (recorded or target.origin[0].wants_grad):
        raise RuntimeError(
            f"{name}_: this tensor is a view, and a recorded change in place would be lost on the tensor it is a "
            f"view of; assign to an index of that one (base[...] = value), or clone() the view first"
        )


def apply_(op: Op, target: Tensor, *inputs: Any, **settings: Any) -> Tensor:
    """Run a row and write its result into ``target``, its first input; the history moves with it.

    Raises RuntimeError for a leaf that requires a gradient, for a recorded write into a view, and where shape or
    dtype of the result do not fit ``target``.
    """
    if waiting is not None and waiting.change(op, target, inputs, settings):
        return target
    everything = (target, *inputs)
    wanted = _wanted(everything)
    recorded = bool(wanted) and mode.recording
    may_write(op.name, target, recorded)
    ready, arrays, _, _, _, run = _gather(op, everything)
    for x in ready:
        if isinstance(x, Tensor) and x.origin is not None and x.origin[1] != x.storage.rewrites:
            _stale_view(op, x)
    edges = _edges(ready) if recorded else []
    shapes = _shapes(ready) if recorded else []
    plan = op.plan(wanted) if recorded else None
    kept = _keep(plan, ready, None) if plan is not None else None
    if plan is not None and plan.live:
        kept = _rescued(target, plan, ready, kept)
    into = getattr(run, "into", None)  # an elementwise kernel can write where it reads
    try:
        if into is not None and arrays[0] is target.array and _fills(arrays):
            into(target.array, *arrays, **settings)
        else:
            _write(op, target, mode.quiet(run, *arrays, **settings))
    except ValueError as error:
        raise _explained(op, arrays, error) from None
    storage = target.storage
    storage.version += 1
    if plan is not None and plan.live:
        storage.rewrites += 1
        node = Node(op, plan, edges, shapes, settings)
        if plan.asks:
            _remember_kind(node, ready)
        assert kept is not None
        node.kept = [
            (target.array, _OWN[~k], storage, storage.version) if k < 0 else saved
            for k, saved in zip(plan.keeps, kept, strict=True)
        ]
        target.source = node
        target.wants_grad = True
    return target


def _rescued(target: Tensor, plan: Plan, ready: Any, kept: Any) -> list[Any]:
    """What a gradient needs of ``target`` itself, copied before it is written over."""
    copy: Any = None
    out = []
    for k, saved in zip(plan.keeps, kept, strict=True):
        x = ready[k] if k >= 0 else None
        if isinstance(x, Tensor) and x.array is target.array:
            if copy is None:
                copy = wrap(_duplicate(target.array))
            saved = (copy.array, saved[1], copy.storage, copy.storage.version)
        out.append(saved)
    return out


def _duplicate(array: RawArray) -> RawArray:
    if isinstance(array, np.ndarray):
        return array.copy(order="K")
    from ..framework.launch import copied

    return copied(array)


def _fills(arrays: list[Any]) -> bool:
    """Whether the first array has the shape that all of them broadcast to."""
    first = arrays[0].shape
    return all(
        not isinstance(a, DeviceArray) or a.shape == first or np.broadcast_shapes(a.shape, first) == first
        for a in arrays[1:]
    )


def _write(op: Op, target: Tensor, out: Any) -> None:
    """Copy a result into the target's own memory."""
    into = target.array
    shape = np.shape(out) if not isinstance(out, DeviceArray) else out.shape
    if shape != into.shape:
        raise RuntimeError(
            f"{op.name}_: the result has shape {shape}, the tensor it would be written into {into.shape}"
        )
    kind = dtypes.dtype_of(out.dtype)
    own = dtypes.dtype_of(into.dtype)
    if (kind.is_floating_point and not own.is_floating_point) or (own is dtypes.bool_ and kind is not dtypes.bool_):
        raise RuntimeError(f"{op.name}_: a result of dtype {kind.name} cannot be written into a tensor of {own.name}")
    if isinstance(into, np.ndarray):
        np.copyto(into, out, casting="unsafe")
    else:
        from ..framework.launch import copy_into

        copy_into(into, out)


def _remember_kind(node: Node, inputs: Iterable[Any]) -> None:
    first = next(t for x in inputs for t in (x if type(x) is tuple else (x,)) if isinstance(t, Tensor))
    node.dtype, node.device = first.array.dtype, first.device


def _edges(inputs: Iterable[Any]) -> list[Any]:
    return [x.edge if isinstance(x, Tensor) else [t.edge for t in x] if type(x) is tuple else None for x in inputs]


def _shapes(inputs: Iterable[Any]) -> list[Any]:
    return [
        x.array.shape if isinstance(x, Tensor) else tuple(t.array.shape for t in x) if type(x) is tuple else ()
        for x in inputs
    ]


def _saved(x: Any) -> Any:
    if isinstance(x, Tensor):
        storage = x.storage
        if type(storage) is Unrecorded:
            raise RuntimeError(
                "a tensor made in inference mode cannot be kept for a gradient: clone() it outside, or use no_grad()"
            )
        return x.array, x.source or (x if x.wants_grad else None), storage, storage.version
    if type(x) is tuple:
        return [_saved(t) for t in x]
    return x, None, None, 0


def _keep(plan: Plan, inputs: Any, outputs: Any) -> list[Any]:
    kept = []
    for k in plan.keeps:
        if k >= 0:
            kept.append(_saved(inputs[k]))
        elif outputs is not None:
            t = outputs[~k]
            storage = t.storage
            kept.append((t.array, _OWN[~k], storage, storage.version))
        else:
            kept.append(None)
    return kept if packing is None else packing(kept)


def _several(
    op: Op,
    inputs: Any,
    outs: tuple[Any, ...],
    wanted: int,
    edges: list[Any],
    shapes: list[Any],
    settings: Mapping[str, Any],
) -> tuple[Tensor, ...]:
    tensors = tuple(wrap(o if isinstance(o, (np.ndarray, DeviceArray)) else np.asarray(o)) for o in outs)
    if op.writes:
        _bump(op, inputs)
    if op.view:
        for t in tensors:
            _share(inputs[0], t)
    if wanted and mode.recording:
        plan = op.plan(wanted)
        count = min(op.differentiable, len(tensors))
        if plan.live and tensors[0].array.dtype in _FLOATING:
            node = (WideNode if count > 1 else Node)(op, plan, edges, shapes, settings)
            if plan.asks:
                _remember_kind(node, inputs)
            if type(node) is WideNode:
                node.count = count
                node.like = [(t.array.shape, t.array.dtype, getattr(t.array, "backend", None)) for t in tensors[:count]]
            for i, t in enumerate(tensors[:count]):
                t.source, t.wants_grad = (Output(node, i) if count > 1 else node), True
            if plan.keeps:
                node.kept = _keep(plan, inputs, tensors)
    return tensors


def _wanted(inputs: Iterable[Any]) -> int:
    wanted = 0
    for i, x in enumerate(inputs):
        if x.wants_grad if isinstance(x, Tensor) else type(x) is tuple and any(t.wants_grad for t in x):
            wanted |= 1 << i
    return wanted


def _prepare(op: Op, inputs: Any) -> tuple[tuple[Any, ...], list[Any], Callable[..., Any]]:
    """The careful way in: groups, numbers of all kinds, devices, promotion.  Casts are themselves recorded."""
    flat = [t for x in inputs for t in (x if type(x) is tuple else (x,))]
    for x in flat:
        if not isinstance(x, Tensor) and not isinstance(x, _NUMBERS) and not isinstance(x, np.generic):
            raise TypeError(f"{op.name}: expected tensors and numbers, got {type(x).__name__}")
    tensors = [x for x in flat if isinstance(x, Tensor)]
    if not tensors:
        raise TypeError(
            f"{op.name}: expected at least one Tensor, got {', '.join(type(x).__name__ for x in flat) or 'nothing'}"
        )
    where = next((t.device for t in tensors if t.array.ndim), tensors[0].device)
    for t in tensors:
        array = t.array
        if (devices.CPU if type(array) is _ndarray else array.backend.device) is not where:  # type: ignore[union-attr]
            if op.promotion and t.device is devices.CPU and t.array.ndim == 0 and not t.wants_grad:
                continue  # a 0-d CPU tensor stands for a number, as in PyTorch
            names = ", ".join(dict.fromkeys(str(t.device) for t in tensors))
            raise RuntimeError(f"{op.name}: expected all tensors on one device, got {names}")
    ready = tuple(
        x.item() if isinstance(x, np.generic) or (isinstance(x, Tensor) and x.device is not where) else x
        for x in inputs
    )
    if op.promotion:
        ready = _promoted(op, ready)
    arrays = [x.array if isinstance(x, Tensor) else tuple(t.array for t in x) if type(x) is tuple else x for x in ready]
    return ready, arrays, op.kernel.on(where)


def _promoted(op: Op, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    taking_part = op.promotes or op.inputs
    parts = [x for name, x in zip(op.inputs, inputs, strict=True) if name in taking_part]
    target = dtypes.promote(
        [x.array if isinstance(x, Tensor) else x for y in parts for x in (y if type(y) is tuple else (y,))]
    )
    if op.promotion == "float" and not target.is_floating_point:
        target = dtypes.get_default_dtype()

    def cast(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x if x.array.dtype == target.numpy else apply(OPS["to"], x, dtype=target.numpy)
        if type(x) is tuple:
            return tuple(cast(t) for t in x)
        if target.is_floating_point:
            return float(x)
        return bool(x) if target is dtypes.bool_ else int(np.asarray(int(x)).astype(target.numpy))

    return tuple(cast(x) if name in taking_part else x for name, x in zip(op.inputs, inputs, strict=True))


def _bump(op: Op, inputs: Any) -> None:
    for name, x in zip(op.inputs, inputs, strict=True):
        if name in op.writes:
            for t in x if type(x) is tuple else (x,):
                if isinstance(t, Tensor):
                    t.storage.version += 1


def _stale_view(op: Op, view: Tensor) -> None:
    base = view.origin[0]  # type: ignore[index]
    if mode.recording and (view.wants_grad or base.wants_grad):
        raise RuntimeError(
            f"{op.name}: an input is a view of a tensor that was changed in place after the view was taken, so its history "
            f"is out of date; take the view again"
        )


def _explained(op: Op, arrays: Iterable[Any], error: ValueError) -> Exception:
    """The sentence for shapes that do not broadcast, where that is what happened; otherwise the error as it is."""
    shapes = [x.shape for x in arrays if hasattr(x, "shape")]
    if op.promotion:
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            return RuntimeError(
                f"{op.name}: shapes {' and '.join(map(str, shapes))} do not broadcast{_where_they_differ(shapes)}"
            )
    return error


def _where_they_differ(shapes: list[tuple[int, ...]]) -> str:
    for back in range(1, max(map(len, shapes)) + 1):
        sizes = {s[-back] for s in shapes if len(s) >= back} - {1}
        if len(sizes) > 1:
            return f": at dimension -{back} they have sizes {' and '.join(str(s[-back]) for s in shapes if len(s) >= back)}"
    return ""


methods.apply = apply


# -- making tensors ----------------------------------------------------------------------------------------------


def tensor(data: Any, *, dtype: dtypes.dtype | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of ``data``: numbers, nested sequences, a NumPy array, a tensor.

    Without ``dtype``, Python floats give the default dtype, ints int64, bools bool; arrays keep theirs.
    Raises TypeError for data or a dtype that trigrad does not have, ValueError for ragged sequences.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    return Tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def Variable(data: Any, requires_grad: bool = False) -> Tensor:  # noqa: N802
    """Early PyTorch's name for a tensor that takes part in autograd: a leaf over the memory of ``data``, if it has some.

    >>> Variable(tensor([1.0]), requires_grad=True).requires_grad
    True
    """
    out = data.detach() if isinstance(data, Tensor) else Tensor(data)
    out.requires_grad = requires_grad
    return out


def _raw(data: Any, dtype: Any, device: Any, copy: bool = True) -> RawArray:
    where = devices.get_default_device() if device is None else devices.device(device)
    if isinstance(data, Tensor):
        if device is None:
            where = data.device
        data = data.host()
    array = host_array(data, dtype, copy and where is devices.CPU)
    return array if where is devices.CPU else from_numpy(array, devices.backend(where))


def host_array(data: Any, dtype: Any = None, copy: bool = True) -> np.ndarray:
    """``data`` as a NumPy array of a dtype that trigrad has."""
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        kind = dtypes.dtype_of(array.dtype if dtype is None else dtype)
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("="))
    else:
        plain = _plain(data)
        try:
            array = np.asarray(plain)
        except ValueError:
            raise ValueError(
                "tensor: expected a sequence whose elements all have one length, got a ragged one"
            ) from None
        if array.dtype == np.float64 and array.size and isinstance(_first(plain), np.generic):
            kind = dtypes.dtype_of(dtype or np.float64)
        elif array.dtype == np.float64:
            kind = dtypes.dtype_of(dtype or dtypes.get_default_dtype())
        elif array.dtype.kind in "OUSmM":
            raise TypeError(f"tensor: expected numbers, got {type(_first(plain)).__name__}")
        else:
            kind = dtypes.dtype_of(array.dtype if dtype is None else dtype)
    keep = not copy or isinstance(data, Tensor)  # the order in memory
    return np.array(array, kind.numpy, copy=True if copy else None, order="K" if keep else "C")


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data] if any(isinstance(x, (list, tuple, Tensor)) for x in data) else data
    return data


def _first(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _describe(t: Tensor) -> str:
    return f"shape {t.shape} of {t.dtype.name} on {t.device}"


def _is_small_float(value: Any) -> bool:
    return value.dtype == dtypes.bfloat16.numpy
