"""LSGAN learns handwritten digits: the least-squares GAN of Mao et al. (ICCV 2017) on the bundled 16x16 digits.

    L_D = 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]        L_G = 1/2 E[(D(G(z)) - 1)^2]

D ends in a plain linear unit.  ``--loss vanilla`` is the non-saturating GAN instead, all else the same: binary
cross-entropy with logits.  Samples and figures come from a moving average (EMA) of the generator.

    python examples/lsgan.py                            trains on a GPU if there is one, else on the CPU
    python examples/lsgan.py --precision bf16           products in bfloat16, all else in float32
    python examples/lsgan.py --data mnist --root DIR    the network of 2017's articles, on MNIST: work for a GPU
    python examples/lsgan.py --stability                both losses without batch norm: which of them still learn
    python examples/lsgan.py --resume                   goes on where a run that was stopped saved its last epoch
    python examples/lsgan.py --device interpreter --epochs 1 --steps 2 --batch 4 --width 8     the kernels, interpreted
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from digits_eval import Judge, frechet
from pictures import grid, write_png
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import trigrad as tg
from trigrad import nn, optim
from trigrad.nn import functional as F
from trigrad.utils.data import MNIST, DataLoader, Digits, TensorDataset, prefetch

Z = 16  # length of the noise vector
BARS = {  # what a run of the default settings should reach
    "P-FD": ("<=", 0.45),
    "C-FID": ("<=", 0.60),
    "C-IS": (">=", 7.0),
    "conf": (">=", 0.60),
    "classes": (">=", 10),
    "min": (">=", 0.04),
    "TV": ("<=", 0.13),
    "P": (">=", 0.50),
    "R": (">=", 0.78),
    "copies": (">=", 0.9),
    "D loss": ("in", (0.12, 0.32)),
    "G loss": ("in", (0.09, 0.40)),
}


class Noise(nn.Module):
    """Adds normal noise while training: it keeps D from learning the training images by heart."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.std * tg.randn_like(x) if self.training else x

    def extra_repr(self) -> str:
        return f"{self.std}"


def generator(width: int = 64, norm: bool = True) -> nn.Sequential:
    """(N, 16) noise -> (N, 1, 16, 16) images in [-1, 1]; with or without batch norm."""
    layers = (
        nn.Linear(Z, width * 16),
        nn.Unflatten(1, (width, 4, 4)),
        nn.BatchNorm2d(width) if norm else None,
        nn.ReLU(),
        nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
        nn.BatchNorm2d(width // 2) if norm else None,
        nn.ReLU(),
        nn.ConvTranspose2d(width // 2, 1, 4, 2, 1),
        nn.Tanh(),
    )
    return nn.Sequential(*(layer for layer in layers if layer is not None))


def discriminator(width: int = 64, norm: bool = False, noise: float = 0.25) -> nn.Sequential:
    """(N, 1, 16, 16) images -> (N, 1) scores; with or without batch norm, and noise on the images."""
    layers = (
        Noise(noise) if noise else None,
        nn.Conv2d(1, width // 2, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 2, width, 4, 2, 1),
        nn.BatchNorm2d(width) if norm else None,
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(width * 16, 1),
    )
    return nn.Sequential(*(layer for layer in layers if layer is not None))


def mnist_generator(width: int = 256) -> nn.Sequential:
    """(N, 100) noise -> (N, 1, 28, 28) images in [-1, 1]."""

    def stage(inside: int, outside: int, up: bool) -> list[nn.Module]:
        layers = [nn.Upsample(scale_factor=2)] if up else []
        return [*layers, nn.Conv2d(inside, outside, 5, padding=2), nn.BatchNorm2d(outside), nn.LeakyReLU(0.2)]

    return nn.Sequential(
        nn.Linear(100, width * 49),
        nn.BatchNorm1d(width * 49),
        nn.LeakyReLU(0.2),
        nn.Unflatten(1, (width, 7, 7)),
        *stage(width, width // 2, up=True),
        *stage(width // 2, width // 4, up=True),
        *stage(width // 4, width // 8, up=False),
        nn.Conv2d(width // 8, 1, 5, padding=2),
        nn.Tanh(),
    )


def mnist_discriminator(width: int = 256) -> nn.Sequential:
    """(N, 1, 28, 28) images -> (N, 1) scores."""
    layers: list[nn.Module] = [Noise(0.1)]
    for inside, outside in ((1, width // 8), (width // 8, width // 4), (width // 4, width // 2), (width // 2, width)):
        layers += [nn.Conv2d(inside, outside, 5, 2, 2), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 4, 1))


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0; batch norm's weights N(1, 0.02)."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def mnist_initialise(module: nn.Module) -> None:
    """Weights by Xavier's normal rule, biases 0; batch norm's weights N(1, 0.02)."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_normal_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.normal_(module.weight, 1.0, 0.02)


def least_squares(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """D's loss for its scores of real and fake images."""
    return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()


def least_squares_generator(fake: tg.Tensor) -> tg.Tensor:
    """G's loss for D's scores of its images."""
    return 0.5 * ((fake - 1) ** 2).mean()


def cross_entropy(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """The vanilla GAN's loss of D."""
    return F.binary_cross_entropy_with_logits(real, tg.ones_like(real)) + F.binary_cross_entropy_with_logits(
        fake, tg.zeros_like(fake)
    )


def cross_entropy_generator(fake: tg.Tensor) -> tg.Tensor:
    """The non-saturating loss of G."""
    return F.binary_cross_entropy_with_logits(fake, tg.ones_like(fake))


def smoothed(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """Least squares without the halves, against targets in [0.8, 1] for real images."""
    return ((real - (0.8 + 0.2 * tg.rand_like(real))) ** 2).mean() + (fake**2).mean()


def smoothed_generator(fake: tg.Tensor) -> tg.Tensor:
    """The loss of G that goes with it."""
    return ((fake - 1) ** 2).mean()


LOSSES = {"lsgan": (least_squares, least_squares_generator), "vanilla": (cross_entropy, cross_entropy_generator)}


@dataclass(frozen=True)
class Recipe:
    """Networks, how they begin, how they are trained, and for how long."""

    generator: Callable[[int], nn.Sequential]
    discriminator: Callable[[int], nn.Sequential]
    optimizer: Callable[[Any, float], optim.Optimizer]
    initialise: Callable[[nn.Module], None] = initialise
    losses: dict[str, Any] = field(default_factory=lambda: LOSSES)
    z: int = Z  # length of the noise vector
    rates: tuple[float, float] = (5e-4, 1e-3)  # of G and D
    decay: float = 0.995  # of the moving average
    epochs: int = 150
    batch: int = 64
    width: int = 64


def adam(parameters: Any, rate: float) -> optim.Optimizer:
    """Adam with little inertia, as GANs like it."""
    return optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))


def rmsprop(parameters: Any, rate: float) -> optim.Optimizer:
    """RMSprop as it comes."""
    return optim.RMSprop(parameters, lr=rate)


RECIPES = {
    "digits": Recipe(generator, discriminator, adam),
    "mnist": Recipe(
        mnist_generator,
        mnist_discriminator,
        adam,
        mnist_initialise,
        LOSSES | {"lsgan": (smoothed, smoothed_generator)},
        z=100,
        rates=(2e-4, 5e-4),
        epochs=30,
        batch=256,
        width=256,
    ),
}
STABILITY = {  # the paper's comparison without batch norm, in small: no noise, no average
    "no batch norm, RMSprop": Recipe(
        lambda width: generator(width, norm=False),
        lambda width: discriminator(width, noise=0),
        rmsprop,
        rates=(2e-4, 2e-4),
        decay=0.0,
        epochs=75,
    ),
    "batch norm in D alone, Adam": Recipe(
        lambda width: generator(width, norm=False),
        lambda width: discriminator(width, norm=True, noise=0),
        adam,
        rates=(2e-4, 2e-4),
        decay=0.0,
        epochs=75,
    ),
}


class GAN:
    """Both networks, their optimizers, and the moving average of G; ``step`` trains on one batch.

    With ``half`` products are computed in bfloat16.  With ``captured`` a GPU does each step as one graph.
    """

    def __init__(
        self,
        loss: str,
        device: str,
        width: int | None = None,
        half: bool = False,
        captured: bool = False,
        recipe: Recipe = RECIPES["digits"],
    ) -> None:
        self.device, self.recipe = device, recipe
        width = width or recipe.width
        kind = tg.device(device).type
        self.half = tg.autocast(kind, tg.bfloat16) if half else contextlib.nullcontext()
        self.captured = tg.capture(self.step, device=device) if captured else None
        self.G, self.D = recipe.generator(width).to(device), recipe.discriminator(width).to(device)
        self.G.apply(recipe.initialise)
        self.D.apply(recipe.initialise)
        self.average = recipe.generator(width).to(device).eval()
        if kind == "cuda":  # where convolutions like it best
            for net in (self.G, self.D, self.average):
                net.to(memory_format=tg.channels_last)
        self.average.load_state_dict(self.G.state_dict())
        self.decay = recipe.decay
        self.loss_d, self.loss_g = recipe.losses[loss]
        self.optimizer_g = recipe.optimizer(self.G.parameters(), recipe.rates[0])
        self.optimizer_d = recipe.optimizer(self.D.parameters(), recipe.rates[1])

    def step(self, real: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """One step of D and one of G on the same fakes; returns both losses."""
        with self.half:
            fake = self.G(tg.randn(len(real), self.recipe.z, device=self.device))
            self.optimizer_d.zero_grad()
            d_loss = self.loss_d(self.D(real), self.D(fake.detach()))
        d_loss.backward()
        self.optimizer_d.step()

        self.D.requires_grad_(False)  # G's step needs no gradients of D's weights
        self.optimizer_g.zero_grad()
        with self.half:
            g_loss = self.loss_g(self.D(fake))
        g_loss.backward()
        self.optimizer_g.step()
        self.D.requires_grad_(True)
        self.follow()
        return d_loss.detach(), g_loss.detach()

    @tg.no_grad()
    def follow(self) -> None:
        """Move the average a little towards G: parameters and running statistics."""
        for ours, theirs in zip(self.average.state_dict().values(), self.G.state_dict().values(), strict=True):
            if ours.dtype.is_floating_point:
                ours.mul_(self.decay).add_(theirs, alpha=1 - self.decay)
            else:
                ours.copy_(theirs)

    @tg.no_grad()
    def sample(self, z: tg.Tensor) -> np.ndarray:
        """Images of the averaged generator."""
        return np.concatenate([self.average(part).cpu().numpy() for part in z.split(1000)])

    def state_dict(self) -> dict[str, Any]:
        """Everything that training goes on from."""
        return {
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "average": self.average.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, own in (("G", self.G), ("D", self.D), ("average", self.average)):
            own.load_state_dict(state[name])
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])


def batches(images: tg.Tensor, size: int) -> DataLoader:
    """Shuffled batches of the training images."""
    return DataLoader(TensorDataset(images), batch_size=size, shuffle=True, drop_last=True)


def train(
    gan: GAN,
    loader: DataLoader,
    epochs: int,
    steps: int | None,
    first: int = 0,
    save: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, int, float, float]]:
    """Train from epoch ``first`` on, yielding (epoch, images seen in this step, D's loss, G's loss) of each step.

    Those of a captured step come when the next one has begun, so that the GPU need not wait for anybody.  ``save`` is
    called after each epoch with the number of the next one, when all of the epoch's steps have been told.
    """
    before: tuple[int, int] | None = None
    for epoch in range(first, epochs):
        for (images,) in prefetch(islice(loader, steps), gan.device):
            if gan.captured is None:
                d_loss, g_loss = gan.step(images)
                yield epoch, len(images), d_loss.item(), g_loss.item()
                continue
            gan.captured(images)
            if before is not None:
                yield *before, *map(float, gan.captured.read(1))
            before = epoch, len(images)
        if gan.captured is not None and before is not None and (save is not None or epoch == epochs - 1):
            yield *before, *map(float, gan.captured.read(0))
            before = None
        if save is not None:
            save(epoch + 1)


def report(console: Console, figures: dict[str, float], with_bars: bool) -> None:
    """Print the figures, beside what the default settings should reach."""
    table = Table(title="figures of the averaged generator")
    for name in ("measure", "value", *(("bar", "") if with_bars else ())):
        table.add_column(name)
    for name, value in figures.items():
        row = [name, f"{value:.3f}" if isinstance(value, float) else str(value)]
        if with_bars and name in BARS:
            relation, bar = BARS[name]
            good = bar[0] <= value <= bar[1] if relation == "in" else value <= bar if relation == "<=" else value >= bar
            row += [f"{relation} {bar}", "[green]reached[/]" if good else "[red]missed[/]"]
        table.add_row(*row)
    console.print(table)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=None, help="cpu, cuda or interpreter; a GPU by default where there is one")
    parser.add_argument(
        "--precision",
        choices=("ieee", "tf32", "bf16x3", "bf16"),
        default="ieee",
        help="how a GPU multiplies: float32 as it is, rounded to tf32, as three bf16 products; or bf16 altogether",
    )
    parser.add_argument(
        "--capture",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="each step as one CUDA graph; on a GPU by default",
    )
    parser.add_argument("--data", choices=sorted(RECIPES), default="digits", help="bundled digits, or MNIST")
    parser.add_argument("--root", type=Path, default=Path("data"), help="the folder of data sets, for MNIST")
    parser.add_argument("--download", action="store_true", help="fetch MNIST where it is missing")
    parser.add_argument("--stability", action="store_true", help="compare both losses in networks without batch norm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the runs of --stability")
    parser.add_argument("--epochs", type=int, default=None, help="150; 30 of MNIST; 75 for --stability")
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps an epoch")
    parser.add_argument("--batch", type=int, default=None, help="images in a batch: 64, or 256 of MNIST")
    parser.add_argument("--width", type=int, default=None, help="channels of the widest layer: 64, or 256 for MNIST")
    parser.add_argument("--loss", choices=sorted(LOSSES), default="lsgan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/lsgan"), help="folder for pictures and the checkpoint")
    parser.add_argument("--json", type=Path, default=None, help="write the figures and the losses to this file")
    parser.add_argument(
        "--samples", type=int, default=1437, help="images that the figures are made from; 0 for no figures"
    )
    parser.add_argument(
        "--checkpoint", type=Path, default=None, help="save the whole run to this file after each epoch"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from --checkpoint (by default OUT/training.safetensors), if it is there, and save to it",
    )
    options = parser.parse_args(arguments)
    recipe = STABILITY["no batch norm, RMSprop"] if options.stability else RECIPES[options.data]
    for name in ("epochs", "batch", "width"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(recipe, name))
    if options.stability:
        refused = ("data", "loss", "resume", "checkpoint", "capture", "precision", "seed")
        given = [name for name in refused if getattr(options, name) != parser.get_default(name)]
        if given:
            parser.error(f"--stability has settings of its own: leave out --{', --'.join(given)}")
    return options


def training_images(options: argparse.Namespace) -> tg.Tensor:
    """(N, 1, H, W) images in [-1, 1]."""
    if options.data == "digits":
        return Digits(train=True, size=16).images
    raw = MNIST(options.root, train=True, download=options.download).data
    return (raw.to(tg.float32) / 127.5 - 1).unsqueeze(1)


def pixel_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of 4x4 averages of (N, 1, 28, 28) images."""
    rows = [
        x.reshape(len(x), 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(x), 49).astype(np.float64) for x in (real, fake)
    ]
    return frechet(*rows)


def stability(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train both losses in each setting and with each seed; print C-FID at the end and classes after a third."""
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    judge, count = Judge(), options.samples or 1437
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    for setting, recipe in STABILITY.items():
        runs[setting] = {loss: [] for loss in LOSSES}
        for seed in options.seeds:
            for loss in LOSSES:
                tg.manual_seed(seed)
                gan = GAN(loss, device, options.width, recipe=recipe)
                loader = batches(Digits(train=True, size=16).images, options.batch)
                third = max(options.epochs // 3, 1)
                for _ in train(gan, loader, third, options.steps):
                    pass
                early = judge.figures(gan.sample(tg.randn(count, recipe.z, device=device)))
                for _ in train(gan, loader, options.epochs, options.steps, first=third):
                    pass
                final = judge.figures(gan.sample(tg.randn(count, recipe.z, device=device)))
                runs[setting][loss].append(
                    {"C-FID": final["C-FID"], "P-FD": final["P-FD"], "classes": early["classes"]}
                )
                console.print(f"{setting}, {loss}, seed {seed}: C-FID {final['C-FID']:.2f}", highlight=False)
    table = Table(title=f"{options.epochs} epochs without noise and average")
    for name in ("setting", "loss", "C-FID", "mean", f"classes after {max(options.epochs // 3, 1)}"):
        table.add_column(name)
    means = {}
    for setting, by_loss in runs.items():
        for loss, found in by_loss.items():
            values = [run["C-FID"] for run in found]
            means[setting, loss] = float(np.mean(values))
            each = ", ".join(f"{v:.2f}" for v in values)
            table.add_row(
                setting, loss, each, f"{means[setting, loss]:.2f}", ", ".join(f"{r['classes']}" for r in found)
            )
    console.print(table)
    setting = "no batch norm, RMSprop"
    ratio = means[setting, "vanilla"] / means[setting, "lsgan"]
    console.print(f"without batch norm the vanilla GAN's C-FID is {ratio:.1f} times LSGAN's (bar: >= 1.5)")
    result = {"device": device, "epochs": options.epochs, "seeds": options.seeds, "runs": runs, "ratio": ratio}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, show how it goes, and write samples, checkpoint and figures; returns what --json would write."""
    options = parse(arguments)
    console = Console()
    if options.stability:
        return stability(options, console)
    recipe = RECIPES[options.data]
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    tg.manual_seed(options.seed)
    if options.precision != "bf16":
        tg.set_float32_matmul_precision(options.precision)
        tg.set_float32_conv_precision(options.precision)
    captured = tg.device(device).type == "cuda" if options.capture is None else options.capture
    gan = GAN(options.loss, device, options.width, options.precision == "bf16", captured, recipe)
    real_images = training_images(options)
    loader = batches(real_images, options.batch)
    options.out.mkdir(parents=True, exist_ok=True)
    parameters = [sum(p.numel() for p in net.parameters()) for net in (gan.G, gan.D)]
    console.print(
        f"{options.loss} on {device}: G {parameters[0]:,} parameters, D {parameters[1]:,}, seed {options.seed}"
    )
    z = tg.randn(100, recipe.z, device=device)
    history: list[tuple[float, float]] = []
    per_epoch = min(len(loader), options.steps or len(loader))
    first, before = 0, 0
    checkpoint = options.checkpoint or (options.out / "training.safetensors" if options.resume else None)
    decisive = {k: getattr(options, k) for k in ("data", "loss", "width", "batch", "steps", "seed", "precision")}
    if options.resume and checkpoint.exists():
        run = tg.load_checkpoint(checkpoint, gan=gan)
        if run["settings"] != decisive:
            raise SystemExit(f"{checkpoint} is of a run with other settings: {run['settings']}")
        first, before, history = run["epoch"], run["seen"], run["history"]
        console.print(f"going on after {first} epochs")
    began = time.perf_counter()
    columns = (
        TextColumn("epoch {task.fields[epoch]:3d}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("D {task.fields[d]:.3f}  G {task.fields[g]:.3f}  {task.fields[speed]:.0f} images/s"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=options.epochs * per_epoch, epoch=first, d=0.0, g=0.0, speed=0.0)
        progress.update(task, completed=first * per_epoch)
        seen, sums, count, now = before, np.zeros(2), 0, first

        def save(epoch: int) -> None:
            losses = [*history, tuple(sums / count)]
            tg.save_checkpoint(checkpoint, gan=gan, epoch=epoch, seen=seen, history=losses, settings=decisive)

        saving = None if checkpoint is None else save
        for epoch, images, d_loss, g_loss in train(gan, loader, options.epochs, options.steps, first, saving):
            if epoch != now:
                history.append(tuple(sums / count))
                sums, count, now = np.zeros(2), 0, epoch
                if epoch % 25 == 0:
                    write_png(options.out / f"epoch_{epoch:03d}.png", grid(gan.sample(z)))
            sums += (d_loss, g_loss)
            count += 1
            seen += images
            progress.update(
                task,
                advance=1,
                epoch=epoch + 1,
                d=sums[0] / count,
                g=sums[1] / count,
                speed=(seen - before) / (time.perf_counter() - began),
            )
        if count:
            history.append(tuple(sums / count))
    seconds = time.perf_counter() - began
    write_png(options.out / "samples.png", grid(gan.sample(z)))
    tg.save(gan.state_dict(), options.out / "checkpoint.safetensors")
    console.print(f"{seen - before:,} images in {seconds:.1f} s; samples and checkpoint in {options.out}")
    result: dict[str, Any] = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()} | {"device": device},
        "seconds": seconds,
        "images per second": (seen - before) / max(seconds, 1e-9),
        "losses": history,
    }
    if options.samples:
        fakes = gan.sample(tg.randn(options.samples, recipe.z, device=device))
        if options.data == "digits":
            figures = Judge().figures(fakes)
        else:  # the judge knows the bundled digits alone
            figures = {"P-FD": pixel_distance(real_images.numpy(), fakes)}
        if history:
            figures |= {
                "D loss": float(np.mean([d for d, _ in history[-10:]])),
                "G loss": float(np.mean([g for _, g in history[-10:]])),
            }
        result["figures"] = figures
        defaults = vars(parse([]))
        report(
            console,
            figures,
            all(
                getattr(options, k) == defaults[k]
                for k in ("data", "epochs", "steps", "batch", "width", "loss", "precision")
            ),
        )
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
