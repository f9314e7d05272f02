"""Dropout: zeros at random places; no mask is stored, the gradient draws it again from the same key.

    w          = random bits of the key, counted over the logical elements, whatever the strides
    mask       = w < round((1 - p) * 2**32),  one bit for each element, or for each channel
    out        = input * mask / (1 - p)
    grad_input = grad * mask / (1 - p),  which is dropout again

As in PyTorch a dropped element is multiplied by zero, so NaN and infinity give NaN; for p = 1 everything is dropped.
Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014); Tompson et al. (2015) for whole channels.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework import dtypes
from ..framework.array import contiguous_strides, empty_like
from ..framework.device import CPU
from ..framework.elementwise import widen
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch, load_block, number_at, numbers, pointers_at
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.random import Generator, Key, bernoulli, bits32, bits32_at, keep, stream_of, threshold
from ..framework.strides import accesses, packed
from .random import key_of


def _dropped(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, generator: Generator | None, channels: bool
) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    if isinstance(p, bool) or not isinstance(p, (int, float)):
        raise TypeError(f"{name}: expected a number p, got {type(p).__name__}")
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected p in [0, 1], got {p}")
    if not training or p == 0:
        return input
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating tensor, got {input.dtype.name}")
    settings = {"p": float(p), "key": key_of(name, generator), "channels": channels}
    return apply_(DROPOUT, input, **settings) if inplace else apply(DROPOUT, input, **settings)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """``input``, each element dropped with probability ``p``, else divided by ``1 - p``; any shape, floating.

    Returns ``input`` itself where not ``training`` or ``p`` is 0.  Raises ValueError unless 0 <= p <= 1, RuntimeError
    for integers.

    >>> dropout(Tensor([1.0, 2.0]), p=1.0).tolist(), dropout(Tensor([1.0, 2.0]), training=False).tolist()
    ([0.0, 0.0], [1.0, 2.0])
    """
    return _dropped("dropout", input, p, training, inplace, generator, channels=False)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """``dropout`` of whole channels; input (N, C, L) or (C, L).

    Raises as ``dropout``, RuntimeError for other dimensions.

    >>> dropout1d(Tensor([[1.0, 2.0]]), p=1.0).tolist()
    [[0.0, 0.0]]
    """
    return _of_channels("dropout1d", ("(N, C, L)", "(C, L)"), input, p, training, inplace, generator)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """``dropout`` of whole channels; input (N, C, H, W), or (N, C, L) as in PyTorch.

    Raises as ``dropout``, RuntimeError for other dimensions.

    >>> dropout2d(Tensor([[[[1.0, 2.0]]]]), p=1.0).tolist()
    [[[[0.0, 0.0]]]]
    """
    return _of_channels("dropout2d", ("(N, C, H, W)", "(N, C, L)"), input, p, training, inplace, generator)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """``dropout`` of whole channels; input (N, C, D, H, W) or (C, D, H, W).

    Raises as ``dropout``, RuntimeError for other dimensions.

    >>> dropout3d(Tensor([[[[[1.0, 2.0]]]]]), p=1.0).tolist()
    [[[[[0.0, 0.0]]]]]
    """
    return _of_channels("dropout3d", ("(N, C, D, H, W)", "(C, D, H, W)"), input, p, training, inplace, generator)


def _of_channels(
    name: str,
    accepted: tuple[str, ...],
    input: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    sizes = [text.count(",") + 1 for text in accepted]
    if input.ndim not in sizes:
        raise RuntimeError(f"{name}: expected an input {' or '.join(accepted)}, got shape {input.shape}")
    if input.ndim == sizes[0] or accepted[1].startswith("(N"):
        return _dropped(name, input, p, training, inplace, generator, channels=True)
    out = _dropped(name, input.unsqueeze(0), p, training, inplace, generator, channels=True)
    return input if inplace else out.squeeze(0)


def _scale(p):
    return 1 / (1 - p) if p < 1 else 0.0


def forward_numpy(input, *, p, key, channels=False):
    kind = np.dtype(np.float32) if input.dtype in dtypes.HALF else input.dtype
    shape = input.shape[:2] + (1,) * (input.ndim - 2) if channels else input.shape
    noise = bernoulli(shape, 1 - p, kind, CPU, key)
    noise *= kind.type(_scale(p))
    out = np.empty_like(input)  # in the input's own layout
    np.multiply(input, noise, out=out, dtype=kind, casting="same_kind")
    return out


@jit
def _bits(
    seed,
    stream,
    first,
    number,
    KIND: tl.constexpr,
    HELD: tl.constexpr,
    shape,
    strides,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Random bits of a block of elements; ``strides`` are those of their logical numbers."""
    if KIND == "contiguous":  # in memory order too: a quarter of a Philox for each
        bits = bits32(seed, stream, first, BLOCK)
        if VECTOR > 1:
            bits = tl.reshape(bits, (BLOCK // VECTOR, VECTOR))
        return bits
    else:
        where = number_at(number, KIND, shape, strides).to(tl.int64)
        if VECTOR > 1:
            where = tl.expand_dims(where, 1)
            if not HELD:
                where = where * VECTOR + tl.expand_dims(tl.arange(0, VECTOR), 0)
        return bits32_at(seed, stream, where)


@jit
def _drop(
    out_ptr,
    in_ptr,
    first,
    number,
    mask,
    seed,
    stream,
    limit,
    scale,
    shape,
    strides,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    bits = _bits(seed, stream, first, number, KINDS[2], HELD[2], shape, strides[2], BLOCK, VECTOR)
    x = widen(load_block(in_ptr, first, number, mask, KINDS[1], HELD[1], shape, strides[1], BLOCK, VECTOR))
    out = x * tl.where(keep(bits, limit), scale, scale * 0)
    to = pointers_at(out_ptr, first, number, KINDS[0], HELD[0], shape, strides[0], BLOCK, VECTOR)
    tl.store(to, tl.broadcast_to(out.to(out_ptr.dtype.element_ty), to.shape), mask=mask)


@jit
def _dropout(
    out_ptr,
    in_ptr,
    n,
    seed,
    stream,
    base,
    limit,
    scale,
    shape,
    strides,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # out, in: n elements each, or n groups of VECTOR, any strides; third strides: the elements' logical numbers
    # base None or int64 (1,) · one program per BLOCK elements, in the order in which out lies in memory
    stream = stream_of(stream, base)
    first = tl.program_id(0).to(tl.int64) * BLOCK
    number = numbers(first // VECTOR, BLOCK // VECTOR, WIDE)
    if VECTOR > 1:
        mask = tl.expand_dims(number < n, 1)
        _drop(
            out_ptr, in_ptr, first, number, mask, seed, stream, limit, scale, shape, strides, KINDS, HELD, BLOCK, VECTOR
        )
    elif first + BLOCK <= n:  # only the last block needs a mask, which stands in the way of wide loads
        _drop(
            out_ptr, in_ptr, first, number, None, seed, stream, limit, scale, shape, strides, KINDS, HELD, BLOCK, VECTOR
        )
    else:
        mask = number < n
        _drop(
            out_ptr, in_ptr, first, number, mask, seed, stream, limit, scale, shape, strides, KINDS, HELD, BLOCK, VECTOR
        )


def forward_triton(input, *, p, key, channels=False):
    out = empty_like(input)
    shape = input.shape
    out.strides = packed(shape, input.strides) or out.strides  # channels-last stays so
    n = input.size
    if not n:
        return out
    real = np.float64 if input.dtype == np.float64 else np.float32
    # bits are counted in row-major order, or one for each channel
    logical = (*contiguous_strides(shape[:2]), *(0 for _ in shape[2:])) if channels else contiguous_strides(shape)
    access = accesses(shape, (out.strides, input.strides, logical), 16 // input.dtype.itemsize)
    block = max(16, input.backend.block_size(n))  # bits come in fours
    # one program per BLOCK elements
    launch(
        _dropout,
        (cdiv(n, block),),
        out,
        input,
        n // access.vector,
        *key.arguments(),
        threshold(1 - p),
        real(_scale(p)),
        access.shape,
        access.strides,
        KINDS=access.kinds,
        HELD=access.held,
        VECTOR=access.vector,
        WIDE=access.wide,
        BLOCK=block,
    )
    return out


def samples(rng):
    # the first words of seed 0, stream 0 are 6627e8d5 e169c58d bc57ac4c 9b00dbd8 (Random123's known answers)
    first = Key(0, 0)
    yield Sample(
        "worked",
        (np.array([3.0, 6.0, 9.0, 12.0]),),
        {"p": 0.25, "key": first, "channels": False},
        answers=([4.0, 0.0, 12.0, 16.0], [4 / 3, 0.0, 4 / 3, 4 / 3]),
    )
    yield Sample(
        "channels",
        (np.arange(1.0, 9.0).reshape(2, 2, 2),),
        {"p": 0.25, "key": first, "channels": True},
        answers=(
            [[[4 / 3, 8 / 3], [0.0, 0.0]], [[20 / 3, 8.0], [28 / 3, 32 / 3]]],
            [[[4 / 3, 4 / 3], [0.0, 0.0]], [[4 / 3, 4 / 3], [4 / 3, 4 / 3]]],
        ),
    )
    yield Sample(
        "everything",
        (np.array([1.0, np.inf, np.nan]),),
        {"p": 1.0, "key": first, "channels": False},
        answers=([0.0, np.nan, np.nan], [0.0, 0.0, 0.0]),
    )
    yield Sample(
        "nothing",
        (np.array([1.0, -2.0]),),
        {"p": 0.0, "key": first, "channels": False},
        answers=([1.0, -2.0], [1.0, 1.0]),
    )
    settings = {"p": 0.3, "key": Key(7, 2**63), "channels": False}
    for shape in [(), (0,), (7,), (3, 1025)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),), settings)
    images = rng.normal(size=(2, 3, 4, 5)).transpose(0, 3, 1, 2)
    yield Sample("transposed", (rng.normal(size=(5, 6)).T,), settings)
    yield Sample("channels last", (images,), settings)
    yield Sample("channels of channels last", (images,), {**settings, "channels": True})
    yield Sample("share", (np.ones(3),), {"p": 1.5}, raises=(ValueError, "dropout: expected p in [0, 1], got 1.5"))
    yield Sample(
        "integers",
        (np.ones(3, np.int64),),
        {"p": 0.5},
        raises=(RuntimeError, "dropout: expected a floating tensor, got int64"),
    )
    yield Sample("no number", (np.ones(3),), {"p": "half"}, raises=(TypeError, "dropout: expected a number p, got str"))


DROPOUT = register(
    Op(
        name="dropout",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(Grad(of=("input",), keeps=(), op="dropout"),),
        samples=samples,
        function=dropout,
    )
)
