"""``fuse``: operations wait for what follows them, so that a chain of elementwise rows is one kernel.

Inside a fused function, and on devices with kernels only, an elementwise row does not run when it is called.  Its
result is a ``Pending`` tensor, which looks like any other (shape, dtype, ``requires_grad``) and becomes an ordinary one
when somebody needs its values: a row that is not elementwise, ``.item()``, the end of the function.  What has come
together by then is computed at once:

- A chain that begins at a product, convolution or normalisation (a row with ``Kernel.begin``) is run by that row's own
  kernel on its result, before it is stored.  The graph has the usual nodes, one a row.
- Any other group is one kernel that loads each operand once, and one node, whose backward is one kernel too: it is put
  together from the rows' own gradient rows, and recomputes what is cheap instead of keeping it.

What a product writes beside its result (running statistics) is written when it runs, and that is before anybody reads
it: through the gate, on the host, in another stream.

So nothing is traced or compiled ahead: the function's Python runs at every call, control flow and all, and values are
computed by the rows' own scalar functions, rounded between rows as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from math import prod
from typing import Any, ParamSpec, TypeVar
from weakref import ref

import numpy as np

from ..framework.array import DeviceArray
from ..framework.device import put_off as catching_up
from ..framework.epilogue import Stage
from ..framework.op import OPS, Kernel, Op, Plan
from ..framework.program import Step, run_program
from ..framework.repeat import repeated
from .mode import mode
from .tensor import (
    _FLOATING,
    _NUMBERS,
    _OWN,
    Node,
    Output,
    Own,
    Tensor,
    _bump,
    _explained,
    _gather,
    _keep,
    _next,
    _remember_kind,
    _saved,
    apply,
    linked,
    put_off,
    wrap,
)

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 32  # steps that may come together in one kernel
_ROW = Op("fused", Kernel(numpy=lambda: None, triton=lambda: None))
_PLAN = Plan(_ROW, 0)
_array: Any = Tensor.__dict__["array"]  # the slot, which in a Pending tensor holds its Later
_later_of: Callable[[Any], Later] = _array.__get__


class _State(threading.local):
    depth = 0  # fused functions being run by this thread

    def __init__(self) -> None:
        self.waiting: list[Any] = []  # weak references to what was put off
        self.writing: dict[int, tuple[Any, Later]] = {}  # memory that a product put off is going to write, by its id


_state = _State()


# -- what waits ----------------------------------------------------------------------------------------------------


class Later:
    """A value to be computed: by a row from ``arguments``, or by a product's ``finish``.

    An argument is another Later, a number, or an array with its history: what ``_saved`` makes of a tensor.
    """

    __slots__ = (
        "__weakref__",
        "arguments",
        "backend",
        "finish",
        "kind",
        "node",
        "number",
        "operands",
        "op",
        "plan",
        "saved",
        "settings",
        "shape",
        "size",
        "taken",
        "tensor",
        "users",
        "written",
    )

    arguments: tuple[Any, ...]
    backend: Any
    finish: Any  # of a product; None for an elementwise row
    kind: np.dtype  # of the result
    node: Node | None  # of a product, made when it was called
    number: int  # what the node would have been numbered
    operands: np.dtype  # dtype of the arrays among the arguments
    op: Op
    plan: Plan | None  # where a gradient will be asked for
    saved: Any  # the value with its history, once there is one
    settings: Mapping[str, Any]
    shape: tuple[int, ...]
    size: int  # steps behind this value, itself included; those reached on two ways may be counted twice
    taken: bool  # it went by inside another kernel, and no one else wants it
    tensor: Any  # a weak reference to the Pending tensor that stands for it
    users: list[Any]  # weak references to those that have it among their arguments
    written: tuple[Any, ...]  # memory that a product writes beside its result

    def wanted(self) -> bool:
        """Whether some tensor still stands for it."""
        return self.tensor() is not None


class Pending(Tensor):
    """A tensor whose values nobody has needed yet.  It turns into a Tensor, the same object, when somebody does."""

    __slots__ = ()

    @property
    def _later(self) -> Later:
        return _array.__get__(self)  # type: ignore[no-any-return]

    @property  # type: ignore[override]
    def array(self) -> Any:
        return _ready(self).array

    @array.setter
    def array(self, value: Any) -> None:
        _ready(self).array = value

    @property  # type: ignore[override]
    def source(self) -> Any:
        return _ready(self).source

    @source.setter
    def source(self, value: Any) -> None:
        _ready(self).source = value

    @property  # type: ignore[override]
    def _storage(self) -> Any:
        return _ready(self)._storage

    @_storage.setter
    def _storage(self, value: Any) -> None:
        _ready(self)._storage = value

    @property  # type: ignore[override]
    def origin(self) -> Any:
        return ()  # of no use, but not None: the gate's shortest way is not for these

    @origin.setter
    def origin(self, value: Any) -> None:
        _ready(self).origin = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._later.shape

    @property
    def dtype(self) -> Any:
        from ..framework.dtypes import dtype_of

        return dtype_of(self._later.kind)

    @property
    def device(self) -> Any:
        return self._later.backend.device

    @property
    def ndim(self) -> int:
        return len(self._later.shape)

    def detach_(self) -> Tensor:
        """Forget this tensor's own history."""
        return _ready(self).detach_()  # type: ignore[no-any-return]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    nelement = numel

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension.  Raises IndexError for a dimension that does not exist."""
        return self.shape if dim is None and self.shape else Tensor.size(_ready(self), dim)


def _ready(t: Any) -> Any:
    """The tensor itself, an ordinary one now."""
    later: Later = _array.__get__(t)
    _settle([later])
    return t


def _pending(later: Later) -> Pending:
    t = object.__new__(Pending)
    _array.__set__(t, later)
    t.wants_grad = later.plan is not None
    t._grad = t.hooks = None
    later.tensor = ref(t)
    waiting = _state.waiting
    if len(waiting) > 256:
        waiting[:] = [w for w in waiting if _open(w())]
    waiting.append(ref(later))
    return t


def _open(later: Later | None) -> bool:
    return later is not None and later.saved is None and not later.taken


def _gone() -> None:
    """The reference of what no tensor stands for."""
    return None


# -- the gate's questions ------------------------------------------------------------------------------------------


class _Gate:
    """What the gate asks while some thread runs a fused function."""

    @staticmethod
    def call(op: Op, inputs: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
        """The result of a call that can wait, else None; then all inputs are ordinary tensors."""
        if not _state.depth:
            return None
        if _state.writing:
            for x in inputs:
                for t in x if type(x) is tuple else (x,):
                    _Gate.reads(t)
        kernel = op.kernel
        if kernel.scalar is not None:
            later = _row(op, inputs, settings)
            if later is not None:
                return _pending(later)
        elif kernel.begin is not None:
            out = _product(op, inputs, settings)
            if out is not None:
                return out
        for x in inputs:
            for t in x if type(x) is tuple else (x,):
                if type(t) is Pending:
                    _ready(t)
        for name in op.writes:
            x = inputs[op.inputs.index(name)]
            for t in x if type(x) is tuple else (x,):
                _Gate.writes(t)
        return None

    @staticmethod
    def change(op: Op, target: Tensor, inputs: tuple[Any, ...], settings: Mapping[str, Any]) -> bool:
        """Let a row's result take the place of the pending ``target``, where it can wait."""
        if not _state.depth or type(target) is not Pending or op.kernel.scalar is None:
            return False
        before = target._later
        later = _row(op, (target, *inputs), settings)
        if (
            later is None
            or type(target) is not Pending
            or (later.shape, later.kind) != (before.shape, before.kind)
            or (later.plan is None and target.wants_grad)
        ):
            return False
        before.tensor = _gone
        _array.__set__(target, later)
        target.wants_grad = later.plan is not None
        later.tensor = ref(target)
        _state.waiting.append(ref(later))
        return True

    @staticmethod
    def reads(t: Any) -> None:
        """Run the product that was put off and is going to write this tensor's memory, if there is one."""
        if isinstance(t, Tensor) and type(t) is not Pending and type(t.array) is DeviceArray:
            found = _state.writing.get(id(t.array.block))
            if found is not None:
                _settle([found[1]])

    @staticmethod
    def writes(target: Any) -> None:
        """Compute what waits and would read memory that is about to change, or write it itself."""
        if not _state.waiting or not isinstance(target, Tensor):
            return
        _Gate.reads(target)
        block = getattr(target.array, "block", None)
        readers = [w() for w in _state.waiting]
        _settle([later for later in readers if later is not None and _open(later) and any(_reads(later, block))])


def _reads(later: Later, block: Any) -> Iterable[bool]:
    for a in later.arguments:
        saved = a.saved if type(a) is Later else a
        yield type(saved) is tuple and block is not None and getattr(saved[0], "block", None) is block


_fits: dict[Plan, bool] = {}


def _fusible(op: Op, plan: Plan) -> bool:
    """Whether all gradients of a call are elementwise rows too."""
    found = _fits.get(plan)
    if found is None:
        found = _fits[plan] = not plan.missing and all(
            len(places) == 1
            and (
                row is OPS["identity"]
                or (row.kernel.scalar is not None and row.kernel.result is None and len(row.outputs) == 1)
            )
            for row, places, _, _ in plan.steps
        )
    return found


def _row(op: Op, inputs: tuple[Any, ...], settings: Mapping[str, Any]) -> Later | None:
    """A call of an elementwise row on arrays of one floating dtype (bools aside) and numbers; None for any other."""
    if op.aliases or len(op.outputs) != 1:
        return None
    operands = backend = shape = None
    same = True
    wanted = 0
    bit = 1
    size = 1
    arguments: list[Any] = []
    for x in inputs:
        if isinstance(x, Tensor):
            if type(x) is Pending:
                argument = _later_of(x)
                dims, kind, where = argument.shape, argument.kind, argument.backend
                size += argument.size
            else:
                array = x.array
                if type(array) is not DeviceArray or (x.origin is not None and _stale(x)):
                    return None
                dims, kind, where = array.shape, array.dtype, array.backend
                storage = x._storage or x.storage
                argument = (array, x.source or (x if x.wants_grad else None), storage, storage.version)
            if backend is None:
                backend, shape = where, dims
            elif backend is not where:
                return None
            elif dims != shape:
                same = False
            if kind is not operands:
                if operands is None or (operands == _BOOL and kind != operands):
                    operands = kind
                elif kind != operands and kind != _BOOL:
                    return None
            if x.wants_grad:
                wanted |= bit
            arguments.append(argument)
        elif isinstance(x, _NUMBERS):
            arguments.append(x)
        else:
            return None
        bit <<= 1
    if backend is None or operands not in _FLOATING:
        return None
    if not same:
        try:
            shape = np.broadcast_shapes(*[x.shape for x in inputs if isinstance(x, Tensor)])
        except ValueError:
            return None
    assert shape is not None and operands is not None
    if 0 in shape:
        return None
    result = op.kernel.result
    plan = None
    if wanted and mode.recording and result is None:
        plan = op.plans.get(wanted) or op.plan(wanted)
        if not plan.live:
            plan = None
        elif not _fusible(op, plan):
            return None
    if size > LONGEST:
        size = 1 + len(_order([a for a in arguments if type(a) is Later]))
    if size > LONGEST or not same:
        # one group has one shape, so that a gradient is summed where it always is
        ready = [_ready(x) for x in inputs if type(x) is Pending and (size > LONGEST or _later_of(x).shape != shape)]
        if ready:
            return _row(op, inputs, settings)
    if op.promotion and len(inputs) > 1:
        for i, x in enumerate(inputs):
            if not isinstance(x, Tensor) and (op.promotes is None or op.inputs[i] in op.promotes):
                arguments[i] = float(x)
    later = Later()
    later.kind = operands if result is None else result
    later.plan = plan
    later.op, later.settings, later.shape, later.operands, later.backend = op, settings, shape, operands, backend
    later.finish = later.node = later.saved = None
    later.taken = False
    later.size = size
    later.arguments = tuple(arguments)
    later.users = []
    later.number = _next()
    for a in arguments:
        if type(a) is Later:
            a.users.append(ref(later))
    return later


_BOOL = np.dtype(bool)


def _stale(x: Tensor) -> bool:
    return x.origin is not None and x.origin[1] != x.storage.rewrites


def _product(op: Op, inputs: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
    """A call of a row whose kernel can go on with a chain; None where the gate has to look at it itself."""
    for x in inputs:
        if type(x) is Pending:
            _ready(x)
        if isinstance(x, Tensor):
            if type(x.array) is not DeviceArray or not x.array.size:
                return None
        elif not isinstance(x, _NUMBERS):
            return None
    if op.differentiable != 1:
        return None
    inputs, arrays, edges, shapes, wanted, _ = _gather(op, inputs)
    plan = None
    if wanted and mode.recording:
        plan = op.plans.get(wanted) or op.plan(wanted)
        if not plan.live or -1 in plan.keeps:
            return None
    for name in op.writes:  # such as running statistics
        _Gate.writes(inputs[op.inputs.index(name)])
    assert op.kernel.begin is not None
    try:
        begun = mode.quiet(op.kernel.begin, *arrays, **settings)
    except ValueError as error:
        raise _explained(op, arrays, error) from None
    if op.writes:
        _bump(op, inputs)
    others = tuple(wrap(o) for o in begun.others)
    later = Later()
    later.op, later.settings, later.plan, later.shape, later.size = op, settings, plan, begun.shape, 1
    later.kind = later.operands = arrays[0].dtype
    later.backend, later.finish, later.saved, later.taken = arrays[0].backend, begun.finish, None, False
    read = inputs if not op.writes else [inputs[i] for i, name in enumerate(op.inputs) if name not in op.writes]
    later.arguments = tuple([_saved(x) for x in read if isinstance(x, Tensor)])
    later.users = []
    later.node = None
    if plan is not None:
        later.node = node = Node(op, plan, edges, shapes, settings)
        if plan.asks:
            _remember_kind(node, inputs)
        if plan.keeps:
            node.kept = _keep(plan, inputs, (None, *others))
    later.written = tuple([a.block for a in (*_written(op, arrays), *begun.others)])
    for block in later.written:
        _state.writing[id(block)] = block, later
    out = _pending(later)
    return (out, *others) if len(op.outputs) > 1 else out


def _written(op: Op, arrays: Sequence[Any]) -> list[DeviceArray]:
    """The arrays among a call's inputs that the row writes."""
    if not op.writes:
        return []
    return [a for name, a in zip(op.inputs, arrays, strict=True) if name in op.writes and type(a) is DeviceArray]


# -- computing what waits ------------------------------------------------------------------------------------------


def _order(roots: Iterable[Later]) -> list[Later]:
    """All that is still to be computed for ``roots``, each after what it is made of."""
    found: dict[Later, None] = {}
    waiting = [(root, False) for root in roots][::-1]
    while waiting:  # without recursion: a function that calls itself is a reference cycle, and would keep arrays alive
        later, reached = waiting.pop()
        if reached:
            found[later] = None
        elif later not in found and _open(later):
            waiting.append((later, True))
            waiting.extend((a, False) for a in reversed(later.arguments) if type(a) is Later)
    return list(found)


def _settle(targets: Sequence[Later]) -> None:
    """Compute ``targets``, and with them what lies on the way and has a tensor of its own."""
    order = _order(targets)
    for later in order:
        if later.finish is not None and _open(later):
            _finish(later, set(order), targets)
    groups: dict[Any, list[Later]] = {}
    for later in order:
        if _open(later):
            groups.setdefault((later.shape, later.backend), []).append(later)
    for group in groups.values():
        _compute(group, targets)


def _settled(later: Later, array: Any, source: Any) -> None:
    """Give a value to what was waited for."""
    t = later.tensor()
    if t is None:
        t = wrap(array)
        t.wants_grad = later.plan is not None
    else:
        t.__class__ = Tensor
        t.array = array
        t._storage = t.origin = None
    t.source = source
    later.saved = _saved(t)
    later.arguments = ()
    later.finish = later.node = None


def _checked(later: Later, argument: Any) -> Any:
    """An argument as it will be used: an array with its history, what is still to be computed, a number."""
    if type(argument) is Later:
        if argument.saved is None:
            return argument
        argument = argument.saved
    if type(argument) is tuple and argument[2] is not None and argument[2].version != argument[3]:
        raise RuntimeError(
            f"fuse: a tensor that {later.op.name} reads was changed in place before the result of {later.op.name} was "
            f"needed; make the change outside the fused function"
        )
    return argument


def _finish(product: Later, order: set[Later], targets: Sequence[Later]) -> None:
    """Run a product together with the rows that follow it, as far as its kernel can."""
    for a in product.arguments:
        if a[2].version != a[3]:
            _checked(product, a)
    chain: list[Later] = []
    stages: list[Stage] = []
    current = product
    while len(chain) < 4 and current not in targets and not current.wanted():
        users = [u for u in (w() for w in current.users) if u is not None]
        if len(users) != 1 or users[0] not in order or not _open(users[0]):
            break
        user = users[0]
        last = _last(user, current)
        if last is None:
            break
        _settle([a for a in user.arguments if type(a) is Later and a is not current])
        stage = _stage(user, current)
        if stage is None:
            break
        chain.append(user)
        stages.append(stage)
        current = user
        if last:
            break
    array = product.finish(tuple(stages))
    for block in product.written:
        _state.writing.pop(id(block), None)
    before, node = product, product.node
    for user in chain:
        node = _node(user, array, node, before)
        before.taken = True
        before = user
    _settled(before, array, node)
    if node is not None and chain and before.plan is not None:
        _keep_later(node, before)


def _last(user: Later, value: Later) -> bool | None:
    """Whether ``user`` can follow ``value`` in a kernel, and must be the last there; None where it cannot."""
    if user.arguments.count(value) != 1 or (user.shape, user.kind, user.operands) != (
        value.shape,
        value.kind,
        value.kind,
    ):
        return None
    if user.plan is None:
        return False
    place = user.arguments.index(value)
    last = False
    for k in user.plan.keeps:
        if k == place:  # which is never stored
            if place or user.op.by_output is None or not user.op.by_output(user.settings):
                return None
            last = True
        elif k == -1:
            last = True
    return last


def _stage(user: Later, value: Later) -> Stage | None:
    """``user`` as a step of an epilogue; None where its operands have another shape or an order that cannot be."""
    scalar, operands = _scalar(user.op, tuple(_checked(user, a) for a in user.arguments))
    if value not in operands:
        return None
    place = operands.index(value)
    arrays, numbers = [], []
    for i, a in enumerate(operands):
        if i == place:
            continue
        if type(a) is not tuple:
            numbers.append(a)
        elif a[0].shape != value.shape or a[0].dtype != value.kind or numbers:
            return None
        else:
            arrays.append(a[0])
    if place and (place != len(operands) - 1 or numbers):
        return None
    settings = tuple(user.settings[name] for name in user.op.settings)
    return Stage(scalar, tuple(arrays), (*numbers, *settings), first=place == 0)


def _scalar(op: Op, operands: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The scalar function for these operands, and those of them that it takes."""
    if op.kernel.special is None:
        return op.kernel.scalar, operands
    found = op.kernel.special(*operands)
    return (op.kernel.scalar, operands) if found is None else found


def _node(user: Later, array: Any, source: Node | None, value: Later | None) -> Node | None:
    """The node of one row's call, as the gate would have made it; ``source`` made the argument ``value``."""
    if user.plan is None:
        return None
    edges: list[Any] = []
    shapes: list[Any] = []
    for a in user.arguments:
        a = _checked(user, a) if a is not value else a
        if type(a) is Later:
            edges.append(source)
            shapes.append(a.shape)
        elif type(a) is tuple:
            edges.append(a[1])
            shapes.append(a[0].shape)
        else:
            edges.append(None)
            shapes.append(())
    node = Node(user.op, user.plan, edges, shapes, user.settings)
    node.number = user.number
    if user.plan.asks:
        node.dtype, node.device = user.operands, user.backend.device
    if user.plan.keeps:
        node.kept = []
        for k in user.plan.keeps:
            a = None if k < 0 else _checked(user, user.arguments[k])
            if type(a) is tuple:
                node.kept.append(a)
            elif a is None or type(a) is Later:
                node.kept.append(None)  # the output, or what it stands for: once it is there
            else:
                node.kept.append((a, None, None, 0))
    return node


def _keep_later(node: Node, later: Later) -> None:
    """Fill in what a node keeps of its own output."""
    if node.kept is not None:
        array, _, storage, version = later.saved
        node.kept = [
            saved if saved is not None else (array, _OWN[0] if k < 0 else None, storage, version)
            for k, saved in zip(node.plan.keeps, node.kept, strict=True)
        ]


def _compute(group: list[Later], targets: Sequence[Later]) -> None:
    """Compute elementwise rows of one shape: one with its own kernel, several with one for all."""
    if len(group) == 1:
        later = group[0]
        arguments = [_checked(later, a) for a in later.arguments]
        array = later.op.kernel.triton(*(a[0] if type(a) is tuple else a for a in arguments), **later.settings)
        node = _node(later, array, None, None)
        _settled(later, array, node)
        if node is not None:
            _keep_later(node, later)
        return
    places: dict[Any, int] = {}  # numbers of arrays, and of rows' results counted from -1 downwards
    inputs: list[Any] = []
    outputs: list[Later] = []
    shape = group[0].shape
    key: list[Any] = []
    for later in group:
        key.append(later.op)
        for a in later.arguments:
            if type(a) is Later:
                if a.saved is None:
                    key.append(places[a])
                    continue
                a = a.saved
            if type(a) is not tuple:
                key.append((type(a), a or str(a)))  # -0.0 is not 0.0
                continue
            array, edge, storage, version = a
            if storage.version != version:
                _checked(later, a)
            at = (id(array), id(edge))
            if at not in places:
                places[at] = len(inputs)
                inputs.append(a)
                key.append(array.shape == shape)
            key.append(places[at])
        if later.settings:
            key += [(name, type(v), v or str(v)) for name, v in later.settings.items()]
        whole = later in targets or later.wanted()
        plan = later.plan
        key += (later.operands, later.kind, whole, None if plan is None else plan.wanted)
        places[later] = ~(len(places) - len(inputs))
        if whole:
            outputs.append(later)
    recipe = _recipes.get(tuple(key))
    if recipe is None:
        if len(_recipes) >= 4096:
            _recipes.clear()
        recipe = _recipes[tuple(key)] = _Recipe(group, inputs, places, outputs)
    arrays = recipe.run([a[0] for a in inputs])
    node = None
    if recipe.differentiable:
        node = FusedNode(_ROW, _PLAN, [a[1] for a in inputs], [a[0].shape for a in inputs], {})
        node.number = group[-1].number
        node.recipe, node.shape_of_all, node.device = recipe, shape, group[0].backend.device
        node.count = len(recipe.differentiable)
        node.like = [None] * node.count if node.count > 1 else None
    for later, array, own in zip(outputs, arrays, recipe.owns, strict=True):
        _settled(later, array, None if own is None else node if node.count == 1 else Output(node, own.index))  # type: ignore[union-attr,arg-type]
    for later in group:
        if later.saved is None:
            later.taken = True
    if node is not None:
        kept: dict[int, Any] = {}
        for v, place in recipe.keeps:
            if place is None:
                kept[v] = inputs[v]
            else:
                array, _, storage, version = outputs[place].saved
                kept[v] = (array, recipe.owns[place], storage, version)
        node.kept = kept  # type: ignore[assignment]


# a row, its arguments (numbers of values, Python numbers in tuples), its settings, dtypes of operands and result
Line = tuple[Op, tuple[Any, ...], Mapping[str, Any], np.dtype, np.dtype]


class _Recipe:
    """What is computed alike whenever the same rows come together, wired alike, with the same settings and numbers."""

    def __init__(self, group: list[Later], inputs: list[Any], places: dict[Any, int], outputs: list[Later]) -> None:
        first = len(inputs)

        def value(a: Any) -> Any:
            if type(a) is Later:
                if a.saved is None:
                    return first + ~places[a]
                a = a.saved
            return places[id(a[0]), id(a[1])] if type(a) is tuple else (a,)

        self.lines: list[Line] = [(g.op, tuple(map(value, g.arguments)), g.settings, g.operands, g.kind) for g in group]
        self.full = tuple(a[0].shape == group[0].shape for a in inputs)
        self.wanted = tuple(0 if g.plan is None else g.plan.wanted for g in group)
        self.outputs = tuple(first + group.index(g) for g in outputs)
        self.differentiable = tuple(v for v, g in zip(self.outputs, outputs, strict=True) if g.plan is not None)
        self.owns = [None if g.plan is None else Own(self.differentiable.index(value(g))) for g in outputs]
        self.run = _Runner(self.lines, self.outputs)
        self._backward: dict[tuple[bool, ...], _Backward] = {}
        self._ways: dict[Any, _Way] = {}
        self.keeps: list[tuple[int, int | None]] = []  # values kept for the way back, and which output they are
        if self.differentiable:
            for v in self.backward((True,) * len(self.differentiable)).saved:
                self.keeps.append((v, None if v < first else self.outputs.index(v)))

    def backward(self, present: tuple[bool, ...]) -> _Backward:
        """The way back, where gradients of the outputs marked in ``present`` have come."""
        found = self._backward.get(present)
        if found is None:
            found = self._backward[present] = _differentiated(self, present)
        return found

    def way(self, node: FusedNode, present: tuple[bool, ...]) -> _Way:
        """The same as something to run, for inputs of given shapes."""
        key = (present, node.shape_of_all, *node.shapes)
        found = self._ways.get(key)
        if found is None:
            if len(self._ways) >= 64:
                self._ways.clear()
            found = self._ways[key] = _Way(node, self.backward(present))
        return found


_recipes: dict[Any, _Recipe] = {}


class _Runner:
    """Runs rows on arrays; noted and played back from the second time on, where that saves time."""

    __slots__ = ("_again", "_lines", "_outputs", "_steps")

    def __init__(self, lines: list[Line], outputs: tuple[int, ...]) -> None:
        self._lines, self._outputs = lines, outputs
        self._again: Any = None
        steps: list[Step] = []
        for op, arguments, settings, operands, kind in lines:
            scalar, chosen = _scalar(op, tuple(a[0] if type(a) is tuple else _Place(a) for a in arguments))
            wired = tuple(a.number if type(a) is _Place else (a,) for a in chosen)
            steps.append((scalar, wired, tuple(settings[name] for name in op.settings), operands, kind))
        self._steps = tuple(steps)

    def __call__(self, arrays: Sequence[DeviceArray]) -> tuple[DeviceArray, ...]:
        if self._again is None:  # settings that change from call to call are not worth a note
            self._again = self._noted
            return self._computed(*arrays)
        return self._again(*arrays)  # type: ignore[no-any-return]

    def _noted(self, *arrays: DeviceArray) -> tuple[DeviceArray, ...]:
        self._again = repeated(self._computed)
        return self._again(*arrays)  # type: ignore[no-any-return]

    def _computed(self, *arrays: DeviceArray) -> tuple[DeviceArray, ...]:
        if len(self._lines) > 1:
            try:
                return run_program(arrays, self._steps, self._outputs)
            except ValueError:
                pass  # layouts too unlike for one kernel: one row after another
        values = list(arrays)
        for op, arguments, settings, _, _ in self._lines:
            values.append(op.kernel.triton(*(a[0] if type(a) is tuple else values[a] for a in arguments), **settings))
        return tuple(values[o] for o in self._outputs)


class _Place:
    """The number of a value, where it must not be taken for a number itself."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


# -- the way back --------------------------------------------------------------------------------------------------


class _Backward:
    """The gradients of a group: rows to run, in terms of gradients that came, values kept, and each other."""

    __slots__ = ("results", "saved", "steps")

    def __init__(self) -> None:
        # row, arguments, the line whose settings and dtypes count, what makes settings of them
        self.steps: list[tuple[Op, tuple[Any, ...], int, Any]] = []
        self.saved: list[int] = []  # numbers of the values it is given
        self.results: list[tuple[int, Any]] = []  # input, its gradient or a part of it


def _differentiated(recipe: _Recipe, present: tuple[bool, ...]) -> _Backward:
    """Go through the lines backwards, as the engine goes through nodes."""
    first = len(recipe.full)
    back = _Backward()
    known: dict[int, Any] = {}

    def value(v: Any, line: int, place: int) -> Any:
        """A value of the way there: kept where it was stored, else computed again."""
        if type(v) is tuple:
            return ("number", line, place)
        if v not in known:
            if v < first or v in recipe.outputs:
                back.saved.append(v)
                known[v] = ("saved", len(back.saved) - 1)
            else:
                op, arguments = recipe.lines[v - first][:2]
                own = tuple(value(a, v - first, i) for i, a in enumerate(arguments))
                known[v] = run(op, own, v - first, None)
        return known[v]

    def run(row: Op, arguments: tuple[Any, ...], line: int, setter: Any) -> Any:
        back.steps.append((row, arguments, line, setter))
        return ("step", len(back.steps) - 1)

    gradients: dict[int, Any] = {}
    for i, (v, came) in enumerate(zip(recipe.differentiable, present, strict=True)):
        if came:
            gradients[v] = ("grad", i)
    for line in reversed(range(len(recipe.lines))):
        op, arguments = recipe.lines[line][:2]
        gradient = gradients.pop(first + line, None)
        if gradient is None or not recipe.wanted[line]:
            continue
        plan = op.plan(recipe.wanted[line])
        for row, places, keeps, setter in plan.steps:
            if row is OPS["identity"]:
                result = gradient
            else:
                kept = []
                for k in keeps:
                    at = plan.keeps[k]
                    kept.append(value(first + line if at < 0 else arguments[at], line, at))
                result = run(row, (gradient, *kept), line, setter)
            to = arguments[places[0]]
            if to < first and not recipe.full[to]:
                back.results.append((to, result))  # summed by itself, as its own node would have it
            elif to in gradients:
                gradients[to] = run(OPS["add"], (gradients[to], result), line, _nothing)
            else:
                gradients[to] = result
    back.results += [(v, gradient) for v, gradient in gradients.items() if v < first]
    return back


def _nothing(call: Any) -> Mapping[str, Any]:
    return {}


class _Call:
    """What a gradient's settings may ask of the call that it belongs to."""

    def __init__(self, op: Op, settings: Mapping[str, Any], dtype: np.dtype, device: Any, shapes: list[Any]) -> None:
        self.op, self.settings, self.dtype, self.device, self.shapes = op, settings, dtype, device, shapes

    def shape(self, name: str) -> Any:
        return self.shapes[self.op.inputs.index(name)]


class _Way:
    """A way back for inputs of given shapes: which arrays it takes, and how to get the results from them."""

    def __init__(self, node: FusedNode, back: _Backward) -> None:
        lines = node.recipe.lines
        self.takes: list[tuple[str, int]] = []  # gradients that came, and values kept
        numbers: dict[Any, int] = {}
        for _, arguments, _, _ in back.steps:
            for a in arguments:
                if a[0] in ("grad", "saved") and a not in numbers:
                    numbers[a] = len(self.takes)
                    self.takes.append(a)
        count = len(self.takes)
        steps: list[Line] = []
        for row, arguments, line, setter in back.steps:
            op, own, _, operands, kind = lines[line]
            wired = tuple(
                own[a[2]] if a[0] == "number" else count + a[1] if a[0] == "step" else numbers[a] for a in arguments
            )
            again = row is op and setter is None  # a value of the way there
            steps.append((row, wired, node.settings_of(line, setter), operands, kind if again else operands))
        outputs = tuple(dict.fromkeys(count + a[1] for _, a in back.results if a[0] == "step"))
        self.run = _Runner(steps, outputs) if outputs else None
        # each result: the input that it belongs to, and the output or else the gradient that it is
        self.results: list[tuple[int, Any, Any]] = [
            (v, outputs.index(count + a[1]), None) if a[0] == "step" else (v, None, a[1]) for v, a in back.results
        ]


class FusedNode(Node):
    """The node of rows that were computed together."""

    __slots__ = ("count", "like", "recipe", "shape_of_all")
    custom = True
    count: int
    like: Any
    recipe: _Recipe
    shape_of_all: tuple[int, ...]

    def name(self) -> str:
        return "FusedBackward"

    def run(self, gradients: Sequence[Any], create_graph: bool) -> list[Any]:
        """The gradients of the inputs: by one kernel, or with ``create_graph`` row by row, each of them remembered."""
        if self.kept is None:
            raise RuntimeError(
                f"backward: the graph was freed by a backward before (at {self!r}); use retain_graph=True there to walk it again"
            )
        present = tuple([g is not None for g in gradients])
        back = self.recipe.backward(present)
        if create_graph:
            results = self._recorded(back, gradients)
        else:
            way = self.recipe.way(self, present)
            arrays = [gradients[i] if what == "grad" else self.unpack(back.saved[i], False) for what, i in way.takes]
            made = () if way.run is None else way.run(arrays)
            results = [(v, gradients[g] if at is None else made[at]) for v, at, g in way.results]
        out: list[Any] = [None] * len(self.edges)
        for v, result in results:
            shape = self.shapes[v]
            if result.shape != shape:
                sum_to = OPS["sum_to"]
                result = (
                    apply(sum_to, result, shape=shape) if create_graph else sum_to.kernel.triton(result, shape=shape)
                )
            if out[v] is None:
                out[v] = result
            else:
                add = OPS["add"]
                out[v] = apply(add, out[v], result) if create_graph else add.kernel.triton(out[v], result)
        return out

    def _recorded(self, back: _Backward, gradients: Sequence[Any]) -> list[tuple[int, Any]]:
        lines = self.recipe.lines
        saved = [self.unpack(v, True) for v in back.saved]
        made: list[Any] = []

        def tensor_of(a: Any) -> Any:
            if a[0] == "number":
                return lines[a[1]][1][a[2]][0]
            return gradients[a[1]] if a[0] == "grad" else saved[a[1]] if a[0] == "saved" else made[a[1]]

        for row, arguments, line, setter in back.steps:
            made.append(apply(row, *map(tensor_of, arguments), **self.settings_of(line, setter)))
        return [(v, tensor_of(a)) for v, a in back.results]

    def settings_of(self, line: int, setter: Any) -> Mapping[str, Any]:
        """Settings of a gradient's row, from those of its call."""
        op, arguments, settings, operands, _ = self.recipe.lines[line]
        if setter is None:
            return settings
        shapes = [
            () if type(a) is tuple else self.shapes[a] if a < len(self.shapes) else self.shape_of_all for a in arguments
        ]
        return setter(_Call(op, settings, operands, self.device, shapes))  # type: ignore[no-any-return]

    def unpack(self, v: int, create_graph: bool) -> Any:
        """A kept array, after making sure that it is still what it was."""
        assert self.kept is not None
        array, edge, storage, version = self.kept[v]
        if storage is not None and storage.version != version:
            raise RuntimeError(
                f"backward: a tensor that fused rows need for their gradient was changed in place: "
                f"it was at version {version}, now it is at version {storage.version}"
            )
        if not create_graph:
            return array
        if type(edge) is Own:
            edge = self if self.like is None else Output(self, edge.index)
        return linked(array, edge, storage)

    def release(self) -> None:
        """Let the kept arrays go."""
        self.kept = None


# -- for users -----------------------------------------------------------------------------------------------------


_lock = threading.Lock()
_inside = 0  # threads in fused functions


def _catch_up() -> None:
    """Compute what this thread has put off."""
    if _state.waiting:
        found = [w() for w in _state.waiting]
        _state.waiting = []
        _settle([later for later in found if later is not None and _open(later) and later.wanted()])
    _write_all()


def _write_all() -> None:
    """Run products that were put off and that nobody wants, for what they write."""
    while _state.writing:
        _, (_, later) = _state.writing.popitem()
        _settle([later])


class apart:
    """A region that has nothing in common with fused functions around it: their work so far is done before."""

    def __init__(self) -> None:
        self._before: list[int] = []

    def __enter__(self) -> None:
        _catch_up()
        self._before.append(_state.depth)
        _state.depth = 0

    def __exit__(self, *_: object) -> None:
        _state.depth = self._before.pop()


class fusing:
    """The scope behind ``fuse``: at its end everything that some tensor stands for is computed."""

    def __enter__(self) -> None:
        global _inside
        _state.depth += 1
        if _state.depth == 1:
            with _lock:
                _inside += 1
                put_off(_Gate)
                catching_up[:] = [_catch_up]

    def __exit__(self, kind: Any, *_: object) -> None:
        global _inside
        _state.depth -= 1
        if _state.depth:
            return
        with _lock:
            _inside -= 1
            if not _inside:
                put_off(None)
                catching_up.clear()
        if kind is None:
            _catch_up()
        else:
            _state.waiting = []
            _write_all()  # running statistics have seen the batch, whatever came after


def fuse(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` with its elementwise operations fused; a decorator, also for methods such as ``forward``.

    On devices with kernels (``cuda``, ``interpreter``) chains of elementwise operations become one kernel each, and so
    do their gradients; a chain after a linear layer, a convolution or a batch normalisation becomes part of that one's
    kernel.  All else runs as it is, and on the CPU everything does.  Results are those of the plain function, but that
    float32 and float64 products and sums that meet in one kernel may be rounded once instead of twice on a GPU, and that
    the gradient of a tensor used several times may be added up in another order.

    The function runs as Python at every call.  Inside it, tensors may be used in every way; asking for values
    (``.item()``, ``.numpy()``, ``if x.sum() > 0``) only ends the fusion there.  ``create_graph=True`` works: the first
    gradients are then computed row by row.  Raises RuntimeError where a tensor's memory was written behind trigrad's
    back before a result that needs it.

    >>> @fuse
    ... def gate(x, y):
    ...     return x.tanh() * y.sigmoid()
    >>> gate(Tensor([0.0, 1.0]), Tensor([0.0, 0.0])).tolist()[0]
    0.0
    """
    if not callable(function):
        raise TypeError(f"fuse: expected a function, got {type(function).__name__}")

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with fusing():
            return function(*args, **kwargs)

    return inside
