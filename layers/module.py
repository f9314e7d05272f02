"""Module: a function with parameters, made of other such functions.

A module's parameters, buffers and submodules are what is assigned to its attributes.  They are held by name, so
that optimizers, state dicts and moves between devices find them all; names inside submodules are joined by dots.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from ..autograd import Parameter, Tensor, no_grad, tensor
from ..autograd.tensor import Handle
from ..framework import device as devices
from ..framework import dtypes
from ..framework.layout import check, memory_format
from .hooks import AFTER, BEFORE, BackwardCall

Hook = Callable[..., Any]


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and networks: call ``super().__init__()``, assign parameters and submodules, define ``forward``.

    >>> class Scale(Module):
    ...     factor: Parameter
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(tensor([3.0])).tolist(), list(Scale().state_dict())
    ([6.0], ['factor'])
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _unsaved: set[str]  # buffers that state dicts leave out
    _before: list[tuple[Hook, bool]]  # hooks and whether they take keyword arguments
    _after: list[tuple[Hook, bool, bool]]  # and whether they are called after an error too
    _backward: list[tuple[Hook, str]]  # hooks on the backward pass, and when they are called
    _saving: list[tuple[Hook, str]]  # hooks on state dicts, and when they are called

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _unsaved=set(),
            _before=[],
            _after=[],
            _backward=[],
            _saving=[],
        )

    # -- calling ------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass says it."""
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._before or self._after or self._backward:
            return self._with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = None
        waiting = list(self._after)
        try:
            for hook, takes_keywords in tuple(self._before):
                args, kwargs = self._prepared(hook, takes_keywords, args, kwargs)
            call = BackwardCall(self, tuple(self._backward)) if self._backward else None
            if call is not None:
                args = call.enter(args)
            out = self.forward(*args, **kwargs)
            while waiting:
                out = self._followed(waiting.pop(0), args, kwargs, out)
            return out if call is None else call.leave(out)
        except Exception:
            for entry in waiting:
                if entry[2]:  # one more error would hide the first
                    try:
                        out = self._followed(entry, args, kwargs, out)
                    except Exception as error:
                        warnings.warn(f"a forward hook that is always called raised {error!r}", stacklevel=3)
            raise

    def _prepared(self, hook: Hook, takes_keywords: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments after one pre-hook."""
        if takes_keywords:
            changed = hook(self, args, kwargs)
            if changed is None:
                return args, kwargs
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(f"forward pre-hook: expected None or (args, kwargs), got {type(changed).__name__}")
            return changed
        changed = hook(self, args)
        if changed is None:
            return args, kwargs
        return (changed if isinstance(changed, tuple) else (changed,)), kwargs

    def _followed(self, entry: tuple[Hook, bool, bool], args: Any, kwargs: Any, out: Any) -> Any:
        """The output after one forward hook."""
        hook, takes_keywords, _ = entry
        changed = hook(self, args, kwargs, out) if takes_keywords else hook(self, args, out)
        return out if changed is None else changed

    def register_forward_pre_hook(self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """Call ``hook(module, args)`` before ``forward``; what it returns, unless None, replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns None or both.
        """
        return _register(self._before, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns, unless None, replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``.  With ``always_call`` it is called after an error
        too, with the output there was.
        """
        return _register(self._after, hook, prepend, with_kwargs, always_call)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> Handle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs, a tuple, are known.

        What it returns, unless None, replaces them: a gradient, or a tuple of as many.
        """
        return _register(self._backward, hook, prepend, BEFORE)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> Handle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the positional arguments are known.

        Both are tuples, None where a value asked for no gradient; what it returns, unless None, replaces ``grad_input``.
        """
        return _register(self._backward, hook, prepend, AFTER)

    def register_state_dict_pre_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's part of a state dict is made."""
        return _register(self._saving, hook, False, "before saving")

    def register_state_dict_post_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after this module and those below are in the state dict."""
        return _register(self._saving, hook, False, "after saving")

    def register_load_state_dict_pre_hook(self, hook: Hook) -> Handle:
        """Call a hook before ``load_state_dict`` looks at this module's part; it may change the state dict, which is a copy.

        It is ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``, and
        what it adds to the three lists is reported.
        """
        return _register(self._saving, hook, False, "before loading")

    def register_load_state_dict_post_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, incompatible_keys)`` when all is loaded, before names on one side only are complained about.

        It may change the two lists of ``incompatible_keys``.
        """
        return _register(self._saving, hook, False, "after loading")

    def _call(self, when: str, *args: Any) -> None:
        for hook, kind in tuple(self._saving):
            if kind == when and hook(self, *args) is not None:
                raise RuntimeError(f"a hook {when} a state dict: expected it to return None")

    # -- what it is made of -------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        if "_parameters" not in held:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._release(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._release(name, keep="_modules")
            self._modules[name] = value
        elif name in self._parameters:
            _expect(name, value, "a Parameter")
            self._parameters[name] = None
        elif name in self._modules:
            _expect(name, value, "a Module")
            self._modules[name] = None
        elif name in self._buffers:
            if not isinstance(value, Tensor):
                _expect(name, value, "a Tensor")
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def _release(self, name: str, keep: str) -> None:
        """Make room for ``name``, which may have been an attribute of another kind."""
        self.__dict__.pop(name, None)
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind != keep:
                self.__dict__[kind].pop(name, None)
        self._unsaved.discard(name)

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            found = held.get(kind)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for kind in (self._parameters, self._buffers, self._modules):
            if name in kind:
                del kind[name]
                self._unsaved.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        found = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in found if not name[:1].isdigit())

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Hold ``param`` as the attribute ``name``; None reserves the name.

        Raises TypeError for what is no Parameter, KeyError for an unfit or taken name, ValueError for a tensor
        that an operation made.
        """
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"register_parameter: {name!r} must be a Parameter or None, got {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError(f"register_parameter: {name!r} was made by an operation; a parameter must be a leaf")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Hold a tensor that is no parameter, such as running statistics; state dicts leave it out unless ``persistent``.

        Raises TypeError for what is no Tensor, KeyError for an unfit or taken name.
        """
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} must be a Tensor or None, got {type(tensor).__name__}")
        self._buffers[name] = tensor
        if persistent:
            self._unsaved.discard(name)
        else:
            self._unsaved.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Hold ``module`` as the attribute ``name``.  Raises TypeError for what is no Module, KeyError for an unfit or taken name."""
        self._check_name("module", name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} must be a Module or None, got {type(module).__name__}")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, kind: str, name: str, place: Mapping[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before registering {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"a {kind}'s name must be a str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"a {kind}'s name must not be empty nor contain a dot, got {name!r}")
        if name not in place and (
            name in self.__dict__
            or name in dir(type(self))
            or any(name in other for other in (self._parameters, self._buffers, self._modules))
        ):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module, named ``prefix``, and all below it; one that is held twice comes once unless told otherwise."""
        seen = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(seen, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules held directly, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules held directly, each once."""
        for _, module in self.named_children():
            yield module

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, value in module.__dict__[kind].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters; one that is shared comes once, under its first name, unless told otherwise."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with ``recurse``, of all below it, each once."""
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers; one that is shared comes once, under its first name, unless told otherwise."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with ``recurse``, of all below it, each once."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the empty path is this one.  Raises AttributeError where there is none."""
        found: Module = self
        for name in target.split(".") if target else ():
            below = found._modules.get(name)
            if below is None:
                raise AttributeError(f"{type(found).__name__} has no submodule {name!r} (looking for {target!r})")
            found = below
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; with ``strict`` there must be one already.

        Raises ValueError for an empty path or what is no Module, AttributeError where nothing is there to hold it.
        """
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: expected a path that is not empty")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: expected a Module, got {type(module).__name__}")
        owner = self.get_submodule(path)
        if strict and owner._modules.get(name) is None:
            raise AttributeError(f"{type(owner).__name__} has no submodule {name!r} (looking for {target!r})")
        setattr(owner, name, module)

    def _get(self, kind: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = owner.__dict__[kind].get(name)
        if found is None:
            raise AttributeError(f"{type(owner).__name__} has no {what} {name!r} (looking for {target!r})")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.  Raises AttributeError where there is none."""
        return self._get("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.  Raises AttributeError where there is none."""
        return self._get("_buffers", "buffer", target)

    # -- state --------------------------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by name: without history, sharing this module's memory.

        With ``keep_vars`` they are the very tensors.  Entries are added to ``destination`` where one is given.
        """
        found: dict[str, Any] = OrderedDict() if destination is None else destination
        if self._saving:
            self._call("before saving", prefix, keep_vars)
        for name, value in {**self._parameters, **self._buffers}.items():
            if value is not None and name not in self._unsaved:
                found[prefix + name] = value if keep_vars else value.detach()
        if _has_extra(self, "get_extra_state"):
            found[prefix + _EXTRA] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        if self._saving:
            self._call("after saving", found, prefix, {})
        return found

    def get_extra_state(self) -> Any:
        """What a state dict holds of this module under "_extra_state"; subclasses that have something define it."""
        raise RuntimeError(f"{type(self).__name__}: define get_extra_state() to have extra state in state dicts")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` returned; subclasses that have something define it."""
        raise RuntimeError(f"{type(self).__name__}: define set_extra_state() to load extra state from state dicts")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values, tensors or arrays, into the parameters and buffers of those names; dtypes and devices stay.

        With ``assign`` the tensors themselves take the place of parameters and buffers, with their dtypes and devices.
        Returns the names found on one side only.  Raises RuntimeError, naming every one, where there are such and
        ``strict``, or where shapes differ; nothing is changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected a mapping from names to tensors, got {type(state_dict).__name__}"
            )
        given = OrderedDict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        faults: list[str] = []
        everything = list(self.named_modules(remove_duplicate=False))
        for path, module in everything:
            if module._saving:
                prefix = f"{path}." if path else ""
                module._call("before loading", given, prefix, {}, strict, missing, unexpected, faults)
        own: dict[str, tuple[Module, str]] = {}
        for path, module in everything:
            prefix = f"{path}." if path else ""
            for name, value in {**module._parameters, **module._buffers}.items():
                if value is not None and name not in module._unsaved:
                    own[prefix + name] = (module, name)
            if _has_extra(module, "set_extra_state") or _has_extra(module, "get_extra_state"):
                own[prefix + _EXTRA] = (module, _EXTRA)
        missing += [key for key in own if key not in given]
        unexpected += [key for key in given if key not in own]
        values: dict[str, Any] = {}
        for key, (module, name) in own.items():
            if key not in given:
                continue
            if name == _EXTRA:
                values[key] = given[key]
                continue
            target = getattr(module, name)
            value = _as_tensor(given[key])
            if value is None:
                faults.append(f"{key}: expected a tensor or an array, got {type(given[key]).__name__}")
            elif value.shape != target.shape:
                faults.append(f"size mismatch for {key}: the state dict has {value.shape}, the model {target.shape}")
            else:
                values[key] = value
        found = IncompatibleKeys(missing, unexpected)
        if not faults and any(module._saving for _, module in everything):
            for _, module in reversed(everything):
                module._call("after loading", found)
        if strict:
            if unexpected:
                faults.insert(0, f"Unexpected key(s): {', '.join(unexpected)}")
            if missing:
                faults.insert(0, f"Missing key(s): {', '.join(missing)}")
        if faults:
            raise RuntimeError(
                "\n    ".join([f"load_state_dict: the state dict does not fit {type(self).__name__}:", *faults])
            )
        for key, value in values.items():
            module, name = own[key]
            if name == _EXTRA:
                module.set_extra_state(value)
            elif assign:
                _assign(module, name, value)
            else:
                with no_grad():
                    getattr(module, name).copy_(value)
        return found

    # -- changing all of it -------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` here and below: batch statistics and dropout while learning, running statistics after."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: expected True or False, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of every parameter: False freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or fill it with zeros."""
        zero_gradients(self.parameters(), set_to_none)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below and then on this one, as for initialisation."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _convert(self, convert: Callable[[Tensor], Tensor]) -> Self:
        """Replace the memory under every parameter, its gradient, and every buffer; the objects stay."""
        for value in (*self.parameters(), *self.buffers()):
            for held in (value, value.grad):
                if held is not None:
                    with no_grad():
                        converted = convert(held)
                    if converted is not held:
                        held.data = converted
        return self

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        memory_format: memory_format | None = None,
    ) -> Self:
        """Move to a device, a floating dtype, or those of a tensor, in place; parameters stay the same objects.

        ``memory_format`` lays out parameters and buffers of four dimensions; ``non_blocking`` is as in ``Tensor.to``.
        Raises TypeError for a dtype that is not floating (only floating tensors change their dtype).
        """
        for x in args:
            if isinstance(x, Tensor):
                device, dtype = x.device, x.dtype
            elif isinstance(x, (devices.device, str)):
                device = x
            elif isinstance(x, dtypes.dtype):
                dtype = x
            else:
                raise TypeError(f"to: expected a dtype, a device or a Tensor, got {type(x).__name__}")
        kind = None if dtype is None else dtypes.dtype_of(dtype)
        if kind is not None and not kind.is_floating_point:
            raise TypeError(f"to: expected a floating dtype, got {kind.name}")
        if memory_format is not None:
            check("to", memory_format, (0,) * 4)

        def convert(t: Tensor) -> Tensor:
            moved: Tensor = t.to(
                dtype=kind if t.dtype.is_floating_point else None, device=device, non_blocking=non_blocking
            )
            return moved if memory_format is None or t.ndim != 4 else moved.to(memory_format=memory_format)

        return self._convert(convert)

    def float(self) -> Self:
        """Floating parameters and buffers as float32."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """Floating parameters and buffers as float64."""
        return self.to(dtypes.float64)

    def half(self) -> Self:
        """Floating parameters and buffers as float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Self:
        """Floating parameters and buffers as bfloat16."""
        return self.to(dtypes.bfloat16)

    def cpu(self) -> Self:
        """To host memory."""
        return self.to(devices.CPU)

    def cuda(self, device: Any = None) -> Self:
        """To a GPU, the current one by default."""
        return self.to(devices.device("cuda", device) if device is None or isinstance(device, int) else device)

    # -- printing -----------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses when the module is printed."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        below = [f"({name}): {repr(module).replace(chr(10), chr(10) + '  ')}" for name, module in self._modules.items()]
        if not below and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return "\n  ".join([f"{self._get_name()}(", *lines, *below]) + "\n)"


def zero_gradients(parameters: Any, set_to_none: bool) -> None:
    """Forget the gradients of ``parameters``, or fill them with zeros."""
    for parameter in parameters:
        if parameter.grad is not None:
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()


_EXTRA = "_extra_state"


def _has_extra(module: Module, name: str) -> bool:
    """Whether the module's class defines a method about extra state."""
    return getattr(type(module), name) is not getattr(Module, name)


def _assign(module: Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer; it asks for gradients as that one did."""
    before = getattr(module, name)
    if isinstance(before, Parameter) and not isinstance(value, Parameter):
        value = Parameter(value.detach(), requires_grad=before.requires_grad)
    elif isinstance(before, Parameter):
        value.requires_grad_(before.requires_grad)
    setattr(module, name, value)


def _register(hooks: list[Any], hook: Hook, prepend: bool, *about: Any) -> Handle:
    if not callable(hook):
        raise TypeError(f"hook: expected a function, got {type(hook).__name__}")
    entry = (hook, *about)
    hooks.insert(0 if prepend else len(hooks), entry)
    return Handle(hooks, entry)


def _expect(name: str, value: Any, what: str) -> None:
    """Only None may stand where something else was registered."""
    if value is not None:
        raise TypeError(f"{name!r} is registered: expected {what} or None, got {type(value).__name__}")


def _as_tensor(value: Any) -> Tensor | None:
    """A tensor with these values; None where there are none."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    return tensor(array) if array.dtype.kind in "biuf" or array.dtype == dtypes.bfloat16.numpy else None
