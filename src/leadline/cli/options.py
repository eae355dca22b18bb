"""The words of the command line: every option with its help, lists of numbers read, destinations checked."""

from pathlib import Path
from typing import Annotated

import typer

from leadline._core.errors import UsageError
from leadline._core.records import check_destination

STDOUT = Path("-")
_MODEL, _MEASURE, _MORE, _OUTPUT = "Model and data", "Measurement", "Further measurements", "Output"
_REPAIR = "Repair"

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A design with options (mlp:depth=100,norm=batch or resnet110:norm=none), timm:NAME, hf:NAME, "
        "or a factory of yours (file.py:build or package.module:build).",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="gaussian|tokens|NAME",
        help="The batch: random, or a data set of `leadline data list`; by default what suits the model.",
        rich_help_panel=_MODEL,
    ),
]
Batch = Annotated[int | None, typer.Option(metavar="N", help="Samples in it.", rich_help_panel=_MODEL)]
InputShape = Annotated[
    str | None, typer.Option(metavar="C,H,W", help="Shape of one sample, e.g. 3,32,32.", rich_help_panel=_MODEL)
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of the weights, the batch and dropout.", rich_help_panel=_MODEL)]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, …", rich_help_panel=_MODEL)]
Dtype = Annotated[str | None, typer.Option(metavar="NAME", help="float32, bfloat16, …", rich_help_panel=_MODEL)]

Layers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="blocks|leaves|PATTERN",
        help="Repeated units (the default), single modules, or names such as 'layer1.*', which may be given again.",
        rich_help_panel=_MEASURE,
    ),
]
Effort = Annotated[
    str, typer.Option(metavar="standard|full", help="full adds passes for intervals.", rich_help_panel=_MEASURE)
]
Draws = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Draws of the weights that intervals are over.", rich_help_panel=_MEASURE),
]

Trainer = Annotated[
    str,
    typer.Option(
        metavar="adam|sgd", help="Whose training the score and the depth limit predict.", rich_help_panel=_MEASURE
    ),
]

Weights = Annotated[bool, typer.Option("--weights", help="The spectrum of every weight.", rich_help_panel=_MORE)]
Widths = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,…", help="Coordinate check: do networks of these widths train alike?", rich_help_panel=_MORE
    ),
]
Depths = Annotated[
    str | None,
    typer.Option(metavar="N,N,…", help="The same over depths; those of --what-if with it.", rich_help_panel=_MORE),
]
LearningRates = Annotated[
    bool,
    typer.Option("--learning-rates", help="The largest steps of plain descent and of Adam.", rich_help_panel=_MORE),
]
WhatIf = Annotated[
    bool,
    typer.Option("--what-if", help="Which norm, activation, weights, skip or batch go deeper?", rich_help_panel=_MORE),
]

Recipe = Annotated[
    str,
    typer.Option(metavar="auto|NAME", help="How; auto tries what suits the findings.", rich_help_panel=_REPAIR),
]
Changed = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        metavar="PATTERN",
        help="Change only modules of these names, such as 'blocks.*'; may be given again.",
        rich_help_panel=_REPAIR,
    ),
]
Prove = Annotated[
    bool,
    typer.Option("--prove", help="Train the model as it was and as it is, at three rates.", rich_help_panel=_REPAIR),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=_REPAIR)]
Force = Annotated[bool, typer.Option("--force", help="Change weights that look trained.", rich_help_panel=_REPAIR)]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write repair.json, model.safetensors and report.html; an earlier fix is replaced.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Also where DIR holds other files, which stay.", rich_help_panel=_OUTPUT)
]

Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH", help="Write everything as data; - for stdout.", rich_help_panel=_OUTPUT),
]
Html = Annotated[Path | None, typer.Option(metavar="PATH", help="Write the report.", rich_help_panel=_OUTPUT)]
Traceback = Annotated[
    bool, typer.Option("--traceback", help="With an error, show where it arose.", rich_help_panel=_OUTPUT)
]


def numbers(text: str | None, *, option: str, example: str) -> tuple[int, ...] | None:
    """Whole numbers from 1, separated by commas; ``None`` for ``None``.

    >>> numbers("3,32,32", option="--input-shape", example="784")
    (3, 32, 32)
    """
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} must be whole numbers from 1 separated by commas, such as {example}; got {text!r}.")
    return tuple(map(int, parts))


def check_list(**paths: Path | None) -> None:
    """Refuse paths beside --list, by the names of their options."""
    for name, path in paths.items():
        if path is not None:
            raise UsageError(f"--list only names what there is and writes nothing; leave out --{name}.")


def check_destinations(**paths: Path | None) -> None:
    """Refuse paths that cannot be written to, by the names of their options, before anything is measured."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        if path == STDOUT and name != "json":
            raise UsageError(f"Only --json writes to stdout; give --{name} the name of a file in place of -.")
        if path in seen:
            raise UsageError(f"--{seen[path]} and --{name} cannot both be written to {path}.")
        seen[path] = name
        if path != STDOUT:
            check_destination(path)
