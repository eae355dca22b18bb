"""`leadline simulate`: signals and gradients through a wide, deep network that is never formed."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, tell_written, write
from leadline.cli.progress import progress


def _network(metavar: str, sentence: str, *name: str) -> Any:
    return typer.Option(*name, metavar=metavar, help=sentence, rich_help_panel="Network")


def _run(metavar: str, sentence: str, *name: str) -> Any:
    return typer.Option(*name, metavar=metavar, help=sentence, rich_help_panel="Run")


Width = Annotated[str, _network("N", "Features; 1e6 is fine.")]
Depth = Annotated[str, _network("N", "Layers.")]
Weights = Annotated[str, _network("haar|gaussian", "Law of the weights.")]
Gain = Annotated[float, _network("X", "Factor on them.")]
Norm = Annotated[str, _network("none|batch|layer|rms", "Normalisation.")]
Alpha = Annotated[float, _network("X", "Exponent of batch; below 1 it is fractional.")]
Centred = Annotated[bool, _network("", "Batch subtracts the mean.", "--centred")]
ActivationName = Annotated[str, _network("NAME", "relu, tanh, gelu, …")]
Order = Annotated[str, _network("ORDER", "linear-norm-activation, linear-activation-norm or activation-linear-norm.")]
Skip = Annotated[float | None, _network("X", "h + X·Wh in place of Wh.")]
GainExponent = Annotated[float, _network("K", "Layer l has the gain l^-K before its activation.")]
Batch = Annotated[str, _run("N", "Gaussian samples.")]
Draws = Annotated[str, _run("N", "Independent networks, at once.")]
Seed = Annotated[int, _run("N", "Of everything random.")]
Loss = Annotated[str, _run("cotangent|cross_entropy", "Where the gradient comes from.")]
ForwardOnly = Annotated[bool, _run("", "Send no gradient back.", "--forward-only")]
Dtype = Annotated[str, _run("float32|float64", "Of the states.")]
Parquet = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Write a row for every layer and draw; needs the extra `tables`.",
        rich_help_panel="Output",
    ),
]


def simulate(
    width: Width = "1000",
    depth: Depth = "100",
    weights: Weights = "haar",
    gain: Gain = 1.0,
    norm: Norm = "batch",
    alpha: Alpha = 1.0,
    centred: Centred = False,
    activation: ActivationName = "identity",
    order: Order = "linear-norm-activation",
    skip: Skip = None,
    gain_exponent: GainExponent = 0.0,
    batch: Batch = "16",
    draws: Draws = "1",
    seed: Seed = 0,
    loss: Loss = "cotangent",
    forward_only: ForwardOnly = False,
    device: options.Device = None,
    dtype: Dtype = "float64",
    json: options.Json = None,
    parquet: Parquet = None,
    html: options.Html = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Simulate a random deep network exactly in law, at any width: metrics and gradient norms of every layer.

    No weight matrix is formed: a layer costs as much as factorising its states.
    """
    options.check_destinations(json=json, html=html, parquet=parquet)
    check_choice("--dtype", dtype, ("float32", "float64"))
    samples, networks = _size(batch), _size(draws)
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        import torch

        import leadline
        from leadline.cli.expected import expectations
        from leadline.reporting.terminal_simulation import simulation_table
        from leadline.simulate import Chain, propagate

        chain = Chain(
            width=_size(width), depth=_size(depth), weights=weights, gain=gain, norm=norm, alpha=alpha, centred=centred,
            activation=activation, order=order, skip=skip, gain_exponent=gain_exponent,
        )  # fmt: skip
        found = propagate(
            chain,
            batch=samples,
            draws=networks,
            seed=seed,
            backward=not forward_only,
            loss=loss,
            dtype=getattr(torch, dtype),
            device=device or "cpu",
            on_layer=lambda direction, done, total: step(f"Going {direction}", done, total),
        )
        found = replace(found, expected=expectations(found))
        if parquet:
            found.to_parquet(parquet)
        if html:
            leadline.report(found, html)
        if json and json != options.STDOUT:
            write_json(found.to_dict(), json)
    if json == options.STDOUT:
        write(to_json(found.to_dict()))
    else:
        show(lambda columns: simulation_table(found, width=columns))
        tell_written(json, html, parquet)


def _size(text: str) -> int:
    """A whole number, also written 1e6."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value < 1 or value != int(value):
        raise UsageError(
            f"--width, --depth, --batch and --draws are whole numbers from 1, such as 1000 or 1e6; got {text!r}."
        )
    return int(value)
