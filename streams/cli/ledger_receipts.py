"""`everycent ledger receipt` and `everycent ledger verify`: a donor's proof, made and checked."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streams.cli.ledger_search import SearchProgress
from streams.errors import ExitStatus, UserError
from streams.ledger.notes import NoteError, VerifierKey
from streams.ledger.policy import POLICY_MAX_BYTES, Policy, PolicyError
from streams.ledger.receipt import RECEIPT_MAX_BYTES, Promise, ReceiptError, Verified, verify_receipt
from streams.ledger_service.keys import load_salts
from streams.settings import load_settings
from streams.views.money import format_yuan

KEYS_MAX_BYTES = 4_194_304  # as of a policy, which holds keys too
PolicyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Which witnesses must have cosigned (C2SP tlog-policy; docs/witnesses.md)."),
]


def receipt(
    donation_id: Annotated[str, typer.Argument(metavar="DONATION_ID", help="An order's id, a colon, and the line.")],
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it, best NAME.tlog-proof; without it: stdout.")
    ] = None,
    policy: PolicyFile = None,
) -> None:
    """Make a donor's receipt: one text file that proves, without us, that the donation is in the ledger.

    It opens the commitment to the donor, so it belongs to the donor alone. Needs the ledger's folder and the donors'
    secret (EVERYCENT_LEDGER_DIR, EVERYCENT_LEDGER_KEYS), no broker. What `everycent ledger index` hasn't taken in is
    looked through, 2 million leaves a second; from 2 s on it says how long that takes.

    Example: everycent ledger receipt 1400000000000000001:0 --output receipt.tlog-proof
    """
    from streams.ledger_service.receipts import receipt_of  # noqa: PLC0415 - it brings RocksDB

    settings = load_settings()
    salts = load_salts(Path(settings.ledger_keys))
    rule = policy_from(policy)
    with closing(SearchProgress()) as progress:
        folders = Path(settings.ledger_dir), Path(settings.ledger_index)
        made = receipt_of(*folders, salts, donation_id, rule, on_searched=progress)
    if output is None:
        sys.stdout.buffer.write(bytes(made))
    else:
        output.write_bytes(bytes(made))
        print(f"{output}: donation {donation_id}, leaf {made.index}, {len(made.proof)} hashes.")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt (.tlog-proof).")],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A verifier key (name+id+base64), or a file of them; may be repeated."),
    ] = None,
    policy: PolicyFile = None,
    buyer: Annotated[str | None, typer.Option(metavar="ID", help="The donor's id: is the donation theirs?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict as one JSON object.")] = False,
) -> None:
    """Check a receipt, offline: signature, inclusion, the donation itself, and with --buyer whose it is.

    With --policy also whether the witnesses that it asks for have cosigned; its logs' keys count beside those of --key.
    Exit status: 0 every promise holds, 1 one doesn't (which is said), 2 the file or the key can't be read. Take the key
    from where the programme has published it, not from who gave you the receipt.

    Example: everycent ledger verify receipt.tlog-proof --key keys.txt --buyer b350371
    """
    data = read_file(file, RECEIPT_MAX_BYTES)
    rule = policy_from(policy)
    keys = [each for text in key or () for each in keys_from(text)]
    if not keys and (rule is None or not rule.logs):
        raise UserError("whose receipt may it be? Give the log's key with --key, or a --policy with a line `log`.")
    try:
        verified = verify_receipt(data, keys, buyer, rule)
    except ReceiptError as error:
        if as_json:
            print(orjson.dumps({"valid": False, "failed": error.promise, "reason": str(error)}).decode())
        else:
            print(f"NOT VALID: the promise of its {error.promise} fails. {str(error)[0].upper()}{str(error)[1:]}.")
        raise typer.Exit(int(ExitStatus.NOT_CONSERVED)) from None
    if as_json:
        print(orjson.dumps(_verdict(verified)).decode())
        return
    for promise, text in _told(verified, rule):
        print(f"{promise:<10} {text}")
    print("VALID: every promise that was checked holds.")


def keys_from(text: str) -> list[VerifierKey]:
    """The verifier key, or those in the file of that name. Raises UserError."""
    path = Path(text)
    try:
        if "+" in text and not path.is_file():
            return [VerifierKey.parse(text)]
        with path.open("rb") as file:
            data = file.read(KEYS_MAX_BYTES + 1)
        if len(data) > KEYS_MAX_BYTES:
            raise UserError(f"--key: {text} has more than {KEYS_MAX_BYTES} bytes, so it's no file of keys.")
        return [VerifierKey.parse(line) for line in data.decode().split()]
    except NoteError as error:
        raise UserError(f"--key: {error}") from None
    except UnicodeDecodeError:
        raise UserError(f"--key: {text} is no file of keys: it is no text.") from None
    except OSError as error:
        raise UserError(f"--key: {text!r} is no verifier key, and no file of them ({error.strerror}).") from None


def policy_from(path: Path | None) -> Policy | None:
    """The policy in a file. Raises UserError."""
    if path is None:
        return None
    try:
        return Policy.parse(read_file(path, POLICY_MAX_BYTES))
    except PolicyError as error:
        raise UserError(f"--policy: {path}: {error}.") from None


def read_file(path: Path, limit: int) -> bytes:
    """What a stranger may have sent: so much of it that whoever reads it knows if it's too long. Raises UserError."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from None


def _verdict(verified: Verified) -> dict[str, object]:
    return {
        "valid": True,
        "log": verified.checkpoint.origin,
        "tree_size": verified.checkpoint.size,
        "signed_by": [str(key) for key in verified.signed_by],
        "cosigned_by": [{"key": str(key), "at_s": at_s} for key, at_s in verified.cosigned_by],
        "donor_checked": verified.donor_checked,
        "donation": {name: getattr(verified.leaf, name) for name in verified.leaf.__struct_fields__},
    }


def _told(verified: Verified, policy: Policy | None) -> list[tuple[Promise, str]]:
    leaf, checkpoint = verified.leaf, verified.checkpoint
    donor = "it is the given buyer's" if verified.donor_checked else "not checked: give --buyer"
    return [
        (Promise.FORM, "a receipt, written as it must be"),
        (Promise.SIGNATURE, f"signed by {checkpoint.origin} (key {verified.signed_by[0].id:08x})"),
        (Promise.WITNESSES, _told_witnesses(verified, policy)),
        (Promise.INCLUSION, f"leaf {leaf.seq} of the {checkpoint.size} that were signed"),
        (Promise.ENTRY, f"donation {leaf.donation_id}: {format_yuan(leaf.fen)} yuan to {leaf.project_id}"),
        (Promise.DONOR, donor),
    ]


def _told_witnesses(verified: Verified, policy: Policy | None) -> str:
    if policy is None:
        return "not checked: give --policy"
    seen = [f"{policy.names_of([key])[0]} ({_utc(at_s)})" for key, at_s in verified.cosigned_by]
    return f"{policy.quorum!r} is met: cosigned by {', '.join(seen) or 'nobody'}"


def _utc(at_s: int) -> str:
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):
        return f"{at_s} s since 1970"
