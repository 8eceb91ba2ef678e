"""`everycent replay-rejected`: rejected orders that now pass, or mended ones, back into `orders`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from schemas.rejection import Reason
from streams.engine.refusals import explain
from streams.errors import UserError
from streams.logs import configure_logs
from streams.replay import MendedFileError, ReplayReport, replay_mended
from streams.replay import replay_rejected as replay
from streams.settings import load_settings
from streams.views.rejected import DETAIL_CHARACTERS, safe_text


def replay_rejected(
    *,
    reason: Annotated[
        Reason | None, typer.Option(help="Only orders that were refused for this reason. Not with --file.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="MENDED.jsonl", help="Instead: these mended orders, one JSON object a line."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and tell, but send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was done, as one JSON object.")] = False,
) -> None:
    """Put rejected orders back into `orders`: those that now pass as they are, or a mended file of them.

    Without --file: the orders that would be accepted now, byte for byte as they were sent; an order that was too far in
    the future and whose time has come, or all that a change of the limits lets pass. Nothing is mended silently, and a
    conflict is never replayed.

    With --file: every line is checked before anything is sent; if one is wrong, nothing is sent and the lines are
    named. The key of each is its buyer_id.

    Safe to repeat, to interrupt and to run twice at once: an order that has donated, or is on its way, isn't sent
    again, however long ago that was. An order without a pledge has nothing to donate and isn't sent. The rejected
    orders themselves stay where they are, as a record of what happened. Workers may go on running.

    \b
    What would be done:       everycent replay-rejected --dry-run
    A mended file of orders:  everycent replay-rejected --file mended.jsonl
    """  # noqa: D301 - \b is click's mark for lines to be left as they are
    settings = load_settings()
    configure_logs(settings)
    if file is not None and reason is not None:
        raise UserError("--reason chooses among the rejected orders, --file sends others: name one of them.")
    console = Console(stderr=True)
    try:
        with console.status("looking through rejected orders and donations"):
            if file is None:
                report = asyncio.run(replay(settings, reason, dry_run=dry_run))
            else:
                report = asyncio.run(replay_mended(settings, file, dry_run=dry_run))
    except MendedFileError as error:
        for number, fault in error.faults:
            print(f"{safe_text(str(file))}:{number}: {safe_text(fault, DETAIL_CHARACTERS)}", file=sys.stderr)
        raise
    except (KafkaError, OSError) as error:
        raise explain(settings, error) from error
    except KeyboardInterrupt:
        raise UserError("interrupted. Run it again to go on: what has been sent isn't sent twice.") from None
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        _print_report(report)


def _print_report(report: ReplayReport) -> None:
    rows = [
        (report.known, "not sent: donated already, or on the way"),
        (report.repeats, "not sent: the same order id again"),
        (report.conflicting, "not sent: one order id for different orders; mend one of them"),
        (report.without_pledge, "not sent: without a pledge, nothing to donate"),
        *((count, f"not sent: {reason}") for reason, count in sorted(report.refused.items())),
        (report.unreadable, "not sent: the headers that say what it is can't be read"),
    ]
    print(f"{report.replayed:>9,}  {'would be replayed' if report.dry_run else 'replayed'}")
    for count, what in rows:
        if count:
            print(f"{count:>9,}  {what}")
    for origin, place in report.known_places:
        print(f"{safe_text(origin)}: known from {safe_text(place, 300)}")
