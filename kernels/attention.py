"""Attention, composed of products, softmax and dropout.

    out = dropout(softmax(query @ key^T * scale + mask)) @ value,  scale = 1 / sqrt(E) for vectors of E numbers

The products are in half precision in an autocast region, softmax in float32.  Scores of (..., L, S) are held in memory.
Source: Vaswani et al. (2017).
"""

from math import inf, sqrt

from ..autograd import Tensor
from ..framework import dtypes
from ..framework.op import OPS
from .create import ones
from .dropout import dropout
from .matmul import matmul
from .max import amax
from .softmax import softmax
from .tril import tril


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key^T * scale + mask) @ value``: query (..., L, E), key (..., S, E), value (..., S, V) give (..., L, V).

    ``attn_mask`` broadcasts to (..., L, S): True where a key takes part, or numbers to be added.  A query whose keys are
    all masked gives 0.  ``is_causal`` lets query i see keys 0 to i.  ``dropout_p`` drops weights, always.  With
    ``enable_gqa`` key and value may have fewer heads, dimension -3, each serving several of the query's.  Raises
    RuntimeError for other sizes and dtypes, and for a mask beside ``is_causal``.

    >>> x = Tensor([[1.0], [2.0]])
    >>> scaled_dot_product_attention(Tensor([[0.0]]), x, x).tolist()
    [[1.5]]
    """
    name = "scaled_dot_product_attention"
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise RuntimeError(
            f"{name}: expected query (..., L, E), key (..., S, E) and value (..., S, V), got {query.shape}, {key.shape} and "
            f"{value.shape}"
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{name}: expected attn_mask or is_causal, got both")
    if enable_gqa:
        key, value = _repeated(name, query, key), _repeated(name, query, value)
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    weights = attention_weights(query * factor, key, attn_mask, is_causal)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return matmul(weights.to(value.dtype), value)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
    """The softmax of scores that are masked; 0 for a query whose keys are all masked."""
    where = OPS["where"].function
    scores = matmul(query, key.transpose(-1, -2))
    if is_causal:
        seen = tril(ones(scores.shape[-2:], dtype=dtypes.bool_, device=scores.device))
        return softmax(where(seen, scores, -inf), -1)
    if mask is None:
        return softmax(scores, -1)
    if mask.dtype is dtypes.bool_:
        scores = where(mask, scores, -inf)
    elif mask.dtype.is_floating_point:
        scores = scores + mask.to(scores.dtype)
    else:
        raise RuntimeError(f"scaled_dot_product_attention: expected a mask of bool or floating, got {mask.dtype.name}")
    if not scores.shape[-1]:
        return softmax(scores, -1)
    hidden = amax(scores.detach(), -1, True) == -inf
    return where(hidden, 0.0, softmax(where(hidden, 0.0, scores), -1))


def _repeated(name, query, x):
    """Each head of ``x`` as often as there are heads of the query for it."""
    heads = query.shape[-3] if query.ndim > 2 else 0
    own = x.shape[-3] if x.ndim > 2 else 0
    if not own or heads % own:
        raise RuntimeError(f"{name}: expected heads that divide the query's, got {query.shape} and {x.shape}")
    if own == heads:
        return x
    lead, rest = x.shape[:-3], x.shape[-2:]
    return x.unsqueeze(-3).expand((*lead, own, heads // own, *rest)).reshape((*lead, heads, *rest))
