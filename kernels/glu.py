"""Gated linear unit: one half of the input times the logistic function of the other.

    out        = a * sigmoid(b),  a and b the first and the second half of the input along dim
    grad_input = (grad * sigmoid(b), grad * a * sigmoid(b) * (1 - sigmoid(b))), joined along dim

The rows are those of split, sigmoid and mul.
Source: Dauphin, Fan, Auli, Grangier (2017).
"""

from ..autograd import Tensor
from ..framework.shape import dimension
from .cat import split
from .sigmoid import sigmoid
from .smooth import floating


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of ``input`` along ``dim`` times the sigmoid of the second; floating, not 0-d.

    Raises RuntimeError for integers, for 0-d and where the size is odd, IndexError for a dim that does not exist.

    >>> glu(Tensor([4.0, 0.0])).tolist()
    [2.0]
    """
    floating("glu", input)
    if not input.ndim:
        raise RuntimeError("glu: a 0-d tensor has no halves")
    d = dimension("glu", dim, input.ndim)
    n = input.shape[d]
    if n % 2:
        raise RuntimeError(f"glu: expected an even size, dimension {d} has {n}")
    a, b = split(input, [n // 2, n // 2], d)
    return a * sigmoid(b)
