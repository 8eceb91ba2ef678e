"""The command line: `everycent …`. Each command in a module of its own, added here by name."""

import logging
import sys

import typer

from streams import __version__
from streams.cli.audit import audit
from streams.cli.broker import broker
from streams.cli.demo import demo
from streams.cli.ledger import ledger
from streams.cli.projects import projects
from streams.cli.rejected import rejected
from streams.cli.replay import replay_rejected
from streams.cli.serve import serve
from streams.cli.simulate import simulate
from streams.cli.topics import topics
from streams.cli.totals import totals
from streams.cli.worker import worker
from streams.errors import UserError

app = typer.Typer(
    name="everycent",
    help="Orders in, donations and running totals out: every cent counted once, and provably.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"everycent {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Orders in, donations and running totals out: every cent counted once, and provably."""


app.command()(broker)
app.add_typer(topics, name="topics")
app.command()(simulate)
app.command()(totals)
app.command()(audit)
app.command()(rejected)
app.command(name="replay-rejected")(replay_rejected)
app.add_typer(ledger, name="ledger")
app.command()(worker)
app.command()(serve)
app.add_typer(projects, name="projects")
app.command()(demo)


def main() -> None:
    """Run a command; a person's mistake ends with one line and an exit status, not with a traceback."""
    # Failed requests come back as exceptions; without this Python prints them a second time where no log is set up.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        app()
    except UserError as error:
        print(f"everycent: {error}", file=sys.stderr)
        sys.exit(int(error.exit_status))
