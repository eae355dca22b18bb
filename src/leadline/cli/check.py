"""`leadline check TARGET`: load, measure, explain, show."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from leadline._core.errors import UsageError
from leadline._core.records import check_destination, encode, to_json, write_json
from leadline.cli.console import show, write
from leadline.cli.progress import progress

if TYPE_CHECKING:
    from leadline._core.diagnosis import Diagnosis

SCHEMA = 1
_MODEL, _MEASURE, _OUTPUT = "Model and data", "Measurement", "Output"


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A design with options (mlp:depth=100,activation=relu,norm=batch  resnet110:norm=none), timm:NAME, "
            "hf:NAME, or a factory of yours (file.py:build, package.module:build).",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="digits|gaussian", help="The batch: real digits, or random.", rich_help_panel=_MODEL),
    ] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Samples in it.", rich_help_panel=_MODEL)] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of one sample, e.g. 3,32,32.", rich_help_panel=_MODEL)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights and data.", rich_help_panel=_MODEL)] = 0,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, …", rich_help_panel=_MODEL)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="NAME", help="float32, bfloat16, …", rich_help_panel=_MODEL)
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="blocks|leaves|PATTERN",
            help="Repeated units, single modules, or names such as 'layer1.*' (may be given again).",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    effort: Annotated[
        str, typer.Option(metavar="standard|full", help="full adds passes for intervals.", rich_help_panel=_MEASURE)
    ] = "standard",
    draws: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Draws of the weights that intervals are over.", rich_help_panel=_MEASURE
        ),
    ] = 1,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="PATH", help="Write everything as data; - for stdout.", rich_help_panel=_OUTPUT),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the report.", rich_help_panel=_OUTPUT)
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error arose.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Measure a model on one batch; say what is wrong, where, and what theory expected.

    Exit status 1 where training will fail (an error-level finding), 0 otherwise.
    """
    shape = _shape(input_shape) if input_shape else None
    for path in (json, html):
        if path and str(path) != "-":
            check_destination(path)
    with progress() as step:
        step("Loading torch")
        import leadline
        from leadline.targets import load

        step(f"Building {target}")
        given = {"data": data, "batch": batch, "input_shape": shape, "device": device, "dtype": dtype}
        loaded = load(target, seed=seed, **{name: value for name, value in given.items() if value is not None})
        step(f"Measuring {target}")
        profile = leadline.profile(
            loaded.model if draws == 1 else loaded.build,
            loaded.inputs,
            loaded.targets,
            loss=loaded.loss,
            layers=_layers(layers),
            effort=cast(Any, effort),
            draws=draws,
            seed=seed,
        )
        step("Explaining")
        diagnosis = leadline.diagnose(profile)
        step("Writing")
        if html:
            leadline.report(diagnosis, html)
        if json and str(json) != "-":
            write_json(document(diagnosis), json)
    if str(json) == "-":
        write(to_json(document(diagnosis)), sys.stdout)
    else:
        from leadline.reporting.terminal import summary

        show(lambda width: summary(diagnosis, width=width, title=loaded.description))
    raise typer.Exit(0 if diagnosis.healthy else 1)


def document(diagnosis: "Diagnosis") -> dict[str, Any]:
    """What ``--json`` writes: the schema, the profile, and the diagnosis without its profile."""
    data = encode(diagnosis)
    return {"schema": SCHEMA, "profile": data.pop("profile"), "diagnosis": data}


def _layers(names: Sequence[str] | None) -> str | Sequence[str]:
    """One word as itself, several as patterns."""
    if not names:
        return "blocks"
    return names[0] if len(names) == 1 else names


def _shape(text: str) -> tuple[int, ...]:
    """`3,32,32` as a shape.

    >>> _shape("3,32,32")
    (3, 32, 32)
    """
    try:
        shape = tuple(int(axis) for axis in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--input-shape is the shape of one sample, such as 3,32,32 or 784; got {text!r}.")
    return shape
