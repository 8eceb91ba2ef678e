"""`everycent ledger witness`, `witness-keygen` and `evidence`: watch a log that others keep, and show what it did."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streams.cli.ledger_receipts import keys_from, policy_from, read_file
from streams.errors import ExitStatus, UserError
from streams.ledger.evidence import EVIDENCE_MAX_BYTES, Evidence, EvidenceError, check_evidence
from streams.ledger_service.witness_store import make_witness_key
from streams.logs import configure_logs
from streams.settings import load_settings

LogKeys = Annotated[
    list[str] | None, typer.Option("--key", metavar="KEY", help="A log's verifier key, or a file of them; repeatable.")
]


def witness_keygen(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the witness is called, such as charity.example/w1.")
    ],
) -> None:
    """Make a witness's key in EVERYCENT_WITNESS_DIR, for this user's eyes only, and print its public half.

    Publish what is printed (name+id+base64) where people find it: it belongs into their policies. The name is best an
    address without https://. If there is a key of that name already, only its public half is printed.

    Example: everycent ledger witness-keygen charity.example/witness
    """
    print(make_witness_key(Path(load_settings().witness_dir), name))


def witness(  # noqa: PLR0913 - options, by name
    *,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Address of a ledger or of one log, or a folder; may be repeated."),
    ] = None,
    key: LogKeys = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Watch the logs that a policy names, at its addresses.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another witness: were we shown the same? May be repeated."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    host: Annotated[str, typer.Option(help="Address to serve the cosignatures at, with --port.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Serve the cosignatures and take checkpoints by request here; 0: don't."),
    ] = 0,
) -> None:
    """Be a witness: cosign a log's newest checkpoint if the log has only grown, and raise the alarm otherwise.

    With --port logs may also send it their checkpoints (C2SP tlog-witness, POST …/add-checkpoint); one without a --log
    is known by what it sends alone. It cosigns into EVERYCENT_WITNESS_PUBLIC, which any web server may serve. Evidence
    goes to EVERYCENT_WITNESS_DIR. It looks every EVERYCENT_WITNESS_INTERVAL_S, until a signal. Exit status: 0 all is
    well, 1 an alarm stands, 2 settings, keys or the clock are wrong, 3 the disk failed; with --once also 3: a log
    couldn't be reached, or is in doubt.

    Example: everycent ledger witness --log https://ledger.example.org/ledger --key keys.txt --port 8081
    """
    from streams.ledger_service.remote import check_address  # noqa: PLC0415 - aiohttp, other commands wait
    from streams.ledger_service.witness import Watch  # noqa: PLC0415
    from streams.ledger_service.witness_run import Port, logs_of_policy, run_witness, watched_logs  # noqa: PLC0415

    settings = load_settings()
    configure_logs(settings)
    may_send = bool(port) and not once
    logs = watched_logs(log or (), [each for text in key or () for each in keys_from(text)], may_send=may_send)
    rule = policy_from(policy)
    logs += logs_of_policy(rule, may_send=may_send) if rule else []
    if not logs:
        raise UserError("which logs? Give --log URL and --key KEY, or a --policy that names some with their addresses.")
    if len({each.origin for each in logs}) < len(logs):
        raise UserError("a log is given twice, by --log and by --policy.")
    watch = Watch(logs, settings.witness_stale_s, [check_address(each, "--peer") for each in peer or ()])

    async def until_signal() -> ExitStatus:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await run_witness(settings, watch, Port(host, port), stop, once=once)

    if status := asyncio.run(until_signal()):
        raise typer.Exit(int(status))


def evidence(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What a witness has found (.json).")],
    *,
    key: Annotated[list[str], typer.Option(metavar="KEY", help="The log's verifier key, or a file of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="The verdict as one JSON object.")] = False,
) -> None:
    """Check a witness's evidence against a log, offline: whether the log's own signatures prove the charge.

    Exit status: 0 it is proven, 1 it isn't (which may mean: it is a witness's word), 2 the file can't be read or is of
    another log.

    Example: everycent ledger evidence 1f3a-rewritten-77.json --key keys.txt
    """
    try:
        found = Evidence.parse(read_file(file, EVIDENCE_MAX_BYTES))
        finding = check_evidence(found, [each for text in key for each in keys_from(text)])
    except EvidenceError as error:
        raise UserError(f"{file}: {error}.") from None
    if as_json:
        print(orjson.dumps({"proven": finding.proven, "charge": found.charge, "finding": finding.text}).decode())
    else:
        print(f"{'PROVEN' if finding.proven else 'NOT PROVEN'}: {finding.text}.")
    if not finding.proven:
        raise typer.Exit(int(ExitStatus.NOT_CONSERVED))
