"""The command line: `everycent …`. Each command in a module of its own, found here by name.

Only the command that is asked for is imported: all of them together take half a second, which a worker's start hasn't.
"""

import importlib
import logging
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, NoReturn

import typer

from streams import __version__
from streams.cli import progress
from streams.cli.groups import Group
from streams.errors import UserError

# In the order in which help lists them. Each stands in the module as the function or group of that name.
COMMANDS = {
    "broker": "streams.cli.broker",
    "topics": "streams.cli.topics",
    "simulate": "streams.cli.simulate",
    "totals": "streams.cli.totals",
    "audit": "streams.cli.audit",
    "rejected": "streams.cli.rejected",
    "replay-rejected": "streams.cli.replay",
    "ledger": "streams.cli.ledger",
    "worker": "streams.cli.worker",
    "serve": "streams.cli.serve",
    "projects": "streams.cli.projects",
    "demo": "streams.cli.demo",
}


class _Loaded(MutableMapping[str, Any]):
    """The commands by name, each imported when it is looked up."""

    def __init__(self) -> None:
        self._added: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._added:
            found = getattr(importlib.import_module(COMMANDS[name]), name.replace("-", "_"))
            carrier = typer.Typer(rich_markup_mode=None)
            if isinstance(found, typer.Typer):
                carrier.add_typer(found, name=name)
            else:
                carrier.command(name)(found)
            self._added[name] = typer.main.get_group(carrier).commands[name]
        return self._added[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __contains__(self, name: object) -> bool:  # without importing it
        return name in COMMANDS or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS | self._added)

    def __len__(self) -> int:
        return len(COMMANDS | self._added)


class _Everycent(Group):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    name="everycent",
    cls=_Everycent,
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


def main() -> None:
    """Run a command; a person's mistake ends with one line and an exit status, not with a traceback.

    So does a file or folder that the system denies, wherever it is met: a person can mend it, and status 1, with which
    Python ends, says of some commands that something was found to be wrong.
    """
    # Failed requests come back as exceptions; without this Python prints them a second time where no log is set up.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        _check_arguments(sys.argv[1:])
        app()
    except UserError as error:
        _end(error)
    except OSError as error:
        if error.filename is None:  # a connection, or a pipe
            raise
        _end(UserError(f"{error.filename} can't be used: {error.strerror}."))


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raises UserError for one that isn't UTF-8: it can be no id, and a file of that name couldn't be told of."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(f"the argument {argument!r} isn't UTF-8.") from None


def _end(error: UserError) -> NoReturn:
    progress.clear()
    print(f"everycent: {error}", file=sys.stderr)
    sys.exit(int(error.exit_status))
