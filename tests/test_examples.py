"""The examples run as documented, in small."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(*arguments: str) -> str:
    """Run an example in a process of its own; its output."""
    paths = os.pathsep.join([str(Path(tg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=EXAMPLES,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def lsgan(monkeypatch):
    """examples/lsgan.py as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import lsgan

    return lsgan


@pytest.mark.parametrize("loss", ["lsgan", "vanilla"])
def test_lsgan_writes_what_it_says(loss, tmp_path):
    run(
        "lsgan.py",
        "--device",
        "cpu",
        "--epochs",
        "2",
        "--steps",
        "3",
        "--loss",
        loss,
        "--samples",
        "200",
        "--out",
        str(tmp_path),
        "--json",
        str(tmp_path / "figures.json"),
    )
    written = json.loads((tmp_path / "figures.json").read_text())
    assert len(written["losses"]) == 2 and {"C-FID", "P-FD", "classes", "D loss"} <= set(written["figures"])
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert {"G", "D", "average", "optimizer_g", "optimizer_d"} == set(tg.load(tmp_path / "checkpoint.safetensors"))


def test_lsgan_begins_alike_on_the_interpreter(lsgan):
    """Weights and noise bit for bit those of the CPU, the first steps' losses equal but for rounding."""
    found = {}
    for device in ("cpu", "interpreter"):
        tg.manual_seed(3)
        gan = lsgan.GAN("lsgan", device, width=8)
        weights = [p.detach().cpu().numpy().copy() for p in (*gan.G.parameters(), *gan.D.parameters())]
        noise = tg.randn(4, lsgan.Z, device=device).cpu().numpy()
        images = lsgan.Digits(train=True, size=16).images[:8]
        losses = [tuple(loss.item() for loss in gan.step(images[4 * i : 4 * i + 4].to(device))) for i in range(2)]
        found[device] = weights, noise, losses
    for ours, theirs in zip(found["cpu"][0], found["interpreter"][0], strict=True):
        np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))
    np.testing.assert_array_equal(found["cpu"][1].view(np.uint32), found["interpreter"][1].view(np.uint32))
    np.testing.assert_allclose(found["interpreter"][2], found["cpu"][2], rtol=1e-4)


@pytest.fixture
def digits_cnn(monkeypatch):
    """examples/digits_cnn.py as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import digits_cnn

    return digits_cnn


@pytest.fixture
def precisions():
    """Puts back how float32 is multiplied."""
    before = tg.get_float32_matmul_precision(), tg.get_float32_conv_precision()
    yield
    tg.set_float32_matmul_precision(before[0])
    tg.set_float32_conv_precision(before[1])


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16x3", "bf16"])
def test_every_precision_trains(precision, lsgan, digits_cnn, precisions, tmp_path):
    flags = ["--device", "interpreter", "--epochs", "1", "--steps", "2", "--width", "8", "--precision", precision]
    found = lsgan.main([*flags, "--batch", "4", "--samples", "0", "--out", str(tmp_path)])
    assert np.isfinite(found["losses"]).all() and found["settings"]["precision"] == precision
    net = digits_cnn.network(4).to("interpreter")
    images = digits_cnn.Digits(train=True, size=8).images[:8].to("interpreter")
    assert digits_cnn.train(net, "interpreter", 1, 1, 0, digits_cnn.Console(), half=precision == "bf16") == 64
    assert set(digits_cnn.predict(net, images, "interpreter").tolist()) <= set(range(10))


def test_captured_training_says_the_same(lsgan, digits_cnn, tmp_path):
    found = []
    for flag in ("--capture", "--no-capture"):
        flags = ["--device", "cpu", "--epochs", "2", "--steps", "3", "--width", "8", flag]
        gan = lsgan.main([*flags, "--batch", "8", "--samples", "0", "--out", str(tmp_path)])
        state = tg.load(tmp_path / "checkpoint.safetensors")
        cnn = digits_cnn.main(flags)
        found.append((gan["losses"], cnn["classes"], {k: v.tolist() for k, v in state["G"].items()}))
    assert found[0] == found[1]


@pytest.mark.parametrize("flag", ["--capture", "--no-capture"])
def test_lsgan_goes_on_as_if_it_had_not_stopped(flag, lsgan, tmp_path):
    flags = ["--device", "cpu", "--steps", "3", "--width", "8", "--batch", "8", "--samples", "0", flag]

    def run(name, epochs, *more):
        said = lsgan.main([*flags, "--epochs", str(epochs), "--out", str(tmp_path / name), *more])
        return np.array(said["losses"]).tolist(), (tmp_path / name / "checkpoint.safetensors").read_bytes()

    whole = run("whole", 4)
    for epochs in (1, 3, 4):
        found = run("parts", epochs, "--resume")
    assert found == whole
    assert run("other", 2, "--checkpoint", str(tmp_path / "file"))[0] == whole[0][:2]
    assert run("other", 4, "--checkpoint", str(tmp_path / "file"), "--resume") == whole
    with pytest.raises(SystemExit, match="other settings"):
        run("parts", 4, "--resume", "--seed", "1")


def test_the_best_discriminator(lsgan):
    """D*(x) = (b p_d + a p_g) / (p_d + p_g) makes the loss stationary (Mao et al., equation 5), here with a, b = 0, 1."""
    p_data, p_fake = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
    best = tg.tensor(p_data / (p_data + p_fake), requires_grad=True)
    scores = best * 1.0
    loss = (0.5 * tg.tensor(p_data) * (scores - 1) ** 2 + 0.5 * tg.tensor(p_fake) * scores**2).sum()
    loss.backward()
    np.testing.assert_allclose(best.grad.numpy(), 0, atol=1e-15)
    real, fake = tg.tensor([[0.9], [0.4]]), tg.tensor([[0.2], [-0.3]])
    expected = 0.5 * ((0.1**2 + 0.6**2) / 2 + (0.2**2 + 0.3**2) / 2)
    assert lsgan.least_squares(real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_custom_op():
    said = run("custom_op.py")
    assert "second gradients" in said and "named rightly" in said


def test_digits_cnn(tmp_path):
    run("digits_cnn.py", "--device", "cpu", "--epochs", "1", "--json", str(tmp_path / "digits.json"))
    assert json.loads((tmp_path / "digits.json").read_text())


def test_the_blocks_of_extending_md(tmp_path):
    """The files that docs/extending.md shows do what it says, and their docstrings are true."""
    text = (ROOT / "docs" / "extending.md").read_text()
    files = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in files] == ["squareplus.py", "mirror.py", "check.py"]
    for name, content in files:
        (tmp_path / name).write_text(content)
    said = run(str(tmp_path / "check.py"))
    assert "squareplus {'samples': 3" in said and "mirror {'samples': 6" in said
    run("-m", "doctest", str(tmp_path / "squareplus.py"), str(tmp_path / "mirror.py"), str(EXAMPLES / "snake.py"))
