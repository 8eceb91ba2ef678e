"""All of it on one machine: broker, topics, workers, load, a live view, and the audit's verdict.

It only starts things and watches: each part is the ordinary command or the code behind it, and every figure is read
from the topics. It keeps nothing of its own; after a kill -9 nothing runs on, and only its folder is left behind.
"""

import asyncio
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from streams.demo_processes import EVERYCENT, Child, Crew, free_port, status_text
from streams.domain.load import ORDERS_MAX, SEED_MAX
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.leash import Leash
from streams.engine.topic_admin import create_topics, delete_topics
from streams.errors import ExitStatus, UserError
from streams.interruption import INTERRUPTED_STATUS, Interrupted, Interruption
from streams.settings import Settings, child_environment
from streams.views.audit import AuditReport, run_audit
from streams.views.audit_screen import AuditPhase, verdict
from streams.views.demo_screen import DemoSnapshot, top_line
from streams.views.demo_watch import DemoWatch, Figures, RateMeter
from streams.views.money import format_yuan

LIVE_ORDERS_PER_SECOND = 500  # more than a normal day's 317, and no load for a laptop
STALL_TIMEOUT_S = 120  # longer than any restart, rebalance or open transaction of a dead worker lasts
AUDIT_WAIT_S = 60  # for the last sums, which may wait for the transaction of a worker that has just died
TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What a demo does. `once`: it ends with the verdict; else it goes on with a live load."""

    orders: int
    workers: int
    seed: int
    once: bool
    command: str = "everycent"
    """How a person calls our commands."""
    worker_command: tuple[str, ...] = (*EVERYCENT, "worker")


class _Progress(NamedTuple):
    """So many orders were processed at that moment, monotonic seconds."""

    at_s: float
    orders: int


class Output(Protocol):
    """Where a demo shows itself."""

    interval_s: float

    def say(self, text: str) -> None: ...
    def show(self, snapshot: DemoSnapshot) -> None: ...
    def close(self) -> None: ...


def run_demo(settings: Settings, plan: DemoPlan, output: Output, *, own_broker: bool) -> int:
    """Run a demo to its end; the exit status. On a broker of its own, or else on the one that `settings` names.

    Raises UserError: no broker, or a part that can't run.
    """
    demo = _Demo(settings, plan, output)
    with Interruption(demo.end_at_once) as interruption:
        try:
            if own_broker:
                demo.start_broker()
            else:
                demo.use_named_broker()
            interruption.patient = True
            status = asyncio.run(demo.story(interruption))
        except (KeyboardInterrupt, Interrupted):
            interruption.patient = True
            demo.end(worth_keeping=False)
            output.say("Interrupted before the audit's verdict.")
            return INTERRUPTED_STATUS + interruption.number
        except BaseException:
            demo.end(worth_keeping=True)
            raise
        demo.end(worth_keeping=status != ExitStatus.OK)
        return int(status)


class _Demo:
    """One demo: its parts, and what is known of them."""

    def __init__(self, settings: Settings, plan: DemoPlan, output: Output) -> None:
        self._settings = settings
        self._plan = plan
        self._output = output
        self._folder = Path(tempfile.mkdtemp(prefix="everycent-demo-"))
        self._leash = Leash()
        self._broker: EmbeddedBroker | None = None
        self._crew: Crew | None = None
        self._load: Child | None = None
        self._page: Child | None = None
        self._watching: asyncio.Task[None] | None = None
        self._has_topics = False
        self._phase = "starting"
        self._hint = ""
        self._verdict = ""
        self._orders_wanted: int | None = plan.orders
        self._figures = Figures()
        self._sent_rate, self._processed_rate = RateMeter(), RateMeter()
        self._started_s = time.monotonic()
        self._progressed_s = self._started_s
        self._shown_s = 0.0
        self._load_began_s = self._started_s
        self._first_processed: _Progress | None = None

    def start_broker(self) -> None:
        """A Kafka of our own. What the environment says of another one's security doesn't apply to it."""
        self._output.say("Starting a real Apache Kafka for this demo alone; some seconds …")
        self._broker = EmbeddedBroker(self._folder / "broker")
        self._broker.start()
        plain = {"broker": self._broker.address, "broker_security_protocol": "PLAINTEXT", "metrics_port": 0}
        self._settings = self._settings.model_copy(update=plain)
        self._output.say(f"Kafka answers at {self._broker.address} after {self._elapsed_s} s.")

    def use_named_broker(self) -> None:
        """The broker of the settings, with topics, a group and transactions of our own on it."""
        unique = f"demo-{uuid.uuid4().hex[:8]}"
        ours = {"topic_prefix": f"{unique}-", "app_id": unique, "metrics_port": 0}
        self._settings = self._settings.model_copy(update=ours)
        self._output.say(f"Using the broker at {self._settings.broker}, with topics of the demo's own: {unique}-…")

    async def story(self, interruption: Interruption) -> ExitStatus:
        """From the topics to the verdict, and on. Raises Interrupted, UserError."""
        plan = self._plan
        await create_topics(self._settings)
        self._has_topics = True
        watch = DemoWatch(self._settings, self._on_look)
        self._watching = asyncio.create_task(watch.run())
        try:
            environment = child_environment(self._settings)
            self._crew = Crew(self._leash, plan.workers, plan.worker_command, self._folder, environment)
            self._crew.start()
            self._start_page(environment)
            self._output.say(
                f"{plan.workers} workers start; {plan.orders:,} orders (seed {plan.seed}) are on their way."
            )
            self._hint = (
                "Kill a worker (kill -9 PID) and see that every cent is still counted once. Ctrl-C ends the demo."
            )
            report = await self._batch(interruption)
            self._tell_verdict(report)
            if report.exit_status == ExitStatus.OK and not plan.once:
                with suppress(Interrupted):
                    await self._live(interruption)
            return report.exit_status
        finally:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def _start_page(self, environment: dict[str, str]) -> None:
        """The page, on its usual port if that is free. The demo goes on without it, should it end."""
        usual = self._settings.serve_port
        port = free_port(usual)
        command = [*EVERYCENT, "serve", "--host", "127.0.0.1", "--port", str(port)]
        own_folder = {**environment, "TMPDIR": str(self._folder)}  # so that its index goes with the demo's folder
        self._page = Child(self._leash, command, self._folder / "page.log", own_folder)
        why = f" (port {usual} is taken)" if usual not in {0, port} else ""
        self._output.say(f"Watch it live in a browser, in a moment: http://127.0.0.1:{port}/{why}")

    async def _batch(self, interruption: Interruption) -> AuditReport:
        """Load, process, audit."""
        plan = self._plan
        self._start_load("--orders", str(plan.orders), "--seed", str(plan.seed))
        await self._until(self._is_processed, interruption, self._batch_phase)
        speed = self._speed_text()
        self._phase = "auditing"
        progress = AuditPhase(self._set_phase)
        auditing = asyncio.create_task(run_audit(self._settings, wait_s=AUDIT_WAIT_S, progress=progress))
        try:
            await self._until(auditing.done, interruption)
        finally:
            auditing.cancel()
            await asyncio.wait([auditing])
        report = auditing.result()
        if report.conserved and report.counts.orders != plan.orders:
            message = f"{plan.orders:,} orders were sent, but {report.counts.orders:,} lie on the topic"
            raise UserError(message, ExitStatus.NOT_CONSERVED)
        if plan.once:
            self._leave_screen("done")
        self._output.say(speed)
        self._output.say(top_line(self._figures, 5))
        return report

    def _speed_text(self) -> str:
        """How fast it went from the first commit that was seen on; the workers' start would say little."""
        plan, seconds_in_all = self._plan, round(time.monotonic() - self._load_began_s)
        first = self._first_processed
        text = f"{plan.workers} workers processed {plan.orders:,} orders within {seconds_in_all} s of their start"
        seconds = round(time.monotonic() - first.at_s) if first else 0
        if first is None or seconds < 2:
            return f"{text}."
        per_second = (plan.orders - first.orders) // seconds
        return f"{text}, {per_second:,} a second once at work, on this machine with broker and load."

    async def _live(self, interruption: Interruption) -> None:
        """A steady load of the present until somebody ends it."""
        seed = (self._plan.seed + 1) % (SEED_MAX + 1)  # other orders: the same would be dropped as repeats
        rate = str(LIVE_ORDERS_PER_SECOND)
        self._start_load("--orders", str(ORDERS_MAX), "--seed", str(seed), "--rate", rate, "--live")
        self._orders_wanted = None
        self._phase = f"live, {rate} orders a second"
        self._output.say(f"Live now: {rate} orders a second until Ctrl-C. Look closer from another terminal:")
        self._output.say(f"  {self._look_closer()} totals --window all --top 10")
        await self._until(lambda: False, interruption)

    def _look_closer(self) -> str:
        words = [f"EVERYCENT_BROKER={self._settings.broker}"]
        if self._broker is None:
            words += [
                f"EVERYCENT_TOPIC_PREFIX={self._settings.topic_prefix}",
                f"EVERYCENT_APP_ID={self._settings.app_id}",
            ]
        return " ".join([*words, self._plan.command])

    def _start_load(self, *arguments: str) -> None:
        command = [*EVERYCENT, "simulate", *arguments, "--json"]
        self._load = Child(self._leash, command, self._folder / "load.log", child_environment(self._settings))
        self._load_began_s = time.monotonic()

    def _is_processed(self) -> bool:
        return self._load_status == 0 and self._figures.sent >= self._plan.orders and self._figures.lag == 0

    @property
    def _load_status(self) -> int | None:
        return None if self._load is None else self._load.exit_status

    def _batch_phase(self) -> str:
        if not self._figures.processed:
            return "workers start and share the work"
        return "orders come in" if self._load_status is None else "the rest is processed"

    async def _until(
        self, done: Callable[[], bool], interruption: Interruption, phase: Callable[[], str] | None = None
    ) -> None:
        """Show what goes on and look after the parts until `done`."""
        while not done():
            interruption.check()
            if phase is not None:
                self._phase = phase()
            self._check_parts()
            if time.monotonic() - self._shown_s >= self._output.interval_s:
                self._show()
            await asyncio.sleep(TICK_S)

    def _check_parts(self) -> None:
        """Raises UserError for a part without which the demo can't go on."""
        if self._broker is not None and not self._broker.is_running:
            raise UserError(f"the broker died; its log: {self._broker.log_path}", ExitStatus.FAILED)
        assert self._watching is not None
        assert self._crew is not None
        if self._watching.done():
            self._watching.result()
        for news in self._crew.check():
            self._output.say(news)
        if self._page is not None and self._page.exit_status is not None:
            self._output.say(f"The page {status_text(self._page.exit_status)}; {self._page.log_tail()}")
            self._page = None
        if self._load is not None and self._load.exit_status:
            what = status_text(self._load.exit_status)
            raise UserError(f"the load generator {what}; {self._load.log_tail()}", ExitStatus.FAILED)
        if self._figures.lag and time.monotonic() - self._progressed_s > STALL_TIMEOUT_S:
            message = f"no order has been processed for {STALL_TIMEOUT_S} s; see the workers' logs in {self._folder}"
            raise UserError(message, ExitStatus.FAILED)

    def _on_look(self, figures: Figures) -> None:
        if figures.processed != self._figures.processed or not figures.lag:
            self._progressed_s = time.monotonic()
        if self._first_processed is None and figures.processed:
            self._first_processed = _Progress(time.monotonic(), figures.processed)
        self._figures = figures
        now_ms = time.monotonic_ns() // 1_000_000
        self._sent_rate.add(now_ms, figures.sent)
        self._processed_rate.add(now_ms, figures.processed)

    def _set_phase(self, phase: str) -> None:
        self._phase = phase

    @property
    def _elapsed_s(self) -> int:
        return int(time.monotonic() - self._started_s)

    def _show(self) -> None:
        self._shown_s = time.monotonic()
        self._output.show(
            DemoSnapshot(
                self._phase,
                self._elapsed_s,
                self._orders_wanted,
                self._figures,
                self._sent_rate.per_second,
                self._processed_rate.per_second,
                self._crew.states if self._crew else (),
                self._hint,
                self._verdict,
            )
        )

    def _leave_screen(self, phase: str) -> None:
        """The last figures, without a hint that no longer holds."""
        if self._shown_s:
            self._phase, self._hint = phase, ""
            self._show()
            self._shown_s = 0.0
        self._output.close()

    def _tell_verdict(self, report: AuditReport) -> None:
        counts = report.counts
        if report.conserved:
            self._verdict = (
                f"Every cent counted once: {counts.orders:,} orders, {counts.donations:,} donations, "
                f"{format_yuan(counts.fen)} yuan; audit: conserved"
            )
            self._output.say(self._verdict)
            return
        self._output.say(verdict(report))
        for finding in report.findings[:5]:
            self._output.say(f"  {finding.text}")

    def end(self, *, worth_keeping: bool) -> None:
        """Load first, then the workers in order, the broker last; the folder goes unless it is `worth_keeping`."""
        self._leave_screen("ending")
        if self._load is not None and self._load.exit_status is None:
            self._load.ask_to_stop()
            self._load.wait_or_kill(5)
        if self._page is not None and self._page.exit_status is None:
            self._page.ask_to_stop()
            self._page.wait_or_kill(5)
        broker_died = self._broker is not None and not self._broker.is_running
        if self._crew is not None and not broker_died:  # without it no worker can leave in order
            self._crew.stop()
        self._leash.kill()
        if self._broker is None:
            self._leave_named_broker(worth_keeping)
        else:
            self._broker.stop()
        if worth_keeping and any(self._folder.iterdir()):
            self._output.say(f"Kept for a closer look, logs and all: {self._folder}")
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._verdict and not self._plan.once:
            figures = self._figures
            self._output.say(
                f"Ended in order after {self._elapsed_s} s: {figures.processed:,} orders processed, "
                f"{format_yuan(figures.fen)} yuan donated."
            )

    def _leave_named_broker(self, worth_keeping: bool) -> None:
        """Take our topics away again, unless somebody will want to look at them."""
        if not self._has_topics:
            return
        if worth_keeping:
            self._output.say(f"The topics are kept for a closer look: {self._look_closer()} audit")
            return
        try:
            asyncio.run(delete_topics(self._settings))
        except UserError as error:
            self._output.say(f"The demo's topics {self._settings.topic_prefix}… are left on the broker: {error}")

    def end_at_once(self) -> None:
        """Kill everything, wait for nothing."""
        self._leash.kill()
        if self._broker is not None:
            self._broker.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._output.close()
