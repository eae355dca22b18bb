"""Does the score at initialisation say which networks train? Fits its coefficients, and holds it against others.

    python benchmarks/trainability.py fit RECORDS... ZOO         the table of doctor/trainers.py
    python benchmarks/trainability.py validate RECORDS... ZOO    cross-validated, beside single figures
    python benchmarks/trainability.py score RECORDS... ZOO       the score as it is, on networks it has not seen

RECORDS are files of labelled networks, one JSON object a line: ``config`` rebuilds the network, ``outcome.trains`` says
whether training passed the rule. ZOO is the Python file whose ``build(config)`` and ``batch(config)`` make the network
and its batch. A fold holds all networks of one activation, norm and initialisation, so that none is scored by its kin.
With ``--trainer sgd`` RECORDS are those of ``relabel.py``.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import zoo_file
from scipy.optimize import minimize
from scipy.stats import rankdata

from leadline import Profile, diagnose, profile
from leadline.doctor.trainable import most_log_odds, trainable
from leadline.doctor.trainable_mechanisms import Mechanism, measure
from leadline.doctor.trainers import ADAM, TRAINERS

RIDGE = 5e-4
FOLDS, REPEATS = 8, 10
BORDER = 0.7, 1.4  # best losses near the limit of 1, which another order of the data may put on its other side

Figures = dict[str, float] | None


def fit(
    figures: list[Figures], trains: np.ndarray, mechanisms: tuple[Mechanism, ...] = ADAM.mechanisms
) -> tuple[float, tuple[Mechanism, ...]]:
    """Log odds of the usual network, and the mechanisms; networks without figures (``None``) are left out."""
    rows = [(row, label) for row, label in zip(figures, trains, strict=True) if row is not None]
    label = np.array([label for _, label in rows], dtype=float)
    blank = [_knots(each, [row[each.figure] for row, label in rows if label]) for each in mechanisms]
    usual = np.array([x for each in blank for x in each.excesses(each.knots[1])])
    costs = np.array([[x for each in blank for x in each.excesses(row[each.figure])] for row, _ in rows]) - usual

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = weights[0] - costs @ weights[1:]
        error = 1 / (1 + np.exp(-odds)) - label
        value = np.mean(np.logaddexp(0, odds) - label * odds) + RIDGE / 2 * weights[1:] @ weights[1:]
        return float(value), np.concatenate([[error.mean()], -costs.T @ error / len(error) + RIDGE * weights[1:]])

    start = np.full(1 + costs.shape[1], 0.3)
    best = minimize(loss, start, jac=True, bounds=[(None, None)] + [(0, None)] * costs.shape[1]).x
    pairs = best[1:].reshape(-1, 2)
    return float(best[0]), tuple(
        replace(each, weights=(float(a), float(b))) for each, (a, b) in zip(blank, pairs, strict=True)
    )


def _knots(mechanism: Mechanism, values: list[float]) -> Mechanism:
    low, quarter, middle, three_quarters, high = (float(x) for x in np.percentile(values, [5, 25, 50, 75, 95]))
    return replace(
        mechanism,
        knots=(low if mechanism.harm > 0 else high, middle),
        scale=max(three_quarters - quarter, 0.05),
        weights=(0.0, 0.0),
    )


def odds_of(figures: Figures, usual: float, mechanisms: tuple[Mechanism, ...]) -> float:
    return -math.inf if figures is None else usual + sum(m.contribution(figures[m.figure]) for m in mechanisms)


def figures_of(measured: Profile) -> Figures:
    """The figures, or ``None`` where ``trainable`` needs none to say 0."""
    return None if any(math.isinf(x) for x in trainable(measured).evidence.values()) else measure(measured)


def area(score: np.ndarray, trains: np.ndarray) -> float:
    """Area under the ROC curve: how often a network that trains is ranked above one that does not."""
    ranks = rankdata(np.nan_to_num(score, neginf=-1e9, posinf=1e9))
    positive = int(trains.sum())
    return float((ranks[trains].sum() - positive * (positive + 1) / 2) / (positive * (len(trains) - positive)))


def calibration_error(probability: np.ndarray, trains: np.ndarray, bins: int = 10) -> float:
    """Mean distance between stated and seen frequency over bins of equal count."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    return float(sum(len(i) * abs(probability[i].mean() - trains[i].mean()) for i in parts) / len(trains))


def _summary(name: str, odds: np.ndarray, trains: np.ndarray) -> str:
    probability = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
    accuracy = ((probability > 0.5) == trains).mean()
    error = calibration_error(probability, trains)
    return f"{name:42s} {area(odds, trains):7.4f} {accuracy:9.3f} {error:12.3f}"


def _layers(measured: Profile, metric: str) -> list[float]:
    return [x for x in (getattr(layer, metric) for layer in measured.layers) if not math.isnan(x)]


def _logs(measured: Profile) -> list[float]:
    return [math.log10(min(max(x, 1e-38), 1e38)) for x in _layers(measured, "weight_grad_norm")] or [38.0]


BASELINES: dict[str, Callable[[Profile], float]] = {
    "max |log10 weight gradient| of a layer": lambda p: -max(abs(x) for x in _logs(p)),
    "spread of log10 weight gradient": lambda p: min(_logs(p)) - max(_logs(p)),
    "participation ratio of the last layer": lambda p: (_layers(p, "participation_ratio") or [0.0])[-1],
    "logit scale": lambda p: -abs(math.log10(min(max((_layers(p, "rms") or [0.0])[-1], 1e-38), 1e38))),
}


def validate(
    profiles: list[Profile],
    figures: list[Figures],
    trains: np.ndarray,
    kin: list[str],
    mechanisms: tuple[Mechanism, ...],
) -> None:
    names = sorted(set(kin))
    group = np.array([names.index(each) for each in kin])
    rng, repeats = np.random.default_rng(0), []
    for _ in range(REPEATS):
        fold = rng.permutation(np.arange(len(names)) % FOLDS)[group]
        odds = np.empty(len(trains))
        for k in range(FOLDS):
            inside = [row for row, f in zip(figures, fold, strict=True) if f != k]
            usual, fitted = fit(inside, trains[fold != k], mechanisms)
            odds[fold == k] = [odds_of(figures[i], usual, fitted) for i in np.flatnonzero(fold == k)]
        repeats.append(odds)
    areas = [area(odds, trains) for odds in repeats]
    _header(len(trains), trains)
    odds = np.mean(repeats, axis=0)
    print(_summary(f"mechanisms, {FOLDS} folds of unseen kinds", odds, trains))
    print(_summary("  and what limits leave at most", np.minimum(odds, _most(profiles)), trains))
    print(f"{'  one repeat of ' + str(REPEATS):42s} {np.mean(areas):7.4f} ± {np.std(areas):.4f}")
    _baselines(profiles, trains)


def _most(profiles: list[Profile]) -> np.ndarray:
    """The log odds that each network has at most, by its findings and the size of its gradients."""
    limits = [[most for _, most in most_log_odds(each, diagnose(each).findings)] for each in profiles]
    return np.array([min(each, default=math.inf) for each in limits])


def _header(count: int, trains: np.ndarray) -> None:
    print(f"{count} networks, {int(trains.sum())} train\n{'':42s} {'area':>7s} {'accuracy':>9s} {'calibration':>12s}")


def _baselines(profiles: list[Profile], trains: np.ndarray) -> None:
    for name, baseline in BASELINES.items():
        print(f"{name:42s} {area(np.array([baseline(p) for p in profiles]), trains):7.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["fit", "validate", "score"])
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--trainer", choices=TRAINERS, default="adam")
    args = parser.parse_args()
    trainer = TRAINERS[args.trainer]
    torch.set_num_threads(1)
    zoo = zoo_file.loaded(args.zoo)
    records = [json.loads(line) for path in args.records for line in path.read_text().splitlines()]
    profiles = [profile(zoo.build(r["config"]), *zoo.batch(r["config"])) for r in records]
    trains = np.array([r["outcome"]["trains"] for r in records])
    figures = [figures_of(p) for p in profiles]
    if args.command == "fit":
        usual, mechanisms = fit(figures, trains, trainer.mechanisms)
        print(f"usual={usual:.3f},")
        for m in mechanisms:
            knots, weights = (tuple(round(x, 3) for x in pair) for pair in (m.knots, m.weights))
            print(f"Mechanism(name={m.name!r}, harmful={m.harmful!r}, unit={m.unit!r},")
            print(f"          figure={m.figure!r}, harm={m.harm}, knots={knots},")
            print(f"          scale={m.scale:.3f}, weights={weights}),")
    elif args.command == "validate":
        kin = [" ".join(str(r["config"][key]) for key in ("activation", "norm", "init")) for r in records]
        validate(profiles, figures, trains, kin, trainer.mechanisms)
    else:
        _header(len(trains), trains)
        odds = np.array([odds_of(row, trainer.usual, trainer.mechanisms) for row in figures])
        print(_summary("mechanisms as they are", odds, trains))
        odds = np.minimum(odds, _most(profiles))
        print(_summary("score, with what limits leave at most", odds, trains))
        best = np.array([np.inf if r["outcome"]["best"] is None else r["outcome"]["best"] for r in records])
        clear = (best < BORDER[0]) | (best > BORDER[1])
        print(_summary(f"  of the {clear.sum()} away from the border", odds[clear], trains[clear]))
        _baselines(profiles, trains)


if __name__ == "__main__":
    main()
