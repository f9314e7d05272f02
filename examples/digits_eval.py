"""How good are generated digits?  A small fixed classifier, and the measures made from its features.

    python examples/digits_eval.py        trains the classifier again and writes digits_eval.safetensors

The weights are shipped, because figures from differently trained classifiers cannot be compared.  Measures, for
fakes against the 1,437 training images at 16x16:

    C-FID     Frechet distance |m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)) of 32 features before their rectifier,
              each scaled to mean 0 and variance 1 on real images (Heusel et al. 2017, with these features)
    P-FD      the same on 8x8 average-pooled pixels: needs no classifier
    C-IS      exp of the mean KL divergence of class probabilities from their average; at most 10 (Salimans et al. 2016)
    conf      share of images whose likeliest class has probability above 0.9
    classes   classes with at least 2 % of the images;  min: the smallest class's share;  TV: total variation from 1/10
    P, R      precision and recall by 3rd-neighbour balls (Kynkaanniemi et al. 2019)
    copies    mean pixel distance to the nearest training image, over that of held-out real images; near 0 is copying
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import trigrad as tg
from trigrad import nn, optim
from trigrad.nn import functional as F
from trigrad.utils.data import DataLoader, Digits

WEIGHTS = Path(__file__).with_name("digits_eval.safetensors")


class Classifier(nn.Module):
    """Two convolutions and two linear layers for 16x16 digits; 21,546 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 32),
        )
        self.head = nn.Linear(32, 10)

    def features(self, images: tg.Tensor) -> tg.Tensor:
        """(N, 1, 16, 16) images -> (N, 32) features, before their rectifier."""
        return self.body(images)

    def forward(self, images: tg.Tensor) -> tg.Tensor:
        """(N, 1, 16, 16) images -> (N, 10) logits."""
        return self.head(F.relu(self.features(images)))


def train(epochs: int = 30, seed: int = 0) -> Classifier:
    """Train the classifier on the CPU: Adam 2e-3 with a cosine, noise 0.1 on the images."""
    tg.manual_seed(seed)
    model = Classifier()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    batches = DataLoader(Digits(train=True, size=16), batch_size=64, shuffle=True)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + np.cos(np.pi * epoch / epochs))
        for images, labels in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images + 0.1 * tg.randn_like(images)), labels)
            loss.backward()
            optimizer.step()
    return model


def accuracy(model: nn.Module, digits: Digits) -> float:
    """Share of the digits that the model names rightly."""
    model.eval()
    with tg.no_grad():
        named = model(digits.images).argmax(dim=1)
    return float((named == digits.labels).to(tg.float32).mean().item())


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the Gaussians that fit two sets of rows."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(ca @ cb)
    root = np.sqrt(np.clip(values.real, 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * root)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) Euclidean distances of rows."""
    square = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return np.sqrt(np.clip(square, 0, None))


def covered(of: np.ndarray, by: np.ndarray, neighbours: int = 3) -> float:
    """Share of the rows ``of`` that lie in a ball around a row of ``by``, reaching to its 3rd neighbour."""
    own = distances(by, by)
    radius = np.partition(own, neighbours, axis=1)[:, neighbours]
    return float((distances(of, by) <= radius[None, :]).any(axis=1).mean())


def pooled(images: np.ndarray) -> np.ndarray:
    """(N, 1, 16, 16) -> (N, 64): 8x8 averages."""
    return images.reshape(len(images), 8, 2, 8, 2).mean(axis=(2, 4)).reshape(len(images), 64)


class Judge:
    """The shipped classifier and what it says of the real digits, once."""

    def __init__(self) -> None:
        if not WEIGHTS.exists():
            raise FileNotFoundError(f"{WEIGHTS} is missing: run python {Path(__file__).name} to make it")
        self.model = Classifier()
        self.model.load_state_dict(tg.load(WEIGHTS))
        self.model.eval()
        self.real = Digits(train=True, size=16).images.numpy()
        self.held_out = Digits(train=False, size=16).images.numpy()
        raw = self._features(self.real)
        self.mean, self.scale = raw.mean(0), raw.std(0)
        self.real_features = (raw - self.mean) / self.scale

    def _features(self, images: np.ndarray) -> np.ndarray:
        with tg.no_grad():
            return self.model.features(tg.tensor(images)).numpy().astype(np.float64)

    def figures(self, fakes: np.ndarray) -> dict[str, float]:
        """The measures for (N, 1, 16, 16) images in [-1, 1]."""
        raw = self._features(fakes)
        features = (raw - self.mean) / self.scale
        with tg.no_grad():
            logits = self.model.head(F.relu(tg.tensor(raw.astype(np.float32))))
            p = F.softmax(logits, dim=1).numpy().astype(np.float64)
        average = p.mean(0)
        shares = np.bincount(p.argmax(1), minlength=10) / len(p)
        real, held_out, made = (x.reshape(len(x), -1).astype(np.float64) for x in (self.real, self.held_out, fakes))
        return {
            "C-FID": frechet(self.real_features, features),
            "P-FD": frechet(pooled(self.real.astype(np.float64)), pooled(fakes.astype(np.float64))),
            "C-IS": float(np.exp((p * (np.log(p + 1e-30) - np.log(average + 1e-30))).sum(1).mean())),
            "conf": float((p.max(1) > 0.9).mean()),
            "classes": int((shares >= 0.02).sum()),
            "min": float(shares.min()),
            "TV": float(np.abs(shares - 0.1).sum() / 2),
            "P": covered(features, self.real_features),
            "R": covered(self.real_features, features),
            "copies": float(distances(made, real).min(1).mean() / distances(held_out, real).min(1).mean()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the evaluation classifier and write its weights.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    model = train(arguments.epochs, arguments.seed)
    print(f"held-out accuracy {accuracy(model, Digits(train=False, size=16)):.4f}")
    tg.save(model.state_dict(), arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
