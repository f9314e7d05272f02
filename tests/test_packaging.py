"""Three ways of running: a wheel, an editable install, a plain checkout; from anywhere, the root included."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("framework", "autograd", "kernels", "layers", "data")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Prints the folder of the door; fails where door and rooms come from different places, or one of them is missing.
PROBE = """
import importlib
from pathlib import Path
import trigrad

door = Path(trigrad.__file__).parent.resolve()
inside = (door / "framework").exists()
for room in ("framework", "autograd", "kernels", "layers", "data"):
    module = importlib.import_module(f"trigrad.{room}")
    expected = (door if inside else door.parent) / room
    assert Path(module.__file__).parent.resolve() == expected, (module.__file__, str(expected))
for name in ("nn", "optim", "utils.data"):
    importlib.import_module(f"trigrad.{name}")
assert (door / "py.typed").exists()
print(door)
"""


def call(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without the caller's PYTHON* settings; ``path`` becomes PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def answer(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    done = call(*command, cwd=cwd, path=path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@dataclass
class Environment:
    """A virtual environment that sees this one's dependencies without having to download them."""

    python: Path
    site: Path

    @classmethod
    def make(cls, folder: Path) -> "Environment":
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        scheme = {"base": str(folder), "platbase": str(folder)}
        site = Path(sysconfig.get_path("purelib", "venv", scheme))
        python = Path(sysconfig.get_path("scripts", "venv", scheme)) / Path(sys.executable).name
        shared = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        (site / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in shared))
        return cls(python if python.exists() else python.with_name("python"), site)

    def install(self, *arguments: str | Path) -> None:
        # --ignore-installed: the environment under the tests may hold a trigrad of its own, which is to be left alone
        answer(
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--ignore-installed",
            *arguments,
            cwd=self.site,
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds, so that building leaves nothing behind in the repository itself."""
    copy = tmp_path_factory.mktemp("checkout") / "trigrad-checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for name in ("trigrad", *ROOMS):
        copytree(ROOT / name, copy / name, ignore=ignore_patterns("__pycache__", "*.egg-info"))
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source") / "trigrad"
    copytree(checkout, source)
    out = tmp_path_factory.mktemp("wheel")
    answer(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        out,
        source,
        cwd=out,
    )
    (found,) = out.glob("trigrad-*.whl")
    return found


@pytest.fixture(scope="module")
def wheel_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment.make(tmp_path_factory.mktemp("wheel-venv"))
    made.install(wheel)
    return made


@pytest.fixture(scope="module", params=["normal", "strict"])
def editable(
    request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Environment, Path]:
    source = tmp_path_factory.mktemp("editable") / "trigrad"
    copytree(checkout, source)
    made = Environment.make(tmp_path_factory.mktemp("editable-venv"))
    mode = ["--config-settings", "editable_mode=strict"] if request.param == "strict" else []
    made.install(*mode, "--editable", source)
    return made, source


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The dependencies, and no trigrad."""
    return Environment.make(tmp_path_factory.mktemp("bare-venv"))


def test_every_folder_is_listed() -> None:
    """A package that pyproject.toml does not name would be missing from the wheel, and only there."""
    files = [f for room in ROOMS for f in (ROOT / room).rglob("*.py")] + list((ROOT / "trigrad").rglob("*.py"))
    folders = {f.parent.relative_to(ROOT).parts for f in files}
    needed = {".".join(parts if parts[0] == "trigrad" else ("trigrad", *parts)) for parts in folders}
    assert needed == set(PROJECT["tool"]["setuptools"]["packages"])
    for parts in folders:
        assert ROOT.joinpath(*parts, "__init__.py").exists(), f"{'/'.join(parts)} has no __init__.py"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path, checkout: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder in ("trigrad", *ROOMS):
        for file in (checkout / folder).rglob("*"):
            if file.is_file():
                inner = file.relative_to(checkout).as_posix()
                expected.add(inner if folder == "trigrad" else f"trigrad/{inner}")
    assert held == expected


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    assert "Requires-Python: >=3.11" in lines
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    always = [line for line in needed if "extra ==" not in line]
    assert not any("torch" in line for line in always)
    for name in ("triton", "cuda-core", "cuda-bindings"):  # what only Linux has must not stop an install elsewhere
        (line,) = (line for line in always if line.startswith(name))
        assert "sys_platform" in line and "linux" in line


def test_the_version_is_said_once() -> None:
    import trigrad

    assert trigrad.__version__ == PROJECT["project"]["version"]


def test_wheel_from_anywhere(wheel_environment: Environment, tmp_path: Path) -> None:
    installed = wheel_environment.site / "trigrad"
    assert answer(wheel_environment.python, "-c", PROBE, cwd=tmp_path) == str(installed.resolve())


def test_wheel_in_the_repository_root(wheel_environment: Environment, checkout: Path, tmp_path: Path) -> None:
    """Where the root comes first on the path the checkout runs, whole; where it does not, the wheel does."""
    python, installed = wheel_environment.python, str((wheel_environment.site / "trigrad").resolve())
    assert answer(python, "-c", PROBE, cwd=checkout) == str((checkout / "trigrad").resolve())
    assert answer(python, "-P", "-c", PROBE, cwd=checkout) == installed
    script = tmp_path / "script.py"
    script.write_text(PROBE)
    assert answer(python, script, cwd=checkout) == installed


def test_editable_install(editable: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, source = editable
    script = tmp_path / "script.py"
    script.write_text(PROBE)
    for arguments, cwd in [(("-c", PROBE), tmp_path), ((script,), source), (("-P", "-c", PROBE), source)]:
        door = Path(answer(environment.python, *arguments, cwd=cwd))
        assert (door / "__init__.py").samefile(source / "trigrad" / "__init__.py")
    assert answer(environment.python, "-c", PROBE, cwd=source) == str((source / "trigrad").resolve())


def test_plain_checkout(bare: Environment, checkout: Path, tmp_path: Path) -> None:
    door = str((checkout / "trigrad").resolve())
    assert answer(bare.python, "-c", PROBE, cwd=checkout) == door
    assert answer(bare.python, "-c", PROBE, cwd=tmp_path, path=checkout) == door
    assert call(bare.python, "-c", "import trigrad", cwd=tmp_path).returncode != 0  # no other trigrad stood in for it


@pytest.mark.parametrize("room", ROOMS)
def test_a_bare_room_says_what_to_import(room: str, bare: Environment, checkout: Path) -> None:
    done = call(bare.python, "-c", f"import {room}", cwd=checkout)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: this folder is a room of trigrad: write 'import trigrad.{room}', not 'import {room}'"
    )


def test_the_readme_sets_up_from_nothing() -> None:
    """Two commands do everything; .ci/run takes them from the same file."""
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv .venv && ")]
    assert len(commands) == 2
    train, test = commands
    assert train.endswith(" && .venv/bin/python examples/lsgan.py")
    assert test.endswith(" && .venv/bin/python -m pytest")
