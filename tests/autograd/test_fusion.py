"""Fused functions: the plain function's results and gradients, bit for bit, from fewer kernels."""

import threading
from collections import Counter

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.framework.device import backend, device
from trigrad.framework.record import Recorder
from trigrad.nn import functional as F

DTYPES = ["float64", "float32", "float16", "bfloat16"]
TARGETS = ["sm_80", "sm_90", "sm_100", "gfx942"]


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that the interpreter runs, as they come."""
    names = []
    kind = type(backend(device("interpreter")))
    launch = kind.launch

    def noted(self, function, *rest, **more):
        names.append(function.__name__)
        return launch(self, function, *rest, **more)

    monkeypatch.setattr(kind, "launch", noted)
    return names


def tensors(arrays, dtype="float32", where="interpreter"):
    return [tg.tensor(a, dtype=getattr(tg, dtype), device=where).requires_grad_() for a in arrays]


def outputs_of(result):
    return result if isinstance(result, tuple) else (result,)


def values_and_gradients(function, inputs):
    """Outputs and gradients of a weighted sum of them."""
    outs = outputs_of(function(*inputs))
    rng = np.random.default_rng(1)
    weights = [tg.tensor(rng.normal(size=o.shape), dtype=o.dtype, device=o.device) for o in outs]
    grads = tg.autograd.grad(outs, inputs, weights, allow_unused=True)
    return [x.detach().cpu().numpy() for x in outs], [None if g is None else g.cpu().numpy() for g in grads]


def same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            assert ours.tobytes() == theirs.tobytes(), (ours, theirs)


FUNCTIONS = {
    "product of curves": (lambda x, y, b: (x * y).tanh() + x.sigmoid() * 2.0, 1, 1),
    "residual": (lambda x, y, b: (x + y).relu(), 1, 1),
    "broadcast": (lambda x, y, b: ((x + b) * y).relu(), 1, 1),
    "several outputs": (lambda x, y, b: (x**2 + 1.0, (x - y).exp()), 1, 1),
    "choice": (lambda x, y, b: tg.where(x > 0, x * y, y * 3.0).abs(), 1, 1),
    "clamped": (lambda x, y, b: F.leaky_relu(x + y, 0.2).clamp(-1.0, 0.5), 1, 1),
    "used twice": (lambda x, y, b: (x * x + x) * x, 1, 1),
    "number first": (lambda x, y, b: 2.0 - 1.0 / (x * x + 1.0), 1, 1),
    "roots": (lambda x, y, b: (x * x + 1.0).sqrt().log() ** 3, 1, 1),
    "gelu": (lambda x, y, b: 0.5 * x * (1.0 + (0.7978845608 * (x + 0.044715 * x**3)).tanh()), 1, 1),
    "larger and smaller": (lambda x, y, b: tg.maximum(x, y) - tg.minimum(x, b), 1, 1),
    "transposed": (lambda x, y, b: (x.T + y.T).T * y, 2, None),
    "split by a sum": (lambda x, y, b: (x * y + b).sum(1, keepdim=True) * x.sigmoid(), 3, None),
    "copy": (lambda x, y, b: (x + 1.0).clone() * y, 1, 1),
    "output and its parent": (lambda x, y, b: (lambda h: (h, h.relu() + y))(x * y), 1, 1),
    "small, then large": (lambda x, y, b: (b * 2.0 + 1.0).exp() * x, 2, None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_those_of_the_plain_function(name, dtype, launched):
    function, forward, backward = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    inputs = tensors([rng.normal(size=(5, 7)), rng.normal(size=(5, 7)), rng.normal(size=7)], dtype)
    plain = values_and_gradients(function, inputs)
    fused = tg.fuse(function)
    launched.clear()
    outs = outputs_of(fused(*inputs))
    assert len(launched) == forward
    launched.clear()
    tg.autograd.grad(outs, inputs, [tg.ones_like(o) for o in outs], allow_unused=True)
    if backward is not None:
        assert sum(name in ("_program", "_elementwise") for name in launched) <= backward
    found = values_and_gradients(fused, inputs)
    same(found[0], plain[0])
    same(found[1], plain[1])


@pytest.mark.parametrize("layout", ["channels last", "gaps", "mixed", "0-d"])
def test_layouts_are_those_of_the_plain_function(layout):
    rng = np.random.default_rng(0)
    if layout == "0-d":
        inputs = tensors([rng.normal(size=()), rng.normal(size=())])
    else:
        x, y = (tg.tensor(rng.normal(size=(2, 5, 4, 6)), dtype=tg.float32, device="interpreter") for _ in range(2))
        if layout == "gaps":
            x, y = x[:, :, ::2], y[:, :, 1::2]
        else:
            x = x.permute(0, 3, 1, 2)
            y = y.permute(0, 3, 1, 2) if layout == "channels last" else y.permute(0, 3, 1, 2).contiguous()
        inputs = [t.detach().requires_grad_() for t in (x, y)]

    def function(x, y):
        h = x * y + 1.0
        return h.relu() * y, h.exp()

    plain, fused = function(*inputs), tg.fuse(function)(*inputs)
    for ours, theirs in zip(fused, plain, strict=True):
        assert ours.stride() == theirs.stride()
    for a, b in zip(
        values_and_gradients(tg.fuse(function), inputs), values_and_gradients(function, inputs), strict=True
    ):
        same(a, b)


def random_function(seed):
    """A function of three tensors made of random steps, some of them not elementwise or not recorded."""
    steps = np.random.default_rng(seed).integers(0, 1 << 30, size=(12, 4)).tolist()

    def function(x, y, b):
        values = [x, y, b]
        for kind, first, second, third in steps:
            p, q = values[first % len(values)], values[second % len(values)]
            k = kind % 13
            if k == 0:
                values.append(p * q)
            elif k == 1:
                values.append(p + q)
            elif k == 2:
                values.append((p - 0.5).tanh())
            elif k == 3:
                values.append(F.leaky_relu(p, 0.1))
            elif k == 4:
                values.append(tg.where(p > q, p, q * 0.5))
            elif k == 5:
                values.append(p.sum(-1, keepdim=True).sigmoid() * q)
            elif k == 6:
                with tg.no_grad():
                    h = p.sigmoid()
                values.append(q * h)
            elif k == 7:
                values.append(p.detach() * q.relu())
            elif k == 8:
                h = p * 1.0
                h.mul_(0.5)
                h += q if q.shape == h.shape else 1.0
                values.append(h)
            elif k == 9:
                values.append(p.clamp(-0.8, 0.9))
            elif k == 10:
                values.append(F.linear(p.tanh(), w(p.shape[-1], p)).relu())
            elif k == 11:
                values.append((p * p + 1.0).sqrt())
            else:
                values.append(p.exp().clamp(max=2.0) - q)
            if third % 5 == 0:
                del values[third % len(values)]
        whole = [v for v in values[-3:] if v.requires_grad]
        return tuple(whole) if whole else (x * 1.0,)

    def w(n, like):
        weights = np.linspace(-1, 1, n * n).reshape(n, n)
        return tg.tensor(weights, dtype=like.dtype, device=like.device)

    return function


@pytest.mark.parametrize("seed", range(40))
def test_random_functions(seed):
    rng = np.random.default_rng(seed)
    inputs = tensors([rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)], "float64")
    function = random_function(seed)
    plain = values_and_gradients(function, inputs)
    found = values_and_gradients(tg.fuse(function), inputs)
    same(found[0], plain[0])
    for ours, theirs in zip(found[1], plain[1], strict=True):  # a leaf's many gradients may be added in another order
        if theirs is None:
            assert ours is None
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(theirs).max()))


def network():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(6, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 5, 4, 2, 1),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(5 * 64, 4),
        nn.Tanh(),
    )


def trained(net, x, plainly, steps=2):
    """Losses, gradients and state after a few steps."""
    forward = nn.Sequential.forward
    if plainly:
        nn.Sequential.forward = _one_after_another
    try:
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
        found = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            found.append(loss.detach().cpu().numpy())
            found += [p.grad.cpu().numpy().copy() for p in net.parameters()]
            optimizer.step()
        net.eval()
        with tg.no_grad():
            found.append(net(x).cpu().numpy())
        return found + [v.cpu().numpy().copy() for v in net.state_dict().values()]
    finally:
        nn.Sequential.forward = forward


def _one_after_another(self, input):
    for module in self:
        input = module(input)
    return input


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sequential_learns_the_same_with_fewer_kernels(dtype, launched):
    kernels, found = [], []
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)), dtype=getattr(tg, dtype), device="interpreter")
    for plainly in (True, False):
        tg.manual_seed(0)
        net = network().to("interpreter").to(getattr(tg, dtype))
        launched.clear()
        found.append(trained(net, x, plainly))
        kernels.append(len(launched))
    same(found[1], found[0])
    assert kernels[1] <= kernels[0] - 3 * 3  # of every forward pass at least three activations


def test_sequential_on_the_cpu_fuses_nothing():
    tg.manual_seed(0)
    net = network()
    x = tg.randn(2, 3, 8, 8)
    assert net(x).grad_fn.name() == "TanhBackward" and net.forward(x).dtype is tg.float32


def test_the_graph_of_a_layer_and_its_activation_has_both_nodes():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.LeakyReLU(0.1)).to("interpreter")
    out = net(tg.ones(2, 4, device="interpreter"))
    names = []
    node = out.grad_fn
    while node is not None:
        names.append(node.name())
        node = next((n for n, _ in node.next_functions if n is not None and n.name() != "AccumulateGrad"), None)
    assert names == ["LeakyReluBackward", "LinearBiasBackward", "ReluBackward", "LinearBiasBackward"]


def test_hooks_see_what_they_would_see_and_may_change_it():
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.Tanh()).to("interpreter")
    x = tg.randn(2, 4, device="interpreter")
    seen = []
    before = net(x).detach().cpu().numpy()
    handles = [m.register_forward_hook(lambda m, args, out: seen.append(out)) for m in net]
    np.testing.assert_array_equal(net(x).detach().cpu().numpy(), before)
    assert [type(t) for t in seen] == [tg.Tensor] * 4
    np.testing.assert_array_equal(seen[1].detach().cpu().numpy(), np.maximum(seen[0].detach().cpu().numpy(), 0))
    for handle in handles:
        handle.remove()
    net[0].register_forward_hook(lambda m, args, out: out * 0)
    np.testing.assert_array_equal(seen[1].detach().cpu().numpy() >= 0, True)
    assert (net(x).detach().cpu().numpy() != before).any()
    gradients = []
    net[2].register_forward_hook(lambda m, args, out: out.register_hook(gradients.append) and None)
    net(x).sum().backward()
    assert gradients[0].shape == (2, 3)


def test_activation_modules_of_ones_own_and_in_place_ones():
    class Square(nn.Module):
        def forward(self, x):
            return x * x

    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 3), Square(), nn.Linear(3, 1))
    cpu = values_and_gradients(net, [tg.ones(2, 4).requires_grad_()])
    net.to("interpreter")
    ours = values_and_gradients(net, [tg.ones(2, 4, device="interpreter").requires_grad_()])
    for a, b in zip(ours[0] + ours[1], cpu[0] + cpu[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Block(nn.Module):
    """A residual block as PyTorch's users write it."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + x)


def test_a_residual_block(launched):
    found, kernels = [], []
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 5))
    for forward in (Block.forward, tg.fuse(Block.forward)):
        tg.manual_seed(0)
        block = Block(4).to("interpreter")
        input = tg.tensor(x, dtype=tg.float32, device="interpreter", requires_grad=True)
        launched.clear()
        out = forward(block, input)
        kernels.append(Counter(launched)["_elementwise"] + Counter(launched)["_program"])
        out.sum().backward()
        found.append([out.detach(), input.grad, *(p.grad for p in block.parameters()), *block.buffers()])
    same(*[[t.cpu().numpy() for t in f] for f in reversed(found)])
    assert kernels[1] < kernels[0]


def test_second_derivatives():
    function = tg.fuse(lambda x, y: ((x * y).tanh() * x + y.exp()).sigmoid())
    rng = np.random.default_rng(0)
    inputs = tensors([rng.normal(size=(2, 3)), rng.normal(size=(2, 3))], "float64")
    assert tg.autograd.gradcheck(function, inputs) and tg.autograd.gradgradcheck(function, inputs)


def test_second_derivatives_through_kept_outputs_and_broadcasts():
    function = tg.fuse(lambda x, b: ((x + b).exp() * b, (x * 2.0).sigmoid() + b))
    rng = np.random.default_rng(0)
    inputs = tensors([rng.normal(size=(2, 3)), rng.normal(size=3)], "float64")
    assert tg.autograd.gradgradcheck(function, inputs)


def test_backward_twice_and_freed_graphs():
    x = tg.ones(3, device="interpreter", requires_grad=True)
    out = tg.fuse(lambda x: (x * x).exp() + 1.0)(x).sum()
    out.backward(retain_graph=True)
    first = x.grad.cpu().numpy().copy()
    out.backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), 2 * first)
    with pytest.raises(RuntimeError, match="the graph was freed by a backward before"):
        out.backward()


def test_a_kept_tensor_that_is_changed_in_place():
    x = tg.ones(3, device="interpreter", requires_grad=True)
    out = tg.fuse(lambda x: (x + 1.0).exp())(x)
    out.detach().mul_(2.0)
    with pytest.raises(RuntimeError, match="fused rows need for their gradient was changed in place"):
        out.sum().backward()


def test_control_flow_and_reading_values():
    @tg.fuse
    def function(x):
        y = x * 2.0 + 1.0
        return y.exp() + 1.0 if y.sum().item() > 0 else (y - 1.0).relu()

    for sign in (1.0, -1.0):
        x = tg.full((4,), sign, device="interpreter")
        y = sign * 2 + 1
        expected = np.exp(np.float32(y)) + 1 if y > 0 else max(y - 1, 0)
        np.testing.assert_allclose(function(x).cpu().numpy(), expected, rtol=1e-6)


def test_writes_inside_wait_for_nobody():
    """What was read before a write is read before it, whoever writes."""

    @tg.fuse
    def function(x, y):
        a = x * 2.0
        x.add_(1.0)
        b = x * 2.0
        x[0] = 7.0
        c = x + a
        x.fill_(3.0)
        y.copy_(b)
        return a, b, c, x * 1.0

    x, y = (tg.ones(3, device="interpreter") for _ in range(2))
    found = [t.tolist() for t in function(x, y)]
    assert found == [[2.0] * 3, [4.0] * 3, [9.0, 4.0, 4.0], [3.0] * 3] and y.tolist() == [4.0] * 3


def test_a_write_that_nobody_saw():
    @tg.fuse
    def function(x):
        y = x + 1.0
        x.storage.version += 1
        return y

    with pytest.raises(RuntimeError, match="fuse: a tensor that add reads was changed in place"):
        function(tg.ones(3, device="interpreter"))


def test_what_leaves_by_another_door():
    kept = []

    @tg.fuse
    def function(x):
        h = x * 2.0
        kept.append(h)
        return (h + 1.0).relu()

    x = tg.ones(3, device="interpreter", requires_grad=True)
    out = function(x)
    assert type(kept[0]) is tg.Tensor and kept[0].tolist() == [2.0] * 3
    (kept[0].sum() + out.sum()).backward()
    assert x.grad.tolist() == [4.0] * 3


def test_an_exception_inside_leaves_everything_usable():
    kept = []

    @tg.fuse
    def function(x):
        kept.append(x * 2.0)
        raise KeyError("ours")

    with pytest.raises(KeyError):
        function(tg.ones(3, device="interpreter"))
    assert kept[0].tolist() == [2.0] * 3 and (kept[0] + 1.0).grad_fn is None
    assert type(tg.ones(3, device="interpreter") * 2.0) is tg.Tensor


def test_pending_tensors_look_like_tensors():
    @tg.fuse
    def function(x):
        y = x * 2.0
        z = x > 1.0
        assert isinstance(y, tg.Tensor) and y.shape == (2, 3) and y.dtype is tg.float32 and y.requires_grad
        assert y.device == x.device and y.ndim == y.dim() == 2 and y.numel() == 6 and y.size() == (2, 3)
        assert z.dtype is tg.bool and not z.requires_grad and len(y) == 2 and y.size(1) == 3 and y.is_floating_point()
        w = x * 3.0
        assert w.detach().tolist() == [[3.0] * 3] * 2 and not w.is_leaf and repr(x * 1.0).startswith("tensor")
        v = x - 1.0
        v.retain_grad()
        return (y + v).sum(), v

    x = tg.ones(2, 3, device="interpreter", requires_grad=True)
    out, v = function(x)
    out.backward()
    assert v.grad.tolist() == [[1.0] * 3] * 2


def test_long_chains_are_cut():
    @tg.fuse
    def function(x):
        for _ in range(100):
            x = x * 1.5 - x
        return x

    x = tg.ones(2, device="interpreter")
    np.testing.assert_allclose(function(x).cpu().numpy(), 0.5**100)


def test_other_threads_go_on_as_ever():
    types = []

    def elsewhere():
        x = tg.ones(2, device="interpreter")
        types.append(type(x * 2.0))

    @tg.fuse
    def function(x):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return x * 2.0

    function(tg.ones(2, device="interpreter"))
    assert types == [tg.Tensor]


def test_errors_are_those_of_the_rows():
    x, y = tg.ones(3, device="interpreter"), tg.ones(2, device="interpreter")
    with pytest.raises(RuntimeError, match=r"add: shapes \(3,\) and \(2,\) do not broadcast"):
        tg.fuse(lambda x, y: (x * 2.0) + y)(x, y)
    with pytest.raises(RuntimeError, match="add: expected all tensors on one device"):
        tg.fuse(lambda x: x * 2.0 + tg.ones(3))(x)
    with pytest.raises(TypeError, match="fuse: expected a function, got int"):
        tg.fuse(3)


def test_integers_mixed_dtypes_and_empty_tensors_run_plainly():
    function = tg.fuse(lambda x, y: (x + y) * 2)
    i = tg.arange(3, device="interpreter")
    f = tg.ones(3, device="interpreter")
    assert function(i, i).tolist() == [0, 4, 8] and function(i, i).dtype is tg.int64
    assert function(i, f).tolist() == [2.0, 4.0, 6.0] and function(i, f).dtype is tg.float32
    assert function(f[:0], f[:0]).shape == (0,)
    assert function(f.double(), f).dtype is tg.float64


def test_nested_functions_are_one():
    inner = tg.fuse(lambda x: x * 2.0)
    outer = tg.fuse(lambda x: inner(x) + 1.0)
    x = tg.ones(2, device="interpreter", requires_grad=True)
    assert outer(x).grad_fn.name() == "FusedBackward" and outer(x).tolist() == [3.0, 3.0]


def test_on_the_cpu_the_function_runs_as_it_is():
    function = tg.fuse(lambda x, y: ((x * y).tanh() + x, x.relu_()))
    x, y = tg.ones(3), tg.ones(3)
    assert type(function(x, y)[0]) is tg.Tensor and function(x, y)[1] is x


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_compile(target):
    with Recorder(target) as recorder:
        for dtype in (tg.float32, tg.bfloat16):
            x, y = (
                tg.tensor(np.ones((8, 4, 6, 16)), dtype=dtype).to(recorder.device).permute(0, 3, 1, 2).requires_grad_()
                for _ in range(2)
            )
            b = tg.tensor(np.ones((16, 1, 1)), dtype=dtype).to(recorder.device).requires_grad_()
            out = tg.fuse(lambda x, y, b: tg.where(x > 0, (x * y + b).tanh(), x**2).sigmoid())(x, y, b)
            out.backward(tg.ones_like(out))
        names = [name for name, _ in recorder.compile_all()]
        assert sum(name.startswith("_program") for name in names) >= 4


def test_running_statistics_are_there_when_somebody_looks():
    """A batch norm that was put off has moved them before they are read, written or left alone."""

    def found(look, fused):
        tg.manual_seed(0)
        norm = nn.BatchNorm1d(3).to("interpreter")
        x = tg.randn(5, 3, device="interpreter", requires_grad=True)
        seen = []

        def function(x):
            out = look(norm, x, seen)
            return None if out is None else F.relu(out + x)

        out = (tg.fuse(function) if fused else function)(x)
        if out is not None:
            out.sum().backward()
            seen += [out.detach().cpu().numpy(), x.grad.cpu().numpy(), norm.weight.grad.cpu().numpy()]
        return seen + [b.cpu().numpy().copy() for b in norm.buffers()]

    def read(norm, x, seen):
        out = norm(x)
        seen.append(np.array(norm.running_mean.tolist()))
        return out

    def compute(norm, x, seen):
        out = norm(x)
        return out + (norm.running_var * 2.0)

    def write(norm, x, seen):
        out = norm(x)
        norm.running_mean.mul_(2.0)
        norm.running_var[0] = 3.0
        return out

    def twice(norm, x, seen):
        return norm(x) + norm(x * 2.0)

    def evaluate(norm, x, seen):
        out = norm(x)
        return out * norm.eval()(x)

    def nothing(norm, x, seen):
        norm(x)

    def module_move(norm, x, seen):
        out = norm(x)
        norm.reset_running_stats()
        return out

    for look in (read, compute, write, twice, evaluate, nothing, module_move):
        same(found(look, True), found(look, False))


def test_running_statistics_have_seen_a_batch_that_failed():
    norm = nn.BatchNorm1d(3).to("interpreter")

    @tg.fuse
    def function(x):
        norm(x)
        raise KeyError("ours")

    with pytest.raises(KeyError):
        function(tg.randn(5, 3, device="interpreter") + 7.0)
    assert min(norm.running_mean.tolist()) > 0.5


def test_a_norm_and_its_activation_are_as_many_kernels_as_the_norm(launched):
    x = tg.randn(4, 3, 5, 5, device="interpreter")
    counts = []
    for net in (nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())):
        net.to("interpreter")
        launched.clear()
        net(x)
        counts.append(len(launched))
    assert counts[0] == counts[1]


def test_a_captured_step_inside_is_one_of_its_own():
    step = tg.capture(lambda x: (x * 2.0 + 1.0).relu())

    @tg.fuse
    def function(x):
        y = x * 3.0
        return step(y) + y

    x = tg.ones(3, device="interpreter")
    assert [function(x).tolist() for _ in range(3)] == [[10.0] * 3] * 3


def test_graphs_and_what_waits_are_freed_without_the_garbage_collector():
    import gc
    from weakref import ref

    blocks = []

    @tg.fuse
    def function(x):
        h = (x * 2.0).exp()
        blocks.append(ref(h.detach().array.block))
        return ((h + x).relu() * x).sum()

    x = tg.ones(3, device="interpreter", requires_grad=True)
    gc.disable()
    try:
        function(x).backward()
        net = network().to("interpreter")
        out = net(tg.randn(2, 3, 8, 8, device="interpreter"))
        blocks.append(ref(out.array.block))
        out.sum().backward()
        del out
        assert [b() for b in blocks] == [None, None]
    finally:
        gc.enable()


def test_blocks_of_a_gpu_give_the_same_bits():
    """The same at the tiles that a GPU would use, where sums are split: fused and plain kernels agree there too."""
    found = []
    with Recorder("sm_90", execute=True) as recorder:
        x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)), dtype=tg.float32).to(recorder.device)
        for plainly in (True, False):
            tg.manual_seed(0)
            net = network().to(recorder.device).to(memory_format=tg.channels_last)
            found.append(trained(net, x.to(memory_format=tg.channels_last), plainly, steps=1))
    same(found[1], found[0])
