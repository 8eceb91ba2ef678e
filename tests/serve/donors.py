"""What the tests of the donors' page share: a ledger of two logs that lies in a folder, and links to its donations."""

from streams.ledger.links import DonorLink, links_origin, sign_link
from streams.ledger.notes import SignerKey
from streams.serve.donors import ReceiptDesk, add_donors
from streams.serve.verify_file import add_verify_page
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, entries, publish, writer
from tests.serve.parts import NOON_MS

LINK_KEY = SignerKey.from_seed(links_origin("everycent.test"), b"\x09" * 32)
DONATION, BUYER = "1400000000000000300:0", "b9"
NOON_S = NOON_MS // 1_000
WEEK_S = 7 * 86_400


def make_ledger(folder):
    """A ledger of one log with 700 donations, in the folder `ledger`."""
    log = writer(folder)
    log.open()
    log.append(entries(0, 700))
    publish(log)
    ledger = folder / "ledger"
    (ledger / "donations").mkdir(parents=True)
    log.folder.rename(ledger / "donations" / "0")
    (ledger / "keys.txt").write_text(f"{SIGNER.verifier}\n{SignerKey.from_seed('x/seals', bytes(32)).verifier}\n")
    assert SIGNER.verifier.name == ORIGIN
    return ledger


def token_for(donation_id=DONATION, *, expires_at_s=NOON_S + WEEK_S, signer=LINK_KEY):
    return sign_link(DonorLink(donation_id, SALTS.of(donation_id), expires_at_s), signer)


def serve_donors(ledger, clock=lambda: NOON_S, keys=(LINK_KEY.verifier,)):
    """For `serving_state(prepare=…)`."""

    def prepare(app):
        add_verify_page(app, ledger)
        add_donors(app, ReceiptDesk(ledger, ledger.parent / "index"), keys, clock)

    return prepare
