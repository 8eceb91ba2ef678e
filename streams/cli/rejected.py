"""`everycent rejected`: which orders were refused, and why."""

import asyncio
import json
import sys
from collections import Counter
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from aiokafka.errors import KafkaError

from schemas.rejection import Reason
from streams.engine.reader import open_reader
from streams.engine.refusals import explain
from streams.logs import configure_logs
from streams.settings import Settings, load_settings
from streams.views.rejected import read_rejected, rejected_json, rejected_lines


def rejected(
    *,
    reason: Annotated[Reason | None, typer.Option(help="Only those refused for this reason.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Show no more than so many; all are counted.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a line, with all that was sent; the counts are the last line."),
    ] = False,
) -> None:
    """List the rejected orders: when, why, where they came in, what is wrong, and how what was sent begins.

    The times are those at which they came in, in the zone EVERYCENT_TIMEZONE. What was sent is shown with everything
    escaped that a terminal would act upon. By partition, oldest first; the counts by reason come last.

    \b
    Take those that are to be mended into a file, one order a line (see `everycent replay-rejected --help`):
      everycent rejected --reason invalid --json | jq -r '.value // empty | gsub("[\\r\\n]"; " ")' > mended.jsonl
    """  # noqa: D301 - \b is click's mark for lines to be left as they are
    settings = load_settings()
    configure_logs(settings)
    if sys.stdout.encoding.lower() != "utf-8":  # ids may be Chinese, a terminal may not
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    counts = asyncio.run(_list(settings, reason, limit, as_json))
    if as_json:
        print(json.dumps({"counts": dict(sorted(counts.items())), "total": counts.total()}))
        return
    if not counts:
        print("No rejected orders." if reason is None else f"No orders were refused as {reason}.")
        return
    print(f"{counts.total():,} rejected: " + ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())))


async def _list(settings: Settings, reason: Reason | None, limit: int | None, as_json: bool) -> Counter[str]:
    zone = ZoneInfo(settings.timezone)
    counts: Counter[str] = Counter()
    try:
        async with open_reader(settings) as reader:
            async for order in read_rejected(settings, reader, reason):
                counts[order.reason] += 1
                if limit is not None and counts.total() > limit:
                    continue
                if as_json:
                    print(json.dumps(rejected_json(order, zone)))  # ASCII: what isn't printable is escaped
                else:
                    print(*rejected_lines(order, zone), sep="\n")
    except BrokenPipeError:  # whoever read us has seen enough; click ends the command
        raise
    except (KafkaError, OSError) as error:
        raise explain(settings, error) from error
    return counts
