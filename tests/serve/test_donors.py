"""A donor's donation over HTTP: to the holder of a signed link and to nobody else, who learns nothing at all."""

import asyncio
import re

import pytest
import structlog

from streams.errors import UserError
from streams.ledger.links import links_origin, open_link
from streams.ledger.notes import SignerKey
from streams.ledger.receipt import verify_receipt
from streams.ledger_service.index import open_index
from streams.ledger_service.receipts import update_index
from streams.serve import limits
from streams.serve.donors import REFUSED, AskLimit, ReceiptDesk, read_link_keys
from streams.serve.http import SECURITY_HEADERS
from streams.verify_page.build import build_page
from tests.ledger.parts import SIGNER
from tests.serve.donors import BUYER, DONATION, LINK_KEY, NOON_S, WEEK_S, make_ledger, serve_donors, token_for
from tests.serve.world import serving_state

KEYS = (SIGNER.verifier,)


@pytest.fixture
def ledger(tmp_path):
    return make_ledger(tmp_path)


@pytest.fixture
async def api(tmp_path, ledger):
    async with serving_state(tmp_path / "state", prepare=serve_donors(ledger)) as api:
        yield api


def ask(api, token):
    return api.get("/donation/receipt", Authorization=f"Bearer {token}")


@pytest.mark.parametrize("indexed", [False, True])
async def test_the_holder_of_a_link_gets_the_receipt_which_verifies_as_theirs(api, ledger, indexed):
    if indexed:
        with open_index(ledger.parent / "index", write=True) as index:
            update_index(index, ledger)
    response, body = await ask(api, token_for())
    assert response.status == 200
    verified = verify_receipt(body, KEYS, BUYER)
    assert verified.donor_checked
    assert verified.leaf.donation_id == DONATION
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Link-Expires-At-S"] == str(NOON_S + WEEK_S)
    assert "attachment" in response.headers["Content-Disposition"]
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_whoever_has_no_right_link_gets_one_answer_whatever_there_is(api):
    good = token_for()
    others = SignerKey.from_seed(links_origin("everycent.test"), b"\x01" * 32)
    given = [
        "", "Bearer", "Bearer ", f"Bearer {good}x", f"Bearer {good[:-1]}", f"bearer {good}", f"Bearer  {good}", good,
        f"Basic {good}", f"Bearer {DONATION}", f"Bearer {'A' * 8_000}", f"Bearer {'A' * 300}", "Bearer é",
        f"Bearer {token_for(expires_at_s=NOON_S)}", f"Bearer {token_for(expires_at_s=1)}",
        f"Bearer {token_for('1:1', expires_at_s=NOON_S)}", f"Bearer {token_for(signer=others)}",
        f"Bearer {token_for('1:1', signer=others)}",
    ]  # fmt: skip
    answers = set()
    for each in given:
        response, body = await api.get("/donation/receipt", Authorization=each)
        headers = {name: value for name, value in response.headers.items() if name != "Date"}
        answers.add((response.status, body, tuple(sorted(headers.items()))))
    response, body = await api.get(f"/donation/receipt?id={DONATION}&token={good}")
    assert (response.status, body) == next(iter(answers))[:2]
    assert len(answers) == 1
    status, body, headers = answers.pop()
    assert status == 404
    assert REFUSED.encode() in body
    assert dict(headers)["Cache-Control"] == "no-store"


async def test_nothing_of_the_ledger_is_looked_at_for_whoever_has_no_right_link(tmp_path):
    """There is no ledger here at all: with a right link that shows, without one it doesn't."""
    async with serving_state(tmp_path / "state", prepare=serve_donors(tmp_path / "none")) as api:
        for wrong in ("", token_for()[:-1], token_for(expires_at_s=NOON_S)):
            response, _ = await ask(api, wrong)
            assert response.status == 404
        with structlog.testing.capture_logs() as logs:
            response, body = await ask(api, token_for())
        assert response.status == 503
        assert response.headers["Retry-After"] == "10"
        assert b"none" not in body
    assert "there is no ledger" in logs[0]["why"]


async def test_a_donation_that_is_not_there_yet_is_said_to_come_and_the_log_names_no_donation_and_no_token(api):
    token = token_for("1500000000000000000:0")
    with structlog.testing.capture_logs() as logs:
        response, _ = await ask(api, token)
        await ask(api, token_for())
        await ask(api, "wrong")
    assert response.status == 503
    assert len(logs) == 1
    assert "has no donation" in logs[0]["why"]
    assert "1500000000000000000" not in str(logs)
    assert token not in str(logs)


async def test_the_page_is_the_same_for_everybody_and_no_token_is_part_of_an_address(api):
    response, body = await api.get("/donation/")
    assert response.status == 200
    assert body == (await api.get("/"))[1]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Content-Security-Policy"] == SECURITY_HEADERS["Content-Security-Policy"]
    for path in (f"/donation/{token_for()}", f"/donation/{DONATION}", "/donation"):
        assert (await api.get(path))[0].status == 404


async def test_a_link_that_is_used_without_end_has_to_wait_and_others_do_not(api):
    token, other = token_for(), token_for("1400000000000000301:0")
    for _ in range(limits.LINK_ASKS_MAX):
        assert (await ask(api, token))[0].status == 200
    response, _ = await ask(api, token)
    assert response.status == 429
    assert (await ask(api, other))[0].status == 200


def test_the_limit_forgets_after_its_window_and_keeps_no_more_links_than_it_may(monkeypatch):
    now = [0.0]
    asks = AskLimit(lambda: now[0])
    assert [asks.allows("a") for _ in range(limits.LINK_ASKS_MAX + 2)] == [True] * limits.LINK_ASKS_MAX + [False] * 2
    now[0] = limits.LINK_ASKS_WINDOW_S
    assert asks.allows("a")
    for number in range(limits.LINKS_REMEMBERED + 10):
        asks.allows(str(number))
    assert len(asks._asked) == limits.LINKS_REMEMBERED


async def test_few_receipts_are_made_at_once_and_few_wait(ledger, monkeypatch):
    monkeypatch.setattr(limits, "RECEIPTS_AT_ONCE", 1)
    monkeypatch.setattr(limits, "RECEIPTS_WAITING_MAX", 3)
    desk = ReceiptDesk(ledger, ledger.parent / "index")
    link = open_link(token_for(), (LINK_KEY.verifier,), NOON_S)
    made = await asyncio.gather(*(desk.receipt_for(link) for _ in range(5)))
    assert [one is not None for one in made] == [True] * 3 + [False] * 2
    assert await desk.receipt_for(link) is not None


async def test_without_keys_for_links_there_is_no_such_page(tmp_path):
    async with serving_state(tmp_path / "state") as api:
        for path in ("/donation/", "/donation/receipt"):
            assert (await api.get(path))[0].status == 404


async def test_verify_html_is_served_under_its_own_policy_with_the_ledgers_keys_as_they_stand(api, ledger):
    built = build_page(KEYS)
    response, body = await api.get("/verify.html")
    assert body == built.content
    assert response.headers["Content-Security-Policy"] == f"{built.policy}; frame-ancestors 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    (ledger / "keys.txt").write_text("damaged")
    assert (await api.get("/verify.html"))[1] == build_page().content
    (ledger / "keys.txt").unlink()
    assert (await api.get("/verify.html"))[1] == build_page().content


def test_a_file_of_keys_that_can_not_be_used_is_told_in_one_line_without_what_it_holds(tmp_path):
    path = tmp_path / "link-keys.txt"
    path.write_text(f"{LINK_KEY.verifier}\n{SIGNER.verifier}\n")
    assert read_link_keys(path) == (LINK_KEY.verifier, SIGNER.verifier)
    for text, told in (
        ("", "holds no key"),
        ("nonsense", "not a verifier key"),
        (LINK_KEY.secret_text(), "holds private keys"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=told) as error:
            read_link_keys(path)
        assert not re.search(r"[A-Za-z0-9+/]{40}", str(error.value).replace(str(path), ""))
    with pytest.raises(UserError, match="can't be read"):
        read_link_keys(tmp_path / "none")
