"""The no-op CUDA driver, as the tests see it: build it, ask what it recorded, tell it what shall fail.

``python nodriver.py FILE TEST`` runs one test of a file in this process, which must have the no-op driver on its
LD_LIBRARY_PATH; tests/framework/conftest.py starts such processes for tests marked ``nodriver``.
"""

import ctypes
import importlib.util
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("libcuda.c")


def why_not() -> str | None:
    """Why the driver cannot be built here, or None."""
    if sys.platform != "linux":
        return "the no-op driver needs Linux"
    if shutil.which("cc") is None:
        return "no C compiler (cc) to build the no-op driver with"
    if _headers() is None:
        return "Triton, which brings cuda.h, is not installed"
    if importlib.util.find_spec("cuda") is None:
        return "cuda-core and cuda-bindings are not installed"
    return None


def _headers() -> Path | None:
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "backends" / "nvidia" / "include"
    return folder if (folder / "cuda.h").exists() else None


def build(folder: Path) -> None:
    """Compile the driver into ``folder``, as libcuda.so.1."""
    subprocess.run(
        [
            "cc",
            "-O1",
            "-shared",
            "-fPIC",
            "-pthread",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wl,-soname,libcuda.so.1",
            f"-I{_headers()}",
            "-o",
            str(folder / "libcuda.so.1"),
            str(SOURCE),
        ],
        check=True,
        timeout=120,
    )


class _Launch(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 256),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("parameters", ctypes.c_uint),
        ("device", ctypes.c_int),
        ("offset", ctypes.c_ushort * 512),
        ("size", ctypes.c_ushort * 512),
        ("bytes", ctypes.c_ubyte * 4096),
        ("stream", ctypes.c_ulonglong),
        ("graph", ctypes.c_ulonglong),
    ]


@dataclass(frozen=True)
class Launch:
    """One launch as it reached the driver; ``parameters`` are the bytes of each, at the width the kernel declares.

    ``graph`` is the handle of the graph that it is a node of, or 0.
    """

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    device: int
    stream: int
    parameters: tuple[bytes, ...]
    graph: int = 0

    def values(self, formats: str) -> tuple[float, ...]:
        """The parameters read by the letters of ``struct``, one letter each."""
        pairs = zip(formats, self.parameters, strict=True)
        return tuple(struct.unpack("<" + letter, data)[0] for letter, data in pairs)


class Driver:
    """The driver loaded into this process.  Raises AttributeError where libcuda is not the no-op one."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._library.nodriver_launches.restype = ctypes.c_ulonglong
        self._library.nodriver_launch.restype = ctypes.POINTER(_Launch)
        self._library.nodriver_launch.argtypes = [ctypes.c_ulonglong]
        self._library.nodriver_calls.restype = ctypes.c_ulonglong
        self._library.nodriver_allocated.restype = ctypes.c_ulonglong
        self._library.nodriver_holds.argtypes = [ctypes.c_ulonglong]
        self._library.nodriver_fail.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_longlong]

    def launches(self) -> int:
        """Launches so far."""
        return int(self._library.nodriver_launches())

    def launch(self, number: int = -1) -> Launch:
        """A launch by its number; negative numbers count from the latest."""
        found = self._library.nodriver_launch(number if number >= 0 else self.launches() + number)
        if not found:
            raise IndexError(f"launch {number}: there were {self.launches()}, and the driver keeps the last 1024")
        record = found.contents
        parameters = tuple(
            bytes(record.bytes[record.offset[i] : record.offset[i] + record.size[i]]) for i in range(record.parameters)
        )
        return Launch(
            record.name.decode(),
            tuple(record.grid),
            tuple(record.block),
            record.shared,
            record.device,
            record.stream,
            parameters,
            record.graph,
        )

    def holds(self, address: int) -> bool:
        """Whether there is device memory at an address."""
        return bool(self._library.nodriver_holds(address))

    def graphs(self) -> int:
        """Graphs and executable graphs that have not been destroyed."""
        return int(self._library.nodriver_graphs())

    def calls(self, name: str) -> int:
        """How often a driver function was called; ``name`` without version suffix."""
        return int(self._library.nodriver_calls(name.encode()))

    def context(self) -> int:
        """The device whose context is current in this thread; -1 for none."""
        return int(self._library.nodriver_context())

    def fail(self, name: str, error: int, skip: int = 0) -> None:
        """Let a driver function succeed ``skip`` more times, then fail once with an error number."""
        self._library.nodriver_fail(name.encode(), error, skip)

    def allocated(self, device: int = 0) -> int:
        """Bytes of device memory not yet freed; of pinned host memory for device -1."""
        return int(self._library.nodriver_allocated(device))


def main(file: str, test: str) -> None:
    """Run one test of ``file``, handing it the driver."""
    driver = Driver()  # before anything of cuda: a real driver must never be reached
    spec = importlib.util.spec_from_file_location("inside", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["inside"] = module
    spec.loader.exec_module(module)
    getattr(module, test)(driver)


if __name__ == "__main__":
    main(*sys.argv[1:])
