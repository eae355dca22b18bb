"""A repair in the terminal: before and after side by side, what was changed, what remains, and the verdict last."""

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.losses import settled
from leadline._core.profile import LayerProfile, Profile
from leadline._core.repair import Attempt, Proof, Step
from leadline._core.wording import count, listed, number
from leadline.reporting import repair_words, words
from leadline.reporting.comparison import Comparison, folded
from leadline.reporting.terminal_layers import MARKS, STYLES, left_out, shown_rows
from leadline.reporting.terminal_table import Column, fitted_table, printable

_ALIKE = 3  # steps of one kind that are all shown
_KINDS = 8
_FINDINGS = 8
# Columns of the table of layers: header, metric, importance.
_METRICS = (
    ("rms", "rms", 5),
    ("rank", "participation_ratio", 3),
    ("distinct", "distinction", 1),
    ("grad", "grad_norm", 4),
    ("w grad", "weight_grad_norm", 2),
)


def repair_summary(found: Comparison, *, width: int, title: str = "", use: Sequence[str] = ()) -> RenderableType:
    """Everything that a reader at a terminal needs; the verdict last, so that it is what stays on the screen.

    Args:
        found: The repair and its two diagnoses.
        width: Columns of the terminal; no line is longer.
        title: What was repaired; the class of the model where empty.
        use: Lines of Python that make the repaired model.
    """
    repair = found.repair
    blocks = [_headline(repair.before, title or repair.model), _overview(found, width=width)]
    if repair.recipe:
        blocks += [_layers(found, width=width), _changes(found)]
    if len(repair.attempts) > 1 and (len(repair.attempts) > 2 or not repair.recipe):
        blocks.append(_attempts(repair.attempts, width=width))
    if found.gone or found.remaining:
        blocks.append(_findings(found))
    if repair.proof:
        blocks.append(_proof(repair.proof, width=width))
    if use:
        blocks.append(_section("How to use it", [Text(line) for line in use]))
    return Group(*(Group(block, Text()) for block in blocks), _verdict(found))


def _headline(profile: Profile, title: str) -> RenderableType:
    layers = count(len(profile.layers), "layer")
    about = f"{layers}, batch of {profile.batch}, {profile.mode} mode, {profile.dtype} on {profile.device}"
    return Group(Text(printable(title), style="bold"), Text(about, style="dim"))


def _overview(found: Comparison, *, width: int) -> RenderableType:
    """Scores, limits and rates of both models."""
    planned = found.repair.outcome == "planned"
    sides = {"before": found.before, "planned" if planned else "after": found.after}
    if not found.repair.recipe:
        sides = {"measured": found.before}
    rows: list[tuple[str, list[str]]] = [
        ("probability that it trains", [words.probability(side.trainable) for side in sides.values()]),
        (
            "depth it carries",
            [words.depth_of(side.depth_limit.estimate, unit=side.profile.unit) for side in sides.values()],
        ),
        ("errors and warnings", [_tally(side) for side in sides.values()]),
    ]
    for metric in found.before.rates:
        if metric in found.after.rates:
            label = f"decades of {metric.replace('_', ' ')} per {found.before.profile.unit}"
            rows.append((label, [_signed(side.rates[metric].estimate) for side in sides.values()]))
    columns = [Column(header="", cells=[label for label, _ in rows], justify="left", elastic=True, importance=2)]
    for i, name in enumerate(sides):
        columns.append(Column(header=name, cells=[cells[i] for _, cells in rows], importance=3))
    return fitted_table(columns, width=width)


def _tally(diagnosis: Diagnosis) -> str:
    severities = [finding.severity for finding in diagnosis.findings]
    return ", ".join(count(severities.count(s), s) for s in ("error", "warning") if s in severities) or "none"


def _signed(value: float) -> str:
    return number(math.nan) if math.isnan(value) else f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def _layers(found: Comparison, *, width: int) -> RenderableType:
    """One row a layer, each metric before and after in one column."""
    pairs = found.layers
    rows = [pairs[i] for i in shown_rows(len(pairs), flagged=_flagged(found, pairs))]
    names = [printable(next(side.name for side in pair if side)) for pair in rows]
    columns = [Column(header="layer", cells=names, justify="left", elastic=True, importance=9)]
    for header, metric, importance in _METRICS:
        cells = _changes_of(metric, rows)
        columns.append(Column(header=header, cells=cells, justify="left", importance=importance))
    table = fitted_table(columns, width=width)
    more = [] if len(rows) == len(pairs) else [left_out(len(pairs) - len(rows), "layers")]
    return Group(_dim("Before → after, layer by layer"), table, *more)


def _flagged(found: Comparison, pairs: Sequence[tuple[LayerProfile | None, LayerProfile | None]]) -> Mapping[int, str]:
    rows = {side.name: i for i, pair in enumerate(pairs) for side in pair if side}
    return {rows[f.layer]: f.severity for f in (*found.gone, *found.remaining) if f.layer in rows}


def _changes_of(metric: str, rows: Sequence[tuple[LayerProfile | None, LayerProfile | None]]) -> list[str]:
    """``"0.5 → 1"`` of each row, arrows below each other; empty where neither side has the metric."""
    values = [tuple("" if side is None else _value(side, metric) for side in pair) for pair in rows]
    left, right = (max((len(pair[i]) for pair in values), default=0) for i in (0, 1))
    return [f"{a or '–':>{left}} → {b or '–':<{right}}".rstrip() if a or b else "" for a, b in values]


def _value(layer: LayerProfile, metric: str) -> str:
    """The number; empty where it does not apply, ``nan`` where the layer's values are not finite."""
    value = getattr(layer, metric)
    if not math.isnan(value):
        return number(value)
    return "nan" if (layer.grad_finite_fraction if "grad" in metric else layer.finite_fraction) < 1 else ""


def _changes(found: Comparison) -> RenderableType:
    repair = found.repair
    head = "What would be changed" if repair.outcome == "planned" else "What was changed"
    groups = folded(repair.steps)
    lines: list[RenderableType] = [Text(repair_words.means(repair))]
    for group in groups[:_KINDS]:
        lines += [_item(line) for line in fold_lines(group)]
    if len(groups) > _KINDS:
        lines.append(left_out(sum(map(len, groups[_KINDS:])), "steps"))
    lines.append(Text(repair_words.change(repair)))
    return _section(head, lines)


def fold_lines(group: Sequence[Step]) -> list[str]:
    """Steps of one kind in at most three lines.

    >>> fold_lines([Step(action="scale", layer=f"fc{i}", text=f"fc{i}: weights times 2.") for i in range(9)])
    ['fc0: weights times 2.', '… 7 more like this, up to:', 'fc8: weights times 2.']
    """
    if len(group) <= _ALIKE:
        return [step.text for step in group]
    return [group[0].text, f"… {len(group) - 2} more like this, up to:", group[-1].text]


def _attempts(attempts: Sequence[Attempt], *, width: int) -> RenderableType:
    """The recipes in the order in which they were tried."""
    tried = attempts[1:]
    columns = [
        Column(header="tried", cells=[repair_words.tried(each) for each in tried], justify="left", importance=9),
        Column(header="trains", cells=["" if e.note else words.probability(e.trainable) for e in tried], importance=5),
        Column(
            header="findings then", cells=[_behind(each) for each in tried], justify="left", importance=4, elastic=True
        ),
    ]
    return fitted_table(columns, width=width, styles=["bold" if each.kept else "" for each in tried])


def _behind(attempt: Attempt) -> str:
    if attempt.note:
        return printable(attempt.note)
    codes = list(dict.fromkeys(words.partition(": ")[2] for words in attempt.findings))
    return (listed(codes) or "nothing") + (" (kept)" if attempt.kept else "")


def _findings(found: Comparison) -> RenderableType:
    gone = list(dict.fromkeys(f"{f.severity} {f.code}" for f in found.gone))
    would = found.repair.outcome == "planned"
    lines: list[RenderableType] = []
    if gone:
        lines.append(Text.assemble(("✓ would go  " if would else "✓ gone  ", "bold green"), ", ".join(gone)))
    for finding in found.remaining[:_FINDINGS]:
        lines += _remaining(finding, new=found.is_new(finding), would=would)
    if len(found.remaining) > _FINDINGS:
        lines.append(left_out(len(found.remaining) - _FINDINGS, "findings"))
    return Group(*lines)


def _remaining(finding: Finding, *, new: bool, would: bool) -> list[RenderableType]:
    how = {(True, True): "would be new", (True, False): "new", (False, True): "would remain", (False, False): "remains"}
    head = Text.assemble(
        (f"{MARKS[finding.severity]} {how[new, would]}  {finding.severity} {finding.code}", STYLES[finding.severity]),
        (f"  {printable(finding.layer)}" if finding.layer else "", "bold"),
    )
    return [head, Padding.indent(Text(printable(finding.message)), 2)]


def _proof(proof: Proof, *, width: int) -> RenderableType:
    """First and last loss of every run."""
    rates = list(dict.fromkeys(curve.learning_rate for curve in proof.curves))
    columns = [Column(header="learning rate", cells=[f"{rate:g}" for rate in rates], importance=9)]
    for side in ("before", "after"):
        of = {curve.learning_rate: curve.losses for curve in proof.curves if curve.model == side}
        cells = [_course(of.get(rate, ())) for rate in rates]
        columns.append(Column(header=f"loss {side}", cells=cells, justify="left", importance=8))
    return _section("Trained", [fitted_table(columns, width=width - 2), Text(proof.rule, style="dim")])


def _course(losses: tuple[float, ...]) -> str:
    if not losses:
        return ""
    last = f"diverged at step {len(losses)}" if not math.isfinite(settled(losses)) else number(settled(losses))
    return f"{number(losses[0]) if math.isfinite(losses[0]) else 'nan'} → {last}"


def _verdict(found: Comparison) -> RenderableType:
    repair = found.repair
    lines = [Text(note) for note in map(printable, repair.notes)]
    if chance := repair_words.chances(found):
        lines.append(Text(chance))
    if repair.proof:
        lines.append(Text(repair_words.proven(repair.proof)))
    grave = next((f.severity for f in found.remaining), None)
    style = "bold green" if grave is None else STYLES[grave]
    return Group(*lines, Text(f"{'✓' if grave is None else MARKS[grave]} {repair_words.verdict(found)}", style=style))


def _section(head: str, lines: Sequence[RenderableType]) -> RenderableType:
    return Group(Text(head, style="bold"), Padding.indent(Group(*lines), 2))


def _item(text: str) -> RenderableType:
    return Text(printable(text)) if text.startswith("…") else Text(f"{printable(text)}")


def _dim(text: str) -> Text:
    return Text(text, style="dim")
