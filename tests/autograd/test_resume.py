"""Checkpoints: training that was stopped anywhere goes on bit for bit, and a bad file changes nothing."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, optim
from trigrad.utils.data import DataLoader, TensorDataset

SCRIPT = textwrap.dedent(
    """
    import os, random, sys
    import numpy as np
    import trigrad as tg
    from trigrad import nn, optim
    from trigrad.utils.data import DataLoader, TensorDataset, prefetch

    path, out = sys.argv[1:]
    tg.manual_seed(0)
    random.seed(1)
    np.random.seed(2)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    data = TensorDataset(tg.randn(30, 4), tg.randn(30, 1))
    loader = prefetch(DataLoader(data, 4, shuffle=True), "cpu")
    parts = dict(net=net, optimizer=optimizer, loader=loader)
    epoch, losses = 0, []
    if os.path.exists(path):
        values = tg.load_checkpoint(path, **parts)
        epoch, losses = values["epoch"], values["losses"]
    for epoch in range(epoch, 6):
        for x, y in loader:
            optimizer.zero_grad()
            loss = ((net(x) - y) ** 2).mean() * (1 + random.random() + np.random.rand())
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            tg.save_checkpoint(path, epoch=epoch, losses=losses, **parts)
            print(len(losses), flush=True)
    tg.save({"net": net.state_dict(), "losses": losses}, out)
    """
)


def begin(path, out):
    root = str(Path(tg.__file__).parents[1])
    command = [sys.executable, "-c", SCRIPT, str(path), str(out)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.full)])
def test_a_run_that_is_killed_and_resumed_is_one_that_was_not(kills, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    one = begin(whole / "checkpoint", whole / "result")
    assert one.communicate(timeout=120) and one.returncode == 0
    rng = random.Random(0)
    for _ in range(kills):
        running = begin(parts / "checkpoint", parts / "result")
        for _ in range(rng.randrange(1, 50 // kills)):
            running.stdout.readline()
        time.sleep(rng.random() * 0.004)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert running.returncode == -signal.SIGKILL
        left = [name for name in os.listdir(parts) if name != "checkpoint"]
        assert len(left) <= 1  # killed in the moment between two system calls: the whole file under its first name
        for name in left:
            assert {"epoch", "losses"} <= tg.load(parts / name)["values"].keys()
            os.unlink(parts / name)
    last = begin(parts / "checkpoint", parts / "result")
    said = last.communicate(timeout=120)[0]
    assert last.returncode == 0 and not said.startswith("1\n")
    assert (parts / "result").read_bytes() == (whole / "result").read_bytes()
    assert len(tg.load(parts / "result")["losses"]) == 48


def training(width=3):
    net = nn.Linear(2, width)
    return {"net": net, "optimizer": optim.Adam(net.parameters(), lr=0.1)}


def step(net, optimizer):
    optimizer.zero_grad()
    (net(tg.randn(4, 2)) ** 2).sum().backward()
    optimizer.step()


def states(parts):
    return [
        {k: v.tolist() for k, v in parts["net"].state_dict().items()},
        {
            n: {k: getattr(v, "tolist", lambda v=v: v)() for k, v in s.items()}
            for n, s in parts["optimizer"].state_dict()["state"].items()
        },
    ]


def test_what_is_saved_beside():
    parts, f = training(), BytesIO()
    step(**parts)
    loader = DataLoader(TensorDataset(tg.arange(9)), 2, shuffle=True)
    batches = iter(loader)
    next(batches)
    tg.save_checkpoint(f, loader=loader, epoch=7, best=tg.tensor([1.5]), names=["a", ("b", None)], **parts)
    expected = [x.tolist() for (x,) in batches], tg.rand(3).tolist(), random.random(), np.random.rand()
    f.seek(0)
    other = training()
    again = DataLoader(TensorDataset(tg.arange(9)), 2, shuffle=True)
    values = tg.load_checkpoint(f, loader=again, **other)
    assert (values["epoch"], values["best"].tolist(), values["names"]) == (7, [1.5], ["a", ("b", None)])
    assert ([x.tolist() for (x,) in again], tg.rand(3).tolist(), random.random(), np.random.rand()) == expected
    assert states(other) == states(parts)
    f.seek(0)
    before = tg.get_rng_state()
    tg.load_checkpoint(f, rng=False, net=other["net"])
    assert (tg.get_rng_state() == before).all()


def test_a_bad_file_changes_nothing(tmp_path):
    parts, path = training(), tmp_path / "checkpoint"
    step(**parts)
    tg.save_checkpoint(path, **parts)
    content = path.read_bytes()
    mine = training()
    step(**mine)
    wider = training(5)
    before, rng = states(mine), tg.get_rng_state()
    for cut in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            tg.load_checkpoint(path, **mine)
    tg.save({"x": tg.ones(2)}, path)
    with pytest.raises(ValueError, match="was not written by save_checkpoint"):
        tg.load_checkpoint(path, **mine)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has states of net, optimizer, not of scheduler"):
        tg.load_checkpoint(path, **mine, scheduler=mine["optimizer"])
    with pytest.raises(TypeError, match="epoch is a int"):
        tg.load_checkpoint(path, **mine, epoch=3)
    two = optim.Adam([mine["net"].weight], lr=0.1)
    with pytest.raises(ValueError, match="groups"):  # the model fits, the optimizer does not
        tg.load_checkpoint(path, net=mine["net"], optimizer=two)
    with pytest.raises(RuntimeError, match="size mismatch"):
        tg.load_checkpoint(path, **wider)
    content = tg.load(path)
    content["random"]["python"] = (3, (1, 2), None)
    tg.save(content, path)
    with pytest.raises(ValueError, match="random numbers' states"):
        tg.load_checkpoint(path, **mine)
    tg.save(content | {"checkpoint": 2}, path)
    with pytest.raises(ValueError, match="version 2"):
        tg.load_checkpoint(path, **mine)
    assert states(mine) == before and (tg.get_rng_state() == rng).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_a_full_disk_keeps_the_old_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    parts, path = training(), tmp_path / "checkpoint"
    tg.save_checkpoint(path, **parts)
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            tg.save_checkpoint(path, **parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["checkpoint"]
