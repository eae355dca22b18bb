"""What a profile costs beside one training step, and beside the naive way: singular values of every leaf's output.

    python benchmarks/profile_cost.py [--rounds 9] [--json FILE]

CPU time of one thread; the three are run in turn and the medians divided, so that a busy machine does not matter.
A step is forward, backward and SGD. The naive way is a step with ``svdvals`` of the output of every leaf module, and
nothing of gradients; a profile has some ninety numbers of every layer, half of them of gradients.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import leadline

Workload = tuple[nn.Module, Any, Tensor | None]


class Layer(nn.Sequential):
    """Linear, batch norm, ReLU: MLP50 with a class for its layers."""

    def __init__(self, inputs: int, width: int):
        super().__init__(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU())


def mlp50(*, blocks: bool) -> Workload:
    layers = [Layer(784 if i == 0 else 256, 256) for i in range(50)]
    body = layers if blocks else [module for layer in layers for module in layer]
    return nn.Sequential(*body, nn.Linear(256, 10)), torch.randn(128, 784), torch.randint(0, 10, (128,))


class BasicBlock(nn.Module):
    """As in torchvision, with activations that do not work in place."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet-18 as torchvision has it: a 7x7 stem with stride 2 and a pooling, then four stages."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class ResNet18Cifar(ResNet18):
    """The same with the stem for small images: 3x3, stride 1, no pooling; maps are 16 times larger."""

    def __init__(self):
        super().__init__()
        self.conv1, self.maxpool, self.fc = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity(), nn.Linear(512, 10)


def resnet18(model: type[ResNet18]) -> Workload:
    return model(), torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))


def gpt() -> Workload:
    from transformers import GPT2Config, GPT2LMHeadModel

    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=1000, n_positions=64, n_embd=256, n_layer=6, n_head=4, **ends))
    ids = torch.randint(0, 1000, (4, 64))
    return model.train(), {"input_ids": ids, "labels": ids}, None


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "MLP50 flat": lambda: mlp50(blocks=False),
    "MLP50 blocks": lambda: mlp50(blocks=True),
    "ResNet-18": lambda: resnet18(ResNet18),
    "ResNet-18 CIFAR stem": lambda: resnet18(ResNet18Cifar),
    "GPT 6x256": gpt,
}


def step(model: nn.Module, inputs: Any, targets: Tensor | None, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss = model(**inputs).loss if isinstance(inputs, dict) else F.cross_entropy(model(inputs), targets)
    loss.backward()
    optimiser.step()


def naive(model: nn.Module, inputs: Any, targets: Tensor | None, optimiser: torch.optim.Optimizer) -> None:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            rows = output.detach()
            torch.linalg.svdvals(rows.flatten(0, -2) if rows.ndim == 3 else rows.flatten(1))

    handles = [m.register_forward_hook(hook) for m in model.modules() if not list(m.children())]
    step(model, inputs, targets, optimiser)
    for handle in handles:
        handle.remove()


def measured(name: str, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of a step, a profile and a naive step, run in turn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs, targets = WORKLOADS[name]()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    runs: dict[str, Callable[[], object]] = {
        "step": lambda: step(model, inputs, targets, optimiser),
        "profile": lambda: leadline.profile(model, inputs, targets),
        "naive": lambda: naive(model, inputs, targets, optimiser),
    }
    times: dict[str, list[float]] = {key: [] for key in runs}
    for i in range(rounds + 1):
        for key, run in runs.items():
            began = time.process_time()
            run()
            if i:  # the first round warms up
                times[key].append(1e3 * (time.process_time() - began))
    return {key: statistics.median(values) for key, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    print(f"{'':22}{'step ms':>9}{'profile':>9}{'naive':>8}   (profile and naive in steps)")
    for name in args.names or WORKLOADS:
        ms = measured(name, args.rounds)
        profile, naive = (ms[what] / ms["step"] for what in ("profile", "naive"))
        results[name] = {"step_ms": ms["step"], "profile": profile, "naive": naive}
        print(f"{name:22}{ms['step']:9.1f}{profile:9.2f}{naive:8.2f}", flush=True)
    if args.json:
        machine = {"torch": str(torch.__version__), "python": platform.python_version(), "machine": platform.machine()}
        args.json.write_text(json.dumps({"environment": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
