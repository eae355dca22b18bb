"""Does a diagnosis name a planted fault and its place? At least 300 single faults, and healthy networks of many kinds.

    python benchmarks/planted_faults.py [--count 320] [--seed 0] [--json OUT] [--case INDEX]

Faults of some twenty kinds (``planted_kinds.py``) are planted in perceptrons, ResNets, GPTs and ViTs of random design
(``planted_models.py``), at random places and of random strength; what is true of each is fixed beforehand. The right
code is found where an error or a warning has it, not a note; the right layer where such a finding stands at the planted
module, at a module around it or inside it, or at the layer before or after in order of execution. Healthy networks
(``healthy_models.py``, and a quarter as many drawn as those with faults) must have no error. ``--case`` shows one case.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timing  # noqa: F401 (one thread)
from healthy_models import HEALTHY, healthy
from planted_kinds import KINDS, Planted
from planted_models import LAST, MAPS, draw, widen
from rich.console import Console
from rich.progress import track
from rich.table import Table

import leadline
from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline.doctor.layers import layer_of

CELLS = list(KINDS)


def case(index: int, seed: int) -> Planted:
    """The fault number ``index``: kinds and families take turns."""
    kind, family = CELLS[index % len(CELLS)]
    return KINDS[kind, family](family, random.Random(f"{seed}/{index}"))


def diagnosed(planted: Planted) -> Diagnosis:
    return leadline.diagnose(leadline.profile(planted.net.model, planted.net.inputs, planted.net.targets))


def roots(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.severity != "note"]


def is_there(profile: Profile, finding: Finding, place: str) -> bool:
    """Whether the finding stands at the module ``place``, around it, inside it, or at the layer before or after."""
    if not place or not finding.layer:
        return place == finding.layer
    if _holds(place, finding.layer) or _holds(finding.layer, place):
        return True
    order = [layer.name for layer in profile.layers]
    at, own = finding.layer, layer_of(profile, place)
    return at in order and own in order and abs(order.index(at) - order.index(own)) <= 1


def _holds(outer: str, inner: str) -> bool:
    return f"{inner}.".startswith(f"{outer}.")


def outcome(index: int, seed: int) -> dict[str, Any]:
    """What was planted, and whether it was found."""
    planted = case(index, seed)
    diagnosis = diagnosed(planted)
    found = roots(diagnosis)
    right = [finding for finding in found if finding.code in planted.codes]
    kind, family = CELLS[index % len(CELLS)]
    return {
        "index": index,
        "seed": seed,
        "kind": kind,
        "family": family,
        "net": str(planted.net),
        "what": planted.what,
        "codes": sorted(planted.codes),
        "code": bool(right),
        "layer": any(is_there(diagnosis.profile, f, place) for f in right for place in planted.places),
        "first": bool(found) and found[0].code in planted.codes,
        "findings": [f"{f.severity} {f.code} at {f.layer or 'the batch'}: {f.message}" for f in diagnosis.findings],
        "roots": len(found),
    }


def table(results: list[dict[str, Any]]) -> Table:
    """Planted, right code, right layer, for every kind and family."""
    shown = Table("fault", "family", title=f"{len(results)} planted faults", title_justify="left")
    for name in ("planted", "right code", "right layer"):
        shown.add_column(name, justify="right")
    counts = {key: Counter[tuple[str, str]]() for key in ("planted", "code", "layer")}
    for result in results:
        cell = result["kind"], result["family"]
        for key, counted in counts.items():
            counted[cell] += 1 if key == "planted" else result[key]
    before = ""
    for kind, family in sorted(counts["planted"], key=CELLS.index):
        shown.add_row(kind if kind != before else "", family, *(str(c[kind, family]) for c in counts.values()))
        before = kind
    totals = [counted.total() for counted in counts.values()]
    shares = [str(totals[0]), *(f"{each} ({each / max(totals[0], 1):.1%})" for each in totals[1:])]
    shown.add_section()
    shown.add_row("all", "", *shares)
    return shown


def told(result: dict[str, Any]) -> Iterator[str]:
    wrong = "layer" if result["code"] else "code"
    yield f"missed the {wrong}: case {result['index']} of seed {result['seed']}: {result['kind']}, {result['what']}"
    yield f"  in {result['net']}; true would be {' or '.join(result['codes'])}; found:"
    yield from (f"    {each}" for each in result["findings"] or ["nothing"])


def healthy_errors(seed: int) -> dict[str, list[str]]:
    """Error-level findings of every healthy network by its name."""
    found = {}
    for name in track(HEALTHY, description="healthy", transient=True):
        with seeded(seed):  # some draw as they run
            found[name] = _errors(leadline.diagnose(leadline.profile(*healthy(name, seed))))
    return found


def drawn_errors(seed: int, count: int) -> dict[str, list[str]]:
    """The same of networks drawn as those that faults are planted in."""
    found = {}
    for i in track(range(count), description="without a fault", transient=True):
        rng, family = random.Random(f"{seed}/healthy/{i}"), list(MAPS)[i % len(MAPS)]
        net = draw(family, rng)
        net = widen(net, rng) if family in LAST else net
        found[f"{i}: {net}"] = _errors(leadline.diagnose(leadline.profile(net.model, net.inputs, net.targets)))
    return found


def _errors(diagnosis: Diagnosis) -> list[str]:
    return [f"{f.code} at {f.layer}: {f.message}" for f in diagnosis.findings if f.severity == "error"]


def show(index: int, seed: int) -> None:
    planted = case(index, seed)
    print(f"{planted.what}\n{planted.net}\nplaces {planted.places}, codes {sorted(planted.codes)}")
    diagnosis = diagnosed(planted)
    print(diagnosis.profile, diagnosis, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", type=int)
    args = parser.parse_args()
    if args.case is not None:
        return show(args.case, args.seed)
    results = [outcome(i, args.seed) for i in track(range(args.count), description="planted", transient=True)]
    errors, drawn = healthy_errors(args.seed), drawn_errors(args.seed, args.count // 4)
    console = Console(width=max(Console().width, 120), highlight=False, markup=False)
    console.print(table(results))
    for result in results:
        if not (result["code"] and result["layer"]):
            console.print("\n".join(told(result)), soft_wrap=True)
    for what, each in (("healthy architectures", errors), ("drawn networks without a fault", drawn)):
        wrong = {name: found for name, found in each.items() if found}
        console.print(f"{len(each)} {what}, {len(wrong)} with an error")
        for name, found in wrong.items():
            console.print("\n".join([f"  {name}:", *(f"    {line}" for line in found)]), soft_wrap=True)
    first = sum(result["first"] for result in results) / max(len(results), 1)
    many = sum(result["roots"] for result in results) / max(len(results), 1)
    console.print(f"The first finding has a right code in {first:.1%}; {many:.2f} errors and warnings a fault.")
    if args.json:
        args.json.write_text(json.dumps({"planted": results, "healthy": errors, "drawn": drawn}, indent=1))


if __name__ == "__main__":
    main()
