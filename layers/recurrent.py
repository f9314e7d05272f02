"""Recurrent layers, composed of products and elementwise rows, and their single steps.

    RNN    h' = act(W_ih x + b_ih + W_hh h + b_hh),  act = tanh or relu
    LSTM   i, f, o = sigmoid(...), g = tanh(...);  c' = f c + i g,  h' = o tanh(c');  with proj_size  h' = W_hr o tanh(c')
    GRU    r, z = sigmoid(...), n = tanh(W_in x + b_in + r (W_hn h + b_hn));  h' = (1 - z) n + z h

What comes from the input is one product for all steps.  Parameters are named, shaped and ordered as PyTorch's.
Source: Elman (1990); Hochreiter, Schmidhuber (1997); Cho et al. (2014); Sak, Senior, Beaufays (2014) for proj_size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import sqrt
from typing import Any

from ..autograd import Parameter, Tensor, is_autocast_enabled
from ..kernels.cat import cat
from ..kernels.create import empty, zeros
from ..kernels.dropout import dropout
from ..kernels.linear import linear
from ..kernels.stack import stack
from . import init
from .module import Module

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, "Tensor", "Tensor | None", "Tensor | None"], State]


def _rnn_step(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None, project: Tensor | None) -> State:
    return ((gates + linear(state[0], weight, bias)).tanh(),)


def _relu_step(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None, project: Tensor | None) -> State:
    return ((gates + linear(state[0], weight, bias)).relu(),)


def _lstm_step(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None, project: Tensor | None) -> State:
    h, c = state
    i, f, g, o = (gates + linear(h, weight, bias)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if project is None else linear(h, project)), c


def _gru_step(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None, project: Tensor | None) -> State:
    (h,) = state
    own_r, own_z, own_n = gates.chunk(3, -1)
    r, z, n = linear(h, weight, bias).chunk(3, -1)
    n = (own_n + (own_r + r).sigmoid() * n).tanh()
    return (n + (own_z + z).sigmoid() * (h - n),)


_STEPS: dict[str, tuple[int, Step]] = {
    "RNN_TANH": (1, _rnn_step),
    "RNN_RELU": (1, _relu_step),
    "LSTM": (4, _lstm_step),
    "GRU": (3, _gru_step),
}


class RNNBase(Module):
    """What the recurrent layers share.  Abstract: use ``RNN``, ``LSTM`` or ``GRU``."""

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if mode not in _STEPS:
            raise ValueError(f"{name}: expected mode to be one of {', '.join(_STEPS)}, got {mode!r}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: expected dropout to be a number in [0, 1], got {dropout!r}")
        for what, n in (("hidden_size", hidden_size), ("num_layers", num_layers)):
            if isinstance(n, bool) or not isinstance(n, int):
                raise TypeError(f"{name}: expected {what} to be an int, got {type(n).__name__}")
            if n <= 0:
                raise ValueError(f"{name}: expected {what} > 0, got {n}")
        if proj_size < 0 or proj_size >= hidden_size:
            raise ValueError(f"{name}: expected proj_size from 0 to hidden_size - 1, got {proj_size}")
        if proj_size and mode != "LSTM":
            raise ValueError(f"{name}: proj_size is for LSTM only")
        if dropout and num_layers == 1:
            warnings.warn(f"{name}: dropout={dropout} stands between layers, and there is one", stacklevel=3)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows = _STEPS[mode][0] * hidden_size
        width = proj_size or hidden_size  # of the state h
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            inside = input_size if layer == 0 else width * directions
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inside), "weight_hh": (rows, width)}
                if bias:
                    shapes.update(bias_ih=(rows,), bias_hh=(rows,))
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for what, shape in shapes.items():
                    self.register_parameter(what + suffix, Parameter(empty(*shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [
            [p for n, p in self._parameters.items() if n.endswith(suffix) and p is not None]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    def flatten_parameters(self) -> None:
        """Does nothing: for PyTorch's programs, whose GPU library wants all weights in one piece of memory."""

    def _state_widths(self) -> list[int]:
        """The last size of each tensor of the state."""
        return [self.hidden_size]

    def _begin(self, input: Tensor, hx: State | None, batched: bool) -> State:
        """The first state (layers * directions, N, width), checked or made of zeros."""
        layers = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            return tuple(
                zeros(layers, input.shape[1], width, dtype=input.dtype, device=input.device)
                for width in self._state_widths()
            )
        found = []
        for x, width in zip(hx, self._state_widths(), strict=True):
            expected = (layers, input.shape[1], width) if batched else (layers, width)
            if x.shape != expected:
                raise RuntimeError(f"{self._get_name()}: expected a hidden state {expected}, got {x.shape}")
            found.append(x if batched else x.unsqueeze(1))
        return tuple(found)

    def _run(self, input: Tensor, hx: State | None) -> tuple[Tensor, State]:
        name = self._get_name()
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            order = "(N, T, I)" if self.batch_first else "(T, N, I)"
            raise RuntimeError(
                f"{name}: expected input {order} or (T, I) with I = {self.input_size}, got {input.shape}"
            )
        batched = input.ndim == 3
        if not batched:
            input = input.unsqueeze(1)
        elif self.batch_first:
            input = input.transpose(0, 1)
        if not input.shape[0]:
            raise RuntimeError(f"{name}: expected at least 1 step, got an input without any")
        states = [x.unbind(0) for x in self._begin(input, hx, batched)]
        ends: list[State] = []
        place = 0
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                input = dropout(input, self.dropout)
            outputs = []
            for backwards, suffix in enumerate(self._suffixes(layer)):
                out, end = self._direction(input, tuple(s[place] for s in states), suffix, bool(backwards))
                outputs.append(out)
                ends.append(end)
                place += 1
            input = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
        final = tuple(stack(part, 0) for part in zip(*ends, strict=True))
        if not batched:
            return input.squeeze(1), tuple(x.squeeze(1) for x in final)
        return (input.transpose(0, 1) if self.batch_first else input), final

    def _direction(self, input: Tensor, state: State, suffix: str, backwards: bool) -> tuple[Tensor, State]:
        """One layer in one direction: its outputs (T, N, width) and last state."""
        weight_ih, weight_hh, bias_ih, bias_hh, project = (
            self._parameters.get(what + suffix)
            for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        assert weight_ih is not None and weight_hh is not None
        gates = linear(input, weight_ih, bias_ih)
        if is_autocast_enabled(input.device.type):
            state = tuple(s.to(gates.dtype) for s in state)
        step = _STEPS[self.mode][1]
        outputs: list[Tensor] = []
        steps = gates.unbind(0)
        for gate in reversed(steps) if backwards else steps:
            state = step(gate, state, weight_hh, bias_hh, project)
            outputs.append(state[0])
        if backwards:
            outputs.reverse()
        return stack(outputs, 0), state

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        words += [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join(words)


class RNN(RNNBase):
    """Elman's network: input (T, N, I), or (N, T, I) with ``batch_first``, or (T, I), to (output, h_n).

    Output (T, N, D * H), or in the input's order, h_n (L * D, N, H), for L layers in D directions.  ``hx`` is the first
    state, zeros by default.  Raises RuntimeError for other shapes.

    >>> output, h = RNN(3, 5, num_layers=2)(Tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]))
    >>> output.shape, h.shape
    ((2, 1, 5), (2, 1, 5))
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class GRU(RNNBase):
    """Gated recurrent units; arguments and results as ``RNN``'s.

    >>> GRU(3, 5, bidirectional=True)(Tensor([[1.0, 2.0, 3.0]]))[0].shape
    (1, 10)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class LSTM(RNNBase):
    """Long short-term memory: as ``RNN``, but the state is a pair (h, c), and so the result is (output, (h_n, c_n)).

    With ``proj_size`` the state h, and with it the output, is that wide; c stays (L * D, N, H).

    >>> output, (h, c) = LSTM(3, 5, proj_size=2)(Tensor([[1.0, 2.0, 3.0]]))
    >>> output.shape, h.shape, c.shape
    ((1, 2), (1, 2), (1, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def _state_widths(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size]

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise RuntimeError(f"LSTM: expected the hidden state (h, c), got {type(hx).__name__}")
        output, (h, c) = self._run(input, None if hx is None else tuple(hx))
        return output, (h, c)


class RNNCellBase(Module):
    """What the single steps share.  Abstract: use ``RNNCell``, ``LSTMCell`` or ``GRUCell``."""

    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Parameter  # (gates * hidden_size, input_size)
    weight_hh: Parameter  # (gates * hidden_size, hidden_size)
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _run(self, mode: str, input: Tensor, hx: State | None) -> State:
        name = self._get_name()
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: expected input (N, I) or (I,) with I = {self.input_size}, got {input.shape}")
        shape = (*input.shape[:-1], self.hidden_size)
        gates = linear(input, self.weight_ih, self.bias_ih)
        if hx is None:
            state = (zeros(*shape, dtype=input.dtype, device=input.device),) * (2 if mode == "LSTM" else 1)
        else:
            for x in hx:
                if x.shape != shape:
                    raise RuntimeError(f"{name}: expected a hidden state {shape}, got {x.shape}")
            state = hx
        if is_autocast_enabled(input.device.type):
            state = tuple(s.to(gates.dtype) for s in state)
        return _STEPS[mode][1](gates, state, self.weight_hh, self.bias_hh, None)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of ``RNN``: input (N, I) and state (N, H), or (I,) and (H,), to the next state.

    >>> RNNCell(3, 5)(Tensor([1.0, 2.0, 3.0])).shape
    (5,)
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run(f"RNN_{self.nonlinearity.upper()}", input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(RNNCellBase):
    """One step of ``LSTM``: input (N, I) and state (h, c) of (N, H) each, or without N, to the next (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._run("LSTM", input, None if hx is None else tuple(hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of ``GRU``: input (N, I) and state (N, H), or (I,) and (H,), to the next state."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run("GRU", input, None if hx is None else (hx,))[0]
