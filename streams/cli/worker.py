"""`everycent worker`."""

import asyncio
import gc
from typing import Annotated

import typer

from streams.errors import UserError
from streams.logs import configure_logs
from streams.settings import load_settings


def worker(
    roles: Annotated[
        str, typer.Option(help="What this worker does, separated by commas.", metavar="ROLES")
    ] = "split,totals",
) -> None:
    """Run one consumer worker until a signal; then it finishes its commit and leaves in order.

    Start as many as there are cores and partitions; they share the partitions among them.

    Example: EVERYCENT_BROKER=kafka:9092 everycent worker --roles split,totals
    """
    gc.disable()  # what is imported stays: to look it through again and again takes a tenth of a start
    from streams.worker import Role, run_worker  # noqa: PLC0415 - Faust takes half a second to import

    gc.enable()
    known = [role.value for role in Role]
    wanted = [name.strip() for name in roles.split(",")]
    for name in wanted:
        if name not in known:
            raise UserError(f"--roles: {name!r} is not a role. The roles are {', '.join(known)}.")
    settings = load_settings()
    configure_logs(settings)
    raise typer.Exit(asyncio.run(run_worker(settings, [Role(name) for name in wanted])))
