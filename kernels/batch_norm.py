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
from ..framework.array import empty_like, from_numpy
from ..framework.launch import contiguous
from ..framework.normalise import (
    like,
    normalised,
    normalised_backward,
    normalised_double_backward,
    working,
)
from ..framework.op import Begun, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """``input`` (N, C) or (N, C, ...) with each channel brought to mean ``bias`` and deviation ``weight``.

    In training the batch's own statistics are used, and the running ones (both (C,), or both None) are updated in
    place, with ``num_batches_tracked``, an integer (), counted up beside them; else the running ones are used.  Half
    inputs may come with float32 parameters.  Raises RuntimeError for shapes, dtypes and missing statistics that do not
    fit, ValueError for a bad ``eps`` and for training on one value a channel, TypeError for a ``momentum`` that is no
    number.

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
    running = (0.0, 0.0, 0.0)  # none are kept
    if running_mean is not None and running_var is not None:
        batches = 0.0 if num_batches_tracked is None else num_batches_tracked
        running = (running_mean.detach(), running_var.detach(), batches)
    return apply(BATCH_NORM, input, scale, shift, *running, momentum=float(momentum), eps=eps)[0]


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
    if training and input.numel() == shape[1] and shape[1]:
        raise ValueError(f"batch_norm: expected more than 1 value per channel when training, got input {shape}")
    mean, var = given["running_mean"], given["running_var"]
    if not training and (mean is None or var is None):
        raise RuntimeError("batch_norm: running_mean and running_var are needed when not training, got None")
    if (mean is None) != (var is None):
        raise ValueError("batch_norm: running_mean and running_var must both be tensors or both be None")
    allowed = [input.dtype, dtypes.float32] if input.dtype.numpy in dtypes.HALF else [input.dtype]
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


class _Rows:
    """How arrays of one shape become such matrices and back, without copying row-major and channels-last ones."""

    def __init__(self, like):
        self.shape = like.shape
        self.kind = like.dtype
        self.work = working(like)
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


def forward_numpy(input, weight, bias, running_mean, running_var, num_batches_tracked, *, momentum, eps):
    rows = _Rows(input)
    if not input.size:
        return input.copy(), np.zeros(rows.channels, rows.work), np.zeros(rows.channels, rows.work)
    x = rows.matrix(input)
    mean = (rows.sums(x) / rows.count).astype(rows.work)
    x = x - rows.spread(mean)
    var = (rows.sums(x * x) / rows.count).astype(rows.work)
    if np.ndim(running_mean):
        unbiased = var.astype(np.float64) * (rows.count / max(rows.count - 1, 1))
        for running, new in ((running_mean, mean), (running_var, unbiased)):
            running[...] = (1 - momentum) * running.astype(np.float64) + momentum * new
    if isinstance(num_batches_tracked, np.ndarray):
        num_batches_tracked += 1
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


# -- Triton: see framework/normalise.py --------------------------------------------------------------------------------


def _gradient_of(parameter, input):
    kind = working(input) if isinstance(parameter, (int, float)) else parameter.dtype
    return empty_like(input, (input.shape[1],), kind)


def _zeros(like):
    return from_numpy(np.zeros(like.shape, like.dtype), like.backend)


def _running(mean, var, batches):
    """Running statistics, or None where numbers stand for none."""
    if isinstance(mean, (int, float)):
        return None
    return mean, var, None if isinstance(batches, (int, float)) else batches


def forward_triton(input, weight, bias, running_mean, running_var, num_batches_tracked, *, momentum, eps):
    mean = empty_like(input, (input.shape[1],), working(input))
    if not input.size:
        return like(input), _zeros(mean), _zeros(mean)
    var = empty_like(mean)
    running = _running(running_mean, running_var, num_batches_tracked)
    return normalised(input, weight, bias, mean, var, eps, running, momentum, known=False), mean, var


_normalised = repeated(normalised)


def forward_begin(input, weight, bias, running_mean, running_var, num_batches_tracked, *, momentum, eps):
    mean = empty_like(input, (input.shape[1],), working(input))
    var = empty_like(mean)
    running = _running(running_mean, running_var, num_batches_tracked)

    def finish(chain):
        return _normalised(input, weight, bias, mean, var, eps, running, momentum, False, chain)

    return Begun(input.shape, finish, (mean, var))


def eval_triton(input, weight, bias, mean, var, *, eps):
    if not input.size:
        return like(input)
    return normalised(input, weight, bias, contiguous(mean), contiguous(var), eps)


def eval_begin(input, weight, bias, mean, var, *, eps):
    mean, var = contiguous(mean), contiguous(var)
    return Begun(input.shape, lambda chain: _normalised(input, weight, bias, mean, var, eps, epilogue=chain))


def backward_triton(grad, input, weight, mean, var, *, eps, training):
    grad_weight, grad_bias = _gradient_of(weight, input), _gradient_of(weight, input)
    if not input.size:
        return like(input), _zeros(grad_weight), _zeros(grad_bias)
    out = normalised_backward(grad, input, weight, mean, var, grad_weight, grad_bias, eps, training)
    return out, grad_weight, grad_bias


def double_backward_triton(grad_input, grad_weight, grad_bias, grad, input, weight, mean, var, *, eps, training):
    of_weight = _gradient_of(weight, input)
    if not input.size:
        return like(input), like(input), _zeros(of_weight)
    of_grad, of_input = normalised_double_backward(
        grad_input, grad_weight, grad_bias, grad, input, weight, mean, var, of_weight, eps, training
    )
    return of_grad, of_input, of_weight


# -- rows ----------------------------------------------------------------------------------------------------------


def samples(rng):
    none = (0.0, 0.0, 0.0)  # running statistics, batches seen
    settings = {"momentum": 0.1, "eps": 0.1}
    x = np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 4.0], [5.0, 4.0]])
    plain = (np.array([1.0, 1.0]), np.array([0.0, 0.0]))
    # channel 0: mean 3, var 2, and var + eps = 4; channel 1: mean 2, var 4, and var + eps = 6
    yield Sample(
        "worked",
        (x, np.array([2.0, 0.0]), np.array([1.0, 5.0]), np.array([1.0, 0.0]), np.array([8.0, 1.0]), np.array(6)),
        {"momentum": 0.75, "eps": 2.0},
        answers=(
            [[-1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [3.0, 5.0]],
            [3.0, 2.0],
            [2.0, 4.0],
            [2.5, 1.5],
            [4.0, 4.25],
            7,
            np.zeros((4, 2)),
            [0.0, 0.0],
            [4.0, 4.0],
        ),
    )
    yield Sample(
        "far from zero",
        (1000 + np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.ones(1), np.zeros(1), *none),
        {"momentum": 0.1, "eps": 3.0},
        answers=([[0.5], [-0.5], [0.5], [-0.5]], [1000.0], [1.0], np.zeros((4, 1)), [0.0], [4.0]),
        dtypes=("float64", "float32"),
    )
    for shape in [(5, 3), (2, 3, 4), (3, 2, 4, 5), (2, 3, 2, 2, 3), (4, 1, 3)]:
        c = shape[1]
        yield Sample(
            f"shape {shape}",
            (rng.normal(size=shape), rng.uniform(0.5, 2, c), rng.normal(size=c), *none),
            settings,
            terms=int(np.prod(shape)) // c,
        )
    yield Sample(
        "channels last",
        (
            rng.normal(size=(3, 4, 5, 6)).transpose(0, 3, 1, 2),
            rng.uniform(0.5, 2, 6),
            rng.normal(size=6),
            rng.normal(size=6),
            rng.uniform(1, 2, 6),
            0.0,
        ),
        settings,
        terms=60,
    )
    yield Sample(
        "strided",
        (
            rng.normal(size=(4, 6, 3)).T[:, ::2],
            rng.uniform(0.5, 2, 3),
            rng.normal(size=6)[::2],
            rng.normal(size=6)[::2],
            np.ones(3),
            np.array(0),
        ),
        settings,
        terms=12,
    )
    yield Sample(
        "many rows",
        (rng.normal(size=(150, 2, 3)), rng.uniform(0.5, 2, 2), rng.normal(size=2), *none),
        settings,
        terms=450,
    )
    yield Sample("no parameters", (rng.normal(size=(3, 2, 4)), 1.0, 0.0, *none), settings, terms=12)
    yield Sample("empty batch", (rng.normal(size=(0, 3, 2)), np.ones(3), np.zeros(3), *none), settings)
    yield Sample("no channels", (rng.normal(size=(2, 0, 2)), np.ones(0), np.zeros(0), *none), settings)

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


def _with(training):
    return lambda call: {"eps": call.settings["eps"], "training": training}


BATCH_NORM = register(
    Op(
        name="batch_norm",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=forward_begin),
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
        zero=("running_mean", "running_var", "num_batches_tracked"),  # a record, not part of the graph
        writes=("running_mean", "running_var", "num_batches_tracked"),
    )
)

BATCH_NORM_EVAL = register(
    Op(
        name="batch_norm_eval",
        kernel=Kernel(numpy=eval_numpy, triton=repeated(eval_triton), begin=eval_begin),
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
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
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
        kernel=Kernel(numpy=double_backward_numpy, triton=repeated(double_backward_triton)),
        outputs=("of_grad", "of_input", "of_weight"),
        differentiable=3,
    )
)
