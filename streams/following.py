"""`everycent audit --follow`: the following audit as a process, with its log lines, metrics and end.

Nothing of it survives: started again, it reads everything again from the oldest records.
"""

import asyncio
import signal

import orjson
import structlog

from streams.domain.audit_findings import Finding, Kind
from streams.errors import ExitStatus
from streams.metrics_server import ALL_INTERFACES
from streams.metrics_service import AUDIT_METRICS, AuditStanding, ServiceCollector
from streams.settings import Settings
from streams.supervision import Service, supervised
from streams.views.audit_follow import Follower
from streams.views.money import format_yuan

logger = structlog.get_logger(__name__)

STATUS_EVERY_S = 30.0
CATCHING_UP = "the audit hasn't yet checked all that stood on the topics when it started"


async def follow_workers(
    settings: Settings,
    *,
    as_json: bool = False,
    status_every_s: float = STATUS_EVERY_S,
    metrics_address: str = ALL_INTERFACES,
) -> ExitStatus:
    """Follow until SIGTERM or SIGINT, and say whether all was conserved. Raises UserError for what a person can mend.

    A signal counts from the first moment, also while no broker answers.
    """
    stop_asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_asked.set)
    teller = _Teller(as_json=as_json)
    following = asyncio.ensure_future(_follow(settings, teller, status_every_s, metrics_address))
    stopping = asyncio.ensure_future(stop_asked.wait())
    await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        stopping.cancel()
        following.result()  # raises: it never ends by itself
    following.cancel()
    await asyncio.wait([following])
    return ExitStatus.NOT_CONSERVED if teller.findings else ExitStatus.OK


async def _follow(settings: Settings, teller: "_Teller", status_every_s: float, metrics_address: str) -> None:
    async with Follower(settings, teller.found) as follower:
        logger.info("audit starts at the oldest records", broker=settings.broker, app_id=settings.app_id)

        def standing() -> AuditStanding:
            found = follower.standing.finding_counts
            counts = {kind.value: found.get(kind, 0) for kind in Kind}
            return AuditStanding(counts, follower.standing.checked, follower.lag_s)

        telling = asyncio.ensure_future(_tell_status(follower, teller, status_every_s))
        try:
            service = Service(
                ServiceCollector(AUDIT_METRICS, standing),
                turns=lambda: {"the audit": follower.turns},
                readiness=lambda: [] if follower.has_caught_up else [CATCHING_UP],
            )
            with supervised(settings, service, metrics_address=metrics_address):
                await follower.run()
        finally:
            telling.cancel()
            teller.status(follower)


async def _tell_status(follower: Follower, teller: "_Teller", every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        teller.status(follower)


class _Teller:
    """Writes down what the audit says: log lines for people, and objects on stdout for programs that asked for them."""

    def __init__(self, *, as_json: bool) -> None:
        self.findings = 0
        self._as_json = as_json

    def found(self, finding: Finding) -> None:
        self.findings += 1
        logger.error(
            "NOT CONSERVED",
            kind=finding.kind.value,
            place=finding.place,
            expected=finding.expected,
            found=finding.found,
            what=finding.text,
        )
        self._print({"finding": finding.to_json()})

    def status(self, follower: Follower) -> None:
        standing = follower.standing
        counts = standing.counts
        tell = logger.info if standing.conserved else logger.error
        tell(
            "conserved so far" if standing.conserved else "NOT CONSERVED",
            orders=counts.orders,
            donations=counts.donations,
            yuan=format_yuan(counts.fen),
            totals_checked=standing.totals_checked,
            lag_s=round(follower.lag_s, 1),
            findings=sum(standing.finding_counts.values()),
        )
        self._print({"status": standing.to_json(follower.lag_s)})

    def _print(self, what: object) -> None:
        if self._as_json:
            print(orjson.dumps(what).decode(), flush=True)
