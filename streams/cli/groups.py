"""Groups of commands as all of ours are."""

from typing import Any

from typer.core import TyperGroup

_SENTENCE_MAX = 1_000  # longer than any of ours


class Group(TyperGroup):
    """Its help has the first sentence of each command to its end; typer's own cuts it off at the end of the line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands, in lines as long as the terminal's."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(_SENTENCE_MAX)) for name, command in commands if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
