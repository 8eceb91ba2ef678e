"""`everycent ledger witness`, put together: folders, addresses, metrics and the port of its own, until a signal."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from aiohttp import web

from streams.connections import Terms, listening
from streams.errors import ExitStatus, UserError
from streams.ledger.notes import KeyType, VerifierKey
from streams.ledger.policy import Policy
from streams.ledger.submission import ADD_CHECKPOINT, SUBMISSION_MAX_BYTES
from streams.ledger_service.files import Disk, locked
from streams.ledger_service.remote import Remote, check_address
from streams.ledger_service.witness import Outcome, Watch, WatchedLog, Witness, follow
from streams.ledger_service.witness_metrics import WitnessCollector
from streams.ledger_service.witness_store import ClockError, WitnessStore, load_witness_key
from streams.settings import Settings
from streams.supervision import Service, supervised

logger = structlog.get_logger(__name__)

_LOG_OF_LEDGER = re.compile(r".+/(donations/[0-9]+|seals)")
_PUBLIC = re.compile(
    r"witness\.txt|logs\.txt|logs/[0-9a-f]{64}/checkpoint|evidence/[0-9a-f]{16}-[a-z-]+-[0-9a-f]{16}\.json"
)
_HEADERS = {
    "Cache-Control": "public, max-age=1",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",  # it is for everybody
}

_NEVER_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_REFUSED = {**_NEVER_KEPT, "Content-Type": "text/plain; charset=utf-8"}
SUBMISSION_TIMEOUT_S = 10.0  # a request has a few kilobytes
CONNECTIONS_MAX = 500  # logs that send, and whoever asks for a file: each comes and goes
REQUEST_MAX_BYTES = 2 * SUBMISSION_MAX_BYTES  # with all that stands before it
IDLE_CONNECTION_S = 30.0
STUCK_S = 30.0  # who has taken nothing for so long has gone


@dataclass(frozen=True, slots=True)
class Port:
    """Where a witness serves its public folder itself; port 0: nowhere."""

    host: str
    port: int


def watched_logs(
    addresses: Sequence[str], keys: Collection[VerifierKey], *, may_send: bool = False
) -> list[WatchedLog]:
    """The logs at these addresses, by their keys. Raises UserError where it isn't clear which log is where.

    `may_send`: a log without an address sends its checkpoints itself.

    An address is that of one log, or of a whole ledger: then a key whose name ends in `/donations/3` or `/seals` is of
    the log that lies there below it.
    """
    by_origin: dict[str, list[VerifierKey]] = {}
    for key in keys:
        if key.kind is not KeyType.ED25519:
            raise UserError(f"--key: the key of {key.name!r} is a witness's, not a log's.")
        by_origin.setdefault(key.name, []).append(key)
    found: dict[str, WatchedLog] = {}
    for given in addresses:
        address = check_address(given, "--log")
        ending = _ending(address)
        fitting = (
            [origin for origin in by_origin if origin not in found and _ending(origin) == ending] if ending else []
        )
        if not ending:
            fitting = [origin for origin in by_origin if origin not in found]
        for origin in fitting:
            below = "" if ending else _ending(origin)
            if not below and len(fitting) > 1:
                raise UserError(f"--log: {given} may be of {' or '.join(fitting)}: give the address and key of each.")
            place = f"{address}/{below}" if below else address
            found[origin] = WatchedLog(origin, place, tuple(by_origin[origin]))
        if not fitting:
            raise UserError(f"--log: none of the keys is of a log at {given}.")
    if (unplaced := sorted(by_origin.keys() - found.keys())) and may_send:
        found |= {origin: WatchedLog(origin, "", tuple(by_origin[origin])) for origin in unplaced}
    elif unplaced:
        raise UserError(
            f"--key: nobody says where the log {unplaced[0]!r} is. Give its address with --log, or --port if it sends."
        )
    return list(found.values())


def logs_of_policy(policy: Policy, *, may_send: bool = False) -> list[WatchedLog]:
    """The logs that a policy names, at its addresses. Raises UserError where one has two, or, unless it sends, none."""
    found: dict[str, WatchedLog] = {}
    for log in policy.logs:
        if not log.url and not may_send:
            raise UserError(f"--policy: the log {log.key.name!r} has no address.")
        address = check_address(log.url, "--policy") if log.url else ""
        known = found.setdefault(log.key.name, WatchedLog(log.key.name, address, ()))
        if known.address != address:
            raise UserError(f"--policy: the log {log.key.name!r} has two addresses.")
        found[log.key.name] = replace(known, keys=(*known.keys, log.key))
    return list(found.values())


def _ending(name: str) -> str:
    found = _LOG_OF_LEDGER.fullmatch(name)
    return found[1] if found else ""


def wall_clock_s() -> int:
    return time.time_ns() // 1_000_000_000


async def run_witness(
    settings: Settings,
    watch: Watch,
    port: Port,
    stop: asyncio.Event,
    *,
    once: bool = False,
) -> ExitStatus:
    """Watch until `stop`, or look once; what it came to.

    Raises UserError for what a person must mend, a wrong clock among it.
    """
    folder = Path(settings.witness_dir)
    signer = load_witness_key(folder)
    with locked(folder, "being this witness"):
        store = WitnessStore(folder, Path(settings.witness_public), signer, Disk())
        try:
            store.open()
            async with AsyncExitStack() as stack:
                remote = await stack.enter_async_context(Remote())
                witness = Witness(store, watch, remote, wall_clock_s)
                await _serve(stack, settings, witness, port, once=once)
                logger.info("witness starts", key=str(store.key), logs=len(watch.logs), peers=len(watch.peers))
                await (witness.look() if once else follow(witness, stop, settings.witness_interval_s))
        except OSError as error:
            raise UserError(
                f"{folder} can't be written: {error}. Nothing more is cosigned.", ExitStatus.FAILED
            ) from error
    return _status([standing.outcome for standing in witness.standings.values()], once=once)


def _status(outcomes: Sequence[Outcome | None], *, once: bool) -> ExitStatus:
    if Outcome.ALARM in outcomes:
        return ExitStatus.NOT_CONSERVED
    if once and {Outcome.DOUBTFUL, Outcome.UNREACHABLE} & set(outcomes):
        return ExitStatus.FAILED
    return ExitStatus.OK


async def _serve(stack: AsyncExitStack, settings: Settings, witness: Witness, port: Port, *, once: bool) -> None:
    if once:
        return
    collector = WitnessCollector(lambda: witness.standings)
    stack.enter_context(supervised(settings, Service(collector, lambda: {"witness": witness.turns}, list)))
    if port.port:
        address = await stack.enter_async_context(serving_public(Path(settings.witness_public), port, witness))
        logger.info("cosignatures are served", address=address)


def _answer(witness: Witness, data: bytes) -> web.Response:
    """To a submission. Where the clock or the disk fails the witness's next look ends it."""
    unable = web.Response(status=503, text="this witness can't cosign just now\n")
    if witness.broken is not None:
        return unable
    try:
        added = witness.add_checkpoint(data)
    except ClockError:
        return unable
    except OSError as error:
        witness.broken = error
        return unable
    return web.Response(
        status=added.status, body=added.body.encode(), headers={**_NEVER_KEPT, "Content-Type": added.content_type}
    )


@asynccontextmanager
async def serving_public(folder: Path, port: Port, witness: Witness | None = None) -> AsyncIterator[str]:
    """The public folder over HTTP for as long as the block lasts; its address. Raises UserError.

    With a `witness` logs may also send it checkpoints (C2SP tlog-witness).
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if not _PUBLIC.fullmatch(path) or not await asyncio.to_thread((folder / path).is_file):
            raise web.HTTPNotFound
        kind = "application/json" if path.endswith(".json") else "text/plain; charset=utf-8"
        return web.FileResponse(folder / path, headers={**_HEADERS, "Content-Type": kind})

    async def add(request: web.Request) -> web.StreamResponse:
        assert witness is not None
        try:
            async with asyncio.timeout(SUBMISSION_TIMEOUT_S):
                data = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        return _answer(witness, data)

    app = web.Application(client_max_size=SUBMISSION_MAX_BYTES)
    if witness is not None:
        app.router.add_post(f"/{ADD_CHECKPOINT}", add)
    app.router.add_get("/{path:.+}", handle)
    async with AsyncExitStack() as stack:
        try:
            found_port = await stack.enter_async_context(listening(app, port.host, port.port, _terms()))
        except (OSError, UnicodeError) as error:  # a name that can't be one is the latter
            why = getattr(error, "strerror", None) or error
            raise UserError(f"can't listen on {port.host}:{port.port} ({why}): --port.") from error
        yield f"http://{port.host}:{found_port}"


def _terms() -> Terms:
    return Terms(
        connections_max=CONNECTIONS_MAX,
        request_max_bytes=REQUEST_MAX_BYTES,
        idle_s=IDLE_CONNECTION_S,
        stuck_s=STUCK_S,
        refusal=lambda status, why: web.Response(status=status, body=f"{why}\n".encode(), headers=_REFUSED),
        too_few_files="this process may open too few files for the witness's port (ulimit -n)",
    )
