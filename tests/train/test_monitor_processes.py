"""Two processes measure what one does on the whole batch."""

import json
import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from leadline.train import Monitor


def _net() -> nn.Sequential:
    own = torch.Generator().manual_seed(5)
    layers = []
    for inputs, outputs in ((6, 8), (8, 8), (8, 3)):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
        with torch.no_grad():
            layer.weight.normal_(generator=own).div_(inputs**0.5)
            layer.bias.normal_(generator=own)
        layers += [layer, nn.ReLU() if len(layers) == 0 else nn.Tanh()]
    return nn.Sequential(*layers)


def _measure(model: nn.Module, x: torch.Tensor, *, clip: bool = False) -> dict:
    with Monitor(model, every=1, spectrum_every=None, after_clipping=clip) as monitor:
        loss = model(x).square().mean()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-4)
        reading = monitor.step(loss)
    return {"layers": reading.layers, "totals": reading.totals}


def _batch() -> torch.Tensor:
    return torch.randn(16, 6, generator=torch.Generator().manual_seed(6))


def _work(rank: int, kind: str, clip: bool, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        model = _net()
        if kind == "ddp":
            model = nn.parallel.DistributedDataParallel(model)
        else:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh("cpu", (2,))
            for layer in model:
                if isinstance(layer, nn.Linear):
                    fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
        found = _measure(model, _batch()[8 * rank : 8 * rank + 8], clip=clip)
        with open(f"{folder}/{rank}.json", "w") as file:
            json.dump(found, file)
        dist.barrier()
    finally:
        dist.destroy_process_group()
    os._exit(0)  # under DDP gloo's threads outlive the group, and one that ends with the interpreter may abort it


@pytest.mark.engines
@pytest.mark.parametrize(("kind", "clip"), [("ddp", False), ("ddp", True), ("fsdp2", False), ("fsdp2", True)])
def test_two_processes_measure_what_one_does(kind: str, clip: bool, tmp_path):
    mp.spawn(_work, args=(kind, clip, str(tmp_path)), nprocs=2)
    one = _measure(_net(), _batch())
    for rank in range(2):
        two = json.loads((tmp_path / f"{rank}.json").read_text())
        assert two["layers"].keys() == one["layers"].keys()
        for path, row in one["layers"].items():
            assert two["layers"][path].keys() == row.keys()
            for metric, value in row.items():
                assert two["layers"][path][metric] == pytest.approx(value, rel=1e-5, abs=1e-6), (path, metric)
        assert two["totals"] == pytest.approx(one["totals"], rel=1e-5)
