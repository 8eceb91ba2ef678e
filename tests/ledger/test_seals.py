"""Day seals: added up again from the public entries alone, chained, and held to the trees that were signed."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.donation import encode_donation
from streams.cli import app
from streams.errors import UserError
from streams.ledger.leaf import entries_of
from streams.ledger.notes import SignerKey, sign_note
from streams.ledger.seals import SealError, check_chain, day_bounds_ms, decode_seal
from streams.ledger_service import sealing
from streams.ledger_service.files import folder_fetch
from streams.ledger_service.fsck import public_keys
from streams.ledger_service.keys import LastSigned, load_keys, log_origin, make_keys, seals_origin
from streams.ledger_service.sealing import all_entries, check_day, seal_day
from streams.ledger_service.store import LogWriter, RefusalError
from streams.settings import Settings
from tests.ledger.parts import FaultyDisk, donation, records

DAY = "2020-11-11"
START_MS = 1_605_024_000_000  # in Shanghai
HOUR_MS = 3_600_000
NEXT_DAY_MS = START_MS + 25 * HOUR_MS


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setattr(sealing, "Disk", FaultyDisk)
    settings = Settings(
        ledger_dir=str(tmp_path / "ledger"), ledger_keys=str(tmp_path / "keys"), ledger_name="ledger.test"
    )
    keys = make_keys(
        tmp_path / "keys", [*(log_origin("ledger.test", n) for n in range(2)), seals_origin("ledger.test")]
    )
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/keys.txt").write_text("".join(f"{key}\n" for key in keys))
    return settings


def give(settings: Settings, partition: int, *times_ms: int) -> None:
    """Donations at these times, published."""
    ring, origin = load_keys(Path(settings.ledger_keys)), log_origin("ledger.test", partition)
    folder = Path(settings.ledger_dir) / "donations" / str(partition)
    log = LogWriter(folder, origin, ring.of(origin), LastSigned(ring.folder, origin, FaultyDisk()), FaultyDisk())
    log.open()
    new = records(log.size, log.size + len(times_ms))
    for record, at_ms in zip(new, times_ms, strict=True):
        one = donation(record.offset)
        record.value = encode_donation(one).replace(b"%d" % one.donated_at, b"%d" % at_ms)
    log.append(entries_of(new, log.size, ring.salts))
    log.write(log.prepare())


def check(settings: Settings):
    root = Path(settings.ledger_dir)
    return check_day(root, DAY, public_keys(root))


@pytest.fixture
def sealed(settings):
    """Eleven donations of the day, in both logs; others before and after it."""
    give(settings, 0, START_MS - 1, *(START_MS + hour * HOUR_MS for hour in range(7)), NEXT_DAY_MS)
    give(settings, 1, *(START_MS + 20 * HOUR_MS + second for second in range(4)), NEXT_DAY_MS)
    seal_day(settings, DAY)
    return settings


def test_a_day_is_that_of_the_calendars_zone():
    assert day_bounds_ms(DAY, "Asia/Shanghai") == (START_MS, START_MS + 24 * HOUR_MS)
    start, end = day_bounds_ms("2021-03-28", "Europe/Berlin")  # an hour short
    assert end - start == 23 * HOUR_MS
    assert datetime.fromtimestamp(start / 1_000, UTC).hour == 23
    with pytest.raises(SealError):
        day_bounds_ms("2020-11-31", "Asia/Shanghai")


@pytest.mark.parametrize("day", ["20201111", "2020-W46-3", "2020-11-31", "9999-12-31", "", "2020-11-11\n"])
def test_what_is_not_a_day_in_its_one_form_is_not_sealed(sealed, day):
    """A day under two names would have two seals that don't name each other."""
    with pytest.raises(UserError, match="is not a day such as 2020-11-11"):
        seal_day(sealed, day, idle_ok=True)
    assert len(check(sealed)) == 1


def test_a_seal_has_the_days_sums_and_the_trees_that_they_stand_on_and_is_checked_from_the_files_alone(sealed):
    (seal,) = check(sealed)
    given = [donation(seq).fen for seq in range(1, 8)] + [donation(seq).fen for seq in range(4)]
    assert (seal.donations, seal.fen) == (11, sum(given))
    assert [each.size for each in seal.logs] == [9, 5]
    assert (seal.number, seal.previous, seal.replaces) == (0, None, None)


def test_a_day_that_is_not_over_is_not_sealed_unless_the_operator_says_that_a_log_is_idle(settings):
    give(settings, 0, START_MS, NEXT_DAY_MS)
    give(settings, 1, START_MS)
    with pytest.raises(UserError, match=r"ledger.test/donations/1 has no donation yet"):
        seal_day(settings, DAY)
    assert seal_day(settings, DAY, idle_ok=True).seal.donations == 2


def test_late_donations_give_a_further_seal_that_names_the_former_and_both_stay_right(sealed):
    assert not seal_day(sealed, DAY).new  # nothing has come
    give(sealed, 1, START_MS + 5)
    late = seal_day(sealed, DAY)
    assert late.new
    assert (late.seal.number, late.seal.replaces, late.seal.donations) == (1, 0, 12)
    seal_day(sealed, "2020-11-10")
    first, second = check(sealed)
    assert (first.donations, second.donations) == (11, 12)
    assert second.previous is not None


def test_the_chain_is_broken_by_any_seal_that_is_changed_taken_out_or_put_elsewhere(sealed):
    give(sealed, 1, START_MS + 5)
    seal_day(sealed, DAY)
    seal_day(sealed, "2020-11-10")
    folder = Path(sealed.ledger_dir) / "seals"
    entries = all_entries(sealing.PublishedLog(folder_fetch(folder)), 3)
    assert len(check_chain(entries)) == 3
    changed = entries[0].replace(b'"donations":11', b'"donations":10')
    for wrong in ([changed, *entries[1:]], entries[1:], [entries[0], entries[2]], [entries[1], entries[0], entries[2]]):
        with pytest.raises(SealError):
            check_chain(wrong)
    forgetful = entries[1].replace(b'"replaces":0', b'"replaces":null')
    with pytest.raises(SealError, match="former seal"):
        check_chain([entries[0], forgetful])
    with pytest.raises(SealError):
        decode_seal(entries[0] + b" ")


def tamper(settings: Settings, name: str, old: bytes, new: bytes) -> None:
    path = Path(settings.ledger_dir) / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("seals/totals/0.json", b'"fen":', b'"fen":1', "not those that were sealed"),
        ("seals/tile/entries/000.p/1", b'"donations":11', b'"donations":12', "not those whose tree was signed"),
        ("seals/notes/0", b'"donations":11', b'"donations":12', "isn't about the seal"),
        ("seals/checkpoint", b"\n1\n", b"\n2\n", "doesn't fit the text"),
        ("donations/0/tile/entries/000.p/9", b'"fen":3', b'"fen":9', "don't give the root"),
        ("donations/0/tile/entries/000.p/9", b'{"donated_at"', b'["donated_at"', "an entry is no donation"),
        ("donations/1/checkpoint", b"\n5\n", b"\n4\n", "doesn't fit the text"),
    ],
)
def test_whatever_is_changed_of_a_sealed_day_is_told(sealed, name, old, new, told):
    tamper(sealed, name, old, new)
    with pytest.raises(SealError, match=told):
        check(sealed)


def test_an_operator_who_signs_other_totals_is_found_by_the_entries(sealed, monkeypatch):
    """Everything is signed and chained, but a project was given less than the entries say."""
    give(sealed, 1, START_MS + 5)
    honest = sealing.DayTotals.totals

    def short(self):
        first, *others = honest(self)
        return (type(first)(first.donations, first.fen - 1, first.project_id), *others)

    monkeypatch.setattr(sealing.DayTotals, "totals", short)
    seal_day(sealed, DAY)
    monkeypatch.setattr(sealing.DayTotals, "totals", honest)
    with pytest.raises(SealError, match=r"seal 1 says \d+ donations of \d+ fen for P0000, the entries give"):
        check(sealed)


def test_another_signers_seal_and_seals_that_were_put_back_from_a_backup_are_refused(sealed):
    path = Path(sealed.ledger_dir) / "seals/notes/0"
    note = sealing.Note.parse(path.read_bytes())
    kept = path.read_bytes()
    path.write_bytes(bytes(sign_note(note.text, [SignerKey.from_seed(seals_origin("ledger.test"), b"\x01" * 32)])))
    with pytest.raises(SealError, match="signed by none of the keys"):
        check(sealed)
    path.write_bytes(kept)
    (Path(sealed.ledger_dir) / "seals/checkpoint").unlink()
    with pytest.raises(RefusalError, match="fewer than were signed"):
        seal_day(sealed, DAY)


def test_no_day_is_sealed_over_less_than_was_signed(sealed, tmp_path):
    """Else a seal would take donations away that a former one, or a receipt, has."""
    ledger, older = Path(sealed.ledger_dir), tmp_path / "older"
    shutil.copytree(ledger / "donations/1", older)
    give(sealed, 1, START_MS + 5, NEXT_DAY_MS)
    seal_day(sealed, DAY)
    newer = (ledger / "donations/1").rename(tmp_path / "newer")
    with pytest.raises(UserError, match="donations/1 has leaves that were signed, and isn't in"):
        seal_day(sealed, DAY, idle_ok=True)
    shutil.copytree(older, ledger / "donations/1")
    with pytest.raises(UserError, match=r"covers 7 leaves of ledger.test/donations/1, which has 5 now"):
        seal_day(sealed, DAY)
    shutil.rmtree(ledger / "donations/1")
    newer.rename(ledger / "donations/1")
    assert not seal_day(sealed, DAY).new
    assert [seal.donations for seal in check(sealed)] == [11, 12]


def test_a_log_that_has_a_key_and_is_not_there_keeps_a_day_from_being_sealed(settings):
    """The donations of a log that isn't kept yet, or lies elsewhere, would be missing from the day's totals."""
    give(settings, 0, START_MS, NEXT_DAY_MS)
    with pytest.raises(UserError, match=r"ledger.test/donations/1 has a key, and isn't in .*--idle-ok"):
        seal_day(settings, DAY)
    assert seal_day(settings, DAY, idle_ok=True).seal.donations == 1


def test_nobody_signs_for_a_log_while_another_process_does(sealed, tmp_path):
    """Though its folder is another one: with the same keys it could sign another tree."""
    elsewhere = sealed.model_copy(update={"ledger_dir": str(tmp_path / "elsewhere")})
    shutil.copytree(sealed.ledger_dir, elsewhere.ledger_dir)
    give(sealed, 0, START_MS + 5)
    last_signed = LastSigned(Path(sealed.ledger_keys), seals_origin("ledger.test"), FaultyDisk())
    with last_signed.alone(), pytest.raises(UserError, match="another process is signing for this log"):
        seal_day(elsewhere, DAY)
    assert not seal_day(elsewhere, DAY).new


def test_a_crash_between_the_seal_and_its_note_is_mended_by_the_next_call(sealed):
    path = Path(sealed.ledger_dir) / "seals/notes/0"
    kept = path.read_bytes()
    path.unlink()
    assert not seal_day(sealed, DAY).new
    assert path.read_bytes() == kept


def test_the_commands_seal_and_check(sealed):
    environment = {
        "EVERYCENT_LEDGER_DIR": sealed.ledger_dir,
        "EVERYCENT_LEDGER_KEYS": sealed.ledger_keys,
        "EVERYCENT_LEDGER_NAME": sealed.ledger_name,
    }

    def run(*words):
        return CliRunner().invoke(app, ["ledger", *words], env=environment)

    assert "Nothing has come since seal 0." in run("seal", DAY).output
    done = run("check-day", DAY)
    assert done.exit_code == 0, done.exception
    assert "2020-11-11 (Asia/Shanghai), seal 0: 11 donations, 0." in done.output
    assert json.loads(run("check-day", DAY, "--json").output)["logs"][1]["size"] == 5
    assert isinstance(run("check-day", "2020-11-12").exception, UserError)
    tamper(sealed, "seals/totals/0.json", b'"fen":', b'"fen":1')
    done = run("check-day", DAY)
    assert done.exit_code == 1
    assert done.output.startswith("NOT RIGHT: ")
