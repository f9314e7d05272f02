"""The examples run as documented, in small."""

import importlib
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


@pytest.fixture
def example(monkeypatch):
    """The main function of an example, by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return lambda name: importlib.import_module(name)


def write_idx(root, count=8):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        for name, array in (
            ("images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8)),
            ("labels-idx1-ubyte", rng.integers(0, 10, count, np.uint8)),
        ):
            header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (raw / f"{part}-{name}").write_bytes(header + array.tobytes())


def test_lsgan_of_mnist(lsgan, tmp_path):
    write_idx(tmp_path)
    G, D = lsgan.mnist_generator(), lsgan.mnist_discriminator()
    assert [sum(p.numel() for p in net.parameters()) for net in (G, D)] == [2_368_705, 1_077_505]
    flags = ["--data", "mnist", "--root", str(tmp_path), "--device", "cpu", "--epochs", "1", "--batch", "4"]
    found = lsgan.main([*flags, "--width", "8", "--samples", "20", "--out", str(tmp_path)])
    assert np.isfinite(found["losses"]).all() and found["figures"]["P-FD"] > 0


def test_lsgan_stability(lsgan, tmp_path, capsys):
    flags = ["--stability", "--device", "cpu", "--seeds", "0", "--epochs", "3", "--steps", "1", "--width", "8"]
    found = lsgan.main([*flags, "--batch", "4", "--samples", "60", "--json", str(tmp_path / "found.json")])
    assert found["ratio"] > 0 and set(found["runs"]) == set(lsgan.STABILITY)
    assert "times LSGAN's" in capsys.readouterr().out and json.loads((tmp_path / "found.json").read_text())
    for recipe in lsgan.STABILITY.values():
        assert not any(isinstance(m, lsgan.nn.BatchNorm2d) for m in recipe.generator(8).modules())
    with pytest.raises(SystemExit):
        lsgan.main(["--stability", "--loss", "vanilla"])


def test_gradient_penalty(example, tmp_path):
    wgan = example("wgan_gp")
    analytic, numeric = wgan.check()
    assert analytic == pytest.approx(numeric, rel=1e-5)
    flags = ["--epochs", "1", "--steps", "2", "--critic-steps", "1", "--width", "8", "--batch", "4"]
    found = {
        device: wgan.main([*flags, "--device", device, "--samples", "0", "--out", str(tmp_path)])["history"]
        for device in ("cpu", "interpreter")
    }
    np.testing.assert_allclose(found["interpreter"], found["cpu"], rtol=1e-3, atol=1e-5)
    assert (tmp_path / "samples.png").exists()


CRITIC = {
    "conv2d": ((2, 2, 4, 4), lambda nn: nn.Conv2d(2, 3, 3, 2, 1)),
    "conv_transpose2d": ((2, 2, 3, 3), lambda nn: nn.ConvTranspose2d(2, 3, 4, 2, 1)),
    "linear": ((3, 4), lambda nn: nn.Linear(4, 2)),
    "layer_norm": ((3, 6), lambda nn: nn.LayerNorm(6)),
    "group_norm": ((2, 4, 3), lambda nn: nn.GroupNorm(2, 4)),
    "instance_norm": ((2, 3, 5), lambda nn: nn.InstanceNorm1d(3)),
    "batch_norm": ((5, 3), lambda nn: nn.BatchNorm1d(3)),
    "avg_pool2d": ((1, 2, 4, 4), lambda nn: nn.AvgPool2d(2)),
    "leaky_relu": ((4, 3), lambda nn: nn.LeakyReLU(0.2)),
    "silu": ((4, 3), lambda nn: nn.SiLU()),
    "gelu": ((4, 3), lambda nn: nn.GELU()),
    "elu": ((4, 3), lambda nn: nn.ELU()),
    "softplus": ((4, 3), lambda nn: nn.Softplus()),
    "tanh": ((4, 3), lambda nn: nn.Tanh()),
    "sigmoid": ((4, 3), lambda nn: nn.Sigmoid()),
}


@pytest.mark.parametrize("name", CRITIC)
def test_layers_that_a_penalty_meets(name, rng):
    """They are differentiable twice, by their input and by their parameters."""
    shape, make = CRITIC[name]
    tg.manual_seed(1)
    layer = make(tg.nn).to(tg.float64)
    x = tg.tensor(rng.normal(size=shape), requires_grad=True)
    assert tg.autograd.gradgradcheck(layer, x)
    for parameter in layer.parameters():
        (slope,) = tg.autograd.grad((layer(x) ** 2).sum(), x, create_graph=True)
        (found,) = tg.autograd.grad((slope**2).sum(), parameter, allow_unused=True)
        direction = tg.tensor(rng.normal(size=parameter.shape))
        values = []
        for sign in (1, -2):
            with tg.no_grad():
                parameter.add_(direction, alpha=sign * 1e-6)
            (moved,) = tg.autograd.grad((layer(x) ** 2).sum(), x)
            values.append((moved**2).sum().item())
        with tg.no_grad():
            parameter.add_(direction, alpha=1e-6)
        numeric = (values[0] - values[1]) / 2e-6
        analytic = 0.0 if found is None else (found * direction).sum().item()
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-5)


def test_mixture(example, capsys):
    mixture = example("mixture")
    ring = np.repeat(mixture.CENTRES[:8], 320, axis=0)
    assert mixture.measure(ring) == pytest.approx({"modes": 8, "KL": 0, "within 3 deviations": 1})
    one = mixture.measure(np.tile(mixture.CENTRES[3], (2560, 1)))
    assert one["modes"] == 1 and one["KL"] == pytest.approx(np.log(8))
    nets = mixture.GAN("lsgan", "cpu")
    assert [sum(p.numel() for p in net.parameters()) for net in (nets.G, nets.D)] == [49_666, 17_025]
    for more in ([], ["--counter"]):
        found = mixture.main(["--device", "cpu", "--steps", "4", "--every", "2", *more])
        assert [len(found["runs"][loss][0]["snapshots"]) for loss in ("lsgan", "vanilla")] == [2, 2]
    assert "modes of 8" in capsys.readouterr().out


def test_cifar_resnet(example, tmp_path):
    cifar, weights = example("cifar_resnet"), tmp_path / "weights.safetensors"
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        records = [bytes([n % 10]) + rng.integers(0, 256, 3072, np.uint8).tobytes() for n in range(4)]
        (folder / name).write_bytes(b"".join(records))
    flags = ["--device", "cpu", "--epochs", "1", "--batch", "4", "--width", "4", "--blocks", "1"]
    found = cifar.main([*flags, "--data", str(tmp_path), "--out", str(weights)])
    assert np.isfinite(found["losses"]).all() and 0 <= found["accuracy"] <= 1
    assert cifar.main([*flags, "--fake", "--steps", "2"])["fake"]
    found = example("torch_weights").main([str(weights), "--device", "cpu", "--size", "32"])
    assert sum(share for _, share in found["found"]) < 1 and len(found["found"]) == 5


def test_torch_weights_of_our_own(example, tmp_path):
    used, resnet = example("torch_weights"), example("resnet")
    tg.manual_seed(0)
    net = resnet.ResNet((1, 2), classes=7, width=4, bottleneck=True)
    tg.save({k: v for k, v in net.state_dict().items() if "tracked" not in k}, tmp_path / "net.safetensors")
    np.save(tmp_path / "picture.npy", np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    found = used.main(
        [str(tmp_path / "net.safetensors"), str(tmp_path / "picture.npy"), "--size", "32", "--device", "cpu"]
    )
    image = used.prepared(np.load(tmp_path / "picture.npy"), 32)
    expected = tg.softmax(net.eval()(image), 1)[0].tolist()
    assert [expected[n] for n, _ in found["found"]] == [share for _, share in found["found"]]
    with pytest.raises(ValueError, match="weights of a ResNet"):
        tg.save({"weight": tg.ones(2)}, tmp_path / "other.safetensors")
        used.load(tmp_path / "other.safetensors")
    assert sum(p.numel() for p in resnet.resnet18().parameters()) == 11_689_512
    assert sum(p.numel() for p in resnet.resnet50().parameters()) == 25_557_032


@pytest.mark.peer
@pytest.mark.parametrize("bottleneck", [False, True])
def test_weights_from_torch(bottleneck, example, tmp_path):
    """A network of PyTorch's layers with torchvision's names, saved by safetensors.torch, gives the same answers here."""
    torch = pytest.importorskip("torch")
    nn, F = torch.nn, torch.nn.functional
    from safetensors.torch import save_file

    class Block(nn.Module):
        def __init__(self, inside, width, stride):
            super().__init__()
            outside = 4 * width if bottleneck else width
            if bottleneck:
                self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
                self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
                self.conv3, self.bn3 = nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside)
            else:
                self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
                self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.downsample = None
            if stride > 1 or inside != outside:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
                )

        def forward(self, x):
            out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if bottleneck:
                out = self.bn3(self.conv3(F.relu(out)))
            return F.relu(out + (x if self.downsample is None else self.downsample(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
            wide = 4 if bottleneck else 1
            self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8 * wide, 8, 1))
            self.layer2 = nn.Sequential(Block(8 * wide, 16, 2))
            self.fc = nn.Linear(16 * wide, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))

    torch.manual_seed(0)
    net = Net().train()
    with torch.no_grad():
        for _ in range(3):  # running statistics that are worth something
            net(torch.randn(4, 3, 64, 64))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = net.eval()(torch.tensor(image)).numpy()
    model = example("torch_weights").load(tmp_path / "net.safetensors")
    with tg.no_grad():
        np.testing.assert_allclose(model(tg.tensor(image)).numpy(), expected, rtol=1e-4, atol=1e-5)
