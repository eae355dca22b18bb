"""Does the score at initialisation predict training better than what people use now?

    python benchmarks/rivals.py --fit FIT... --on TEST... --zoo ZOO [--json OUT] [--cache DIR]

FIT, TEST and ZOO are as in ``trainability.py``. What has to be fitted is fitted on FIT; all methods rank the networks
of TEST. ``leadline, refitted`` is the score with coefficients from FIT alone, as those that are shipped may have seen
TEST; ``--lead`` sets it against the others. A score whose extremes may both be bad is also tried as −|score − median of
the networks of FIT that train|; the better on FIT is marked. Where a theory does not speak of a network, it gets the
median score of FIT. A second table leaves out one kind of network of FIT at a time, fits on the rest and ranks those
left out. The cache keeps what was measured: after a change of a method it has to be removed.
"""

import argparse
import functools
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
import zoo_file
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rivals_scores import PROFILE_RIVALS, RIVALS, Network, figures
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import make_pipeline
from trainability import BORDER, area, figures_of, fit, odds_of

from leadline import diagnose, profile
from leadline.doctor.trainable import most_log_odds

RESAMPLES = 2000
WIDTH = 150
LEADS = "leadline", "leadline, refitted"
KINDS = "norm", "init", "activation"

Record = dict[str, Any]


class Measured(NamedTuple):
    value: Any
    seconds: float


# Measuring: every network once by every method, kept in a file as it goes.


def profiled(network: Network) -> dict[str, Any]:
    """All that rests on one profile: the score, its figures and limits, and the rivals' own."""
    measured = profile(network.model, *network.batch())
    found = diagnose(measured)
    return {
        "leadline": found.trainable,
        "mechanisms": figures_of(measured),
        "most": min((most for _, most in most_log_odds(measured, found.findings)), default=math.inf),
        "figures": figures(measured),
        **{name: score(measured) for name, score in PROFILE_RIVALS.items()},
    }


METHODS: dict[str, Callable[[Network], Any]] = {
    "profile": profiled,
    **{rival.name: rival.measure for rival in RIVALS},
}
# It has nothing to fit, and takes long.
ONLY_ON_TEST = {"10 Adam steps at 3 rates"}


def measured(
    records: list[Record], methods: set[str], zoo: ModuleType, cache: Path | None, title: str
) -> list[dict[str, Measured]]:
    """Method -> value and seconds for each record; what the cache has is not measured again."""
    known: dict[str, dict[str, Measured]] = defaultdict(dict)
    for line in cache.read_text().splitlines() if cache and cache.exists() else ():
        key, values = json.loads(line)
        known[key].update({name: Measured(*pair) for name, pair in values.items()})
    rows = []
    for record in track(records, title):
        key = json.dumps(record["config"], sort_keys=True)
        network = Network(record["config"], zoo)
        new = {name: _timed(METHODS[name], network) for name in METHODS if name in methods - known[key].keys()}
        known[key].update(new)
        rows.append(known[key])
        if cache and new:
            with cache.open("a") as file:
                file.write(json.dumps([key, new]) + "\n")
    return rows


def _timed(method: Callable[[Network], Any], network: Network) -> Measured:
    start = time.perf_counter()
    value = method(network)
    return Measured(value, time.perf_counter() - start)


# Scoring: one number a network, fitted where there is something to fit.


@dataclass(frozen=True)
class Labelled:
    """Labelled networks and what was measured of them."""

    records: list[Record]
    rows: list[dict[str, Measured]]

    @property
    def trains(self) -> np.ndarray:
        return np.array([record["outcome"]["trains"] for record in self.records])

    @property
    def clear(self) -> np.ndarray:
        """Whether the best loss is away from the border."""
        best = [record["outcome"]["best"] for record in self.records]
        return np.array([x is None or not BORDER[0] <= x <= BORDER[1] for x in best])

    @property
    def configs(self) -> list[Record]:
        return [{key: x for key, x in r["config"].items() if key != "seed"} for r in self.records]

    def values(self, name: str) -> list[Any]:
        return [row[name].value if name in METHODS else row["profile"].value[name] for row in self.rows]

    def seconds(self, name: str) -> float:
        return fmean(row[name if name in METHODS else "profile"].seconds for row in self.rows)

    def scores(self, name: str, unknown: float = math.nan) -> np.ndarray:
        """One score a network, ``unknown`` where there is none; what is not finite is the worst."""
        raw = np.array([unknown if x is None else x for x in self.values(name)], dtype=float)
        return np.where(np.isfinite(raw), raw, -np.inf)

    def part(self, chosen: np.ndarray) -> "Labelled":
        indices = np.flatnonzero(chosen)
        return Labelled([self.records[i] for i in indices], [self.rows[i] for i in indices])


def refitted(known: Labelled, new: Labelled) -> np.ndarray:
    """Probabilities of the score's form with coefficients fitted to ``known``."""
    usual, mechanisms = fit(known.values("mechanisms"), known.trains)
    odds = [odds_of(row, usual, mechanisms) for row in new.values("mechanisms")]
    return 1 / (1 + np.exp(-np.clip(np.minimum(odds, new.values("most")), -700, 700)))


def _boosting() -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=200, learning_rate=0.05, subsample=0.7, random_state=0)


def boosted_config(known: Labelled, new: Labelled) -> np.ndarray:
    """Probabilities of boosted trees on family, depth, width, activation, norm, initialisation, gain and skip."""
    model = make_pipeline(DictVectorizer(sparse=False), _boosting()).fit(known.configs, known.trains)
    return model.predict_proba(new.configs)[:, 1]


def boosted_figures(known: Labelled, new: Labelled) -> np.ndarray:
    """Probabilities of boosted trees on 24 figures of the profile."""
    return _boosting().fit(known.values("figures"), known.trains).predict_proba(new.values("figures"))[:, 1]


FITTED: dict[str, Callable[[Labelled, Labelled], np.ndarray]] = {
    "leadline, refitted": refitted,
    "boosted trees on the config": boosted_config,
    "boosted trees on 24 figures": boosted_figures,
}


@dataclass(frozen=True, eq=False)
class Method:
    """A method's scores of the networks of TEST."""

    name: str
    scores: np.ndarray
    seconds: float
    probability: bool = False
    form: str = ""


def methods_of(known: Labelled, new: Labelled) -> list[Method]:
    """Every method on ``new``, leadline's first."""
    methods = [Method("leadline", new.scores("leadline"), new.seconds("profile"), probability=True)]
    for name, score in FITTED.items():
        seconds = 0.0 if name == "boosted trees on the config" else new.seconds("profile")
        methods.append(Method(name, score(known, new), seconds, probability=True))
    methods += [Method(name, new.scores(name), new.seconds(name)) for name in PROFILE_RIVALS]
    for rival in RIVALS:
        if rival.sided:
            methods += two_sided(rival.name, known, new)
        else:
            methods.append(
                Method(rival.name, new.scores(rival.name, _usual(rival.name, known)), new.seconds(rival.name))
            )
    return methods


def two_sided(name: str, known: Labelled, new: Labelled) -> list[Method]:
    """The score as it is and its nearness to the middle, −|score − median of those that train|; best on FIT marked."""
    middle = _finite_median(known.scores(name)[known.trains])
    forms = {"raw": lambda x: x, "nearness to the middle": lambda x: -np.abs(x - middle)}
    best = max(forms, key=lambda form: area(forms[form](known.scores(name)), known.trains))
    return [
        Method(name, shape(new.scores(name)), new.seconds(name), form=f"{form} ✓" if form == best else form)
        for form, shape in forms.items()
    ]


def _usual(name: str, known: Labelled) -> float:
    return _finite_median(known.scores(name)) if name not in ONLY_ON_TEST else math.nan


def _finite_median(scores: np.ndarray) -> float:
    return float(np.median(scores[np.isfinite(scores)]))


# Judging: areas with the interval of the difference, and kinds that a fit has not seen.


def judged(methods: list[Method], new: Labelled, lead: str) -> list[dict[str, Any]]:
    """A row a method, sorted by area, with the 95 % interval of the area of ``lead`` less its own."""
    draws = np.random.default_rng(0).integers(len(new.trains), size=(RESAMPLES, len(new.trains)))
    draws = [i for i in draws if 0 < new.trains[i].sum() < len(i)]
    resampled = {each: _areas(each.scores, new.trains, draws) for each in track(methods, "bootstrap")}
    first = next(each for each in methods if each.name == lead)
    rows = []
    for method, areas in resampled.items():
        low, high = np.percentile(resampled[first] - areas, [2.5, 97.5])
        rows.append(
            {
                "method": method.name,
                "form": method.form,
                "area": area(method.scores, new.trains),
                "area_clear": area(method.scores[new.clear], new.trains[new.clear]),
                "accuracy": float(((method.scores > 0.5) == new.trains).mean()) if method.probability else None,
                "difference": area(first.scores, new.trains) - area(method.scores, new.trains),
                "interval": (float(low), float(high)),
                "seconds": method.seconds,
            }
        )
    return sorted(rows, key=lambda row: -row["area"])


def _areas(scores: np.ndarray, trains: np.ndarray, draws: list[np.ndarray]) -> np.ndarray:
    return np.array([area(scores[i], trains[i]) for i in draws])


def unseen(known: Labelled) -> list[dict[str, Any]]:
    """Areas on the networks of one norm, initialisation or activation, of fits that have seen none of it."""
    rows = []
    for key, kind in [(key, x) for key in KINDS for x in sorted({c[key] for c in known.configs})]:
        out = np.array([config[key] == kind for config in known.configs])
        rest, left = known.part(~out), known.part(out)
        if not 0 < left.trains.sum() < len(left.records) or rest.trains.all() or not rest.trains.any():
            continue
        scores = {name: score(rest, left) for name, score in FITTED.items()}
        scores |= {name: left.scores(name) for name in list(PROFILE_RIVALS)[:1]}
        areas = {name: area(score, left.trains) for name, score in scores.items()}
        rows.append({"of": key, "left_out": kind, "networks": len(left.records), "areas": areas})
    return rows


# Printing.


def comparison(rows: list[dict[str, Any]], new: Labelled, lead: str) -> Table:
    title = f"{len(new.records)} networks, {new.trains.sum()} train; {new.clear.sum()} away from the border"
    table = Table(title=title, caption="✓ chosen on FIT; paired bootstrap 95 % intervals over networks")
    for name in ("method", "form"):
        table.add_column(name, no_wrap=True)
    for name in ("area", "clear", "accuracy", f"{lead} − method", "s/network"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        low, high = row["interval"]
        table.add_row(
            row["method"],
            row["form"],
            f"{row['area']:.4f}",
            f"{row['area_clear']:.4f}",
            "" if row["accuracy"] is None else f"{row['accuracy']:.3f}",
            "" if row["method"] == lead else f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]",
            f"{row['seconds']:.3f}",
        )
    return table


def kinds_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Areas on the kind of network that was left out of the fit")
    for name in ("left out", "networks", *rows[0]["areas"]):
        table.add_column(name, justify="left" if name == "left out" else "right")
    for key in KINDS:
        of = [row for row in rows if row["of"] == key]
        for row in of:
            cells = [f"{x:.3f}" for x in row["areas"].values()]
            table.add_row(f"{key} {row['left_out']}", str(row["networks"]), *cells)
        if of:
            means = [fmean(row["areas"][name] for row in of) for name in of[0]["areas"]]
            table.add_row(f"mean over {key}", "", *(f"{x:.3f}" for x in means), style="bold", end_section=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", nargs="+", type=Path, required=True)
    parser.add_argument("--on", nargs="+", type=Path, required=True)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--lead", choices=LEADS, default=LEADS[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    for paths in (args.fit, args.on):
        if len({record["outcome"]["trains"] for record in _read(paths)}) < 2:
            parser.error(f"{', '.join(map(str, paths))}: an area needs networks that train and some that do not.")
    torch.set_num_threads(1)
    zoo = zoo_file.loaded(args.zoo)
    vars(zoo)["digits"] = functools.cache(zoo.digits)  # reading them again is no part of a method's time
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    cache = args.cache and args.cache / "measured.jsonl"
    known, new = (
        Labelled(records, measured(records, methods, zoo, cache, title))
        for records, methods, title in (
            (_read(args.fit), METHODS.keys() - ONLY_ON_TEST, "fit"),
            (_read(args.on), set(METHODS), "on"),
        )
    )
    rows, kinds = judged(methods_of(known, new), new, args.lead), unseen(known)
    console = Console(width=max(Console().width, WIDTH))
    console.print(comparison(rows, new, args.lead))
    if kinds:
        console.print(kinds_table(kinds))
    if args.json:
        args.json.write_text(
            json.dumps({"networks": len(new.records), "lead": args.lead, "methods": rows, "unseen": kinds}, indent=1)
        )


def _read(paths: list[Path]) -> list[Record]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
