"""The operator's keys: for their owner alone, rotated without breaking what is signed, never another log's."""

import stat

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.notes import VerifierKey, sign_note
from streams.ledger_service.keys import load_keys, log_origin, make_keys, read_public_keys

ORIGINS = [log_origin("ledger.test", number) for number in range(3)]


def test_keys_are_made_once_each_of_its_own_and_only_their_owner_may_read_them(tmp_path):
    folder = tmp_path / "keys"
    keys = make_keys(folder, ORIGINS)
    assert [key.name for key in keys] == ORIGINS
    assert len({key.public for key in keys}) == 3
    assert make_keys(folder, ORIGINS) == keys
    for name in ("signing-keys", "donor-secret"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [signer.verifier for signer in load_keys(folder).signers] == keys


def test_a_further_partition_gets_a_key_and_the_others_keep_theirs(tmp_path):
    keys = make_keys(tmp_path, ORIGINS[:2])
    assert make_keys(tmp_path, ORIGINS)[:2] == keys


def test_a_rotated_key_signs_beside_the_old_one_until_that_retires_and_old_notes_still_verify(tmp_path):
    (old,) = make_keys(tmp_path, ORIGINS[:1])
    before = sign_note("text\n", load_keys(tmp_path).of(ORIGINS[0]))
    _, new = make_keys(tmp_path, ORIGINS[:1], rotate=True)
    both = sign_note("text\n", load_keys(tmp_path).of(ORIGINS[0]))
    assert [key for key, _ in both.signed_by([old, new])] == [old, new]
    assert make_keys(tmp_path, ORIGINS[:1], retire=True) == [new]
    after = sign_note("text\n", load_keys(tmp_path).of(ORIGINS[0]))
    assert [key for key, _ in after.signed_by([old, new])] == [new]
    assert [key for key, _ in before.signed_by([old, new])] == [old]


def test_another_logs_key_is_never_given(tmp_path):
    make_keys(tmp_path, ORIGINS)
    with pytest.raises(UserError, match=r"holds no key for the log 'other/donations/0'.*ledger.test/donations/0"):
        load_keys(tmp_path).of("other/donations/0")


@pytest.mark.parametrize("name", ["signing-keys", "donor-secret"])
def test_a_secret_that_others_may_read_is_refused(tmp_path, name):
    make_keys(tmp_path, ORIGINS)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        load_keys(tmp_path)


@pytest.mark.parametrize("name", ["signing-keys", "donor-secret"])
def test_missing_and_damaged_secrets_are_told_without_showing_them(tmp_path, name):
    make_keys(tmp_path, ORIGINS)
    secret = (tmp_path / name).read_text().splitlines()[0]
    (tmp_path / name).write_text(secret[:-2])
    with pytest.raises(UserError) as error:
        load_keys(tmp_path)
    assert secret[-40:-2] not in str(error.value)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match="ledger keygen"):
        load_keys(tmp_path)


def keygen(tmp_path, *options):
    environment = {"EVERYCENT_LEDGER_KEYS": str(tmp_path / "k"), "EVERYCENT_LEDGER_NAME": "ledger.test"}
    return CliRunner().invoke(app, ["ledger", "keygen", *options], env=environment)


def test_the_command_prints_the_public_halves_and_nothing_else(tmp_path):
    done = keygen(tmp_path, "--partitions", "2")
    assert done.exit_code == 0, done.exception
    assert [VerifierKey.parse(line).name for line in done.stdout.splitlines()] == [*ORIGINS[:2], "ledger.test/seals"]
    assert "PRIVATE" not in done.output
    assert keygen(tmp_path, "--partitions", "2").stdout == done.stdout
    assert len(keygen(tmp_path, "--partitions", "2", "--rotate").stdout.splitlines()) == 6
    both = keygen(tmp_path, "--rotate", "--retire")
    assert isinstance(both.exception, UserError)


def test_public_keys_that_are_damaged_are_told_and_not_written_over(tmp_path):
    path = tmp_path / "keys.txt"
    assert read_public_keys(path) == []
    (key,) = make_keys(tmp_path / "keys", ["ledger.test/donations/0"])
    path.write_text(f"{key}\n")
    assert read_public_keys(path) == [str(key)]
    for damaged in (b"\xff\xfe", f"{key}"[:-9].encode(), b"\x00" * 80):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"keys.txt is damaged: "):
            read_public_keys(path)
