"""Saving: what comes back is what was saved, other readers can read it, and bad files and failures do no harm."""

import json
import os
import pickle
from collections import OrderedDict, namedtuple
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize, serialize
from safetensors.numpy import load_file, save_file

import trigrad as tg
from trigrad.autograd.saving import load, save
from trigrad.framework import dtypes


def same(a, b):
    """Equal, in types too, and bit for bit."""
    if isinstance(b, (tg.Tensor, np.ndarray)):
        assert isinstance(a, tg.Tensor) and not a.requires_grad
        host = b.host() if isinstance(b, tg.Tensor) else b
        assert a.shape == host.shape and a.dtype.numpy == host.dtype
        np.testing.assert_array_equal(a.host(), host)
    elif isinstance(b, dict):
        assert type(a) is dict and list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b]
        for k in b:
            same(a[k], b[k])
    elif isinstance(b, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert type(a) is type(b) and (a == b or (a != a and b != b))


def saved(obj):
    file = BytesIO()
    save(obj, file)
    return file.getvalue()


def again(obj, **options):
    return load(BytesIO(saved(obj)), **options)


def ramp(*shape, dtype="float32"):
    return tg.tensor(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype=dtypes.dtype_of(dtype))


@pytest.mark.parametrize("dtype", [d.name for d in dtypes.ALL])
def test_every_dtype(dtype):
    for x in (ramp(3, 2, dtype=dtype), ramp(0, 4, dtype=dtype), tg.tensor(1, dtype=dtypes.dtype_of(dtype))):
        same(again(x), x)
        same(again({"x": x})["x"], x)


def test_a_checkpoint(tmp_path):
    checkpoint = {
        "model": {"conv.weight": ramp(2, 3, 4), "conv.bias": ramp(2)},
        "optimizer": {
            "state": {0: {"step": 5, "exp_avg": ramp(2, 3, 4)}, 1: {}},
            "groups": [{"lr": 1e-3, "betas": (0.5, 0.999), "amsgrad": False, "params": [0, 1]}],
        },
        "best": float("-inf"),
        "worst": float("nan"),
        "seed": 2**64 - 1,
        "name": "Größe \u2192 \ud800",
        "nothing": None,
        "rng": np.arange(16, dtype=np.uint8),
        3: (),
        None: [],
        True: "bool",
        0.5: "half",
    }
    path = tmp_path / "checkpoint.safetensors"
    save(checkpoint, path)
    same(load(path), checkpoint)
    same(load(str(path)), checkpoint)
    with open(path, "rb") as file:
        same(load(file), checkpoint)
    assert os.listdir(tmp_path) == [path.name]


def test_types_that_come_back_plain():
    assert again({"a": np.float64(0.1), "b": np.int32(3), "c": np.bool_(True), "d": np.float32(0.5)}) == {
        "a": 0.1,
        "b": 3,
        "c": True,
        "d": 0.5,
    }
    same(again(OrderedDict(b=1, a=2)), {"b": 1, "a": 2})
    w = ramp(2).requires_grad_()
    same(again([w, w * 2]), [w.detach(), (w * 2).detach()])


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(ramp, st.integers(0, 3), st.integers(0, 3), dtype=st.sampled_from([d.name for d in dtypes.ALL]))
)
KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(KEYS, inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_structure(tree):
    same(again(tree), tree)


def test_a_header_whose_length_begins_like_a_pickle():
    lengths = set()
    for n in range(200):
        content = saved("x" * n)
        lengths.add(content[0])
        assert load(BytesIO(content)) == "x" * n
    assert 0x80 in lengths


def test_names_that_meet():
    tree = {"a.b": ramp(1), "a": {"b": ramp(2)}, "__metadata__": ramp(3), "": ramp(4), "tensor": ramp(5)}
    same(again(tree), tree)


# Other readers and writers


def test_a_flat_dict_is_an_ordinary_file(tmp_path):
    path = tmp_path / "flat.safetensors"
    weight = ramp(4, 3)
    state = {"layer.weight": weight, "layer.bias": ramp(4, dtype="bfloat16"), "head.weight": weight}
    save(state, path)
    found = load_file(path)
    assert found.keys() == state.keys()
    for name, x in state.items():
        assert found[name].dtype == x.dtype.numpy
        np.testing.assert_array_equal(found[name], x.numpy())


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "other.safetensors"
    arrays = {"b": np.arange(3.0), "a.x": np.array([True, False]), "half": np.ones(2, dtypes.bfloat16.numpy)}
    save_file(arrays, path, metadata={"format": "np"})
    found = load(path)
    assert found.keys() == arrays.keys()
    for name, x in arrays.items():
        same(found[name], x)
    save_file({}, path)
    assert load(path) == {}


@pytest.mark.peer
def test_to_torch_and_back(tmp_path):
    import torch
    from safetensors.torch import load_file as torch_load
    from safetensors.torch import save_file as torch_save

    path = tmp_path / "state.safetensors"
    save({"w": ramp(2, 3), "h": ramp(3, dtype="bfloat16"), "n": ramp(2, dtype="int64")}, path)
    found = torch_load(path)
    assert found["h"].dtype is torch.bfloat16 and found["h"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found["w"].numpy(), ramp(2, 3).numpy())
    module = torch.nn.Linear(3, 2)
    torch_save(module.state_dict(), path)
    ours = load(path)
    np.testing.assert_array_equal(ours["weight"].numpy(), module.weight.detach().numpy())


# Layouts, places


def test_layouts():
    x = ramp(4, 6)
    tree = [x.transpose(0, 1), x[1:3, ::2], x[:, 0], tg.tensor(1.0).expand(3, 2), ramp(2, 3, 4, 5).permute(0, 3, 1, 2)]
    same(again(tree), tree)


@pytest.mark.parametrize("where", ["cpu", "interpreter"])
def test_tied_tensors_stay_tied(where):
    w = tg.tensor(np.arange(6.0).reshape(2, 3), device=where)
    tree = {"encoder": w, "decoder": w.detach(), "transposed": w.transpose(0, 1), "copy": w.clone()}
    found = again(tree)
    assert found["encoder"] is found["decoder"]
    assert len({id(x) for x in found.values()}) == 3
    for name, x in tree.items():
        np.testing.assert_array_equal(found[name].numpy(), x.host())
    empty = ramp(0)
    found = again([empty, empty.detach()])
    assert found[0] is not found[1]


def test_devices():
    x = ramp(2, 3)
    there = again({"x": x}, map_location="interpreter")["x"]
    assert str(there.device) == "interpreter"
    same(there, x)
    back = again({"x": there.transpose(0, 1)})["x"]
    assert str(back.device) == "cpu"
    same(back, x.transpose(0, 1))


def test_what_is_loaded_may_be_written():
    x = again({"x": ramp(3), "b": tg.tensor([True])})
    x["x"].numpy()[:] = 5
    assert x["x"].tolist() == [5, 5, 5] and x["b"].numpy().flags.writeable


# What cannot be saved


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: {"a": [1, {2}]}, TypeError, r"save: \['a'\]\[1\] is a set"),
        (lambda: object(), TypeError, "the object itself is a object"),
        (lambda: {"f": len}, TypeError, r"\['f'\] is a builtin_function"),
        (lambda: {"z": 1j}, TypeError, r"\['z'\] is a complex"),
        (lambda: {"b": b"x"}, TypeError, r"\['b'\] is a bytes"),
        (lambda: {(1, 2): 3}, TypeError, r"key \(1, 2\)"),
        (lambda: {float("nan"): 3}, TypeError, "key nan"),
        (lambda: [namedtuple("Pair", "a b")(1, 2)], TypeError, r"\[0\] is a Pair"),
        (lambda: {"x": np.zeros(2, np.uint32)}, TypeError, r"\['x'\] is an array of uint32"),
        (lambda: {"x": np.array(["a"])}, TypeError, "array of <U1"),
        (lambda: type("Net", (), {"state_dict": None})(), TypeError, r"a Net; .*save its state_dict\(\)"),
    ],
)
def test_what_cannot_be_saved(make, kind, message, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(kind, match=message):
        save(make(), path)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


def test_a_structure_that_contains_itself():
    tree = {"list": []}
    tree["list"].append(tree)
    with pytest.raises(ValueError, match=r"save: \['list'\]\[0\] contains itself"):
        save(tree, BytesIO())
    deep = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        save(deep, BytesIO())
    same(again(deep[0]), deep[0])
    shared = [1]
    assert again([shared, shared]) == [[1], [1]]


# Writing in one step


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    save({"x": ramp(3)}, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, fail)
            with pytest.raises(OSError, match="disk full"):
                save({"x": ramp(5)}, path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["file"]
    save({"x": ramp(5)}, path)
    assert load(path)["x"].shape == (5,)


def test_modes_and_links_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    save(1, path)
    path.chmod(0o640)
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("this machine makes no symbolic links")
    save(2, link)
    assert link.is_symlink() and load(path) == 2 and path.stat().st_mode & 0o777 == 0o640


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        save(1, tmp_path / "missing" / "file")
    with pytest.raises(OSError, match=str(tmp_path)):
        save(1, tmp_path)
    with pytest.raises(TypeError, match="expected a path or a binary file object, got int"):
        save(1, 3)
    with pytest.raises(TypeError, match="expected a path or a binary file object, got NoneType"):
        load(None)


# Files that are not what they should be


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_every_truncation_is_refused():
    content = saved({"x": ramp(3), "y": [1, 2], "z": ramp(2, dtype="int8")})
    for n in range(len(content)):
        with pytest.raises(ValueError, match="load: the file object is"):
            load(BytesIO(content[:n]))
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(BytesIO(content + b"\0"))


def test_no_changed_byte_does_harm():
    content = bytearray(saved({"x": ramp(3), "flag": tg.tensor([True, False]), "deep": [{"y": ramp(2)}, None, 1.5]}))
    rng = np.random.default_rng(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] = rng.integers(256)
        try:
            load(BytesIO(bytes(changed)))
        except ValueError as error:
            assert str(error).startswith("load: ")


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}), b"PK\x03\x04" + b"x" * 100])
def test_pickles_are_refused(content, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.pt is pickled, as torch.save does it"):
        load(path)
    with pytest.raises(ValueError, match="never"):
        load(path, weights_only=False)


@pytest.mark.parametrize("content", [b"", b"{}", b"text " * 50, bytes(100)])
def test_foreign_files_are_refused(content):
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(BytesIO(content))


def described(structure, version=1):
    return bytes(serialize({}, metadata={"trigrad": json.dumps({"version": version, "structure": structure})}))


@pytest.mark.parametrize(
    "content",
    [
        described({"tensor": "missing"}),
        described({"tensor": []}),
        described({"set": []}),
        described({}),
        described({"dict": [["a"]]}),
        described({"dict": 3}),
        described({"dict": [[[], 1]]}),
        described({"list": "abc"}),
        described({"float": "3"}),
        described({"list": [], "tuple": []}),
        described([1]),
        described(1, version=2),
        bytes(serialize({}, metadata={"trigrad": "{"})),
        bytes(serialize({}, metadata={"trigrad": "[]"})),
        bytes(
            serialize({}, metadata={"trigrad": '{"version":1,"structure":' + '{"list":[' * 5000 + "]}" * 5000 + "}"})
        ),
    ],
    ids=range(15),
)
def test_a_wrong_description_is_refused(content):
    with pytest.raises(ValueError, match="describes its structure in a way that cannot be read"):
        load(BytesIO(content))


def test_unknown_dtypes_are_refused(tmp_path):
    path = tmp_path / "file"
    save_file({"x": np.zeros(2, np.uint16)}, path)
    with pytest.raises(ValueError, match="tensor 'x' in .*file is of U16"):
        load(path)


def test_bools_are_bools():
    content = saved(tg.tensor([True, False]))
    assert dict(deserialize(content))["tensor"]["data"] == b"\1\0"
    assert load(BytesIO(content[:-2] + b"\7\0")).numpy().view(np.uint8).tolist() == [1, 0]


def test_wrong_arguments():
    with pytest.raises(TypeError, match="map_location"):
        load(BytesIO(saved(1)), map_location={"cuda": "cpu"})
    with pytest.raises(TypeError, match="bytes"):
        from io import StringIO

        load(StringIO("text"))
