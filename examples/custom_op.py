"""An op of your own, from its formula to a trained network.

    python examples/custom_op.py            checks the op in snake.py, then trains a network of it on the digits
    python examples/custom_op.py --triton   the kernels of the op, interpreted, take part in the training too

The op is a file like those of trigrad itself: ``snake.py``.  Nothing of trigrad is changed for it.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.console import Console
from snake import SNAKE, snake

import trigrad as tg
from trigrad import nn, optim, testing
from trigrad.nn import functional as F
from trigrad.utils.data import DataLoader, Digits


class Snake(nn.Module):
    """The activation as a layer."""

    frequency: float

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, input: tg.Tensor) -> tg.Tensor:
        return snake(input, self.frequency)

    def extra_repr(self) -> str:
        return f"frequency={self.frequency}"


def check(console: Console, targets: tuple[str, ...]) -> dict[str, int]:
    """Everything that trigrad's own rows are held to: returns how many of each check were made."""
    made = testing.check_op(SNAKE, targets=targets)
    console.print("checked: " + ", ".join(f"{count} {name}" for name, count in made.items()))
    return made


def train(device: str, epochs: int, steps: int | None, seed: int) -> float:
    """Train a small network with snakes in it; returns its accuracy on the held-out digits."""
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), Snake(0.5), nn.Linear(48, 10)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    batches = DataLoader(Digits(train=True, size=8), batch_size=64, shuffle=True)
    for _ in range(epochs):
        for number, (images, labels) in enumerate(batches):
            if steps is not None and number >= steps:
                break
            optimizer.zero_grad()
            F.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
    test = Digits(train=False, size=8)
    with tg.no_grad():
        named = model(test.images.to(device)).argmax(dim=1).cpu()
    return float((named == test.labels).to(tg.float32).mean().item())


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Check the op, train with it; returns the counts of the checks and the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton", action="store_true", help="train on the interpreter instead of a GPU or the CPU")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=None, help="at most so many steps an epoch")
    parser.add_argument("--targets", nargs="*", default=["sm_90"], help="GPUs for which the kernels are compiled")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    console = Console()
    made = check(console, tuple(options.targets))
    device = "interpreter" if options.triton else "cuda" if tg.cuda.is_available() else "cpu"
    began = time.perf_counter()
    accuracy = train(device, options.epochs, options.steps, options.seed)
    seconds = time.perf_counter() - began
    console.print(f"{accuracy:.1%} of the held-out digits named rightly after {seconds:.1f} s on {device}")
    return {"checked": made, "accuracy": accuracy}


if __name__ == "__main__":
    main()
