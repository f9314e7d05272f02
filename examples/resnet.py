"""Residual networks whose parts bear torchvision's names, so that its weights fit: resnet18, 34, 50; and one for CIFAR.

Source: He, Zhang, Ren, Sun (CVPR 2016), "Deep residual learning for image recognition".
"""

from __future__ import annotations

from collections.abc import Sequence

import trigrad as tg
from trigrad import nn
from trigrad.nn import functional as F


class Block(nn.Module):
    """relu(x + f(x)): f of two 3x3 convolutions, or, with a bottleneck, of a 1x1, a 3x3 and a 1x1 one."""

    def __init__(self, inside: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outside = 4 * width if bottleneck else width
        shapes = [(inside, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            shapes = [(inside, width, 1, 1), (width, width, 3, stride), (width, outside, 1, 1)]
        self.count = len(shapes)
        for n, (a, b, size, step) in enumerate(shapes, 1):
            setattr(self, f"conv{n}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{n}", nn.BatchNorm2d(b))
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        out = x
        for n in range(1, self.count + 1):
            out = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(out))
            if n < self.count:
                out = F.relu(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """(N, 3, H, W) images -> (N, classes) logits; ``blocks`` of each stage, the first of ``width`` channels.

    ``small`` is for images of about 32x32: the first convolution is 3x3 without a stride, and there is no pooling.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        classes: int = 1000,
        width: int = 64,
        bottleneck: bool = False,
        small: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        inside, stages = width, []
        for number, count in enumerate(blocks):
            stage, own = [], width * 2**number
            for n in range(count):
                stage.append(Block(inside, own, 2 if number and not n else 1, bottleneck))
                inside = 4 * own if bottleneck else own
            setattr(self, f"layer{number + 1}", nn.Sequential(*stage))
            stages.append(f"layer{number + 1}")
        self.stages = tuple(stages)
        self.fc = nn.Linear(inside, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean(dim=(2, 3)))


def resnet18(classes: int = 1000) -> ResNet:
    """11.7 million parameters for 1,000 classes."""
    return ResNet((2, 2, 2, 2), classes)


def resnet34(classes: int = 1000) -> ResNet:
    """21.8 million parameters for 1,000 classes."""
    return ResNet((3, 4, 6, 3), classes)


def resnet50(classes: int = 1000) -> ResNet:
    """25.6 million parameters for 1,000 classes."""
    return ResNet((3, 4, 6, 3), classes, bottleneck=True)
