"""The role `ledger` on a real broker: from donations to public logs, through kills, restores and rebuilds."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from schemas.donation import encode_donation
from streams.domain.load import LoadPlan
from streams.engine.connection import client_options, open_admin
from streams.engine.reader import open_reader
from streams.engine.topic_admin import create_topics
from streams.errors import UserError
from streams.ledger.leaf import decode_leaf, entries_of
from streams.ledger.notes import Note
from streams.ledger.published import PublishedLog, checkpoint_of
from streams.ledger_service.files import folder_fetch
from streams.ledger_service.follow import log_folder, run_ledger
from streams.ledger_service.fsck import LogReport, Sources, check_log, public_keys, remembered
from streams.ledger_service.keys import load_keys, log_origin, make_keys
from streams.ledger_service.store import RefusalError
from streams.settings import Settings
from tests.kafka.workers import audited, drawn_seed, load, running_workers, wait_until
from tests.ledger.parts import donation, root_by_definition


@pytest.fixture
def deployment(settings: Settings, tmp_path: Path) -> Settings:
    settings = settings.model_copy(
        update={
            "ledger_dir": str(tmp_path / "ledger"),
            "ledger_keys": str(tmp_path / "keys"),
            "ledger_name": "ledger.test",
            "ledger_interval_ms": 100,
        }
    )
    make_keys(tmp_path / "keys", [log_origin("ledger.test", number) for number in range(4)])
    return settings


@pytest.fixture
async def ready(deployment: Settings) -> Settings:
    await create_topics(deployment)
    return deployment


async def put(settings: Settings, seqs, partition: int = 0, *, abort: bool = False, source_shift: int = 0) -> None:
    """Donations on one partition, in a transaction."""
    topic = settings.topics.donations
    producer = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-put-{partition}")
    await producer.start()
    try:
        await producer.begin_transaction()
        for seq in seqs:
            one = donation(seq)
            value = encode_donation(one).replace(b"m20403", b"m%d" % (20403 + source_shift))
            await producer.send(topic, value, one.buyer_id.encode(), partition=partition)
        await producer.flush()
        await (producer.abort_transaction() if abort else producer.commit_transaction())
    finally:
        await producer.stop()


async def keep(settings: Settings) -> None:
    """Bring the ledger up to date."""
    async with asyncio.timeout(120):
        await run_ledger(settings, asyncio.Event(), until_end=True)


def files_of(settings: Settings) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(settings.ledger_dir).rglob("*") if path.is_file()}


def published(settings: Settings, partition: int) -> PublishedLog:
    return PublishedLog(folder_fetch(log_folder(settings, partition)))


async def check_against_topic(settings: Settings) -> int:
    """Every donation is its log's leaf of that number, and nothing else is; how many there are."""
    keys = load_keys(Path(settings.ledger_keys))
    leaves = 0
    async with open_reader(settings) as reader:
        for partition in range(settings.partitions):
            records = [r async for batch in reader.read(settings.topics.donations, partition) for r in batch]
            log = published(settings, partition)
            note = log.note()
            assert note.signed_by(signer.verifier for signer in keys.of(log_origin("ledger.test", partition)))
            checkpoint = checkpoint_of(note)
            entries = [entry for _, bundle in log.bundles(0, checkpoint.size) for entry in bundle]
            assert entries == entries_of(records, 0, keys.salts)
            assert root_by_definition(entries) == checkpoint.root
            last = await reader.last_record(settings.topics.ledger_checkpoints, partition)
            assert checkpoint_of(Note.parse(last.value)) == checkpoint
            assert last.key.decode() == checkpoint.origin
            leaves += checkpoint.size
    return leaves


async def test_each_donation_of_real_workers_is_a_leaf_and_the_ledger_may_be_killed_at_any_time(ready):
    plan = LoadPlan(6_000, seed=drawn_seed())
    with running_workers(ready) as workers:
        workers.start()
        keeper = workers.start(command=["-m", "streams.cli", "ledger", "run"])
        await load(ready, plan.orders, plan.seed)
        for kills in range(3):
            keeper.wait_for("ledger starts")
            await asyncio.sleep(0.3 * kills)
            keeper.kill()
            keeper = workers.start(command=["-m", "streams.cli", "ledger", "run"])
        report = await audited(ready, workers)

        def leaves() -> int:
            logs = [published(ready, partition) for partition in range(4)]
            return sum(checkpoint_of(log.note()).size for log in logs)

        keeper.wait_for("ledger starts")
        wait_until(lambda: leaves() == report.counts.donations, lambda: f"{leaves()}\n{workers.logs()}")
        assert keeper.stop() == 0
        assert "Traceback" not in workers.logs()
    assert await check_against_topic(ready) == report.counts.donations
    first = files_of(ready)
    shutil.rmtree(ready.ledger_dir)
    # From the topic alone, and it must come out as it was signed: in Python, and before in Rust if that's here.
    await keep(ready.model_copy(update={"native": False}))
    assert files_of(ready).items() <= first.items()


async def test_aborted_donations_are_no_leaves(ready):
    await put(ready, range(5))
    await put(ready, range(5, 9), abort=True)
    await put(ready, range(5, 7))
    await keep(ready)
    assert await check_against_topic(ready) == 7
    log = published(ready, 0)
    assert [decode_leaf(log.entry(number, 7)).seq for number in range(7)] == list(range(7))


async def test_a_log_that_is_put_back_from_a_backup_is_brought_up_to_date(ready, tmp_path):
    await put(ready, range(300))
    await keep(ready)
    shutil.copytree(ready.ledger_dir, tmp_path / "backup")
    await put(ready, range(300, 700))
    await keep(ready)
    shutil.rmtree(ready.ledger_dir)
    shutil.copytree(tmp_path / "backup", ready.ledger_dir)
    await keep(ready)
    assert await check_against_topic(ready) == 700


async def test_what_was_signed_is_remembered_by_the_topic_even_if_log_and_keys_are_put_back(ready, tmp_path):
    """An attacker with an old backup of everything on disk, and donations that were changed since."""
    await put(ready, range(10))
    await keep(ready)
    for name in ("ledger", "keys"):
        shutil.copytree(tmp_path / name, tmp_path / "backup" / name)
    await put(ready, range(10, 20))
    await keep(ready)
    other = ready.model_copy(update={"topic_prefix": f"{ready.topic_prefix}x-"})  # where seq 15 is another donation
    await create_topics(other)
    await put(other, range(15))
    await put(other, range(15, 20), source_shift=1)
    async with open_reader(ready) as reader:
        last = await reader.last_record(ready.topics.ledger_checkpoints, 0)
    producer = AIOKafkaProducer(**client_options(other))
    await producer.start()
    await producer.send_and_wait(other.topics.ledger_checkpoints, last.value, last.key, partition=0)
    await producer.stop()
    for name in ("ledger", "keys"):
        shutil.rmtree(tmp_path / name)
        shutil.copytree(tmp_path / "backup" / name, tmp_path / name)
    with pytest.raises(
        RefusalError, match=r"refusing to sign: the topic '.*ledger-checkpoints' remembers .* of 20 leaves"
    ):
        await keep(other)
    assert checkpoint_of(published(other, 0).note()).size == 10


async def test_a_topic_that_lost_donations_stops_the_ledger(ready, tmp_path):
    await put(ready, range(20))
    await keep(ready)
    other = ready.model_copy(update={"topic_prefix": f"{ready.topic_prefix}x-"})
    await create_topics(other)
    await put(other, range(15))
    with pytest.raises(RefusalError, match="doesn't hold the donation with seq 19"):
        await keep(other)
    shutil.rmtree(ready.ledger_dir)
    with pytest.raises(RefusalError, match="holds no more than 15 donations"):
        await keep(other)
    await put(other, range(15, 20), source_shift=7)
    with pytest.raises(RefusalError, match="the entries give the root"):
        await keep(other)


async def test_a_topic_whose_last_donation_was_changed_and_a_gap_stop_the_ledger(ready):
    await put(ready, range(20))
    await keep(ready)
    other = ready.model_copy(update={"topic_prefix": f"{ready.topic_prefix}x-"})
    await create_topics(other)
    await put(other, range(19))
    await put(other, [19], source_shift=1)
    with pytest.raises(RefusalError, match="is not the one that the log"):
        await keep(other)
    await put(ready, [21])
    with pytest.raises(RefusalError, match="has seq 21, but 20 must come"):
        await keep(ready)
    assert checkpoint_of(published(ready, 0).note()).size == 20


async def test_a_second_ledger_in_the_same_folder_and_missing_keys_are_told_in_one_line(ready, deployment, tmp_path):
    stop = asyncio.Event()
    first = asyncio.create_task(run_ledger(ready, stop))
    async with asyncio.timeout(60):
        while not (tmp_path / "ledger/donations/3/checkpoint").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        with pytest.raises(UserError, match="another process is keeping the ledger"):
            await run_ledger(ready, asyncio.Event())
        stop.set()
        await first
    with pytest.raises(UserError, match="ledger keygen"):
        await run_ledger(ready.model_copy(update={"ledger_name": "other.test"}), asyncio.Event())
    with pytest.raises(UserError, match="there is no 9"):
        await run_ledger(ready, asyncio.Event(), [9])


async def test_a_ledger_whose_topic_lacks_partitions_says_so_before_it_signs(deployment):
    async with open_admin(deployment) as admin:
        names = deployment.topics
        await admin.create_topics([NewTopic(names.donations, 4, 1), NewTopic(names.ledger_checkpoints, 2, 1)])
    with pytest.raises(UserError, match=r"ledger-checkpoints' has 2 partitions, but .*donations' has 4"):
        await keep(deployment)


async def fsck(settings: Settings, **more) -> list[LogReport]:
    folder = Path(settings.ledger_dir)
    topic, signed = await remembered(settings)
    sources = Sources(folder, public_keys(folder), topic, signed, **more)
    return [await check_log(sources, partition) for partition in range(settings.partitions)]


async def test_fsck_compares_with_the_topic_and_says_the_first_difference(ready, tmp_path):
    await put(ready, range(600))
    await keep(ready)
    await put(ready, range(600, 610))
    reports = await fsck(ready, state=tmp_path / "state.json")
    assert [(r.leaves, r.difference, r.waiting) for r in reports] == [(600, "", 10)] + [(0, "", 0)] * 3
    again = await fsck(ready, state=tmp_path / "state.json")
    assert (again[0].resumed_at, again[0].leaves, again[0].difference, again[0].waiting) == (512, 600, "", 10)
    assert (await fsck(ready.model_copy(update={"native": False}), native=False))[0] == reports[0]

    other = ready.model_copy(update={"topic_prefix": f"{ready.topic_prefix}x-"})  # the ledger of another truth
    await create_topics(other)
    await put(other, range(300))
    await put(other, [300], source_shift=1)
    await put(other, range(301, 500))
    differing = (await fsck(other))[0]
    assert differing.leaves == 256
    assert differing.difference.startswith("leaf 300 is ")
    assert '"merchant_id":"m20404"' in differing.difference
    shorter = ready.model_copy(update={"topic_prefix": f"{ready.topic_prefix}y-"})
    await create_topics(shorter)
    await put(shorter, range(500))
    assert "holds 256 entries, but there are only 244 donations" in (await fsck(shorter))[0].difference
