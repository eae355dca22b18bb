"""Monitors of training: their numbers, their findings, and that they leave no trace."""

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from leadline._core.errors import UsageError
from leadline.train import Monitor, Reading
from leadline.train.monitoring.findings import findings


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(generator=generator).div_(inputs**0.5)
        layer.bias.zero_()
    return layer


def _net(generator: torch.Generator) -> nn.Sequential:
    return nn.Sequential(
        _linear(6, 8, generator), nn.ReLU(), _linear(8, 8, generator), nn.Tanh(), _linear(8, 3, generator)
    )


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def _same(a: Reading, b: Reading, *, relative: float = 1e-5) -> None:
    assert list(a.layers) == list(b.layers)
    for path, row in a.layers.items():
        assert row.keys() == b.layers[path].keys()
        for metric, value in row.items():
            assert b.layers[path][metric] == pytest.approx(value, rel=relative, abs=1e-6), (path, metric)
    assert a.totals["grad_norm"] == pytest.approx(b.totals["grad_norm"], rel=relative)


def test_numbers_are_those_of_their_definitions(generator: torch.Generator):
    model, x = _net(generator), torch.randn(16, 6, generator=generator)
    outputs = []
    with Monitor(model, every=1) as monitor:
        y = x
        for module in model:
            y = module(y)
            y.retain_grad()
            outputs.append(y)
        y.square().mean().backward()
        reading = monitor.step()
    assert reading is not None
    for path, out in enumerate(outputs):
        row = reading.layers[str(path)]
        z, g = out.detach().double(), out.grad.double()
        assert row["rms"] == pytest.approx(z.square().mean().sqrt().item(), rel=1e-5)
        assert row["norm"] == pytest.approx(z.norm().item(), rel=1e-5)
        assert row["grad_rms"] == pytest.approx(g.square().mean().sqrt().item(), rel=1e-5)
        assert row["distinction"] == pytest.approx(
            (1 - 16 * z.mean(0).square().sum() / z.square().sum()).item(), abs=1e-5
        )
        u = z[z.norm(dim=1) > 0]
        u = u / u.norm(dim=1, keepdim=True)
        cosine = (u @ u.T).fill_diagonal_(0).sum() / (len(u) * (len(u) - 1))
        assert row["mean_cosine"] == pytest.approx(cosine.item(), abs=1e-5)
    assert reading.layers["1"]["dead_fraction"] == (outputs[1] <= 0).all(0).double().mean().item()
    flat = (outputs[3].abs() >= 0.974679).double().mean().item()
    assert reading.layers["3"]["saturated_fraction"] == pytest.approx(flat)
    grads = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert reading.totals["grad_norm"] == pytest.approx(grads.norm().item(), rel=1e-5)
    own = torch.cat([p.grad.flatten() for p in model[2].parameters()])
    assert reading.layers["2"]["weight_grad_norm"] == pytest.approx(own.norm().item(), rel=1e-5)
    spectrum = torch.linalg.svdvals(outputs[2].detach().double()).square()
    ratio = spectrum.sum().square() / spectrum.square().sum()
    assert reading.layers["2"]["participation_ratio"] == pytest.approx(ratio.item(), rel=1e-4)


def test_micro_batches_count_as_one_batch(generator: torch.Generator):
    model, x = _net(generator), torch.randn(16, 6, generator=generator)
    with Monitor(model, every=1, spectrum_every=None) as whole:
        model(x).square().mean().backward()
        first = whole.step()
    model.zero_grad()
    with Monitor(model, every=1, spectrum_every=None) as parts:
        for part in x.split(4):
            (model(part).square().mean() / 4).backward()
        second = parts.step()
    assert first is not None and second is not None
    _same(first, second)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_do_not_count_twice(reentrant: bool, generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator).requires_grad_()
    with Monitor(model, every=1) as plain:
        model(x).square().mean().backward()
        first = plain.step()
    model.zero_grad()
    with Monitor(model, every=1) as again:
        inner = checkpoint(model[:4], x, use_reentrant=reentrant, preserve_rng_state=False)
        model[4](inner).square().mean().backward()
        second = again.step()
    assert first is not None and second is not None
    if not reentrant:
        # The outputs of non-reentrant checkpoints are in the graph itself, so all gradients are seen.
        _same(first, second)
    _same(first, second)


def test_evaluation_in_between_does_not_count(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    readings = []
    for evaluate in (False, True):
        model.zero_grad()
        with Monitor(model, every=1) as monitor:
            if evaluate:
                model.eval()
                with torch.no_grad():
                    model(100 * x)
                model.train()
            model(x).square().mean().backward()
            readings.append(monitor.step())
    _same(*readings)


def test_autocast_gives_numbers_near_those_without(generator: torch.Generator):
    model, x = _net(generator), torch.randn(32, 6, generator=generator)
    with Monitor(model, every=1) as monitor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = model(x)
        y.float().square().mean().backward()
        half = monitor.step()
        model.zero_grad()
        model(x).square().mean().backward()
        full = monitor.step()
    assert half is not None and full is not None
    assert half.layers["2"]["rms"] == pytest.approx(full.layers["2"]["rms"], rel=0.03)


def test_scale_of_the_loss_is_taken_out(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    with Monitor(model, every=1, spectrum_every=None) as monitor:
        model(x).square().mean().backward()
        plain = monitor.step()
        model.zero_grad()
        (1024 * model(x).square().mean()).backward()
        scaled = monitor.step(grad_scale=1024.0)
    assert plain is not None and scaled is not None
    _same(plain, scaled)


def test_no_hook_is_on_the_model_in_steps_between(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    seen = []
    with Monitor(model, every=3) as monitor:
        for _ in range(7):
            seen.append(_hooks(model))
            model(x).sum().backward()
            monitor.step()
    assert [count > 0 for count in seen] == [True, False, False, True, False, False, True]
    assert [reading.step for reading in monitor.readings] == [0, 3, 6]
    assert _hooks(model) == 0


def test_hooks_are_gone_after_an_exception(generator: torch.Generator):
    model = _net(generator)
    with pytest.raises(ZeroDivisionError), Monitor(model, every=1):
        assert _hooks(model) > 0
        raise ZeroDivisionError
    assert _hooks(model) == 0


def test_training_is_bit_identical(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    twin = copy.deepcopy(model)
    with Monitor(model, every=2, spectrum_every=1) as monitor:
        for _ in range(5):
            for net in (model, twin):
                net.zero_grad()
                net(x).square().mean().backward()
            monitor.step()
            assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
            with torch.no_grad():
                for p in (*model.parameters(), *twin.parameters()):
                    p.sub_(0.1 * p.grad)
    assert torch.equal(model(x), twin(x))


def test_spectra_come_on_some_of_the_monitored_steps(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    with Monitor(model, every=1, spectrum_every=2) as monitor:
        for _ in range(4):
            model(x).sum().backward()
            monitor.step()
    assert ["effective_rank" in reading.layers["0"] for reading in monitor.readings] == [True, False, True, False]


def test_compiled_layers_are_told_and_parameters_measured(generator: torch.Generator):
    model = _net(generator)
    model[2].compile(backend="eager")
    with Monitor(model, every=1) as monitor:
        model[0](torch.ones(4, 6)).sum().backward()
        reading = monitor.step()
    assert reading is not None
    assert reading.blind.startswith("1 of 5 layers are compiled")
    assert reading.totals["grad_norm"] > 0


def test_dead_units_are_found_once_and_handed_on(generator: torch.Generator):
    model = _net(generator)
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    heard = []
    with Monitor(model, every=1, on_finding=heard.append) as monitor:
        for _ in range(2):
            model(torch.randn(8, 6, generator=generator)).square().mean().backward()
            monitor.step()
    dead = [finding for finding in heard if finding.code == "dead-units"]
    assert [(f.layer, f.evidence["step"], f.evidence["dead_fraction"]) for f in dead] == [("1", 0, 1.0)]
    assert heard == monitor.findings


def test_a_healthy_net_has_no_findings(generator: torch.Generator):
    model = nn.Sequential(_linear(6, 32, generator), nn.ReLU(), _linear(32, 4, generator))
    with Monitor(model, every=1) as monitor:
        model(torch.randn(64, 6, generator=generator)).square().mean().backward()
        monitor.step()
    assert monitor.findings == []


def test_rows_that_are_alike_are_found(generator: torch.Generator):
    model = _net(generator)
    with Monitor(model, every=1) as monitor:
        model(torch.randn(1, 6, generator=generator).repeat(8, 1)).square().mean().backward()
        monitor.step()
    assert {"rank-collapse", "aligned-gradients"} <= {finding.code for finding in monitor.findings}


def test_infinite_values_name_the_first_layer(generator: torch.Generator):
    model = _net(generator)
    with torch.no_grad():
        model[2].weight[0, 0] = math.nan
    with Monitor(model, every=1) as monitor:
        model(torch.randn(8, 6, generator=generator).abs()).square().mean().backward()
        monitor.step()
    assert next(f.layer for f in monitor.findings if f.code == "nonfinite") == "2"


def _history(losses: list[float]) -> list[Reading]:
    return [Reading(step=10 * i, totals={"loss": loss}) for i, loss in enumerate(losses)]


def test_growth_of_the_loss_forecasts_divergence():
    *before, last = _history([math.exp(0.05 * 10 * i) for i in range(8)])
    found = next(f for f in findings(last, before) if f.severity == "warning")
    assert found.code == "overflow-risk"
    assert found.evidence["nats_per_step"] == pytest.approx(0.05)
    assert found.evidence["steps_left"] == pytest.approx((math.log(3e38) - 3.5) / 0.05)


def test_a_loss_that_falls_or_wavers_forecasts_nothing():
    for losses in ([2.0 - 0.1 * i for i in range(8)], [3.0, 25.0] * 4, [1.0 + 0.1 * i for i in range(8)]):
        *before, last = _history(losses)
        assert list(findings(last, before)) == []


def test_update_ratio_is_of_the_last_step_before(generator: torch.Generator):
    model, x = _net(generator), torch.randn(8, 6, generator=generator)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    changes = []
    with Monitor(model, every=2, spectrum_every=None, updates=True) as monitor:
        for _ in range(5):
            optimiser.zero_grad()
            model(x).square().mean().backward()
            monitor.step()
            before = copy.deepcopy(model[2].weight.detach()), copy.deepcopy(model[2].bias.detach())
            optimiser.step()
            square = sum((new - old).square().sum() for new, old in zip(model[2].parameters(), before, strict=True))
            weight = sum(p.square().sum() for p in model[2].parameters())
            changes.append((square / weight).sqrt().item())
    ratios = [reading.layers["2"].get("update_ratio") for reading in monitor.readings]
    assert ratios == [None, pytest.approx(changes[1], rel=1e-5), pytest.approx(changes[3], rel=1e-5)]
    assert "update_ratio" not in monitor.readings[0].totals and monitor.readings[1].totals["update_ratio"] > 0


def test_gradients_before_clipping_are_those_of_the_whole_accumulation(generator: torch.Generator):
    model, x = _net(generator), torch.randn(16, 6, generator=generator)
    readings = []
    for after in (False, True):
        model.zero_grad()
        with Monitor(model, every=1, spectrum_every=None, after_clipping=after) as monitor:
            for part in x.split(4):
                (model(part).square().mean() / 4).backward()
            if after:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-6)
            readings.append(monitor.step())
    _same(*readings)
    assert readings[0].totals["grad_norm"] > 1e-3
    assert not any(p._backward_hooks for p in model.parameters())


def test_growth_of_the_loss_does_not_silence_that_of_gradients(generator: torch.Generator):
    model = nn.Sequential(_linear(6, 4, generator))
    x = torch.randn(8, 6, generator=generator)
    with Monitor(model, every=1, spectrum_every=None) as monitor:
        for _ in range(10):
            model.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            monitor.step(loss)
            with torch.no_grad():
                for p in model.parameters():
                    p.mul_(1.5)
    risks = [finding.evidence["metric"] for finding in monitor.findings if finding.code == "overflow-risk"]
    assert risks == ["risen loss", "loss", "grad_norm"]


def test_a_loss_ten_times_that_of_the_start_is_an_error():
    for losses, codes in (([2.0, 19.0], []), ([2.0, 21.0], ["overflow-risk"]), ([0.0, 1.0], []), ([-1.0, 5.0], [])):
        *before, last = _history(losses)
        assert [f.code for f in findings(last, before) if f.severity == "error"] == codes


def test_gradients_apart_by_more_than_the_limit_are_found():
    for first, code in ((1e7, "gradient-explosion"), (1e-7, "gradient-vanishing"), (1e5, None)):
        layers = {"a": {"rms": 1.0, "grad_rms": first}, "b": {"rms": 1.0, "grad_rms": 1.0}}
        assert [f.code for f in findings(Reading(step=0, layers=layers), [])] == ([code] if code else [])


def test_logs_hold_the_scalars(tmp_path, generator: torch.Generator):
    class Board:
        def __init__(self):
            self.got = {}

        def add_scalar(self, name, value, step):
            self.got[name, step] = value

    board, rows = Board(), []
    logs = (tmp_path / "a.jsonl", tmp_path / "a.csv", rows.append, board)
    for log in logs:
        model = _net(generator)
        with Monitor(model, every=1, log=log) as monitor:
            for _ in range(2):
                loss = model(torch.randn(8, 6, generator=generator)).square().mean()
                loss.backward()
                monitor.step(loss)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1] and "loss" in lines[0]
    table = (tmp_path / "a.csv").read_text().splitlines()
    assert table[0] == "step,name,value" and any(line.startswith("1,grad_norm,") for line in table)
    assert rows[1]["step"] == 1 and rows[1]["rms_max"] > 0
    assert board.got["leadline/grad_norm", 1] == monitor.readings[1].totals["grad_norm"]


def test_wrong_calls_say_what_to_do(generator: torch.Generator):
    model = _net(generator)
    with pytest.raises(UsageError, match="every must be at least 1, got 0"):
        Monitor(model, every=0)
    with pytest.raises(UsageError, match="must end in .csv or .jsonl, got 'a.txt'"):
        Monitor(model, log="a.txt")
    with pytest.raises(UsageError, match="not attached"):
        Monitor(model).step()


@pytest.mark.slow
def test_the_callback_of_transformers_measures_and_leaves(generator: torch.Generator):
    from leadline.train import TrainerMonitor

    model = _net(generator)
    callback = TrainerMonitor(every=1)
    callback.on_train_begin(None, None, None, model=model)
    model(torch.randn(8, 6, generator=generator)).square().mean().backward()
    callback.on_pre_optimizer_step(None, None, None, model=model)
    callback.on_train_end(None, None, None, model=model)
    assert [reading.step for reading in callback.monitor.readings] == [0]
    assert _hooks(model) == 0
