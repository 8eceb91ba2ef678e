"""`everycent ledger collect`: gets the witnesses' cosignatures for the ledger's checkpoints."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.ledger_receipts import policy_from
from streams.errors import ExitStatus, UserError
from streams.ledger.notes import NoteError
from streams.ledger.policy import Policy
from streams.ledger_service.files import locked
from streams.logs import configure_logs
from streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from streams.ledger_service.collect import Collected


def collect(
    *,
    policy: Annotated[
        Path, typer.Option(metavar="FILE", help="The witnesses, their addresses, and how many are enough.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on every EVERYCENT_WITNESS_INTERVAL_S, until a signal.")
    ] = False,
) -> None:
    """Get the witnesses' cosignatures for the ledger in EVERYCENT_LEDGER_DIR, so that receipts carry them.

    It holds out one checkpoint of each log (witness/pending) until the policy is met, and then keeps it as the newest
    one that is cosigned (witness/checkpoint). Exit status: 0 each log has one, 1 a witness has cosigned another tree
    than the one that lies here, 3 there aren't enough cosignatures yet.

    Example: everycent ledger collect --policy policy.txt --follow
    """
    settings = load_settings()
    configure_logs(settings)
    rule = policy_from(policy)
    assert rule is not None
    if not any(witness.url for witness in rule.witnesses):
        raise UserError(f"--policy: {policy} names no witness with an address, so there is nobody to ask.")
    if status := asyncio.run(_collect(settings, rule, follow=follow)):
        raise typer.Exit(int(status))


async def _collect(settings: Settings, rule: Policy, *, follow: bool) -> ExitStatus:
    from streams.ledger_service.collect import Collector  # noqa: PLC0415 - aiohttp, other commands wait
    from streams.ledger_service.remote import Remote  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder = Path(settings.ledger_dir)
    told: list[Collected] = []
    with locked(folder / ".collect", "collecting cosignatures"):
        try:
            async with Remote() as remote:
                collector = Collector(folder, rule, remote, settings.witness_interval_s)
                while not stop.is_set():
                    found = await collector.collect()
                    _print([each for each in found if each not in told])
                    told = found
                    if not follow:
                        break
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), settings.witness_interval_s)
        except NoteError as error:
            raise UserError(f"the ledger in {folder} is damaged: {error}.") from error
        except OSError as error:
            raise UserError(f"{folder} can't be written: {error}.", ExitStatus.FAILED) from error
    if any(each.split for each in told):
        return ExitStatus.NOT_CONSERVED
    return ExitStatus.OK if follow or (told and all(each.is_met for each in told)) else ExitStatus.FAILED


def _print(found: "list[Collected]") -> None:
    for each in found:
        by = ", ".join(each.cosigners)
        done = (
            f"{each.size:,} leaves are cosigned by {by}"
            if each.is_met
            else "nothing is cosigned by enough witnesses yet"
        )
        print(f"{each.origin}: {done}; {each.waiting:,} wait", flush=True)
