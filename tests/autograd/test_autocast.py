"""autocast: which dtype a row runs in, how gradients come back, what is kept and what regions do to each other."""

import threading

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.framework.op import OPS
from trigrad.framework.record import Recorder
from trigrad.nn import functional as F

HALF = {"linear", "linear_bias", "matmul", "mm", "bmm", "conv2d", "conv2d_bias"} | {
    "conv_transpose2d",
    "conv_transpose2d_bias",
}
WIDE = {"softmax", "log_softmax", "cross_entropy", "nll_loss", "mse_loss", "binary_cross_entropy_with_logits"} | {
    "sum",
    "pow",
    "exp",
    "log",
}


@pytest.fixture(params=["cpu", "interpreter"])
def device(request):
    return request.param


def data(device, *shape, dtype=tg.float32):
    return tg.tensor(np.random.default_rng(0).normal(size=shape)).to(device, dtype)


def test_the_rows_that_say_so():
    assert {n for n, op in OPS.items() if op.autocast == "half"} >= HALF
    assert {n for n, op in OPS.items() if op.autocast == "float32"} >= WIDE
    assert not any(op.autocast for n, op in OPS.items() if n.endswith("_backward") or n in ("to", "add", "sum_to"))


def test_dtypes(device):
    x, w, b, image = (data(device, *s) for s in [(4, 5), (3, 5), (3,), (2, 3, 6, 6)])
    half = x.to(dtype=tg.bfloat16)
    with tg.autocast(device, tg.bfloat16):
        for out in (
            x @ w.T,
            tg.mm(half, w.T),
            tg.matmul(x[0], w[1]),
            tg.bmm(image[0], image[1]),
            F.linear(x, w, b),
            F.linear(half, w),
            F.conv2d(image, image[:, :, :2, :2], b[:2]),
            F.conv_transpose2d(image, image[0, :, None, :2, :2]),
            F.relu(half),
            half + 1.5,
            half + half,
            half.mean(),
            F.max_pool2d(image.to(dtype=tg.bfloat16), 2),
        ):
            assert out.dtype is tg.bfloat16
        for out in (
            half + x,
            half * x,
            tg.cat([half, x]),
            F.softmax(half, 1),
            F.log_softmax(half, 1),
            tg.exp(half),
            tg.log(half.abs()),
            half**2,
            half.sum(),
            F.mse_loss(half, half),
            F.cross_entropy(half, tg.tensor([0, 1, 2, 3]).to(device)),
            F.binary_cross_entropy_with_logits(half, x.sigmoid()),
        ):
            assert out.dtype is tg.float32
        assert (x.double() @ w.double().T).dtype is tg.float64
        with pytest.raises(RuntimeError, match="one dtype"):
            x.double() @ w.T
    assert (x @ w.T).dtype is tg.float32


def test_values_are_those_of_casting_by_hand(device):
    x, w, b = (data(device, *s).requires_grad_() for s in [(4, 5), (3, 5), (3,)])
    with tg.autocast(device, tg.bfloat16):
        out = F.linear(x, w, b)
        loss = (out * out).sum()
    loss.backward()
    found = [t.grad.tolist() for t in (x, w, b)]
    assert all(t.grad.dtype is tg.float32 for t in (x, w, b))
    for t in (x, w, b):
        t.grad = None
    by_hand = F.linear(*(t.to(dtype=tg.bfloat16) for t in (x, w, b)))
    assert out.tolist() == by_hand.tolist()
    (by_hand * by_hand).to(dtype=tg.float32).sum().backward()
    assert found == [t.grad.tolist() for t in (x, w, b)]


def test_parameters_are_cast_once(device):
    w = nn.Parameter(data(device, 3, 3))
    x = data(device, 2, 3)
    with tg.autocast(device, tg.bfloat16):
        first, second = x @ w, x @ w
        kept = [out.grad_fn.next_functions[1][0] for out in (first, second)]
        assert kept[0] is kept[1] and kept[0].name() == "ToBackward"
        with tg.no_grad():
            assert not (x @ w).requires_grad
        with tg.autocast(device, enabled=False):
            assert (x @ w).dtype is tg.float32
        third = x @ w
        assert third.grad_fn.next_functions[1][0] is kept[0]
        with tg.no_grad():
            w.mul_(2.0)  # as an optimizer does: the cast is out of date
        fourth = x @ w
        assert fourth.grad_fn.next_functions[1][0] is not kept[0]
        with tg.no_grad():
            assert fourth.tolist() == (x @ w).tolist() == (first.detach() * 2).tolist()
    (first.sum() + second.sum()).backward()
    once = w.grad.clone()
    w.grad = None
    fourth.sum().backward()
    assert (w.grad * 2).tolist() == once.tolist()
    with tg.autocast(device, tg.bfloat16, cache_enabled=False):
        assert (x @ w).grad_fn.next_functions[1][0] is not (x @ w).grad_fn.next_functions[1][0]
    from trigrad.autograd.mode import mode

    assert mode.cast_cache is None and mode.casting == {} and mode.cast_depth == 0


def test_backward_runs_as_forward_did(device):
    w = nn.Parameter(data(device, 3, 3))
    x = data(device, 2, 3)
    with tg.autocast(device, tg.bfloat16):
        (x @ w).sum().backward()
        inside = w.grad.tolist()
    w.grad = None
    with tg.autocast(device, tg.bfloat16):
        loss = (x @ w).sum()
    loss.backward()
    assert w.grad.tolist() == inside
    y = data(device, 3, 3).requires_grad_()
    for create_graph in (False, True):  # nothing is cast that forward did not cast
        loss = (y @ y).exp().sum()
        with tg.autocast(device, tg.bfloat16):
            (g,) = tg.autograd.grad(loss, y, create_graph=create_graph)
        if not create_graph:
            plain = g.tolist()
    assert g.tolist() == plain and g.requires_grad


def test_second_gradients(device):
    w = nn.Parameter(data(device, 3, 3))
    x = data(device, 2, 3)
    with tg.autocast(device, tg.bfloat16):
        out = (x @ w) ** 2
    (g,) = tg.autograd.grad(out.sum(), w, create_graph=True)
    (g * g).sum().backward()
    assert g.dtype is tg.float32 and w.grad.dtype is tg.float32 and np.isfinite(w.grad.cpu().numpy()).all()


def test_regions(device):
    x = data(device, 2, 2)
    product = lambda: (x @ x).dtype  # noqa: E731
    other = "interpreter" if device == "cpu" else "cpu"
    with tg.autocast(device, tg.bfloat16):
        assert product() is tg.bfloat16 and tg.is_autocast_enabled(device) and not tg.is_autocast_enabled(other)
        with tg.autocast(device, tg.float16):
            assert product() is tg.float16 and tg.get_autocast_dtype(device) is tg.float16
            with tg.autocast(device, enabled=False):
                assert product() is tg.float32 and not tg.is_autocast_enabled(device)
            with tg.autocast(other):
                assert product() is tg.float16
        assert product() is tg.bfloat16
    with tg.autocast(other):
        assert product() is tg.float32
    with pytest.raises(KeyError), tg.autocast(device):
        raise KeyError
    assert product() is tg.float32

    @tg.autocast(device, tg.bfloat16)
    def inside(again):
        return product() if again == 0 else inside(again - 1)

    assert inside(3) is tg.bfloat16 and product() is tg.float32
    region = tg.autocast(device, tg.bfloat16)
    with region, region:
        assert product() is tg.bfloat16
    assert product() is tg.float32


def test_threads_have_regions_of_their_own():
    x = data("cpu", 2, 2)
    found = []
    with tg.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert (x @ x).dtype is tg.bfloat16
    assert found == [tg.float32]


def test_defaults_and_errors():
    assert [tg.get_autocast_dtype(d).name for d in ("cpu", "cuda", "interpreter")] == ["bfloat16", "float16", "float16"]
    with pytest.raises(RuntimeError, match="expected device_type to be one of cpu, cuda, interpreter, got 'tpu'"):
        tg.autocast("tpu")
    with pytest.raises(ValueError, match="expected device_type to be a str"):
        tg.autocast(tg.float16)
    with pytest.warns(UserWarning, match="nothing is cast"):
        region = tg.autocast("cpu", tg.float64)
    x = data("cpu", 2, 2)
    with region:
        assert (x @ x).dtype is tg.float32
    with tg.cuda.amp.autocast(), tg.amp.autocast("cuda", enabled=False):
        assert not tg.is_autocast_enabled()
    assert tg.amp.is_autocast_available("cpu") and not tg.amp.is_autocast_available("tpu")


def test_what_a_gpu_is_given():
    """On a recorded GPU a layer in a region launches products of half types only."""
    with Recorder("sm_90") as recorder, tg.autocast("cuda"):
        net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 8)).to(recorder.device)
        out = net(tg.randn(32, 64).to(recorder.device))
        assert out.dtype is tg.float16
        out.float().sum().backward()
        assert all(p.grad.dtype is tg.float32 for p in net.parameters())


class Scaled(tg.Function):
    """Notes the dtypes that it meets."""

    seen: list = []

    @staticmethod
    @tg.amp.custom_fwd(device_type="cpu")
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        out = x @ w
        Scaled.seen.append(out.dtype)
        return out

    @staticmethod
    @tg.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        first, second = grad.float() @ w.T, x.T @ grad.float()
        Scaled.seen.append(first.dtype)
        return first.float(), second.float()


class Wide(tg.Function):
    """Asks for float32, wherever it is called."""

    @staticmethod
    @tg.amp.custom_fwd(device_type="cpu", cast_inputs=tg.float32)
    def forward(ctx, x, w):
        return x @ w

    @staticmethod
    @tg.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        return None, None


def test_functions_of_ones_own():
    x, w = data("cpu", 2, 3), nn.Parameter(data("cpu", 3, 3))
    Scaled.seen = []
    with tg.autocast("cpu"):
        out = Scaled.apply(x, w)
    out.float().sum().backward()
    assert Scaled.seen == [tg.bfloat16, tg.bfloat16]
    Scaled.seen = []
    out = Scaled.apply(x, w)
    with tg.autocast("cpu"):
        out.sum().backward()
    assert Scaled.seen == [tg.float32, tg.float32]
    with tg.autocast("cpu"):
        assert Wide.apply(x.bfloat16(), w).dtype is tg.float32
    with pytest.raises(RuntimeError, match="one dtype"):
        Wide.apply(x.bfloat16(), w)
