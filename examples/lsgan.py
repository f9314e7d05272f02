"""LSGAN learns handwritten digits: the least-squares GAN of Mao et al. (ICCV 2017) on the bundled 16x16 digits.

    L_D = 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]        L_G = 1/2 E[(D(G(z)) - 1)^2]

D ends in a plain linear unit.  ``--loss vanilla`` is the non-saturating GAN instead, all else the same: binary
cross-entropy with logits.  Samples and figures come from a moving average (EMA) of the generator.

    python examples/lsgan.py                            trains on a GPU if there is one, else on the CPU
    python examples/lsgan.py --precision bf16           products in bfloat16, all else in float32
    python examples/lsgan.py --device interpreter --epochs 1 --steps 2 --batch 4 --width 8     the kernels, interpreted
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from digits_eval import Judge
from pictures import grid, write_png
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import trigrad as tg
from trigrad import nn, optim
from trigrad.nn import functional as F
from trigrad.utils.data import DataLoader, Digits, TensorDataset, prefetch

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


def generator(width: int = 64) -> nn.Sequential:
    """(N, 16) noise -> (N, 1, 16, 16) images in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(Z, width * 16),
        nn.Unflatten(1, (width, 4, 4)),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(),
        nn.ConvTranspose2d(width // 2, 1, 4, 2, 1),
        nn.Tanh(),
    )


def discriminator(width: int = 64) -> nn.Sequential:
    """(N, 1, 16, 16) images -> (N, 1) scores."""
    return nn.Sequential(
        Noise(0.25),
        nn.Conv2d(1, width // 2, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 2, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(width * 16, 1),
    )


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0; batch norm's weights N(1, 0.02)."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
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


LOSSES = {"lsgan": (least_squares, least_squares_generator), "vanilla": (cross_entropy, cross_entropy_generator)}


class GAN:
    """Both networks, their optimizers, and the moving average of G; ``step`` trains on one batch.

    With ``half`` products are computed in bfloat16.  With ``captured`` a GPU does each step as one graph.
    """

    def __init__(
        self, loss: str, device: str, width: int = 64, decay: float = 0.995, half: bool = False, captured: bool = False
    ) -> None:
        self.device = device
        kind = tg.device(device).type
        self.half = tg.autocast(kind, tg.bfloat16) if half else contextlib.nullcontext()
        self.captured = tg.capture(self.step, device=device) if captured else None
        self.G, self.D = generator(width).to(device), discriminator(width).to(device)
        self.G.apply(initialise)
        self.D.apply(initialise)
        self.average = generator(width).to(device).eval()
        if kind == "cuda":  # where convolutions like it best
            for net in (self.G, self.D, self.average):
                net.to(memory_format=tg.channels_last)
        self.average.load_state_dict(self.G.state_dict())
        self.decay = decay
        self.loss_d, self.loss_g = LOSSES[loss]
        self.optimizer_g = optim.Adam(self.G.parameters(), lr=5e-4, betas=(0.5, 0.999))
        self.optimizer_d = optim.Adam(self.D.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def step(self, real: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """One step of D and one of G on the same fakes; returns both losses."""
        with self.half:
            fake = self.G(tg.randn(len(real), Z, device=self.device))
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
        return self.average(z).cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Everything that training goes on from."""
        return {
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "average": self.average.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
        }


def batches(images: tg.Tensor, size: int) -> DataLoader:
    """Shuffled batches of the training images."""
    return DataLoader(TensorDataset(images), batch_size=size, shuffle=True, drop_last=True)


def train(gan: GAN, loader: DataLoader, epochs: int, steps: int | None) -> Iterator[tuple[int, int, float, float]]:
    """Train, yielding (epoch, images seen in this step, D's loss, G's loss) of each step.

    Those of a captured step come when the next one has begun, so that the GPU need not wait for anybody.
    """
    before: tuple[int, int] | None = None
    for epoch in range(epochs):
        for (images,) in prefetch(islice(loader, steps), gan.device):
            if gan.captured is None:
                d_loss, g_loss = gan.step(images)
                yield epoch, len(images), d_loss.item(), g_loss.item()
                continue
            gan.captured(images)
            if before is not None:
                yield *before, *map(float, gan.captured.read(1))
            before = epoch, len(images)
    if gan.captured is not None and before is not None:
        yield *before, *map(float, gan.captured.read(0))


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
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps an epoch")
    parser.add_argument("--batch", type=int, default=64, help="images in a batch")
    parser.add_argument("--width", type=int, default=64, help="channels of the widest layer")
    parser.add_argument("--loss", choices=sorted(LOSSES), default="lsgan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/lsgan"), help="folder for pictures and the checkpoint")
    parser.add_argument("--json", type=Path, default=None, help="write the figures and the losses to this file")
    parser.add_argument(
        "--samples", type=int, default=1437, help="images that the figures are made from; 0 for no figures"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, show how it goes, and write samples, checkpoint and figures; returns what --json would write."""
    options = parse(arguments)
    console = Console()
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    tg.manual_seed(options.seed)
    if options.precision != "bf16":
        tg.set_float32_matmul_precision(options.precision)
        tg.set_float32_conv_precision(options.precision)
    captured = tg.device(device).type == "cuda" if options.capture is None else options.capture
    gan = GAN(options.loss, device, options.width, half=options.precision == "bf16", captured=captured)
    loader = batches(Digits(train=True, size=16).images, options.batch)
    options.out.mkdir(parents=True, exist_ok=True)
    parameters = [sum(p.numel() for p in net.parameters()) for net in (gan.G, gan.D)]
    console.print(
        f"{options.loss} on {device}: G {parameters[0]:,} parameters, D {parameters[1]:,}, seed {options.seed}"
    )
    z = tg.randn(100, Z, device=device)
    history: list[tuple[float, float]] = []
    per_epoch = min(len(loader), options.steps or len(loader))
    began = time.perf_counter()
    columns = (
        TextColumn("epoch {task.fields[epoch]:3d}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("D {task.fields[d]:.3f}  G {task.fields[g]:.3f}  {task.fields[speed]:.0f} images/s"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=options.epochs * per_epoch, epoch=0, d=0.0, g=0.0, speed=0.0)
        seen, sums, count, now = 0, np.zeros(2), 0, 0
        for epoch, images, d_loss, g_loss in train(gan, loader, options.epochs, options.steps):
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
                speed=seen / (time.perf_counter() - began),
            )
        if count:
            history.append(tuple(sums / count))
    seconds = time.perf_counter() - began
    write_png(options.out / "samples.png", grid(gan.sample(z)))
    tg.save(gan.state_dict(), options.out / "checkpoint.safetensors")
    console.print(f"{seen:,} images in {seconds:.1f} s; samples and checkpoint in {options.out}")
    result: dict[str, Any] = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()} | {"device": device},
        "seconds": seconds,
        "images per second": seen / max(seconds, 1e-9),
        "losses": history,
    }
    if options.samples:
        figures = Judge().figures(gan.sample(tg.randn(options.samples, Z, device=device)))
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
            all(getattr(options, k) == defaults[k] for k in ("epochs", "steps", "batch", "width", "loss", "precision")),
        )
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
