"""Learning rate schedules against PyTorch's, over 50 steps, with a save and a new start on the way."""

import copy
import warnings

import pytest

import trigrad as tg

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")


class Fading:
    def __init__(self):
        self.rate = 0.9

    def __call__(self, epoch):
        self.rate *= 0.99
        return self.rate


CASES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda e: 0.95**e, Fading()]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, Fading()),
    "step": lambda s, o: s.StepLR(o, 7, gamma=0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [3, 10, 10, 30], gamma=0.5),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=9),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=20),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=30, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 13, eta_min=0.001),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2, eta_min=0.001),
    "restarts, equal": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
    "chained cosine": lambda s, o: s.ChainedScheduler([s.CosineAnnealingLR(o, 20), s.LinearLR(o)]),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.StepLR(o, 4), s.CosineAnnealingWarmRestarts(o, 6)], [5, 20]
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.2], step_size_up=6, step_size_down=3),
    "cyclic, halved": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.1, step_size_up=4, mode="triangular2"),
    "cyclic, fading": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=5, mode="exp_range", gamma=0.97, cycle_momentum=False
    ),
    "cyclic, function": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "onecycle": lambda s, o: s.OneCycleLR(o, [0.1, 0.2], total_steps=60),
    "onecycle, three": lambda s, o: s.OneCycleLR(
        o, 0.1, epochs=10, steps_per_epoch=6, three_phase=True, anneal_strategy="linear"
    ),
    "swa": lambda s, o: _swa(s).SWALR(o, swa_lr=[0.05, 0.01], anneal_epochs=12),
    "swa, linear": lambda s, o: _swa(s).SWALR(o, swa_lr=0.05, anneal_epochs=0, anneal_strategy="linear"),
}


def _swa(s):
    return tg.optim.swa_utils if s is tg.optim.lr_scheduler else torch.optim.swa_utils


def both(kind):
    a, b = tg.nn.Parameter([1.0]), tg.nn.Parameter([1.0])
    c, d = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    options = {"lr": 0.1, "momentum": 0.9} if kind == "SGD" else {"lr": 0.1}
    return (
        getattr(tg.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.3}], **options),
        getattr(torch.optim, kind)([{"params": [c]}, {"params": [d], "lr": 0.3}], **options),
    )


def told(optimizer):
    return [
        v
        for g in optimizer.param_groups
        for v in (g["lr"], g.get("momentum", 0.0), *(g.get("betas") or ()), g.get("initial_lr", 0.0))
    ]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_schedule(make, kind):
    ours, theirs = both(kind)
    mine, other = make(tg.optim.lr_scheduler, ours), make(torch.optim.lr_scheduler, theirs)
    assert told(ours) == pytest.approx(told(theirs), rel=1e-12)
    for step in range(50):
        if step == 25:  # saved and begun anew
            kept, state = copy.deepcopy(mine.state_dict()), ours.state_dict()
            ours, _ = both(kind)
            mine = make(tg.optim.lr_scheduler, ours)
            ours.load_state_dict(state)
            mine.load_state_dict(kept)
        ours.step()
        theirs.step()
        mine.step()
        other.step()
        assert told(ours) == pytest.approx(told(theirs), rel=1e-9, abs=1e-15), step
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-9, abs=1e-15)
        assert getattr(mine, "last_epoch", 0) == getattr(other, "last_epoch", 0)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "mode": "max", "cooldown": 2, "factor": 0.5},
        {"patience": 0, "threshold_mode": "abs", "threshold": 0.1, "min_lr": [0.01, 0.02]},
        {"patience": 0, "eps": 0.02, "factor": 0.5},
    ],
)
def test_plateau(options):
    ours, theirs = both("SGD")
    mine = tg.optim.lr_scheduler.ReduceLROnPlateau(ours, **options)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for step in range(50):
        metric = [3.0, 2.0, 2.5, 2.0, 1.99999, 1.5, float("nan"), 1.7, 1.45][step % 9]
        if step == 20:
            kept = mine.state_dict()
            mine = tg.optim.lr_scheduler.ReduceLROnPlateau(ours, **options)
            mine.load_state_dict(kept)
        mine.step(tg.tensor(metric))
        other.step(metric)
        assert told(ours) == pytest.approx(told(theirs), rel=1e-12), step
        assert (mine.num_bad_epochs, mine.in_cooldown) == (other.num_bad_epochs, other.in_cooldown)


@pytest.mark.parametrize(
    "name, options",
    [
        ("StepLR", {"step_size": 3}),
        ("CosineAnnealingLR", {"T_max": 9}),
        ("LinearLR", {}),
        ("ExponentialLR", {"gamma": 0.9}),
    ],
)
def test_going_on_at_an_epoch(name, options):
    ours, theirs = both("SGD")
    for optimizer in (ours, theirs):
        for group in optimizer.param_groups:
            group["initial_lr"] = 0.4
    mine = getattr(tg.optim.lr_scheduler, name)(ours, **options, last_epoch=4)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, **options, last_epoch=4)
    for _ in range(6):
        ours.step()
        theirs.step()
        mine.step()
        other.step()
        assert told(ours) == pytest.approx(told(theirs), rel=1e-12)


def test_warnings_and_errors():
    ours, _ = both("SGD")
    schedule = tg.optim.lr_scheduler
    mine = schedule.StepLR(ours, 2)
    with pytest.warns(UserWarning, match="before optimizer.step"):
        mine.step()
    with pytest.warns(UserWarning, match="going away"):
        mine.step(4)
    assert ours.param_groups[0]["lr"] == pytest.approx(0.001)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine.step()
    rprop = tg.optim.Rprop([tg.nn.Parameter([1.0])])
    for call, kind, message in [
        (lambda: schedule.StepLR(tg.nn.Parameter([1.0]), 2), TypeError, "StepLR: expected an Optimizer, got Parameter"),
        (lambda: schedule.StepLR(rprop, 2, last_epoch=3), KeyError, "'initial_lr' must be in group 0"),
        (
            lambda: schedule.LambdaLR(ours, [abs]),
            ValueError,
            "LambdaLR: lr_lambda: expected 2 values, one per group, got 1",
        ),
        (lambda: schedule.LambdaLR(ours, 3), TypeError, "LambdaLR: expected functions of the epoch, got int"),
        (lambda: schedule.ConstantLR(ours, 2.0), ValueError, "expected a factor in"),
        (lambda: schedule.LinearLR(ours, 0.0), ValueError, "expected a start_factor in"),
        (lambda: schedule.LinearLR(ours, end_factor=2.0), ValueError, "expected an end_factor in"),
        (lambda: schedule.CosineAnnealingWarmRestarts(ours, 0), ValueError, "expected T_0"),
        (lambda: schedule.CosineAnnealingWarmRestarts(ours, 1, 0), ValueError, "expected T_mult"),
        (lambda: schedule.CosineAnnealingWarmRestarts(ours, 1).step(-1), ValueError, "expected an epoch >= 0"),
        (lambda: schedule.CyclicLR(rprop, 0.1, 0.2), ValueError, "Rprop has neither momentum nor betas"),
        (lambda: schedule.CyclicLR(ours, 0.1, 0.2, mode="up"), ValueError, "or a scale_fn, got 'up'"),
        (lambda: schedule.OneCycleLR(ours, 0.1), ValueError, "expected total_steps, or both"),
        (lambda: schedule.OneCycleLR(ours, 0.1, 0), ValueError, "expected total_steps, an integer"),
        (lambda: schedule.OneCycleLR(ours, 0.1, 9, pct_start=2), ValueError, "expected pct_start"),
        (lambda: schedule.OneCycleLR(ours, 0.1, 9, anneal_strategy="up"), ValueError, "'cos' or 'linear', got 'up'"),
        (lambda: schedule.ChainedScheduler([]), ValueError, "at least one scheduler"),
        (lambda: schedule.SequentialLR(ours, [mine], [3]), ValueError, "1 schedulers need 0 milestones, got 1"),
        (lambda: schedule.SequentialLR(rprop, [mine], []), ValueError, "belongs to another optimizer"),
        (lambda: schedule.ChainedScheduler([schedule.ReduceLROnPlateau(ours)]), ValueError, "needs a metric"),
        (lambda: schedule.ReduceLROnPlateau(ours, "up"), ValueError, "expected mode 'min' or 'max', got 'up'"),
        (lambda: schedule.ReduceLROnPlateau(ours, factor=1.0), ValueError, "expected a factor below 1"),
    ]:
        with pytest.raises(kind, match=message):
            call()
    ours.step()
    short = schedule.OneCycleLR(ours, 0.1, 3)
    with pytest.raises(ValueError, match="step 4 of a cycle of 3 steps"):
        for _ in range(5):
            short.step()


def test_a_chain_within_a_sequence():
    ours, _ = both("SGD")
    s = tg.optim.lr_scheduler
    chain = s.ChainedScheduler([s.ConstantLR(ours, 0.5, 2), s.ExponentialLR(ours, 0.5)])
    mine = s.SequentialLR(ours, [chain, s.ExponentialLR(ours, 0.1)], [3])
    found = [mine.get_last_lr()[0]]
    for _ in range(4):
        ours.step()
        mine.step()
        found.append(mine.get_last_lr()[0])
    assert found == pytest.approx([0.05, 0.025, 0.025, 0.1, 0.01])
