"""Hooks on the backward pass, on state dicts and after errors, extra state; compared with PyTorch where it is there."""

import copy

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn


def trace(library, hooked):
    """Run a small net with full hooks and write down what they see."""
    seen = []

    class Two(library.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = library.nn.Parameter(library.tensor([2.0, 3.0]))

        def forward(self, x, flag, y=None):
            return x * self.scale, (x + 1).sum()

    net = Two()

    def note(name, values):
        seen.append((name, [None if v is None else v.tolist() for v in values]))

    hooked(net, note)
    x = library.tensor([1.0, 5.0], requires_grad=True)
    out, total = net(x * 1, "flag")
    (out.sum() * 2 + total).backward()
    return seen, x.grad.tolist(), net.scale.grad.tolist()


def plain(net, note):
    net.register_full_backward_pre_hook(lambda m, g: note("before", g))
    net.register_full_backward_hook(lambda m, g, o: note("after", [*g, *o]))


def changing(net, note):
    net.register_full_backward_pre_hook(lambda m, g: (g[0] * 3, g[1]))
    net.register_full_backward_pre_hook(lambda m, g: note("second", g))
    net.register_full_backward_pre_hook(lambda m, g: note("first", g), prepend=True)
    net.register_full_backward_hook(lambda m, g, o: (g[0] * 10, None))


@pytest.mark.peer
@pytest.mark.parametrize("hooked", [plain, changing])
def test_backward_hooks_see_what_theirs_see(hooked):
    torch = pytest.importorskip("torch")
    assert trace(tg, hooked) == trace(torch, hooked)


def test_backward_hooks():
    net = nn.Linear(2, 1, bias=False)
    seen = []
    handle = net.register_full_backward_hook(lambda m, given, got: seen.append((given, got)))
    net(tg.ones(3, 2)).sum().backward()  # no input wants a gradient: the hook is called with None
    assert seen[0][0] == (None,) and seen[0][1][0].shape == (3, 1)
    net(tg.ones(3, 2, requires_grad=True)).sum().backward()
    np.testing.assert_allclose(seen[1][0][0].numpy(), np.tile(net.weight.numpy(force=True), (3, 1)))
    handle.remove()
    net(tg.ones(3, 2)).sum().backward()
    assert len(seen) == 2
    net.register_full_backward_hook(lambda m, given, got: given * 2)
    with pytest.raises(RuntimeError, match="full_backward_hook: expected None or 1 gradients, got 2"):
        net(tg.ones(3, 2, requires_grad=True)).sum().backward()


def test_backward_hooks_and_gradients_of_gradients():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).double()
    x = tg.tensor([[0.5, -1.0]], dtype=tg.float64, requires_grad=True)

    def penalty():
        (g,) = tg.autograd.grad(net(x).sum(), x, create_graph=True)
        return tg.autograd.grad((g * g).sum(), list(net.parameters()), allow_unused=True)

    expected = penalty()
    net.register_full_backward_hook(lambda m, given, got: None)
    net[0].register_full_backward_pre_hook(lambda m, got: None)
    for a, b in zip(penalty(), expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


def test_other_results_are_not_hooked():
    class Dict(nn.Module):
        def forward(self, x):
            return {"x": x}

    net = Dict()
    net.register_full_backward_hook(lambda m, given, got: None)
    with pytest.warns(UserWarning, match="backward hooks of Dict are not called: .* got dict"):
        net(tg.ones(1, requires_grad=True))


def test_hooks_that_are_always_called():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    net = Broken()
    seen = []
    net.register_forward_hook(lambda m, args, out: seen.append("never"))
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        net(tg.ones(1))
    assert seen == [None]


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(tg.ones(2))
        self.count = 3

    def forward(self, x):
        return x * self.weight

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def test_extra_state():
    net = nn.Sequential(Counted(), nn.Linear(1, 1))
    assert list(net.state_dict()) == ["0.weight", "0._extra_state", "1.weight", "1.bias"]
    state = net.state_dict()
    state["0._extra_state"] = {"count": 8}
    assert net.load_state_dict(state) == ([], []) and net[0].count == 8
    del state["0._extra_state"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\): 0._extra_state"):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError, match="Linear: define get_extra_state"):
        net[1].get_extra_state()


def test_hooks_on_state_dicts():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    order = []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: order.append(prefix))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(version=tg.tensor(2)))
    state = net.state_dict()
    assert order == ["0."] and state["version"].item() == 2

    def rename(module, state, prefix, meta, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "kernel")
        state.pop("version")

    net[1].register_load_state_dict_pre_hook(rename)
    state["1.kernel"] = state.pop("1.weight") + 1
    before = net[1].weight.item()
    net.load_state_dict(state)
    assert net[1].weight.item() == before + 1 and "1.kernel" in state  # the caller's own is left alone
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    del state["0.bias"]
    assert net.load_state_dict(state) == ([], [])
    net[1].register_load_state_dict_pre_hook(
        lambda m, state, p, meta, strict, missing, extra, errors: errors.append("no")
    )
    state["0.bias"], state["1.kernel"] = tg.zeros(1), tg.zeros(1, 1)
    with pytest.raises(RuntimeError, match="does not fit Sequential:\n    no"):
        net.load_state_dict(state)


def test_assigning_a_state_dict():
    net = nn.BatchNorm1d(2)
    state = {k: v.double() if v.is_floating_point() else v for k, v in nn.BatchNorm1d(2).state_dict().items()}
    net.bias.requires_grad_(False)
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype is tg.float64 and isinstance(net.weight, nn.Parameter) and net.weight.requires_grad
    assert not net.bias.requires_grad and net.running_mean is state["running_mean"]
    assert dict(net.named_parameters())["weight"] is net.weight


def test_setting_a_submodule():
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))
    other = nn.ReLU()
    net.set_submodule("0.0", other)
    assert net[0][0] is other
    with pytest.raises(AttributeError, match="has no submodule '5'"):
        net.set_submodule("0.5", other, strict=True)
    with pytest.raises(ValueError, match="expected a path that is not empty"):
        net.set_submodule("", other)
    with pytest.raises(ValueError, match="expected a Module, got int"):
        net.set_submodule("0", 3)


def test_copies_have_hooks_of_their_own():
    net = nn.Linear(1, 1)
    seen = []
    net.register_forward_hook(lambda m, args, out: seen.append(m))
    other = copy.deepcopy(net)
    other(tg.ones(1, 1))
    assert seen == [other] and other._after is not net._after


@pytest.mark.peer
def test_lists_and_dicts_of_parameters():
    torch = pytest.importorskip("torch")

    def build(library):
        many = library.nn.ParameterList([library.ones(2), library.nn.Parameter(library.zeros(1, 3)), "word"])
        many += [library.ones(1)]
        many[0] = library.zeros(2, 2)
        table = library.nn.ParameterDict({"a": library.ones(2), "b": 5})
        table["c"] = library.nn.Parameter(library.ones(3))
        return many, table

    (many, table), (theirs, their_table) = build(tg), build(torch)
    assert [n for n, _ in many.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert {k: v.shape for k, v in many.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert len(many) == len(theirs) == 4 and many[2] == "word" and len(many[1:]) == 3 and many[-1] is many[3]
    assert [n for n, _ in table.named_parameters()] == [n for n, _ in their_table.named_parameters()]
    assert list(table) == list(their_table) and "b" in table and table["b"] == 5 and len(table) == 3
    assert isinstance(table.pop("a"), nn.Parameter) and list(table.keys()) == ["b", "c"]
    assert table.get("x", 1) == 1 and table.setdefault("d", 7) == 7 and table.popitem() == ("d", 7)
    assert dict(table.copy().items())["b"] == 5
    table.clear()
    assert not len(table) and not list(table.parameters())
    with pytest.raises(IndexError, match="ParameterList: index 4 is out of range for 4 values"):
        many[4]
    with pytest.raises(KeyError):
        table["a"]
    assert "(1): Parameter containing: [trigrad.float32 of size 1x3]" in repr(many)
