"""The kernels that are timed, by family, at the shapes of the networks in ``benchmarks/nets.py``.

A case is written once for every library (see ``Kit``).  ``bytes`` counts each input read and each output written once
(batch norm: its activations once for each of the passes that statistics need); ``operations`` counts multiplications
and additions.  Cases come in order of importance; those with ``core`` are measured in the short run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import nets

from .sides import TOLERANCES, Kit

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "int64": 8}
Work = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One kernel, or a few that belong together, at one shape."""

    name: str
    family: str
    make: Callable[[Kit], Work]  # the inputs, and a function that does the work once and returns its results
    bytes: float
    operations: float = 0.0
    precision: str = "ieee"  # of products
    tolerance: float = 1e-5
    core: bool = True
    results: Callable[[Kit], Any] | None = None  # what to compare, where the work's results do not say it
    rows: tuple[str, ...] = ()  # rows of the op table that must be right


def cases(tiny: bool = False) -> list[Case]:
    """All cases, or the same in sizes for the interpreter."""
    families = (convolutions, transposed, products, norms, softmaxes, elementwise, reductions, pools, optimizers, draws)
    found = [case for family in families for case in family(tiny)]
    return sorted(found, key=lambda case: not case.core)


def _dtype(precision: str) -> str:
    return "bfloat16" if precision == "bf16" else "float32"


# -- convolutions ------------------------------------------------------------------------------------------------------

# name: batch, channels in, height and width, channels out, kernel, stride, padding
CONVOLUTIONS = {
    "resnet18 stem": (128, 3, 32, 64, 3, 1, 1),
    "resnet18 layer1": (128, 64, 32, 64, 3, 1, 1),
    "resnet18 layer2 /2": (128, 64, 32, 128, 3, 2, 1),
    "resnet18 layer2": (128, 128, 16, 128, 3, 1, 1),
    "resnet18 layer3": (128, 256, 8, 256, 3, 1, 1),
    "resnet18 layer4": (128, 512, 4, 512, 3, 1, 1),
    "resnet18 1x1 64-128 /2": (128, 64, 32, 128, 1, 2, 0),
    "resnet18 1x1 128-256 /2": (128, 128, 16, 256, 1, 2, 0),
    "resnet18 1x1 256-512 /2": (128, 256, 8, 512, 1, 2, 0),
    "dcgan D1": (128, 3, 64, 64, 4, 2, 1),
    "dcgan D2": (128, 64, 32, 128, 4, 2, 1),
    "dcgan D3": (128, 128, 16, 256, 4, 2, 1),
    "dcgan D4": (128, 256, 8, 512, 4, 2, 1),
    "dcgan D5": (128, 512, 4, 1, 4, 1, 0),
    "lsgan D1": (64, 1, 28, 64, 4, 2, 1),
    "lsgan D2": (64, 64, 14, 128, 4, 2, 1),
}
CORE_CONVOLUTIONS = (
    "resnet18 layer1",
    "resnet18 layer2 /2",
    "resnet18 layer4",
    "dcgan D2",
    "lsgan D2",
    "resnet18 stem",
)
TRANSPOSED = {
    "dcgan G1": (128, 100, 1, 512, 4, 1, 0),
    "dcgan G2": (128, 512, 4, 256, 4, 2, 1),
    "dcgan G3": (128, 256, 8, 128, 4, 2, 1),
    "dcgan G4": (128, 128, 16, 64, 4, 2, 1),
    "dcgan G5": (128, 64, 32, 3, 4, 2, 1),
    "lsgan G1": (64, 128, 7, 64, 4, 2, 1),
    "lsgan G2": (64, 64, 14, 1, 4, 2, 1),
}
CORE_TRANSPOSED = ("dcgan G3", "dcgan G4", "lsgan G1")
WHAT = ("forward", "input gradient", "weight gradient")


def _conv(transposed: bool, what: str, shape: tuple[int, ...], dtype: str) -> Callable[[Kit], Work]:
    n, c, size, k, kernel, stride, padding = shape

    def make(kit: Kit) -> Work:
        convolve = kit.F.conv_transpose2d if transposed else kit.F.conv2d
        weights = (c, k, kernel, kernel) if transposed else (k, c, kernel, kernel)
        scale = 1 / math.sqrt(c * kernel * kernel)
        x = kit.normal(n, c, size, size, dtype=dtype, last=True, grad=what == "input gradient")
        w = kit.normal(*weights, dtype=dtype, last=True, grad=what == "weight gradient", scale=scale)
        if what == "forward":
            return lambda: convolve(x, w, None, stride, padding)
        y = convolve(x, w, None, stride, padding)
        g = kit.like(y)
        return lambda: kit.grad(y, x if what == "input gradient" else w, g)

    return make


def _convolutions(
    tiny: bool, family: str, table: dict[str, tuple[int, ...]], core: tuple[str, ...], transposed: bool
) -> list[Case]:
    found = []
    for precision in ("bf16", "tf32", "ieee"):
        dtype = _dtype(precision)
        for what in WHAT:
            for name, shape in table.items():
                if tiny:
                    n, c, size, k, *rest = shape
                    shape = (2, min(c, 4), min(size, 8), min(k, 4), *rest)
                n, c, size, k, kernel, stride, padding = shape
                if transposed:
                    out = (size - 1) * stride - 2 * padding + kernel
                    pixels = n * size * size
                else:
                    out = (size + 2 * padding - kernel) // stride + 1
                    pixels = n * out * out
                numbers = n * c * size * size + n * k * out * out + c * k * kernel * kernel
                found.append(
                    Case(
                        f"{family} {what} {precision} {name}",
                        f"{family} {what}",
                        _conv(transposed, what, shape, dtype),
                        bytes=numbers * SIZES[dtype],
                        operations=2.0 * pixels * c * k * kernel * kernel,
                        precision=precision,
                        tolerance=TOLERANCES[precision],
                        core=name in core and precision != "ieee",
                        rows=("conv_transpose2d", "conv2d") if transposed else ("conv2d",),
                    )
                )
    return found


def convolutions(tiny: bool) -> list[Case]:
    """conv2d: forward and both gradients, images and weights channels-last."""
    return _convolutions(tiny, "conv", CONVOLUTIONS, CORE_CONVOLUTIONS, False)


def transposed(tiny: bool) -> list[Case]:
    """conv_transpose2d, likewise."""
    return _convolutions(tiny, "conv_transpose", TRANSPOSED, CORE_TRANSPOSED, True)


# -- products ----------------------------------------------------------------------------------------------------------


def products(tiny: bool) -> list[Case]:
    """Matrix products: square ones, both transposed operands, skinny ones of linear layers."""
    shapes = [
        # rows, columns, inner, which operand is stored transposed, core
        (4096, 4096, 4096, "", True),
        (1024, 1024, 1024, "", True),
        (8192, 8192, 8192, "", True),
        (2048, 2048, 2048, "", False),
        (4096, 4096, 4096, "second", True),
        (4096, 4096, 4096, "first", False),
        (64, 6272, 100, "second", True),
        (64, 4096, 4096, "second", True),
        (64, 1, 6272, "second", False),
        (1000, 1000, 1000, "", False),
        (64, 64, 1 << 18, "first", False),
    ]

    def build(m: int, n: int, k: int, turned: str, dtype: str) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            a = kit.normal(k, m, dtype=dtype).t() if turned == "first" else kit.normal(m, k, dtype=dtype)
            b = kit.normal(n, k, dtype=dtype).t() if turned == "second" else kit.normal(k, n, dtype=dtype)
            return lambda: a @ b

        return make

    found = []
    for precision in ("bf16", "tf32", "ieee"):
        for m, n, k, turned, core in shapes:
            if tiny:
                m, n, k = min(m, 24), min(n, 24), min(k, 40)
            elif precision == "ieee" and m * n * k > 1 << 36:
                continue
            dtype = _dtype(precision)
            found.append(
                Case(
                    f"matmul {precision} {m}x{n}x{k}" + (f" {turned} transposed" if turned else ""),
                    "matmul",
                    build(m, n, k, turned, dtype),
                    bytes=(m * k + k * n + m * n) * SIZES[dtype],
                    operations=2.0 * m * n * k,
                    precision=precision,
                    tolerance=TOLERANCES[precision],
                    core=core and precision != "ieee",
                    rows=("matmul", "mm"),
                )
            )
    return _once(found)


def _once(found: list[Case]) -> list[Case]:
    """Without those whose sizes became the same."""
    return list({case.name: case for case in found}.values())


# -- norms, softmax, losses --------------------------------------------------------------------------------------------


def norms(tiny: bool) -> list[Case]:
    """Batch norm at activation shapes, forward and with backward; and followed by an activation."""
    shapes = [
        ((128, 64, 32, 32), True),
        ((128, 128, 16, 16), True),
        ((128, 256, 8, 8), False),
        ((128, 512, 4, 4), True),
        ((64, 128, 7, 7), True),
        ((64, 64, 14, 14), False),
        ((128, 64, 64, 64), False),
    ]

    def build(shape: tuple[int, ...], dtype: str, last: bool, backward: bool) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            channels = shape[1]
            x = kit.normal(*shape, dtype=dtype, last=last, grad=backward)
            w, b = (kit.normal(channels, grad=backward) for _ in range(2))
            mean, var = kit.normal(channels, own=True), kit.normal(channels, own=True)
            g = kit.like(x)

            def forward() -> Any:
                return kit.F.batch_norm(x, mean, var, w, b, True)

            return (lambda: kit.grad(forward(), (x, w, b), g)) if backward else forward

        return make

    found = []
    for shape, core in shapes:
        if tiny:
            shape = (2, min(shape[1], 16), min(shape[2], 4), min(shape[3], 4))
        for dtype in ("bfloat16", "float32"):
            for last in (True, False):
                for backward in (False, True):
                    layout = "channels last" if last else "row-major"
                    found.append(
                        Case(
                            f"batch_norm {'forward and backward' if backward else 'forward'} {dtype} {shape} {layout}",
                            "batch_norm backward" if backward else "batch_norm",
                            build(shape, dtype, last, backward),
                            bytes=(8 if backward else 3) * math.prod(shape) * SIZES[dtype],
                            tolerance=TOLERANCES[dtype] * 5,
                            core=core and last and dtype == "bfloat16",
                            rows=("batch_norm",),
                        )
                    )
    return _once(found)


def softmaxes(tiny: bool) -> list[Case]:
    """softmax, log_softmax and cross-entropy: few classes, many, and a vocabulary."""

    def softmax(shape: tuple[int, int], dtype: str, log: bool, backward: bool) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            function = kit.F.log_softmax if log else kit.F.softmax
            x = kit.normal(*shape, dtype=dtype, grad=backward)
            if not backward:
                return lambda: function(x, 1)
            y = function(x, 1)
            g = kit.like(y)
            return lambda: kit.grad(y, x, g)

        return make

    def entropy(shape: tuple[int, int], dtype: str) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            x, classes = kit.normal(*shape, dtype=dtype, grad=True), kit.classes(shape[1], shape[0])
            one = kit.normal(dtype=dtype)
            return lambda: kit.grad(kit.F.cross_entropy(x, classes), x, one)

        return make

    found = []
    for shape, core in (((4096, 32000), True), ((128, 1000), False), ((128, 10), True), ((1 << 16, 1000), True)):
        if tiny:
            shape = (min(shape[0], 8), min(shape[1], 40))
        for dtype in ("float32", "bfloat16"):
            size = math.prod(shape) * SIZES[dtype]
            for log in (False, True):
                for backward in (False, True):
                    name = ("log_softmax" if log else "softmax") + (" backward" if backward else "")
                    found.append(
                        Case(
                            f"{name} {dtype} {shape}",
                            "softmax",
                            softmax(shape, dtype, log, backward),
                            bytes=size * (3 if backward else 2),
                            tolerance=TOLERANCES[dtype],
                            core=core and not log and dtype == "float32",
                            rows=("log_softmax",) if log else ("softmax",),
                        )
                    )
            found.append(
                Case(
                    f"cross_entropy forward and backward {dtype} {shape}",
                    "softmax",
                    entropy(shape, dtype),
                    bytes=size * 3,
                    tolerance=TOLERANCES[dtype],
                    core=core and dtype == "float32",
                    rows=("cross_entropy",),
                )
            )
    return _once(found)


# -- memory-bound ------------------------------------------------------------------------------------------------------


def elementwise(tiny: bool) -> list[Case]:
    """Copies, casts, transposes; sums, activations and broadcasts, from 2^12 to 2^28 elements and ragged."""

    def unary(shape: tuple[int, ...], dtype: str, work: Callable[[Kit, Any], Any], last: bool) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            x = kit.normal(*shape, dtype=dtype, last=last)
            return lambda: work(kit, x)

        return make

    def binary(
        shape: tuple[int, ...], other: tuple[int, ...], dtype: str, work: Callable[[Kit, Any, Any], Any]
    ) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            x, y = kit.normal(*shape, dtype=dtype), kit.normal(*other, dtype=dtype)
            return lambda: work(kit, x, y)

        return make

    found: list[Case] = []

    def add(
        name: str, shape: tuple[int, ...], dtype: str, moved: float, make: Callable[[Kit], Work], core: bool, *rows: str
    ) -> None:
        label = f"2^{int(math.log2(shape[0]))}" if len(shape) == 1 and shape[0].bit_count() == 1 else f"{shape}"
        tolerance = TOLERANCES[dtype]
        found.append(
            Case(f"{name} {dtype} {label}", "elementwise", make, moved, tolerance=tolerance, core=core, rows=rows or ())
        )

    def relu(kit: Kit, x: Any) -> Any:
        return kit.F.relu(x)

    def both(kit: Kit, x: Any, y: Any) -> Any:
        return x + y

    exponents = (6, 7, 8) if tiny else (28, 27, 24, 20, 16, 12)
    for exponent in exponents:
        n = 1 << exponent
        big = exponent in (28, 27)
        for dtype in ("float32", "bfloat16"):
            size = n * SIZES[dtype]
            add("add", (n,), dtype, 3 * size, binary((n,), (n,), dtype, both), big or exponent == 20, "add")
            add("relu", (n,), dtype, 2 * size, unary((n,), dtype, relu, False), exponent == 28, "relu")
            add(
                "copy",
                (n,),
                dtype,
                2 * size,
                unary((n,), dtype, lambda kit, x: x.clone(), False),
                exponent in (28, 20) and dtype == "float32",
                "clone",
            )
    n = exponents[0]
    n = 1 << n
    add(
        "cast to bfloat16",
        (n,),
        "float32",
        6 * n,
        unary((n,), "float32", lambda kit, x: x.to(kit.dtype("bfloat16")), False),
        True,
    )
    found[-1] = replace(found[-1], tolerance=TOLERANCES["bfloat16"])
    add("tanh", (n,), "float32", 8 * n, unary((n,), "float32", lambda kit, x: kit.F.tanh(x), False), False, "tanh")
    ragged = (n // 4 + 1,)
    add("add", ragged, "bfloat16", 6 * ragged[0], binary(ragged, ragged, "bfloat16", both), True, "add")
    side = 12 if tiny else 8192
    add(
        "transpose",
        (side, side),
        "float32",
        8 * side * side,
        unary((side, side), "float32", lambda kit, x: x.t().contiguous(), False),
        True,
    )
    images = (2, 4, 4, 4) if tiny else (256, 64, 64, 64)
    size = 2 * math.prod(images)
    add(
        "channels last to row-major",
        images,
        "bfloat16",
        2 * size,
        unary(images, "bfloat16", lambda kit, x: x.contiguous(), True),
        True,
    )
    for channels, core in ((64, True), (100, False), (10, False), (3, False)):
        rows = 8 if tiny else (1 << 27) // channels
        for dtype in ("bfloat16", "float32"):
            shape = (rows, channels)
            moved = 2 * rows * channels * SIZES[dtype]
            add("add a row", shape, dtype, moved, binary(shape, (channels,), dtype, both), core and dtype[0] == "b")
    return _once(found)


def reductions(tiny: bool) -> list[Case]:
    """Sums, means, maxima: of all, of rows, of columns, of an image's channels in both layouts."""

    def build(shape: tuple[int, ...], dtype: str, last: bool, work: Callable[[Kit, Any], Any]) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            x = kit.normal(*shape, dtype=dtype, last=last)
            return lambda: work(kit, x)

        return make

    n = 6 if tiny else 27
    half = n // 2
    plans: list[tuple[str, tuple[int, ...], bool, Callable[[Kit, Any], Any], bool]] = [
        ("sum of all", (1 << n,), False, lambda kit, x: x.sum(), True),
        ("sum of rows", (1 << half, 1 << (n - half)), False, lambda kit, x: x.sum(1), True),
        ("sum of columns", (1 << half, 1 << (n - half)), False, lambda kit, x: x.sum(0), True),
        ("sum of short rows", (1 << (n - 5), 32), False, lambda kit, x: x.sum(1), False),
        ("maximum of rows", (1 << half, 1 << (n - half)), False, lambda kit, x: kit.t.amax(x, 1), True),
        ("argmax of rows", (1 << half, 1 << (n - half)), False, lambda kit, x: x.argmax(1), False),
        ("variance of rows", (1 << half, 1 << (n - half)), False, lambda kit, x: x.var(1), False),
    ]
    images = (2, 8, 4, 4) if tiny else (256, 64, 64, 128)
    plans += [
        ("sum over (0, 2, 3)", images, True, lambda kit, x: x.sum((0, 2, 3)), True),
        ("sum over (0, 2, 3) row-major", images, False, lambda kit, x: x.sum((0, 2, 3)), False),
        ("mean over (2, 3)", images, True, lambda kit, x: x.mean((2, 3)), False),
    ]
    found = []
    for name, shape, last, work, core in plans:
        for dtype in ("float32",) if name.startswith("argmax") else ("float32", "bfloat16"):  # bfloat16 has ties
            found.append(
                Case(
                    f"{name} {dtype} {shape}",
                    "reduce",
                    build(shape, dtype, last, work),
                    bytes=math.prod(shape) * SIZES[dtype],
                    # A sum of random signs is small against its terms.
                    tolerance=TOLERANCES[dtype] * 10,
                    core=core and dtype == "float32",
                    rows=(name.split()[0].replace("maximum", "max").replace("variance", "var"),),
                )
            )
    return _once(found)


def pools(tiny: bool) -> list[Case]:
    """Max pooling and the global average, forward and with backward."""
    shape = (2, 4, 4, 4) if tiny else (128, 128, 32, 32)

    def build(dtype: str, last: bool, function: str, argument: int, backward: bool) -> Callable[[Kit], Work]:
        def make(kit: Kit) -> Work:
            x = kit.normal(*shape, dtype=dtype, last=last, grad=backward)
            pool = getattr(kit.F, function)
            if not backward:
                return lambda: pool(x, argument)
            y = pool(x, argument)
            g = kit.like(y)
            return lambda: kit.grad(y, x, g)

        return make

    found = []
    for function, argument in (("max_pool2d", 2), ("adaptive_avg_pool2d", 1), ("avg_pool2d", 2)):
        for dtype in ("bfloat16", "float32"):
            for last in (True, False):
                for backward in (False, True):
                    small = 1 if argument == 1 else shape[2] * shape[3] // 4
                    count = math.prod(shape[:2]) * (shape[2] * shape[3] + small)
                    layout = "channels last" if last else "row-major"
                    what = " backward" if backward else ""
                    found.append(
                        Case(
                            f"{function}{what} {dtype} {shape} {layout}",
                            "pool",
                            build(dtype, last, function, argument, backward),
                            bytes=count * SIZES[dtype],
                            tolerance=TOLERANCES[dtype],
                            core=last and dtype == "bfloat16" and function == "max_pool2d",
                            rows=(function,),
                        )
                    )
    return found


# -- optimizers, random numbers ----------------------------------------------------------------------------------------


def optimizers(tiny: bool) -> list[Case]:
    """One step of Adam and SGD over the parameters of each network."""

    def build(name: str, kind: str) -> tuple[Callable[[Kit], Work], int]:
        width, size = nets.SMALL[name] if tiny else (64, nets.RECIPES[name]().image[1])
        recipe = nets.RECIPES[name](width=width, size=size)
        shapes = [shape for layers in recipe.layers.values() for shape in parameter_shapes(layers)]

        def make(kit: Kit) -> Work:
            params = []
            for shape in shapes:
                p = kit.normal(*shape, own=True, grad=True)
                p.grad = kit.normal(*shape)
                params.append(p)
            more = dict(kit.optimizer)
            if kind == "SGD":
                more.pop("capturable", None)
                optimizer = kit.t.optim.SGD(params, 0.05, momentum=0.9, weight_decay=5e-4, **more)
            else:
                optimizer = kit.t.optim.Adam(params, lr=2e-4, betas=(0.5, 0.999), **more)
            kit.results = params  # type: ignore[attr-defined]
            return optimizer.step

        return make, sum(math.prod(s) for s in shapes)

    found = []
    for name, kind, core in (
        ("resnet18", "Adam", True),
        ("lsgan28", "Adam", True),
        ("resnet18", "SGD", True),
        ("dcgan64", "Adam", False),
        ("resnet9", "SGD", False),
    ):
        make, count = build(name, kind)
        found.append(
            Case(
                f"{kind} {name}",
                "optimizer",
                make,
                bytes=count * 4 * (7 if kind == "Adam" else 5),
                tolerance=1e-6,
                core=core,
                results=lambda kit: kit.results,  # type: ignore[attr-defined]
                rows=(f"{kind.lower()}_step",),
            )
        )
    return found


def parameter_shapes(layers: nets.Layers) -> list[tuple[int, ...]]:
    """The shapes of the parameters of a described network, in order."""
    found: list[tuple[int, ...]] = []
    for layer in layers:
        match layer:
            case ("linear", a, b):
                found += [(b, a), (b,)]
            case ("conv", a, b, kernel, _, _, bias):
                found += [(b, a, kernel, kernel)] + [(b,)] * bias
            case ("conv_transpose", a, b, kernel, _, _, bias):
                found += [(a, b, kernel, kernel)] + [(b,)] * bias
            case ("norm", a):
                found += [(a,), (a,)]
            case ("residual", *parts):
                found += [shape for part in parts for shape in parameter_shapes(part)]
    return found


def draws(tiny: bool) -> list[Case]:
    """Random numbers; they are compared with our own on the CPU, not with PyTorch's."""
    n = 1 << (8 if tiny else 26)

    def normal(kit: Kit) -> Work:
        return lambda: kit.t.randn(n, device=kit.side.device)

    def uniform(kit: Kit) -> Work:
        return lambda: kit.t.rand(n, device=kit.side.device)

    def dropout(kit: Kit) -> Work:
        x = kit.normal(n)
        return lambda: kit.F.dropout(x, 0.5, True)

    return [
        Case(f"randn {n}", "random", normal, 4 * n, tolerance=math.inf, core=True, rows=("normal",)),
        Case(f"rand {n}", "random", uniform, 4 * n, tolerance=math.inf, core=False, rows=("uniform",)),
        Case(f"dropout {n}", "random", dropout, 8 * n, tolerance=math.inf, core=True, rows=("dropout",)),
    ]
