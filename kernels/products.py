"""Products of vectors, matrices and tensors that are made of other rows.

    addmm, addbmm, baddbmm, addmv, addr   out = beta * input + alpha * (their product)
    einsum      out[output labels] = sum over the other labels of the product of all operands
    tensordot   out[a, b] = sum over k of input[a, k] * other[k, b],  a, k, b groups of dimensions
    kron        out[i * p + k, j * q + l] = input[i, j] * other[k, l],  other (p, q)
    cross       out = (a1 b2 - a2 b1,  a2 b0 - a0 b2,  a0 b1 - a1 b0)

With beta = 0 the input is not looked at, so that nan and inf in it do not count.
"""

from math import prod
from typing import Any

import numpy as np

from ..autograd import Tensor, autocast_inputs
from ..framework import dtypes
from ..framework.shape import dimension
from .add import add
from .bmm import BMM, bmm
from .create import _from_host, eye
from .diagonal import diagonal
from .matmul import matmul
from .mm import MM, mm
from .mul import mul
from .permute import permute
from .reshape import reshape
from .stack import stack
from .sub import sub
from .sum import sum


def _added(name, input, product, beta, alpha):
    for factor, what in ((beta, "beta"), (alpha, "alpha")):
        if isinstance(factor, float) and not product.dtype.is_floating_point:
            raise RuntimeError(f"{name}: {what} must be an integer between integers, got {factor}")
    if input.dtype is not product.dtype:
        raise RuntimeError(f"{name}: expected operands of one dtype, got {input.dtype.name} and {product.dtype.name}")
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product.expand(_fitting(name, input, product))
    _fitting(name, input, product)
    return add(input if beta == 1 else input * beta, product)


def _fitting(name, input, product):
    lead = product.ndim - input.ndim
    if lead < 0 or any(a not in (1, b) for a, b in zip(input.shape, product.shape[lead:], strict=True)):
        raise RuntimeError(f"{name}: expected an input that broadcasts to {product.shape}, got {input.shape}")
    return product.shape


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; input broadcasts to (M, N).  Raises as ``mm``.

    >>> addmm(Tensor([1.0]), Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])).tolist()
    [[12.0]]
    """
    input, mat1, mat2 = autocast_inputs(MM, input, mat1, mat2)
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``; input broadcasts to (B, M, N).  Raises as ``bmm``.

    >>> baddbmm(Tensor([1.0]), Tensor([[[2.0]]]), Tensor([[[3.0]]])).tolist()
    [[[7.0]]]
    """
    input, batch1, batch2 = autocast_inputs(BMM, input, batch1, batch2)
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * sum of bmm(batch1, batch2) over the batch``; input broadcasts to (M, N).

    >>> addbmm(Tensor([1.0]), Tensor([[[2.0]], [[1.0]]]), Tensor([[[3.0]], [[4.0]]])).tolist()
    [[11.0]]
    """
    input, batch1, batch2 = autocast_inputs(BMM, input, batch1, batch2)
    return _added("addbmm", input, sum(bmm(batch1, batch2), 0, dtype=batch1.dtype), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; input broadcasts to (M,).  Raises as ``mv``.

    >>> addmv(Tensor([1.0]), Tensor([[1.0, 2.0]]), Tensor([3.0, 4.0])).tolist()
    [12.0]
    """
    input, mat, vec = autocast_inputs(MM, input, mat, vec)
    return _added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; input broadcasts to (M, N).

    >>> addr(Tensor([[1.0]]), Tensor([2.0]), Tensor([3.0, 4.0])).tolist()
    [[7.0, 9.0]]
    """
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The matrix (M, K) by the vector (K,).  Raises RuntimeError for other shapes and for unlike dtypes.

    >>> mv(Tensor([[1.0, 2.0]]), Tensor([3.0, 4.0])).tolist()
    [11.0]
    """
    if input.ndim != 2 or vec.ndim != 1 or input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"mv: expected (M, K) and (K,), got {input.shape} and {vec.shape}")
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors of one length.  Raises RuntimeError for other shapes and unlike dtypes.

    >>> dot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).item()
    11.0
    """
    return _dot("dot", input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """As ``dot``: there are no complex numbers to conjugate.

    >>> vdot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).item()
    11.0
    """
    return _dot("vdot", input, other)


def _dot(name, a, b):
    if a.ndim != 1 or b.ndim != 1 or a.shape != b.shape:
        raise RuntimeError(f"{name}: expected two vectors of one length, got {a.shape} and {b.shape}")
    return matmul(a, b)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of an element of one vector and one of the other: (M,) and (N,) give (M, N).

    Raises RuntimeError for anything else than vectors.

    >>> outer(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: expected two vectors, got {input.shape} and {vec2.shape}")
    return mul(input.unsqueeze(1), vec2)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The products of the last dimensions, summed: (..., K) and (*, K) give (..., *).  A 0-d operand is a factor.

    Raises RuntimeError where the last dimensions differ.

    >>> inner(Tensor([[1.0, 2.0]]), Tensor([3.0, 4.0])).tolist()
    [11.0]
    """
    if not input.ndim or not other.ndim:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: expected (..., K) and (*, K), got {input.shape} and {other.shape}")
    return tensordot(input, other, dims=([-1], [-1]))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The products summed over the last ``dims`` dimensions of ``a`` and the first of ``b``, or over two lists of them.

    Raises RuntimeError where the sizes of these differ.

    >>> tensordot(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), dims=1).tolist()
    [[11.0]]
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: expected 0 <= dims <= {min(a.ndim, b.ndim)}, got {dims}")
        mine, theirs = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        mine, theirs = ([d] if isinstance(d, int) else list(d) for d in dims)
    mine = [dimension("tensordot", d, a.ndim) for d in mine]
    theirs = [dimension("tensordot", d, b.ndim) for d in theirs]
    if len(mine) != len(theirs) or any(a.shape[i] != b.shape[j] for i, j in zip(mine, theirs, strict=True)):
        raise RuntimeError(f"tensordot: the dimensions {mine} of {a.shape} and {theirs} of {b.shape} do not match")
    rest_a = [d for d in range(a.ndim) if d not in mine]
    rest_b = [d for d in range(b.ndim) if d not in theirs]
    k = prod(a.shape[d] for d in mine)
    out_shape = tuple(a.shape[d] for d in rest_a) + tuple(b.shape[d] for d in rest_b)
    left = reshape(permute(a, (*rest_a, *mine)), (prod(a.shape[d] for d in rest_a), k))
    right = reshape(permute(b, (*theirs, *rest_b)), (k, prod(b.shape[d] for d in rest_b)))
    return reshape(mm(left, right), out_shape)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: each element of ``input`` times all of ``other``.

    >>> kron(Tensor([[1.0, 2.0]]), Tensor([[1.0], [10.0]])).tolist()
    [[1.0, 2.0], [10.0, 20.0]]
    """
    n = max(input.ndim, other.ndim)
    a = (1,) * (n - input.ndim) + input.shape
    b = (1,) * (n - other.ndim) + other.shape
    wide = reshape(input, tuple(s for x in a for s in (x, 1)))
    product = mul(wide, reshape(other, tuple(s for x in b for s in (1, x))))
    return reshape(product, tuple(x * y for x, y in zip(a, b, strict=True)))


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3: ``dim``, or the first of that size.

    Raises RuntimeError where there is none.

    >>> cross(Tensor([1.0, 0.0, 0.0]), Tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    if dim is None:
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
    if dim is None or not input.ndim:
        raise RuntimeError(f"cross: expected a dimension of size 3, got {input.shape} and {other.shape}")
    d = dimension("cross", dim, input.ndim) - input.ndim
    if input.shape[d] != 3 or other.shape[d] != 3:
        raise RuntimeError(f"cross: expected a dimension of size 3, got {input.shape} and {other.shape}")
    a, b = ([x.select(d, i) for i in range(3)] for x in (input, other))
    parts = [sub(mul(a[i], b[j]), mul(a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))]
    return stack(parts, parts[0].ndim + 1 + d)


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """``cross`` along the last dimension unless told otherwise, as ``torch.linalg.cross``.

    >>> linalg_cross(Tensor([1.0, 0.0, 0.0]), Tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    return cross(input, other, dim)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of the products of elements along ``dim``; shapes broadcast.

    >>> vecdot(Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    product = mul(x, y)
    return sum(product, dim, dtype=product.dtype)


def multi_dot(tensors: Any) -> Tensor:
    """The product of two or more matrices in the order that costs least; the first and the last may be vectors.

    Raises RuntimeError for fewer than two and where sizes do not fit.

    >>> multi_dot([Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([[2.0]])]).tolist()
    [[22.0]]
    """
    given = list(tensors)
    if len(given) < 2:
        raise RuntimeError(f"multi_dot: expected at least 2 tensors, got {len(given)}")
    if any(x.ndim != 2 for x in given[1:-1]) or any(x.ndim not in (1, 2) for x in (given[0], given[-1])):
        raise RuntimeError("multi_dot: expected matrices, but for a vector at either end")
    row, column = given[0].ndim == 1, given[-1].ndim == 1
    chain = list(given)
    if row:
        chain[0] = chain[0].unsqueeze(0)
    if column:
        chain[-1] = chain[-1].unsqueeze(1)
    sizes = [chain[0].shape[0], *(x.shape[1] for x in chain)]
    for i, x in enumerate(chain):
        if x.shape[0] != sizes[i]:
            raise RuntimeError(f"multi_dot: matrix {i} is {tuple(x.shape)}, expected {sizes[i]} rows")
    n = len(chain)
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            tries = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            best = min(tries, key=tries.__getitem__)
            cost[i, j], split[i, j] = tries[best], best

    def product(i, j):
        return chain[i] if i == j else mm(product(i, split[i, j]), product(split[i, j] + 1, j))

    out = product(0, n - 1)
    if row:
        out = out.squeeze(0)
    return out.squeeze(-1) if column else out


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices in the order that costs least; one of them is its own product.

    >>> chain_matmul(Tensor([[2.0]]), Tensor([[3.0]]), Tensor([[4.0]])).item()
    24.0
    """
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


def matrix_power(input: Tensor, n: int) -> Tensor:
    """The product of ``n`` times the square matrices ``input`` (..., M, M); the identity for n = 0.

    Raises RuntimeError for other shapes, and for a negative n, which would take an inverse.

    >>> matrix_power(Tensor([[1.0, 1.0], [0.0, 1.0]]), 3).tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise RuntimeError(f"matrix_power: expected square matrices, got {input.shape}")
    if n < 0:
        raise RuntimeError(f"matrix_power: expected n >= 0 (there are no inverses here), got {n}")
    if n == 0:
        return eye(input.shape[-1], dtype=input.dtype, device=input.device).expand(input.shape).clone()
    square = input
    while not n & 1:
        square = matmul(square, square)
        n >>= 1
    out = square
    while n > 1:
        square = matmul(square, square)
        n >>= 1
        if n & 1:
            out = matmul(out, square)
    return out


# -- einsum ---------------------------------------------------------------------------------------------------------


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products of elements, by Einstein's convention: ``einsum("ij,jk->ik", a, b)`` is ``a @ b``.

    A label that an operand has twice takes its diagonal; labels missing after ``->`` are summed over; without ``->``
    the result has the labels that occur once, in alphabetic order; ``...`` stands for dimensions that broadcast.
    Also as ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.  Operands are multiplied from left to right, as batched products
    of matrices.  Raises RuntimeError (ValueError for what is no equation) where labels and sizes do not fit.

    >>> einsum("ij,jk->ik", Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    if isinstance(equation, Tensor):
        equation, operands = _from_lists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, output, names = _parsed(equation, operands)
    arrays = [_one_each(x, labels) for x, labels in zip(operands, terms, strict=True)]
    sizes: dict[Any, int] = {}
    for x, labels in arrays:
        for label, n in zip(labels, x.shape, strict=True):
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n not in (1, known):
                raise RuntimeError(f"einsum: the label {names(label)} has the sizes {known} and {n}")
    out, labels = arrays[0]
    for i, (x, theirs) in enumerate(arrays[1:], 1):
        later = {label for _, rest in arrays[i + 1 :] for label in rest} | set(output)
        out, labels = _contracted(out, labels, x, theirs, later, sizes)
    out, labels = _without(out, labels, set(output))
    wanted = [labels.index(label) for label in output]
    return permute(out, tuple(wanted)) if wanted != list(range(len(wanted))) else out


def _from_lists(given):
    """Operands and lists of numbers, as an equation: numbers are letters."""
    count = len(given) // 2
    letters = [chr(ord("A") + i) for i in range(26)] + [chr(ord("a") + i) for i in range(26)]

    def text(entries):
        return "".join("..." if x is Ellipsis else letters[x] for x in entries)

    equation = ",".join(text(given[2 * i + 1]) for i in range(count))
    if len(given) % 2:
        equation += "->" + text(given[-1])
    return equation, tuple(given[2 * i] for i in range(count))


def _parsed(equation, operands):
    """The labels of each operand and of the output: letters, and numbers for what an ellipsis stands for."""
    if not isinstance(equation, str):
        raise ValueError(f"einsum: expected an equation, got {type(equation).__name__}")
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(operands) or not operands:
        raise RuntimeError(f"einsum: {equation!r} speaks of {len(parts)} operands, got {len(operands)}")
    terms, widest = [], 0
    for part, x in zip(parts, operands, strict=True):
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum: expected tensors, got {type(x).__name__}")
        before, dots, after = part.partition("...")
        letters = before + after
        if not all(c.isalpha() for c in letters):
            raise RuntimeError(f"einsum: expected letters and one '...' in {part!r}")
        free = x.ndim - len(letters)
        if free < 0 or (free and not dots):
            raise RuntimeError(f"einsum: {part!r} does not fit an operand of {x.ndim} dimensions")
        terms.append([*before, *range(-free, 0), *after])
        widest = max(widest, free)
    around = list(range(-widest, 0))
    if arrow:
        before, dots, after = right.partition("...")
        output = [*before, *(around if dots else []), *after]
    else:
        letters = [c for term in terms for c in term if isinstance(c, str)]
        output = [*around, *sorted(c for c in set(letters) if letters.count(c) == 1)]
    known = {label for term in terms for label in term}
    for label in output:
        if label not in known or output.count(label) > 1:
            what = "is in no operand" if label not in known else "is there twice"
            raise RuntimeError(f"einsum: the output label {label!r} {what}")
    return terms, output, lambda label: repr(label) if isinstance(label, str) else "'...'"


def _one_each(x, labels):
    """The operand with one dimension for each label: diagonals where one is there twice."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum: the label {label!r} has the sizes {x.shape[i]} and {x.shape[j]}")
            x = diagonal(x, 0, i, j)
            labels = [c for k, c in enumerate(labels) if k not in (i, j)] + [label]
    return x, labels


def _without(x, labels, needed):
    """The operand summed over the labels that nobody needs."""
    gone = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not gone:
        return x, labels
    return sum(x, gone, dtype=x.dtype), [label for label in labels if label in needed]


def _contracted(a, mine, b, theirs, later, sizes):
    """The product of two operands, summed over the labels that nobody needs after it."""
    a, mine = _without(a, mine, later | set(theirs))
    b, theirs = _without(b, theirs, later | set(mine))
    shared = [label for label in mine if label in theirs]
    batch = [label for label in shared if label in later]
    summed = [label for label in shared if label not in later]
    only_a = [label for label in mine if label not in theirs]
    only_b = [label for label in theirs if label not in mine]
    a = _arranged(a, mine, batch + only_a + summed, sizes, set(shared))
    b = _arranged(b, theirs, batch + summed + only_b, sizes, set(shared))
    labels = batch + only_a + only_b
    counts = [prod(sizes[x] for x in group) for group in (batch, only_a, summed, only_b)]
    own = [sizes[x] for x in labels]
    if not summed:
        left = reshape(a, (counts[0], counts[1], 1))
        return reshape(mul(left, reshape(b, (counts[0], 1, counts[3]))), tuple(own)), labels
    left, right = reshape(a, (counts[0], counts[1], counts[2])), reshape(b, (counts[0], counts[2], counts[3]))
    product = bmm(left, right) if batch else mm(left.squeeze(0), right.squeeze(0))
    return reshape(product, tuple(own)), labels


def _arranged(x, labels, order, sizes, shared):
    """The operand with its dimensions in this order, those of size 1 repeated where the other's are not."""
    places = tuple(labels.index(label) for label in order)
    if places != tuple(range(len(places))):
        x = permute(x, places)
    shape = tuple(sizes[label] for label in order)
    return x if x.shape == shape else x.expand(shape)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: dtypes.dtype = dtypes.int64, device: Any = None
) -> Tensor:
    """The places (2, n) of the elements of a (row, col) matrix on and below the diagonal ``offset``, row by row.

    >>> tril_indices(2, 2).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle("tril_indices", np.tril, row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: dtypes.dtype = dtypes.int64, device: Any = None
) -> Tensor:
    """The places (2, n) of the elements of a (row, col) matrix on and above the diagonal ``offset``, row by row.

    >>> triu_indices(2, 2).tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    return _triangle("triu_indices", np.triu, row, col, offset, dtype, device)


def _triangle(name, part, row, col, offset, dtype, device):
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: expected sizes >= 0, got {row} and {col}")
    places = np.stack(np.nonzero(part(np.ones((row, col), bool), offset)))
    return _from_host(places.astype(dtypes.dtype_of(dtype).numpy), device, False)
