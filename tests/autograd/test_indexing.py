"""Indexing against NumPy: the basic part first, then masks and arrays on what it leaves, as PyTorch has it."""

import numpy as np
import pytest

import trigrad as tg

DEVICES = ["cpu", "interpreter"]


def on(device, array, requires_grad=False):
    return tg.tensor(array, device=device, requires_grad=requires_grad)


def random_index(rng, shape):
    """An index for an array of this shape, as (the index, its basic part, and what is left for the view that makes)."""
    index, basic, left = [], [], []
    together = [(3,), (2, 3), (1, 3)][rng.integers(3)]
    d, ellipsis = 0, False
    while d < len(shape):
        n, kind = shape[d], rng.choice(["int", "slice", "array", "mask", "None", "bool", "Ellipsis", "wide mask"])
        if kind == "int":
            i = int(rng.integers(-n, n))
            index.append(i)
            basic.append(i)
        elif kind == "slice":
            s = slice(
                *(None if rng.random() < 0.3 else int(v) for v in (*rng.integers(-n - 1, n + 2, 2), rng.integers(1, 4)))
            )
            index.append(s)
            basic.append(s)
            left.append(slice(None))
        elif kind == "array":
            a = rng.integers(-n, n, (3,) if rng.random() < 0.5 else together)
            index.append(a)
            basic.append(slice(None))
            left.append(a)
        elif kind == "mask":
            m = np.zeros(n, bool)
            m[rng.permutation(n)[: 3 if n >= 3 else 1]] = True
            index.append(m)
            basic.append(slice(None))
            left.append(m)
        elif kind == "wide mask" and d + 1 < len(shape) and not left:
            m = rng.random(shape[d : d + 2]) < 0.5
            index.append(m)
            basic += [slice(None)] * 2
            left.append(m)
            d += 1
            break  # how many elements it picks is not known, so that no other array joins it
        elif kind == "Ellipsis" and not ellipsis:
            skipped = int(rng.integers(0, len(shape) - d + 1))
            index.append(...)
            basic += [slice(None)] * skipped
            left += [slice(None)] * skipped
            ellipsis = True
            # what follows must reach the end, or the Ellipsis would stand for more
            rest = len(shape) - d - skipped
            index += [slice(None)] * rest
            basic += [slice(None)] * rest
            left += [slice(None)] * rest
            break
        elif kind in ("None", "bool"):
            if rng.random() < 0.5:
                continue
            index.append(None)
            basic.append(None)
            left.append(slice(None))
            continue
        else:
            continue
        d += 1
    return tuple(index), tuple(basic), tuple(left)


def given(index, device, rng):
    """The index with its arrays as arrays, tensors or lists."""
    forms = [lambda a: a, lambda a: on("cpu", a), lambda a: on(device, a), lambda a: a.tolist()]
    return tuple(forms[rng.integers(len(forms))](x) if isinstance(x, np.ndarray) else x for x in index)


def cases(count):
    rng = np.random.default_rng(5)
    for number in range(count):
        shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 5)))
        yield number, shape, *random_index(rng, shape)


@pytest.mark.parametrize("device, count", [("cpu", 400), ("interpreter", 25)])
def test_reading_and_its_gradient(device, count, rng):
    for number, shape, index, basic, left in cases(count):
        values = rng.normal(size=shape)
        places = np.arange(values.size).reshape(shape)[basic][left]
        expected = values[basic][left]
        x = on(device, values, requires_grad=True)
        got = x[given(index, device, rng)]
        assert got.shape == expected.shape, (number, shape, index)
        np.testing.assert_array_equal(got.detach().host(), expected, err_msg=f"{number} {shape} {index}")
        weight = rng.normal(size=expected.shape)
        got.backward(on(device, weight))
        gradient = np.zeros(values.size)
        np.add.at(gradient, places.reshape(-1), weight.reshape(-1))
        np.testing.assert_allclose(
            x.grad.host().reshape(-1), gradient, rtol=1e-12, atol=1e-12, err_msg=f"{number} {shape} {index}"
        )


@pytest.mark.parametrize("device, count", [("cpu", 400), ("interpreter", 25)])
def test_writing_and_its_gradients(device, count, rng):
    for number, shape, index, basic, left in cases(count):
        what = f"{number} {shape} {index}"
        values = rng.normal(size=shape)
        places = np.arange(values.size).reshape(shape)[basic][left]
        cut = int(rng.integers(0, places.ndim + 1))
        put = rng.normal(size=tuple(1 if rng.random() < 0.3 else n for n in places.shape[cut:]))
        spread = np.broadcast_to(put, places.shape).reshape(-1)
        numbers = np.broadcast_to(np.arange(put.size).reshape(put.shape), places.shape).reshape(-1)
        expected, writer = values.reshape(-1).copy(), np.full(values.size, -1)
        for place, value, who in zip(places.reshape(-1), spread, numbers, strict=True):
            expected[place], writer[place] = value, who  # of several the last stays
        key = given(index, device, rng)

        plain = on(device, values)
        plain[key] = on(device, put)
        np.testing.assert_array_equal(plain.host().reshape(-1), expected, err_msg=what)

        x, v = on(device, values, requires_grad=True), on(device, put, requires_grad=True)
        y = x * 1
        y[key] = v
        np.testing.assert_array_equal(y.detach().host().reshape(-1), expected, err_msg=what)
        weight = rng.normal(size=values.size)
        y.backward(on(device, weight.reshape(shape)))
        np.testing.assert_array_equal(x.grad.host().reshape(-1), np.where(writer < 0, weight, 0), err_msg=what)
        gradient = np.zeros(put.size)
        np.add.at(gradient, writer[writer >= 0], weight[writer >= 0])
        np.testing.assert_allclose(v.grad.host().reshape(-1), gradient, rtol=1e-12, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("device", DEVICES)
def test_integers_are_basic(device):
    x = on(device, np.arange(24).reshape(2, 3, 4))
    assert x[0, :, [1, 2]].shape == (3, 2) == x[tg.tensor(0), :, [1, 2]].shape
    assert x[[0, 1], :, [1, 2]].shape == (2, 3) and x[:, [0, 1], [1, 2]].shape == (2, 2)
    assert x[np.int64(1), -1, 2].item() == 22 and x[1][2][3].item() == 23
    assert x[[]].shape == (0, 3, 4) and x[[[0]], 0].shape == (1, 1, 4)


@pytest.mark.parametrize("device", DEVICES)
def test_bools_are_masks(device):
    x = on(device, np.arange(6.0).reshape(2, 3))
    assert x[True].shape == (1, 2, 3) and x[False].shape == (0, 2, 3) and x[tg.tensor(True), 0].shape == (1, 3)
    assert x[x > 3].tolist() == [4, 5]
    assert x[[True, False]].tolist() == [[0, 1, 2]] and x[:, np.array([False, True, True])].shape == (2, 2)
    x[np.array([[True, False, True], [False, False, True]])] = on(device, np.array([7.0, 8.0, 9.0]))
    assert x.tolist() == [[7, 1, 8], [3, 4, 9]]
    x[on(device, np.array([False, True]))] = 0
    assert x.tolist() == [[7, 1, 8], [0, 0, 0]]
    x[False] = 5
    assert x.tolist() == [[7, 1, 8], [0, 0, 0]]
    scalar = on(device, np.array(2.0))
    scalar[...] = 3
    assert scalar.item() == 3 and scalar[None].shape == (1,) and scalar[()].shape == ()


@pytest.mark.parametrize("device", DEVICES)
def test_values_are_cast_and_broadcast(device):
    x = on(device, np.zeros((2, 3), np.float32))
    x[0] = on(device, np.array([1, 2, 3]))
    x[1:] = on(device, np.array([[[4.0, 5.0, 6.0]]]))  # leading dimensions of size 1 are passed over
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
    x[:, 0] = [7, 8]
    x[1] = np.array([1.0, 2.0, 3.0])
    x[0, 0] = on("cpu", np.array(9.0))
    assert x.tolist() == [[9, 2, 3], [1, 2, 3]]
    whole = on(device, np.zeros(2, np.int64))
    whole[0], whole[1] = 1.9, True
    assert whole.tolist() == [1, 1]
    with pytest.raises(TypeError, match="expected a number or a Tensor as the value, got str"):
        x[0] = "a"


@pytest.mark.parametrize("device", DEVICES)
def test_writing_what_overlaps(device):
    x = on(device, np.arange(5.0))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[[4, 0]] = x[:2]
    assert x.tolist() == [0, 0, 1, 2, 0]
    x[2] += 5
    assert x.tolist() == [0, 0, 6, 2, 0]


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_recorded(device):
    x, w = on(device, np.ones(4), requires_grad=True), on(device, np.full(4, 3.0), requires_grad=True)
    buffer = on(device, np.zeros(4))
    buffer[1:3] = w[:2] * 2  # a leaf without gradient takes the value's history
    assert buffer.requires_grad and not buffer.is_leaf
    y = buffer * x
    y[0] = 5.0
    y[[3, 3]] = w[2]
    y.backward(on(device, np.array([1.0, 10.0, 100.0, 1000.0])))
    assert x.grad.tolist() == [0, 60, 600, 0] and w.grad.tolist() == [20, 200, 1000, 0]
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient cannot be changed in place"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient cannot be changed in place"):
        x[[0]] = 1.0
    z = x * 2
    with pytest.raises(RuntimeError, match="this tensor is a view"):
        z[1:][0] = 1.0
    with tg.no_grad():
        x[:2] = 0
    assert x.tolist() == [0, 0, 1, 1] and x.is_leaf and x.requires_grad


@pytest.mark.parametrize("device", DEVICES)
def test_a_kept_tensor_that_was_written_is_an_error(device):
    x = on(device, np.ones(3), requires_grad=True)
    y = x * 2
    z = y * y
    y[0] = 1.0
    with pytest.raises(
        RuntimeError, match=r"mul needs for its gradient was changed .* at version 0, now it is at version 1"
    ):
        z.backward(on(device, np.ones(3)))


def test_zero_forgets_the_history():
    x = on("cpu", np.ones(3), requires_grad=True)
    y = (x * 2).zero_()
    (y + x).backward(on("cpu", np.ones(3)))
    assert x.grad.tolist() == [1, 1, 1]


def test_gradients_of_gradients():
    x, v = on("cpu", np.array([1.0, 2.0, 3.0]), True), on("cpu", np.array([4.0, 5.0]), True)

    def f(x, v):
        y = x * x
        y[[2, 0]] = v * v
        y[1:2] = y[2].clone() * v[0]
        return y[[0, 1, 1, 2]] * x[0]

    assert tg.autograd.gradcheck(f, (x, v)) and tg.autograd.gradgradcheck(f, (x, v))


def test_sums_of_repeats_do_not_vary(rng):
    grad, index = rng.normal(size=500).astype(np.float32), rng.integers(0, 7, 500)
    found = []
    for _ in range(2):
        x = on("interpreter", np.zeros(7, np.float32), True)
        x[index].backward(on("interpreter", grad))
        found.append(x.grad.host())
    np.testing.assert_array_equal(*found)
    exact = np.zeros(7)
    np.add.at(exact, index, grad.astype(np.float64))
    np.testing.assert_allclose(found[0], exact, rtol=0, atol=4 * 2.0**-23 * np.sqrt(500) * np.abs(exact).max())


@pytest.mark.parametrize(
    "index, kind, message",
    [
        (([2], 0), IndexError, "index 2 is out of range for dimension 0 of size 2"),
        ((slice(None), [-4]), IndexError, "index -4 is out of range for dimension 1 of size 3"),
        (-3, IndexError, "index -3 is out of range for dimension 0 of size 2"),
        (np.zeros((3, 2), bool), IndexError, "the mask has shape (3, 2), the dimensions it is for have (2, 3)"),
        (([0, 1], [0, 1, 2]), IndexError, "the arrays of an index must broadcast, these have shapes (2,) and (3,)"),
        (np.zeros((2, 3, 1), bool), IndexError, "3 dimensions are indexed, the tensor has 2"),
        (np.array([1.0]), IndexError, "a tensor in an index must be an integer or a bool one, got float64"),
        (
            np.array([1], np.uint8),
            IndexError,
            "a tensor in an index must be an integer or a bool one, got uint8, which could mean either",
        ),
        (
            1.0,
            IndexError,
            "an index is made of integers, slices, None, Ellipsis, masks and arrays of integers, got float",
        ),
        ([[0], [0, 1]], IndexError, "a list in an index must have elements of one length"),
        ([slice(None)], IndexError, "a list in an index must hold integers or bools; separate other parts by commas"),
        (slice(0, 1.5), TypeError, "the bounds of a slice must be integers or None, got float"),
        (slice(None, None, 0), ValueError, "the step of a slice must be positive, got 0"),
    ],
)
def test_messages(index, kind, message):
    x = on("cpu", np.zeros((2, 3)))
    for name, call in (("getitem", lambda: x[index]), ("setitem", lambda: x.__setitem__(index, 1.0))):
        with pytest.raises(kind) as raised:
            call()
        assert str(raised.value) == f"{name}: {message}"
    assert x.tolist() == [[0] * 3] * 2 and x._version == 0
