"""A residual network learns to tell the photographs of CIFAR-10 apart: 32x32 pixels, three colours, ten classes.

    python examples/cifar_resnet.py --data DIR              CIFAR-10 as published, in DIR
    python examples/cifar_resnet.py --data DIR --download   fetched first (170 MB)
    python examples/cifar_resnet.py --fake                  made-up images of the same form, to try the program

A ResNet of three stages, twenty layers with the default blocks; images are moved by up to four pixels and mirrored each
time they are seen.  SGD with momentum 0.9, weight decay 5e-4, a rate that rises and falls again in one cycle.  This is
work for a GPU: an epoch of 50,000 images takes minutes on a CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from resnet import ResNet
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import trigrad as tg
from trigrad import nn, optim
from trigrad.nn import functional as F
from trigrad.utils.data import CIFAR10, DataLoader, Dataset, FakeData, prefetch, transforms

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def data(options: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Images to train on, which are augmented, and images to test with."""
    plain = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    varied = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *plain])
    if options.fake:
        return (
            FakeData(512, (3, 32, 32), 10, transform=varied),
            FakeData(128, (3, 32, 32), 10, transform=transforms.Compose(plain), random_offset=512),
        )
    return (
        CIFAR10(options.data, train=True, transform=varied, download=options.download),
        CIFAR10(options.data, train=False, transform=transforms.Compose(plain), download=options.download),
    )


def train(model: nn.Module, images: Dataset, device: str, options: argparse.Namespace, console: Console) -> list[float]:
    """Train; returns the mean loss of each epoch."""
    loader = DataLoader(images, batch_size=options.batch, shuffle=True, drop_last=True, num_workers=options.workers)
    per_epoch = min(len(loader), options.steps or len(loader))
    optimizer = optim.SGD(model.parameters(), lr=options.rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=options.epochs * per_epoch + 1)
    half = tg.device(device).type == "cuda" and options.precision == "bf16"
    history: list[float] = []
    columns = (
        TextColumn("epoch {task.fields[epoch]:3d}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    model.train()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=options.epochs * per_epoch, epoch=0, loss=0.0)
        for epoch in range(options.epochs):
            losses = []
            for pictures, labels in prefetch(islice(loader, per_epoch), device):
                optimizer.zero_grad()
                with tg.autocast("cuda", tg.bfloat16) if half else contextlib.nullcontext():
                    loss = F.cross_entropy(model(pictures), labels, label_smoothing=0.1)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                progress.update(task, advance=1, epoch=epoch + 1, loss=float(np.mean(losses)))
            history.append(float(np.mean(losses)))
    return history


@tg.no_grad()
def accuracy(model: nn.Module, images: Dataset, device: str, batch: int) -> float:
    """Share of the images that the model names rightly."""
    model.eval()
    right = total = 0
    for pictures, labels in prefetch(DataLoader(images, batch_size=batch), device):
        right += int((model(pictures).argmax(dim=1) == labels).sum().item())
        total += len(labels)
    return right / total


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, test, save; returns what --json would write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=None, help="cpu, cuda or interpreter; a GPU by default where there is one")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of data sets")
    parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 where it is missing")
    parser.add_argument("--fake", action="store_true", help="random images: only to try the program")
    parser.add_argument("--precision", choices=("ieee", "tf32", "bf16"), default="ieee", help="of products on a GPU")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps an epoch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2, help="the highest learning rate")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--blocks", type=int, default=3, help="blocks in each of the three stages")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="save the weights to this safetensors file")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args(arguments)
    console = Console()
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    tg.manual_seed(options.seed)
    if options.precision != "bf16":
        tg.set_float32_matmul_precision(options.precision)
        tg.set_float32_conv_precision(options.precision)
    images, test = data(options)
    model = ResNet((options.blocks,) * 3, 10, options.width, small=True).to(device)
    if tg.device(device).type == "cuda":
        model.to(memory_format=tg.channels_last)
    began = time.perf_counter()
    history = train(model, images, device, options, console)
    seconds = time.perf_counter() - began
    share = accuracy(model, test, device, options.batch)
    console.print(f"{share:.2%} of {len(test)} images named rightly after {seconds:.1f} s on {device}")
    if options.out is not None:
        tg.save(model.state_dict(), options.out)
    result = {"device": device, "seconds": seconds, "losses": history, "accuracy": share, "fake": options.fake}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
