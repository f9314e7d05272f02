"""What a Module registers, finds, saves, moves and prints."""

import copy

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn


class Block(nn.Module):
    """A parameter, two kinds of buffer, a submodule, and a plain attribute."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter([2.0, 3.0])
        self.register_buffer("seen", tg.tensor([1.0]))
        self.register_buffer("temporary", tg.tensor([5.0]), persistent=False)
        self.inner = nn.Linear(2, 2)
        self.note = "plain"

    def forward(self, x):
        return self.inner(x) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


def test_attributes_are_registered():
    net = Block()
    assert names(net.named_parameters()) == ["scale", "inner.weight", "inner.bias"]
    assert names(net.named_buffers()) == ["seen", "temporary"]
    assert names(net.named_children()) == ["inner"]
    assert names(net.named_modules()) == ["", "inner"]
    assert list(net.state_dict()) == ["scale", "seen", "inner.weight", "inner.bias"]
    assert names(net.named_parameters(prefix="net", recurse=False)) == ["net.scale"]
    assert {"scale", "seen", "inner", "note"} <= set(dir(net))
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())


def test_assigning_over_what_is_registered():
    net = Block()
    with pytest.raises(TypeError, match="'scale' is registered: expected a Parameter or None, got Tensor"):
        net.scale = tg.tensor([1.0])
    with pytest.raises(TypeError, match="'inner' is registered: expected a Module or None, got int"):
        net.inner = 3
    with pytest.raises(TypeError, match="'seen' is registered: expected a Tensor or None, got float"):
        net.seen = 1.0
    net.scale = None
    assert net.scale is None and "scale" not in names(net.named_parameters())
    net.scale = nn.Parameter([1.0])
    net.seen = tg.tensor([4.0])
    assert net.state_dict()["seen"].tolist() == [4.0]
    net.note = nn.Parameter([1.0])  # a plain attribute may become a parameter, a parameter a module
    assert "note" in net.state_dict() and "note" not in vars(net)
    net.note = nn.ReLU()
    assert "note" not in net.state_dict() and isinstance(net.note, nn.ReLU)
    del net.inner
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'inner'"):
        net.inner  # noqa: B018


def test_registering_by_hand():
    net = Block()
    with pytest.raises(KeyError, match="must not be empty nor contain a dot, got 'a.b'"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="Block has an attribute 'forward' already"):
        net.register_buffer("forward", None)
    with pytest.raises(KeyError, match="Block has an attribute 'scale' already"):
        net.add_module("scale", nn.ReLU())
    with pytest.raises(TypeError, match="register_parameter: 'new' must be a Parameter or None, got Tensor"):
        net.register_parameter("new", tg.tensor([1.0]))
    with pytest.raises(TypeError, match="add_module: 'new' must be a Module or None, got int"):
        net.add_module("new", 3)
    made = nn.Parameter([1.0])
    made.source = (made * 2).source
    with pytest.raises(ValueError, match="was made by an operation"):
        net.register_parameter("new", made)


def test_init_of_the_base_must_come_first():
    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter([1.0])

    with pytest.raises(AttributeError, match=r"Early: call super\(\).__init__\(\) before assigning 'weight'"):
        Early()
    with pytest.raises(NotImplementedError, match=r"Module: define forward"):
        nn.Module()(1)


def test_shared_parts_come_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    tied = nn.Linear(2, 2)
    tied.weight = layer.weight
    net.append(tied)
    assert names(net.named_parameters()) == ["0.weight", "0.bias", "3.bias"]
    assert names(net.named_parameters(remove_duplicate=False)) == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
        "3.weight",
        "3.bias",
    ]
    assert len(list(net.modules())) == 4 and len(list(net.children())) == 3
    assert len(net.state_dict()) == 6
    twin = copy.deepcopy(net)
    assert twin[0] is twin[2] and twin[3].weight is twin[0].weight and twin[0].weight is not layer.weight
    other = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2))
    other.load_state_dict(net.state_dict())
    net.load_state_dict(other.state_dict())
    assert net[3].weight is net[0].weight
    net.double()
    assert net[3].weight is net[0].weight and layer.weight.dtype is tg.float64


def test_get_by_path():
    net = nn.Sequential(Block())
    assert net.get_submodule("0.inner") is net[0].inner and net.get_submodule("") is net
    assert net.get_parameter("0.inner.bias") is net[0].inner.bias
    assert net.get_buffer("0.seen") is net[0].seen
    with pytest.raises(AttributeError, match="Block has no submodule 'outer'"):
        net.get_submodule("0.outer")
    with pytest.raises(AttributeError, match="Linear has no parameter 'nothing'"):
        net.get_parameter("0.inner.nothing")


def test_state_dict_round_trip():
    a, b = Block(), Block()
    before = [id(p) for p in b.parameters()]
    assert not np.array_equal(a.inner.weight.numpy(force=True), b.inner.weight.numpy(force=True))
    result = b.load_state_dict(a.state_dict())
    assert result == ([], []) and result.missing_keys == []
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), err_msg=name)
    assert [id(p) for p in b.parameters()] == before and all(p.requires_grad for p in b.parameters())
    state = a.state_dict()
    assert not state["scale"].requires_grad and a.state_dict(keep_vars=True)["scale"] is a.scale
    with tg.no_grad():
        a.scale.mul_(2)
    assert state["scale"].tolist() == [4.0, 6.0]  # shared memory
    arrays = {k: v.numpy() for k, v in state.items()}
    half = Block().half()
    half.load_state_dict(arrays)
    assert half.scale.dtype is tg.float16 and half.scale.tolist() == [4.0, 6.0]


def test_load_names_every_fault_and_changes_nothing():
    net = Block()
    kept = {k: v.clone().numpy() for k, v in net.state_dict().items()}
    state = dict(net.state_dict())
    state["scale"] = tg.zeros(2)
    state["inner.weight"] = tg.zeros(3, 2)
    state["foreign"] = state.pop("seen")
    state["inner.bias"] = "words"
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    assert str(error.value) == (
        "load_state_dict: the state dict does not fit Block:\n"
        "    Missing key(s): seen\n"
        "    Unexpected key(s): foreign\n"
        "    size mismatch for inner.weight: the state dict has (3, 2), the model (2, 2)\n"
        "    inner.bias: expected a tensor or an array, got str"
    )
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), kept[name])
    found = net.load_state_dict({"scale": tg.zeros(2), "more": tg.zeros(1)}, strict=False)
    assert found == (["seen", "inner.weight", "inner.bias"], ["more"]) and net.scale.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="size mismatch for scale"):
        net.load_state_dict({"scale": tg.zeros(3)}, strict=False)
    with pytest.raises(TypeError, match="expected a mapping"):
        net.load_state_dict([1])


def test_modes_and_gradients():
    net = nn.Sequential(Block(), nn.Dropout())
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="expected True or False, got 1"):
        net.train(1)
    net(tg.ones(3, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(p.grad.abs().sum().item() == 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(tg.ones(3, 2)).requires_grad


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_moving_keeps_the_objects(device):
    net = Block()
    net.register_buffer("count", tg.tensor(3))
    net(tg.ones(3, 2)).sum().backward()
    before = [*net.parameters(), *net.buffers()]
    assert net.to(device) is net
    net.to(tg.float64)
    after = [*net.parameters(), *net.buffers()]
    assert all(x is y for x, y in zip(before, after, strict=True))
    assert all(t.device.type == device for t in after) and net.count.dtype is tg.int64
    assert net.scale.dtype is tg.float64 and net.scale.grad.dtype is tg.float64 and net.scale.grad.device.type == device
    assert net.scale.requires_grad and net.scale.is_leaf
    assert net(tg.ones(3, 2, dtype=tg.float64, device=device)).device.type == device
    net.cpu().float()
    assert net.scale.dtype is tg.float32 and net.seen.device.type == "cpu"
    with pytest.raises(TypeError, match="to: expected a floating dtype, got int64"):
        net.to(tg.int64)


def test_hooks():
    net = nn.Linear(1, 1)
    calls = []
    before = net.register_forward_pre_hook(lambda m, args: calls.append("before"))
    doubled = net.register_forward_hook(lambda m, args, out: out * 2)
    first = net.register_forward_hook(lambda m, args, out: calls.append("first"), prepend=True)
    keyword = net.register_forward_pre_hook(lambda m, args, kwargs: ((tg.zeros(1, 1),), {}), with_kwargs=True)
    out = net(input=tg.ones(1, 1))
    assert calls == ["before", "first"] and out.item() == pytest.approx(2 * net.bias.item())
    for handle in (before, doubled, first, keyword):
        handle.remove()
    x = tg.ones(1, 1)
    assert net(x).item() == pytest.approx(net.weight.item() + net.bias.item()) and len(calls) == 2
    net.register_forward_pre_hook(lambda m, args: args[0] * 0)
    assert net(x).item() == net.bias.item()
    with pytest.raises(TypeError, match="hook: expected a function, got int"):
        net.register_forward_hook(3)


def test_apply_visits_children_first():
    seen = []
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_sequential():
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    net = nn.Sequential(a, b, c)
    assert net[0] is a and net[-1] is c and len(net) == 3 and list(net) == [a, b, c] and b in net
    tail = net[1:]
    assert isinstance(tail, nn.Sequential) and list(tail.state_dict()) == ["2.weight", "2.bias"]
    with pytest.raises(IndexError, match="Sequential: index 3 is out of range for 3 modules"):
        net[3]
    net[1] = nn.Tanh()
    del net[0]
    assert list(net.state_dict()) == ["1.weight", "1.bias"]
    net.insert(0, a)
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert net.pop() is c and len(net.extend([b, c])) == 4
    named = nn.Sequential({"first": a, "second": c})
    assert named.first is a and list(named.state_dict())[0] == "first.weight"
    with pytest.raises(TypeError, match="add_module: '0' must be a Module or None, got function"):
        nn.Sequential(lambda x: x)
    assert nn.Sequential()(5) == 5


def test_lists_and_dicts_of_modules():
    many = nn.ModuleList([nn.Linear(1, 1), nn.ReLU()])
    many += [nn.Linear(1, 2)]
    assert list(many.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"] and len(many[:2]) == 2
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.ReLU()
    assert list(table) == ["a", "b"] and "a" in table and list(table.state_dict()) == ["a.weight", "a.bias"]
    assert isinstance(table.pop("b"), nn.ReLU) and len(table) == 1 and list(table.keys()) == ["a"]


def test_repr_shows_the_tree():
    assert repr(nn.Sequential(nn.Linear(3, 4, bias=False), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )
