"""`leadline check TARGET`: load, measure, explain, show."""

import sys
from contextlib import redirect_stdout
from functools import partial

import typer

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, tell_written, write
from leadline.cli.progress import progress


def check(
    target: options.Target,
    data: options.Data = None,
    batch: options.Batch = None,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    layers: options.Layers = None,
    effort: options.Effort = "standard",
    draws: options.Draws = 1,
    trainer: options.Trainer = "adam",
    weights: options.Weights = False,
    widths: options.Widths = None,
    depths: options.Depths = None,
    what_if: options.WhatIf = False,
    learning_rates: options.LearningRates = False,
    json: options.Json = None,
    html: options.Html = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Measure a model on one batch; say what is wrong, where, and what theory expected.

    Exit status 1 where training will fail (an error-level finding), 0 otherwise, whatever the probability.
    """
    check_choice("--effort", effort, ("standard", "full"))
    check_choice("--trainer", trainer, ("adam", "sgd"))
    if widths and depths and not what_if:
        raise UsageError("A coordinate check goes over --widths or over --depths; got both.")
    shape = options.numbers(input_shape, option="--input-shape", example="3,32,32")
    sizes = {
        "widths": options.numbers(widths, option="--widths", example="64,128,256"),
        "depths": options.numbers(depths, option="--depths", example="4,8,16"),
    }
    options.check_destinations(json=json, html=html)
    given = {"data": data, "batch": batch, "input_shape": shape, "device": device, "dtype": dtype}
    # What the model prints is about the run; stdout is for the result.
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        import leadline
        from leadline.cli.changes import changes_of
        from leadline.cli.sounding import Sounding, compared, largest_steps, measured
        from leadline.targets import load

        step(f"Building {target}")
        load_with = partial(
            load, target, seed=seed, **{key: value for key, value in given.items() if value is not None}
        )
        loaded = load_with()
        step(f"Measuring {target}")
        chosen = layers[0] if layers and len(layers) == 1 else layers or "blocks"
        profile = measured(loaded, layers=chosen, effort=effort, draws=draws, seed=seed)
        changes = None
        if what_if:
            changes = changes_of(
                loaded, profile, load_with, depths=sizes["depths"], trainer=trainer, seed=seed, on_step=step
            )
            sizes["depths"] = None
        step("Explaining")
        sounding = Sounding(
            title=loaded.description,
            diagnosis=leadline.diagnose(profile, trainer=trainer),
            weights=leadline.metrics.weight_spectra(loaded.model) if weights else None,
            coordinates=compared(loaded, **sizes) if any(sizes.values()) else None,
            changes=changes,
            steps=largest_steps(loaded, seed=seed) if learning_rates else None,
        )
        step("Writing")
        if html:
            leadline.report(sounding.diagnosis, html, also=sounding.tables())
        if json and json != options.STDOUT:
            write_json(sounding.document(), json)
    if json == options.STDOUT:
        write(to_json(sounding.document()))
    else:
        show(lambda width: sounding.page(width=width))
        tell_written(json, html)
    raise typer.Exit(0 if sounding.diagnosis.healthy else 1)
