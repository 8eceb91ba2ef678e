"""`everycent ledger …`: the public ledger, from its keys to the check of a receipt."""

import asyncio
import gc
import signal
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streams.cli import progress
from streams.cli.groups import Group
from streams.cli.ledger_collect import collect
from streams.cli.ledger_fsck import fsck
from streams.cli.ledger_links import link, link_keygen, recall_link
from streams.cli.ledger_page import verify_page
from streams.cli.ledger_receipts import receipt, verify
from streams.cli.ledger_seals import check_day, seal
from streams.cli.ledger_witness import evidence, witness, witness_keygen
from streams.errors import UserError
from streams.ledger_service.keys import log_origin, make_keys, seals_origin
from streams.logs import configure_logs
from streams.settings import load_settings

GC_THRESHOLD = 200_000  # records come and go by ten thousands and hold no cycles

ledger = typer.Typer(
    help="Keep the public ledger of all donations, and check it.",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@ledger.command()
def keygen(
    *,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Of `donations`. By default EVERYCENT_PARTITIONS, which is 8 if not set."),
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a further key for each log, to sign beside the older ones.")
    ] = False,
    retire: Annotated[
        bool, typer.Option("--retire", help="Drop all keys of each log but its newest one, once that has signed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Make the keys that are missing, for each log and the seals, and the donors' secret; print the public halves.

    The secrets go into EVERYCENT_LEDGER_KEYS, for this user's eyes only. Back that folder up: without the donors'
    secret no receipt can be made, and the ledger can't be built again. A line of what is printed is a verifier key
    (name+id+base64, as C2SP signed-note has it), for donors, witnesses and newspapers.

    Example: EVERYCENT_LEDGER_NAME=ledger.example.org everycent ledger keygen --partitions 8
    """
    settings = load_settings()
    if rotate and retire:
        raise UserError("--rotate and --retire: first rotate, run the ledger, and then retire.")
    origins = [log_origin(settings.ledger_name, number) for number in range(partitions or settings.partitions)]
    origins.append(seals_origin(settings.ledger_name))
    for key in make_keys(Path(settings.ledger_keys), origins, rotate=rotate, retire=retire):
        print(orjson.dumps({"log": key.name, "key": str(key)}).decode() if as_json else key)


@ledger.command()
def run(
    *,
    partitions: Annotated[
        str, typer.Option(metavar="0,1,…", help="Only these partitions of `donations`; without it: all.")
    ] = "",
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End once all that is there now is published, instead of going on.")
    ] = False,
) -> None:
    """Follow `donations` and keep the public ledger in EVERYCENT_LEDGER_DIR, until a signal.

    One process keeps a folder. It goes on from whatever checkpoints lie there, so it may be killed at any time. It
    ends with exit status 2 rather than sign what contradicts anything that it has signed before.

    Example: EVERYCENT_LEDGER_NAME=ledger.example.org EVERYCENT_LEDGER_DIR=/srv/ledger everycent ledger run
    """
    from streams.ledger_service.follow import run_ledger  # noqa: PLC0415 - it brings aiokafka, other commands wait

    wanted = [word.strip() for word in partitions.split(",") if word.strip()]
    for word in wanted:
        if not word.isdecimal():
            raise UserError(f"--partitions: {word!r} is not a partition's number.")
    settings = load_settings()
    configure_logs(settings)

    gc.set_threshold(GC_THRESHOLD)

    async def until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_ledger(settings, stop, [int(word) for word in wanted], until_end=until_end)

    asyncio.run(until_signal())


@ledger.command()
def index(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what comes, once a second, until Ctrl-C.")
    ] = False,
) -> None:
    """Bring the index from donations to their leaves up to date, in EVERYCENT_LEDGER_INDEX.

    Without it receipts are made all the same, but the ledger is looked through. It may be killed at any time, and its
    folder deleted: it is made again from the ledger.

    Example: everycent ledger index --follow
    """
    from streams.ledger_service.index import open_index  # noqa: PLC0415 - RocksDB, which no other command needs
    from streams.ledger_service.receipts import update_index  # noqa: PLC0415

    settings = load_settings()
    with open_index(Path(settings.ledger_index), write=True) as opened:
        assert opened is not None
        while True:
            taken, total = update_index(opened, Path(settings.ledger_dir), _tell_progress)
            progress.clear()
            if taken or not follow:
                print(f"{taken:,} donations taken in, {total:,} in the index.")
            if not follow:
                return
            time.sleep(1)


def _tell_progress(partition: int, position: int, size: int) -> None:
    progress.tell(f"partition {partition}: {position:,} of {size:,}")


ledger.command()(fsck)
ledger.command()(receipt)
ledger.command()(verify)
ledger.command(name="verify-page")(verify_page)
ledger.command(name="link-keygen")(link_keygen)
ledger.command()(link)
ledger.command(name="recall-link")(recall_link)
ledger.command()(seal)
ledger.command(name="check-day")(check_day)
ledger.command()(witness)
ledger.command(name="witness-keygen")(witness_keygen)
ledger.command()(evidence)
ledger.command()(collect)
