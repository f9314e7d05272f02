"""Views: they share memory, they see what is written, and none of it makes a gradient wrong."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.kernels.cat import cat, chunk, split
from trigrad.kernels.create import arange, empty_like, from_numpy, full, full_like, zeros
from trigrad.kernels.reshape import reshape, view
from trigrad.kernels.stack import stack, unbind

DEVICES = ["cpu", "interpreter"]

VIEWS = {
    "view": lambda x: x.view(4, 3),
    "reshape": lambda x: x.reshape(2, 6),
    "flatten": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, -1)),
    "view_as": lambda x: x.view_as(tg.tensor(np.zeros(12))),
    "permute": lambda x: x.permute(1, 0),
    "transpose": lambda x: x.transpose(0, -1),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim(0, 1),
    "squeeze": lambda x: x.squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "select": lambda x: x.select(0, 1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "int": lambda x: x[-1],
    "slice": lambda x: x[1:, ::2],
    "new dimension": lambda x: x[:, None],
    "Ellipsis": lambda x: x[..., 1],
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "of a view": lambda x: x.T[1:].unsqueeze(0)[0, 0],
}


def on(device, array, requires_grad=False):
    return tg.tensor(array, device=device, requires_grad=requires_grad)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shares_memory_and_version(name, device):
    x = on(device, np.arange(12.0).reshape(3, 4))
    v = VIEWS[name](x)
    before = v.host().copy()
    x.fill_(-1.0)
    assert not np.array_equal(before, v.host())
    np.testing.assert_array_equal(v.host(), np.full(v.shape, -1.0))
    v.fill_(7.0)
    assert (x.host() == 7).sum() == v.numel()
    assert v._version == x._version == 2
    assert v.storage_offset() * v.element_size() == v.data_ptr() - x.data_ptr()


@pytest.mark.parametrize("device", DEVICES)
def test_reshape_copies_where_strides_allow_no_view(device):
    x = on(device, np.arange(6.0).reshape(2, 3))
    with pytest.raises(
        RuntimeError, match=r"view: a tensor of shape \(3, 2\) with strides \(1, 3\) has no view of shape \(6,\)"
    ):
        x.T.view(6)
    y = x.T.reshape(-1)
    assert y.tolist() == [0, 3, 1, 4, 2, 5]
    y.fill_(9.0)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert y._version == 1 and x._version == 0
    w = on(device, np.arange(6.0).reshape(2, 3), requires_grad=True)
    z = (w * 1).T.reshape(-1)
    z.mul_(2)  # a copy is no view: a recorded change in place is allowed
    z.backward(on(device, np.arange(6.0)))
    np.testing.assert_array_equal(w.grad.host(), 2 * np.arange(6.0).reshape(3, 2).T)


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_through_chains_of_views(device):
    x = on(device, np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    y = x.permute(2, 0, 1)[1:, :, ::2].flatten(1).unsqueeze(0).transpose(1, 2).reshape(-1)
    weight = np.arange(1.0, y.numel() + 1)
    y.backward(on(device, weight))
    places = (
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[1:, :, ::2].reshape(3, -1)[None].swapaxes(1, 2).reshape(-1)
    )
    expected = np.zeros(24)
    expected[places] = weight
    np.testing.assert_array_equal(x.grad.host().reshape(-1), expected)


def test_a_recorded_change_of_a_view_is_refused():
    x = on("cpu", np.ones(3), requires_grad=True)
    y = x * 2
    for change in (lambda: y[0].fill_(1.0), lambda: y[1:].mul_(2.0), lambda: y.view(3, 1).zero_()):
        with pytest.raises(RuntimeError, match="this tensor is a view"):
            change()
    with tg.no_grad():
        part = y[1:]
    with pytest.raises(RuntimeError, match="this tensor is a view"):
        part.fill_(0.0)  # taken unrecorded, but what it would change is recorded
    assert y.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient cannot be changed in place"):
        x.fill_(0.0)
    with tg.no_grad():
        x[0] = 5.0
    assert x.tolist() == [5, 1, 1] and x.is_leaf


def test_a_view_taken_before_a_recorded_change_is_out_of_date():
    x = on("cpu", np.ones(3), requires_grad=True)
    y = x * 2
    part = y[:2]
    y[0] = 7.0
    assert part.tolist() == [7, 2]
    with pytest.raises(RuntimeError, match="take the view again"):
        part * 1
    again = y[:2] * on("cpu", np.array([3.0, 4.0]))
    again.backward(on("cpu", np.ones(2)))
    assert x.grad.tolist() == [0, 8, 0]


@pytest.mark.parametrize("device", DEVICES)
def test_a_kept_tensor_that_was_changed_through_a_view_is_an_error(device):
    x, w = on(device, np.ones(3), requires_grad=True), on(device, np.full(3, 2.0))
    y = x * w
    w[1:].fill_(5.0)
    with pytest.raises(RuntimeError, match="a tensor that mul needs for its gradient was changed in place"):
        y.backward(on(device, np.ones(3)))


def test_a_repeated_place_is_not_written():
    x = on("cpu", np.ones((2, 1)))
    for device in DEVICES:
        wide = on(device, np.ones((2, 1))).expand(2, 3)
        with pytest.raises(RuntimeError, match="several of its elements are one place in memory"):
            wide.fill_(0.0)
    assert x.tolist() == [[1], [1]]


@pytest.mark.parametrize("device", DEVICES)
def test_joining_and_cutting_are_each_others_gradient(device):
    a, b = on(device, np.arange(4.0).reshape(2, 2), True), on(device, np.arange(2.0).reshape(2, 1), True)
    parts = split(cat([a, b, a], 1), [1, 3, 1], 1)
    (parts[0] * 10).backward(on(device, np.ones((2, 1))), retain_graph=True)
    assert a.grad.tolist() == [[10, 0], [10, 0]] and b.grad.tolist() == [[0], [0]]
    parts[1].backward(on(device, np.arange(6.0).reshape(2, 3)))
    assert a.grad.tolist() == [[12, 0], [15, 3]] and b.grad.tolist() == [[1], [4]]
    c = on(device, np.arange(3.0), True)
    first, _, third = unbind(stack([c, c], 1), 0)
    tg.autograd.backward(first * third, on(device, np.ones(2)))
    assert c.grad.tolist() == [4, 0, 0]
    assert [p.shape for p in chunk(c, 2)] == [(2,), (1,)] and [float(v) for v in c] == [0, 1, 2]


def test_second_gradients_pass_through_several_outputs():
    x = on("cpu", np.array([2.0, 3.0, 5.0]), True)

    def f(x):
        a, b, c = x.unbind()
        return stack([a * b, b * c * c])

    assert tg.autograd.gradcheck(f, x) and tg.autograd.gradgradcheck(f, x)
    assert tg.autograd.gradgradcheck(lambda x: cat(split(x * x, [2, 1])[::-1]) * x, x)


@pytest.mark.parametrize("device", DEVICES)
def test_what_a_tensor_says_of_itself(device):
    x = on(device, np.arange(24.0, dtype=np.float32).reshape(2, 3, 4))
    assert (x.size(), x.size(-1), x.dim(), x.numel(), x.stride(), x.stride(1)) == ((2, 3, 4), 4, 3, 24, (12, 4, 1), 4)
    assert x.element_size() == x.itemsize == 4 and x.nbytes == 96 and x.is_floating_point() and not x.is_complex()
    assert x.is_contiguous() and not x.T.is_contiguous() and x[1, 1:].storage_offset() == 16
    assert x.is_cpu == (device == "cpu") and not x.is_cuda and len(x) == 2
    assert 5.0 in x and 99.0 not in x
    with pytest.raises(IndexError, match="size: dimension 3 is out of range"):
        x.size(3)
    with pytest.raises(TypeError, match="0-d"):
        iter(x[0, 0, 0])
    assert (
        x.new_zeros(2).device is x.device
        and x.new_full((1,), 3).tolist() == [3.0]
        and x.new_tensor([1]).dtype is x.dtype
    )


def test_channels_last_is_an_order_of_memory():
    from trigrad.framework.layout import channels_last, contiguous_format, preserve_format

    x = tg.tensor(np.zeros((2, 5, 5, 3))).permute(0, 3, 1, 2)
    assert x.shape == (2, 3, 5, 5) and x.is_contiguous(memory_format=channels_last) and not x.is_contiguous()
    assert x.contiguous().is_contiguous(contiguous_format) and not x[0].is_contiguous(channels_last)
    with pytest.raises(RuntimeError, match="preserve_format is no order"):
        x.is_contiguous(preserve_format)
    with pytest.raises(TypeError, match="expected a memory format"):
        x.is_contiguous("channels_last")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_creation_in_every_dtype(device, dtype):
    assert full((2, 3), 1, dtype=dtype, device=device).tolist() == [[1] * 3] * 2
    x = zeros(3, dtype=dtype, device=device)
    assert x.tolist() == [0] * 3 and full_like(x, 1).tolist() == [1] * 3 and empty_like(x).shape == (3,)
    x[1:] = 1
    assert x.tolist() == [0, 1, 1] and x.dtype.name == dtype
    assert x.fill_(1).tolist() == [1] * 3 and x.T.zero_().tolist() == [0] * 3
    assert arange(2, dtype=dtype, device=device).tolist() == [0, 1]


def test_from_numpy_shares_memory():
    array = np.arange(3.0)
    x = from_numpy(array)
    array[0] = 9
    x[1] = 8
    assert x.tolist() == [9, 8, 2] and array.tolist() == [9, 8, 2]
    with pytest.raises(TypeError, match="no dtype shares the memory"):
        from_numpy(np.zeros(2, ">f4"))
    array.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        from_numpy(array).fill_(0.0)


def test_copy_between_dtypes_and_devices():
    x = zeros(2, 3)
    assert x.copy_(tg.tensor([1, 2, 3], device="interpreter")) is x
    assert x.tolist() == [[1, 2, 3], [1, 2, 3]]
    w = tg.tensor([2.0, 3.0, 4.0], requires_grad=True)
    y = zeros(2, 3).copy_(w * w)
    y.backward(tg.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    assert w.grad.tolist() == [8, 6, 8]
    with pytest.raises(RuntimeError, match="does not broadcast"):
        x.copy_(zeros(2))


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda x: reshape(x, 1.5), TypeError, "reshape: expected integers or one tuple of integers, got float"),
        (
            lambda x: reshape(x, 0, -1),
            RuntimeError,
            "reshape: the size -1 in (0, -1) can be anything, since the others hold no element",
        ),
        (lambda x: reshape(x, -2, 3), RuntimeError, "reshape: sizes must not be negative, but for one -1, got (-2, 3)"),
        (lambda x: view(x, 5), RuntimeError, "view: shape (5,) has 5 elements, the input has 6"),
        (
            lambda x: x.flatten(1, 0),
            RuntimeError,
            "flatten: start_dim 1 comes after end_dim 0 in a tensor of 2 dimensions",
        ),
        (
            lambda x: x.unflatten(0, (3, -1)),
            RuntimeError,
            "unflatten: shape (3, -1) does not divide the input's 2 elements",
        ),
        (lambda x: x.unflatten(0, ()), RuntimeError, "unflatten: expected at least one size"),
        (lambda x: x[0, 0].unflatten(0, (1,)), RuntimeError, "unflatten: a 0-d tensor has no dimension to split"),
        (
            lambda x: x.transpose(0, 2),
            IndexError,
            "transpose: dimension 2 is out of range for a tensor of 2 dimensions",
        ),
        (lambda x: x.transpose(0, 1.0), TypeError, "transpose: a dimension must be an integer, got float"),
        (lambda x: x.unsqueeze(0).t(), RuntimeError, "t: expected at most 2 dimensions, got 3"),
        (lambda x: x.movedim((0, 1), 0), RuntimeError, "movedim: source (0, 1) and destination 0 differ in length"),
        (lambda x: x[0].mT, RuntimeError, "mT: expected at least 2 dimensions, got 1"),
        (lambda x: x[0].H, RuntimeError, "H: expected a matrix, got 1 dimensions"),
        (
            lambda x: x.narrow(1, 2, 2),
            RuntimeError,
            "narrow: start 2 and length 2 go past the end of dimension 1 of size 3",
        ),
        (lambda x: x.narrow(1, 4, 0), IndexError, "narrow: start 4 is out of range for dimension 1 of size 3"),
        (lambda x: x.narrow(1, 0, -1), RuntimeError, "narrow: length must not be negative, got -1"),
        (lambda x: x[0, 0].narrow(0, 0, 1), RuntimeError, "narrow: a 0-d tensor has no dimension to narrow"),
        (lambda x: x[0, 0].select(0, 0), IndexError, "select: a 0-d tensor has no dimension to select from"),
        (lambda x: x.select(1, 3), IndexError, "select: index 3 is out of range for dimension 1 of size 3"),
        (lambda x: x.chunk(0), RuntimeError, "chunk: expected a positive number of parts, got 0"),
        (lambda x: x[0, 0].chunk(1), RuntimeError, "chunk: a 0-d tensor cannot be cut"),
        (lambda x: x[0, 0].split(1), RuntimeError, "split: a 0-d tensor cannot be cut"),
        (lambda x: x[0, 0].unbind(), IndexError, "unbind: a 0-d tensor has no dimension to take slices along"),
        (lambda x: cat(x), TypeError, "cat: expected a tuple or list of Tensors, got Tensor"),
        (lambda x: cat([x, 1.0]), TypeError, "cat: expected a tuple or list of Tensors, one of these is float"),
        (lambda x: x.fill_(x), RuntimeError, "fill_: expected a number or a 0-d tensor, got 2 dimensions"),
        (lambda x: x.copy_(1.0), TypeError, "copy_: expected a Tensor, got float"),
        (lambda x: zeros(2, -1), RuntimeError, "zeros: sizes must not be negative, got (2, -1)"),
        (lambda x: full((2,), "a"), TypeError, "full: expected a number, got str"),
        (lambda x: arange(1, 0), RuntimeError, "arange: step 1 leads from start 1 away from end 0"),
        (lambda x: arange(0, 1, 0), RuntimeError, "arange: step must not be 0"),
        (lambda x: arange(float("inf")), RuntimeError, "arange: expected finite numbers, got start 0, end inf, step 1"),
        (
            lambda x: zeros(2, dtype="int64", requires_grad=True),
            RuntimeError,
            "requires_grad: only floating tensors have gradients, this one is int64",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind) as raised:
        call(on("cpu", np.zeros((2, 3))))
    assert str(raised.value) == message
