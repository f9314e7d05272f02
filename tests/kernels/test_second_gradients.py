"""Gradients of gradients on the interpreter are those on the CPU: compositions, and rows with kernels for second derivatives."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trigrad as tg
from trigrad.autograd import grad

F = tg.nn.functional

CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), [(3, 4, 5), (5,), (5,)]),
    "layer_norm of long rows": (lambda x: F.layer_norm(x, (60,)), [(2, 60)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 3, w, b), [(2, 6, 3, 2), (6,), (6,)]),
    "group_norm, channels last": (
        lambda x, w, b: F.group_norm(x.to(memory_format=tg.channels_last), 2, w, b),
        [(2, 6, 3, 2), (6,), (6,)],
    ),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, None, None, w, b), [(2, 3, 4), (3,), (3,)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), [(3, 5), (5,)]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), [(2, 3, 4)]),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), [(2, 3, 7), (4, 3, 3), (4,)]),
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b, 2, 1), [(1, 2, 3, 4, 3), (2, 2, 2, 2, 2), (2,)]),
    "conv_transpose3d": (lambda x, w: F.conv_transpose3d(x, w, None, 2, 1), [(1, 2, 2, 3, 2), (2, 2, 3, 2, 2)]),
    "unfold": (lambda x: F.unfold(x, 2, padding=1), [(1, 2, 3, 4)]),
    "grid_sample": (lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False), [(1, 2, 3, 4), (1, 2, 2, 2)]),
    "interpolate": (lambda x: F.interpolate(x, (5, 3), mode="bicubic"), [(1, 2, 3, 4)]),
    "pad": (lambda x: F.pad(x, (2, 1), "reflect"), [(2, 3, 4)]),
}


def check(name: str) -> None:
    function, shapes = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes]
    found = []
    for place in ("cpu", "interpreter"):
        inputs = [tg.tensor(a, device=place, requires_grad=True) for a in arrays]
        out = function(*inputs)
        first = grad((out**2).sum(), inputs, create_graph=True)
        second = grad(sum((g * g).sum() for g in first), inputs)
        found.append([g.detach().cpu().numpy() for g in (out, *first, *second)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-10 * np.abs(ours).max())


@pytest.mark.parametrize("name", CASES)
def test_penalty(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("_norm") or "_norm " in name or "," in name])
def test_rows_that_do_not_fit_in_one_tile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("trigrad.kernels.layer_norm")
    monkeypatch.setattr(module, "_walk", lambda *_: ({"BLOCK_M": 2, "BLOCK_R": 4}, False, 4))
    check(name)
