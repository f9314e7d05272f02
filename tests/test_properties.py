"""What holds for whatever tensors: drawn by hypothesis with a fixed seed, against NumPy, and PyTorch where it is installed."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import trigrad as tg

try:
    import torch
except ImportError:
    torch = None

FLOATS = ("float64", "float32")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
KINDS = (*FLOATS, *INTEGERS, "bool")
ALL = ("float64", "float32", "float16", "bfloat16", *INTEGERS, "bool")


def examples(count: int) -> Any:
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


# -- drawing -----------------------------------------------------------------------------------------------------

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def arrays(draw: Any, shape: Any = SHAPES, kinds: tuple[str, ...] = KINDS) -> np.ndarray:
    """An array of small numbers that every dtype holds, its memory in order, strided, reversed or transposed."""
    size, kind = draw(shape) if isinstance(shape, st.SearchStrategy) else shape, draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = 0 if kind in ("uint8", "bool") else -8
    layout = draw(st.sampled_from(("plain", "stepped", "reversed", "transposed")))
    stored = size[::-1] if layout == "transposed" else size
    if layout in ("stepped", "reversed") and size:
        stored = (*size[:-1], 2 * size[-1])
    values = rng.integers(low, 9, stored)
    values = (values % 2 == 0) if kind == "bool" else values / 4 if kind in FLOATS else values
    array = np.asarray(values, kind)
    if layout == "transposed":
        return array.T
    if not size or layout == "plain":
        return array
    return array[..., ::2] if layout == "stepped" else array[..., ::-2]


def ours(array: np.ndarray) -> tg.Tensor:
    """A tensor with the layout of ``array``, where tensors have such a one."""
    if any(s < 0 for s in array.strides):
        return tg.tensor(array.copy())
    return tg.from_numpy(array) if array.flags.writeable else tg.tensor(array)


@st.composite
def broadcasting(draw: Any, count: int = 2) -> list[tuple[int, ...]]:
    """Shapes that broadcast."""
    whole = draw(SHAPES)
    shapes = []
    for _ in range(count):
        own = whole[draw(st.integers(0, len(whole))) :]
        shapes.append(tuple(1 if draw(st.booleans()) and draw(st.booleans()) else n for n in own))
    return shapes


def slices(n: int) -> Any:
    edge = st.none() | st.integers(-n - 2, n + 2)
    return st.builds(slice, edge, edge, st.none() | st.integers(1, 3))


@st.composite
def indices(draw: Any, shape: tuple[int, ...], mixed: bool = False) -> Any:
    """An index into an array of this shape: slices, None, an ellipsis, and numbers or else lists of numbers and masks.

    ``mixed`` has numbers and lists in one index, which NumPy puts in another order than PyTorch.
    """
    kinds = (
        ("slice", "number", "list", "mask")
        if mixed
        else draw(st.sampled_from((("slice", "number"), ("slice", "list", "mask"))))
    )
    items: list[Any] = []
    gone, ellipsis = 0, False
    length = draw(st.integers(0, len(shape)))  # of ranges that are named
    together = draw(st.integers(1, 3))  # lists that stand together are of one length
    after_ellipsis = draw(st.integers(0, length)) if length < len(shape) and draw(st.booleans()) else None
    for number in range(length):
        if after_ellipsis == number and not ellipsis:
            items.append(Ellipsis)
            ellipsis, gone = True, len(shape) - length + gone
        while draw(st.integers(0, 5)) == 0:
            items.append(None)
        n = shape[gone]
        kind = draw(st.sampled_from(kinds))
        if kind == "number" and n:
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "list" and n:
            items.append(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=together, max_size=together))))
        elif kind == "mask" and not any(isinstance(x, np.ndarray) for x in items):
            mask = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
            items.append(mask)
            together = int(mask.sum())
        else:
            items.append(draw(slices(n)))
        gone += 1
    if draw(st.integers(0, 5)) == 0:
        items.append(None)
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def as_ours(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(as_ours(x) for x in index)
    return tg.tensor(index) if isinstance(index, np.ndarray) else index


def check(got: tg.Tensor, expected: np.ndarray, rtol: float = 0.0) -> None:
    expected = np.asarray(expected)
    assert tuple(got.shape) == expected.shape
    assert got.dtype.name == expected.dtype.name
    if rtol:
        np.testing.assert_allclose(got.detach().numpy(), expected, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(got.detach().numpy(), expected)


def both_or_neither(mine: Any, theirs: Any) -> tuple[Any, Any] | None:
    """The two results; None where both refuse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs()
    except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError):
        with pytest.raises((RuntimeError, ValueError, IndexError, TypeError)):
            mine()
        return None
    return mine(), expected


# -- broadcasting ------------------------------------------------------------------------------------------------

PAIRS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "eq": np.equal,
    "lt": np.less,
    "ge": np.greater_equal,
}


@given(data=st.data(), name=st.sampled_from(sorted(PAIRS)), kind=st.sampled_from(("float64", "int64")))
@examples(200)
def test_broadcasting(data, name, kind):
    a, b = (data.draw(arrays(shape, (kind,))) for shape in data.draw(broadcasting()))
    check(getattr(tg, name)(ours(a), ours(b)), PAIRS[name](a, b))


@given(first=SHAPES, second=SHAPES)
@examples(150)
def test_shapes_that_may_not_broadcast(first, second):
    found = both_or_neither(
        lambda: (tg.zeros(first) + tg.zeros(second)).shape, lambda: np.broadcast_shapes(first, second)
    )
    assert found is None or found[0] == found[1]


@given(data=st.data())
@examples(120)
def test_gradients_of_what_was_broadcast(data):
    """The gradient of a broadcast input has its shape and adds up whom it went to."""
    a, b = (data.draw(arrays(shape, ("float64",))) for shape in data.draw(broadcasting()))
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    out = x * y
    out.sum().backward()
    for t, other in ((x, b), (y, a)):
        whole = np.broadcast_to(other, out.shape)
        lead = whole.ndim - t.ndim
        kept = tuple(
            n for n, (m, s) in enumerate(zip(out.shape[lead:], t.shape, strict=True), lead) if s == 1 and m != 1
        )
        expected = whole.sum((*range(lead), *kept)).reshape(t.shape)
        check(t.grad, expected)


# -- indexing ----------------------------------------------------------------------------------------------------


@given(data=st.data(), a=arrays())
@examples(400)
def test_getting(data, a):
    index = data.draw(indices(a.shape))
    found = both_or_neither(lambda: ours(a)[as_ours(index)], lambda: a[index])
    if found is not None:
        check(*found)


@pytest.mark.peer
@given(data=st.data(), a=arrays(kinds=("float64", "int64")))
@examples(250)
def test_getting_as_pytorch_does(data, a):
    """Numbers and lists in one index: where the dimension of the lists goes."""
    assume(torch is not None)
    index = data.draw(indices(a.shape, mixed=True))

    def theirs(x):
        if isinstance(x, tuple):
            return tuple(theirs(y) for y in x)
        return torch.tensor(x) if isinstance(x, np.ndarray) else x

    found = both_or_neither(lambda: ours(a)[as_ours(index)], lambda: torch.tensor(a.copy())[theirs(index)].numpy())
    if found is not None:
        check(*found)


@given(data=st.data(), a=arrays())
@examples(300)
def test_setting(data, a):
    index = data.draw(indices(a.shape))
    try:
        part = a[index].shape
    except IndexError:
        part = ()
    kept = part[data.draw(st.integers(0, len(part))) :]
    value = data.draw(arrays(tuple(1 if data.draw(st.booleans()) else n for n in kept), (a.dtype.name,)))
    assume(not _repeated(index, a.shape))  # which of several values stays is nobody's promise
    expected, x = a.copy(), tg.tensor(a)

    def theirs():
        expected[index] = value
        return expected

    def mine():
        x[as_ours(index)] = ours(value)
        return x

    found = both_or_neither(mine, theirs)
    if found is not None:
        check(*found)


def _repeated(index: Any, shape: tuple[int, ...]) -> bool:
    places = np.arange(int(np.prod(shape))).reshape(shape)
    try:
        chosen = places[index]
    except IndexError:
        return False
    return np.unique(chosen).size != np.size(chosen)


@given(data=st.data(), a=arrays(kinds=("float64",)))
@examples(150)
def test_gradients_of_indexing(data, a):
    """Each element's gradient is the sum of the weights of the places it went to."""
    index = data.draw(indices(a.shape))
    x = tg.tensor(a, requires_grad=True)
    try:
        part = a[index]
    except IndexError:
        return
    w = np.arange(1.0, part.size + 1).reshape(part.shape)
    (x[as_ours(index)] * tg.tensor(w)).sum().backward()
    expected = np.zeros(a.shape)
    np.add.at(expected, index, w)
    check(x.grad, expected)


# -- reductions --------------------------------------------------------------------------------------------------

REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
    "prod": np.prod,
    "all": np.all,
    "any": np.any,
}


@given(
    data=st.data(),
    name=st.sampled_from(sorted(REDUCTIONS)),
    keepdim=st.booleans(),
    a=arrays(kinds=("float64", "int64", "bool")),
)
@examples(300)
def test_reductions(data, name, keepdim, a):
    assume(hasattr(tg, name) and (name != "mean" or a.dtype == np.float64))
    one = name == "prod"  # which takes a single dimension
    some = st.integers(-a.ndim, a.ndim - 1) if a.ndim else st.nothing()
    dims = data.draw(some if one else some | st.lists(some, min_size=1, max_size=a.ndim).map(tuple)) if a.ndim else 0
    axis = dims if a.ndim else None
    assume(name in ("sum", "prod", "all", "any") or a.size)

    def theirs():
        out = REDUCTIONS[name](a, axis=axis, keepdims=keepdim)
        return np.asarray(out)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = both_or_neither(lambda: getattr(tg, name)(ours(a), dim=dims, keepdim=keepdim), theirs)
    if found is not None:
        check(*found, rtol=1e-13 if a.dtype == np.float64 and name in ("sum", "mean", "prod") else 0.0)


@given(data=st.data(), a=arrays(kinds=("float64", "int64")), largest=st.booleans(), keepdim=st.booleans())
@examples(120)
def test_places_of_extremes(data, a, largest, keepdim):
    """The first of equal elements, as NumPy says."""
    assume(a.ndim and a.size)
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    check(
        (tg.argmax if largest else tg.argmin)(ours(a), dim, keepdim),
        (np.argmax if largest else np.argmin)(a, dim, keepdims=keepdim),
    )


@given(a=arrays(kinds=("float64",)), data=st.data())
@examples(100)
def test_softmax_adds_up_to_one(a, data):
    assume(a.ndim)
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    out = tg.softmax(ours(a), dim)
    assert out.shape == a.shape
    if a.size:
        np.testing.assert_allclose(out.numpy().sum(dim), 1, rtol=1e-14)
        np.testing.assert_allclose(tg.log_softmax(ours(a), dim).exp().numpy(), out.numpy(), rtol=1e-13)


# -- views and strides -------------------------------------------------------------------------------------------


@st.composite
def steps(draw: Any, shape: tuple[int, ...]) -> tuple[str, Any]:
    """A view of an array of this shape: its name and what it is given."""
    names = ["unsqueeze", "slice"] + (
        ["permute", "squeeze", "transpose", "expand", "flatten", "number"] if shape else []
    )
    name = draw(st.sampled_from(names))
    n = len(shape)
    if name == "unsqueeze":
        return name, draw(st.integers(0, n))
    if name == "slice":
        return name, tuple(draw(slices(m)) for m in shape[: draw(st.integers(0, n))])
    if name == "permute":
        return name, tuple(draw(st.permutations(range(n))))
    if name == "transpose":
        return name, (draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1)))
    if name == "expand":
        return name, (draw(st.integers(1, 2)), *(3 if m == 1 else m for m in shape))
    if name == "number":
        return name, draw(st.integers(0, n - 1))
    return name, None


def viewed(x: Any, name: str, given: Any) -> Any:
    """The same view of a tensor of ours, a PyTorch tensor, or an array."""
    array = isinstance(x, np.ndarray)
    if name == "unsqueeze":
        return np.expand_dims(x, given) if array else x.unsqueeze(given)
    if name == "slice":
        return x[given]
    if name == "permute":
        return x.transpose(given) if array else x.permute(given)
    if name == "transpose":
        return np.swapaxes(x, *given) if array else x.transpose(*given)
    if name == "expand":
        return np.broadcast_to(x, given) if array else x.expand(given)
    if name == "flatten":
        return x.reshape(-1)
    if name == "number":
        return np.take(x, 0, given) if array else x.select(given, 0)
    return x.squeeze()


@given(data=st.data(), shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), count=st.integers(1, 4))
@examples(250)
def test_chains_of_views(data, shape, count):
    """Values as NumPy's; strides, offsets, contiguity and what still shares memory as PyTorch's."""
    a = np.arange(float(np.prod(shape))).reshape(shape)
    base = tg.tensor(a)
    x, expected = base, a
    theirs = torch_base = None if torch is None else torch.tensor(a)
    for _ in range(count):
        step = data.draw(steps(expected.shape))
        if step[0] == "number" and expected.shape[step[1]] == 0:
            continue
        x, expected = viewed(x, *step), np.asarray(viewed(expected, *step))
        theirs = None if theirs is None else viewed(theirs, *step)
    check(x, expected)
    check(x.contiguous(), expected)
    check(x.clone(), expected)
    if theirs is not None:
        assert x.is_contiguous() == theirs.is_contiguous()
        if x.numel():
            apart, apart_there = x.data_ptr() - base.data_ptr(), theirs.data_ptr() - torch_base.data_ptr()
            assert (0 <= apart < 8 * a.size) == (0 <= apart_there < 8 * a.size)
            if 0 <= apart < 8 * a.size:
                assert apart == apart_there
                assert x.storage_offset() == theirs.storage_offset()
                several = [n for n, m in enumerate(x.shape) if m > 1]
                assert [x.stride(n) for n in several] == [theirs.stride(n) for n in several]


@given(data=st.data(), shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), count=st.integers(1, 4))
@examples(120)
def test_gradients_through_views(data, shape, count):
    """Each element's gradient counts the places where it is seen, weighted."""
    a = np.arange(float(np.prod(shape))).reshape(shape)
    base = tg.tensor(a, requires_grad=True)
    x, seen = base, a.astype(int)
    for _ in range(count):
        step = data.draw(steps(seen.shape))
        if step[0] == "number" and seen.shape[step[1]] == 0:
            continue
        x, seen = viewed(x, *step), np.asarray(viewed(seen, *step))
    w = np.arange(1.0, seen.size + 1).reshape(seen.shape)
    (x * tg.tensor(w)).sum().backward()
    check(base.grad, np.bincount(seen.ravel(), w.ravel(), a.size).reshape(shape).astype(float))


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), count=st.integers(1, 3))
@examples(120)
def test_writes_through_views(data, shape, count):
    """What is written into a view is written into whom it is a view of."""
    a = np.arange(float(np.prod(shape))).reshape(shape)
    base, expected = tg.tensor(a), a.copy()
    x, y = base, expected
    for _ in range(count):
        step = data.draw(steps(y.shape).filter(lambda s: s[0] not in ("expand", "flatten", "number", "squeeze")))
        x, y = viewed(x, *step), viewed(y, *step)
    y += 1
    x += 1
    check(base, expected)


@given(a=arrays(), data=st.data())
@examples(150)
def test_reshaping(a, data):
    """Any factors of the size are a shape; reading order stays."""
    left, shape = a.size, []
    for p in (2, 3, 2, 3):
        if left and left % p == 0 and data.draw(st.booleans()):
            shape.append(p)
            left //= p
    shape.append(left)
    shape = data.draw(st.permutations(shape))
    x = ours(a)
    check(x.reshape(shape), a.reshape(shape))
    if a.size:
        hole = data.draw(st.integers(0, len(shape) - 1))
        check(x.reshape([-1 if n == hole else m for n, m in enumerate(shape)]), a.reshape(shape))


@given(data=st.data(), count=st.integers(1, 3), kind=st.sampled_from(("float64", "int32", "bool")))
@examples(120)
def test_splitting_undoes_joining(data, count, kind):
    shape = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(count):
        shape[dim] = data.draw(st.integers(0, 4))
        parts.append(data.draw(arrays(tuple(shape), (kind,))))
    joined = tg.cat([ours(p) for p in parts], dim)
    check(joined, np.concatenate(parts, dim))
    for got, expected in zip(tg.split(joined, [p.shape[dim] for p in parts], dim), parts, strict=True):
        check(got, expected)


# -- promotion ---------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([2, -3, 1.5, -0.5, True, False])
OPERATORS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "truediv": lambda a, b: a / b,
    "eq": lambda a, b: a == b,
    "lt": lambda a, b: a < b,
    "pow": lambda a, b: a**b,
    "floordiv": lambda a, b: a // b,
}


@pytest.mark.peer
@given(data=st.data(), name=st.sampled_from(sorted(OPERATORS)), first=st.sampled_from(ALL), second=st.sampled_from(ALL))
@examples(300)
def test_promotion(data, name, first, second):
    """Dtypes of operators as PyTorch's: tensors, 0-d tensors and numbers, from either side."""
    assume(torch is not None)
    forms = [data.draw(st.sampled_from(("tensor", "0-d", "number"))) for _ in range(2)]
    assume(forms != ["number", "number"])
    operands = []
    for form, kind in zip(forms, (first, second), strict=True):
        if form == "number":
            value = data.draw(NUMBERS)
            operands.append((value, value))
        else:
            values = np.full((2,) if form == "tensor" else (), 3 if kind != "bool" else True)
            operands.append((tg.tensor(values).to(getattr(tg, kind)), torch.tensor(values).to(getattr(torch, kind))))
    (a, s), (b, t) = operands
    found = both_or_neither(lambda: OPERATORS[name](a, b), lambda: OPERATORS[name](s, t))
    if found is not None:
        assert f"torch.{found[0].dtype.name}" == str(found[1].dtype)
        np.testing.assert_allclose(found[0].to(tg.float64).numpy(), found[1].to(torch.float64).numpy(), rtol=2.0**-6)


@given(first=st.sampled_from(ALL), second=st.sampled_from(ALL), third=st.sampled_from(ALL))
@examples(100)
def test_promotion_has_no_order(first, second, third):
    a, b, c = (getattr(tg, name) for name in (first, second, third))
    assert tg.promote_types(a, b) is tg.promote_types(b, a)
    assert tg.promote_types(a, a) is a
    low = tg.promote_types(a, b)
    assert tg.promote_types(low, a) is low and tg.promote_types(tg.promote_types(low, c), low) is tg.promote_types(
        low, c
    )


@given(a=arrays(), kind=st.sampled_from(ALL))
@examples(120)
def test_conversion(a, kind):
    if a.dtype.kind == "f" and kind == "uint8":
        a = np.abs(a)
    x = ours(a).to(getattr(tg, kind))
    assert x.dtype.name == kind
    if kind in KINDS:
        check(x, a.astype(kind))
    check(x.to(tg.float64), x.numpy().astype(np.float64))
