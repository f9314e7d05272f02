"""A Wasserstein GAN with gradient penalty on the 16x16 digits: it differentiates through a gradient.

    L_C = E[C(G(z))] - E[C(x)] + 10 E[(|dC/dy| - 1)^2],   y on the line between a real and a generated image
    L_G = -E[C(G(z))]

The penalty is a function of the critic's gradient, so its own gradient needs every layer of the critic to be
differentiable twice: convolution, group normalisation, SiLU, linear.  Source: Gulrajani et al. (NIPS 2017); they use a
layer norm over each image in the critic, which is a group norm of one group, since batch norm would tie images together.

    python examples/wgan_gp.py                          trains on a GPU if there is one, else on the CPU
    python examples/wgan_gp.py --check                  compares the penalty's gradient with finite differences
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from digits_eval import Judge
from lsgan import Z, generator
from pictures import grid, write_png
from rich.console import Console
from rich.table import Table

import trigrad as tg
from trigrad import nn, optim
from trigrad.utils.data import DataLoader, Digits, TensorDataset, prefetch


def critic(width: int = 64) -> nn.Sequential:
    """(N, 1, 16, 16) images -> (N, 1) scores of any size."""
    return nn.Sequential(
        nn.Conv2d(1, width // 2, 4, 2, 1),
        nn.SiLU(),
        nn.Conv2d(width // 2, width, 4, 2, 1),
        nn.GroupNorm(1, width),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(width * 16, 1),
    )


def penalty(net: nn.Module, real: tg.Tensor, fake: tg.Tensor, share: tg.Tensor) -> tg.Tensor:
    """How far the slope of ``net`` is from 1, between real and generated images: mean of (|slope| - 1)^2.

    ``share`` (N, 1, 1, 1) in [0, 1] says where between the two.
    """
    between = (real * share + fake * (1 - share)).detach().requires_grad_(True)
    (slope,) = tg.autograd.grad(net(between).sum(), between, create_graph=True)
    length = ((slope * slope).sum(dim=(1, 2, 3)) + 1e-12).sqrt()
    return ((length - 1) ** 2).mean()


class GAN:
    """Generator, critic and their optimizers."""

    def __init__(self, device: str, width: int = 64, weight: float = 10.0) -> None:
        self.device, self.weight = device, weight
        self.G, self.C = generator(width).to(device), critic(width).to(device)
        self.optimizer_g = optim.Adam(self.G.parameters(), lr=5e-4, betas=(0.0, 0.9))
        self.optimizer_c = optim.Adam(self.C.parameters(), lr=5e-4, betas=(0.0, 0.9))

    def improve_critic(self, real: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """One step of the critic; returns its estimate of the distance and the penalty."""
        with tg.no_grad():
            fake = self.G(tg.randn(len(real), Z, device=self.device))
        self.optimizer_c.zero_grad()
        distance = self.C(real).mean() - self.C(fake).mean()
        slope = penalty(self.C, real, fake, tg.rand(len(real), 1, 1, 1, device=self.device))
        (self.weight * slope - distance).backward()
        self.optimizer_c.step()
        return distance.detach(), slope.detach()

    def improve_generator(self, count: int) -> None:
        """One step of the generator against the critic as it is."""
        self.C.requires_grad_(False)
        self.optimizer_g.zero_grad()
        (-self.C(self.G(tg.randn(count, Z, device=self.device))).mean()).backward()
        self.optimizer_g.step()
        self.C.requires_grad_(True)

    @tg.no_grad()
    def sample(self, z: tg.Tensor) -> np.ndarray:
        """Images of the generator as it is used: with its running statistics."""
        self.G.eval()
        images = self.G(z).cpu().numpy()
        self.G.train()
        return images


def check(seed: int = 0, step: float = 1e-5) -> tuple[float, float]:
    """The slope of the penalty along a random direction of the critic's weights, in float64.

    Returns it as its gradient says, and as a central difference says.
    """
    tg.manual_seed(seed)
    net = critic(8).to(tg.float64)
    real, fake = (tg.rand(2, 1, 16, 16, dtype=tg.float64) for _ in range(2))
    share = tg.rand(2, 1, 1, 1, dtype=tg.float64)
    weights = [p for p in net.parameters() if p.ndim > 1]
    directions = [tg.randn_like(w) for w in weights]
    gradients = tg.autograd.grad(penalty(net, real, fake, share), weights)
    analytic = sum((g * v).sum().item() for g, v in zip(gradients, directions, strict=True))
    values = []
    for sign in (1, -2):  # a step ahead, then two back
        with tg.no_grad():
            for w, v in zip(weights, directions, strict=True):
                w.add_(v, alpha=sign * step)
        values.append(penalty(net, real, fake, share).item())
    return analytic, (values[0] - values[1]) / (2 * step)


def train(gan: GAN, images: tg.Tensor, options: argparse.Namespace) -> Iterator[tuple[int, float, float]]:
    """Train, yielding (epoch, distance, penalty), the means of each epoch."""
    loader = DataLoader(TensorDataset(images), batch_size=options.batch, shuffle=True, drop_last=True)
    done = 0
    for epoch in range(options.epochs):
        seen: list[tuple[tg.Tensor, tg.Tensor]] = []
        for (real,) in prefetch(islice(loader, options.steps), gan.device):
            seen.append(gan.improve_critic(real))
            done += 1
            if done % options.critic_steps == 0:
                gan.improve_generator(len(real))
        distance, slope = (float(np.mean([pair[n].item() for pair in seen])) for n in range(2))
        yield epoch, distance, slope


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, or check the penalty's gradient; returns what --json would write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=None, help="cpu, cuda or interpreter; a GPU by default where there is one")
    parser.add_argument("--check", action="store_true", help="compare the penalty's gradient with finite differences")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps of the critic an epoch")
    parser.add_argument("--critic-steps", type=int, default=3, help="steps of the critic for one of the generator")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="channels of the widest layer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/wgan_gp"), help="folder for pictures")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    parser.add_argument("--samples", type=int, default=1437, help="images for the figures; 0 for no figures")
    options = parser.parse_args(arguments)
    console = Console()
    if options.check:
        analytic, numeric = check(options.seed)
        console.print(
            f"slope of the penalty: {analytic:.8f} by its gradient, {numeric:.8f} by a finite difference",
            soft_wrap=True,
        )
        return {"analytic": analytic, "numeric": numeric}
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    tg.manual_seed(options.seed)
    gan = GAN(device, options.width)
    options.out.mkdir(parents=True, exist_ok=True)
    z = tg.randn(100, Z, device=device)
    history: list[tuple[float, float]] = []
    began = time.perf_counter()
    for epoch, distance, slope in train(gan, Digits(train=True, size=16).images, options):
        history.append((distance, slope))
        if epoch % 10 == 9 or epoch == options.epochs - 1:
            console.print(f"epoch {epoch + 1:3d}: distance {distance:.3f}, penalty {slope:.3f}")
    seconds = time.perf_counter() - began
    write_png(options.out / "samples.png", grid(gan.sample(z)))
    result: dict[str, Any] = {"device": device, "seed": options.seed, "seconds": seconds, "history": history}
    console.print(f"{len(history)} epochs in {seconds:.1f} s on {device}; samples in {options.out}")
    if options.samples:
        result["figures"] = Judge().figures(gan.sample(tg.randn(options.samples, Z, device=device)))
        table = Table("measure", "value", title="figures of the generator")
        for name, value in result["figures"].items():
            table.add_row(name, f"{value:.3f}")
        console.print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
