"""Attention of several heads, and the transformer's layers made of it.

    head_i    = softmax(Q_i K_i^T / sqrt(E / heads) + masks) V_i,  Q, K, V = affine maps of query, key and value
    attention = affine map of the heads side by side

Parameters are named and shaped as PyTorch's.  There is no fused kernel: products and softmax are rows of their own.
Source: Vaswani et al. (2017); Xiong et al. (2020) for norm_first.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import inf, sqrt
from typing import Any

from ..autograd import Parameter, Tensor
from ..framework import dtypes
from ..kernels.attention import attention_weights
from ..kernels.cat import cat
from ..kernels.create import empty, full, zeros
from ..kernels.dropout import dropout
from ..kernels.gelu import gelu
from ..kernels.linear import linear
from ..kernels.matmul import matmul
from ..kernels.relu import relu
from ..kernels.softmax import softmax
from ..kernels.tril import triu
from ..kernels.where import where
from . import init
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm


def additive(mask: Tensor, dtype: dtypes.dtype, name: str) -> Tensor:
    """A mask as numbers to be added: -inf where a bool mask is True.  Raises RuntimeError for other dtypes."""
    if mask.dtype.is_floating_point:
        return mask
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name}: expected a mask of bool or floating, got {mask.dtype.name}")
    return where(mask, -inf, zeros(mask.shape, dtype=dtype, device=mask.device))


class MultiheadAttention(Module):
    """Attention of ``num_heads`` heads: query (L, N, E), key (S, N, kdim), value (S, N, vdim) to (L, N, E) and the weights.

    With ``batch_first`` N stands first; without N the tensors have two dimensions.  In bool masks True hides a key (the
    opposite of ``scaled_dot_product_attention``), floating ones are added to the scores.  Raises ValueError and
    AssertionError for sizes that do not fit.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> out, weights = MultiheadAttention(2, 1)(x, x, x)
    >>> out.shape, weights.shape
    ((2, 2), (2, 2))
    """

    embed_dim: int
    kdim: int
    vdim: int
    num_heads: int
    head_dim: int
    dropout: float
    batch_first: bool
    add_zero_attn: bool
    in_proj_weight: Parameter | None  # (3 * embed_dim, embed_dim), where kdim and vdim are embed_dim
    q_proj_weight: Parameter | None  # else (embed_dim, embed_dim)
    k_proj_weight: Parameter | None  # (embed_dim, kdim)
    v_proj_weight: Parameter | None  # (embed_dim, vdim)
    in_proj_bias: Parameter | None  # (3 * embed_dim,)
    out_proj: Linear
    bias_k: Parameter | None  # (1, 1, embed_dim), one more key and value
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"MultiheadAttention: expected embed_dim and num_heads > 0, got {embed_dim} and {num_heads}"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"MultiheadAttention: embed_dim {embed_dim} is not divisible by num_heads {num_heads}")
        where_and_what = {"device": device, "dtype": dtype}

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(*shape, **where_and_what))

        packed = self.kdim == embed_dim and self.vdim == embed_dim
        for name, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", None if packed else parameter(embed_dim, width))
        self.register_parameter("in_proj_weight", parameter(3 * embed_dim, embed_dim) if packed else None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **where_and_what)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, parameter(1, 1, embed_dim) if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """The three affine maps; one product where they are of one tensor."""
        bias = self.in_proj_bias
        if self.in_proj_weight is not None and query is key and key is value:
            return list(linear(query, self.in_proj_weight, bias).chunk(3, -1))
        if self.in_proj_weight is not None:
            weights: Any = self.in_proj_weight.chunk(3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, x: Tensor) -> Tensor:
        """(N, T, E) as (N, heads, T, E / heads)."""
        n, t, _ = x.shape
        return x.reshape((n, t, self.num_heads, self.head_dim)).transpose(1, 2)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The attention and, with ``need_weights``, the weights (N, L, S), or of each head (N, heads, L, S).

        ``key_padding_mask`` (N, S) or (S,), ``attn_mask`` (L, S) or (N * heads, L, S).  ``is_causal`` says that
        ``attn_mask``, which must be given, is the causal one.  Weights of a query all of whose keys are hidden are nan,
        or, without ``need_weights``, 0, as in PyTorch.
        """
        name = "MultiheadAttention"
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise AssertionError(
                f"{name}: expected query, key and value of 2 or of 3 dimensions, got {query.shape}, {key.shape} and "
                f"{value.shape}"
            )
        if is_causal and attn_mask is None:
            raise RuntimeError(f"{name}: is_causal describes attn_mask, which must be given")
        same = query is key and key is value
        query, key, value = self._batch_first(query, key, value, batched)
        if same:
            key = value = query
        sizes = (query.shape[2], key.shape[2], value.shape[2])
        if sizes != (self.embed_dim, self.kdim, self.vdim) or key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"{name}: expected query, key and value of widths {self.embed_dim}, {self.kdim} and {self.vdim}, keys as "
                f"many as values, got {query.shape}, {key.shape} and {value.shape} with the batch first"
            )
        n, length, _ = query.shape
        many = key.shape[1]
        q, k, v = self._projected(query, key, value)
        mask = self._mask(n, length, many, attn_mask, key_padding_mask, query.dtype, batched)
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (cat((x, b.expand((n, 1, self.embed_dim))), 1) for x, b in ((k, self.bias_k), (v, self.bias_v)))
        if self.add_zero_attn:
            k, v = (cat((x, zeros(n, 1, self.embed_dim, dtype=x.dtype, device=x.device)), 1) for x in (k, v))
        more = k.shape[1] - many
        if mask is not None and more:  # what was added is seen by all
            mask = cat((mask, zeros(*mask.shape[:-1], more, dtype=mask.dtype, device=mask.device)), -1)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        q = q * (1 / sqrt(self.head_dim))
        if need_weights:
            scores = matmul(q, k.transpose(-1, -2))
            weights = softmax(scores if mask is None else scores + mask.to(scores.dtype), -1)
        else:
            weights = attention_weights(q, k, mask)
        if self.dropout and self.training:
            weights = dropout(weights, self.dropout)
        out = matmul(weights.to(v.dtype), v).transpose(1, 2).reshape((n, length, self.embed_dim))
        out = linear(out, self.out_proj.weight, self.out_proj.bias)
        if not batched:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        if not need_weights:
            return out, None
        if average_attn_weights:
            weights = weights.mean(1)
        return out, (weights if batched else weights.squeeze(0))

    def _batch_first(self, query: Tensor, key: Tensor, value: Tensor, batched: bool) -> tuple[Tensor, Tensor, Tensor]:
        if not batched:
            return query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
        if self.batch_first:
            return query, key, value
        return query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)

    def _mask(
        self,
        n: int,
        length: int,
        many: int,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        dtype: dtypes.dtype,
        batched: bool,
    ) -> Tensor | None:
        """Both masks as one that is added to the scores (N, heads, L, S)."""
        name = "MultiheadAttention"
        mask = None
        if attn_mask is not None:
            mask = additive(attn_mask, dtype, name)
            if mask.shape == (n * self.num_heads, length, many):
                mask = mask.reshape((n, self.num_heads, length, many))
            elif mask.shape != (length, many):
                raise RuntimeError(
                    f"{name}: expected attn_mask {(length, many)} or {(n * self.num_heads, length, many)}, got {mask.shape}"
                )
        if key_padding_mask is not None:
            expected = (n, many) if batched else (many,)
            if key_padding_mask.shape != expected:
                raise AssertionError(f"{name}: expected key_padding_mask {expected}, got {key_padding_mask.shape}")
            padding = additive(key_padding_mask, dtype, name).reshape((n, 1, 1, many))
            mask = padding if mask is None else mask + padding
        return mask


def _activation(name: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(name):
        return name
    if name not in ("relu", "gelu"):
        raise RuntimeError(f"activation: expected a function, 'relu' or 'gelu', got {name!r}")
    return relu if name == "relu" else gelu


class _Layer(Module):
    """What the transformer's two kinds of layer share.  Abstract."""

    linear1: Linear
    dropout: Dropout
    linear2: Linear
    norm_first: bool
    activation: Callable[[Tensor], Tensor]

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each with a residual connection and a norm (before it, with ``norm_first``).

    src (S, N, E), or (N, S, E) with ``batch_first``, or (S, E), to the same shape.  ``activation`` is "relu", "gelu" or a
    function.

    >>> TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()(Tensor([[[1.0, 2.0, 3.0, 4.0]]])).shape
    (1, 1, 4)
    """

    self_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **made)
        self.linear1 = Linear(d_model, dim_feedforward, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, **made)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, **made)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        out = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal
        )[0]
        return self.dropout1(out)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The layer's output; masks as ``MultiheadAttention``'s."""
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self.dropout2(self._feed_forward(self.norm2(x)))
        x = self.norm1(x + self._attend(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to ``memory`` and two linear layers, each with a residual connection and a norm.

    tgt (T, N, E) and memory (S, N, E), or N first with ``batch_first``, or without N, to the shape of tgt.
    """

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **made)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **made)
        self.linear1 = Linear(d_model, dim_feedforward, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, **made)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, **made)
        self.norm3 = LayerNorm(d_model, eps=layer_norm_eps, **made)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The layer's output; masks as ``MultiheadAttention``'s."""

        def own(x: Tensor) -> Tensor:
            options: dict[str, Any] = {"key_padding_mask": tgt_key_padding_mask, "is_causal": tgt_is_causal}
            return self.dropout1(self.self_attn(x, x, x, attn_mask=tgt_mask, need_weights=False, **options)[0])

        def other(x: Tensor) -> Tensor:
            options: dict[str, Any] = {"key_padding_mask": memory_key_padding_mask, "is_causal": memory_is_causal}
            out = self.multihead_attn(x, memory, memory, attn_mask=memory_mask, need_weights=False, **options)[0]
            return self.dropout2(out)

        x = tgt
        if self.norm_first:
            x = x + own(self.norm1(x))
            x = x + other(self.norm2(x))
            return x + self.dropout3(self._feed_forward(self.norm3(x)))
        x = self.norm1(x + own(x))
        x = self.norm2(x + other(x))
        return self.norm3(x + self.dropout3(self._feed_forward(x)))


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer one after another, and a norm at the end where one is given."""

    layers: ModuleList
    num_layers: int
    norm: Module | None

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList([deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The last layer's output; masks as ``MultiheadAttention``'s."""
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer one after another, and a norm at the end where one is given."""

    layers: ModuleList
    num_layers: int
    norm: Module | None

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList([deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The last layer's output; masks as ``MultiheadAttention``'s."""
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder: src (S, N, E) and tgt (T, N, E), or N first with ``batch_first``, to the shape of tgt."""

    encoder: Module
    decoder: Module
    d_model: int
    nhead: int
    batch_first: bool

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        shape = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first)
        if custom_encoder is None:
            norm = LayerNorm(d_model, eps=layer_norm_eps, **made)
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*shape, **made), num_encoder_layers, norm)
        if custom_decoder is None:
            norm = LayerNorm(d_model, eps=layer_norm_eps, **made)
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*shape, **made), num_decoder_layers, norm)
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool = False,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output; masks as ``MultiheadAttention``'s.  Raises RuntimeError where sizes differ."""
        at = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[at] != tgt.shape[at]:
            raise RuntimeError(f"Transformer: expected src and tgt of one batch size, got {src.shape} and {tgt.shape}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(f"Transformer: expected {self.d_model} features, got {src.shape} and {tgt.shape}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): -inf above the diagonal, 0 elsewhere.

        >>> Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        return triu(full((sz, sz), -inf, device=device, dtype=dtype), diagonal=1)
