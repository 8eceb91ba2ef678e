"""`everycent projects`."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streams.cli.groups import Group
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.views.text import printable

projects = typer.Typer(help="The projects' names.", cls=Group, no_args_is_help=True, rich_markup_mode=None)

FAULTS_SHOWN = 200  # of a file whose every row is wrong nobody reads all; --json has 10,000


@projects.callback()
def _root() -> None:
    """The projects' names: reference data, shown by the page and the API."""


@projects.command(name="import")
def import_(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .csv or .json file: id, name, charity, goal, description.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: what was done, or the faults.")] = False,
) -> None:
    """Import projects from a file into the topic `projects`: all of it or, where a row is wrong, nothing.

    A CSV has the columns' names in its first row; JSON is a list of objects. `id` and `name` are needed; `goal` is in
    yuan. What is the same already isn't written again, and projects that the file doesn't name stay.

    Exit status: 0 imported, 2 the file is wrong (each row is told), or no broker.

    Example: everycent projects import projects.csv
    """
    from streams.projects import ProjectFileError, import_projects  # noqa: PLC0415 - it brings aiokafka

    settings = load_settings()
    configure_logs(settings)
    try:
        report = asyncio.run(import_projects(settings, file, dry_run=dry_run))
    except ProjectFileError as error:
        if as_json:
            faults = [asdict(fault) for fault in error.faults]
            print(orjson.dumps({"count": error.count, "faults": faults}).decode())
        else:
            for fault in error.faults[:FAULTS_SHOWN]:
                text = printable(fault.text)
                print(f"row {fault.row}: {text}" if fault.row else text, file=sys.stderr)
            if error.count > FAULTS_SHOWN:
                print(f"… and {error.count - FAULTS_SHOWN:,} more; --json shows more of them", file=sys.stderr)
        raise
    if as_json:
        print(orjson.dumps({"dry_run": dry_run, **asdict(report)}).decode())
        return
    would = "would be " if dry_run else ""
    print(f"{report.added:,} {would}added, {report.changed:,} {would}changed, {report.unchanged:,} as they are.")
