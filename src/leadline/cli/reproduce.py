"""`leadline reproduce`: the papers' claims, checked on this machine."""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from leadline._core.names import check_choice
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, write
from leadline.cli.progress import progress

SCHEMA = 1
Wanted = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM…]", help="Ids such as A8, papers such as B or meterez2023; all by default."),
]
Listed = Annotated[bool, typer.Option("--list", help="Only name the claims.")]
Scale = Annotated[str, typer.Option(metavar="desk", help="Sizes that two cores can do.")]
ClaimSeed = Annotated[int, typer.Option(metavar="N", help="Of everything random.")]


def reproduce(
    wanted: Wanted = None,
    listed: Listed = False,
    scale: Scale = "desk",
    seed: ClaimSeed = 0,
    json: options.Json = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Check claims of the papers on batch normalisation in deep random networks.

    Rules, sample sizes and levels are fixed in the claims. Exit status 1 where a claim fails, 0 otherwise.
    """
    check_choice("--scale", scale, ("desk",))
    options.check_destinations(json=json)
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        from leadline import studies
        from leadline.reporting.terminal_claims import claim_list, verdict_table

        chosen = studies.selected(wanted or [])
        verdicts = []
        for done, each in enumerate(() if listed else chosen):
            step(f"Checking {each.id}", done, len(chosen))
            verdicts.append(studies.check(each, seed=seed))
        document = {"schema": SCHEMA, "claims": [verdict.to_dict() for verdict in verdicts]}
        if json and json != options.STDOUT and not listed:
            write_json(document, json)
    if listed:
        show(lambda width: claim_list(chosen, width=width))
        return
    if json == options.STDOUT:
        write(to_json(document))
    else:
        show(lambda width: verdict_table(verdicts, chosen, width=width))
    raise typer.Exit(1 if any(verdict.verdict == "fails" for verdict in verdicts) else 0)
