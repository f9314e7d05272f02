"""Where it was measured: device, driver, versions, commit, date."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import trigrad as tg

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("triton", "numpy", "cuda-core", "cuda-bindings", "ml_dtypes", "torch", "jax", "jaxlib", "nvidia-cudnn-cu13")
ASKED = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "power.limit",
    "temperature.gpu",
)


def output(*command: str) -> str | None:
    """What a program prints, or None where it cannot be run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
        return done.stdout.strip()
    return None


def environment(device: str, **more: Any) -> dict[str, Any]:
    """All that a reader of the figures wants to know about the machine and the software."""
    found: dict[str, Any] = {
        "part": "environment",
        "case": "environment",
        "status": "ok",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "commit": output("git", "rev-parse", "HEAD"),
        "trigrad": tg.__version__,
    }
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    if changed:
        found["changed files"] = len(changed.splitlines())
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if device.startswith("cuda"):
        properties = tg.cuda.get_device_properties(device)
        found |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
        }
        said = output("nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader")
        if said:
            found["nvidia-smi"] = dict(zip(ASKED, [x.strip() for x in said.splitlines()[0].split(",")], strict=False))
    return found | more
