"""`everycent ledger fsck`: whether everything that was published is what the donations give."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli import progress
from streams.cli.ledger_receipts import keys_from
from streams.errors import ExitStatus
from streams.logs import configure_logs
from streams.settings import load_settings

if TYPE_CHECKING:
    from streams.ledger_service.fsck import LogReport

LogKey = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY", help="A verifier key, or a file of them; may be repeated. Without it: the ledger's own keys.txt."
    ),
]


def fsck(
    *,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Ask no broker: check the files by themselves, as a stranger can.")
    ] = False,
    key: LogKey = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Remember here how far it has come, and go on from there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a log.")] = False,
) -> None:
    """Derive the ledger again from its entries, and compare: with the donations, the tiles, all that was signed.

    Each log is checked up to its first difference. Exit status: 0 all is right, 1 something differs, 2 it couldn't be
    told. With --files-only it needs nothing but the ledger's folder.

    Example: everycent ledger fsck --state /var/lib/everycent/fsck.json
    """
    from streams.ledger_service.fsck import Sources, check_log, public_keys, remembered  # noqa: PLC0415 - aiokafka
    from streams.ledger_service.receipts import logs_in  # noqa: PLC0415

    settings = load_settings()
    configure_logs(settings)
    folder = Path(settings.ledger_dir)
    keys = [each for text in key for each in keys_from(text)] if key else public_keys(folder)
    partitions = list(logs_in(folder))

    async def check_all() -> "list[LogReport]":
        topic, signed = (None, []) if files_only else await remembered(settings)
        sources = Sources(folder, keys, topic, signed, state, settings.native)
        found: list[LogReport] = []
        for partition in partitions:
            found.append(await check_log(sources, partition, partial(_tell, partition)))
            _print(found[-1], as_json=as_json)
        return found

    if any(report.difference for report in asyncio.run(check_all())):
        raise typer.Exit(int(ExitStatus.NOT_CONSERVED))


def _print(report: "LogReport", *, as_json: bool) -> None:
    progress.clear()
    if as_json:
        print(orjson.dumps(report).decode(), flush=True)
        return
    since = f" ({report.resumed_at:,} of them before)" if report.resumed_at else ""
    if report.difference:
        print(f"log {report.partition}: DIFFERS, behind {report.leaves:,} right leaves{since}: {report.difference}")
        return
    waiting = (
        "" if report.waiting is None else f", as their donations are; {report.waiting:,} donations wait for theirs"
    )
    print(f"log {report.partition}: {report.leaves:,} leaves are right{since}{waiting}", flush=True)


def _tell(partition: int, at: int, size: int) -> None:
    progress.tell(f"log {partition}: {at:,} of {size:,} leaves")
