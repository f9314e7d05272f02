"""Targets that name no class: refused where they can be looked at, and never read beyond the input."""

import numpy as np
import pytest

from trigrad.autograd import Tensor
from trigrad.framework import device as devices
from trigrad.framework.array import from_numpy
from trigrad.framework.op import OPS

LOSSES = ("nll_loss", "cross_entropy")


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
@pytest.mark.parametrize("target", [3, -1])
@pytest.mark.parametrize("name", LOSSES)
def test_out_of_range_is_refused(name: str, target: int, device: str):
    x, t = Tensor(np.zeros((2, 3)), device=device), Tensor(np.array([0, target]), device=device)
    with pytest.raises(IndexError, match=rf"^{name}: target {target} is out of range for 3 classes$"):
        OPS[name].function(x, t)
    OPS[name].function(x, t, ignore_index=target)  # what is ignored need not be a class


@pytest.mark.parametrize("name", LOSSES)
def test_out_of_range_is_nan_on_devices(name: str):
    backend = devices.backend(devices.INTERPRETER)
    x, t = from_numpy(np.zeros((2, 3)), backend), from_numpy(np.array([0, 2**40]), backend)
    settings = {"ignore_index": -100, "reduction": "none"}
    if name == "cross_entropy":
        settings["label_smoothing"] = 0.0
    losses = OPS[name].kernel.triton(x, t, **settings)[0].numpy()
    assert np.isfinite(losses[0]) and np.isnan(losses[1])
