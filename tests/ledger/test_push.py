"""Checkpoints are sent to witnesses, who answer as C2SP tlog-witness has it, or in any other way."""

import asyncio
import shutil
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from streams.ledger.notes import KeyType, Note, SignerKey
from streams.ledger.policy import Policy, PolicyWitness
from streams.ledger.published import checkpoint_of
from streams.ledger.submission import Submission
from streams.ledger_service import collect
from streams.ledger_service.collect import Collector
from streams.ledger_service.push import PAUSE_FIRST_S, PAUSE_MAX_S, TRIES_MAX, Pusher, PushError
from streams.ledger_service.remote import CHECKPOINT_MAX_BYTES, Remote
from streams.ledger_service.witness_run import Port, serving_public
from tests.ledger.parts import ORIGIN, SIGNER
from tests.ledger.witness_parts import NOW_S, W1, GrowingLog, bench

KEYS = [SignerKey.from_seed(f"p{at}.test", bytes([0x70 + at]) * 32, KeyType.COSIGNATURE) for at in range(3)]
INTERVAL_S = 10


class Scripted:
    """A witness that answers each request with the next of `answers`, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.sent: list[Submission] = []
        self.wait_s = 0.0

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_post("/w/add-checkpoint", self._add)
        server = TestServer(app)
        await server.start_server()
        return server

    async def _add(self, request: web.Request) -> web.Response:
        self.sent.append(Submission.parse(await request.read()))
        await asyncio.sleep(self.wait_s)
        return self.answers.pop(0)


def size(number: object, content_type: str = "text/x.tlog.size") -> web.Response:
    return web.Response(status=409, text=f"{number}\n", content_type=content_type)


def cosigned(log: GrowingLog, *signers: SignerKey) -> web.Response:
    text = log.writer.log.note().text
    return web.Response(text="".join(signer.cosign(text, NOW_S).line() for signer in signers))


@pytest.fixture
async def scripted():
    witness = Scripted()
    server = await witness.start()
    witness.url = str(server.make_url("/w/"))
    yield witness
    await server.close()


@pytest.fixture
async def pusher(scripted):
    async with Remote() as remote:
        found = Pusher(remote, lambda: found.now_s)
        found.now_s = 0.0
        found.to = PolicyWitness("w", W1.verifier, scripted.url)
        yield found


async def push(pusher, log) -> Note:
    return await pusher.cosigned(pusher.to, log.writer.log, log.writer.log.note())


async def refusal(pusher, log) -> PushError:
    with pytest.raises(PushError) as caught:
        await push(pusher, log)
    return caught.value


async def test_a_witness_that_has_cosigned_another_size_is_sent_the_proof_from_there(pusher, scripted, log):
    scripted.answers = [size(100), cosigned(log, W1)]
    note = await push(pusher, log)
    assert note.signed_by([W1.verifier])
    assert [sent.old for sent in scripted.sent] == [0, 100]
    assert (scripted.sent[0].proof, bool(scripted.sent[1].proof)) == ((), True)
    log.grow(400)
    scripted.answers = [cosigned(log, KEYS[1], W1)]
    note = await push(pusher, log)  # a stranger's line beside it changes nothing
    assert [key for key, _ in note.signed_by([W1.verifier])] == [W1.verifier]
    assert scripted.sent[2].old == 300
    assert all(len(sent.note.signatures) == 1 for sent in scripted.sent)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "malformed"),
        (403, "doesn't know the key"),
        (404, "doesn't know this log"),
        (405, "takes no checkpoints by request"),
        (422, "doesn't follow from what it has cosigned"),
        (501, "takes no checkpoints by request"),
        (302, "refuses"),
        (418, "refuses"),
    ],
)
async def test_each_refusal_says_what_it_means_and_is_not_repeated_at_once(pusher, scripted, log, status, says):
    scripted.answers = [web.Response(status=status, text="their\nwords \x1b[31m" + "x" * 10_000)]
    refused = await refusal(pusher, log)
    assert says in str(refused)
    assert f"({status}): 'their words \\x1b[31mxx" in str(refused)
    assert len(str(refused)) < 400
    assert not refused.is_away
    assert len(scripted.sent) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_a_witness_that_is_out_of_order_is_left_alone_for_longer_each_time(pusher, scripted, log, status):
    scripted.answers = [web.Response(status=status) for _ in range(20)]
    pause_s = PAUSE_FIRST_S
    for asked in range(1, 9):
        assert (await refusal(pusher, log)).is_away
        pusher.now_s += pause_s - 1
        assert f"({status})" in str(await refusal(pusher, log))  # what it said, without asking
        assert len(scripted.sent) == asked
        pusher.now_s += 1
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
    assert pause_s == PAUSE_MAX_S
    scripted.answers = [cosigned(log, W1)]
    assert (await push(pusher, log)).signed_by([W1.verifier])
    scripted.answers = [web.Response(status=status), cosigned(log, W1)]
    await refusal(pusher, log)
    pusher.now_s += PAUSE_FIRST_S
    await push(pusher, log)


async def test_one_that_is_not_there_or_says_too_much_is_away(scripted, log, pusher):
    pusher.to = PolicyWitness("w", W1.verifier, "http://127.0.0.1:1")
    assert (await refusal(pusher, log)).is_away
    pusher.to = PolicyWitness("other", W1.verifier, scripted.url)
    scripted.answers = [web.Response(body=bytes(CHECKPOINT_MAX_BYTES + 1))]
    assert "longer than" in str(await refusal(pusher, log))


async def test_what_contradicts_itself_is_given_up(pusher, scripted, log):
    scripted.answers = [size(7), size(9), size(11)]
    assert "each time" in str(await refusal(pusher, log))
    assert len(scripted.sent) == TRIES_MAX
    for answer in (size(300), size(300, "text/plain"), size("many"), size("0300")):
        scripted.answers = [answer, size(300)]
        assert not (await refusal(pusher, log)).ahead
    scripted.answers = [web.Response(text="no signature")]
    assert "is no cosignature" in str(await refusal(pusher, log))
    scripted.answers = [size(301)]
    assert (await refusal(pusher, log)).ahead == 301


# Collected


class World:
    """A ledger of one log, and witnesses of ours that are only sent what they cosign."""

    def __init__(self, folder, stack, remote):
        self._stack, self.folder = stack, folder
        self.log = GrowingLog(folder / "log").grow(300)
        self.ledger = folder / "ledger"
        (self.ledger / "donations").mkdir(parents=True)
        (self.ledger / "donations/0").symlink_to(self.log.folder)
        (self.ledger / "keys.txt").write_text(f"{SIGNER.verifier}\n")
        self.remote = remote
        self.witnesses, self.lines = [], []

    async def start(self, signer: SignerKey, address: object = "") -> None:
        one = await self._stack.enter_async_context(bench(self.folder / signer.verifier.name, address, signer))
        url = await self._stack.enter_async_context(serving_public(one.public, Port("127.0.0.1", 0), one.witness))
        self.witnesses.append(one)
        self.lines.append(f"witness w{len(self.lines)} {signer.verifier} {url}\n")

    def collector(self, quorum: str = "group q all w0 w1") -> Collector:
        text = f"log {SIGNER.verifier}\n{''.join(self.lines)}{quorum}\nquorum q\n"
        return Collector(self.ledger, Policy.parse(text.encode()), self.remote, INTERVAL_S, lambda: NOW_S)


@pytest.fixture
async def world(tmp_path):
    async with AsyncExitStack() as stack:
        remote = await stack.enter_async_context(Remote())
        yield World(tmp_path, stack, remote)


async def test_each_round_the_newest_checkpoint_is_cosigned_by_all_who_are_sent_it(world):
    for signer in KEYS[:2]:
        await world.start(signer)
    collector = world.collector()
    (found,) = await collector.collect()
    assert (found.is_met, found.size, found.cosigners) == (True, 300, ("w0", "w1"))
    for grown in (310, 900, 901):
        world.log.grow(grown)
        (found,) = await collector.collect()
        assert (found.size, found.cosigners) == (grown, ("w0", "w1"))
    (again,) = await world.collector().collect()  # a collector that remembers nothing
    assert again == found


async def test_a_witness_that_is_away_holds_up_neither_the_others_nor_the_next_checkpoint(world):
    for signer in KEYS:
        await world.start(signer)
    collector = world.collector("group q 2 w0 w1 w2")
    (found,) = await collector.collect()
    assert found.cosigners == ("w0", "w1", "w2")
    world.witnesses[2].witness.broken = OSError("no disk")
    for grown in (400, 500, 600):
        world.log.grow(grown)
        (found,) = await collector.collect()
        assert (found.size, found.cosigners) == (grown, ("w0", "w1"))
    assert world.witnesses[2].size == 300


async def test_who_is_sent_checkpoints_and_who_looks_by_itself_cosign_the_same(world):
    await world.start(KEYS[0])
    looking = await world._stack.enter_async_context(bench(world.folder / "l", world.ledger / "donations/0", KEYS[1]))
    world.lines.append(f"witness w1 {KEYS[1].verifier} {world.folder}/l/public\n")
    collector = world.collector()
    (found,) = await collector.collect()
    assert not found.is_met
    world.log.grow(400)
    await looking.look()
    (found,) = await collector.collect()
    assert (found.is_met, found.size) == (True, 300)


async def test_a_witness_of_files_alone_at_a_web_address_is_asked_for_them(world, tmp_path):
    looking = await world._stack.enter_async_context(bench(world.folder / "l", world.ledger / "donations/0", KEYS[0]))
    url = await world._stack.enter_async_context(serving_public(looking.public, Port("127.0.0.1", 0)))
    world.lines.append(f"witness w0 {KEYS[0].verifier} {url}\n")
    collector = world.collector("group q all w0")
    with capture_logs() as lines:
        (found,) = await collector.collect()
        (found,) = await collector.collect()
    assert [line["why"] for line in lines] == ["it takes no checkpoints by request (405): 'Method Not Allowed'"]
    await looking.look()
    (found,) = await collector.collect()
    assert (found.is_met, found.size) == (True, 300)


async def test_a_refusal_is_told_once_for_as_long_as_it_stays(world, scripted):
    world.lines.append(f"witness w0 {KEYS[0].verifier} {scripted.url}\n")
    collector = world.collector("group q all w0")
    scripted.answers = [web.Response(status=404), web.Response(status=404), web.Response(status=403)]
    with capture_logs() as lines:
        for _ in range(3):
            await collector.collect()
    assert [line["why"][-5:] for line in lines if line["event"] == "no cosignature"] == ["(404)", "(403)"]
    assert all(len(sent.note.signatures) == 1 for sent in scripted.sent)


async def test_a_witness_that_was_sent_another_tree_is_an_alarm_here_by_its_files(world):
    await world.start(KEYS[0])
    liar = GrowingLog(world.folder / "liar", 200).grow(300)
    sent = Submission(0, (), liar.writer.log.note())
    assert world.witnesses[0].witness.add_checkpoint(bytes(sent)).status == 200
    with capture_logs() as lines:
        (found,) = await world.collector("group q all w0").collect()
    assert (found.split, found.is_met) == (("w0",), False)
    assert "ALARM: a witness has cosigned another tree than ours" in [line["event"] for line in lines]


async def test_one_that_is_ahead_gets_the_newest_checkpoint_next(world):
    await world.start(KEYS[0])
    collector = world.collector("group q all w0")
    (held_out,) = await collector.collect()
    kept = (world.log.folder / "checkpoint").read_bytes()
    world.log.grow(400)
    newest = world.log.writer.log.note()
    for sent in (Submission(300, submission_proof(world.log, 300, 400), newest),):
        assert world.witnesses[0].witness.add_checkpoint(bytes(sent)).status == 200
    shutil.rmtree(world.log.folder / "witness")
    (world.log.folder / "witness").mkdir()
    (world.log.folder / "witness/pending").write_bytes(kept)
    collector = world.collector("group q all w0")
    assert not (await collector.collect())[0].is_met
    (found,) = await collector.collect()
    assert (found.is_met, found.size) == (True, 400)
    assert checkpoint_of(newest).origin == ORIGIN
    assert held_out.size == 300


def submission_proof(log: GrowingLog, old: int, new: int) -> tuple[bytes, ...]:
    from streams.ledger.tree import consistency_proof  # noqa: PLC0415 - this test alone

    return tuple(consistency_proof(log.writer.log.nodes(new), old, new))


async def test_one_that_only_says_that_it_is_ahead_leaves_the_others_the_time_that_they_have(world, scripted):
    signer = KEYS[1]
    world.lines = [
        f"witness w0 {KEYS[0].verifier} {world.folder}/{KEYS[0].verifier.name}/public\n",
        f"witness w1 {signer.verifier} {scripted.url}\n",
    ]
    collector = world.collector("group q 1 w0")
    held_out = []
    for grown in range(310, 350, 10):
        scripted.answers = [size(grown)] * 3
        (found,) = await collector.collect()
        world.log.grow(grown)
        held_out.append(found.waiting)
        scripted.answers = [size(grown)] * 3
        (found,) = await collector.collect()
        held_out.append(found.waiting)
    assert held_out[:2] == [300, 310]  # once it is believed
    assert set(held_out[2:]) == {310}


async def test_a_witness_whose_files_come_byte_by_byte_is_left_alone(world, scripted, monkeypatch):
    monkeypatch.setattr(collect, "ADD_TIMEOUT_S", 0.5)
    asked = []

    async def slow(request):
        asked.append(request.path)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    async def refuse(_):
        return web.Response(status=403)

    app = web.Application()
    app.router.add_get("/{path:.+}", slow)
    app.router.add_post("/{path:.+}", refuse)
    async with TestServer(app) as server:
        world.lines = [f"witness w0 {KEYS[0].verifier} {server.make_url('/')}\n"]
        collector = world.collector("group q 1 w0")
        async with asyncio.timeout(20):
            for _ in range(5):
                (found,) = await collector.collect()
                assert not found.is_met
    assert len(asked) == 1
