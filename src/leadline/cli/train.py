"""`leadline train TARGET`: load, train, evaluate, show, write."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from leadline._core.errors import UsageError
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import say, show, tell_written, write
from leadline.cli.progress import progress

_DESCENT, _RUN = "Descent", "Run"


def _descent(metavar: str, text: str, **given: float) -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=_DESCENT, **given)  # pyright: ignore[reportArgumentType]


def _run(metavar: str, text: str, **given: float) -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=_RUN, **given)  # pyright: ignore[reportArgumentType]


Steps = Annotated[int | None, _descent("N", "Steps to take; 500 where --epochs is not given.", min=1)]
Epochs = Annotated[float | None, _descent("X", "In place of --steps, times through the training part.", min=0)]
Optimiser = Annotated[str, _descent("adam|adamw|sgd", "Of torch.optim.")]
Rate = Annotated[float, typer.Option("--lr", metavar="X", help="Learning rate.", rich_help_panel=_DESCENT)]
Momentum = Annotated[float, _descent("X", "Of sgd.")]
Decay = Annotated[float | None, _descent("X", "Weight decay; by default the optimiser's own.")]
Schedule = Annotated[str, _descent("NAME", "Of the rate, behind the warm-up: constant, cosine, linear or step.")]
Warmup = Annotated[int, _descent("N", "Steps over which the rate rises.", min=0)]
Clip = Annotated[float | None, _descent("X", "Largest norm of the gradient.")]
Accumulate = Annotated[int, _descent("N", "Batches of a step.", min=1)]
Precision = Annotated[str, _descent("float32|bfloat16", "bfloat16 runs the model in autocast.")]
Compiled = Annotated[bool, typer.Option("--compile", help="Run it through torch.compile.", rich_help_panel=_RUN)]
Kept = Annotated[Path | None, _run("DIR", "Keep the run there; the same call goes on from it.")]
Every = Annotated[int, _run("N", "Steps from one checkpoint to the next.", min=1)]
Watch = Annotated[int | None, _run("N", "Measure every layer on each N-th step, and say what is found.", min=1)]
Log = Annotated[
    Path | None, _run("PATH", "Loss, rate and gradient of every step: a .csv or .jsonl, or a folder for TensorBoard.")
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Write the weights, a .safetensors.", rich_help_panel="Output"),
]


def train(
    target: options.Target,
    data: options.Data = None,
    batch: options.Batch = None,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    steps: Steps = None,
    epochs: Epochs = None,
    optimiser: Optimiser = "adam",
    lr: Rate = 1e-3,
    momentum: Momentum = 0.0,
    weight_decay: Decay = None,
    schedule: Schedule = "constant",
    warmup: Warmup = 0,
    clip: Clip = None,
    accumulate: Accumulate = 1,
    precision: Precision = "float32",
    compiled: Compiled = False,
    checkpoint: Kept = None,
    checkpoint_every: Every = 100,
    watch: Watch = None,
    log: Log = None,
    save: Save = None,
    json: options.Json = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Train a model, and say what it does on images that it was not trained on.

    A data set is trained on batch by batch and tested on its test part; another batch is trained on as a whole.
    Exit status 1 where the loss is no number in the end, 0 otherwise.
    """
    shape = options.numbers(input_shape, option="--input-shape", example="3,32,32")
    if steps is not None and epochs is not None:
        raise UsageError("--steps and --epochs both say when to end; give one of them.")
    options.check_destinations(json=json, save=save)
    given = {"data": data, "batch": batch, "input_shape": shape, "device": device, "dtype": dtype}
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        from leadline.cli.training import Trained, Training, event_writer
        from leadline.cli.weights import save_weights
        from leadline.targets import load

        step(f"Building {target}")
        loaded = load(target, seed=seed, **{name: value for name, value in given.items() if value is not None})
        training = Training(loaded, data=data, seed=seed)
        taken = training.steps(steps=steps, epochs=epochs, accumulate=accumulate)
        done = 0

        def told(reached: int) -> None:
            nonlocal done
            done = reached
            step(f"Training {target}", reached, taken)

        try:
            found: Trained = training.run(
                steps=taken,
                optimiser=optimiser,
                learning_rate=lr,
                momentum=momentum,
                weight_decay=weight_decay,
                schedule=schedule,
                warmup=warmup,
                clip_norm=clip,
                accumulate=accumulate,
                precision=precision,
                compile=compiled,
                checkpoint=None if checkpoint is None else training.kept_in(checkpoint),
                checkpoint_every=checkpoint_every,
                log=event_writer(log),
                watch=watch,
                on_step=told,
            )
        except KeyboardInterrupt:
            if checkpoint is not None and done >= checkpoint_every:
                kept = done // checkpoint_every * checkpoint_every
                say(f"Stopped behind step {done}; the same call goes on from step {kept}.", kind="leadline")
            raise
        step("Writing")
        if save is not None:
            save_weights(loaded.model, save)
        if json and json != options.STDOUT:
            write_json(found.document(), json)
    if json == options.STDOUT:
        write(to_json(found.document()))
    else:
        show(lambda width: found.page(width=width))
        tell_written(log, save, json)
    raise typer.Exit(1 if found.run.diverged else 0)
