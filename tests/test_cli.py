"""The command line prints the whole table, and a report that needs neither a GPU nor Triton."""

import subprocess
import sys
from pathlib import Path

import pytest

import trigrad
from trigrad.__main__ import main
from trigrad.framework import catalogue, doctor
from trigrad.framework.op import OPS

ROOT = Path(__file__).parents[1]
OURS = [op for op in OPS.values() if op.function is None or op.function.__module__.startswith("trigrad.")]


def test_without_a_command_it_prints_help(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m trigrad") and "doctor" in out and "ops" in out


def test_ops_prints_every_row(capsys):
    assert main(["ops", "--all", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| op | formula | gradients: of what, by which row | twice | dtypes |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == sorted(OPS)


def test_ops_leaves_out_rows_that_only_serve_others(capsys):
    assert main(["ops", "--markdown"]) == 0
    printed = {line.split(" | ")[0].removeprefix("| ") for line in capsys.readouterr().out.splitlines()[2:]}
    assert printed == {op.name for op in OPS.values() if op.samples is not None}


def test_a_row_in_markdown(capsys):
    assert main(["ops", "--markdown", "mul"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == (
        "| mul | out = input \\* other | input by mul, keeps other<br>other by mul, keeps input | yes | "
        "float64, float32, float16, bfloat16, int64, bool<br>(promoted) |"
    )


def test_rows_in_a_table(capsys):
    assert main(["ops", "leaky_relu", "leaky_relu_backward"]) == 0
    out = capsys.readouterr().out
    assert "out = x  where x > 0,  slope * x  elsewhere" in out
    assert "input by leaky_relu_backward, keeps input" in out
    assert f"2 of {len(OPS)} rows" in out


def test_an_unknown_row(capsys):
    assert main(["ops", "leaky_rely", "mul"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("no row is called 'leaky_rely'; there is leaky_relu")


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["oops"])
    assert "invalid choice: 'oops'" in capsys.readouterr().err


@pytest.mark.parametrize("op", [op for op in OURS if op.function is not None], ids=lambda op: op.name)
def test_every_public_row_states_its_formula(op):
    assert catalogue.formula(op), f"{op.kernel.numpy.__module__}: no line of the docstring says what {op.name} gives"


@pytest.mark.parametrize(
    "name, lines",
    [
        ("div_floor", ("out = floor(input / other)",)),
        ("div", ("out = input / other",)),
        ("leaky_relu_backward", ("grad_input = grad  where x > 0,  slope * grad  elsewhere",)),
        ("eq", ("out = input == other",)),
        ("index_clear", ("grad_input = grad, but zeros at the positions",)),
        ("tanh_second", ()),
    ],
)
def test_formulas_are_found(name, lines):
    assert catalogue.formula(OPS[name]) == lines


def test_the_doctor_looks_at_everything():
    found = {f.name: f for f in doctor.examine()}
    for name in ("python", "numpy", "numpy's BLAS", "triton", "device cpu", "device interpreter", "default device"):
        assert name in found
    assert "device cuda" in found or "device cuda:0" in found
    assert found["device cpu"].good
    assert found["numpy"].good


def test_the_doctor_never_raises(monkeypatch, capsys):
    def broken():
        raise OSError("the disk is gone")
        yield

    monkeypatch.setattr(doctor, "QUESTIONS", (("a question", broken), *doctor.QUESTIONS))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "OSError: the disk is gone" in out
    assert f"trigrad {trigrad.__version__}" in out


BAR = """
import sys

class Bar:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("triton", "cuda", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Bar())
from trigrad.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["doctor"], "device interpreter"),
        (["ops", "mul"], "out = input * other"),
        ([], "usage:"),
    ],
)
def test_without_triton(arguments, expected):
    command = [sys.executable, "-W", "error", "-c", BAR, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "trigrad", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "device cpu" in done.stdout
