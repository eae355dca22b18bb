"""Do repaired networks train? Repairs networks that were trained and failed, and trains them again by the same rule.

    python benchmarks/repair.py failures RECORDS ZOO OUT    the networks that did not train, after `repair`
    python benchmarks/repair.py trainers RECORDS ZOO OUT    a random sample of those that did: none may stop
    python benchmarks/repair.py summary OUT                 the shares, from what was written so far
    python benchmarks/repair.py speed                       beside the package `lsuv` 0.3.0, where it is installed

RECORDS is a file of labelled networks, one JSON object a line; ZOO the Python file whose ``build(config)`` makes the
network, whose ``batch(config)`` its batch, and whose training loop made the labels. OUT is a file of JSON lines that is
appended to: what is in it is not trained again. Learning rates are tried until one learns.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import timing  # first: it sets the number of threads
import torch
import zoo_file
from short_training import final_loss
from torch import nn
from torch.nn import functional as F

import leadline
from leadline._core.randomness import seeded

RATES = (1e-3, 1e-2, 1e-4)


def train(zoo: ModuleType, model: nn.Module, config: dict[str, Any], rate: float) -> float:
    """The zoo's own loop on a model that is already built: the mean loss of the last 20 steps."""
    optimiser = torch.optim.Adam(model.parameters(), rate)
    seed = config["seed"] + 1
    return final_loss(model, optimiser, zoo.digits(), seed=seed, steps=zoo.STEPS, batch=zoo.BATCH)


def outcome(zoo: ModuleType, record: dict[str, Any], recipe: str) -> dict[str, Any]:
    """Repair, then train at one rate after another until one learns; every rate starts from the same repair."""
    config, finals, made = record["config"], {}, None
    for rate in RATES:
        model = zoo.build(config)
        made = leadline.repair(model, *zoo.batch(config), recipe=recipe)
        if made.outcome in ("healthy", "unchanged"):
            return {**record, "repair": _words(made), "finals": {}, "trains": record["outcome"]["trains"]}
        finals[str(rate)] = train(zoo, model, config, rate)
        if finals[str(rate)] < 1.0:
            break
    assert made is not None
    return {**record, "repair": _words(made), "finals": finals, "trains": min(finals.values()) < 1.0}


def _words(made: leadline.Repair) -> dict[str, Any]:
    tried = [(each.recipe, round(each.trainable, 4), list(each.findings)) for each in made.attempts]
    return {"recipe": made.recipe, "outcome": made.outcome, "swaps": made.swaps, "attempts": tried}


def evaluate(args: argparse.Namespace) -> None:
    zoo = zoo_file.loaded(args.zoo)
    records = [json.loads(line) for line in args.records.read_text().splitlines()]
    chosen = [r for r in records if r["outcome"]["trains"] == (args.command == "trainers")]
    if args.command == "trainers":
        random.Random(0).shuffle(chosen)
    done = {json.dumps(r["config"]) for r in _lines(args.out)}
    for record in chosen[: args.limit]:
        if json.dumps(record["config"]) in done:
            continue
        result = outcome(zoo, record, args.recipe)
        with args.out.open("a") as out:
            out.write(json.dumps(result) + "\n")
    summary(args)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def summary(args: argparse.Namespace) -> None:
    results = list(_lines(args.out))
    for trained, title in ((False, "did not train"), (True, "trained")):
        those = [r for r in results if r["outcome"]["trains"] is trained]
        if not those:
            continue
        train_now = sum(r["trains"] for r in those)
        print(f"{len(those)} networks that {title}: {train_now} train after it ({train_now / len(those):.1%})")
        print(f"  by recipe: {dict(Counter(r['repair']['recipe'] or 'left alone' for r in those))}")
        print(f"  modules swapped in {sum(r['repair']['swaps'] for r in those)}")
        for r in those:
            if not r["trains"]:
                config = " ".join(str(value) for value in r["config"].values())
                best = r["outcome"]["best"]
                print(f"  does not: {config}; best loss {best} before, {r['finals']} after, {r['repair']['attempts']}")


def speed() -> None:
    """CPU time of a repair beside the package that does the unit variance alone."""
    from lsuv.lsuvinit import LSUVinit  # pyright: ignore[reportMissingImports]

    for name, make in {"MLP of 50 layers": _deep_mlp, "ResNet-18": _resnet18}.items():

        def theirs(make: Any = make) -> None:
            model, x, _ = make()
            with seeded(0):
                LSUVinit(model, x, verbose=False)

        def ours(recipe: str, make: Any = make) -> None:
            leadline.repair(*make(), recipe=recipe)

        variants = {
            "lsuv 0.3.0": theirs,
            "repair, unit-variance": lambda: ours("unit-variance"),
            "repair, straighten": lambda: ours("straighten"),
            "repair, auto": lambda: ours("auto"),
        }
        timing.show(name, timing.side_by_side(variants, repeats=3))


def _deep_mlp() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    with seeded(0):
        body = [part for _ in range(49) for part in (nn.Linear(256, 256), nn.ReLU())]
        net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), *body, nn.Linear(256, 10))
        return net, torch.randn(128, 784), torch.randint(10, (128,))


class _Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def _resnet18() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The ImageNet ResNet-18 without norms and with weights four times too large, so that it needs a repair."""
    with seeded(0):
        blocks = [
            _Basic(64 * 2 ** max(0, stage - (place == 0)), 64 * 2**stage, 1 + (stage > 0 and place == 0))
            for stage in range(4)
            for place in range(2)
        ]
        stem = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(4 if parameter.ndim > 1 else 1)
        return net, torch.randn(32, 3, 32, 32), torch.randint(1000, (32,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("failures", "trainers"):
        sub = commands.add_parser(command)
        sub.add_argument("records", type=Path)
        sub.add_argument("zoo", type=Path)
        sub.add_argument("out", type=Path)
        sub.add_argument("--limit", type=int, default=None)
        sub.add_argument("--recipe", default="auto")
    commands.add_parser("summary").add_argument("out", type=Path)
    commands.add_parser("speed")
    args = parser.parse_args()
    if args.command == "speed":
        speed()
    elif args.command == "summary":
        summary(args)
    else:
        evaluate(args)


if __name__ == "__main__":
    main()
