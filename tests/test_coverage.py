"""The list of PyTorch's names: read, counted, and as the script makes it."""

import importlib.util
import json
from pathlib import Path

import pytest

from trigrad import coverage
from trigrad.__main__ import main

ROOT = Path(__file__).parents[1]


def test_the_report(capsys):
    version, found = coverage.examine()
    assert [c.name for c in found] == list(coverage.PLACES) and version.startswith("2.")
    assert main(["ops", "--coverage", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| category | there | of | left out, by rule |" and len(lines) == 2 + len(found)
    assert main(["ops", "--coverage", "--absent"]) == 0
    out = capsys.readouterr().out
    assert f"names of PyTorch {version}" in out
    for c in found:
        assert f"\n{c.name}, absent: " in out and not set(c.there) & set(c.absent)
        assert len(c.there) > len(c.absent) or c.name not in ("optimizers", "schedulers")
    assert "StepLR" in found[5].there and "add" in found[0].there


@pytest.mark.peer
def test_the_list_is_the_scripts(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    listed = json.loads((ROOT / "trigrad" / "torch_names.json").read_text())
    if torch.__version__.split("+")[0] != listed["torch"]:
        pytest.skip("made with another PyTorch")
    spec = importlib.util.spec_from_file_location("torch_names", ROOT / "benchmarks" / "torch_names.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    (tmp_path / "trigrad").mkdir()
    monkeypatch.setattr(script, "__file__", str(tmp_path / "benchmarks" / "torch_names.py"))
    script.main()
    assert json.loads((tmp_path / "trigrad" / "torch_names.json").read_text()) == listed
