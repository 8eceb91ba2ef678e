"""What isn't written as it must be is refused by the page as by Python, even where it was rightly signed."""

import base64
import json

import pytest

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import KeyType, SignerKey
from streams.ledger.receipt import HEADER
from streams.ledger.tree import leaf_hash
from tests.ledger.parts import ORIGIN, SIGNER
from tests.verify_page.parts import a_page, same_verdicts, write_page

WITNESS = SignerKey.from_seed("witness.test", b"\x05" * 32, KeyType.COSIGNATURE)
KEYS = (SIGNER.verifier,)


@pytest.fixture
async def page(tmp_path):
    async with a_page(write_page(tmp_path)) as page:
        yield page


def signed(
    extra: bytes, entry: bytes, index: str = "0", signature_name: str = ORIGIN, text: str | None = None
) -> bytes:
    """A receipt of a tree of this leaf alone, rightly signed; `extra` is written as it is given."""
    text = text or Checkpoint(ORIGIN, 1, leaf_hash(entry)).text()
    line = SIGNER.sign(text).line().replace(ORIGIN, signature_name, 1)
    head = f"{HEADER}\nextra {base64.b64encode(extra).decode()}\nindex {index}\n\n"
    return f"{head}{text}\n{line}".encode()


def extra_of(entry: str, salt: str = "00" * 32) -> bytes:
    return b'{"entry":' + json.dumps(entry, ensure_ascii=False).encode() + b',"salt":"' + salt.encode() + b'"}'


LEAF = {
    "donated_at": 1,
    "donation_id": "1:0",
    "donor": "ab" * 32,
    "fen": 2,
    "item_id": "i",
    "line": 0,
    "merchant_id": "m",
    "order_id": "1",
    "project_id": "P",
    "seq": 0,
    "source_offset": 3,
}


def entry_of(**changes) -> str:
    """An entry; what is given as bytes is written as it is."""
    values = {
        name: value.decode() if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)
        for name, value in {**LEAF, **changes}.items()
    }
    return "{" + ",".join(f'"{name}":{text}' for name, text in values.items()) + "}"


ENTRIES = [
    entry_of(),
    entry_of(seq=1),
    entry_of(seq=-1),
    entry_of(seq=b"0.0"),
    entry_of(seq=b"-0"),
    entry_of(seq=b"0e0"),
    entry_of(seq=b"00"),
    entry_of(seq=b'"0"'),
    entry_of(seq=b"null"),
    entry_of(fen=-5),
    entry_of(fen=2**63),
    entry_of(fen=2**64),
    entry_of(fen=-(2**64)),
    entry_of(fen=b"9" * 4300),
    entry_of(fen=b"9" * 4301),
    entry_of(fen=b"-" + b"9" * 4300),
    entry_of(fen=b"1E2"),
    entry_of(fen=b"+1"),
    entry_of(fen=b" 1"),
    entry_of(fen=b"1 "),
    entry_of(item_id="公益宝贝 😀 é"),
    entry_of(item_id=""),
    entry_of(item_id='"\\/'),
    entry_of(item_id=b'"\\/"'),
    entry_of(item_id=b'"\\u002f"'),
    entry_of(item_id=b'"\\u00e9"'),
    entry_of(item_id=b'"\\ud83d\\ude00"'),
    entry_of(item_id=b'"\\ud83d"'),
    entry_of(item_id="\u2028\u2029\x7f\x80\ufeff"),
    entry_of(item_id="\b\t\n\f\r"),
    entry_of(item_id="".join(map(chr, range(32)))),
    entry_of(item_id=b'"\\u000B"'),
    entry_of(item_id=b'"\\u0008"'),
    entry_of(item_id=b'"\\u000a"'),
    entry_of(item_id=b'"\\x"'),
    entry_of(item_id=b'"\\"'),
    entry_of(item_id="x" * 40_000),
    entry_of(item_id="\\" * 9_000),
    entry_of(donor="AB" * 32),
    entry_of(donor="ab" * 31),
    entry_of(donor="ab" * 32 + "\n"),
    entry_of(donor="ab" * 33),
    entry_of(more=1),
    "{}",
    "[]",
    "null",
    "",
    "hello",
    entry_of() + " ",
    " " + entry_of(),
    entry_of() + "\n",
    "\ufeff" + entry_of(),
    entry_of().replace(":1,", ": 1,", 1),
    entry_of()[:-1],
    entry_of().replace('"fen":2,', ""),
    entry_of().replace('"fen":2,', '"fen":2,"fen":2,'),
    entry_of() + entry_of(),
    entry_of().replace('"item_id":"i","line":0', '"line":0,"item_id":"i"'),
    entry_of().replace('"fen"', '"\\u0066en"'),
    entry_of(item_id=b"7"),
    entry_of(item_id=b"[]"),
    entry_of(fen=b"true"),
    entry_of(fen=b"1_0"),
    entry_of(fen="²"),
]


async def test_entries_have_one_right_form_even_in_a_tree_that_was_signed(page):
    receipts = [signed(extra_of(entry), entry.encode()) for entry in ENTRIES]
    found = await same_verdicts(page, receipts, KEYS, None)
    assert set(found) == {None, "entry"}
    assert found.count(None) == 14


async def test_the_extra_data_has_one_right_form(page):
    entry = entry_of()
    right = extra_of(entry)
    extras = [
        right,
        right + b"\n",
        b"\xef\xbb\xbf" + right,
        right.replace(b",", b", ", 1),
        right.replace(b'"salt":"00', b'"salt":"0A'),
        b'{"salt":"' + b"00" * 32 + b'",' + right[1:],
        extra_of(entry, "00" * 31),
        extra_of(entry, "zz" * 32),
        b"{}",
        b"",
        b"\xff",
        right.replace(b'"entry"', b'"\\u0065ntry"'),
        right[:-1] + b',"more":1}',
        right.replace(b"donated", b"donat\\u0065d"),
        right.replace(b'"entry":"', b'"entry":"\xed\xa0\x80'),
        right.replace(b'"entry":"', b'"entry":"\xc0\x80'),
        right.replace(b'"entry":"', b'"entry":"\\ud800'),
        right.replace(b'"entry":"', b'"__proto__":1,"entry":"'),
        b'{"entry":' + b"[" * 600,
        b'{"entry":1,"salt":"' + b"00" * 32 + b'"}',
    ]
    found = await same_verdicts(page, [signed(extra, entry.encode()) for extra in extras], KEYS, None)
    assert found[0] is None
    assert None not in found[1:]


INDEXES = ("1", "00", "-0", "+0", "0 ", " 0", "", "\u0660", "9223372036854775807", "9223372036854775808", "9" * 30)
NAMES = (
    "",
    "a b",
    "a+b",
    "a\x85b",
    "a\ufeffb",
    "a\x7fb",
    "a\u3000b",
    "a\u2028b",
    "a\u200bb",
    "a\u180eb",
    "a\tb",
    "—",
    "é",
)
CHECKPOINTS = (
    *(("\n1\n", other) for other in ("\n2\n", "\n01\n", "\n\n")),
    *(("=\n", other) for other in ("\n", "=\nmore\n", "=\n\n")),
)
NO_HASH = (
    *(b"AA==", b"AB==", b"A", b"AA", b"AA=", b"AA==AA==", b" AA==", b"AA==\r", b"AA\n==", b"A-_A"),
    *(b"\xc3\xa9AA=", b""),
)


async def test_numbers_names_and_base64_have_one_right_form(page):
    entry, extra = entry_of().encode(), extra_of(entry_of())
    right = signed(extra, entry)
    text = Checkpoint(ORIGIN, 1, leaf_hash(entry)).text()
    receipts = [signed(extra, entry, index) for index in INDEXES]
    receipts += [signed(extra, entry, signature_name=name) for name in NAMES]
    receipts += [signed(extra, entry, text=text.replace(*change)) for change in CHECKPOINTS]
    receipts += [right.replace(b"\n\n", b"\n" + other + b"\n\n", 1) for other in NO_HASH]
    receipts += [right + b"\xe2\x80\x94 x " + other + b"\n" for other in NO_HASH]
    receipts += [right + b"\n", right[:-1], right.replace(b"\n", b"\r\n"), right + "— x AAAAAAA=\n".encode()]
    receipts += [b"", b"\n\n", HEADER.encode(), right.replace(b"tlog-proof@v1", b"tlog-proof@v2")]
    receipts += [b"x" * 70_000, right + b"x" * 70_000]
    found = await same_verdicts(page, receipts, KEYS, None)
    assert {"form", "signature", "inclusion"} < set(found)


async def test_keys_are_taken_and_refused_as_python_takes_and_refuses_them(page):
    good = str(SIGNER.verifier)
    name, key_id, encoded = good.split("+", 2)
    bad = [
        "",
        "x",
        f"{name}+{encoded}",
        f"{name}+{key_id[::-1]}+{encoded}",
        f"{name}+{key_id.upper()}+{encoded}",
        f"other+{key_id}+{encoded}",
        f"{name}+{key_id}+{encoded[:-4]}",
        f"{name}+{key_id}+{encoded}A",
        SIGNER.secret_text(),
        f"+{key_id}+{encoded}",
        f"{name}+{key_id}+Ag{encoded[2:]}",
    ]
    taken = "(texts) => Promise.all(texts.map((text) => everycent.parseKey(text).then(() => true, () => false)))"
    assert await page.evaluate(taken, [good, str(WITNESS.verifier), f" {good}\n"]) == [True] * 3
    assert await page.evaluate(taken, bad) == [False] * len(bad)
