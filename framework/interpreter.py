"""The debug device: the same kernels, run by NumPy on host memory.

Triton's own front end (``triton.language.semantic``) decides types, broadcasting and promotion, as it does when it
compiles; where the compiler would emit an instruction, ``Builder`` computes it with NumPy.  The body of a ``@jit``
function is run as Python after small changes that give it the compiler's meaning (``Rewriter``), with every name of
Triton's replaced by a version that computes at once (``lift``).  Triton itself is left as it is, so kernels may be
compiled and interpreted in one process in any order.

Stricter than a GPU on purpose: a load or store outside the memory of the kernel's arguments raises.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from . import language
from .device import INTERPRETER, Backend, Block
from .emulation import ELEMENTS, HALVES, WORD, Builder, Handle, Memory

# ---------------------------------------------------------------------------------------------------------------
# The language: Triton's names, computing at once


class Interpreted:
    """A ``@jit`` function as the interpreter calls it; its body is rewritten at the first call."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.__name__ = fn.__name__
        self._body: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        body = self._body
        if body is None:
            body = self._body = _rewrite(self.fn)
        return body(*args, **kwargs)


class Namespace:
    """A module whose members are lifted when they are first asked for."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__[name] = lift(getattr(self._module, name))
        return found


class _Language:
    """Triton's front end set to work on a Builder; made when the first kernel is interpreted."""

    def __init__(self) -> None:
        loaded = language.modules()
        import triton.language.extra.cuda.libdevice as cuda_libdevice
        import triton.language.semantic as semantic

        self.tl: Any = loaded["triton.language"]
        self.core: Any = self.tl.core
        self.libdevice = cuda_libdevice
        self.builder = Builder()
        self.semantic = semantic.TritonSemantic(self.builder)
        self.is_builtin = self.core.is_builtin
        self.constexpr = self.core.constexpr
        self.Tensor = self._tensor_class()
        self.lifted: dict[int, tuple[Any, Any]] = {}  # by identity: the original, kept alive, and its lifted version
        self._distinguish_unsigned()
        self._override()

    def _distinguish_unsigned(self) -> None:
        """Let ``to_ir`` tell our builder about uint8; MLIR's types have no sign, and others get what they got."""
        dtype = self.core.dtype
        stock = dtype.to_ir
        unsigned = {name: kind for name, kind in ELEMENTS.items() if name.startswith("uint")}

        def to_ir(self: Any, builder: Any) -> Any:
            if type(builder) is Builder and self.name in unsigned:
                return unsigned[self.name]
            return stock(self, builder)

        dtype.to_ir = to_ir

    def _tensor_class(self) -> type:
        """``tl.tensor`` with its operators and methods bound to our front end."""
        base = self.core.tensor
        members: dict[str, Any] = {"__slots__": (), "__hash__": base.__hash__}
        for name in dir(base):
            member = inspect.getattr_static(base, name)
            standard: Any = getattr(self.tl.standard, name, None)
            if language.is_triton_function(standard):
                members[name] = self._method(Interpreted(standard.fn))
            elif self.is_builtin(member):
                members[name] = self.bound(member)

        def index(tensor: Any) -> int:
            raise TypeError("a run-time value stands where Triton needs a constant (declare it tl.constexpr)")

        members["__index__"] = index
        members["T"] = property(lambda tensor: tensor.trans())
        return type("Tensor", (base,), members)

    @staticmethod
    def _method(function: Interpreted) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(self, *args, **kwargs)

        return method

    def bound(self, function: Any) -> Callable[..., Any]:
        """A builtin of Triton's that is given our front end instead of the compiler's."""
        inner = inspect.unwrap(function)
        semantic, own = self.semantic, self.own

        def call(*args: Any, _semantic: Any = None, _generator: Any = None, **kwargs: Any) -> Any:
            return own(inner(*args, _semantic=semantic, **kwargs))

        return call

    def own(self, value: Any) -> Any:
        """``value`` with Triton's tensors turned into ours."""
        kind = type(value)
        if kind is self.core.tensor:
            value.__class__ = self.Tensor
        elif kind is tuple or kind is list:
            return tuple(map(self.own, value))
        elif kind is self.constexpr:
            return value.value
        return value

    def tensor(self, handle: Handle, kind: Any) -> Any:
        out = self.core.tensor(handle, kind)
        out.__class__ = self.Tensor
        return out

    def scalar(self, value: np.generic) -> Any:
        """A run-time scalar parameter."""
        return self.tensor(Handle(np.array([value])), self.types[value.dtype])

    @property
    def types(self) -> dict[np.dtype, Any]:
        return _element_types(self)

    # what Triton's compiler treats specially

    def _override(self) -> None:
        tl, core = self.tl, self.core
        unchanged = lambda value, *_, **__: value  # noqa: E731
        for module in (tl, core):
            for name, new in {
                "range": self.range,
                "static_range": self.static_range,
                "constexpr": _constexpr,
                "static_assert": _static_assert,
                "static_print": print,
                "reduce": self.reduce,
                "associative_scan": self.scan,
                "multiple_of": unchanged,
                "max_contiguous": unchanged,
                "max_constancy": unchanged,
                "_reduce_with_indices": self.reduce_with_indices,
            }.items():
                old = getattr(module, name, None)
                if old is not None:
                    self.lifted[id(old)] = (old, new)
        for old, new in ((language.reduce, self.reduce), (language.associative_scan, self.scan)):
            self.lifted[id(old)] = (old, new)
        self.builtins: dict[str, Any] = {
            "range": self.range,
            "max": self._extreme(builtins.max, core.maximum),
            "min": self._extreme(builtins.min, core.minimum),
            "print": print,
        }

    def _extreme(self, plain: Callable[..., Any], function: Any) -> Callable[..., Any]:
        combine = self.bound(function)

        def extreme(*args: Any) -> Any:
            if not any(isinstance(x, self.core.tensor) for x in args):
                return plain(*args)
            out = args[0]
            for x in args[1:]:
                out = combine(out, x)
            return out

        return extreme

    def range(self, first: Any, last: Any = None, step: Any = None, **options: Any) -> Iterator[Any]:
        """A loop at run time: its variable is a tensor, int64 where a bound is."""
        bounds = [(0, first) if last is None else (first, last), (1 if step is None else step,)]
        flat = [x for group in bounds for x in group]
        wide = any(isinstance(x, self.core.tensor) and x.dtype.primitive_bitwidth == 64 for x in flat)
        kind, dtype = (self.core.int64, np.int64) if wide else (self.core.int32, np.int32)
        start, stop, stride = (self._number(x) for x in flat)
        for value in builtins.range(start, stop, stride):
            yield self.tensor(Handle(np.array([value], dtype)), kind)

    def _number(self, x: Any) -> int:
        if isinstance(x, self.core.tensor):
            return int(x.handle.data.reshape(()))
        return int(x.value if isinstance(x, self.constexpr) else x)

    def static_range(self, first: Any, last: Any = None, step: Any = None) -> builtins.range:
        bounds = (0, first) if last is None else (first, last)
        start, stop, stride = _plain((*bounds, 1 if step is None else step))
        return builtins.range(start, stop, stride)

    # reductions and scans: the combining function is called on whole slices, in the elements' order

    def _combine(
        self, function: Any, left: list[np.ndarray], right: list[np.ndarray], types: list[Any]
    ) -> list[np.ndarray]:
        count = left[0].size
        block = [self.core.block_type(t, [count]) for t in types]
        arguments = [
            self.tensor(Handle(x.reshape(count)), b) for side in (left, right) for x, b in zip(side, block, strict=True)
        ]
        result = function(*arguments)
        result = result if isinstance(result, tuple) else (result,)
        out = []
        for x, old in zip(result, left, strict=True):
            value = self.semantic.to_tensor(x).handle.data
            if value.dtype != old.dtype:
                raise TypeError(f"the combining function {function.__name__} turned {old.dtype} into {value.dtype}")
            out.append(np.broadcast_to(value, (count,)).reshape(old.shape))
        return out

    def _plain_op(self, function: Any, dtype: np.dtype) -> Any:
        """The NumPy function that a combining function of Triton's own amounts to, where its rounding is as good."""
        standard = self.tl.standard
        for name, op in {
            "_sum_combine": np.add,
            "_elementwise_max": np.fmax,
            "_elementwise_min": np.fmin,
            "_xor_combine": np.bitwise_xor,
            "_or_combine": np.bitwise_or,
            "_prod_combine": np.multiply,
        }.items():
            if function.fn is getattr(getattr(standard, name, None), "fn", None):
                return None if dtype in HALVES and op in (np.add, np.multiply) else op
        return None

    def reduce(self, input: Any, axis: Any, combine_fn: Any, keep_dims: Any = False, **_: Any) -> Any:
        single = not isinstance(input, tuple)
        tensors = (input,) if single else input
        axis, keep_dims = _plain(axis), _plain(keep_dims)
        shape = tensors[0].handle.data.shape
        data = [np.moveaxis(t.handle.data, axis, 0) if axis is not None else t.handle.data.ravel() for t in tensors]
        op = self._plain_op(combine_fn, data[0].dtype) if single else None
        if op in (np.add, np.multiply):
            total = data[0]
            while total.shape[0] > 1:  # a tree: rounding does not depend on how NumPy walks through memory
                half = total.shape[0] // 2
                total = op(total[:half], total[half:])
            done = [total[0]]
        elif op is not None:
            done = [op.reduce(data[0], axis=0)]
        else:
            types = [t.dtype for t in tensors]
            while data[0].shape[0] > 1:
                data = self._combine(combine_fn, [x[0::2] for x in data], [x[1::2] for x in data], types)
            done = [x[0] for x in data]
        if axis is None:
            final = (1,) * len(shape) if keep_dims else ()
        else:
            at = axis % len(shape)
            final = shape[:at] + ((1,) if keep_dims else ()) + shape[at + 1 :]
        out = []
        for x, t in zip(done, tensors, strict=True):
            kind = self.core.block_type(t.dtype, list(final)) if final else t.dtype
            out.append(self.tensor(Handle(np.asarray(x).reshape(final or (1,))), kind))
        return out[0] if single else tuple(out)

    def reduce_with_indices(self, input: Any, axis: Any, combine_fn: Any, keep_dims: Any = False, **_: Any) -> Any:
        axis = _plain(axis)
        shape = input.handle.data.shape
        at = axis % len(shape)
        along = [-1 if d == at else 1 for d in builtins.range(len(shape))]
        places = np.arange(shape[at], dtype=np.int32).reshape(along)
        index = self.tensor(Handle(np.broadcast_to(places, shape)), self.core.block_type(self.core.int32, list(shape)))
        return self.reduce((input, index), axis, combine_fn, keep_dims)

    def scan(self, input: Any, axis: Any, combine_fn: Any, reverse: Any = False, **_: Any) -> Any:
        single = not isinstance(input, tuple)
        tensors = (input,) if single else input
        axis, reverse = _plain(axis), _plain(reverse)
        data = [np.moveaxis(t.handle.data, axis, 0) for t in tensors]
        if reverse:
            data = [x[::-1] for x in data]
        op = self._plain_op(combine_fn, data[0].dtype) if single else None
        if op is not None:
            data = [op.accumulate(data[0], axis=0, dtype=data[0].dtype)]
        else:
            types = [t.dtype for t in tensors]
            step = 1
            while step < data[0].shape[0]:
                before = [np.concatenate([x[:step], x[:-step]]) for x in data]  # full length: blocks are powers of two
                later = self._combine(combine_fn, before, data, types)
                data = [np.concatenate([x[:step], y[step:]]) for x, y in zip(data, later, strict=True)]
                step *= 2
        if reverse:
            data = [x[::-1] for x in data]
        out = [
            self.tensor(Handle(np.ascontiguousarray(np.moveaxis(x, 0, axis))), t.type)
            for x, t in zip(data, tensors, strict=True)
        ]
        return out[0] if single else tuple(out)

    # what rewritten bodies call

    def assign(self, value: Any) -> Any:
        """What a name gets: numbers become run-time scalars, as in the compiler."""
        kind = type(value)
        if kind is self.Tensor:
            return value
        if kind is tuple:
            return tuple(map(self.assign, value))
        if kind is self.constexpr:
            value = value.value
        if isinstance(value, (bool, int, float)):
            return self.own(self.semantic.to_tensor(value))
        return value

    def truth(self, value: Any) -> bool:
        if isinstance(value, self.core.tensor):
            if value.handle.data.size != 1:
                raise TypeError("a condition must be a scalar, not a block")
            return bool(value.handle.data.reshape(()))
        return bool(value)

    def all(self, *values: Callable[[], Any]) -> Any:
        return self._logical(values, False, "logical_and")

    def any(self, *values: Callable[[], Any]) -> Any:
        return self._logical(values, True, "logical_or")

    def _logical(self, values: tuple[Callable[[], Any], ...], stop: bool, name: str) -> Any:
        out: Any = not stop
        tensors = []
        for value in values:
            out = value()
            if isinstance(out, self.core.tensor):
                tensors.append(out)
            elif bool(out) is stop:
                return out
        if not tensors:
            return out
        out = tensors[0]
        for x in tensors[1:]:
            out = getattr(out, name)(x)
        return out

    def negate(self, value: Any) -> Any:
        return value.__not__() if isinstance(value, self.core.tensor) else not value


def _plain(value: Any) -> Any:
    """Constants without Triton's wrapper."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.value if type(value).__name__ == "constexpr" else value


def _constexpr(value: Any) -> Any:
    return _plain(value)


def _static_assert(condition: Any, message: str = "") -> None:
    if not _plain(condition):
        raise AssertionError(message)


@lru_cache(maxsize=1)
def _language() -> _Language:
    return _Language()


@lru_cache(maxsize=1)
def _element_types(of: _Language) -> dict[np.dtype, Any]:
    return {kind: of.core.dtype(name) for name, kind in ELEMENTS.items()}


@lru_cache(maxsize=64)
def _pointer_type(dtype: np.dtype) -> Any:
    return _language().core.pointer_type(_language().types[dtype])


def lift(value: Any) -> Any:
    """The version of a Triton object that computes at once: functions, modules, constants, and tuples of these."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(lift, value))
    if isinstance(value, np.generic):
        return value.item()
    known = _language().lifted.get(id(value))
    if known is not None:
        return known[1]
    new = _lift(value)
    if new is not value:
        _language().lifted[id(value)] = (value, new)
    return new


def _lift(value: Any) -> Any:
    lang = _language()
    value = language.resolve(value)
    if language.is_triton_function(value):
        return Interpreted(language.real(value).fn)
    if isinstance(value, lang.constexpr):
        return lift(value.value)
    if isinstance(value, ModuleType):
        if value.__name__ == "triton.language.extra.libdevice":
            value = lang.libdevice
        return Namespace(value)
    if getattr(value, "__module__", None) == "triton.language.extra.libdevice":
        value = getattr(lang.libdevice, value.__name__)
    if callable(value) and lang.is_builtin(value):
        return lang.bound(value)
    return value


# ---------------------------------------------------------------------------------------------------------------
# Bodies


class Rewriter(ast.NodeTransformer):
    """Give a kernel's statements the meaning that Triton's compiler gives them."""

    def __init__(self, name: str) -> None:
        self.kernel = name
        self.loops = 0

    def _call(self, helper: str, *args: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(f"__{helper}", ast.Load()), list(args), [])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.decorator_list, node.returns = [], None
        arguments = node.args
        for parameter in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg):
            if parameter is not None:
                parameter.annotation = None
        arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]  # the real ones are put back by hand
        arguments.kw_defaults = [default and ast.Constant(None) for default in arguments.kw_defaults]
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) != 1:
            raise SyntaxError(f"{self.kernel}: Triton knows no assignment to several targets at once")
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and any(isinstance(inner, (ast.Tuple, ast.Starred)) for inner in target.elts):
            raise SyntaxError(f"{self.kernel}: Triton 3.6 unpacks one level of a tuple at a time")
        node.value = self._call("assign", self.visit(node.value))
        node.targets = [self.visit(node.targets[0])]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return node
        value = self.visit(node.value)
        constant = ast.unparse(node.annotation).strip("'\"").endswith("constexpr")
        if constant and self.loops:
            raise SyntaxError(f"{self.kernel}: Triton lets a constexpr be assigned once, so not in a loop")
        return ast.Assign([node.target], self._call("plain" if constant else "assign", value))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        read = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], self._call("assign", ast.BinOp(read, node.op, self.visit(node.value))))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        node.value = self._call("assign", self.visit(node.value))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        values = [ast.Lambda(nothing, self.visit(value)) for value in node.values]
        return self._call("all" if isinstance(node.op, ast.And) else "any", *values)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        node.operand = self.visit(node.operand)
        return self._call("negate", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_Compare(self, node: ast.Compare) -> Any:
        if len(node.ops) > 1:
            raise SyntaxError(f"{self.kernel}: Triton 3.6 compiles no chained comparison; write (a < b) & (b < c)")
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        if node.attr in ("shape", "numel") and isinstance(node.ctx, ast.Load):
            return self._call("plain", node)
        return node

    def visit_If(self, node: Any) -> Any:
        self.generic_visit(node)
        node.test = self._call("truth", node.test)
        return node

    visit_IfExp = visit_If

    def visit_For(self, node: ast.For) -> Any:
        self.loops += 1
        self.generic_visit(node)
        self.loops -= 1
        return node

    def visit_While(self, node: ast.While) -> Any:
        self.loops += 1
        self.visit_If(node)
        self.loops -= 1
        return node


def _rewrite(fn: FunctionType) -> Callable[..., Any]:
    """The function that computes what ``fn`` would compile to."""
    lang = _language()
    lines, first = inspect.getsourcelines(fn)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    names = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    enclosed = dict(zip(fn.__code__.co_freevars, (cell.cell_contents for cell in fn.__closure__ or ()), strict=True))
    bound: dict[str, Any] = {
        "__assign": lang.assign,
        "__plain": _plain,
        "__truth": lang.truth,
        "__all": lang.all,
        "__any": lang.any,
        "__negate": lang.negate,
    }
    for name in sorted(names):
        if name in enclosed:
            bound[name] = lift(enclosed[name])
        elif name in fn.__globals__:
            bound[name] = lift(fn.__globals__[name])
        elif name in lang.builtins:
            bound[name] = lang.builtins[name]
    body = Rewriter(fn.__name__).visit(definition)
    # Bound names are parameters of a function around the kernel, so nothing is written into the kernel's file.
    outer = ast.parse("def make(): return None").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.args.args = [ast.arg(name) for name in bound]
    outer.body = [body, ast.Return(ast.Name(fn.__name__, ast.Load()))]
    module = ast.fix_missing_locations(ast.Module([outer], []))
    scope: dict[str, Any] = {"__builtins__": builtins, "__name__": fn.__module__}
    exec(compile(module, fn.__code__.co_filename, "exec"), scope)
    made = scope["make"](**bound)
    made.__defaults__ = lift(fn.__defaults__)
    if fn.__kwdefaults__:
        made.__kwdefaults__ = {name: lift(value) for name, value in fn.__kwdefaults__.items()}
    return made


# ---------------------------------------------------------------------------------------------------------------
# The device


class Interpreter(Backend):
    """Runs kernels in this process.  Programs run one after another, so few and large ones are fast."""

    device = INTERPRETER
    block = 131072
    programs = 2

    def __init__(self) -> None:
        language.modules()

    def allocate(self, nbytes: int) -> Block:
        memory = np.empty(nbytes + 512, np.uint8)
        address = memory.__array_interface__["data"][0]
        return Block(address + -address % 512, nbytes, memory)

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if array.nbytes:
            np.asarray(Memory(ptr, WORD[1], array.nbytes))[:] = array.reshape(-1).view(np.uint8)

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if array.nbytes:
            array.reshape(-1).view(np.uint8)[:] = np.asarray(Memory(ptr, WORD[1], array.nbytes))

    def synchronize(self) -> None:
        """Nothing to wait for: launches return when they are done."""

    def launch(
        self,
        function: Any,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> None:
        """See ``Backend.launch``.  Raises RuntimeError naming the kernel for whatever goes wrong inside it."""
        real = language.real(function)
        kernel = language.signature(real)
        if not 1 <= len(grid) <= 3:
            raise ValueError(f"{kernel.name}: expected a grid of 1 to 3 dimensions, got {grid}")
        values = kernel.bind(arguments, constants)
        with language.lock, np.errstate(all="ignore"):
            builder = _language().builder
            before = builder.grid, builder.program, builder.regions
            try:
                body = lift(real)
                bound = [
                    lift(value) if constant else _argument(value)
                    for value, (_, constant, _) in zip(values, kernel.parameters, strict=True)
                ]
                builder.regions = _regions(arguments)
                builder.grid = (*grid, 1, 1)[:3]
                for program in product(*map(range, builder.grid)):
                    builder.program = program
                    body(*bound)
            except Exception as error:
                raise RuntimeError(f"{kernel.name}: {type(error).__name__}: {error}") from error
            finally:
                builder.grid, builder.program, builder.regions = before


def _regions(arguments: tuple[Any, ...]) -> list[tuple[int, int]] | None:
    """[begin, end) of the memory behind the arguments; None where an argument does not say how large its memory is."""
    out: list[tuple[int, int]] = []
    for value in arguments:
        if isinstance(value, tuple):
            inner = _regions(value)
            if inner is None:
                return None
            out += inner
        elif hasattr(value, "ptr"):
            block = getattr(value, "block", None)
            if block is None:
                return None
            out.append((block.ptr, block.ptr + block.nbytes))
            out += [(a.block.ptr, a.block.ptr + a.block.nbytes) for a in getattr(value, "reaches", ())]
    return out


def _argument(value: Any) -> Any:
    """A run-time parameter as kernels see it."""
    lang = _language()
    if value is None:
        return None
    if isinstance(value, np.generic):
        return lang.scalar(value)
    if isinstance(value, tuple):
        return tuple(map(_argument, value))
    if isinstance(value, bool):
        return lang.scalar(np.bool_(value))
    if isinstance(value, int):
        return lang.scalar(np.int32(value) if -(2**31) <= value < 2**31 else np.int64(value))
    if isinstance(value, float):
        return lang.scalar(np.float32(value))
    address, dtype = getattr(value, "ptr", None), getattr(value, "dtype", None)
    if address is None or dtype is None:
        raise TypeError(f"expected an array, a number, None or a tuple of these, got {type(value).__name__}")
    return lang.tensor(Handle(np.array([address], np.uint64), np.dtype(dtype)), _pointer_type(np.dtype(dtype)))
