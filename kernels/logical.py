"""Logic, elementwise: of truth values (anything but 0 is true) with results of bool, and of the bits of integers.

logical_not  out = input == 0                        bitwise_not  out = ~input
logical_and  out = input != 0 and other != 0         bitwise_and  out = input & other
logical_or   out = input != 0 or other != 0          bitwise_or   out = input | other
logical_xor  out = (input != 0) != (other != 0)      bitwise_xor  out = input ^ other
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import OPS, Op, Sample, register


def logical_not(input: Tensor) -> Tensor:
    """Where ``input`` is 0 or false: a bool tensor.

    >>> logical_not(Tensor([0.0, 2.0])).numpy()
    array([ True, False])
    """
    return apply(OPS["logical_not"], input)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Where neither ``input`` nor ``other`` is 0: a bool tensor; shapes broadcast.

    >>> logical_and(Tensor([0, 2]), Tensor([1, 1])).numpy()
    array([False,  True])
    """
    return apply(OPS["logical_and"], input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Where ``input`` and ``other`` are not both 0: a bool tensor; shapes broadcast.

    >>> logical_or(Tensor([0, 2]), Tensor([0, 0])).numpy()
    array([False,  True])
    """
    return apply(OPS["logical_or"], input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Where exactly one of ``input`` and ``other`` is 0: a bool tensor; shapes broadcast.

    >>> logical_xor(Tensor([0, 2]), Tensor([1, 1])).numpy()
    array([ True, False])
    """
    return apply(OPS["logical_xor"], input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """All bits of an integer tensor inverted, or the opposite of a bool one.  Raises TypeError for floats.

    >>> bitwise_not(Tensor([True, False])).numpy()
    array([False,  True])
    """
    _refuse_floats("bitwise_not", TypeError, input)
    return apply(OPS["bitwise_not"], input)


def bitwise_and(input: Tensor | int, other: Tensor | int) -> Tensor:
    """The bits that are set in both, for integers and bool; shapes broadcast.  Raises RuntimeError for floats.

    >>> bitwise_and(Tensor([6, 5]), 3).numpy()
    array([2, 1])
    """
    _refuse_floats("bitwise_and", RuntimeError, input, other)
    return apply(OPS["bitwise_and"], input, other)


def bitwise_or(input: Tensor | int, other: Tensor | int) -> Tensor:
    """The bits that are set in either, for integers and bool; shapes broadcast.  Raises RuntimeError for floats.

    >>> bitwise_or(Tensor([6, 5]), 3).numpy()
    array([7, 7])
    """
    _refuse_floats("bitwise_or", RuntimeError, input, other)
    return apply(OPS["bitwise_or"], input, other)


def bitwise_xor(input: Tensor | int, other: Tensor | int) -> Tensor:
    """The bits that are set in one only, for integers and bool; shapes broadcast.  Raises RuntimeError for floats.

    >>> bitwise_xor(Tensor([6, 5]), 3).numpy()
    array([5, 6])
    """
    _refuse_floats("bitwise_xor", RuntimeError, input, other)
    return apply(OPS["bitwise_xor"], input, other)


def _refuse_floats(name, error, *operands):
    for x in operands:
        if x.dtype.is_floating_point if isinstance(x, Tensor) else isinstance(x, float):
            raise error(f"{name}: expected integers or bool, got {x.dtype.name if isinstance(x, Tensor) else x}")


@jit
def _logical_not(x):
    return x == 0


@jit
def _logical_and(x, y):
    return (x != 0) & (y != 0)


@jit
def _logical_or(x, y):
    return (x != 0) | (y != 0)


@jit
def _logical_xor(x, y):
    return (x != 0) ^ (y != 0)


@jit
def _not(x):
    return ~x


@jit
def _and(x, y):
    return x & y


@jit
def _or(x, y):
    return x | y


@jit
def _xor(x, y):
    return x ^ y


def _numpy(ufunc):
    if ufunc.nin == 1:

        def logic(input):
            return ufunc(input)
    else:

        def logic(input, other):
            return ufunc(input, other)

    return logic


def _logical_samples(table):
    """Samples from a truth table: the answers for (F, F), (F, T), (T, F), (T, T), or for F and T of one input."""

    def samples(rng):
        if len(table) == 2:
            yield Sample("worked", (np.array([0.0, -2.5]),), answers=(table,))
            yield Sample("not a number", (np.array([np.nan]),), answers=(table[1:],))
            yield Sample("bool", (np.array([False, True]),), answers=(table,), dtypes=())
            yield Sample("integers", (np.array([0, 4]),), answers=(table,), dtypes=())
            yield Sample("strided", (rng.integers(0, 2, (5, 4)).T.astype(float),))
            return
        yield Sample("worked", (np.array([0.0, 0.0, -2.5, 0.5]), np.array([0.0, 3.0, 0.0, 1.0])), answers=(table,))
        yield Sample(
            "bool", (np.array([[False], [True]]), np.array([False, True])), answers=([table[:2], table[2:]],), dtypes=()
        )
        yield Sample(
            "mixed", (np.array([[0], [4]]), np.array([0.0, 0.5])), answers=([table[:2], table[2:]],), dtypes=()
        )
        x, y = rng.integers(0, 2, (5, 4)).astype(float), rng.integers(0, 2, (4, 10)).astype(float)
        yield Sample("strided", (x.T, y[:, ::2]))
        yield Sample("empty", (np.zeros((0, 2)), np.zeros(2)))

    return samples


def _bitwise_samples(name, integers, table):
    def samples(rng):
        if len(table) == 2:
            yield Sample("worked", (np.array([5, -1]),), answers=(integers,), dtypes=())
            yield Sample("bool", (np.array([False, True]),), answers=(table,), dtypes=())
            yield Sample("bytes", (np.array([0, 254], "u1"),), answers=([255, 1],), dtypes=())
            yield Sample(
                "floats",
                (np.ones(1),),
                dtypes=(),
                raises=(TypeError, f"{name}: expected integers or bool, got float64"),
            )
            return
        yield Sample("worked", (np.array([12, -1]), np.array([10, 6])), answers=(integers,), dtypes=())
        yield Sample("number", (np.array([12, -1], "i1"), 10), dtypes=())
        yield Sample(
            "bool", (np.array([[False], [True]]), np.array([False, True])), answers=([table[:2], table[2:]],), dtypes=()
        )
        yield Sample("mixed", (np.array([12, 3]), np.array([True, True])), dtypes=())
        yield Sample(
            "floats",
            (np.ones(1, int), 0.5),
            dtypes=(),
            raises=(RuntimeError, f"{name}: expected integers or bool, got 0.5"),
        )

    return samples


for _function, _ufunc, _scalar, _table in (
    (logical_not, np.logical_not, _logical_not, [True, False]),
    (logical_and, np.logical_and, _logical_and, [False, False, False, True]),
    (logical_or, np.logical_or, _logical_or, [False, True, True, True]),
    (logical_xor, np.logical_xor, _logical_xor, [False, True, True, False]),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy(_ufunc), _scalar, result=bool),
            samples=_logical_samples(_table),
            function=_function,
            promotion="comparison",
            zero=("input", "other")[: _ufunc.nin],
        )
    )

for _function, _ufunc, _scalar, _integers, _table in (
    (bitwise_not, np.invert, _not, [-6, 0], [True, False]),
    (bitwise_and, np.bitwise_and, _and, [8, 6], [False, False, False, True]),
    (bitwise_or, np.bitwise_or, _or, [14, -1], [False, True, True, True]),
    (bitwise_xor, np.bitwise_xor, _xor, [6, -7], [False, True, True, False]),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy(_ufunc), _scalar),
            samples=_bitwise_samples(_function.__name__, _integers, _table),
            function=_function,
            promotion="arithmetic",
        )
    )
