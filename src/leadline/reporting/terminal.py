"""A diagnosis in the terminal: the table of layers, the rates, the findings, and the verdict as the last lines."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.profile import Profile
from leadline._core.rates import Rate
from leadline.reporting import words
from leadline.reporting.terminal_layers import MARKS, STYLES, layer_table, left_out
from leadline.reporting.terminal_table import Column, fitted_table, printable

_FINDINGS = 12


def summary(
    diagnosis: Diagnosis, *, width: int, title: str = "", also: Sequence[RenderableType] = ()
) -> RenderableType:
    """Everything that a reader at a terminal needs; the verdict last, so that it is what stays on the screen.

    Args:
        diagnosis: What to show.
        width: Columns of the terminal; no line is longer.
        title: What was checked; the class of the model where empty.
        also: Further tables, shown before the findings.

    Returns:
        Something that a console of ``rich`` prints.

    Example:
        >>> from rich.console import Console
        >>> from leadline import DepthLimit, LayerProfile
        >>> layer = LayerProfile(name="fc", kind="Linear", depth=0, metrics={"rms": 0.5})
        >>> limit = DepthLimit(estimate=40, low=30, high=50, mechanism="gradients leave float32")
        >>> profile = Profile(layers=(layer,), model="Net", batch=16)
        >>> healthy = Diagnosis(profile=profile, trainable=0.9, depth_limit=limit)
        >>> Console(width=70).print(summary(healthy, width=70))
        Net
        1 layer, batch of 16, train mode, float32 on cpu
        <BLANKLINE>
        #  layer  kind      rms
        0  fc     Linear  0.500
        <BLANKLINE>
        The design carries about 40 layers (30 to 50); this network has 1.
        What gives out first: gradients leave float32.
        This network will probably train (0.90).
        ✓ Healthy: no findings.
    """
    blocks = [_headline(diagnosis.profile, title), layer_table(diagnosis, width=width)]
    blocks += [rates_table(diagnosis, width=width)] if diagnosis.rates else []
    blocks += also
    shown = diagnosis.findings[:_FINDINGS]
    for i, finding in enumerate(shown):
        above = any(finding.remedies == earlier.remedies for earlier in shown[:i])
        blocks.append(finding_text(finding, remedies_above=above))
    if len(diagnosis.findings) > _FINDINGS:
        blocks.append(left_out(len(diagnosis.findings) - _FINDINGS, "findings"))
    return Group(*(Group(block, Text()) for block in blocks), verdict(diagnosis))


def rates_table(diagnosis: Diagnosis, *, width: int) -> RenderableType:
    """How fast each quantity moves along the chain, in decades per layer, beside what theory says of it."""
    theory = {prediction.metric: prediction.rate for prediction in diagnosis.predictions}
    names, rates = list(diagnosis.rates), list(diagnosis.rates.values())
    columns = [
        Column(
            header=f"decades per {diagnosis.profile.unit}",
            cells=[name.replace("_", " ") for name in names],
            justify="left",
            importance=4,
        ),
        Column(header="measured", cells=[_signed(rate.estimate) for rate in rates], importance=3),
        Column(header="95 % interval", cells=[_interval(rate) for rate in rates], importance=1),
        Column(header="theory", cells=[_signed(theory.get(name, math.nan)) for name in names], importance=2),
    ]
    return fitted_table(columns, width=width)


def finding_text(finding: Finding, *, remedies_above: bool = False) -> RenderableType:
    """A finding: its code and layer, what was measured, what theory expects, and what to do.

    Args:
        finding: What to show.
        remedies_above: Whether the same remedies stand above already.
    """
    head = Text.assemble(
        (f"{MARKS[finding.severity]} {finding.severity}  {finding.code}", STYLES[finding.severity]),
        (f"  {printable(finding.layer)}" if finding.layer else "", "bold"),
    )
    told = finding.expected in finding.message
    facts = [] if told else [("theory", finding.expected)]
    if finding.remedies and remedies_above:
        facts.append(("try", "the same as above"))
    else:
        facts += [("or" if i else "try", remedy.text) for i, remedy in enumerate(finding.remedies)]
    facts += [("source", str(finding.source))] if finding.source else []
    body = Group(Text(printable(finding.message)), *([_beside(facts)] if facts else []))
    return Group(head, Padding.indent(body, 2))


def verdict(diagnosis: Diagnosis) -> RenderableType:
    """How deep the design goes, whether the network will train, and what stands in the way."""
    profile = diagnosis.profile
    depth = words.depth_sentence(
        diagnosis.depth_limit, len(profile.chain), unit=profile.unit, faulty=not diagnosis.healthy
    )
    told = diagnosis.trainable_rule and not math.isnan(diagnosis.trainable)
    rule = f" The run in question: {diagnosis.trainable_rule.rstrip('.')}." if told else ""
    chance = " ".join(filter(None, (words.verdict(diagnosis), words.caveat(diagnosis))))
    return Group(Text(depth), Text.assemble(chance, (rule, "dim")), _conclusion(diagnosis))


def _conclusion(diagnosis: Diagnosis) -> Text:
    """The last line: healthy or not, and which codes at which layers say so."""
    grave = [f for f in diagnosis.findings if f.severity == "error"]
    grave = grave or [f for f in diagnosis.findings if f.severity == "warning"]
    if not grave and words.will_not_train(diagnosis.trainable):
        told = any(f.code == "hard-to-train" for f in diagnosis.findings)
        why = "no single layer is at fault." if told else "no rule says why it would not train."
        return Text(f"! {words.tally(diagnosis).capitalize()}: {why}", style=STYLES["warning"])
    if not grave:
        return Text(f"✓ Healthy: {words.tally(diagnosis)}.", style="bold green")
    where = [f"{f.code} at {printable(f.layer)}" if f.layer else f.code for f in grave[:3]]
    more = f" and {len(grave) - 3} more" if len(grave) > 3 else ""
    mark, style = MARKS[grave[0].severity], STYLES[grave[0].severity]
    return Text(f"{mark} {words.tally(diagnosis).capitalize()}: {', '.join(where)}{more}.", style=style)


def _headline(profile: Profile, title: str) -> RenderableType:
    layers = words.count(len(profile.layers), "layer")
    about = f"{layers}, batch of {profile.batch}, {profile.mode} mode, {profile.dtype} on {profile.device}"
    return Group(Text(printable(title or profile.model), style="bold"), _dim(about))


def _beside(facts: Sequence[tuple[str, str]]) -> RenderableType:
    """Labels with their texts beside them, each text wrapped under itself."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in facts:
        grid.add_row(label, Text(printable(text)))
    return grid


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def _interval(rate: Rate) -> str:
    return f"{_signed(rate.low)} to {_signed(rate.high)}" if math.isfinite(rate.low + rate.high) else ""


def _dim(text: str) -> Text:
    return Text(text, style="dim")
