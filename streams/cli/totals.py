"""`everycent totals`: what each project has received, as of now."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console

from schemas.totals import WindowKind
from streams.errors import UserError
from streams.logs import configure_logs
from streams.settings import Settings, load_settings
from streams.views.names import read_names
from streams.views.totals import read_totals, totals_table

ROWS_MAX = 1_000  # a table beyond it is read by nobody and takes minutes to lay out; --json has no limit


def totals(
    *,
    project: Annotated[str | None, typer.Option(metavar="ID", help="Only this project.")] = None,
    window: Annotated[WindowKind | None, typer.Option(help="Only windows of this kind.")] = None,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="The N greatest amounts, greatest first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, as it stands on the topic.")] = False,
) -> None:
    """Show the current totals of the projects, by window, with the projects' names where they are known.

    Example: everycent totals --window day --top 10
    """
    settings = load_settings()
    configure_logs(settings)
    current = asyncio.run(read_totals(settings, project_id=project, window=window, top=top))
    if as_json:
        for each in current.totals:
            sys.stdout.buffer.write(each.wire + b"\n")
        sys.stdout.buffer.flush()
    else:
        shown = current.totals[:ROWS_MAX]
        if shown:
            Console().print(totals_table(shown, _names(settings)))
        else:
            print("No such totals." if project or window else "No totals yet.")
        if len(current.totals) > ROWS_MAX:
            more = len(current.totals) - ROWS_MAX
            print(f"… and {more:,} more: narrow it with --project, --window or --top, or take --json")
    if current.unreadable:
        print(f"{current.unreadable} records are no totals and were left out: see `everycent audit`", file=sys.stderr)


def _names(settings: Settings) -> dict[str, str]:
    """Whoever may not read them, or has no such topic, sees ids."""
    try:
        return asyncio.run(read_names(settings))
    except UserError as error:
        print(f"without the projects' names: {error}", file=sys.stderr)
        return {}
