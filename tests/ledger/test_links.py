"""A donor's link says what it says to the byte, for its time, and for the deployment whose key has signed it."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import UserError
from streams.ledger.links import LINK_MAX_CHARACTERS, DonorLink, LinkError, links_origin, open_link, sign_link
from streams.ledger.notes import SignerKey
from streams.ledger_service.keys import LINK_KEYS, load_link_key, load_salts, log_origin, make_keys, make_link_keys
from tests.ledger.test_receipt import environment, run  # noqa: F401 - a fixture

SIGNER = SignerKey.from_seed(links_origin("ledger.test"), b"\x07" * 32)
KEYS = (SIGNER.verifier,)
LINK = DonorLink("1400000000000000003:0", bytes(range(32)), 1_700_000_000)
TOKEN = sign_link(LINK, SIGNER)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(token, keys=KEYS, now_s=0):
    with pytest.raises(LinkError) as error:
        open_link(token, keys, now_s)
    assert str(error.value) == ""  # it says nothing of why
    return True


@given(
    st.text(min_size=1, max_size=70).filter(str.isprintable),
    st.binary(min_size=32, max_size=32),
    st.integers(1, 2**40 - 1),
)
def test_a_link_says_what_was_signed(donation_id, salt, expires_at_s):
    link = DonorLink(donation_id, salt, expires_at_s)
    token = sign_link(link, SIGNER)
    assert len(token) <= LINK_MAX_CHARACTERS
    assert open_link(token, KEYS, expires_at_s - 1) == link


def test_a_link_of_the_longest_ids_is_short_enough():
    assert len(sign_link(DonorLink("\U00020000" * 64 + ":65535", bytes(32), 1), SIGNER)) <= LINK_MAX_CHARACTERS


def test_it_works_until_its_end_and_not_at_it():
    assert open_link(TOKEN, KEYS, LINK.expires_at_s - 1) == LINK
    assert refused(TOKEN, now_s=LINK.expires_at_s)
    assert refused(TOKEN, now_s=2**60)


def test_every_letter_changed_to_every_other_is_refused():
    """Also where only bits change that count for nothing: a link has one form."""
    for at in range(len(TOKEN)):
        for letter in LETTERS:
            if letter != TOKEN[at]:
                assert refused(TOKEN[:at] + letter + TOKEN[at + 1 :])


def test_letters_taken_out_doubled_added_and_ends_cut_off_are_refused():
    for at in range(len(TOKEN)):
        assert refused(TOKEN[:at])
        assert refused(TOKEN[:at] + TOKEN[at + 1 :])
        assert refused(TOKEN[: at + 1] + TOKEN[at:])
    for other in (
        "",
        "=",
        TOKEN + "=",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN + "A",
        TOKEN * 9,
        "é" * 20,
        "A" * 600,
        "A" * 400,
    ):
        assert refused(other)


def test_another_key_another_deployments_key_and_a_logs_key_open_nothing():
    for other in (
        SignerKey.from_seed(SIGNER.verifier.name, b"\x01" * 32),
        SignerKey.from_seed(links_origin("other.test"), b"\x07" * 32),  # the same secret under another name
        SignerKey.from_seed(log_origin("ledger.test", 0), b"\x07" * 32),
    ):
        assert refused(TOKEN, (other.verifier,))
        assert open_link(TOKEN, (other.verifier, *KEYS), 0) == LINK
        assert refused(sign_link(LINK, other))
    assert refused(TOKEN, ())


def test_keys_rotate_the_newest_signs_and_a_key_that_is_gone_ends_its_links(tmp_path):
    first = make_link_keys(tmp_path, "ledger.test")
    assert make_link_keys(tmp_path, "ledger.test") == first
    old = sign_link(LINK, load_link_key(tmp_path, "ledger.test"))
    both = make_link_keys(tmp_path, "ledger.test", rotate=True)
    new = sign_link(LINK, load_link_key(tmp_path, "ledger.test"))
    assert both[0] == first[0]
    assert open_link(old, both, 0) == open_link(new, both, 0) == LINK
    newest = make_link_keys(tmp_path, "ledger.test", retire=True)
    assert newest == both[1:]
    assert open_link(new, newest, 0) == LINK
    assert refused(old, newest)
    assert stat.S_IMODE((tmp_path / LINK_KEYS).stat().st_mode) == 0o600
    with pytest.raises(UserError, match=r"no key for 'other\.test/links'"):
        load_link_key(tmp_path, "other.test")
    (tmp_path / LINK_KEYS).chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        load_link_key(tmp_path, "ledger.test")


def test_the_logs_keys_and_the_links_keys_know_nothing_of_each_other(tmp_path):
    logs = make_keys(tmp_path, [log_origin("ledger.test", 0)])
    make_link_keys(tmp_path, "ledger.test")
    assert make_keys(tmp_path, [log_origin("ledger.test", 0)]) == logs
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"signing-keys", "donor-secret", LINK_KEYS}


def test_commands_make_a_key_and_a_link_and_refuse_another_buyers_donation(environment, tmp_path):  # noqa: F811
    environment = {**environment, "EVERYCENT_LEDGER_NAME": "ledger.test"}
    donation_id = "1400000000000000300:1"
    before = run(environment, "link", donation_id)
    assert "link-keygen" in str(before.exception)
    keygen = run(environment, "link-keygen")
    assert keygen.output.startswith("ledger.test/links+")
    assert run(environment, "link-keygen").output == keygen.output
    done = run(environment, "link", donation_id, "--buyer", "b9", "--site", "https://give.example/")
    assert done.exit_code == 0, done.exception
    site, _, token = done.output.strip().partition("#")
    assert site == "https://give.example/donation/"
    link = open_link(token, make_link_keys(tmp_path / "keys", "ledger.test"), 0)
    assert link.donation_id == donation_id
    assert link.salt == load_salts(tmp_path / "keys").of(donation_id)
    for words, told in (
        ((donation_id, "--buyer", "b10"), "isn't that of the buyer 'b10'"),
        (("1:1",), "has no donation"),
        ((donation_id, "--site", "give.example"), "is no address"),
        ((donation_id, "--site", "https://a.example/#x"), "is no address"),
    ):
        wrong = run(environment, "link", *words)
        assert isinstance(wrong.exception, UserError), words
        assert told in str(wrong.exception)
        assert wrong.output == ""
    assert isinstance(run(environment, "link-keygen", "--rotate", "--retire").exception, UserError)
