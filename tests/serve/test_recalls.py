"""A donor's link that was called back works no more, at once and without a restart; the others go on."""

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.links import DonorLink, link_digest, sign_link
from streams.ledger_service.keys import load_link_key, make_link_keys
from streams.serve import limits
from streams.serve.donors import REFUSED, ReceiptDesk, add_donors
from streams.serve.recalls import RecalledLinks
from tests.serve.donors import LINK_KEY, NOON_S, make_ledger, token_for
from tests.serve.world import serving_state

FIRST, SECOND = token_for(), token_for(expires_at_s=NOON_S + 60)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "recalled.txt"
    found.write_text("")
    return found


async def test_a_link_that_was_called_back_is_answered_as_one_that_never_worked(tmp_path, path):
    ledger = make_ledger(tmp_path)

    def prepare(app):
        desk = ReceiptDesk(ledger, tmp_path / "index")
        add_donors(app, desk, (LINK_KEY.verifier,), lambda: NOON_S, RecalledLinks(path))

    async with serving_state(tmp_path / "state", prepare=prepare) as api:

        async def status(token):
            response, body = await api.get("/donation/receipt", Authorization=f"Bearer {token}")
            return response.status, REFUSED in body.decode()

        assert [await status(token) for token in (FIRST, SECOND)] == [(200, False)] * 2
        with path.open("a") as file:
            file.write(f"{link_digest(FIRST)}\n")
        assert [await status(token) for token in (FIRST, SECOND)] == [(404, True), (200, False)]
        path.write_text("")
        assert await status(FIRST) == (200, False)


def test_a_file_that_goes_or_is_damaged_later_gives_nobody_their_link_back(path):
    path.write_text(f"{link_digest(FIRST)}\n")
    recalled = RecalledLinks(path)
    for text in (None, "nonsense\n", "\xff" * 64):
        with capture_logs() as lines:
            if text is None:
                path.rename(path.with_suffix(".away"))
            else:
                path.write_text(text)
            assert FIRST in recalled
            assert SECOND not in recalled
        assert len(lines) == 1
        assert FIRST not in str(lines)
    path.write_text(f"{link_digest(SECOND)}\n")
    assert SECOND in recalled
    assert FIRST not in recalled


def test_a_file_that_can_not_be_used_ends_the_start_with_one_line(path, tmp_path):
    for text, told in ((f"{link_digest(FIRST)}\n{FIRST}\n", "line 2 is nothing"), ("ab" * 31, "line 1 is nothing")):
        path.write_text(text)
        with pytest.raises(UserError, match=told) as error:
            RecalledLinks(path)
        assert FIRST not in str(error.value)
    path.write_text(f"{'ab' * 32}\n" * (limits.RECALLS_MAX + 1))
    with pytest.raises(UserError, match="more than"):
        RecalledLinks(path)
    with pytest.raises(UserError, match="can't be read"):
        RecalledLinks(tmp_path / "none")


def test_the_command_prints_the_line_for_a_link_of_any_key_and_for_nothing_else(tmp_path):
    environment = {"EVERYCENT_LEDGER_NAME": "everycent.test", "EVERYCENT_LEDGER_KEYS": str(tmp_path / "keys")}
    make_link_keys(tmp_path / "keys", "everycent.test")
    older = load_link_key(tmp_path / "keys", "everycent.test")
    make_link_keys(tmp_path / "keys", "everycent.test", rotate=True)
    token = sign_link(DonorLink("1:0", bytes(32), 1), older)  # over long ago, too

    def run(link):
        return CliRunner().invoke(app, ["ledger", "recall-link", link], env=environment)

    for link in (token, f"https://give.example/donation/#{token}", f" {token}\n"):
        assert run(link).output == f"{link_digest(token)}\n"
    for link in (token[:-1], token[1:], FIRST, "https://give.example/donation/", ""):
        assert isinstance(run(link).exception, UserError)
