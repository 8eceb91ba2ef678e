"""`everycent simulate`: realistic orders into the topic `orders`."""

import asyncio
import json
import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from streams.domain.load import DEFAULT_START_MS, DEFAULT_UNPLEDGED_SHARE, ORDERS_MAX, SEED_MAX, LoadPlan, Scenario
from streams.errors import UserError
from streams.settings import Settings, load_settings
from streams.simulation import Progress, run_simulation

PLAIN_PROGRESS_SECONDS = 2  # between two lines where there is no terminal
RATE_MIN = 0.1
INTERRUPTED_STATUS = 128  # plus the signal's number, as shells have it


def simulate(  # noqa: PLR0913, PLR0917 - one argument for each option
    orders: Annotated[int, typer.Option(min=1, max=ORDERS_MAX, help="How many good orders to send.")],
    rate: Annotated[
        float | None,
        typer.Option(min=RATE_MIN, help="Good orders a second of wall time; without it: as fast as it goes."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=SEED_MAX,
            help="The same seed and options give the same bytes; without it: a new one, shown at the end.",
        ),
    ] = None,
    scenario: Annotated[
        Scenario | None,
        typer.Option(
            help="Event time: steady (a normal day, 317 orders a second; the default) or double11 (15 times that, "
            "with a burst at the top of every hour).",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        float, typer.Option(min=0, max=1, help="Exact repeats of earlier orders on top, a share.")
    ] = 0.0,
    malformed: Annotated[float, typer.Option(min=0, max=1, help="Records to be refused on top, a share.")] = 0.0,
    unpledged: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the orders that give nothing.")
    ] = DEFAULT_UNPLEDGED_SHARE,
    start: Annotated[
        str | None,
        typer.Option(
            help="Event time of the first order, ISO 8601; EVERYCENT_TIMEZONE where it names no offset. "
            "Default: 2020-11-11T00:00:00+08:00.",
            show_default=False,
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Event times are the present, for demonstrations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
) -> None:
    """Send realistic, reproducible orders.

    30,000 projects of Zipf popularity, 480 million buyers, 2.5 million merchants. --orders counts good orders; repeats
    and malformed records come on top. Interrupt it (Ctrl-C) and it says how much the broker has.

    \b
    A normal day's orders, as fast as the broker takes them:
      everycent simulate --orders 200000 --seed 11
    A live demonstration with everything that goes wrong in practice:
      everycent simulate --orders 60000 --rate 1000 --live --repeats 0.01 --malformed 0.01
    """  # noqa: D301 - \b is click's mark for lines to be left as they are
    settings = load_settings()
    if live and (start is not None or scenario is not None):
        raise UserError("--live sets every event time to the present: leave out --start and --scenario.")
    plan = _plan(
        orders=orders,
        seed=secrets.randbelow(SEED_MAX + 1) if seed is None else seed,
        scenario=scenario or Scenario.STEADY,
        start_ms=DEFAULT_START_MS if start is None else _parse_start_ms(start, ZoneInfo(settings.timezone)),
        repeats_share=repeats,
        malformed_share=malformed,
        unpledged_share=unpledged,
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what goes wrong is told in one line, below
    with _show_progress(plan.orders) as on_progress:
        progress, signal_number = asyncio.run(_run(settings, plan, rate, live, on_progress))
    _show_summary(plan, live, progress, signal_number, as_json)
    if signal_number:
        raise typer.Exit(INTERRUPTED_STATUS + signal_number)


def _plan(**fields: Any) -> LoadPlan:
    try:
        return LoadPlan(**fields)
    except ValueError as error:
        raise UserError(f"--{error}") from None


def _parse_start_ms(text: str, zone: ZoneInfo) -> int:
    try:
        start = datetime.fromisoformat(text)
        moment = start if start.tzinfo else start.replace(tzinfo=zone)
        return round(moment.timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise UserError(f"--start {text!r} is not a time such as 2020-11-11T00:00:00+08:00.") from None


async def _run(
    settings: Settings, plan: LoadPlan, rate: float | None, live: bool, on_progress: Callable[[Progress], None]
) -> tuple[Progress, int]:
    """Run until done or until a signal; the signal's number comes back with what was sent, 0 if there was none."""
    stop = asyncio.Event()
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        received.append(number)
        loop.remove_signal_handler(number)  # a second Ctrl-C is for those who don't want to wait
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, int(number))
    progress = await run_simulation(
        settings, plan, orders_per_second=rate, live=live, stop=stop, on_progress=on_progress
    )
    finished = progress.orders == plan.orders
    return progress, 0 if finished or not received else received[0]


@contextmanager
def _show_progress(total_orders: int) -> Iterator[Callable[[Progress], None]]:
    """Progress on stderr, as stdout is the summary's: a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainProgress(total_orders)
        return
    columns = (
        TextColumn("orders"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("orders", total=total_orders, speed=0.0)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.orders, speed=progress.orders / max(progress.seconds, 1e-9))

        yield show


class _PlainProgress:
    """A line every few seconds."""

    def __init__(self, total_orders: int) -> None:
        self._total_orders = total_orders
        self._shown = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._shown >= PLAIN_PROGRESS_SECONDS:
            self._shown = now
            speed = progress.orders / max(progress.seconds, 1e-9)
            line = f"simulate: {progress.orders:,} of {self._total_orders:,} orders, {speed:,.0f}/s"
            print(line, file=sys.stderr, flush=True)


def _show_summary(plan: LoadPlan, live: bool, progress: Progress, signal_number: int, as_json: bool) -> None:
    seconds = max(progress.seconds, 1e-9)
    summary: dict[str, Any] = {
        "seed": plan.seed,
        "scenario": "live" if live else plan.scenario.value,
        "start_ms": None if live else plan.start_ms,
        "orders_planned": plan.orders,
        "orders": progress.orders,
        "repeats": progress.repeats,
        "malformed": progress.malformed,
        "records": progress.records,
        "expected_donations": progress.donations,
        "expected_fen": progress.fen,
        "value_bytes": progress.value_bytes,
        "seconds": round(progress.seconds, 3),
        "orders_per_second": round(progress.orders / seconds),
        "cpu_us_per_order": round(progress.cpu_seconds * 1e6 / max(progress.orders, 1), 2),
        "interrupted": bool(signal_number),
    }
    if as_json:
        print(json.dumps(summary), flush=True)
        return
    name = "interrupted" if signal_number else "sent"
    table = Table(
        title=f"{name}: {progress.orders:,} of {plan.orders:,} orders", show_header=False, title_justify="left"
    )
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("seed", str(plan.seed))
    table.add_row("scenario", summary["scenario"])
    table.add_row("orders", f"{progress.orders:,}")
    table.add_row("repeats", f"{progress.repeats:,}")
    table.add_row("malformed", f"{progress.malformed:,}")
    table.add_row("donations that must come of it", f"{progress.donations:,}")
    table.add_row("and their sum", f"{progress.fen // 100:,}.{progress.fen % 100:02d} yuan")
    table.add_row("time", f"{progress.seconds:,.1f} s")
    table.add_row("orders a second", f"{summary['orders_per_second']:,}")
    table.add_row("CPU an order", f"{summary['cpu_us_per_order']} µs")
    Console().print(table)
