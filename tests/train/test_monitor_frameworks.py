"""Monitors in a real training of Lightning, transformers and Accelerate, and with a real writer of TensorBoard."""

import numpy as np
import pytest
import torch
from torch import nn

from leadline.train import LightningMonitor, Monitor, TrainerMonitor

pytestmark = pytest.mark.engines


@pytest.fixture(autouse=True)
def _generators_come_back(_global_rng_unchanged):
    # The Trainers seed the global generators; their states are put back before the test is checked.
    before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()
    yield
    torch.set_rng_state(before_torch)
    np.random.set_state(before_numpy)


def _net(generator: torch.Generator) -> nn.Sequential:
    layers = [nn.utils.skip_init(nn.Linear, 6, 8), nn.ReLU(), nn.utils.skip_init(nn.Linear, 8, 1)]
    with torch.no_grad():
        for layer in (layers[0], layers[2]):
            layer.weight.normal_(generator=generator).div_(layer.in_features**0.5)
            layer.bias.zero_()
    return nn.Sequential(*layers)


def _no_hooks(model: nn.Module) -> bool:
    return not any(module._forward_hooks for module in model.modules())


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::DeprecationWarning:lightning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec")
def test_lightning(tmp_path, generator: torch.Generator):
    from lightning.pytorch import LightningModule, Trainer
    from torch.utils.data import DataLoader

    class Module(LightningModule):
        def __init__(self, net: nn.Module):
            super().__init__()
            self.net = net

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            return self.net(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    x = torch.randn(32, 6, generator=generator)
    module, callback = Module(_net(generator)), LightningMonitor(every=2)
    first = module.net[0](x[:8]).square().mean().sqrt().item()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, callbacks=[callback], gradient_clip_val=1e-3,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(x, batch_size=8))
    readings = callback.monitor.readings
    assert [reading.step for reading in readings] == [0, 2]
    assert readings[0].layers["net.0"]["rms"] == pytest.approx(first, rel=1e-5)
    assert readings[0].totals["grad_norm"] > 1e-2  # not the clipped one
    assert _no_hooks(module)


@pytest.mark.parametrize("clip", [0.0, 1e-6])
def test_trainer_of_transformers(clip: float, tmp_path, generator: torch.Generator):
    from transformers import Trainer, TrainingArguments

    class Model(nn.Module):
        def __init__(self, net: nn.Module):
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor):
            return {"loss": self.net(x).square().mean()}

    x = torch.randn(32, 6, generator=generator)
    model, callback = Model(_net(generator)), TrainerMonitor(every=2)
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True,
        dataloader_pin_memory=False, max_grad_norm=clip,
    )  # fmt: skip
    Trainer(model=model, args=args, train_dataset=[{"x": row} for row in x], callbacks=[callback]).train()
    readings = callback.monitor.readings
    assert [reading.step for reading in readings] == [0, 2]
    row = readings[0].layers["net.0"]
    assert row["norm"] / row["rms"] == pytest.approx((2 * 4 * 8) ** 0.5)  # two micro-batches of four, eight units
    assert readings[0].totals["grad_norm"] > 1e-2  # not the clipped one
    assert _no_hooks(model)


def test_accelerate(generator: torch.Generator):
    from accelerate import Accelerator

    x = torch.randn(16, 6, generator=generator)
    accelerator = Accelerator(cpu=True)
    net = _net(generator)
    model, optimiser = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.01))
    with Monitor(model, every=2) as monitor:
        for _ in range(3):
            optimiser.zero_grad()
            loss = model(x).square().mean()
            accelerator.backward(loss)
            monitor.step(loss)
            optimiser.step()
    assert [reading.step for reading in monitor.readings] == [0, 2]
    assert monitor.readings[1].totals["loss"] == pytest.approx(loss.item())
    assert _no_hooks(net)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:google")
def test_tensorboard_reads_what_was_written(tmp_path, generator: torch.Generator):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    model = _net(generator)
    with SummaryWriter(str(tmp_path)) as writer, Monitor(model, every=1, log=writer) as monitor:
        for _ in range(2):
            model(torch.randn(8, 6, generator=generator)).square().mean().backward()
            monitor.step()
    board = EventAccumulator(str(tmp_path)).Reload()
    events = board.Scalars("leadline/grad_norm")
    assert [event.step for event in events] == [0, 1]
    assert [event.value for event in events] == pytest.approx([r.totals["grad_norm"] for r in monitor.readings])
