"""`leadline fix TARGET`: load, repair, train on request, show, write."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial

import typer

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, tell_written, write
from leadline.cli.folder import check_folder
from leadline.cli.progress import progress


def fix(
    target: options.Target,
    data: options.Data = None,
    batch: options.Batch = None,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = "auto",
    layers: options.Changed = None,
    prove: options.Prove = False,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json: options.Json = None,
    html: options.Html = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Repair a model that will not train; show the same measurements before and after.

    Exit status 1 where an error-level finding remains, 0 where none does or there was nothing to repair.
    """
    shape = options.numbers(input_shape, option="--input-shape", example="3,32,32")
    if dry_run and prove:
        raise UsageError("--prove trains the repaired model, and --dry-run repairs none; give one of them.")
    options.check_destinations(json=json, html=html)
    if out is not None:
        check_folder(out, overwrite=overwrite)
    given = {"data": data, "batch": batch, "input_shape": shape, "device": device, "dtype": dtype}
    # What the model prints is about the run; stdout is for the result.
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        import leadline
        from leadline.cli.mending import Mending, mended, trained_on
        from leadline.doctor.repairs import RECIPES
        from leadline.reporting.comparison import Comparison
        from leadline.targets import load

        check_choice("--recipe", recipe, ["auto", *RECIPES])
        step(f"Building {target}")
        given = {name: value for name, value in given.items() if value is not None}
        loaded = load(target, seed=seed, **given)
        task = trained_on(loaded, asked="--prove") if prove else None
        step(f"Repairing {target}")
        repair = mended(loaded, recipe=recipe, layers=layers, dry_run=dry_run, force=force, seed=seed)
        if task is not None and repair.recipe:
            training = f"Training {target} before and after"
            on_step = partial(step, training)
            repair = leadline.train.prove(repair, loaded.model, task, loss=loaded.loss, on_step=on_step)
        elif task is not None:
            repair = replace(repair, notes=(*repair.notes, "There is nothing to prove."))
        step("Writing")
        mending = Mending(target=loaded, found=Comparison.of(repair), built_with=given, dry_run=dry_run)
        if html:
            leadline.report(repair, html)
        if json and json != options.STDOUT:
            write_json(mending.document(), json)
        kept = mending.keep(out) if out is not None and not dry_run else []
    if json == options.STDOUT:
        write(to_json(mending.document()))
    else:
        show(lambda width: mending.page(width=width, out=out))
        tell_written(json, html, *kept)
    raise typer.Exit(0 if mending.found.after.healthy else 1)
