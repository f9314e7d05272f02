"""A convolutional network learns to read handwritten digits: 8x8 pixels, ten classes, about a minute on a CPU.

    python examples/digits_cnn.py
    python examples/digits_cnn.py --precision bf16      products in bfloat16, all else in float32

Each training image is moved, turned and resized a little every time it is seen.  The settings were chosen on a part of
the training images; the 360 held-out ones are looked at once, when training is over.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import trigrad as tg
from trigrad import nn, optim
from trigrad.nn import functional as F
from trigrad.utils.data import DataLoader, Digits, TensorDataset, prefetch


def network(width: int = 16) -> nn.Sequential:
    """(N, 1, 8, 8) images in [-1, 1] -> (N, 10) logits."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * width, 10),
    )


def augment(
    images: np.ndarray, rng: np.random.Generator, shift: float = 0.4, angle: float = 8.0, scale: float = 0.06
) -> np.ndarray:
    """Each image of (N, 1, H, W) moved by up to ``shift`` pixels, turned by ``angle`` degrees, resized by ``scale``.

    Pixels are interpolated bilinearly; outside the image lies background, -1.
    """
    n, _, height, width = images.shape
    turn = np.deg2rad(rng.uniform(-angle, angle, (n, 1, 1)))
    size = 1 + rng.uniform(-scale, scale, (n, 1, 1))
    down, right = rng.uniform(-shift, shift, (2, n, 1, 1))
    y, x = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    # where each pixel of the result is found in the image, whose edge is one pixel wider on each side
    rows = (np.cos(turn) * y - np.sin(turn) * x) / size + (height + 1) / 2 + down
    columns = (np.sin(turn) * y + np.cos(turn) * x) / size + (width + 1) / 2 + right
    framed = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    result = np.zeros(rows.shape)
    each = np.arange(n)[:, None, None]
    for r, row_share in ((top, top + 1 - rows), (top + 1, rows - top)):
        for c, column_share in ((left, left + 1 - columns), (left + 1, columns - left)):
            result += row_share * column_share * framed[each, np.clip(r, 0, height + 1), np.clip(c, 0, width + 1)]
    return result[:, None].astype(np.float32)


def augmented(batches: DataLoader, count: int, rng: np.random.Generator) -> Iterator[tuple[tg.Tensor, tg.Tensor]]:
    """``count`` batches of images and labels, the images augmented."""
    for images, labels in islice(batches, count):
        yield tg.tensor(augment(images.numpy(), rng)), labels


def train(
    model: nn.Module,
    device: str,
    epochs: int,
    steps: int | None,
    seed: int,
    console: Console,
    half: bool = False,
    captured: bool = False,
) -> int:
    """Train with Adam, its rate falling from 4e-3 along a cosine; returns the number of images seen.

    With ``half`` products are computed in bfloat16.  With ``captured`` a GPU does each step as one graph.
    """
    rng = np.random.default_rng(seed)
    digits = Digits(train=True, size=8)
    batches = DataLoader(TensorDataset(digits.images, digits.labels), batch_size=64, shuffle=True, drop_last=True)
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    per_epoch = min(len(batches), steps or len(batches))
    columns = (
        TextColumn("step"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    done, total = 0, epochs * per_epoch
    model.train()

    def step(images: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        with tg.autocast(tg.device(device).type, tg.bfloat16) if half else contextlib.nullcontext():
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = tg.capture(step, device=device) if captured else step
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, loss=0.0)
        for _ in range(epochs):
            for images, labels in prefetch(augmented(batches, per_epoch, rng), device):
                for group in optimizer.param_groups:
                    group["lr"] = 2e-3 * (1 + math.cos(math.pi * done / total))
                loss = run(images, labels)
                done += 1
                if not captured:
                    progress.update(task, advance=1, loss=loss.item())
                elif done > 1:  # of the step before: the GPU need not wait for anybody
                    progress.update(task, advance=1, loss=float(run.read(1)))
        progress.update(task, completed=done)
    return done * 64


@tg.no_grad()
def predict(model: nn.Module, images: tg.Tensor, device: str) -> np.ndarray:
    """The class that the model gives to each image."""
    model.eval()
    return model(images.to(device)).argmax(dim=1).cpu().numpy()


def by_class(named: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """For each digit: how many there are, how many were named rightly, and what the others were taken for."""
    found = []
    for digit in range(10):
        answers = named[labels == digit]
        counts = {other: int((answers == other).sum()) for other in range(10)}
        right = counts.pop(digit)
        wrong = {str(other): count for other, count in counts.items() if count}
        found.append({"digit": digit, "images": len(answers), "right": right, "taken for": wrong})
    return found


def report(console: Console, classes: list[dict[str, Any]]) -> None:
    """Print what became of each digit."""
    table = Table(title="held-out digits")
    for name in ("digit", "images", "right", "share", "taken for"):
        table.add_column(name, justify="left" if name == "taken for" else "right")
    for c in classes:
        share = f"{c['right'] / c['images']:.1%}" if c["images"] else ""
        wrong = ", ".join(f"{other} ({count})" for other, count in c["taken for"].items())
        table.add_row(str(c["digit"]), str(c["images"]), str(c["right"]), share, wrong)
    console.print(table)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, test, print; returns what --json would write."""
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
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps an epoch")
    parser.add_argument("--width", type=int, default=16, help="channels of the first layers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args(arguments)
    console = Console()
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    tg.manual_seed(options.seed)
    if options.precision != "bf16":
        tg.set_float32_matmul_precision(options.precision)
        tg.set_float32_conv_precision(options.precision)
    model = network(options.width).to(device)
    on_gpu = tg.device(device).type == "cuda"
    if on_gpu:
        model.to(memory_format=tg.channels_last)  # where convolutions like it best
    captured = on_gpu if options.capture is None else options.capture
    half = options.precision == "bf16"
    began = time.perf_counter()
    seen = train(model, device, options.epochs, options.steps, options.seed, console, half, captured)
    seconds = time.perf_counter() - began
    test = Digits(train=False, size=8)
    named, labels = predict(model, test.images, device), test.labels.numpy()
    accuracy = float((named == labels).mean())
    classes = by_class(named, labels)
    report(console, classes)
    console.print(f"{accuracy:.2%} of {len(labels)} held-out digits named rightly")
    console.print(f"{seen:,} images seen in {seconds:.1f} s on {device}")
    result = {
        "device": device,
        "precision": options.precision,
        "epochs": options.epochs,
        "seed": options.seed,
        "width": options.width,
        "seconds": seconds,
        "images": seen,
        "accuracy": accuracy,
        "classes": classes,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
