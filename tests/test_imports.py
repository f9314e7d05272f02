"""Each room imports only what stands to its left, only the door sees everything, and nothing heavy comes in early."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "framework": set(),
    "autograd": {"framework"},
    "kernels": {"framework", "autograd"},
    "layers": {"framework", "autograd", "kernels"},
    "data": {"framework", "autograd"},
}
PUBLIC_ROOMS = {"autograd"}  # PyTorch has this name too: `torch.autograd`
HEAVY = {"triton", "cuda", "torch"}

PACKAGE = [f for folder in (*ROOMS, "trigrad") for f in sorted((ROOT / folder).rglob("*.py"))]
OUTSIDE = [f for folder in ("examples", "benchmarks") for f in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DOORS = sorted((ROOT / "trigrad").rglob("__init__.py"))


def label(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def home(file: Path) -> list[str]:
    """Dotted name, in parts, of the package that a file of ours belongs to once installed."""
    folders = list(file.relative_to(ROOT).parent.parts)
    return folders if folders[0] == "trigrad" else ["trigrad", *folders]


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, bool, list[str]]]:
    """Line, whether it is relative, and the absolute dotted target of each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, False, name.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            if node.level >= len(package) + 1:
                raise AssertionError(f"line {node.lineno}: leads out of the package")
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for name in node.names:
                yield node.lineno, node.level > 0, [*base, name.name]


def faults(source: str, package: list[str]) -> list[str]:
    """What the imports of one file of the package do wrong."""
    room = package[1] if len(package) > 1 else ""
    found = []
    for line, relative, target in imports(ast.parse(source), package):
        if not relative:
            if target[0] in {"trigrad", *ROOMS}:
                found.append(f"line {line}: inside the package, import relatively, not {'.'.join(target)}")
            if target[0] == "torch":
                found.append(f"line {line}: the package never imports torch")
            if target[0] in {"triton", "cuda"} and room != "framework":
                found.append(f"line {line}: only framework imports {target[0]}; take it from framework.language")
        elif room in ROOMS:
            if target[1] not in ROOMS:
                found.append(f"line {line}: {room} may not import from the door ({'.'.join(target)})")
            elif target[1] not in {room, *ROOMS[room]}:
                found.append(f"line {line}: {room} may not import {target[1]}")
    return found


def at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that run when the file itself is imported."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from at_import(node.orelse)
        else:
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
            yield from at_import(inner)


@pytest.mark.parametrize("file", PACKAGE, ids=label)
def test_imports_point_left(file: Path) -> None:
    assert faults(file.read_text(), home(file)) == []


@pytest.mark.parametrize(
    "source, room, fault",
    [
        ("from ..autograd import Tensor", "framework", "framework may not import autograd"),
        ("from ..layers.conv import Conv2d", "kernels", "kernels may not import layers"),
        ("from ..kernels import add", "data", "data may not import kernels"),
        ("from .. import layers", "autograd", "autograd may not import layers"),
        ("from .. import Tensor", "layers", "layers may not import from the door"),
        ("from ..nn import Linear", "layers", "layers may not import from the door"),
        ("if TYPE_CHECKING:\n    from ..kernels.add import add", "autograd", "autograd may not import kernels"),
        ("def f():\n    from ..autograd import Tensor", "framework", "framework may not import autograd"),
        ("import kernels", "layers", "import relatively"),
        ("import trigrad as tg", "layers", "import relatively"),
        ("def f():\n    import torch", "framework", "never imports torch"),
        ("def f():\n    import triton", "kernels", "only framework imports triton"),
    ],
)
def test_a_wrong_import_is_found(source: str, room: str, fault: str) -> None:
    found = faults(source, ["trigrad", room])
    assert len(found) == 1 and fault in found[0]


@pytest.mark.parametrize(
    "source, room",
    [
        ("from ..framework.op import register", "kernels"),
        ("from . import tensor", "autograd"),
        ("from .engine import grad", "autograd"),
        ("from ..kernels import add", "layers"),
        ("from .. import framework", "data"),
        ("import numpy as np", "framework"),
    ],
)
def test_a_right_import_passes(source: str, room: str) -> None:
    assert faults(source, ["trigrad", room]) == []


@pytest.mark.parametrize("file", PACKAGE, ids=label)
def test_nothing_heavy_at_the_top_of_a_file(file: Path) -> None:
    for node in at_import(ast.parse(file.read_text()).body):
        names = [n.name for n in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        early = {name.split(".")[0] for name in names if not getattr(node, "level", 0)} & HEAVY
        assert not early, f"line {node.lineno}: {', '.join(early)} must wait until it is needed"


@pytest.mark.parametrize("file", DOORS, ids=label)
def test_the_door_defines_nothing(file: Path) -> None:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            assert node.name.startswith("__"), f"line {node.lineno}: {node.name} belongs in a room"


@pytest.mark.parametrize("file", OUTSIDE, ids=label)
def test_examples_and_benchmarks_use_public_names(file: Path) -> None:
    tree = ast.parse(file.read_text())
    closed = ROOMS.keys() - PUBLIC_ROOMS
    doors = {"trigrad"}
    for line, relative, target in imports(tree, list(file.relative_to(ROOT).parent.parts)):
        assert relative or target[0] not in ROOMS, f"line {line}: import {target[0]} through trigrad"
        if target[0] == "trigrad" and len(target) > 1:
            assert target[1] not in closed, f"line {line}: trigrad.{target[1]} is a room, not a public name"
            inside = target[1] in PUBLIC_ROOMS and (ROOT / Path(*target[1:])).with_suffix(".py").exists()
            assert not inside, f"line {line}: {'.'.join(target)} is a file of a room, not a public name"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            doors |= {n.asname for n in node.names if n.name == "trigrad" and n.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in doors:
            assert node.attr not in closed, f"line {node.lineno}: trigrad.{node.attr} is a room, not a public name"


@pytest.mark.parametrize("file", TESTS, ids=label)
def test_tests_reach_rooms_through_the_door(file: Path) -> None:
    for line, relative, target in imports(ast.parse(file.read_text()), list(file.relative_to(ROOT).parent.parts)):
        assert relative or target[0] not in ROOMS, f"line {line}: write trigrad.{target[0]}"


IMPORT_ALL = """
from importlib import import_module
from pkgutil import iter_modules
import trigrad

def import_all(package):
    for found in iter_modules(package.__path__, package.__name__ + "."):
        if found.name != "trigrad.trigrad":  # in a checkout the door's own folder stands beside the rooms
            module = import_module(found.name)
            if found.ispkg:
                import_all(module)

import_all(trigrad)
"""
BAR = """
import sys

class Bar:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("triton", "cuda", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Bar())
"""
REPORT = f"""
import sys
print(sorted({HEAVY!r} & {{name.split(".")[0] for name in sys.modules}}))
"""


def run(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_door_opens_without_gpu_libraries() -> None:
    assert run(f"import trigrad\n{REPORT}") == "[]"


def test_every_file_imports_without_gpu_libraries() -> None:
    assert run(f"{IMPORT_ALL}\n{REPORT}") == "[]"


def test_every_file_imports_where_gpu_libraries_are_missing() -> None:
    assert run(f"{BAR}\n{IMPORT_ALL}\n{REPORT}") == "[]"
