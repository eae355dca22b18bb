"""`leadline reproduce`: the papers' claims, checked on this machine."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from leadline._core.claims import SCALES, Reproduction, Scale as ClaimScale, saved_verdicts
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, tell_written, write
from leadline.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

Wanted = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM…]", help="Ids such as A8, papers such as B or meterez2023; all by default."),
]
Listed = Annotated[bool, typer.Option("--list", help="Only name the claims.")]
Scale = Annotated[
    str, typer.Option(metavar="desk|paper", help="Sizes that two cores can do, or the published ones, for a GPU.")
]
ClaimData = Annotated[
    str,
    typer.Option(metavar="NAME", help="Images of this data set of `leadline data list` in place of those of the rule."),
]
ClaimDevice = Annotated[str, typer.Option(metavar="NAME", help="Where the images are: cpu, cuda, cuda:1, …")]
ClaimSeed = Annotated[int, typer.Option(metavar="N", help="Of everything random.")]
Jobs = Annotated[int, typer.Option(min=1, metavar="N", help="Claims checked at the same time, each on one thread.")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep the verdicts of this seed that --json already holds.")]


def reproduce(
    wanted: Wanted = None,
    listed: Listed = False,
    scale: Scale = "desk",
    data: ClaimData = "",
    device: ClaimDevice = "cpu",
    seed: ClaimSeed = 0,
    jobs: Jobs = 1,
    resume: Resume = False,
    json: options.Json = None,
    html: options.Html = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Check claims of the papers on batch normalisation in deep random networks.

    Rules, sample sizes and levels are fixed in the claims. --json is written anew after every claim, so that a run that
    was stopped goes on with --resume. At the published size a claim reads the data set of its paper, and is undecided
    where that is not on this machine. Exit status 1 where a claim fails, 0 otherwise.
    """
    at: ClaimScale = "paper" if check_choice("--scale", scale, SCALES) == "paper" else "desk"
    options.check_destinations(json=json, html=html)
    file = None if json == options.STDOUT else json
    if resume and file is None:
        raise UsageError("--resume goes on from a file of verdicts: give it with --json PATH.")
    if listed:
        options.check_list(json=json, html=html)
        show(lambda width: _list(wanted or [], width))
        return
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        import leadline
        from leadline import studies
        from leadline.data import load
        from leadline.reporting.terminal_claims import verdict_table
        from leadline.targets.placement import device_of

        chosen = studies.selected(wanted or [])
        # Both have a sentence for what is not there, before anything is checked.
        device_of(device)
        if data:
            load(data, limit=1)
        kept = saved_verdicts(file, chosen, seed=seed, scale=at, data=data) if resume and file else []
        found = {verdict.id: verdict for verdict in kept}

        def reproduction() -> Reproduction:
            ordered = tuple(claim for claim in chosen if claim.id in found)
            verdicts = tuple(found[claim.id] for claim in ordered)
            return Reproduction(claims=ordered, verdicts=verdicts, seed=seed, scale=at)

        left = tuple(claim for claim in chosen if claim.id not in found)
        step(f"Checking {left[0].id}" if left else "Nothing left to check", len(found), len(chosen))
        for verdict in studies.check_all(left, seed=seed, scale=at, data=data, device=device, jobs=jobs):
            found[verdict.id] = verdict
            step(f"{verdict.id} {verdict.verdict}", len(found), len(chosen))
            if file:
                write_json(reproduction().to_dict(), file)
        if html:
            leadline.report(reproduction(), html)
    verdicts = reproduction().verdicts
    if json == options.STDOUT:
        write(to_json(reproduction().to_dict()))
    else:
        show(lambda width: verdict_table(verdicts, chosen, width=width))
        tell_written(json, html)
    raise typer.Exit(1 if any(verdict.verdict == "fails" for verdict in verdicts) else 0)


def _list(wanted: list[str], width: int) -> "RenderableType":
    from leadline import studies
    from leadline.reporting.terminal_claims import claim_list

    return claim_list(studies.selected(wanted), width=width)
