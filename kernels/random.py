"""Random numbers as tensors: new ones, and written into tensors that exist.

    uniform      out = u * (high - low) + low
    normal       out = z * std + mean
    exponential  out = -ln(u) / rate
    random       out = an integer of low, ..., high - 1
    bernoulli    out = 1 where w < input * 2**32, else 0;  w are 32 random bits
    bernoulli_fill    out = 1 where w < p * 2**32, else 0

Bits are counted over the logical elements, so the same seed gives the same numbers on every device and in every
layout; how they become numbers is said in ``framework/random.py``.  No row depends on its input but for the shape, and
bernoulli only in steps, so every gradient is zero: grad_input = 0.
"""

from __future__ import annotations

from operator import index
from typing import Any

import ml_dtypes
import numpy as np

from ..autograd import Tensor, apply, apply_
from ..autograd.tensor import wrap
from ..framework import device as devices
from ..framework import dtypes, random
from ..framework.array import contiguous_strides, empty_like
from ..framework.dtypes import dtype as DType
from ..framework.fill import zeros_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch, load_at
from ..framework.layout import check, memory_format, preserve_format, relaid, strides_for
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.random import Generator, Key, bits32, default_generator, keep, stream_of
from ..framework.shape import shape_of
from ..framework.strides import classify

Device = devices.device | str | None


def key_of(name: str, generator: Generator | None) -> Key:
    """The key of one call: the generator's, the default one's where it is None.  Raises TypeError for anything else."""
    if generator is None:
        return default_generator.key()
    if not isinstance(generator, Generator):
        raise TypeError(f"{name}: expected a Generator, got {type(generator).__name__}")
    return generator.key()


def _where(device: Device) -> devices.device:
    return devices.get_default_device() if device is None else devices.device(device)


def _kind(dtype: Any) -> DType:
    return dtypes.get_default_dtype() if dtype is None else dtypes.dtype_of(dtype)


def _made(array: Any, requires_grad: bool) -> Tensor:
    out = wrap(array)
    if requires_grad:
        out.requires_grad = True
    return out


def _shape(name: str, given: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    if (size is None) == (not given):
        raise TypeError(f"{name}: expected a size, as integers, as one tuple or as size=")
    return shape_of(name, given if size is None else (size,))


def _number(name: str, what: str, value: Any) -> float:
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number {what}, got {type(value).__name__}")
    return float(value)


def _integer(name: str, what: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer {what}, got {type(value).__name__}") from None


# New tensors


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers evenly spread in [0, 1), of the default dtype unless told otherwise.

    Raises RuntimeError for a negative size or a dtype that is not floating, TypeError where no size is given.

    >>> x = rand(100, 2); x.shape, bool((x.numpy() >= 0).all() and (x.numpy() < 1).all())
    ((100, 2), True)
    """
    dims = _shape("rand", shape, size)
    return _made(random.uniform(dims, _kind(dtype), _where(device), key_of("rand", generator)), requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers normally distributed about 0 with variance 1, of the default dtype unless told otherwise.

    Raises RuntimeError for a negative size or a dtype that is not floating, TypeError where no size is given.

    >>> g = Generator().manual_seed(1); x = randn(3, generator=g); g = Generator().manual_seed(1)
    >>> bool((x.numpy() == randn(3, generator=g).numpy()).all())
    True
    """
    dims = _shape("randn", shape, size)
    return _made(random.normal(dims, _kind(dtype), _where(device), key_of("randn", generator)), requires_grad)


def _like(input: Tensor, dtype: Any, device: Device) -> tuple[DType, devices.device]:
    kind = input.dtype if dtype is None else dtypes.dtype_of(dtype)
    return kind, input.device if device is None else devices.device(device)


def _as_laid(name: str, array: Any, input: Tensor, format: memory_format) -> Any:
    """Numbers that were drawn row by row, in the order in memory that is asked for."""
    check(name, format, input.shape)
    strides = strides_for(input.shape, input.stride(), format)
    return array if strides == contiguous_strides(input.shape) else relaid(array, strides)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """As ``rand``, in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> rand_like(Tensor([[1.0, 2.0]])).shape
    (1, 2)
    """
    kind, where = _like(input, dtype, device)
    array = random.uniform(input.shape, kind, where, key_of("rand_like", generator))
    return _made(_as_laid("rand_like", array, input, memory_format), requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """As ``randn``, in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> randn_like(Tensor([[1.0, 2.0]])).shape
    (1, 2)
    """
    kind, where = _like(input, dtype, device)
    array = random.normal(input.shape, kind, where, key_of("randn_like", generator))
    return _made(_as_laid("randn_like", array, input, memory_format), requires_grad)


def randint(
    low: Any = None,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers evenly spread in [low, high), int64 unless told otherwise; ``randint(high, size)`` begins at 0.

    Raises RuntimeError where the range is empty or does not fit the dtype, TypeError for a bound that is no integer.

    >>> x = randint(3, 5, (10,)); x.dtype, set(x.tolist()) <= {3, 4}
    (trigrad.int64, True)
    """
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None or isinstance(size, int):
        raise TypeError(f"randint: expected a size as a tuple of integers, got {'none' if size is None else size}")
    first = 0 if low is None else _integer("randint", "low", low)
    last = _integer("randint", "high", high)
    kind = dtypes.int64 if dtype is None else dtypes.dtype_of(dtype)
    dims = shape_of("randint", (size,))
    return _made(random.randint(dims, first, last, kind, _where(device), key_of("randint", generator)), requires_grad)


def randint_like(
    input: Tensor,
    low: Any = None,
    high: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """As ``randint``, in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> randint_like(Tensor([1.0, 2.0]), 5, 6).tolist()
    [5.0, 5.0]
    """
    if high is None:
        low, high = 0, low
    first = 0 if low is None else _integer("randint_like", "low", low)
    last = _integer("randint_like", "high", high)
    kind, where = _like(input, dtype, device)
    key = key_of("randint_like", generator)
    array = random.randint(input.shape, first, last, kind, where, key)
    return _made(_as_laid("randint_like", array, input, memory_format), requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers from 0 to n - 1 in random order, int64 unless told otherwise.

    Raises RuntimeError where n is negative or the dtype cannot count that far.

    >>> sorted(randperm(4).tolist())
    [0, 1, 2, 3]
    """
    kind = dtypes.int64 if dtype is None else dtypes.dtype_of(dtype)
    count = _integer("randperm", "n", n)
    return _made(random.randperm(count, kind, _where(device), key_of("randperm", generator)), requires_grad)


def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of this mean and standard deviation: two numbers and a size, or tensors, which broadcast.

    The result has no history.  Raises RuntimeError for a negative std (read from the device where it is a tensor),
    TypeError for two numbers without a size, for tensors with one, or for a dtype or device beside tensors.

    >>> normal(2.0, 0.0, (3,)).tolist(), normal(Tensor([1.0, 2.0]), 0.0).tolist()
    ([2.0, 2.0, 2.0], [1.0, 2.0])
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if not tensors:
        if size is None:
            raise TypeError("normal: expected a size beside two numbers")
        middle, spread = _number("normal", "mean", mean), _number("normal", "std", std)
        dims, key = shape_of("normal", (size,)), key_of("normal", generator)
        array = random.normal(dims, _kind(dtype), _where(device), key, middle, spread)
        return _made(array, requires_grad)
    if size is not None or dtype is not None or device is not None:
        raise TypeError("normal: size, dtype and device go with two numbers; tensors say them themselves")
    for x in tensors:
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"normal: expected floating tensors, got {x.dtype.name}")
    if isinstance(std, Tensor):
        if std.numel() and not bool((std.host() >= 0).all()):
            raise RuntimeError("normal: expected std >= 0 in every element")
        std = std.detach()
    elif not _number("normal", "std", std) >= 0:
        raise RuntimeError(f"normal: expected std >= 0, got {std}")
    if isinstance(mean, Tensor):
        mean = mean.detach()
    else:
        mean = _number("normal", "mean", mean)
    shapes = [x.shape for x in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(f"normal: shapes {shapes[0]} and {shapes[1]} do not broadcast") from None
    kind = dtypes.promote([x.array for x in tensors])
    z = wrap(random.normal(shape, kind, tensors[0].device, key_of("normal", generator)))
    out = z * std + mean
    if requires_grad:
        out.requires_grad = True
    return out


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` says, or ``p`` where it is given, else 0; shape and dtype of ``input``.

    Raises RuntimeError for a probability outside [0, 1] (not looked for in device memory, where it counts as the nearer
    bound), and for probabilities that are not floating.

    >>> bernoulli(Tensor([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"bernoulli: expected a Tensor, got {type(input).__name__}")
    if p is not None:
        return apply(BERNOULLI_FILL, input, p=_share(p), key=key_of("bernoulli", generator))
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"bernoulli: expected floating probabilities, got {input.dtype.name}")
    if isinstance(input.array, np.ndarray) and not bool(((input.array >= 0) & (input.array <= 1)).all()):
        raise RuntimeError("bernoulli: expected every probability in [0, 1]")
    return apply(BERNOULLI, input, key=key_of("bernoulli", generator))


def _share(p: Any) -> float:
    share = _number("bernoulli", "p", p)
    if not 0 <= share <= 1:
        raise RuntimeError(f"bernoulli: expected p in [0, 1], got {p}")
    return share


# Into tensors that exist


def uniform_(input: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with numbers evenly spread in [from_, to) and return it.

    Raises RuntimeError where from_ > to, for a dtype that is not floating, and for a leaf that requires a gradient.

    >>> uniform_(Tensor([0.0, 0.0]), 3.0, 3.0).tolist()
    [3.0, 3.0]
    """
    low, high = _number("uniform_", "from", from_), _number("uniform_", "to", to)
    return apply_(UNIFORM, input, low=low, high=high, key=key_of("uniform_", generator))


def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with normal numbers of this mean and standard deviation and return it.

    Raises RuntimeError where std < 0, for a dtype that is not floating, and for a leaf that requires a gradient.

    >>> normal_(Tensor([0.0, 0.0]), 3.0, 0.0).tolist()
    [3.0, 3.0]
    """
    middle, spread = _number("normal_", "mean", mean), _number("normal_", "std", std)
    return apply_(NORMAL, input, mean=middle, std=spread, key=key_of("normal_", generator))


def exponential_(input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with exponentially distributed numbers of the rate ``lambd`` and return it.

    Raises RuntimeError where lambd <= 0, for a dtype that is not floating, and for a leaf that requires a gradient.

    >>> bool((exponential_(Tensor([0.0, 0.0])).numpy() > 0).all())
    True
    """
    rate = _number("exponential_", "lambd", lambd)
    return apply_(EXPONENTIAL, input, rate=rate, key=key_of("exponential_", generator))


def random_(
    input: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill ``input`` with integers and return it: ``random_(from, to)`` in [from, to), ``random_(to)`` in [0, to).

    Without bounds these are all the dtype's integers from 0 that it holds exactly.  Raises RuntimeError where the range
    is empty or does not fit the dtype, and for a leaf that requires a gradient.

    >>> random_(Tensor([0, 0]), 5, 6).tolist()
    [5, 5]
    """
    if to is None:
        from_, to = None, from_
    low = 0 if from_ is None else _integer("random_", "from", from_)
    if to is not None:
        high = _integer("random_", "to", to)
    elif input.dtype.is_floating_point:
        high = 2 ** (ml_dtypes.finfo(input.dtype.numpy).nmant + 1) + 1
    else:
        high = 2 if input.dtype is dtypes.bool_ else int(np.iinfo(input.dtype.numpy).max) + 1
    return apply_(RANDOM, input, low=low, high=high, key=key_of("random_", generator))


def bernoulli_(input: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input``, of any dtype, with 1 at probability ``p``, a number or a tensor, else 0, and return it.

    Raises RuntimeError for a probability outside [0, 1], and for a leaf that requires a gradient.

    >>> bernoulli_(Tensor([5, 5]), 1.0).tolist()
    [1, 1]
    """
    if isinstance(p, Tensor):
        return input.copy_(bernoulli(p.detach().expand(input.shape), generator=generator))
    return apply_(BERNOULLI_FILL, input, p=_share(p), key=key_of("bernoulli_", generator))


# Rows.  Each of the first five is one function for all devices: framework/random.py tells the two halves apart


def _beside(input):
    return devices.CPU if isinstance(input, np.ndarray) else input.device


def uniform_fill(input, *, low, high, key):
    return random.uniform(input.shape, input.dtype, _beside(input), key, low, high)


def normal_fill(input, *, mean, std, key):
    return random.normal(input.shape, input.dtype, _beside(input), key, mean, std)


def exponential_fill(input, *, rate, key):
    return random.exponential(input.shape, input.dtype, _beside(input), key, rate)


def random_fill(input, *, low, high, key):
    return random.randint(input.shape, low, high, input.dtype, _beside(input), key)


def bernoulli_fill(input, *, p, key):
    return random.bernoulli(input.shape, p, input.dtype, _beside(input), key)


def bernoulli_numpy(input, *, key):
    limit = np.ceil(input.astype(np.float64) * 2.0**32)  # w < p * 2**32 exactly
    return (random.bits(input.shape, devices.CPU, key) < limit).astype(input.dtype)


@jit
def _bernoulli(out_ptr, p_ptr, n, seed, stream, base, shape, strides, KIND: tl.constexpr, BLOCK: tl.constexpr):
    # out, p (n,), out row-major, p of any strides · base None or int64 (1,) · one program per BLOCK elements
    start = tl.program_id(0).to(tl.int64) * BLOCK
    element = start + tl.arange(0, BLOCK)
    mask = element < n
    p = load_at(p_ptr, element, mask, KIND, shape, strides)
    if p.dtype != tl.float64:
        p = p.to(tl.float32)
    p = tl.where(p > 0, tl.where(p < 1, p, 1.0), 0.0)
    limit = tl.ceil(p * 4294967296.0).to(tl.int64)
    value = keep(bits32(seed, stream_of(stream, base), start, BLOCK), limit)
    tl.store(out_ptr + element, value.to(tl.float32).to(out_ptr.dtype.element_ty), mask=mask)


def bernoulli_triton(input, *, key):
    out = empty_like(input)
    n = input.size
    if n:
        shape, (strides,), (kind,) = classify(input.shape, (input.strides,))
        block = max(16, input.backend.block_size(n))  # bits come in fours
        # one program per BLOCK elements
        launch(_bernoulli, (cdiv(n, block),), out, input, n, *key.arguments(), shape, strides, KIND=kind, BLOCK=block)
    return out


def no_gradient(grad):
    return zeros_like(grad)


def _no_settings(call):
    return {}


# The first words of seed 0, stream 0 are 6627e8d5 e169c58d bc57ac4c 9b00dbd8 (Random123's known answers)
_FIRST = Key(0, 0)
_UNIFORMS = [int(bits, 16) / 2**53 for bits in ("1c2d38b1acc4fd", "13601b7b178af5")]  # the upper 53 of 64 bits


def uniform_samples(rng):
    settings = {"low": 0.0, "high": 1.0, "key": _FIRST}
    yield Sample("worked", (np.zeros(2),), settings, answers=(_UNIFORMS, [0.0, 0.0]))
    yield Sample(
        "elsewhere",
        (np.zeros((2, 1)).T,),
        {**settings, "low": -2.0, "high": 2.0},
        answers=([[4 * u - 2 for u in _UNIFORMS]], [[0.0, 0.0]]),
    )
    yield from _shapes(settings)
    yield Sample(
        "order",
        (np.zeros(2),),
        {"from_": 3.0, "to": 1.0},
        raises=(RuntimeError, "uniform: expected low <= high, got low=3.0 and high=1.0"),
    )
    yield Sample(
        "integers", (np.zeros(2, np.int64),), {}, raises=(RuntimeError, "uniform: expected a floating dtype, got int64")
    )
    yield Sample("bound", (np.zeros(2),), {"to": "one"}, raises=(TypeError, "uniform_: expected a number to, got str"))
    yield Sample(
        "generator", (np.zeros(2),), {"generator": 3}, raises=(TypeError, "uniform_: expected a Generator, got int")
    )


def _shapes(settings):
    for shape in [(), (0,), (7,), (33, 40)]:
        yield Sample(f"shape {shape}", (np.ones(shape),), {**settings, "key": Key(7, 2**63)})


def normal_samples(rng):
    settings = {"mean": 2.0, "std": 0.0, "key": _FIRST}
    yield Sample("worked", (np.zeros(2),), settings, answers=([2.0, 2.0], [0.0, 0.0]))
    yield from _shapes({"mean": 1.0, "std": 2.0})
    yield Sample("spread", (np.zeros(2),), {"std": -1.0}, raises=(RuntimeError, "normal: expected std >= 0, got -1.0"))
    yield Sample(
        "integers", (np.zeros(2, np.int64),), {}, raises=(RuntimeError, "normal: expected a floating dtype, got int64")
    )


def exponential_samples(rng):
    halves = [(int(bits, 16) + 0.5) / 2**53 for bits in ("1c2d38b1acc4fd", "13601b7b178af5")]
    yield Sample(
        "worked", (np.zeros(2),), {"rate": 2.0, "key": _FIRST}, answers=([-np.log(u) / 2 for u in halves], [0.0, 0.0])
    )
    yield from _shapes({"rate": 0.5})
    yield Sample("rate", (np.zeros(2),), {"lambd": 0}, raises=(RuntimeError, "exponential: expected rate > 0, got 0.0"))


def random_samples(rng):
    settings = {"low": -3, "high": 7, "key": _FIRST}
    words = [0xE169C58D6627E8D5, 0x9B00DBD8BC57AC4C]
    yield Sample("worked", (np.zeros(2),), settings, answers=([w * 10 // 2**64 - 3 for w in words], [0.0, 0.0]))
    yield Sample(
        "integers", (np.zeros(2, np.int64),), settings, answers=([w * 10 // 2**64 - 3 for w in words],), dtypes=()
    )
    yield from _shapes(settings)
    yield Sample(
        "empty range",
        (np.zeros(2),),
        {"to": 0},
        raises=(RuntimeError, "randint: expected low < high, got low=0 and high=0"),
    )
    yield Sample(
        "too wide",
        (np.zeros(2, np.uint8),),
        {"to": 257},
        raises=(RuntimeError, "randint: uint8 holds integers from 0 to 255, got low=0 and high=257"),
    )
    yield Sample(
        "no integer", (np.zeros(2),), {"to": 1.5}, raises=(TypeError, "random_: expected an integer to, got float")
    )


def bernoulli_samples(rng):
    yield Sample(
        "worked", (np.array([0.5, 0.5, 0.75, 1.0]),), {"key": _FIRST}, answers=([1.0, 0.0, 1.0, 1.0], [0.0] * 4)
    )
    yield Sample("edges", (np.array([1.0, 0.0] * 8),), {"key": _FIRST}, answers=([1.0, 0.0] * 8, [0.0] * 16))
    for shape in [(), (0,), (7,), (33, 40)]:
        yield Sample(f"shape {shape}", (rng.integers(1, 255, shape) / 256,), {"key": Key(7, 2**63)})  # in every dtype
    yield Sample("transposed", (rng.integers(1, 255, (5, 6)).T / 256,), {"key": Key(7, 2**63)})
    yield Sample(
        "integers",
        (np.ones(2, np.int64),),
        {},
        raises=(RuntimeError, "bernoulli: expected floating probabilities, got int64"),
    )
    yield Sample("share", (np.zeros(2),), {"p": 1.5}, raises=(RuntimeError, "bernoulli: expected p in [0, 1], got 1.5"))


def bernoulli_fill_samples(rng):
    yield Sample("worked", (np.zeros(4),), {"p": 0.75, "key": _FIRST}, answers=([1.0, 0.0, 1.0, 1.0], [0.0] * 4))
    yield Sample("integers", (np.zeros(4, np.int64),), {"p": 0.75, "key": _FIRST}, answers=([1, 0, 1, 1],), dtypes=())
    yield from _shapes({"p": 0.3})
    yield Sample(
        "share", (np.zeros(2),), {"p": -0.5}, raises=(RuntimeError, "bernoulli: expected p in [0, 1], got -0.5")
    )


def _row(name, numpy, triton, samples, function):
    return register(
        Op(
            name=name,
            kernel=Kernel(numpy=numpy, triton=triton),
            grads=(Grad(of=("input",), keeps=(), op="random_backward", settings=_no_settings),),
            samples=samples,
            function=function,
        )
    )


UNIFORM = _row("uniform", uniform_fill, uniform_fill, uniform_samples, uniform_)
NORMAL = _row("normal", normal_fill, normal_fill, normal_samples, normal_)
EXPONENTIAL = _row("exponential", exponential_fill, exponential_fill, exponential_samples, exponential_)
RANDOM = _row("random", random_fill, random_fill, random_samples, random_)
BERNOULLI = _row("bernoulli", bernoulli_numpy, bernoulli_triton, bernoulli_samples, bernoulli)
BERNOULLI_FILL = _row("bernoulli_fill", bernoulli_fill, bernoulli_fill, bernoulli_fill_samples, bernoulli_)

register(
    Op(
        name="random_backward",
        kernel=Kernel(numpy=no_gradient, triton=no_gradient),
        zero=("grad",),
    )
)
