"""`leadline check TARGET`: load, measure, explain, show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.records import check_destination, encode, to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, write
from leadline.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from leadline._core.diagnosis import Diagnosis
    from leadline._core.profile import Profile
    from leadline._core.weights import WeightSpectrum
    from leadline.doctor.coordinates import CoordinateCheck
    from leadline.targets import Target

SCHEMA = 1
_STDOUT = Path("-")


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
    weights: options.Weights = False,
    widths: options.Widths = None,
    depths: options.Depths = None,
    json: options.Json = None,
    html: options.Html = None,
    traceback: options.Traceback = False,
) -> None:
    """Measure a model on one batch; say what is wrong, where, and what theory expected.

    Exit status 1 where training will fail (an error-level finding), 0 otherwise.
    """
    check_choice("--effort", effort, ("standard", "full"))
    if widths and depths:
        raise UsageError("A coordinate check goes over --widths or over --depths; got both.")
    shape = options.numbers(input_shape, option="--input-shape", example="3,32,32")
    sizes = {
        "widths": options.numbers(widths, option="--widths", example="64,128,256"),
        "depths": options.numbers(depths, option="--depths", example="4,8,16"),
    }
    for path in (json, html):
        if path and path != _STDOUT:
            check_destination(path)
    given = {"data": data, "batch": batch, "input_shape": shape, "device": device, "dtype": dtype}
    with progress() as step:
        step("Loading torch")
        import leadline
        from leadline.targets import load

        step(f"Building {target}")
        loaded = load(target, seed=seed, **{name: value for name, value in given.items() if value is not None})
        step(f"Measuring {target}")
        chosen = layers[0] if layers and len(layers) == 1 else layers or "blocks"
        profile = _profile(loaded, layers=chosen, effort=effort, draws=draws, seed=seed)
        step("Explaining")
        diagnosis = leadline.diagnose(profile)
        step("Spectra of the weights")
        spectra = leadline.metrics.weight_spectra(loaded.model) if weights else None
        step("Coordinate check")
        coordinates = _coordinates(loaded, **sizes) if any(sizes.values()) else None
        step("Writing")
        if html:
            leadline.report(diagnosis, html)
        found = document(diagnosis, weights=spectra, coordinates=coordinates)
        if json and json != _STDOUT:
            write_json(found, json)
    if json == _STDOUT:
        write(to_json(found))
    else:
        written = [path for path in (json, html) if path]
        show(lambda width: _summary(diagnosis, loaded, spectra, coordinates, written, width=width))
    raise typer.Exit(0 if diagnosis.healthy else 1)


def document(diagnosis: "Diagnosis", **more: Any) -> dict[str, Any]:
    """What ``--json`` writes: the schema, the profile, the diagnosis, and what else was asked for."""
    data = encode(diagnosis)
    found = {"schema": SCHEMA, "profile": data.pop("profile"), "diagnosis": data}
    return found | {name: record for name, record in more.items() if record is not None}


def _profile(loaded: "Target", *, draws: int, seed: int, **how: Any) -> "Profile":
    """The profile of the one model, or of as many draws of its weights as are asked for."""
    import leadline

    seeds = iter(range(seed, seed + draws))
    model = loaded.model if draws == 1 else lambda: loaded.build(next(seeds))
    return leadline.profile(model, loaded.inputs, loaded.targets, loss=loaded.loss, draws=draws, seed=seed, **how)


def _coordinates(
    loaded: "Target", *, widths: tuple[int, ...] | None, depths: tuple[int, ...] | None
) -> "CoordinateCheck":
    from leadline.doctor.coordinates import coordinate_check

    option = "width" if widths else "depth"
    return coordinate_check(
        lambda size, seed: loaded.build(seed, **{option: size}),
        loaded.inputs,
        loaded.targets,
        widths=widths,
        depths=depths,
        loss=loaded.loss,
    )


def _summary(
    diagnosis: "Diagnosis",
    loaded: "Target",
    spectra: "Mapping[str, WeightSpectrum] | None",
    coordinates: "CoordinateCheck | None",
    written: "Sequence[Path]",
    *,
    width: int,
) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from leadline.reporting.terminal import summary
    from leadline.reporting.terminal_coordinates import coordinate_table
    from leadline.reporting.terminal_weights import weight_table

    also = [weight_table(spectra, width=width)] if spectra else []
    also += [coordinate_table(coordinates, width=width)] if coordinates else []
    files = [Text(f"Written: {path}", style="dim") for path in written]
    return Group(summary(diagnosis, width=width, title=loaded.description, also=also), *files)
