"""Parameters that are computed from others: weight and spectral normalisation.

    weight_norm    w = g * v / ||v||,  one length g for each slice along ``dim``
    spectral_norm  w = v / sigma,      sigma = the largest singular value of v as a matrix, by power iteration

Two ways lead there.  ``parametrize`` gives the module's class a property that computes the weight when it is asked for;
PyTorch's older way, ``nn.utils.weight_norm`` and ``spectral_norm``, computes it before each ``forward``.
Source: Salimans, Kingma (2016); Miyato, Kataoka, Koyama, Yoshida (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import Parameter, Tensor, no_grad
from ..kernels.distance import norm, normalize
from ..kernels.random import randn
from .containers import ModuleDict, ModuleList
from .conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .module import Module

_caching: list[dict[tuple[int, str], Any]] = []  # of the regions entered; the last one counts


@contextmanager
def cached() -> Iterator[None]:
    """A region in which each parametrized tensor is computed once, when it is first asked for."""
    _caching.append(_caching[-1] if _caching else {})
    try:
        yield
    finally:
        _caching.pop()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after another, and the parameters that it is computed from."""

    def __init__(self, modules: list[Module], original: Tensor) -> None:
        super().__init__(modules)
        values: Any = original
        with no_grad():
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    values = module.right_inverse(values)
        self.is_tensor = isinstance(values, Tensor)
        self.ntensors = 1 if self.is_tensor else len(values)
        for name, value in zip(self._names(), (values,) if self.is_tensor else values, strict=True):
            if isinstance(original, Parameter):
                fresh = original if value is original else Parameter(value.detach(), original.requires_grad)
                self.register_parameter(name, fresh)
            else:
                self.register_buffer(name, value)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def assign(self, value: Tensor) -> None:
        """Change the originals so that the tensor becomes ``value``.  Raises RuntimeError where a part has no inverse."""
        values: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"{type(module).__name__}: define right_inverse(value) to assign to its result")
                values = module.right_inverse(values)
            for name, x in zip(self._names(), (values,) if self.is_tensor else values, strict=True):
                getattr(self, name).copy_(x)

    def forward(self) -> Tensor:
        """The tensor."""
        modules = list(self)
        value = modules[0](*(getattr(self, name) for name in self._names()))
        for module in modules[1:]:
            value = module(value)
        return value


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        if not _caching:
            return self.parametrizations[name]()
        key = (id(self), name)
        found = _caching[-1].get(key)
        if found is None:
            found = _caching[-1][key] = self.parametrizations[name]()
        return found

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].assign(value)

    return property(get, put)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Have ``module``'s parameter or buffer computed as ``parametrization(original)``; returns the module.

    The original is ``module.parametrizations.<name>.original``; where the parametrization has a ``right_inverse`` that
    returns a tuple, they are ``original0``, ``original1``, ... and its arguments.  A second parametrization is applied
    to what the first returns.  Raises ValueError for a name that is neither, and, unless ``unsafe``, where shape or dtype
    would change.
    """
    if is_parametrized(module, tensor_name):
        parts = module.parametrizations[tensor_name]
        before = getattr(module, tensor_name)
        with no_grad():
            _check_same(tensor_name, before, parametrization(before), unsafe)
            if hasattr(parametrization, "right_inverse"):
                parts.assign(parametrization.right_inverse(before))
        parts.append(parametrization)
        return module
    held = next((h for h in (module._parameters, module._buffers) if h.get(tensor_name) is not None), None)
    if held is None:
        raise ValueError(f"{type(module).__name__} has no parameter or buffer {tensor_name!r} to parametrize")
    original = held[tensor_name]
    parts = ParametrizationList([parametrization], original)  # type: ignore[arg-type]
    with no_grad():
        _check_same(tensor_name, original, parts(), unsafe)  # type: ignore[arg-type]
    if not is_parametrized(module):
        own = type(module)
        module.__class__ = type(f"Parametrized{own.__name__}", (own,), {"__module__": own.__module__})
        module.parametrizations = ModuleDict()
    del held[tensor_name]
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = parts
    return module


def _check_same(name: str, before: Tensor, after: Any, unsafe: bool) -> None:
    if unsafe:
        return
    if not isinstance(after, Tensor):
        raise ValueError(f"the parametrization of {name!r} must return a Tensor, got {type(after).__name__}")
    if after.shape != before.shape or after.dtype is not before.dtype:
        raise ValueError(
            f"the parametrization of {name!r} changes {before.shape} of {before.dtype.name} into {after.shape} of "
            f"{after.dtype.name}; unsafe=True allows that"
        )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrized tensors, or that one."""
    parts = module._modules.get("parametrizations")
    if not isinstance(parts, ModuleDict):
        return False
    return bool(len(parts)) if tensor_name is None else tensor_name in parts


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor a plain one again: its present value, or its original unless ``leave_parametrized``.

    Raises ValueError where it is not parametrized, or where there are several originals to leave.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__} has no parametrization on {tensor_name!r}")
    parts: Any = module.parametrizations[tensor_name]
    if not leave_parametrized and not parts.is_tensor:
        raise ValueError(f"{tensor_name!r} has {parts.ntensors} originals: leave_parametrized=False needs one")
    first = getattr(parts, parts._names()[0])
    trained = isinstance(first, Parameter)
    value = parts().detach() if leave_parametrized else parts.original
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    if not trained:
        module.register_buffer(tensor_name, value)
    elif parts.is_tensor:  # the same object, so that optimizers go on with it
        with no_grad():
            first.data = value
        module.register_parameter(tensor_name, first)
    else:
        module.register_parameter(tensor_name, Parameter(value.clone(), first.requires_grad))
    return module


# -- weight normalisation ----------------------------------------------------------------------------------------------


def _lengths(v: Tensor, dim: int | None) -> Tensor:
    """The length of each slice along ``dim``, of v as a whole for None, in a shape that broadcasts."""
    if dim is None:
        return norm(v.reshape((-1,)), 2, 0)
    dim = dim % v.ndim
    order = (dim, *(d for d in range(v.ndim) if d != dim))
    found = norm(v.permute(order).reshape((v.shape[dim], -1)), 2, -1)
    return found.reshape([n if d == dim else 1 for d, n in enumerate(v.shape)])


class _WeightNorm(Module):
    """``g * v / ||v||``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = None if dim is None or dim == -1 else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / _lengths(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """g and v for a weight."""
        return _lengths(weight, self.dim), weight.clone()


def parametrized_weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Parametrize a weight as length times direction, for each slice along ``dim`` (None: for the whole); returns ``module``."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _WeightNormHook:
    """PyTorch's older way: ``name_g`` and ``name_v`` are the parameters, ``name`` is computed before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = None if dim is None or dim == -1 else dim

    def compute(self, module: Module) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / _lengths(v, self.dim))

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module))

    def undo(self, module: Module) -> None:
        with no_grad():
            weight = self.compute(module)
        delattr(module, self.name)
        for part in ("g", "v"):
            delattr(module, f"{self.name}_{part}")
        module.register_parameter(self.name, Parameter(weight))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """As ``parametrized_weight_norm``, with parameters ``<name>_g`` and ``<name>_v``; ``remove_weight_norm`` undoes it."""
    _refuse_twice(module, name, _WeightNormHook)
    hook = _WeightNormHook(name, dim)
    weight = _taken(module, name)
    module.register_parameter(f"{name}_g", Parameter(_lengths(weight.detach(), hook.dim)))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a parameter again.  Raises ValueError where ``weight_norm`` is not on it."""
    return _removed(module, name, _WeightNormHook)


# -- spectral normalisation --------------------------------------------------------------------------------------------


def _as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with ``dim`` for rows and all else for columns."""
    if dim:
        weight = weight.permute((dim, *(d for d in range(weight.ndim) if d != dim)))
    return weight.reshape((weight.shape[0], -1))


def _power(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """Improve the singular vectors in place."""
    with no_grad():
        for _ in range(times):
            u.copy_(normalize(matrix @ v, dim=0, eps=eps))
            v.copy_(normalize(matrix.transpose(0, 1) @ u, dim=0, eps=eps))


def _usual_dim(module: Module, dim: int | None) -> int:
    """Where a weight has the outputs: second in transposed convolutions, first elsewhere."""
    if dim is not None:
        return dim
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


class _SpectralNorm(Module):
    """``weight / sigma``; each forward while training takes steps of the power iteration."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"spectral_norm: dim {dim} is out of range for {weight.ndim} dimensions")
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: expected n_power_iterations > 0, got {n_power_iterations}")
        self.dim = dim % weight.ndim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:
            with no_grad():
                matrix = _as_matrix(weight.detach(), self.dim)
                made: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
                u = normalize(randn(matrix.shape[0], **made), dim=0, eps=eps)
                v = normalize(randn(matrix.shape[1], **made), dim=0, eps=eps)
                _power(matrix, u, v, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = _as_matrix(weight, self.dim)
        if self.training:
            _power(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u * (matrix @ v)).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself: it is taken to have norm 1."""
        return value


def parametrized_spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Parametrize a weight as itself divided by its largest singular value; returns ``module``.

    ``dim`` is where the outputs are: 1 for transposed convolutions, 0 else.  Raises ValueError for a name that is no
    parameter.
    """
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}")
    part = _SpectralNorm(weight, n_power_iterations, _usual_dim(module, dim), eps)
    return register_parametrization(module, name, part)


class _SpectralNormHook:
    """PyTorch's older way: ``name_orig`` is the parameter, ``name`` is computed before each forward."""

    def __init__(self, name: str, times: int, dim: int, eps: float) -> None:
        if times <= 0:
            raise ValueError(f"spectral_norm: expected n_power_iterations > 0, got {times}")
        self.name, self.times, self.dim, self.eps = name, times, dim, eps

    def compute(self, module: Module, training: bool) -> Tensor:
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = _as_matrix(weight, self.dim)
        if training:
            _power_from_v(matrix.detach(), u, v, self.times, self.eps)
            u, v = u.clone(), v.clone()
        return weight / (u * (matrix @ v)).sum()

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))

    def undo(self, module: Module) -> None:
        with no_grad():
            weight = self.compute(module, False)
        delattr(module, self.name)
        for part in ("orig", "u", "v"):
            delattr(module, f"{self.name}_{part}")
        module.register_parameter(self.name, Parameter(weight))


def _power_from_v(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """As ``_power``, beginning with v: the older way's order."""
    with no_grad():
        for _ in range(times):
            v.copy_(normalize(matrix.transpose(0, 1) @ u, dim=0, eps=eps))
            u.copy_(normalize(matrix @ v, dim=0, eps=eps))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """As ``parametrized_spectral_norm``, with the parameter ``<name>_orig`` and the buffers ``<name>_u`` and ``<name>_v``."""
    _refuse_twice(module, name, _SpectralNormHook)
    hook = _SpectralNormHook(name, n_power_iterations, _usual_dim(module, dim), eps)
    weight = _taken(module, name)
    matrix = _as_matrix(weight.detach(), hook.dim)
    made: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
    u = normalize(randn(matrix.shape[0], **made), dim=0, eps=eps)
    v = normalize(randn(matrix.shape[1], **made), dim=0, eps=eps)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight, as it is normalised now, a parameter again.  Raises ValueError where ``spectral_norm`` is not on it."""
    return _removed(module, name, _SpectralNormHook)


def _taken(module: Module, name: str) -> Parameter:
    """A parameter, no longer one of the module's.  Raises ValueError where there is none of that name."""
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}")
    delattr(module, name)
    return weight


def _refuse_twice(module: Module, name: str, kind: type) -> None:
    for entry in module._before:
        if isinstance(entry[0], kind) and entry[0].name == name:  # type: ignore[attr-defined]
            raise RuntimeError(f"{type(module).__name__}: {name!r} is normalised already")


def _removed(module: Module, name: str, kind: type) -> Module:
    for entry in list(module._before):
        if isinstance(entry[0], kind) and entry[0].name == name:  # type: ignore[attr-defined]
            module._before.remove(entry)
            entry[0].undo(module)  # type: ignore[attr-defined]
            return module
    raise ValueError(f"{type(module).__name__}: {name!r} is not normalised")
