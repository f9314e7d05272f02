"""A ResNet trained with PyTorch, run without PyTorch: its weights come as a safetensors file with torchvision's names.

    python examples/torch_weights.py resnet18.safetensors photo.npy

How to write such a file where PyTorch is installed:

    import torchvision, safetensors.torch
    safetensors.torch.save_file(torchvision.models.resnet18(weights="DEFAULT").state_dict(), "resnet18.safetensors")

The architecture is found out from the names and shapes in the file.  The image is a file that NumPy reads (uint8,
(H, W, 3)) or, where pillow is installed, any picture; without one a random image is classified.  It is resized to 256 on
its shorter side, cut to the inner 224x224 and normalised, as the weights expect.  Nothing is unpickled.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from resnet import ResNet
from rich.console import Console
from rich.table import Table

import trigrad as tg
from trigrad.nn import functional as F
from trigrad.utils.data import FakeData, transforms


def network_for(state: dict[str, tg.Tensor]) -> ResNet:
    """The network whose parameters these are.  Raises ValueError where there is none of that kind."""
    try:
        width, classes = state["conv1.weight"].shape[0], state["fc.weight"].shape[0]
        blocks = []
        while f"layer{len(blocks) + 1}.0.conv1.weight" in state:
            layer = f"layer{len(blocks) + 1}"
            blocks.append(len({name.split(".")[1] for name in state if name.startswith(f"{layer}.")}))
        bottleneck, small = "layer1.0.conv3.weight" in state, state["conv1.weight"].shape[2] == 3
        return ResNet(blocks, classes, width, bottleneck, small)
    except KeyError as missing:
        raise ValueError(f"expected the weights of a ResNet, found no {missing} among {len(state)} names") from None


def load(path: Path) -> ResNet:
    """The network in a safetensors file, ready to be used."""
    state = tg.load(path)
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no dict of tensors")
    model = network_for(state)
    counts = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked") and k not in state}
    model.load_state_dict(state | counts)  # old files do not count batches
    return model.eval()


def picture(path: Path | None) -> np.ndarray:
    """A uint8 array (H, W, 3)."""
    if path is None:
        return FakeData(size=1, image_size=(3, 256, 320))[0][0]
    if path.suffix == ".npy":
        image = np.load(path)
    else:
        from PIL import Image

        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    return image


def prepared(image: np.ndarray, size: int = 224) -> tg.Tensor:
    """(1, 3, size, size), as the weights expect it."""
    steps = transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Resize(size * 8 // 7),
            transforms.CenterCrop(size),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    return steps(image).unsqueeze(0)


@tg.no_grad()
def classify(model: ResNet, image: tg.Tensor, device: str, best: int = 5) -> list[tuple[int, float]]:
    """The likeliest classes, and their probabilities."""
    found = F.softmax(model.to(device)(image.to(device)), dim=1)[0].cpu().numpy()
    return [(int(n), float(found[n])) for n in np.argsort(-found, kind="stable")[:best]]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Load, classify, print; returns what --json would write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="a safetensors file with torchvision's names")
    parser.add_argument("image", type=Path, nargs="?", default=None, help="a picture; a random one by default")
    parser.add_argument("--device", default=None, help="cpu, cuda or interpreter; a GPU by default where there is one")
    parser.add_argument("--size", type=int, default=224, help="the image is cut to this square")
    parser.add_argument("--names", type=Path, default=None, help="a text file with the name of a class in each line")
    parser.add_argument("--json", type=Path, default=None, help="write what was found to this file")
    options = parser.parse_args(arguments)
    console = Console()
    device = options.device or ("cuda" if tg.cuda.is_available() else "cpu")
    model = load(options.weights)
    image = prepared(picture(options.image), options.size)
    began = time.perf_counter()
    found = classify(model, image, device)
    seconds = time.perf_counter() - began
    names = options.names.read_text().splitlines() if options.names else None
    table = Table(
        "class", "probability", title=f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}"
    )
    for number, share in found:
        table.add_row(names[number] if names else str(number), f"{share:.1%}")
    console.print(table)
    console.print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}: {seconds:.2f} s")
    result = {"device": device, "seconds": seconds, "found": found}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
