"""CUDA graphs: how one GPU records what a thread gives it to do.

The recording has a stream of its own, which no other thread gives work to.  The GPU's compute stream goes on meanwhile:
memory for the graph, tables that it reads, and code that had not been loaded come by way of it, and are there when the
graph, which runs in the compute stream too, begins.  For this the capture is a relaxed one; what a step must not do is
refused in ``capture.py``, not by the driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np

from .allocator import Pool
from .array import DeviceArray
from .capture import Recording
from .device import Backend, Block
from .driver import FAILED, checked, told
from .gpu import CudaBackend, SideStream, thread
from .repeat import _lock as noting

_IN_THE_STEP = "copies between the GPU and elsewhere cannot be captured: do them outside the step"


class CudaRecording(Recording):
    """See ``Recording``; a GPU has one at a time, and others wait.  Raises RuntimeError where the driver refuses.

    Each launch looks for the stream that its thread has chosen, which is the recording's, and tells the recording what it
    touches (``CudaBackend._carefully``).
    """

    backend: CudaBackend
    _redirected = (
        "launch",
        "copy_in",
        "copy_out",
        "copy_in_background",
        "copy_out_background",
        "copy_from_peer",
        "synchronize",
        "upload_table",
        "table",
        "lend",
    )

    def __init__(self, backend: CudaBackend, pool: Pool) -> None:
        if backend.side() is not None:
            raise RuntimeError(
                f"capture: a captured step runs in the compute stream of {backend.device}, not in stream(s)"
            )
        super().__init__(backend, pool)
        self._driver = backend._driver
        self._stream: Any = None
        self._streams: dict[int, SideStream] = {}

    def start(self) -> None:
        backend = self.backend
        backend.make_current()
        self._stream = told("creating a stream", backend._card.create_stream)
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        checked(self._driver.cuStreamBeginCapture(self._stream.handle, mode), "cuStreamBeginCapture")
        self._streams = thread.streams
        thread.streams = {**thread.streams, backend.index: SideStream(self._stream, self.pool)}
        thread.context = None

    def _redirect(self) -> None:
        while True:
            with noting:  # whoever notes a call, or captures, puts back what it found: two at once would mix that up
                if "launch" not in self.backend.__dict__:
                    super()._redirect()
                    self.backend.recorder = self
                    self.backend.route()
                    return
            sleep(0.001)

    def _restore(self) -> None:
        thread.streams = self._streams
        with noting:
            super()._restore()
            self.backend.recorder = None
            self.backend.route()

    def finish(self) -> Callable[[], None]:
        driver = self._driver
        self.backend.make_current()
        stream, self._stream = self._stream, None
        graph = checked(driver.cuStreamEndCapture(stream.handle), "cuStreamEndCapture")
        try:
            made = checked(driver.cuGraphInstantiate(graph, 0), "cuGraphInstantiate")
        finally:
            driver.cuGraphDestroy(graph)
        return Playable(self.backend, made)

    def drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self.backend.make_current()
            code, graph = self._driver.cuStreamEndCapture(stream.handle)
            if not code and int(graph):
                self._driver.cuGraphDestroy(graph)

    def launch(self, *call: Any) -> None:
        CudaBackend.launch(self.backend, *call)

    def own(self, nbytes: int) -> Block:
        return self.backend.allocator.allocate_for(self.pool, nbytes)

    def ordinary(self, nbytes: int) -> Block:
        if threading.get_ident() == self.ident:
            return self.backend.allocator.allocate(nbytes)
        return self.backend.allocate_by_thread(nbytes)

    def table(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> DeviceArray:
        """A table does not change from run to run: it is copied now, in the compute stream, to memory that stays."""
        if threading.get_ident() != self.ident:
            return CudaBackend.table(self.backend, key, make)
        inside = thread.streams
        thread.streams = self._streams
        try:
            return Backend.table(self.backend, (None, *key), make)
        finally:
            thread.streams = inside

    def copy_in_background(self, ptr: int, array: np.ndarray) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse(_IN_THE_STEP)
        CudaBackend.copy_in_background(self.backend, ptr, array)

    def copy_out_background(self, array: np.ndarray, ptr: int) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse(_IN_THE_STEP)
        CudaBackend.copy_out_background(self.backend, array, ptr)

    def copy_from_peer(self, out: DeviceArray, source: DeviceArray) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse(_IN_THE_STEP)
        CudaBackend.copy_from_peer(self.backend, out, source)

    def lend(self, *arguments: Any) -> None:
        """What the graph touches stays alive with it, and it runs in the compute stream: nothing needs to be lent."""
        if threading.get_ident() != self.ident:
            CudaBackend.lend(self.backend, *arguments)


class Playable:
    """An executable graph: called, it does in the compute stream what was noted."""

    __slots__ = ("_backend", "_driver", "_executable", "_launch", "_source", "_stream")

    def __init__(self, backend: CudaBackend, executable: Any) -> None:
        self._backend = backend
        self._driver = backend._driver
        self._launch = backend._driver.cuGraphLaunch
        self._executable = executable
        self._stream = backend.stream.handle
        self._source: Any = backend.allocator.source

    def __call__(self) -> None:
        if thread.context is not self._backend._card:
            self._backend.make_current()
        code = self._launch(self._executable, self._stream)
        if code[0]:
            checked(code, f"{FAILED}, or the graph cannot be launched: cuGraphLaunch")

    def __del__(self) -> None:
        if not self._source._exiting:
            self._driver.cuGraphExecDestroy(self._executable)  # waits for nothing: a run that is under way goes on
