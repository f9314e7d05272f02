"""The benchmarks without a GPU: their networks, their bookkeeping, and a dry run of some of every part."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg
from trigrad.op import OPS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # benchmarks stand beside the package and are not installed

from benchmarks import nets  # noqa: E402
from benchmarks.gpu import __main__ as command  # noqa: E402
from benchmarks.gpu import cases, checks, measure, report, sides, steps  # noqa: E402

INTERPRETER = sides.Ours("interpreter")


def result(part: str = "kernels", case: str = "a", status: str = "ok", **more: object) -> dict[str, object]:
    return {"part": part, "case": case, "status": status, **more}


# -- the networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, counts",
    [
        ("lsgan28", {"G": 633_472 + 256 + 131_136 + 128 + 1_025, "D": 1_088 + 131_200 + 256 + 6_273}),
        ("dcgan64", {"G": 3_576_704, "D": 2_765_568}),
        ("resnet9", {"net": 6_573_130}),
        ("resnet18", {"net": 11_173_962}),
    ],
)
def test_networks_have_the_parameters_they_should(name: str, counts: dict[str, int]) -> None:
    task = nets.task(name, tg, batch=1)
    assert {key: sum(p.numel() for p in net.parameters()) for key, net in task.nets.items()} == counts
    for key, layers in task.recipe.layers.items():
        assert cases.parameter_shapes(layers) == [tuple(p.shape) for p in task.nets[key].parameters()]


@pytest.mark.parametrize("name", nets.NAMES)
def test_a_step_changes_every_parameter(name: str) -> None:
    width, size = nets.SMALL[name]
    task = nets.task(name, tg, batch=4, width=width, size=size)
    before = {key: value.copy() for key, value in task.values()}
    losses = task.step(*task.inputs())
    assert all(math.isfinite(loss.item()) for loss in losses)
    after = dict(task.values())
    named = {f"{key}.{name}" for key, net in task.nets.items() for name, _ in net.named_parameters()}
    # A bias in front of a batch norm has no gradient but for rounding; on channels of one pixel a weight may have none.
    still = {key for key in named if np.array_equal(before[key], after[key])}
    assert len(still) <= len(named) // 10, still


def test_noise_and_batches_are_the_same_everywhere() -> None:
    tasks = [nets.task("lsgan28", tg, device, 2, width=8) for device in ("cpu", "interpreter")]
    for a, b in zip(tasks[0].inputs(3), tasks[1].inputs(3), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.cpu().numpy())
    assert not np.array_equal(tasks[0].arrays(0)[0], tasks[0].arrays(1)[0])
    with pytest.raises(ValueError, match="nets: expected one of lsgan28, .*, got 'alexnet'"):
        nets.task("alexnet", tg)


@pytest.mark.peer
@pytest.mark.parametrize("name", nets.NAMES)
def test_networks_are_pytorchs(name: str) -> None:
    import torch

    width, size = nets.SMALL[name]
    ours, theirs = (nets.task(name, lib, batch=8, width=width, size=size) for lib in (tg, torch))
    for a, b in zip(ours.step(*ours.inputs()), theirs.step(*theirs.inputs()), strict=True):
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-5)
    assert dict(ours.values()).keys() == dict(theirs.values()).keys()


# -- cases and checks --------------------------------------------------------------------------------------------------


def test_cases_have_names_of_their_own_and_rows_that_exist() -> None:
    for tiny in (False, True):
        found = cases.cases(tiny)
        assert len({case.name for case in found}) == len(found)
        assert {row for case in found for row in case.rows} <= OPS.keys()
        assert all(case.bytes > 0 for case in found)
    assert [case.core for case in found] == sorted((case.core for case in found), reverse=True)


def make_relu(kit: sides.Kit) -> cases.Work:
    x = kit.normal(4, 8)
    return lambda: kit.F.relu(x)


def test_a_right_case_is_timed() -> None:
    case = cases.Case("relu", "elementwise", make_relu, bytes=256)
    found = measure.measure(case, INTERPRETER, None, {"copy": 1e9}, rounds=1, least=0, most=1)
    assert found["status"] == "ok" and found["error"] == 0 and found["reference"] == "trigrad on the CPU"
    assert found["figures"]["trigrad"]["us"] > 0 and "of copy" in found


@pytest.mark.parametrize("how", ["too large", "no number", "too short"])
def test_a_wrong_case_is_not_timed(how: str) -> None:
    def make(kit: sides.Kit) -> cases.Work:
        x = kit.normal(4, 8)
        if kit.cast is not None:
            return lambda: kit.F.relu(x)
        return lambda: {
            "too large": lambda: kit.F.relu(x) * 1.001,
            "no number": lambda: kit.F.relu(x) * math.nan,
            "too short": lambda: kit.F.relu(x)[1:],
        }[how]()

    case = cases.Case("relu", "elementwise", make, bytes=256)
    found = measure.measure(case, INTERPRETER, None, {}, rounds=1, least=0, most=1)
    assert found["status"] == "wrong" and "figures" not in found


def test_elements_that_are_not_written_show() -> None:
    kit = sides.Kit(INTERPRETER)
    x = kit.normal(8)
    out = x * 2
    address = out.data_ptr()
    measure.poison((out, x), kit)
    assert np.isnan(out.cpu().numpy()).all() and not np.isnan(x.cpu().numpy()).any()
    assert out.data_ptr() == address


def test_parameters_that_an_optimizer_changes_are_given_to_others_as_they_were() -> None:
    kit = sides.Kit(INTERPRETER)
    p = kit.normal(5, own=True, grad=True)
    before = p.detach().cpu().numpy().copy()
    with tg.no_grad():
        p.mul_(2)
    np.testing.assert_array_equal(sides.Kit(sides.Numpy(), given=kit.made).normal(5, own=True).numpy(), before)


def test_sides_take_turns() -> None:
    order: list[str] = []

    def timer(name: str, each: float) -> object:
        def run(times: int) -> float:
            order.append(f"{name}{times}")
            return each * times

        return run

    found = sides.interleaved({"a": timer("a", 0.001), "b": timer("b", 0.01)}, 2, 0.02)
    assert order == ["a1", "b1", "a20", "b2", "b2", "a20"]
    assert found == {"a": pytest.approx([0.001] * 2), "b": pytest.approx([0.01] * 2)}
    assert sides.summary([1e-6, 3e-6, 2e-6]) == {"us": 2.0, "spread": 1.0}


def test_jobs_find_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {job.split(" ", 1)[0] for job in checks.jobs(torch=True)} == {"warm", "trap", "row"}
    checks.run("row relu", INTERPRETER, True)
    checks.run("trap wide rows", INTERPRETER, True)
    monkeypatch.setattr(checks.tg, "amax", lambda x, dim: x.sum(dim))
    with pytest.raises(AssertionError, match="amax .*: the relative error is"):
        checks.run("trap reductions in parts", INTERPRETER, True)


def test_a_case_rests_on_its_checks() -> None:
    case = next(c for c in cases.cases(True) if c.family == "conv forward")
    assert command.because("kernels", case, set()) is None
    assert command.because("kernels", case, {"row conv2d"}) == "row conv2d"
    assert command.because("kernels", case, {"trap convolutions in parts"}) == "trap convolutions in parts"
    assert command.because("steps", ("lsgan28", "tf32"), {"trap lsgan28 trains as numpy"}) is not None
    assert command.because("steps", ("dcgan64", "tf32"), {"trap lsgan28 trains as numpy"}) is None


ANSWERS = """
import json, os, sys, time
for line in sys.stdin:
    job = line.strip()
    if job == "die":
        os._exit(7)
    if job == "hang":
        time.sleep(60)
    print(json.dumps({"part": "checks", "case": job, "status": "ok", "process": os.getpid()}), flush=True)
"""


def test_workers_outlive_their_jobs() -> None:
    worker = checks.Worker([sys.executable, "-c", ANSWERS])
    try:
        first = worker.ask("a", 30)
        assert worker.ask("b", 30)["process"] == first["process"]
        assert worker.ask("die", 30) == result("checks", "die", "crashed", message="its process ended with 7")
        assert worker.ask("hang", 0.5)["status"] == "hung"
        assert worker.ask("c", 30)["process"] != first["process"]
    finally:
        worker.close()


def test_what_fails_becomes_a_result(tmp_path: Path) -> None:
    def fail() -> report.Result:
        raise RuntimeError("no\nway")

    store = report.Store(tmp_path / "a.jsonl", result("environment"), False)
    assert command.guarded(INTERPRETER, store, "kernels", "a", fail) == result(
        message="RuntimeError: no way", status="error"
    )
    assert not store.has("kernels", "a")  # to be tried again
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for Python")
def test_a_measuring_process_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    report.Store(path, result("environment"), False).close()
    script = tmp_path / "python"
    script.write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/died ]; then exit 0; fi\ntouch {tmp_path}/died\n"
        f"printf 'kernels\\nthe case' > {tmp_path}/a.now\nexit 139\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    command.watch(command.parse(["--dry-run"]), path)
    assert report.read(path)[-1] == result(case="the case", status="crashed", message="its process ended with 139")
    assert not (tmp_path / "a.now").exists()


# -- what is kept and shown --------------------------------------------------------------------------------------------


def test_a_run_is_kept_line_by_line_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "results" / "a.jsonl"
    store = report.Store(path, result("environment", gpu="none"), False)
    store.write(result(case="one"))
    store.write(result(case="two", status="error"))
    with path.open("a") as file:
        file.write('{"part": "kernels", "case": "thr')  # the run was cut off here
    again = report.Store(path, result("environment"), True)
    assert again.has("kernels", "one")
    assert not again.has("kernels", "two") and not again.has("kernels", "three") and not again.has("steps", "one")
    assert [r["case"] for r in again.results] == ["one", "two"]
    again.write(result(case="three"))
    assert [r["case"] for r in report.read(path) if r["part"] == "kernels"] == ["one", "two", "three"]
    assert sum(r["part"] == "environment" for r in report.read(path)) == 2
    store.close()
    again.close()


def test_goals_are_geometric_means_of_what_was_right() -> None:
    def kernel(ratio: float, status: str = "ok") -> report.Result:
        more = {"family": "conv forward", "bytes": 1.0, "against torch": ratio}
        return result(case=f"conv {ratio}", status=status, **more)  # type: ignore[arg-type]

    goal = next(g for g in report.GOALS if g.name == "conv forward / cuDNN")
    found = goal.ratios([kernel(0.5), kernel(2.0), kernel(9.0, "wrong"), result(family="reduce", bytes=1.0)])
    assert found == [0.5, 2.0] and report.geometric(found) == pytest.approx(1.0)
    large = next(g for g in report.GOALS if g.name.startswith("elementwise"))
    rows = [{"family": "elementwise", "bytes": b, "of copy": 0.9} for b in (1e6, 1e9)]
    assert len(large.ratios([result(**r) for r in rows])) == 1  # type: ignore[arg-type]
    step = next(g for g in report.GOALS if g.name == "LSGAN step / torch eager")
    assert step.ratios([result("steps", net="lsgan28", ratios={"torch eager": 5.0})]) == [5.0]
    assert report.goals([kernel(0.8)]).row_count == len(report.GOALS)


def test_steps_report_who_failed_and_go_on() -> None:
    found = steps.measure("lsgan28", INTERPRETER, None, "ieee", rounds=1, steps=1, seconds=0.0, before=1)
    assert found["status"] == "ok" and set(found["figures"]) == {"trigrad captured", "trigrad eager"}
    assert found["ratios"].keys() == {"trigrad eager"}


def test_steps_of_both_kinds_are_the_same() -> None:
    assert steps.same_bits("lsgan28", INTERPRETER, "ieee", True, 1) == []


def test_options() -> None:
    options = command.parse(["--full", "--only", "conv*"])
    assert options.device == "cuda" and options.minutes > 1e5
    assert command.parse([]).minutes == 8 and command.parse(["--dry-run"]).device == "interpreter"
    assert command.deadline(command.parse(["--minutes", "1"]), "rest") == pytest.approx(time.monotonic() + 60, abs=1)
    named = [name for part, name, _ in command.everything(options)]
    assert named and all("conv" in name for name in named)
    core, full = (
        [name for part, name, _ in command.everything(command.parse(arguments)) if part == "kernels"]
        for arguments in ([], ["--full"])
    )
    assert set(core) < set(full) and full[: len(core)] == core


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(Path(tg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_dry_run_of_some_of_every_part(tmp_path: Path) -> None:
    only = [
        "row relu",
        "trap wide rows",
        "add bfloat16 2^6",
        "conv forward tf32 lsgan D2",
        "steps lsgan28 tf32",
        "graph launch",
    ]
    arguments = ["--dry-run", "--no-torch", "--out", str(tmp_path), "--only", *only]
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert lines[0]["part"] == "environment" and lines[0]["trigrad"] == tg.__version__ and "numpy" in lines[0]
    assert {r["status"] for r in lines} == {"ok"}
    assert {r["part"] for r in lines} == {"environment", "checks", "ceilings", "kernels", "steps", "rest"}
    count = sum(r["part"] != "environment" for r in lines)
    again = run(*arguments, "--resume", str(path))
    assert again.returncode == 0, again.stdout + again.stderr
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert sum(r["part"] != "environment" for r in lines) == count


def test_without_a_gpu_it_says_so() -> None:
    if tg.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run("--only", "row relu")
    assert done.returncode == 2 and "no GPU can be used here" in done.stderr


def test_the_blocks_of_gpu_md() -> None:
    """The code that docs/gpu.md shows runs, in the order in which it stands there."""
    text = (ROOT / "docs" / "gpu.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {"__name__": "gpu_md"}
    for block in blocks:
        exec(compile(block, "docs/gpu.md", "exec"), names)
    names["once"]("interpreter")  # type: ignore[operator]
    for pattern in re.findall(r"python -m benchmarks\.gpu ([^\n#]*)", text):
        command.parse(shlex.split(pattern.replace("FILE", "f.jsonl")))
