"""`everycent demo`."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from streams.domain.load import SEED_MAX
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.views.demo_screen import DemoSnapshot, plain_line, render

DEFAULT_ORDERS = 200_000
DEFAULT_WORKERS = 2
ORDERS_MAX = 100_000_000
WORKERS_MAX = 64


def demo(
    *,
    orders: Annotated[int, typer.Option(min=1, max=ORDERS_MAX, help="How many orders to send.")] = DEFAULT_ORDERS,
    workers: Annotated[
        int, typer.Option(min=1, max=WORKERS_MAX, help="How many workers, each a process of its own.")
    ] = DEFAULT_WORKERS,
    once: Annotated[
        bool, typer.Option("--once", help="End with the audit's verdict, instead of going on with a live load.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=SEED_MAX, help="The same seed gives the same orders; without it: a new one, shown."),
    ] = None,
) -> None:
    """All of it on this machine: broker, topics, workers, load, live view, and the audit's verdict.

    Starts a real Apache Kafka in a temporary folder; where EVERYCENT_BROKER names a broker, that one is used instead,
    with topics of the demo's own. It prints the address of a page that shows all of it live. After the verdict it goes
    on with a steady live load until Ctrl-C.

    Exit status: 0 conserved, 1 not conserved, 2 could not tell, or no broker, 3 a part died.

    Example: everycent demo --orders 20000 --once
    """
    settings = load_settings()
    configure_logs(settings)
    console = Console()
    output = Screen(console) if console.is_terminal else Lines()
    from streams.demo import DemoPlan, run_demo  # noqa: PLC0415 - it brings aiokafka, other commands wait

    plan = DemoPlan(
        orders, workers, secrets.randbelow(SEED_MAX + 1) if seed is None else seed, once, command=_own_name()
    )
    own_broker = "broker" not in settings.model_fields_set
    raise typer.Exit(run_demo(settings, plan, output, own_broker=own_broker))


def _own_name() -> str:
    """How this command was called, for what we tell people to type."""
    return sys.argv[0] if Path(sys.argv[0]).name == "everycent" else "everycent"


class Screen:
    """A terminal: the figures stand still and change, what is said scrolls by above them."""

    interval_s = 0.2

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=text.startswith("  "))  # a command can be copied

    def show(self, snapshot: DemoSnapshot) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(render(snapshot, self._console.width, self._console.height), refresh=True)

    def close(self) -> None:
        """Leave the last figures on the screen, and the cursor below them."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Lines:
    """No terminal: a line a second."""

    interval_s = 1.0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def show(self, snapshot: DemoSnapshot) -> None:
        print(plain_line(snapshot), flush=True)

    def close(self) -> None:
        """Nothing stands on the screen."""
