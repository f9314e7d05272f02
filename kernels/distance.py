"""Distances and angles between vectors, composed of other rows.

    ||v||_p            = (sum of |v_i|^p)^(1 / p);  max |v_i| for p = inf, the number of v_i != 0 for p = 0
    pairwise_distance  = ||x1 - x2 + eps||_p            of each pair of vectors
    cdist[i, j]        = ||x1_i - x2_j||_p              of all pairs
    cosine_similarity  = x1 . x2 / (max(||x1||_2, eps) max(||x2||_2, eps))
    normalize          = x / max(||x||_p, eps)

Where a norm is 0 its gradient is taken to be 0.
"""

from math import inf

from ..autograd import Tensor, autocast, autocast_inputs
from ..framework.op import OPS
from ..framework.shape import dimension
from .huber_loss import L1_LOSS as FLOAT32  # a row that autocast runs in float32, as it does everything here
from .kl_div import common_shape
from .max import amax
from .min import amin


def norm(x: Tensor, p: float, dim: int, keepdim: bool = False) -> Tensor:
    """The p-norm along ``dim``; its gradient is 0 where the norm is."""
    if p == 2:
        return _root((x * x).sum(dim, keepdim=keepdim))
    size = x.abs()
    if p == 1:
        return size.sum(dim, keepdim=keepdim)
    if p in (inf, -inf):
        if not x.shape[dim] and p > 0:
            return size.sum(dim, keepdim=keepdim)
        return (amax if p > 0 else amin)(size, dim, keepdim)
    if p == 0:
        return size.sign().sum(dim, keepdim=keepdim)
    if p < 0:
        return (size**p).sum(dim, keepdim=keepdim) ** (1 / p)
    total = _power(size, p).sum(dim, keepdim=keepdim)
    return _power(total, 1 / p)


def _root(square):
    """The square root, with gradient 0 at 0."""
    positive = square != 0
    return OPS["where"].function(positive, square, 1.0).sqrt() * positive


def _power(size, p):
    """``size ** p`` for size >= 0 and p > 0, with gradient 0 at 0."""
    positive = size != 0
    return OPS["where"].function(positive, size, 1.0) ** p * positive


def raised(x, low):
    """``x``, or ``low`` where that is more; the gradient passes as if nothing had been done."""
    return x + (low - x.detach()).clamp_min(0)


def _vectors(name, *tensors):
    """The tensors in float32 where an autocast region asks for it.  Raises RuntimeError for integers."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(x).__name__}")
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"{name}: expected floating tensors, got {x.dtype.name}")
    return autocast_inputs(FLOAT32, *tensors)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim`` of two floating tensors that broadcast.

    A length below ``eps`` counts as ``eps``.  Raises RuntimeError for integers and shapes that do not broadcast,
    IndexError for a dimension that does not exist.

    >>> cosine_similarity(Tensor([[3.0, 4.0]]), Tensor([[4.0, 3.0]])).tolist()
    [0.9600000381469727]
    """
    x1, x2 = _vectors("cosine_similarity", x1, x2)
    shape = common_shape("cosine_similarity", x1, x2)
    at = dimension("cosine_similarity", dim, len(shape))
    x1, x2 = (x if x.shape == shape else x.expand(shape) for x in (x1, x2))
    first, second = (x / raised(norm(x, 2, at, True), eps) for x in (x1, x2))
    return (first * second).sum(at)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension; floating, shapes broadcast.

    Raises RuntimeError for integers and shapes that do not broadcast.

    >>> pairwise_distance(Tensor([[3.0, 4.0]]), Tensor([[0.0, 0.0]]), eps=0.0).tolist()
    [5.0]
    """
    x1, x2 = _vectors("pairwise_distance", x1, x2)
    common_shape("pairwise_distance", x1, x2)
    return norm(x1 - x2 + eps, p, -1, keepdim)


_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """The p-norms of all differences: x1 (..., P, M) and x2 (..., R, M) give (..., P, R); leading dimensions broadcast.

    For p = 2 and more than 25 rows on a side (or as ``compute_mode`` says) it is a product of matrices, which is fast but
    loses digits of small distances; all else holds the P * R differences in memory.  Raises RuntimeError for fewer than 2
    dimensions, other sizes, integers and p < 0, ValueError for another mode.

    >>> cdist(Tensor([[0.0, 0.0], [3.0, 4.0]]), Tensor([[0.0, 0.0]])).tolist()
    [[0.0], [5.0]]
    """
    x1, x2 = _vectors("cdist", x1, x2)
    mode = _MODES[0] if compute_mode is None else compute_mode
    if mode not in _MODES:
        raise ValueError(f"cdist: expected compute_mode to be one of {', '.join(_MODES)}, got {mode!r}")
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"cdist: expected x1 (..., P, M) and x2 (..., R, M), got {x1.shape} and {x2.shape}")
    if p < 0:
        raise RuntimeError(f"cdist: expected p >= 0, got {p}")
    many = max(x1.shape[-2], x2.shape[-2]) > 25
    if p == 2 and mode != _MODES[2] and (many or mode == _MODES[1]):
        with autocast(x1.device.type, enabled=False):
            products = x1 @ x2.transpose(-1, -2)
        squares = (x1 * x1).sum(-1, keepdim=True) + (x2 * x2).sum(-1).unsqueeze(-2) - products * 2
        return _root(squares.clamp_min(0))
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances of all pairs of rows of input (N, M): (N * (N - 1) / 2,), the first row's first.

    Raises RuntimeError unless the input is a floating matrix and p >= 0.

    >>> pdist(Tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).numpy()
    array([5.       , 1.       , 4.2426405], dtype=float32)
    """
    (input,) = _vectors("pdist", input)
    if input.ndim != 2:
        raise RuntimeError(f"pdist: expected input (N, M), got {input.shape}")
    if p < 0:
        raise RuntimeError(f"pdist: expected p >= 0, got {p}")
    n = input.shape[0]
    first = [i for i in range(n) for _ in range(i + 1, n)]
    second = [j for i in range(n) for j in range(i + 1, n)]
    if not first:
        return input[:0].sum(1)
    return norm(input[first] - input[second], p, -1)


def normalize(
    input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """``input`` divided by its p-norm along ``dim``, or by ``eps`` where that is more; floating.

    Raises RuntimeError for integers, IndexError for a dimension that does not exist.

    >>> normalize(Tensor([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    _vectors("normalize", input)
    dims = dim if isinstance(dim, tuple) else (dim,)
    at = [dimension("normalize", d, input.ndim) for d in dims]
    if len(at) == 1:
        size = norm(input, p, at[0], True)
    else:  # one dimension in place of several
        rest = [d for d in range(input.ndim) if d not in at]
        flat = input.permute((*rest, *at)).reshape((*(input.shape[d] for d in rest), -1))
        size = norm(flat, p, -1).reshape([1 if d in at else n for d, n in enumerate(input.shape)])
    result = input / size.clamp_min(eps)
    return result if out is None else out.copy_(result)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``out[..., k] = sum over i, j of input1[..., i] * weight[k, i, j] * input2[..., j] + bias[k]``.

    input1 (..., I), input2 (..., J), weight (K, I, J), bias (K,): out (..., K).  Raises RuntimeError where sizes differ.

    >>> bilinear(Tensor([[1.0, 2.0]]), Tensor([[3.0]]), Tensor([[[1.0], [10.0]]])).tolist()
    [[63.0]]
    """
    if (
        weight.ndim != 3
        or input1.shape[:-1] != input2.shape[:-1]
        or (*input1.shape[-1:], *input2.shape[-1:]) != weight.shape[1:]
    ):
        raise RuntimeError(
            f"bilinear: expected input1 (..., I), input2 (..., J) and weight (K, I, J), got {input1.shape}, "
            f"{input2.shape} and {weight.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(f"bilinear: expected bias {weight.shape[:1]}, got {bias.shape}")
    k, i, j = weight.shape
    lead = input1.shape[:-1]
    inner = input1.reshape((-1, i)) @ weight.permute((1, 0, 2)).reshape((i, k * j))
    out = (inner.reshape((-1, k, j)) @ input2.reshape((-1, j, 1))).reshape((*lead, k))
    return out if bias is None else out + bias
