"""Wrong calls, and what they are told: each is one sentence that names the operation, what was expected and what came.

python tests/test_messages.py       prints every call with its message
"""

from __future__ import annotations

import pickle
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, op, optim
from trigrad.nn import functional as F
from trigrad.utils import data

CASES: dict[str, list[tuple[str, type[Exception], str]]] = {
    "shapes": [
        (
            "x + five",
            RuntimeError,
            "add: shapes (2, 3) and (5,) do not broadcast: at dimension -1 they have sizes 3 and 5",
        ),
        ("x @ five", RuntimeError, "matmul: expected (..., M, K) and (..., K, N), got (2, 3) and (5,): K is 3 and 5"),
        ("x @ x", RuntimeError, "matmul: expected (..., M, K) and (..., K, N), got (2, 3) and (2, 3): K is 3 and 2"),
        ("x.reshape(4, 2)", RuntimeError, "reshape: shape (4, 2) has 8 elements, the input has 6"),
        ("x.reshape(-1, -1)", RuntimeError, "reshape: only one size can be -1, got (-1, -1)"),
        ("x.view(4, 2)", RuntimeError, "view: shape (4, 2) has 8 elements, the input has 6"),
        ("x.permute(0, 0)", RuntimeError, "permute: dimension 0 is named twice in (0, 0)"),
        ("x.permute(0, 1, dims=(1, 0))", TypeError, "permute: (0, 1) and (1, 0) stand for the same argument"),
        ("x.clamp_()", RuntimeError, "clamp_: expected at least one of min and max, got neither"),
        (
            "x.div_(2, rounding_mode='up')",
            RuntimeError,
            "div_: expected rounding_mode None, 'floor' or 'trunc', got 'up'",
        ),
        ("x.permute(0)", RuntimeError, "permute: 1 dimensions are named in (0,), the input has 2"),
        ("x.sum(dim=2)", IndexError, "sum: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
        ("x.sum(dim=(0, 0))", RuntimeError, "sum: dim 0 is named more than once in (0, 0)"),
        ("x[2]", IndexError, "getitem: index 2 is out of range for dimension 0 of size 2"),
        ("x[0, 0, 0]", IndexError, "getitem: 3 dimensions are indexed, the tensor has 2"),
        ("tg.cat([])", RuntimeError, "cat: expected at least one tensor"),
        (
            "tg.cat([x, five])",
            RuntimeError,
            "cat: the sizes outside dimension 0 must agree, tensor 0 has shape (2, 3), tensor 1 has (5,)",
        ),
        (
            "tg.stack([x, five])",
            RuntimeError,
            "stack: all tensors must have one shape, tensor 0 has (2, 3), tensor 1 has (5,)",
        ),
        ("x.squeeze(5)", IndexError, "squeeze: dimension 5 is out of range for a tensor of 2 dimensions"),
        ("x.expand(5, 3)", RuntimeError, "expand: sizes (5, 3) do not fit the input's shape (2, 3)"),
        ("len(tg.tensor(1.0))", TypeError, "len() of a 0-d tensor"),
        ("x.argmax(dim=3)", IndexError, "argmax: dim 3 is out of range for 2 dimensions: expected -2 to 1"),
        ("x.max(dim=2)", IndexError, "max: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
        ("tg.zeros(2, -1)", RuntimeError, "zeros: sizes must not be negative, got (2, -1)"),
        ("tg.eye(-1)", RuntimeError, "eye: sizes must not be negative, got (-1, -1)"),
    ],
    "dtypes": [
        ('x + "one"', TypeError, "unsupported operand type(s) for +: 'Tensor' and 'str'"),
        ("x @ square", RuntimeError, "matmul: expected operands of one dtype, got float32 and float64"),
        ("counts.mean()", RuntimeError, "mean: expected a floating dtype, got int64; dtype= casts the input first"),
        (
            'x["a"]',
            IndexError,
            "getitem: an index is made of integers, slices, None, Ellipsis, masks and arrays of integers, got str",
        ),
        (
            "x[:, 1.5]",
            IndexError,
            "getitem: an index is made of integers, slices, None, Ellipsis, masks and arrays of integers, got float",
        ),
        (
            "tg.tensor([[1.0], [2.0, 3.0]])",
            ValueError,
            "tensor: expected a sequence whose elements all have one length, got a ragged one",
        ),
        ('tg.tensor(["a"])', TypeError, "tensor: expected numbers, got str"),
        (
            'tg.tensor([1.0], dtype="float99")',
            TypeError,
            "dtype: expected one of float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, bool, "
            "got 'float99'",
        ),
        (
            "tg.tensor([1], requires_grad=True)",
            RuntimeError,
            "requires_grad: only floating tensors have gradients, this one is int64",
        ),
        ("x.item()", RuntimeError, "item: a tensor with 6 elements cannot be converted to a number"),
        ("bool(x)", RuntimeError, "the truth of a tensor with 6 elements is ambiguous: use any() or all()"),
        ("F.leaky_relu([1.0])", TypeError, "leaky_relu: expected tensors and numbers, got list"),
        (
            "counts.requires_grad_()",
            RuntimeError,
            "requires_grad: only floating tensors have gradients, this one is int64",
        ),
        ('tg.full((2,), "a")', TypeError, "full: expected a number, got str"),
    ],
    "devices": [
        ("x + far", RuntimeError, "add: expected all tensors on one device, got cpu, interpreter"),
        ('tg.tensor([1.0], device="tpu")', RuntimeError, "device: expected one of cpu, cuda, interpreter, got 'tpu'"),
        ('tg.tensor([1.0], device="cuda:x")', RuntimeError, "device: expected 'name' or 'name:index', got 'cuda:x'"),
        ('x.to("nowhere")', RuntimeError, "device: expected one of cpu, cuda, interpreter, got 'nowhere'"),
        ("far.numpy()", TypeError, "numpy: this tensor is in the memory of interpreter; use tensor.cpu().numpy()"),
    ],
    "unknown arguments": [
        ('tg.tensor([1.0], divice="cpu")', TypeError, "tensor() got an unexpected keyword argument 'divice'"),
        ("F.leaky_relu(x, slope=0.2)", TypeError, "leaky_relu() got an unexpected keyword argument 'slope'"),
        ("nn.Linear(3, 4, biass=False)", TypeError, "Linear.__init__() got an unexpected keyword argument 'biass'"),
        ("layer.colour", AttributeError, "'Linear' object has no attribute 'colour'"),
        (
            "data.DataLoader(data.TensorDataset(x), bach_size=2)",
            TypeError,
            "DataLoader.__init__() got an unexpected keyword argument 'bach_size'",
        ),
    ],
    "gradients": [
        (
            "w.backward()",
            RuntimeError,
            "backward: a gradient is needed for an output of shape (2, 3); only one of one element has a default",
        ),
        (
            "x.sum().backward()",
            RuntimeError,
            "backward: this tensor does not require a gradient and was not made from one that does",
        ),
        ("w.sum().backward(five)", RuntimeError, "backward: the output has shape (), its gradient has shape (5,)"),
        ("w.add_(1)", RuntimeError, "add_: a leaf that requires a gradient cannot be changed in place; use no_grad()"),
        ("w.numpy()", RuntimeError, "numpy: this tensor requires a gradient; use tensor.detach().numpy()"),
        ("tg.autograd.grad(w.sum(), x)", RuntimeError, "grad: input 0 does not require a gradient"),
    ],
    "functions": [
        ("tg.arange(0, 10, 0)", RuntimeError, "arange: step must not be 0"),
        ("tg.randint(5, 5, (3,))", RuntimeError, "randint: expected low < high, got low=5 and high=5"),
        ("tg.dropout(x, p=1.5)", ValueError, "dropout: expected p in [0, 1], got 1.5"),
        ("F.conv2d(images, x)", RuntimeError, "conv2d: expected a weight of 4 dimensions, got (2, 3)"),
        (
            "F.conv2d(images, tg.zeros(4, 4, 3, 3))",
            RuntimeError,
            "conv2d: weight (4, 4, 3, 3) expects 4 input channels per group, input (2, 3, 8, 8) with groups=1 has 3",
        ),
        (
            "F.conv2d(images, tg.zeros(4, 3, 9, 9))",
            RuntimeError,
            "conv2d: weight (4, 3, 9, 9) with dilation (1, 1) spans (9, 9), more than the padded input's (8, 8)",
        ),
        (
            "F.conv2d(images, tg.zeros(4, 3, 3, 3), groups=2)",
            RuntimeError,
            "conv2d: weight (4, 3, 3, 3) expects 3 input channels per group, input (2, 3, 8, 8) with groups=2 has 1.5",
        ),
        (
            "F.conv2d(images, tg.zeros(4, 3, 3, 3), stride=0)",
            RuntimeError,
            "conv2d: expected stride to be an int or two ints of at least 1, got 0",
        ),
        (
            "F.conv2d(images, tg.zeros(4, 3, 3, 3, dtype=tg.float64))",
            RuntimeError,
            "conv2d: expected one dtype, got input float32, weight float64",
        ),
        (
            "F.conv_transpose2d(images, tg.zeros(4, 3, 3, 3))",
            RuntimeError,
            "conv_transpose2d: weight (4, 3, 3, 3) expects 4 input channels, input (2, 3, 8, 8) has 3",
        ),
        (
            "F.conv_transpose2d(images, tg.zeros(3, 4, 3, 3), output_padding=1)",
            RuntimeError,
            "conv_transpose2d: output_padding (1, 1) must be less than stride (1, 1) or dilation (1, 1)",
        ),
        (
            "F.max_pool2d(images, 9)",
            RuntimeError,
            "max_pool2d: kernel_size (9, 9) with padding (0, 0) and dilation (1, 1) leaves an output of (0, 0) "
            "from an input of (2, 3, 8, 8)",
        ),
        (
            "F.max_pool2d(images, 2, padding=2)",
            RuntimeError,
            "max_pool2d: padding must be between 0 and half of kernel_size, got padding (2, 2) with kernel_size (2, 2)",
        ),
        ("F.linear(x, square)", RuntimeError, "linear: expected one dtype, got input float32, weight float64"),
        (
            "F.linear(x, tg.zeros(4, 5))",
            RuntimeError,
            "linear: expected input (..., I) and weight (J, I), got (2, 3) and (4, 5)",
        ),
        ("F.softmax(x, dim=2)", IndexError, "softmax: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
        ("F.cross_entropy(x, tg.tensor([0, 3]))", IndexError, "cross_entropy: target 3 is out of range for 3 classes"),
        (
            "F.cross_entropy(x, tg.tensor([0]))",
            ValueError,
            "cross_entropy: expected target of shape (2,) for an input (2, 3), got (1,)",
        ),
        (
            'F.cross_entropy(x, tg.tensor([0, 1]), reduction="avg")',
            ValueError,
            "cross_entropy: expected reduction to be one of none, mean, sum, got 'avg'",
        ),
        (
            'F.mse_loss(x, x, reduction="median")',
            ValueError,
            "mse_loss: expected reduction to be one of none, mean, sum, got 'median'",
        ),
        (
            "F.nll_loss(x, tg.tensor([0.0, 1.0]))",
            RuntimeError,
            "nll_loss: expected a target of int64 classes, got float32",
        ),
        (
            "F.binary_cross_entropy_with_logits(x, five)",
            ValueError,
            "binary_cross_entropy_with_logits: expected target of the input's shape (2, 3), got (5,)",
        ),
        (
            "F.batch_norm(images, None, None)",
            RuntimeError,
            "batch_norm: running_mean and running_var are needed when not training, got None",
        ),
        (
            "F.batch_norm(images, None, None, tg.tensor([1.0, 1.0]), None, training=True)",
            RuntimeError,
            "batch_norm: weight must have shape (C,) = (3,) for input (2, 3, 8, 8), got (2,)",
        ),
    ],
    "modules": [
        (
            "nn.Linear(3, 4)(five)",
            RuntimeError,
            "linear: expected input (..., I) and weight (J, I), got (5,) and (4, 3)",
        ),
        ("nn.Conv2d(3, 8, 3)(x)", RuntimeError, "conv2d: expected input (N, C, H, W) or (C, H, W), got (2, 3)"),
        ("nn.Conv2d(3, 8, 3, groups=2)", ValueError, "Conv2d: in_channels=3 is not divisible by groups=2"),
        (
            "nn.BatchNorm2d(4)(images)",
            RuntimeError,
            "batch_norm: running_mean must have shape (C,) = (3,) for input (2, 3, 8, 8), got (4,)",
        ),
        ("nn.BatchNorm2d(3)(x)", ValueError, "BatchNorm2d: expected 4 dimensions, got shape (2, 3)"),
        ("nn.Dropout(2.0)", ValueError, "Dropout: expected p in [0, 1], got 2.0"),
        ('nn.Sequential("relu")', TypeError, "add_module: '0' must be a Module or None, got str"),
        ("nn.Sequential(nn.ReLU())[1]", IndexError, "Sequential: index 1 is out of range for 1 modules"),
        (
            'layer.load_state_dict({"weight": x})',
            RuntimeError,
            "load_state_dict: the state dict does not fit Linear:\n"
            "    Missing key(s): bias\n"
            "    size mismatch for weight: the state dict has (2, 3), the model (4, 3)",
        ),
        (
            'layer.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach(), "gain": x})',
            RuntimeError,
            "load_state_dict: the state dict does not fit Linear:\n    Unexpected key(s): gain",
        ),
        (
            'layer.register_parameter("weight.x", None)',
            KeyError,
            "a parameter's name must not be empty nor contain a dot, got 'weight.x'",
        ),
        (
            'layer.get_submodule("head.conv")',
            AttributeError,
            "Linear has no submodule 'head' (looking for 'head.conv')",
        ),
        (
            "nn.init.kaiming_uniform_(five)",
            ValueError,
            "kaiming_uniform_: fan_in and fan_out need at least 2 dimensions, got shape (5,)",
        ),
        (
            "nn.init.xavier_normal_(five)",
            ValueError,
            "xavier_normal_: fan_in and fan_out need at least 2 dimensions, got shape (5,)",
        ),
    ],
    "optimizers": [
        ("optim.SGD([], lr=0.1)", ValueError, "SGD: got no parameters"),
        ("optim.SGD([w], lr=-1.0)", ValueError, "SGD: expected lr >= 0, got -1.0"),
        ("optim.SGD([w], lr=0.1, nesterov=True)", ValueError, "SGD: nesterov needs a momentum and no dampening"),
        ("optim.SGD(w, lr=0.1)", TypeError, "SGD: params must be several tensors or dicts, got Tensor"),
        (
            "optim.Adam([w], betas=(0.9, 1.0))",
            ValueError,
            "Adam: expected betas, two numbers in [0, 1), got (0.9, 1.0)",
        ),
        ("optim.Adam([w], lr=0.1, weight_decay=-1)", ValueError, "Adam: expected weight_decay >= 0, got -1"),
        ('optim.Adam(["w"])', TypeError, "Adam: parameters must be tensors, got str"),
    ],
    "data sets and loaders": [
        (
            "data.DataLoader(data.TensorDataset(x), batch_size=0)",
            ValueError,
            "BatchSampler: expected batch_size to be a positive integer, got 0",
        ),
        (
            "data.DataLoader(data.TensorDataset(x), shuffle=True, sampler=[0, 1])",
            ValueError,
            "DataLoader: sampler and shuffle exclude each other",
        ),
        (
            "data.DataLoader(data.TensorDataset(x), num_workers=-2)",
            ValueError,
            "DataLoader: expected num_workers to be an integer of at least 0, got -2",
        ),
        (
            "data.DataLoader(data.TensorDataset(x), batch_sampler=[[0]], batch_size=2)",
            ValueError,
            "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last",
        ),
        (
            "data.TensorDataset(x, five)",
            ValueError,
            "TensorDataset: expected tensors with the same number of rows, got shapes (2, 3), (5,)",
        ),
        (
            "next(iter(data.DataLoader([x, five], batch_size=2)))",
            RuntimeError,
            "default_collate: item has shapes (2, 3) and (5,) in one batch",
        ),
        (
            "next(iter(data.DataLoader([object()])))",
            TypeError,
            "default_collate: expected tensors, NumPy arrays, numbers, strings, dicts, lists or tuples, item is "
            "a object; give collate_fn",
        ),
        ("data.Digits(size=9)", ValueError, "Digits: expected a size of 8, 16 or 32, got 9"),
        ('data.Digits(train="yes")', TypeError, "Digits: expected train to be a bool, got 'yes'"),
        (
            "data.random_split(data.TensorDataset(x), [1, 2])",
            ValueError,
            "random_split: lengths [1, 2] do not sum to the data set's 2 items",
        ),
    ],
    "files": [
        (
            'tg.save({"a": [x, {"b": object()}]}, folder / "new")',
            TypeError,
            "save: ['a'][1]['b'] is a object; tensors, numbers, strings, None, dicts, lists and tuples can be saved",
        ),
        ('tg.save({"a": x}, folder / "no" / "new")', FileNotFoundError, "save: there is no folder FOLDER/no"),
        ('tg.load(folder / "missing")', FileNotFoundError, "[Errno 2] No such file or directory: 'FOLDER/missing'"),
        ('tg.load(folder / "notes.txt")', ValueError, "load: FOLDER/notes.txt is not a whole safetensors file: ..."),
        ('tg.load(folder / "empty")', ValueError, "load: FOLDER/empty is not a whole safetensors file: ..."),
        ('tg.load(folder / "short")', ValueError, "load: FOLDER/short is not a whole safetensors file: ..."),
        (
            'tg.load(folder / "pickled")',
            ValueError,
            "load: FOLDER/pickled is pickled, as torch.save does it; trigrad reads safetensors and unpickles nothing",
        ),
        (
            'layer.load_state_dict(tg.load(folder / "whole"))',
            RuntimeError,
            "load_state_dict: the state dict does not fit Linear:\n"
            "    Missing key(s): weight, bias\n"
            "    Unexpected key(s): a",
        ),
    ],
    "the program": [
        ('tg.set_default_device("gpu")', RuntimeError, "device: expected one of cpu, cuda, interpreter, got 'gpu'"),
        ('tg.manual_seed("a")', TypeError, "manual_seed: expected an integer, got 'a'"),
        (
            "tg.manual_seed(2**64)",
            ValueError,
            "manual_seed: expected a seed in [-2**63, 2**64), got 18446744073709551616",
        ),
        ('op.register(op.OPS["mul"])', ValueError, "op 'mul' is registered twice"),
    ],
}


def names(folder: Path) -> dict[str, Any]:
    """What the calls may use: tensors of several kinds, a layer, and a folder with files that are none of ours."""
    (folder / "notes.txt").write_text("This is a text, long enough to pass for a header at first sight.")
    (folder / "empty").write_bytes(b"")
    (folder / "pickled").write_bytes(pickle.dumps({"a": 1}))
    tg.save({"a": tg.ones(2)}, folder / "whole")
    (folder / "short").write_bytes((folder / "whole").read_bytes()[:-3])
    found: dict[str, Any] = {
        "tg": tg,
        "op": op,
        "nn": nn,
        "optim": optim,
        "F": F,
        "data": data,
        "folder": folder,
        "x": tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "w": tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True),
        "five": tg.ones(5),
        "counts": tg.tensor([1, 2, 3]),
        "square": tg.eye(3, dtype=tg.float64),
        "images": tg.zeros(2, 3, 8, 8),
        "layer": nn.Linear(3, 4),
    }
    if find_spec("triton") is not None:
        found["far"] = found["x"].to("interpreter")
    return found


def state(values: dict[str, Any]) -> dict[str, Any]:
    """Everything that a call might have changed."""
    found: dict[str, Any] = {}
    tensors = {name: value for name, value in values.items() if isinstance(value, tg.Tensor)}
    for name, t in (tensors | dict(values["layer"].named_parameters())).items():
        numbers = t.detach().cpu().numpy().tolist()
        found[name] = (numbers, t.shape, t.dtype, t.device, t.requires_grad, t.grad, t._version)
    found["modules"] = (str(values["layer"]), sorted(values["layer"].state_dict()))
    found["files"] = {p.name: p.read_bytes() for p in values["folder"].iterdir()}
    found["modes"] = (tg.is_grad_enabled(), str(tg.get_default_device()))
    return found


def told(call: str, values: dict[str, Any]) -> tuple[type[Exception] | None, str]:
    """The exception that a call raises, and its message with the folder's name left out."""
    try:
        eval(call, dict(values))
    except Exception as error:
        text = error.args[0] if isinstance(error, KeyError) else str(error)
        return type(error), text.replace(str(values["folder"]), "FOLDER")
    return None, "nothing is raised"


def usable(call: str) -> bool:
    """Whether what the call needs is installed."""
    return "far" not in call or find_spec("triton") is not None


ALL = [
    pytest.param(*case, id=case[0], marks=() if usable(case[0]) else pytest.mark.skip(reason="Triton is not installed"))
    for cases in CASES.values()
    for case in cases
]


def fits(message: str, expected: str) -> bool:
    """Whether it is the message; where that ends with "..." another package has the last word."""
    return message.startswith(expected[:-3]) if expected.endswith("...") else message == expected


@pytest.mark.parametrize("call, kind, message", ALL)
def test_a_wrong_call_is_told_so_and_changes_nothing(call, kind, message, tmp_path, record_property):
    values = names(tmp_path)
    before = state(values)
    raised, text = told(call, values)
    assert raised is kind, text
    assert fits(text, message), text
    assert state(values) == before
    record_property("wrong calls", call)


def test_they_come_in_no_order(tmp_path):
    """No call leaves anything behind that changes what the next is told."""
    values = names(tmp_path)
    before = state(values)
    every = [case for cases in CASES.values() for case in cases if usable(case[0])]
    for number in np.random.default_rng(0).permutation(len(every)):
        call, kind, message = every[number]
        raised, text = told(call, values)
        assert raised is kind, text
        assert fits(text, message), text
    assert state(values) == before


def test_there_are_enough():
    assert len(ALL) >= 30
    assert len({call for cases in CASES.values() for call, _, _ in cases}) == len(ALL)


def main() -> None:
    """Print the calls and what they are told."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for title in ("call", "raises", "message"):
        table.add_column(title, overflow="fold")
    with tempfile.TemporaryDirectory() as folder:
        values = names(Path(folder))
        for group, cases in CASES.items():
            table.add_section()
            table.add_row(Text(group, "bold"))
            for call in (call for call, _, _ in cases if usable(call)):
                kind, message = told(call, values)
                table.add_row(Text(call), kind.__name__ if kind else "", Text(message))
    Console().print(table)


if __name__ == "__main__":
    main()
