"""Batch normalisation over channels, and the running statistics that go with it.

For each channel, over its n values (all but dimension 1):

    mean        = sum(input) / n,   var = sum((input - mean)^2) / n      (training; else the running ones)
    x           = (input - mean) / sqrt(var + eps)
    out         = weight * x + bias
    grad_bias   = sum(grad)
    grad_weight = sum(grad * x)
    grad_input  = weight / sqrt(var + eps) * (grad - grad_bias / n - x * grad_weight / n)      (training)
                = weight / sqrt(var + eps) * grad                                              (else)

    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var  = (1 - momentum) * running_var  + momentum * var * n / (n - 1)

Statistics are taken of centred values (Welford's update and Chan's merge in the kernels), so that a mean far larger
than the deviation costs no digits; half types are normalised in float32.  Gradients do not flow to the running
statistics.  The second derivatives treat mean and var as the functions of the input that they are in training.
Source: Ioffe, Szegedy (2015); Chan, Golub, LeVeque (1983) for the merge.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import contiguous_strides, empty_like, from_numpy, is_dense
from ..framework.language import cdiv, jit, next_power_of_2, tl
from ..framework.launch import contiguous, launch, load_at, offset_of
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.strides import classify


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``input`` (N, C) or (N, C, ...) with each channel brought to mean ``bias`` and deviation ``weight``.

    In training the batch's own statistics are used, and the running ones (both (C,), or both None) are updated in
    place; else the running ones are used.  Half inputs may come with float32 parameters.  Raises RuntimeError for
    shapes, dtypes and missing statistics that do not fit, ValueError for a bad ``eps`` and for training on one value
    a channel, TypeError for a ``momentum`` that is no number.

    >>> batch_norm(Tensor([[1.0], [3.0]]), None, None, training=True, eps=1e-12).numpy()
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    _check(
        input,
        {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias},
        training,
        momentum,
        eps,
    )
    eps = float(eps)
    if weight is None and bias is not None:
        weight = Tensor(np.ones(bias.shape, bias.array.dtype), device=bias.device)
    scale = 1.0 if weight is None else weight
    shift = 0.0 if bias is None else bias
    if not training:
        assert running_mean is not None and running_var is not None
        return apply(BATCH_NORM_EVAL, input, scale, shift, running_mean.detach(), running_var.detach(), eps=eps)
    out, mean, var = apply(BATCH_NORM, input, scale, shift, eps=eps)
    size = out.array.size
    if running_mean is not None and running_var is not None and size:
        apply(
            BATCH_NORM_UPDATE,
            running_mean.detach(),
            running_var.detach(),
            mean,
            var,
            momentum=float(momentum),
            count=size // input.shape[1],
        )
    return out


def _check(input, given, training, momentum, eps):
    shape = input.shape
    if len(shape) < 2:
        raise RuntimeError(f"batch_norm: expected an input of shape (N, C) or (N, C, ...), got {shape}")
    if input.dtype not in dtypes.FLOATING:
        raise RuntimeError(f"batch_norm: expected a floating input, got {input.dtype.name}")
    if isinstance(momentum, bool) or not isinstance(momentum, (int, float, np.floating)):
        raise TypeError(f"batch_norm: momentum must be a float, got {momentum!r}")
    if not eps >= 0 or (training and eps == 0):
        raise ValueError(f"batch_norm: eps must be {'positive in training' if training else 'at least 0'}, got {eps}")
    if training and input.array.size == shape[1] and shape[1]:
        raise ValueError(f"batch_norm: expected more than 1 value per channel when training, got input {shape}")
    mean, var = given["running_mean"], given["running_var"]
    if not training and (mean is None or var is None):
        raise RuntimeError("batch_norm: running_mean and running_var are needed when not training, got None")
    if (mean is None) != (var is None):
        raise ValueError("batch_norm: running_mean and running_var must both be tensors or both be None")
    allowed = [input.dtype, dtypes.float32] if input.array.dtype in dtypes.HALF else [input.dtype]
    for name, t in given.items():
        if t is None:
            continue
        if t.shape != (shape[1],):
            raise RuntimeError(
                f"batch_norm: {name} must have shape (C,) = ({shape[1]},) for input {shape}, got {t.shape}"
            )
        if t.dtype not in allowed:
            names = " or ".join(d.name for d in allowed)
            raise RuntimeError(
                f"batch_norm: {name} must be {names} for an input of {input.dtype.name}, got {t.dtype.name}"
            )
    for first, second in (("running_mean", "running_var"), ("weight", "bias")):
        a, b = given[first], given[second]
        if a is not None and b is not None and a.dtype is not b.dtype:
            raise RuntimeError(
                f"batch_norm: {first} and {second} must have one dtype, got {a.dtype.name} and {b.dtype.name}"
            )


# -- NumPy: images as a matrix of rows, in which channel c stands in L columns beside each other --------------------


def _work(array):
    return np.dtype(np.float32) if array.dtype in dtypes.HALF else array.dtype


class _Rows:
    """How arrays of one shape become such matrices and back, without copying row-major and channels-last ones."""

    def __init__(self, like):
        self.shape = like.shape
        self.kind = like.dtype
        self.work = _work(like)
        self.last = like.ndim > 2 and not like.flags.c_contiguous and np.moveaxis(like, 1, -1).flags.c_contiguous
        self.channels = like.shape[1]
        self.width = 1 if self.last else int(np.prod(like.shape[2:], dtype=np.int64))
        self.count = like.size // self.channels if self.channels else 0

    def matrix(self, array):
        array = array.astype(self.work, copy=False)
        columns = self.channels * self.width
        if self.last:
            array = np.moveaxis(array, 1, -1)
        return array.reshape(array.size // columns if columns else 0, columns)

    def array(self, matrix):
        matrix = matrix.astype(self.kind, copy=False)
        if not self.last:
            return matrix.reshape(self.shape)
        return np.moveaxis(matrix.reshape(self.shape[0], *self.shape[2:], self.channels), -1, 1)

    def spread(self, values):
        """One value a channel as one a column; numbers stay as they are."""
        if np.ndim(values) == 0:
            return self.work.type(values)
        return np.repeat(values.astype(self.work, copy=False), self.width)

    def sums(self, matrix):
        """The sum of each channel: 64 rows at a time in the matrix's own dtype, the rest of the way in float64."""
        rows, columns = matrix.shape
        whole = rows - rows % 64
        total = np.add.reduce(matrix[whole:], axis=0).astype(np.float64)
        if whole == 64:
            total += np.add.reduce(matrix[:64], axis=0)
        elif whole:
            total += np.add.reduce(
                np.add.reduce(matrix[:whole].reshape(-1, 64, columns), axis=1), axis=0, dtype=np.float64
            )
        return np.add.reduce(total.reshape(self.channels, self.width), axis=1)


def _stored(values, like, work):
    """A gradient of the parameter ``like``, in its dtype."""
    return values.astype(like.dtype if isinstance(like, np.ndarray) else work)


def _inverse(var, eps):
    return 1 / np.sqrt(var.astype(np.float64) + eps)


def forward_numpy(input, weight, bias, *, eps):
    rows = _Rows(input)
    if not input.size:
        return input.copy(), np.zeros(rows.channels, rows.work), np.zeros(rows.channels, rows.work)
    x = rows.matrix(input)
    mean = (rows.sums(x) / rows.count).astype(rows.work)
    x = x - rows.spread(mean)
    var = (rows.sums(x * x) / rows.count).astype(rows.work)
    x *= rows.spread(_inverse(var, eps) * weight)
    x += rows.spread(bias)
    return rows.array(x), mean, var


def eval_numpy(input, weight, bias, mean, var, *, eps):
    rows = _Rows(input)
    if not input.size:
        return input.copy()
    x = rows.matrix(input) - rows.spread(mean)
    x *= rows.spread(_inverse(var, eps) * weight)
    x += rows.spread(bias)
    return rows.array(x)


def backward_numpy(grad, input, weight, mean, var, *, eps, training):
    rows = _Rows(input)
    if not input.size:
        nothing = _stored(np.zeros(rows.channels), weight, rows.work)
        return input.copy(), nothing, nothing.copy()
    g = rows.matrix(grad)
    x = rows.matrix(input) - rows.spread(mean)
    inverse = _inverse(var, eps)
    product = g * x
    grad_weight = rows.sums(product) * inverse
    grad_bias = rows.sums(g)
    scale = inverse * weight
    out = np.multiply(g, rows.spread(scale), out=product)
    if training:
        x *= rows.spread(scale * inverse * grad_weight / rows.count)
        out -= x
        out -= rows.spread(scale * grad_bias / rows.count)
    return rows.array(out), _stored(grad_weight, weight, rows.work), _stored(grad_bias, weight, rows.work)


def double_backward_numpy(grad_input, grad_weight, grad_bias, grad, input, weight, mean, var, *, eps, training):
    rows = _Rows(input)
    if not input.size:
        return input.copy(), input.copy(), _stored(np.zeros(rows.channels), weight, rows.work)
    n = rows.count
    a, g = rows.matrix(grad_input), rows.matrix(grad)
    inverse = _inverse(var, eps)
    x = rows.matrix(input) - rows.spread(mean)
    x *= rows.spread(inverse)
    b, c = (t.astype(np.float64) for t in (grad_weight, grad_bias))
    scale = inverse * weight
    product = rows.sums(a * g)
    if not training:
        of_grad = a * rows.spread(scale) + x * rows.spread(b) + rows.spread(c)
        return (
            rows.array(of_grad),
            rows.array(g * rows.spread(inverse * b)),
            _stored(inverse * product, weight, rows.work),
        )
    sum_a, sum_g, along_a, along_g = rows.sums(a), rows.sums(g), rows.sums(a * x), rows.sums(g * x)
    of_grad = a * rows.spread(scale)
    of_grad += x * rows.spread(b - scale * along_a / n)
    of_grad += rows.spread(c - scale * sum_a / n)
    product -= (sum_a * sum_g + along_a * along_g) / n
    # the cotangent of x is p * a + q * g; projected as a gradient is, plus the part through the deviation
    p, q = -scale * along_g / n, b - scale * along_a / n
    along = (p * along_a + q * along_g) / n + scale * product / n
    of_input = a * rows.spread(inverse * p)
    of_input += g * rows.spread(inverse * q)
    of_input -= x * rows.spread(inverse * along)
    of_input -= rows.spread(inverse * (p * sum_a + q * sum_g) / n)
    return rows.array(of_grad), rows.array(of_input), _stored(inverse * product, weight, rows.work)


def update_numpy(running_mean, running_var, mean, var, *, momentum, count):
    for running, new in ((running_mean, mean), (running_var, var.astype(np.float64) * (count / max(count - 1, 1)))):
        running[...] = (1 - momentum) * running.astype(np.float64) + momentum * new
    return running_mean, running_var


# -- Triton: tiles of BLOCK_C channels and BLOCK_R of their R values, any strides --------------------------------------


@jit
def _load(pointer, c, r, mask, step, shape, strides, LAST: tl.constexpr, KIND: tl.constexpr):
    """A tile of an array, as KIND.  LAST says that channels lie beside each other, which makes loads wide."""
    across = c if LAST else c * step
    where = across[:, None] + offset_of(r, shape, strides)[None, :]
    return tl.load(pointer + where, mask=mask, other=0.0).to(KIND)


@jit
def _store(pointer, value, c, r, mask, step, shape, strides, LAST: tl.constexpr):
    """Store a tile of an array."""
    across = c if LAST else c * step
    where = across[:, None] + offset_of(r, shape, strides)[None, :]
    tl.store(pointer + where, value.to(pointer.dtype.element_ty), mask=mask)


@jit
def _parameter(value, c, mask, KIND: tl.constexpr, TYPE: tl.constexpr):
    """A weight or bias of each channel, which may be one number for all."""
    return load_at(value, c, mask, KIND, (1,), (1,)).to(TYPE)


@jit
def _statistics(
    mean_ptr,
    m2_ptr,
    x_ptr,
    C,
    R,
    per_split,
    steps,
    shape,
    strides,
    LAST: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # x: C channels of R values · mean, m2 (splits, C), row-major: each split's mean and sum of squares about it
    # one program per BLOCK_C channels and split of R
    KIND: tl.constexpr = mean_ptr.dtype.element_ty
    c = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    lane = tl.arange(0, BLOCK_R)
    mean = tl.zeros((BLOCK_C, BLOCK_R), KIND)
    m2 = tl.zeros((BLOCK_C, BLOCK_R), KIND)
    for start in range(begin, end, BLOCK_R):
        r = start + lane
        mask = (c[:, None] < C) & (r[None, :] < end)
        x = _load(x_ptr, c, r, mask, steps[0], shape, strides[0], LAST, KIND)
        # Welford's update, at each place of the tile for itself; only the last tile has places outside
        delta = tl.where(mask, x - mean, 0.0)
        mean += delta / ((start - begin) // BLOCK_R + 1).to(KIND)
        m2 += delta * (x - mean)
    length = end - begin
    counts = (length // BLOCK_R + (lane < length % BLOCK_R).to(tl.int64)).to(KIND)[None, :]
    center = tl.sum(mean * counts, 1) / length.to(KIND)
    apart = mean - center[:, None]
    where = tl.program_id(1).to(tl.int64) * C + c
    tl.store(mean_ptr + where, center, mask=c < C)
    tl.store(m2_ptr + where, tl.sum(m2 + counts * apart * apart, 1), mask=c < C)


@jit
def _normalise(
    out_ptr,
    mean_ptr,
    var_ptr,
    x_ptr,
    weight,
    bias,
    split_mean_ptr,
    split_m2_ptr,
    eps,
    C,
    R,
    per_split,
    splits,
    steps,
    shape,
    strides,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    SPLITS: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # out, x: C channels of R values · weight, bias (C,) or a number · mean, var (C,), written where statistics of
    # splits, (splits, C) each, are given, else read
    # one program per BLOCK_C channels and split of R; each merges the statistics for itself, in the same order
    KIND: tl.constexpr = eps.dtype
    c = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    here = c < C
    if split_mean_ptr is not None:
        s = tl.arange(0, SPLITS).to(tl.int64)
        some = here[:, None] & (s[None, :] < splits)
        counts = tl.maximum(tl.minimum(R - s * per_split, per_split), 0).to(KIND)[None, :]
        where = s[None, :] * C + c[:, None]
        means = tl.load(split_mean_ptr + where, mask=some, other=0.0)
        m2 = tl.load(split_m2_ptr + where, mask=some, other=0.0)
        total = R.to(KIND)
        mean = tl.sum(means * counts, 1) / total
        apart = means - mean[:, None]
        var = tl.sum(m2 + counts * apart * apart, 1) / total
        if tl.program_id(1) == 0:
            tl.store(mean_ptr + c, mean, mask=here)
            tl.store(var_ptr + c, var, mask=here)
    else:
        mean = tl.load(mean_ptr + c, mask=here, other=0.0).to(KIND)
        var = tl.load(var_ptr + c, mask=here, other=1.0).to(KIND)
    scale = (_parameter(weight, c, here, WEIGHT, KIND) / tl.sqrt(var + eps))[:, None]
    shift = tl.broadcast_to(_parameter(bias, c, here, BIAS, KIND), (BLOCK_C,))[:, None]
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = here[:, None] & (r[None, :] < end)
        x = _load(x_ptr, c, r, mask, steps[1], shape, strides[1], LAST, KIND)
        _store(out_ptr, (x - mean[:, None]) * scale + shift, c, r, mask, steps[0], shape, strides[0], LAST)


@jit
def _sums(
    out_ptr,
    grad_ptr,
    x_ptr,
    other_ptr,
    mean_ptr,
    KIND_OF,
    C,
    R,
    per_split,
    splits,
    steps,
    shape,
    strides,
    LAST: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # grad, x, other: C channels of R values · mean (C,) · out (2 or 5, splits, C): sums of grad, of
    # grad * (x - mean) and, where other is given, of other, of other * (x - mean) and of other * grad
    # one program per BLOCK_C channels and split of R
    KIND: tl.constexpr = KIND_OF.dtype
    c = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    here = c < C
    mean = tl.load(mean_ptr + c, mask=here, other=0.0).to(KIND)[:, None]
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    sum_grad = tl.zeros((BLOCK_C, BLOCK_R), KIND)
    grad_x = tl.zeros((BLOCK_C, BLOCK_R), KIND)
    if other_ptr is not None:
        sum_other = tl.zeros((BLOCK_C, BLOCK_R), KIND)
        other_x = tl.zeros((BLOCK_C, BLOCK_R), KIND)
        other_grad = tl.zeros((BLOCK_C, BLOCK_R), KIND)
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = here[:, None] & (r[None, :] < end)
        grad = _load(grad_ptr, c, r, mask, steps[0], shape, strides[0], LAST, KIND)
        x = _load(x_ptr, c, r, mask, steps[1], shape, strides[1], LAST, KIND) - mean
        sum_grad += grad
        grad_x += grad * x
        if other_ptr is not None:
            other = _load(other_ptr, c, r, mask, steps[2], shape, strides[2], LAST, KIND)
            sum_other += other
            other_x += other * x
            other_grad += other * grad
    where = out_ptr + tl.program_id(1).to(tl.int64) * C + c
    plane = tl.cast(splits, tl.int64) * C
    tl.store(where, tl.sum(sum_grad, 1), mask=here)
    tl.store(where + plane, tl.sum(grad_x, 1), mask=here)
    if other_ptr is not None:
        tl.store(where + 2 * plane, tl.sum(sum_other, 1), mask=here)
        tl.store(where + 3 * plane, tl.sum(other_x, 1), mask=here)
        tl.store(where + 4 * plane, tl.sum(other_grad, 1), mask=here)


@jit
def _total(sums_ptr, plane: tl.constexpr, c, here, C, splits, SPLITS: tl.constexpr):
    """One of the sums of each channel, over all splits."""
    s = tl.arange(0, SPLITS).to(tl.int64)
    where = (plane * splits + s[None, :]) * C + c[:, None]
    return tl.sum(tl.load(sums_ptr + where, mask=here[:, None] & (s[None, :] < splits), other=0.0), 1)


@jit
def _backward(
    out_ptr,
    grad_weight_ptr,
    grad_bias_ptr,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    var_ptr,
    sums_ptr,
    eps,
    C,
    R,
    per_split,
    splits,
    steps,
    shape,
    strides,
    WEIGHT: tl.constexpr,
    TRAINING: tl.constexpr,
    SPLITS: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # out, grad, x: C channels of R values · grad_weight, grad_bias, mean, var (C,) · weight (C,) or a number ·
    # sums (2, splits, C)
    # one program per BLOCK_C channels and split of R; each adds the sums up for itself, in the same order
    KIND: tl.constexpr = eps.dtype
    c = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    here = c < C
    mean = tl.load(mean_ptr + c, mask=here, other=0.0).to(KIND)[:, None]
    inverse = 1 / tl.sqrt(tl.load(var_ptr + c, mask=here, other=1.0).to(KIND) + eps)
    scale = _parameter(weight, c, here, WEIGHT, KIND) * inverse
    grad_bias = _total(sums_ptr, 0, c, here, C, splits, SPLITS)
    grad_weight = _total(sums_ptr, 1, c, here, C, splits, SPLITS) * inverse
    if tl.program_id(1) == 0:
        tl.store(grad_weight_ptr + c, grad_weight.to(grad_weight_ptr.dtype.element_ty), mask=here)
        tl.store(grad_bias_ptr + c, grad_bias.to(grad_bias_ptr.dtype.element_ty), mask=here)
    total = R.to(KIND)
    along = (inverse * grad_weight / total)[:, None]
    level = (grad_bias / total)[:, None]
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = here[:, None] & (r[None, :] < end)
        value = _load(grad_ptr, c, r, mask, steps[1], shape, strides[1], LAST, KIND)
        if TRAINING:
            x = _load(x_ptr, c, r, mask, steps[2], shape, strides[2], LAST, KIND) - mean
            value = value - level - x * along
        _store(out_ptr, value * scale[:, None], c, r, mask, steps[0], shape, strides[0], LAST)


@jit
def _double_backward(
    of_grad_ptr,
    of_input_ptr,
    of_weight_ptr,
    other_ptr,
    grad_weight_ptr,
    grad_bias_ptr,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    var_ptr,
    sums_ptr,
    eps,
    C,
    R,
    per_split,
    splits,
    steps,
    shape,
    strides,
    WEIGHT: tl.constexpr,
    TRAINING: tl.constexpr,
    SPLITS: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # of_grad, of_input, other, grad, x: C channels of R values · of_weight, grad_weight, grad_bias, mean, var (C,) ·
    # weight (C,) or a number · sums (5, splits, C); other is the gradient that came for grad_input
    # one program per BLOCK_C channels and split of R; each adds the sums up for itself, in the same order
    KIND: tl.constexpr = eps.dtype
    c = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    here = c < C
    mean = tl.load(mean_ptr + c, mask=here, other=0.0).to(KIND)[:, None]
    inverse = 1 / tl.sqrt(tl.load(var_ptr + c, mask=here, other=1.0).to(KIND) + eps)
    scale = _parameter(weight, c, here, WEIGHT, KIND) * inverse
    b = tl.load(grad_weight_ptr + c, mask=here, other=0.0).to(KIND)
    level = tl.load(grad_bias_ptr + c, mask=here, other=0.0).to(KIND)
    product = _total(sums_ptr, 4, c, here, C, splits, SPLITS)
    p = b * 0
    q = b
    along_grad = b * inverse
    along_input = b * 0
    level_input = b * 0
    if TRAINING:
        total = R.to(KIND)
        sum_grad = _total(sums_ptr, 0, c, here, C, splits, SPLITS)
        sum_other = _total(sums_ptr, 2, c, here, C, splits, SPLITS)
        along_g = _total(sums_ptr, 1, c, here, C, splits, SPLITS) * inverse
        along_a = _total(sums_ptr, 3, c, here, C, splits, SPLITS) * inverse
        product -= (sum_other * sum_grad + along_a * along_g) / total
        p = -scale * along_g / total
        q = b - scale * along_a / total
        along_grad = q * inverse
        level -= scale * sum_other / total
        along_input = inverse * (p * along_a + q * along_g + scale * product) / total
        level_input = (p * sum_other + q * sum_grad) / total
    if tl.program_id(1) == 0:
        tl.store(of_weight_ptr + c, (inverse * product).to(of_weight_ptr.dtype.element_ty), mask=here)
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = here[:, None] & (r[None, :] < end)
        other = _load(other_ptr, c, r, mask, steps[2], shape, strides[2], LAST, KIND)
        grad = _load(grad_ptr, c, r, mask, steps[3], shape, strides[3], LAST, KIND)
        x = _load(x_ptr, c, r, mask, steps[4], shape, strides[4], LAST, KIND) - mean
        of_grad = other * scale[:, None] + x * along_grad[:, None] + level[:, None]
        of_input = other * p[:, None] + grad * q[:, None] - x * along_input[:, None] - level_input[:, None]
        _store(of_grad_ptr, of_grad, c, r, mask, steps[0], shape, strides[0], LAST)
        _store(of_input_ptr, of_input * inverse[:, None], c, r, mask, steps[1], shape, strides[1], LAST)


@jit
def _update(
    running_mean_ptr, running_var_ptr, mean_ptr, var_ptr, momentum, factor, C, mean_step, var_step, BLOCK: tl.constexpr
):
    # running_mean, running_var (C,), any stride · mean, var (C,); one program per BLOCK channels
    c = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = c < C
    mean = tl.load(mean_ptr + c, mask=mask)
    var = tl.load(var_ptr + c, mask=mask) * factor
    at_mean = running_mean_ptr + c * mean_step
    at_var = running_var_ptr + c * var_step
    mean = (1 - momentum) * tl.load(at_mean, mask=mask).to(mean.dtype) + momentum * mean
    var = (1 - momentum) * tl.load(at_var, mask=mask).to(mean.dtype) + momentum * var
    tl.store(at_mean, mean.to(running_mean_ptr.dtype.element_ty), mask=mask)
    tl.store(at_var, var.to(running_var_ptr.dtype.element_ty), mask=mask)


class _Tiles:
    """How the kernels above divide arrays of one shape, the first of which decides the form of the tiles."""

    def __init__(self, arrays):
        first = arrays[0]
        shape = first.shape
        backend = first.backend
        self.C, self.R = shape[1], first.size // shape[1]
        rest = [d for d in range(len(shape)) if d != 1]
        merged, strides, _ = classify(
            tuple(shape[d] for d in rest), tuple(tuple(a.strides[d] for d in rest) for a in arrays)
        )
        self.geometry = (tuple(a.strides[1] for a in arrays), merged, strides)
        last = self.C > 1 and all(a.strides[1] == 1 for a in arrays)
        # wide in the direction in which memory is contiguous
        block_c = min(next_power_of_2(self.C), max(64 if last else 4, backend.block // next_power_of_2(self.R)))
        block_c = min(block_c, backend.block)
        block_r = max(1, min(next_power_of_2(self.R), backend.block // block_c))
        self.constants = {"LAST": last, "BLOCK_C": block_c, "BLOCK_R": block_r}
        groups = cdiv(self.C, block_c)
        most = max(1, min(cdiv(self.R, 4 * block_r), cdiv(2 * backend.programs, groups), 128))
        self.per_split = cdiv(cdiv(self.R, most), block_r) * block_r
        self.splits = cdiv(self.R, self.per_split)
        self.grid = (groups, self.splits)
        self.merge = {"SPLITS": next_power_of_2(self.splits), **self.constants}


def _like(array):
    """Memory for an output: laid out like ``array`` where that is channels-last, else row-major."""
    out = empty_like(array)
    rank = array.ndim
    order = (0, *range(2, rank), 1)
    if rank > 2 and not array.is_contiguous:
        permuted = tuple(array.shape[d] for d in order)
        if is_dense(permuted, tuple(array.strides[d] for d in order)):
            steps = dict(zip(order, contiguous_strides(permuted), strict=True))
            out.strides = tuple(steps[d] for d in range(rank))
    return out


def _given(value, kind):
    """A parameter as kernels take it: (argument, how it is loaded)."""
    return (kind.type(value), "value") if isinstance(value, (int, float)) else (contiguous(value), "contiguous")


def _gradient_of(parameter, input):
    kind = _work(input) if isinstance(parameter, (int, float)) else parameter.dtype
    return empty_like(input, (input.shape[1],), kind)


def _zeros(like):
    return from_numpy(np.zeros(like.shape, like.dtype), like.backend)


def _normalised(input, weight, bias, mean, var, eps, partial):
    out = _like(input)
    kind = _work(input)
    tiles = _Tiles((out, input))
    weight, weight_is = _given(weight, kind)
    bias, bias_is = _given(bias, kind)
    # one program per block of channels and split of their values
    launch(
        _normalise,
        tiles.grid,
        out,
        mean,
        var,
        input,
        weight,
        bias,
        *partial,
        kind.type(eps),
        tiles.C,
        np.int64(tiles.R),
        tiles.per_split,
        tiles.splits,
        *tiles.geometry,
        WEIGHT=weight_is,
        BIAS=bias_is,
        **tiles.merge,
    )
    return out


def forward_triton(input, weight, bias, *, eps):
    mean = empty_like(input, (input.shape[1],), _work(input))
    var = empty_like(mean)
    if not input.size:
        return _like(input), _zeros(mean), _zeros(var)
    # the same tiles as when normalising: the splits must agree
    tiles = _Tiles((_like(input), input))
    partial = tuple(empty_like(mean, (tiles.splits, tiles.C)) for _ in range(2))
    steps, shape, strides = tiles.geometry
    # one program per block of channels and split of their values
    launch(
        _statistics,
        tiles.grid,
        *partial,
        input,
        tiles.C,
        np.int64(tiles.R),
        tiles.per_split,
        steps[1:],
        shape,
        strides[1:],
        **tiles.constants,
    )
    return _normalised(input, weight, bias, mean, var, eps, partial), mean, var


def eval_triton(input, weight, bias, mean, var, *, eps):
    if not input.size:
        return _like(input)
    return _normalised(input, weight, bias, contiguous(mean), contiguous(var), eps, (None, None))


def _summed(tiles, arrays, places, mean, kind):
    """The sums that gradients need, one for each split, of arrays at ``places`` among those the tiles were made for."""
    steps, shape, strides = tiles.geometry
    sums = empty_like(mean, (2 if arrays[2] is None else 5, tiles.splits, tiles.C), kind)
    # one program per block of channels and split of their values
    launch(
        _sums,
        tiles.grid,
        sums,
        *arrays,
        mean,
        kind.type(0),
        tiles.C,
        np.int64(tiles.R),
        tiles.per_split,
        tiles.splits,
        tuple(steps[i] for i in places),
        shape,
        tuple(strides[i] for i in places),
        **tiles.constants,
    )
    return sums


def backward_triton(grad, input, weight, mean, var, *, eps, training):
    out = _like(input)
    grad_weight, grad_bias = _gradient_of(weight, input), _gradient_of(weight, input)
    if not input.size:
        return out, _zeros(grad_weight), _zeros(grad_bias)
    kind = _work(input)
    tiles = _Tiles((out, grad, input))
    mean, var = contiguous(mean), contiguous(var)
    sums = _summed(tiles, (grad, input, None), (1, 2), mean, kind)
    weight, weight_is = _given(weight, kind)
    # one program per block of channels and split of their values
    launch(
        _backward,
        tiles.grid,
        out,
        grad_weight,
        grad_bias,
        grad,
        input,
        weight,
        mean,
        var,
        sums,
        kind.type(eps),
        tiles.C,
        np.int64(tiles.R),
        tiles.per_split,
        tiles.splits,
        *tiles.geometry,
        WEIGHT=weight_is,
        TRAINING=training,
        **tiles.merge,
    )
    return out, grad_weight, grad_bias


def double_backward_triton(grad_input, grad_weight, grad_bias, grad, input, weight, mean, var, *, eps, training):
    of_grad, of_input, of_weight = _like(input), _like(input), _gradient_of(weight, input)
    if not input.size:
        return of_grad, of_input, _zeros(of_weight)
    kind = _work(input)
    tiles = _Tiles((of_grad, of_input, grad_input, grad, input))
    mean, var = contiguous(mean), contiguous(var)
    sums = _summed(tiles, (grad, input, grad_input), (3, 4, 2), mean, kind)
    weight, weight_is = _given(weight, kind)
    # one program per block of channels and split of their values
    launch(
        _double_backward,
        tiles.grid,
        of_grad,
        of_input,
        of_weight,
        grad_input,
        contiguous(grad_weight),
        contiguous(grad_bias),
        grad,
        input,
        weight,
        mean,
        var,
        sums,
        kind.type(eps),
        tiles.C,
        np.int64(tiles.R),
        tiles.per_split,
        tiles.splits,
        *tiles.geometry,
        WEIGHT=weight_is,
        TRAINING=training,
        **tiles.merge,
    )
    return of_grad, of_input, of_weight


def update_triton(running_mean, running_var, mean, var, *, momentum, count):
    C = mean.size
    block = mean.backend.block_size(C)
    number = mean.dtype.type
    # one program per BLOCK channels
    launch(
        _update,
        (cdiv(C, block),),
        running_mean,
        running_var,
        contiguous(mean),
        contiguous(var),
        number(momentum),
        number(count / max(count - 1, 1)),
        C,
        running_mean.strides[0],
        running_var.strides[0],
        BLOCK=block,
    )
    return running_mean, running_var


# -- rows ----------------------------------------------------------------------------------------------------------


def samples(rng):
    x = np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 4.0], [5.0, 4.0]])
    plain = (np.array([1.0, 1.0]), np.array([0.0, 0.0]))
    # channel 0: mean 3, var 2, and var + eps = 4; channel 1: mean 2, var 4, and var + eps = 6
    yield Sample(
        "worked",
        (x, np.array([2.0, 0.0]), np.array([1.0, 5.0])),
        {"eps": 2.0},
        answers=(
            [[-1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [3.0, 5.0]],
            [3.0, 2.0],
            [2.0, 4.0],
            np.zeros((4, 2)),
            [0.0, 0.0],
            [4.0, 4.0],
        ),
    )
    yield Sample(
        "far from zero",
        (1000 + np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.ones(1), np.zeros(1)),
        {"eps": 3.0},
        answers=([[0.5], [-0.5], [0.5], [-0.5]], [1000.0], [1.0], np.zeros((4, 1)), [0.0], [4.0]),
        dtypes=("float64", "float32"),
    )
    for shape in [(5, 3), (2, 3, 4), (3, 2, 4, 5), (2, 3, 2, 2, 3), (4, 1, 3)]:
        c = shape[1]
        yield Sample(
            f"shape {shape}",
            (rng.normal(size=shape), rng.uniform(0.5, 2, c), rng.normal(size=c)),
            {"eps": 0.1},
            terms=int(np.prod(shape)) // c,
        )
    yield Sample(
        "channels last",
        (rng.normal(size=(3, 4, 5, 6)).transpose(0, 3, 1, 2), rng.uniform(0.5, 2, 6), rng.normal(size=6)),
        {"eps": 0.1},
        terms=60,
    )
    yield Sample(
        "strided",
        (rng.normal(size=(4, 6, 3)).T[:, ::2], rng.uniform(0.5, 2, 3), rng.normal(size=6)[::2]),
        {"eps": 0.1},
        terms=12,
    )
    yield Sample(
        "many rows", (rng.normal(size=(150, 2, 3)), rng.uniform(0.5, 2, 2), rng.normal(size=2)), {"eps": 0.1}, terms=450
    )
    yield Sample("no parameters", (rng.normal(size=(3, 2, 4)), 1.0, 0.0), {"eps": 0.1}, terms=12)
    yield Sample("empty batch", (rng.normal(size=(0, 3, 2)), *(np.ones(3), np.zeros(3))), {"eps": 0.1})
    yield Sample("no channels", (rng.normal(size=(2, 0, 2)), np.ones(0), np.zeros(0)), {"eps": 0.1})

    one = np.zeros((1, 3, 1, 1))
    c3 = (np.zeros(3), np.ones(3))
    yield Sample(
        "one value",
        (one, *c3),
        {"training": True},
        raises=(ValueError, "batch_norm: expected more than 1 value per channel when training, got input (1, 3, 1, 1)"),
    )
    yield Sample(
        "flat",
        (np.zeros(3), *c3),
        raises=(RuntimeError, "batch_norm: expected an input of shape (N, C) or (N, C, ...), got (3,)"),
    )
    yield Sample(
        "statistics misfit",
        (np.zeros((2, 3)), *plain),
        raises=(RuntimeError, "batch_norm: running_mean must have shape (C,) = (3,) for input (2, 3), got (2,)"),
    )
    yield Sample(
        "weight misfit",
        (np.zeros((2, 3)), *c3, np.ones(4)),
        dtypes=("float64",),
        raises=(RuntimeError, "batch_norm: weight must have shape (C,) = (3,) for input (2, 3), got (4,)"),
    )
    yield Sample(
        "no statistics",
        (np.zeros((2, 3)), None, None),
        raises=(RuntimeError, "batch_norm: running_mean and running_var are needed when not training, got None"),
    )
    yield Sample(
        "one statistic",
        (np.zeros((2, 3)), np.zeros(3), None),
        {"training": True},
        raises=(ValueError, "batch_norm: running_mean and running_var must both be tensors or both be None"),
    )
    yield Sample(
        "eps in training",
        (np.zeros((2, 3)), *c3),
        {"training": True, "eps": 0.0},
        raises=(ValueError, "batch_norm: eps must be positive in training, got 0.0"),
    )
    yield Sample(
        "negative eps",
        (np.zeros((2, 3)), *c3),
        {"eps": -1.0},
        raises=(ValueError, "batch_norm: eps must be at least 0, got -1.0"),
    )
    yield Sample(
        "no momentum",
        (np.zeros((2, 3)), *c3),
        {"training": True, "momentum": None},
        raises=(TypeError, "batch_norm: momentum must be a float, got None"),
    )
    yield Sample(
        "dtypes",
        (np.zeros((2, 3)), np.zeros(3, np.float32), np.ones(3, np.float32)),
        dtypes=(),
        raises=(RuntimeError, "batch_norm: running_mean must be float64 for an input of float64, got float32"),
    )
    yield Sample(
        "mixed parameters",
        (np.zeros((2, 3), np.float16), np.zeros(3, np.float16), np.ones(3, np.float32)),
        dtypes=(),
        raises=(RuntimeError, "batch_norm: running_mean and running_var must have one dtype, got float16 and float32"),
    )
    yield Sample(
        "integers",
        (np.zeros((2, 3), np.int64), *c3),
        dtypes=(),
        raises=(RuntimeError, "batch_norm: expected a floating input, got int64"),
    )


def eval_samples(rng):
    x = np.array([[1.0, 0.0], [3.0, 4.0]])
    yield Sample(
        "worked",
        (x, np.array([2.0, 6.0]), np.array([1.0, 5.0]), np.array([1.0, 2.0]), np.array([3.0, 8.0])),
        {"eps": 1.0},
        answers=([[1.0, 1.0], [3.0, 9.0]], [[1.0, 2.0], [1.0, 2.0]], [1.0, 0.0], [2.0, 2.0]),
    )
    # statistics as integers: constants, along which no difference is taken
    for shape in [(1, 3), (2, 3, 4), (3, 2, 4, 5), (0, 3, 2)]:
        c = shape[1]
        yield Sample(
            f"shape {shape}",
            (
                rng.normal(size=shape),
                rng.uniform(0.5, 2, c),
                rng.normal(size=c),
                rng.integers(-2, 3, c),
                rng.integers(1, 4, c),
            ),
            {"eps": 0.1},
            terms=20,
        )
    yield Sample(
        "channels last",
        (rng.normal(size=(2, 3, 2, 5)).transpose(0, 3, 1, 2), 1.0, 0.0, rng.integers(-2, 3, 5), rng.integers(1, 4, 5)),
        {"eps": 0.1},
        terms=12,
    )


def update_samples(rng):
    yield Sample(
        "worked",
        (np.array([4.0, 0.0]), np.array([8.0, 1.0]), np.array([2.0, 2.0]), np.array([6.0, 3.0])),
        {"momentum": 0.25, "count": 4},
        answers=([3.5, 0.5], [8.0, 1.75]),
    )
    yield Sample(
        "strided",
        (rng.normal(size=6)[::2], rng.uniform(1, 2, 6)[::2], rng.normal(size=3), rng.uniform(1, 2, 3)),
        {"momentum": 0.1, "count": 7},
    )


def _with(training):
    return lambda call: {"eps": call.settings["eps"], "training": training}


BATCH_NORM = register(
    Op(
        name="batch_norm",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(
            Grad(
                of=("input", "weight", "bias"),
                keeps=("input", "weight", "mean", "var"),
                op="batch_norm_backward",
                settings=_with(True),
            ),
        ),
        samples=samples,
        function=batch_norm,
        outputs=("output", "mean", "var"),
    )
)

BATCH_NORM_EVAL = register(
    Op(
        name="batch_norm_eval",
        kernel=Kernel(numpy=eval_numpy, triton=eval_triton),
        grads=(
            Grad(
                of=("input", "weight", "bias"),
                keeps=("input", "weight", "mean", "var"),
                op="batch_norm_backward",
                settings=_with(False),
            ),
        ),
        samples=eval_samples,
        zero=("mean", "var"),  # running statistics count as constants, as in PyTorch
    )
)

register(
    Op(
        name="batch_norm_backward",
        kernel=Kernel(numpy=backward_numpy, triton=backward_triton),
        grads=(
            Grad(
                of=("grad", "input", "weight"),
                keeps=("grad", "input", "weight", "mean", "var"),
                op="batch_norm_double_backward",
            ),
        ),
        outputs=("grad_input", "grad_weight", "grad_bias"),
        differentiable=3,
        zero=("mean", "var"),  # in training their part is in the gradient of input
    )
)

register(
    Op(
        name="batch_norm_double_backward",
        kernel=Kernel(numpy=double_backward_numpy, triton=double_backward_triton),
        outputs=("of_grad", "of_input", "of_weight"),
        differentiable=3,
    )
)

BATCH_NORM_UPDATE = register(
    Op(
        name="batch_norm_update",
        kernel=Kernel(numpy=update_numpy, triton=update_triton),
        samples=update_samples,
        outputs=("running_mean", "running_var"),
        zero=("running_mean", "running_var", "mean", "var"),  # statistics are a record, not part of the graph
        writes=("running_mean", "running_var"),
    )
)
