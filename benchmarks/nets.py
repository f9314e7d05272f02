"""The networks that the benchmarks train, each described once, as data.

``task(name, lib)`` builds one of them with ``lib``, which is ``trigrad`` or ``torch``: the same layers, the same first
weights, the same batches, the same training step.

    import trigrad as tg
    from benchmarks import nets

    task = nets.task("lsgan28", tg, device="interpreter", batch=2, width=8)
    losses = task.step(*task.inputs())

| name | data | networks | trained with |
|---|---|---|---|
| lsgan28 | 1x28x28, z 100 | G: Linear, 2 ConvTranspose2d; D: 2 Conv2d, Linear | Adam(2e-4, (.5, .999)) both, least squares |
| dcgan64 | 3x64x64, z 100 | G: 5 ConvTranspose2d; D: 5 Conv2d, no biases | the same, binary cross-entropy of logits |
| resnet9 | 3x32x32, 10 classes | 8 Conv2d with BatchNorm2d, Linear | SGD(0.05, momentum 0.9, decay 5e-4), cross-entropy |
| resnet18 | 3x32x32, 10 classes | 20 Conv2d with BatchNorm2d, Linear | the same |

A GAN's step draws its fakes, updates D on real and fake images, and updates G on the same fakes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

NAMES = ("lsgan28", "dcgan64", "resnet9", "resnet18")

# A layer is a tuple: its name and its numbers.  "norm" is BatchNorm2d; "residual" is last(body(x) + shortcut(x)).
Layers = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Recipe:
    """What is trained: layers, the shape of an image, the loss."""

    name: str
    image: tuple[int, int, int]
    loss: str  # "squares", "logits" (two networks) or "classes" (one)
    batch: int  # the batch that is usually timed
    layers: dict[str, Layers]
    z: tuple[int, ...] = ()
    classes: int = 0
    deviation: float | None = None  # of the first weights; None: sqrt(2 / fan_in)


def lsgan28(width: int = 64, size: int = 28) -> Recipe:
    """Least squares GAN of 28x28 images; ``width`` channels where 64 are usual."""
    w, low = width, size // 4
    flat = 2 * w * low * low
    G: Layers = [
        ("linear", 100, flat),
        ("unflatten", (2 * w, low, low)),
        ("norm", 2 * w),
        ("relu",),
        ("conv_transpose", 2 * w, w, 4, 2, 1, True),
        ("norm", w),
        ("relu",),
        ("conv_transpose", w, 1, 4, 2, 1, True),
        ("tanh",),
    ]
    D: Layers = [
        ("conv", 1, w, 4, 2, 1, True),
        ("leaky_relu", 0.2),
        ("conv", w, 2 * w, 4, 2, 1, True),
        ("norm", 2 * w),
        ("leaky_relu", 0.2),
        ("flatten",),
        ("linear", flat, 1),
    ]
    return Recipe("lsgan28", (1, size, size), "squares", 64, {"G": G, "D": D}, z=(100,), deviation=0.02)


def dcgan64(width: int = 64, size: int = 64) -> Recipe:
    """DCGAN of ``size`` x ``size`` images, a power of two of at least 8."""
    steps = int(math.log2(size)) - 3  # of halving between the first and the last convolution
    widths = [width << i for i in range(steps + 1)]
    D: Layers = [("conv", 3, widths[0], 4, 2, 1, False), ("leaky_relu", 0.2)]
    for a, b in zip(widths, widths[1:], strict=False):
        D += [("conv", a, b, 4, 2, 1, False), ("norm", b), ("leaky_relu", 0.2)]
    D += [("conv", widths[-1], 1, 4, 1, 0, False), ("flatten",)]
    G: Layers = [("conv_transpose", 100, widths[-1], 4, 1, 0, False), ("norm", widths[-1]), ("relu",)]
    for a, b in zip(widths[::-1], widths[-2::-1], strict=False):
        G += [("conv_transpose", a, b, 4, 2, 1, False), ("norm", b), ("relu",)]
    G += [("conv_transpose", widths[0], 3, 4, 2, 1, False), ("tanh",)]
    return Recipe("dcgan64", (3, size, size), "logits", 128, {"G": G, "D": D}, z=(100, 1, 1), deviation=0.02)


def _conv3(a: int, b: int, stride: int = 1) -> Layers:
    return [("conv", a, b, 3, stride, 1, False), ("norm", b)]


def resnet9(width: int = 64, size: int = 32) -> Recipe:
    """Eight convolutions of 3x3, two of the pairs residual; ``size`` is a multiple of 8."""
    w = width

    def pair(c: int) -> tuple[Any, ...]:
        return ("residual", [*_conv3(c, c), ("relu",), *_conv3(c, c), ("relu",)], [], [])

    layers: Layers = [
        *_conv3(3, w),
        ("relu",),
        *_conv3(w, 2 * w),
        ("relu",),
        ("max_pool", 2),
        pair(2 * w),
        *_conv3(2 * w, 4 * w),
        ("relu",),
        ("max_pool", 2),
        *_conv3(4 * w, 8 * w),
        ("relu",),
        ("max_pool", 2),
        pair(8 * w),
        ("max_pool", size // 8),
        ("flatten",),
        ("linear", 8 * w, 10),
    ]
    return Recipe("resnet9", (3, size, size), "classes", 128, {"net": layers}, classes=10)


def resnet18(width: int = 64, size: int = 32) -> Recipe:
    """ResNet-18 with the stem for small images: four stages of two blocks; ``size`` is a multiple of 8."""

    def block(a: int, b: int, stride: int) -> tuple[Any, ...]:
        shortcut: Layers = [] if a == b and stride == 1 else [("conv", a, b, 1, stride, 0, False), ("norm", b)]
        return ("residual", [*_conv3(a, b, stride), ("relu",), *_conv3(b, b)], shortcut, [("relu",)])

    layers: Layers = [*_conv3(3, width), ("relu",)]
    a = width
    for stage in range(4):
        b = width << stage
        layers += [block(a, b, 1 if stage == 0 else 2), block(b, b, 1)]
        a = b
    layers += [("global_pool",), ("flatten",), ("linear", a, 10)]
    return Recipe("resnet18", (3, size, size), "classes", 128, {"net": layers}, classes=10)


RECIPES: dict[str, Callable[..., Recipe]] = {
    "lsgan28": lsgan28,
    "dcgan64": dcgan64,
    "resnet9": resnet9,
    "resnet18": resnet18,
}
SMALL = {"lsgan28": (8, 28), "dcgan64": (8, 16), "resnet9": (8, 8), "resnet18": (8, 8)}  # width, size: to try the code


# -- building ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def residual(nn: Any) -> type:
    """The module ``last(body(x) + shortcut(x))`` in ``trigrad.nn`` or ``torch.nn``."""

    class Residual(nn.Module):
        def __init__(self, body: Any, shortcut: Any, last: Any) -> None:
            super().__init__()
            self.body, self.shortcut, self.last = body, shortcut, last

        def forward(self, x: Any) -> Any:
            return self.last(self.body(x) + self.shortcut(x))

    return Residual


def module(nn: Any, layer: tuple[Any, ...]) -> Any:
    """One layer in ``trigrad.nn`` or ``torch.nn``."""
    match layer:
        case ("linear", a, b):
            return nn.Linear(a, b)
        case ("conv", a, b, kernel, stride, padding, bias):
            return nn.Conv2d(a, b, kernel, stride, padding, bias=bias)
        case ("conv_transpose", a, b, kernel, stride, padding, bias):
            return nn.ConvTranspose2d(a, b, kernel, stride, padding, bias=bias)
        case ("norm", a):
            return nn.BatchNorm2d(a)
        case ("relu",):
            return nn.ReLU()
        case ("leaky_relu", slope):
            return nn.LeakyReLU(slope)
        case ("tanh",):
            return nn.Tanh()
        case ("max_pool", kernel):
            return nn.MaxPool2d(kernel)
        case ("global_pool",):
            return nn.AdaptiveAvgPool2d(1)
        case ("flatten",):
            return nn.Flatten()
        case ("unflatten", shape):
            return nn.Unflatten(1, shape)
        case ("residual", body, shortcut, last):
            return residual(nn)(*(sequential(nn, part) for part in (body, shortcut, last)))
    raise ValueError(f"nets: no layer is called {layer[0]!r}")


def sequential(nn: Any, layers: Layers) -> Any:
    """Several layers in a row; ``Identity`` for none."""
    return nn.Sequential(*(module(nn, layer) for layer in layers)) if layers else nn.Identity()


def first_weights(named: list[tuple[str, tuple[int, ...]]], recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Values for parameters given by name and shape, the same for every library."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in named:
        if len(shape) > 1:
            deviation = recipe.deviation or math.sqrt(2 / math.prod(shape[1:]))
            found[name] = (deviation * rng.standard_normal(shape)).astype(np.float32)
        elif name.endswith("weight"):  # of a norm
            found[name] = (1 + (recipe.deviation or 0) * rng.standard_normal(shape)).astype(np.float32)
        else:
            found[name] = np.zeros(shape, np.float32)
    return found


class Task:
    """One network, or two, with optimizers and a training step, in one library.

    ``lib`` is ``trigrad`` or ``torch``, ``device`` one of its devices.  ``half`` is a half dtype of ``lib`` for
    autocast, or None.  ``channels_last`` lays images and convolutions' weights out that way.  ``optimizer`` holds
    more options for the optimizers (``{"fused": True}`` for torch).
    """

    def __init__(
        self,
        recipe: Recipe,
        lib: Any,
        device: Any = "cpu",
        batch: int | None = None,
        *,
        half: Any = None,
        channels_last: bool = False,
        optimizer: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.recipe, self.lib, self.device = recipe, lib, device
        self.batch = recipe.batch if batch is None else batch
        self.half, self.channels_last, self.seed = half, channels_last, seed
        self.nets = {name: self._net(layers, seed + i) for i, (name, layers) in enumerate(recipe.layers.items())}
        more = optimizer or {}
        if recipe.loss == "classes":
            self.optimizers = {
                "net": lib.optim.SGD(self.nets["net"].parameters(), 0.05, momentum=0.9, weight_decay=5e-4, **more)
            }
        else:
            self.optimizers = {
                name: lib.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), **more)
                for name, net in self.nets.items()
            }
        functions = lib.nn.functional
        self._loss = {
            "squares": lambda said, target: 0.5 * functions.mse_loss(said, target),
            "logits": functions.binary_cross_entropy_with_logits,
            "classes": functions.cross_entropy,
        }[recipe.loss]
        self._targets = [lib.ones(self.batch, 1, device=device), lib.zeros(self.batch, 1, device=device)]

    def _net(self, layers: Layers, seed: int) -> Any:
        net = sequential(self.lib.nn, layers)
        named = [(name, tuple(p.shape)) for name, p in net.named_parameters()]
        first = {name: self.lib.from_numpy(a) for name, a in first_weights(named, self.recipe, seed).items()}
        net.load_state_dict(net.state_dict() | first)
        net = net.to(self.device)
        return net.to(memory_format=self.lib.channels_last) if self.channels_last else net

    # -- batches --

    def arrays(self, index: int = 0) -> tuple[np.ndarray, ...]:
        """Batch ``index`` as NumPy arrays: images and noise, or images and classes."""
        rng = np.random.default_rng([self.seed, index])
        images = np.tanh(rng.standard_normal((self.batch, *self.recipe.image))).astype(np.float32)
        if self.recipe.loss == "classes":
            return images, rng.integers(0, self.recipe.classes, self.batch)
        return images, rng.standard_normal((self.batch, *self.recipe.z)).astype(np.float32)

    def inputs(self, index: int = 0) -> tuple[Any, ...]:
        """The same as tensors on the device."""
        images, other = (self.lib.from_numpy(a).to(self.device) for a in self.arrays(index))
        if self.channels_last:
            images = images.contiguous(memory_format=self.lib.channels_last)
        return images, other

    def noise(self) -> Any:
        """Noise for G, drawn by the library itself on the device."""
        return self.lib.randn(self.batch, *self.recipe.z, device=self.device)

    # -- the step --

    def _autocast(self) -> Any:
        if self.half is None:
            return contextlib.nullcontext()
        kind = str(self.device).split(":")[0]
        return self.lib.autocast(getattr(self.device, "type", kind), dtype=self.half)

    def step(self, images: Any, other: Any = None) -> tuple[Any, ...]:
        """One training step; returns its losses.  ``other`` is the classes, or G's noise (None: drawn here)."""
        if self.recipe.loss == "classes":
            return self._classifier_step(images, other)
        return self._gan_step(images, self.noise() if other is None else other)

    def _classifier_step(self, images: Any, classes: Any) -> tuple[Any, ...]:
        optimizer = self.optimizers["net"]
        optimizer.zero_grad()
        with self._autocast():
            loss = self._loss(self.nets["net"](images), classes)
        loss.backward()
        optimizer.step()
        return (loss.detach(),)

    def _gan_step(self, real: Any, z: Any) -> tuple[Any, ...]:
        G, D = self.nets["G"], self.nets["D"]
        ones, zeros = self._targets
        with self._autocast():
            fake = G(z)
            self.optimizers["D"].zero_grad()
            d_loss = self._loss(D(real), ones) + self._loss(D(fake.detach()), zeros)
        d_loss.backward()
        self.optimizers["D"].step()
        with self._autocast():
            self.optimizers["G"].zero_grad()
            g_loss = self._loss(D(fake), ones)
        g_loss.backward()
        self.optimizers["G"].step()
        return d_loss.detach(), g_loss.detach()

    # -- what has been learnt --

    def values(self) -> Iterator[tuple[str, np.ndarray]]:
        """Parameters, running statistics and the optimizers' moments, by name, as NumPy arrays."""
        for name, net in self.nets.items():
            for key, value in net.state_dict().items():
                yield f"{name}.{key}", np.asarray(value.detach().cpu().numpy())
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    if hasattr(value, "detach") and key != "step":
                        yield f"{name}'s {key} {index}", np.asarray(value.detach().cpu().numpy())


def task(name: str, lib: Any, device: Any = "cpu", batch: int | None = None, **options: Any) -> Task:
    """The network called ``name`` (see ``NAMES``) in ``lib``; ``width`` and ``size`` make it smaller."""
    sizes = {key: options.pop(key) for key in ("width", "size") if key in options}
    if name not in RECIPES:
        raise ValueError(f"nets: expected one of {', '.join(NAMES)}, got {name!r}")
    return Task(RECIPES[name](**sizes), lib, device, batch, **options)
