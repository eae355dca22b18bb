"""What a reader at the terminal sees: it fits, it says where, and names are text."""

import io
import math

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from tests.cli.records import diagnosis, finding, layer

from leadline._core.diagnosis import Diagnosis, Prediction
from leadline._core.rates import Rate
from leadline._core.weights import WeightSpectrum
from leadline.doctor.coordinates import CoordinateCheck, Trend
from leadline.reporting.terminal import summary
from leadline.reporting.terminal_coordinates import coordinate_table
from leadline.reporting.terminal_table import elided, printable
from leadline.reporting.terminal_weights import weight_table


def shown(diagnosis: Diagnosis, *, width: int = 80, colour: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system="standard" if colour else None)
    console.print(summary(diagnosis, width=width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


LONG = "transformer.encoder.layers.11.attention.self_attention.output_projection"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_longer_than_the_terminal(width: int):
    layers = [layer(i, name=f"{LONG}.{i}", kind="VeryLongNameOfAModuleClass") for i in range(40)]
    text = shown(diagnosis(layers, [finding(f"{LONG}.3")]), width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_the_important_ones():
    wide, narrow = (
        next(line.split() for line in shown(diagnosis(), width=width).splitlines() if "rms" in line)
        for width in (120, 36)
    )
    assert wide == ["#", "layer", "kind", "rms", "rank", "distinct", "dead", "grad"]
    assert narrow == ["layer", "rms", "rank", "grad"]


def test_a_long_name_loses_its_middle():
    assert elided("transformer.h.11.attn.c_proj", 16) == "transfo…n.c_proj"
    assert elided("fc", 16) == "fc"


def test_wide_characters_count_twice():
    assert cell_len(elided("畳み込み層の名前", 9)) <= 9


def test_markup_and_escapes_in_names_are_text():
    named = diagnosis([layer(0, name="[bold]fc[/bold]"), layer(1, name="a\x1b[31mb")], [finding("[red]x")])
    text = shown(named)
    assert "[bold]fc[/bold]" in text
    assert "[red]x" in text
    assert "\x1b" not in text
    assert r"a\x1b[31mb" in text


def test_lines_are_joined_and_controls_escaped():
    assert printable("one\n\ttwo\x07") == "one two\\x07"


def test_a_thousand_layers_show_both_ends_the_flagged_one_and_how_many_are_left_out():
    text = shown(diagnosis(1000, [finding("fc.437")]))
    rows = [line for line in text.splitlines() if " Linear " in line]
    assert "fc.0" in rows[0]
    assert "fc.999" in rows[-1]
    assert [row for row in rows if row.startswith("✗")] == [row for row in rows if "fc.437" in row]
    assert f"… {1000 - len(rows)} more layers, see --html or --json" in text
    assert len(rows) <= 30


def test_a_finding_inside_a_block_marks_the_block():
    text = shown(diagnosis([layer(0, name="layer1.0"), layer(1, name="layer1.1")], [finding("layer1.1.conv2")]))
    marked = [line for line in text.splitlines() if line.startswith("✗") and "Linear" in line]
    assert len(marked) == 1
    assert "layer1.1" in marked[0]


def test_a_finding_is_shown_with_layer_message_theory_remedies_and_source():
    text = " ".join(shown(diagnosis(findings=[finding()]), width=200).split())
    assert "✗ error gradient-vanishing fc.3 Gradients shrink 1.70-fold per layer" in text
    assert "theory Theory expects a factor of 1.73" in text
    assert "try Use He initialisation. or Put batch norm before ReLU." in text
    assert "source He et al. 2015 (arXiv:1502.01852), section 2.2" in text


def test_the_last_line_names_the_codes_and_layers_of_the_errors():
    last = shown(diagnosis(findings=[finding(), finding("fc.1", "warning")])).splitlines()[-1]
    assert last == "✗ 1 error, 1 warning: gradient-vanishing at fc.3."


def test_without_errors_the_last_line_names_the_warnings():
    last = shown(diagnosis(findings=[finding(severity="warning"), finding(severity="note")])).splitlines()[-1]
    assert last == "! 1 warning, 1 note: gradient-vanishing at fc.3."


def test_a_network_with_notes_only_is_healthy():
    assert shown(diagnosis(findings=[finding(severity="note")], trainable=0.9)).splitlines()[-1] == "✓ Healthy: 1 note."


def test_a_network_that_will_not_train_is_not_called_healthy_for_want_of_findings():
    last = shown(diagnosis(trainable=0.1)).splitlines()[-1]
    assert last == "! No findings: no rule says why it would not train."


def test_the_trainer_is_told_in_a_sentence_where_there_is_a_score():
    text = " ".join(shown(diagnosis(trainable_rule="Adam, 9 steps"), width=200).split())
    assert "The run in question: Adam, 9 steps." in text
    assert "The run in question" not in shown(diagnosis(trainable=math.nan, trainable_rule="Adam"))


def test_more_than_three_errors_end_in_how_many_more():
    last = " ".join(shown(diagnosis(findings=[finding(f"fc.{i}") for i in range(5)]), width=200).splitlines()[-1:])
    assert last.endswith("gradient-vanishing at fc.2 and 2 more.")


def test_theory_that_the_message_tells_is_not_told_twice():
    told = finding(message="It shrinks. Theory expects less.", expected="Theory expects less.")
    assert shown(diagnosis(findings=[told])).count("Theory expects less.") == 1


def test_many_findings_end_in_how_many_more_there_are():
    text = shown(diagnosis(findings=[finding(f"fc.{i}") for i in range(20)]))
    assert "… 8 more findings, see --html or --json" in text


def test_remedies_that_stand_above_are_not_repeated():
    text = shown(diagnosis(findings=[finding("fc.1"), finding("fc.2")]))
    assert text.count("Use He initialisation.") == 1
    assert text.count("the same as above") == 1


def test_rates_stand_beside_theory():
    rates = {"grad_norm": Rate(estimate=0.231, low=0.2, high=0.25, increments=9)}
    text = shown(diagnosis(rates=rates, predictions=(Prediction(metric="grad_norm", rate=0.239, statement=""),)))
    row = next(line for line in text.splitlines() if line.startswith("grad norm"))
    assert row.split() == ["grad", "norm", "+0.231", "+0.200", "to", "+0.250", "+0.239"]


def test_a_layer_that_is_not_finite_shows_nan_and_one_without_the_metric_shows_nothing():
    broken = layer(0, metrics={"rms": math.nan, "finite_fraction": 0.5})
    whole = layer(1, metrics={"rms": 2.0, "finite_fraction": 1.0})
    rows = [line.split() for line in shown(diagnosis([broken, whole])).splitlines() if "Linear" in line]
    assert rows == [["0", "fc.0", "Linear", "nan", "nan", "nan"], ["1", "fc.1", "Linear", "2.00"]]


def test_an_empty_profile_says_so():
    assert "No layer was measured." in shown(diagnosis(0))


def test_colour_only_where_asked():
    assert "\x1b[1;31m" in shown(diagnosis(findings=[finding()]), colour=True)
    assert "\x1b" not in shown(diagnosis(findings=[finding()]))


def spectrum(**fields) -> WeightSpectrum:
    values = dict.fromkeys(("frobenius_norm", "sigma_max", "sigma_min", "condition_number", "isometry_gap"), 2.0)
    ranks = dict.fromkeys(("participation_ratio", "effective_rank", "stable_rank", "numerical_rank"), 8.0)
    shape = {"shape": (16, 8), "rows": 16, "columns": 8, "orthogonality_gap": 0.1, "singular_values": (2.0,) * 8}
    return WeightSpectrum(**{**values, **ranks, **shape, **fields})


def trend(module: str, metric: str, verdict: str, *, power: float = -0.456) -> Trend:
    slope = Rate(estimate=power, low=-0.5, high=-0.4, increments=5, over="draws")
    return Trend(module=module, metric=metric, slope=slope, verdict=verdict, message="")


def printed(table: RenderableType, *, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_spectra_fit_the_terminal_and_say_how_many_weights_are_left_out(width: int):
    text = printed(weight_table({f"{LONG}.{i}.weight": spectrum() for i in range(200)}, width=width), width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "… 182 more weights, see --json" in text


def test_names_are_elided_no_further_than_tells_them_apart():
    spectra = {f"blocks.{i}.linear.weight": spectrum() for i in range(3)}
    text = printed(weight_table(spectra, width=60), width=60)
    assert all(f"blocks.{i}" in text for i in range(3))


def test_the_rank_of_a_weight_with_nan_is_a_dash_like_its_other_numbers():
    row = printed(weight_table({"fc": spectrum(numerical_rank=math.nan)}, width=100), width=100).splitlines()[-1]
    assert row.split()[-1] == "–"


def test_a_weight_shows_shape_and_rank():
    row = printed(weight_table({"fc": spectrum(numerical_rank=5.0)}, width=100), width=100).splitlines()[-1]
    assert row.split() == ["fc", "16×8", "2.00", "2.00", "2.00", "2.00", "8.00", "5/8"]


def coordinates(*trends: Trend) -> CoordinateCheck:
    grid = {"over": "width", "sizes": (64, 128), "steps": 3, "seeds": 5, "optimiser": "adam", "rows": ()}
    return CoordinateCheck(**grid, trends=trends, verdict="grows with width")


def test_the_coordinate_check_shows_powers_and_its_verdict():
    check = coordinates(trend("fc", "mean_abs", "shrinks"), trend("fc", "mean_abs_change", "grows"))
    lines = printed(coordinate_table(check, width=80), width=80).splitlines()
    assert lines[2].split() == ["fc", "width^−0.46", "shrinks", "width^−0.46", "grows"]
    assert lines[-1] == "Coordinates: grows with width."


def test_a_power_that_rounds_to_zero_has_no_minus():
    check = coordinates(*(trend("fc", metric, "stable", power=-0.004) for metric in ("mean_abs", "mean_abs_change")))
    lines = printed(coordinate_table(check, width=80), width=80).splitlines()
    assert lines[2].split() == ["fc", "width^+0.00", "stable", "width^+0.00", "stable"]
