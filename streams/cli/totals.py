"""`everycent totals`: what each project has received, as of now."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console

from schemas.totals import WindowKind
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.views.totals import read_totals, totals_table

ROWS_MAX = 1_000  # a table beyond it is read by nobody and takes minutes to lay out; --json has no limit


def totals(
    *,
    project: Annotated[str | None, typer.Option(metavar="ID", help="Only this project.")] = None,
    window: Annotated[WindowKind | None, typer.Option(help="Only windows of this kind.")] = None,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="The N greatest amounts, greatest first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, as it stands on the topic.")] = False,
) -> None:
    """Show the current totals of the projects, by window.

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
        Console().print(totals_table(current.totals[:ROWS_MAX]))
        if len(current.totals) > ROWS_MAX:
            more = len(current.totals) - ROWS_MAX
            print(f"… and {more:,} more: narrow it with --project, --window or --top, or take --json")
    if current.unreadable:
        print(f"{current.unreadable} records are no totals and were left out: see `everycent audit`", file=sys.stderr)
