"""Triton, imported when the first kernel needs it and not before.

Files with kernels take ``jit``, ``tl``, ``triton`` and ``libdevice`` from here.  Until a kernel is compiled or
interpreted these are stand-ins that remember what was asked of them; ``real`` then imports Triton, puts the real
objects wherever a kernel refers to a stand-in, and hands out Triton's own function object.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

lock = threading.RLock()  # held while a kernel is made real, compiled or interpreted


def cdiv(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is at least ``n``; 1 for ``n`` below 1."""
    return 1 << max(n - 1, 0).bit_length()


class Jit:
    """A ``@jit`` function that Triton has not seen yet: a Python function and a place for Triton's version of it."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.function: Any = None  # Triton's object, once it and all that it refers to are real
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__module__ = fn.__module__
        self.__doc__ = fn.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{self.__name__}: a @jit function can be called in kernels only")

    def __repr__(self) -> str:
        return f"<jit {self.__module__}.{self.__qualname__}>"


class StandIn:
    """A name of Triton's, such as ``tl.float32``, that is looked up when a kernel needs it.

    One name is one object, so stand-ins may be compared and hashed.
    """

    _path: str

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.__dict__[name] = type(self)(f"{self._path}.{name}")
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._path == "triton.language.constexpr" and len(args) == 1 and not kwargs:
            return Constant(args[0])
        raise RuntimeError(f"{self._path} can be called in kernels only")

    def __repr__(self) -> str:
        return self._path


class Constant:
    """``tl.constexpr(value)`` written at the top of a file."""

    __slots__ = ("_made", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._made: Any = None

    def made(self) -> Any:
        """Triton's object for it, always the same."""
        if self._made is None:
            self._made = modules()["triton.language"].constexpr(resolve(self.value))
        return self._made

    def __repr__(self) -> str:
        return f"constexpr[{self.value}]"


if TYPE_CHECKING:
    import triton
    import triton.language as tl
    from triton.language.extra import libdevice

    def jit(fn: Callable[..., Any]) -> Any:
        """Mark a function as a kernel or a part of one."""
else:

    def jit(fn):
        """Mark a function as a kernel or a part of one.  Triton is not imported for it."""
        if not isinstance(fn, FunctionType):
            raise TypeError(f"jit: expected a Python function, got {fn!r}")
        return Jit(fn)

    triton = StandIn("triton")
    tl = triton.language
    libdevice = tl.extra.libdevice  # Triton puts CUDA's or AMD's functions here, as the target asks
    triton.__dict__.update(jit=jit, cdiv=cdiv, next_power_of_2=next_power_of_2)


def reduce(
    input: Any, axis: Any, combine: Any, keep_dims: Any = False, _semantic: Any = None, _generator: Any = None
) -> Any:
    """``tl.reduce`` that also takes a combining function which is a ``tl.constexpr`` parameter of the kernel."""
    return _combined("reduce", input, axis, combine, keep_dims, _semantic, _generator)


def associative_scan(
    input: Any, axis: Any, combine: Any, reverse: Any = False, _semantic: Any = None, _generator: Any = None
) -> Any:
    """``tl.associative_scan`` that also takes a combining function which is a ``tl.constexpr`` parameter."""
    return _combined("associative_scan", input, axis, combine, reverse, _semantic, _generator)


def _combined(name: str, input: Any, axis: Any, combine: Any, option: Any, semantic: Any, generator: Any) -> Any:
    if semantic is None:
        raise RuntimeError(f"{name} can be called in kernels only")
    function = getattr(modules()["triton.language"], name)
    plain = getattr(combine, "value", combine)
    return function(input, axis, plain, option, _semantic=semantic, _generator=generator)


vars(reduce)["__triton_builtin__"] = True  # so the compiler calls them with what they need
vars(associative_scan)["__triton_builtin__"] = True

_modules: dict[str, ModuleType] = {}
_building: dict[Jit, Any] = {}  # functions that call each other meet here
_settled: dict[int, Any] = {}  # Triton's functions that refer to no stand-in any more, kept alive by this table


def modules() -> dict[str, ModuleType]:
    """Triton's modules by name.  Raises RuntimeError where Triton is not installed."""
    if not _modules:
        try:
            import triton
            import triton.language
            import triton.language.extra.libdevice
            import triton.runtime.jit
        except ImportError as error:
            raise RuntimeError(
                "Triton is not installed: the devices 'cuda' and 'interpreter' and compiling kernels "
                f"need it (pip install triton); the import said: {error}"
            ) from error
        for module in (triton, triton.language, triton.language.extra.libdevice, triton.runtime.jit):
            _modules[module.__name__] = module
    return _modules


def resolve(value: Any) -> Any:
    """``value`` with every stand-in and ``Jit`` in it, tuples included, replaced by Triton's own object."""
    kind = type(value)
    if kind is Jit:
        return real(value)
    if kind is StandIn:
        found: Any = modules()["triton"]
        for name in value._path.split(".")[1:]:
            found = getattr(found, name)
        return found
    if kind is Constant:
        return value.made()
    if kind is tuple:
        return tuple(map(resolve, value))
    return value


def is_triton_function(value: Any) -> bool:
    """Whether ``value`` is a function that ``triton.jit`` made."""
    kind = type(value)
    return kind.__name__ in ("JITFunction", "InterpretedFunction") and kind.__module__.startswith("triton.")


def real(function: Any) -> Any:
    """Triton's function object for a ``@jit`` function, this module's or Triton's own; always the same object.

    Raises RuntimeError where Triton is not installed, TypeError for anything else than a ``@jit`` function.
    """
    if type(function) is Jit:
        made = function.function
        if made is None:
            with lock:
                made = function.function or _building.get(function) or _build(function)
        return made
    if id(function) not in _settled:
        if not is_triton_function(function):
            raise TypeError(f"expected a @jit function, got {function!r}")
        with lock:
            if id(function) not in _settled:
                _settled[id(function)] = function
                _settle(function.fn)
    return function


def _build(holder: Jit) -> Any:
    fn = holder.fn
    make = modules()["triton.runtime.jit"].JITFunction
    fn.__annotations__ = {name: resolve(kind) for name, kind in fn.__annotations__.items()}
    fn.__defaults__ = resolve(fn.__defaults__)
    if fn.__kwdefaults__:
        fn.__kwdefaults__ = {name: resolve(value) for name, value in fn.__kwdefaults__.items()}
    _building[holder] = function = make(fn)
    try:
        _settle(fn)
        _settled[id(function)] = function
        holder.function = function
    finally:
        del _building[holder]
    return function


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _settle(fn: FunctionType) -> None:
    """Replace the stand-ins that a function refers to: in its file, in modules it names, in what it closes over."""
    names = set(_names(fn.__code__))
    names |= {name for name, value in fn.__globals__.items() if type(value) is StandIn}  # annotations name them too
    scopes = [fn.__globals__]
    for name in names & fn.__globals__.keys():
        value = fn.__globals__[name]
        if isinstance(value, ModuleType) and not value.__name__.startswith("triton"):
            scopes.append(vars(value))
    for scope in scopes:
        for name in names & scope.keys():
            new = _replaced(scope[name])
            if new is not scope[name]:
                scope[name] = new
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            cell.cell_contents = _replaced(cell.cell_contents)
        except ValueError:
            raise RuntimeError(f"{fn.__name__}: the kernel refers to {name!r}, which is not defined yet") from None


def _replaced(value: Any) -> Any:
    return real(value) if is_triton_function(value) else resolve(value)


class Signature:
    """A kernel's parameters, and how the arguments of a launch fill them."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.name: str = function.fn.__name__
        self.parameters: list[tuple[str, bool, Any]] = []  # name, whether tl.constexpr, default
        for name, parameter in inspect.signature(function.fn).parameters.items():
            kind = parameter.annotation
            shown = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
            self.parameters.append((name, "constexpr" in shown, parameter.default))
        self.constants = frozenset(name for name, constant, _ in self.parameters if constant)
        self.expected = len(self.parameters) - len(self.constants)

    def bind(self, arguments: tuple[Any, ...], constants: Mapping[str, Any]) -> list[Any]:
        """One value for each parameter.  Raises TypeError where there are too few, too many or unknown ones."""
        given = iter(arguments)
        out = []
        for name, constant, default in self.parameters:
            value = constants.get(name, default) if constant else next(given, default)
            if value is inspect.Parameter.empty:
                if constant:
                    raise TypeError(f"{self.name}: the constant {name} is missing")
                raise TypeError(f"{self.name}: expected {self.expected} arguments, got {len(arguments)}")
            out.append(value)
        if len(arguments) > self.expected:
            raise TypeError(f"{self.name}: expected {self.expected} arguments, got {len(arguments)}")
        unknown = constants.keys() - self.constants
        if unknown and unknown != {"enable_fp_fusion"}:
            raise TypeError(f"{self.name}: no tl.constexpr parameter is called {', '.join(sorted(unknown))}")
        return out


_signatures: dict[int, Signature] = {}


def signature(function: Any) -> Signature:
    """The parameters of a function that ``real`` returned."""
    found = _signatures.get(id(function))
    if found is None:
        found = _signatures[id(function)] = Signature(function)
    return found
