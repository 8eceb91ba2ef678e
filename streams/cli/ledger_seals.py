"""`everycent ledger seal` and `everycent ledger check-day`: each project's total of a day, sealed and checked."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from streams.cli import progress
from streams.cli.ledger_receipts import keys_from
from streams.errors import ExitStatus
from streams.ledger.seals import Seal, SealError
from streams.settings import load_settings
from streams.views.money import format_yuan

Day = Annotated[str, typer.Argument(metavar="DAY", help="Such as 2020-11-11, in the zone EVERYCENT_TIMEZONE.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a seal.")]


def seal(
    day: Day,
    *,
    idle_ok: Annotated[
        bool, typer.Option("--idle-ok", help="Seal though a log has nothing yet from after the day's end.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal a day that is over: each project's total, and the trees that it stands on, signed and in a log of its own.

    A day is over once every log holds a donation that is later than the day's end by EVERYCENT_ALLOWED_LATENESS_MS. Run
    it again when donations may have come late: then there is a further seal, which names the former one.

    Example: everycent ledger seal 2020-11-11
    """
    from streams.ledger_service.sealing import seal_day  # noqa: PLC0415 - it brings RocksDB

    sealed = seal_day(load_settings(), day, idle_ok=idle_ok, tell=_tell)
    if not as_json and not sealed.new:
        print(f"Nothing has come since seal {sealed.seal.number}.")
    _print(sealed.seal, as_json=as_json)


def check_day(
    day: Day,
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A verifier key, or a file of them. Without it: the ledger's own keys.txt."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add up a day again from the public entries alone, and compare with its seals. Needs the ledger's folder only.

    Exit status: 0 every seal of the day is right, 1 one isn't, 2 there is none, or it couldn't be told.

    Example: everycent ledger check-day 2020-11-11 --key keys.txt
    """
    from streams.errors import UserError  # noqa: PLC0415
    from streams.ledger_service.fsck import public_keys  # noqa: PLC0415 - aiokafka
    from streams.ledger_service.sealing import check_day as check  # noqa: PLC0415

    root = Path(load_settings().ledger_dir)
    keys = [each for text in key for each in keys_from(text)] if key else public_keys(root)
    try:
        seals = check(root, day, keys, _tell)
    except SealError as error:
        progress.clear()
        print(f"NOT RIGHT: {error}.")
        raise typer.Exit(int(ExitStatus.NOT_CONSERVED)) from None
    progress.clear()
    if not seals:
        raise UserError(f"there is no seal of {day} in {root}.")
    for each in seals:
        _print(each, as_json=as_json)


def _print(seal: Seal, *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps({name: getattr(seal, name) for name in seal.__struct_fields__}, default=_plain).decode())
        return
    leaves = sum(each.size for each in seal.logs)
    former = "" if seal.replaces is None else f", in place of seal {seal.replaces}"
    print(
        f"{seal.day} ({seal.timezone}), seal {seal.number}{former}: {seal.donations:,} donations, "
        f"{format_yuan(seal.fen)} yuan, {seal.projects:,} projects; over {leaves:,} leaves of {len(seal.logs)} logs"
    )


def _plain(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}  # type: ignore[attr-defined]


def _tell(origin: str, at: int, size: int) -> None:
    if at % 65_536 == 0:
        progress.tell(f"{origin}: {at:,} of {size:,} leaves")
