"""Witnesses on a real broker: from workers' donations to receipts that two of them have cosigned, and lies found."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.engine.topic_admin import create_topics
from streams.ledger.evidence import Charge, Evidence, check_evidence
from streams.ledger.leaf import decode_leaf, encode_leaf
from streams.ledger.notes import KeyType, Note, SignerKey, sign_note
from streams.ledger.policy import Policy
from streams.ledger.published import PublishedLog, checkpoint_of
from streams.ledger_service.collect import Collector
from streams.ledger_service.files import Disk, folder_fetch
from streams.ledger_service.follow import log_folder, run_ledger
from streams.ledger_service.fsck import public_keys
from streams.ledger_service.keys import LastSigned, load_keys, log_origin, make_keys
from streams.ledger_service.remote import Remote
from streams.ledger_service.store import LogWriter
from streams.ledger_service.witness import Outcome, Watch, Witness
from streams.ledger_service.witness_run import Port, serving_public, wall_clock_s, watched_logs
from streams.ledger_service.witness_store import WitnessStore
from streams.serve.server import serving
from streams.settings import Settings
from tests.kafka.workers import audited, drawn_seed, load, running_workers

NAME = "ledger.test"
STALE_S = 0  # a doubt is an alarm at once
SIGNERS = {
    name: SignerKey.from_seed(f"{name}.test", bytes([at]) * 32, KeyType.COSIGNATURE)
    for at, name in enumerate(("charity", "newspaper"))
}


@pytest.fixture
def deployment(settings: Settings, tmp_path: Path) -> Settings:
    make_keys(tmp_path / "keys", [log_origin(NAME, number) for number in range(4)])
    folders = {
        f"ledger_{name}": str(tmp_path / folder)
        for name, folder in (("dir", "ledger"), ("keys", "keys"), ("index", "index"))
    }
    more = {"ledger_name": NAME, "ledger_interval_ms": 100, "serve_port": 0, "serve_ledger_dir": folders["ledger_dir"]}
    return settings.model_copy(update={**folders, **more})


async def keep(settings: Settings) -> None:
    """Bring the ledger up to date with the topic."""
    async with asyncio.timeout(120):
        await run_ledger(settings, asyncio.Event(), until_end=True)


class Parties:
    """The operator's server and collector, and two witnesses with web servers of their own."""

    def __init__(self, settings: Settings, folder: Path, stack: AsyncExitStack, remote: Remote) -> None:
        self.settings, self._folder, self._stack, self._remote = settings, folder, stack, remote
        self.keys = public_keys(Path(settings.ledger_dir))
        self.stores: dict[str, WitnessStore] = {}
        self.addresses: dict[str, str] = {}

    async def open_witness(self, name: str, ledger: str, peers=()) -> Witness:
        private, public = self._folder / name, self._folder / f"{name}-public"
        store = self.stores[name] = WitnessStore(private, public, SIGNERS[name])
        store.open()
        if name not in self.addresses:
            self.addresses[name] = await self._stack.enter_async_context(serving_public(public, Port("127.0.0.1", 0)))
        logs = watched_logs([ledger], self.keys)
        return Witness(
            store, Watch(logs, STALE_S, [self.addresses[each] for each in peers]), self._remote, wall_clock_s
        )

    def policy(self) -> Path:
        lines = [f"log {key}" for key in self.keys]
        lines += [f"witness {name} {SIGNERS[name].verifier} {address}" for name, address in self.addresses.items()]
        path = self._folder / "policy.txt"
        path.write_text("\n".join([*lines, f"group both all {' '.join(self.addresses)}", "quorum both", ""]))
        return path

    def collector(self) -> Collector:
        policy = Policy.parse(self.policy().read_bytes())
        return Collector(Path(self.settings.ledger_dir), policy, self._remote, 10)

    def evidence(self, name: str) -> list[Evidence]:
        return [Evidence.parse(path.read_bytes()) for path in (self._folder / name / "evidence").glob("*.json")]


@asynccontextmanager
async def parties(settings: Settings, folder: Path):
    async with AsyncExitStack() as stack:
        remote = await stack.enter_async_context(Remote())
        address, working = await stack.enter_async_context(serving(settings))
        found = Parties(settings, folder, stack, remote)
        yield found, f"{address}ledger"
        for task in working:
            if task.done():
                task.result()


@pytest.fixture
async def ledger(deployment: Settings) -> Settings:
    """Donations of real workers in four logs."""
    await create_topics(deployment)
    with running_workers(deployment) as workers:
        workers.start()
        await load(deployment, 1_500, drawn_seed())
        await audited(deployment, workers)
    await keep(deployment)
    return deployment


def forked(settings: Settings, folder: Path, partition: int = 0) -> Path:
    """The same ledger with one donation of a log changed, signed by the operator's own keys, in another folder."""
    shutil.copytree(settings.ledger_dir, folder)
    true = PublishedLog(folder_fetch(log_folder(settings, partition)))
    size = checkpoint_of(true.note()).size
    entries = [entry for _, bundle in true.bundles(0, size) for entry in bundle]
    leaf = decode_leaf(entries[size // 2])
    fields = {name: getattr(leaf, name) for name in leaf.__struct_fields__}
    entries[size // 2] = encode_leaf(type(leaf)(**{**fields, "fen": leaf.fen + 1}))
    origin = log_origin(NAME, partition)
    target = folder / "donations" / str(partition)
    shutil.rmtree(target)
    signers = load_keys(Path(settings.ledger_keys)).of(origin)
    log = LogWriter(target, origin, signers, LastSigned(folder.parent / f"{folder.name}-keys", origin, Disk()))
    log.open()
    log.append(entries)
    log.write(log.prepare())
    return folder


def run(settings: Settings, *words):
    environment = {
        "EVERYCENT_LEDGER_DIR": settings.ledger_dir,
        "EVERYCENT_LEDGER_KEYS": settings.ledger_keys,
        "EVERYCENT_LEDGER_INDEX": settings.ledger_index,
    }
    return CliRunner().invoke(app, ["ledger", *map(str, words)], env=environment)


def first_donation(settings: Settings, partition: int):
    log = PublishedLog(folder_fetch(log_folder(settings, partition)))
    return decode_leaf(log.entry(0, checkpoint_of(log.note()).size))


async def test_donations_of_real_workers_get_receipts_that_two_witnesses_have_cosigned(ledger, tmp_path):
    async with parties(ledger, tmp_path) as (found, address):
        witnesses = [await found.open_witness(name, address) for name in SIGNERS]
        collector = found.collector()
        donation = first_donation(ledger, 2)
        file = tmp_path / "mine.tlog-proof"
        await collector.collect()
        refused = run(ledger, "receipt", donation.donation_id, "--output", file, "--policy", found.policy())
        assert "bears what the policy asks for" in str(refused.exception)
        for witness in witnesses:
            assert set((await witness.look()).values()) == {Outcome.COSIGNED}
        assert all(each.is_met for each in await collector.collect())
        made = run(ledger, "receipt", donation.donation_id, "--output", file, "--policy", found.policy())
        assert made.exit_code == 0, made.exception
    done = run(ledger, "verify", file, "--policy", tmp_path / "policy.txt", "--json")
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)
    assert verdict["donation"]["donation_id"] == donation.donation_id
    assert [each["key"] for each in verdict["cosigned_by"]] == [str(SIGNERS[name].verifier) for name in SIGNERS]
    # Without one of the two cosignatures it fails by its name.
    bare = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in bare if "newspaper" not in line))
    done = run(ledger, "verify", file, "--policy", tmp_path / "policy.txt")
    assert done.exit_code == 1
    assert done.stdout.startswith("NOT VALID: the promise of its witnesses fails.")


async def test_witnesses_follow_a_ledger_that_grows_with_new_donations(ledger, tmp_path):
    async with parties(ledger, tmp_path) as (found, address):
        witnesses = [await found.open_witness(name, address) for name in SIGNERS]
        collector = found.collector()
        await collector.collect()
        for witness in witnesses:
            await witness.look()
        before = await collector.collect()
        with running_workers(ledger) as workers:
            workers.start()
            await load(ledger, 1_000, drawn_seed())
            await audited(ledger, workers)
        await keep(ledger)
        await collector.collect()  # holds the grown ones out
        for witness in witnesses:
            assert set((await witness.look()).values()) == {Outcome.COSIGNED}
        after = await collector.collect()
        assert all(new.size > old.size for old, new in zip(before, after, strict=True))
        assert all(each.cosigners == tuple(SIGNERS) for each in after)


async def test_a_split_view_of_a_real_ledger_shown_to_two_witnesses_is_proven_by_their_comparison(ledger, tmp_path):
    other_view = forked(ledger, tmp_path / "for-the-newspaper")
    async with parties(ledger, tmp_path) as (found, address):
        charity = await found.open_witness("charity", address)
        assert set((await charity.look()).values()) == {Outcome.COSIGNED}
        newspaper = await found.open_witness("newspaper", str(other_view), peers=["charity"])
        outcomes = await newspaper.look()
        assert [origin for origin, outcome in outcomes.items() if outcome is Outcome.ALARM] == [log_origin(NAME, 0)]
        (evidence,) = found.evidence("newspaper")
        assert evidence.charge is Charge.TWO_TREES
        assert check_evidence(evidence, found.keys).proven
        # Nor does a receipt of either view get both cosignatures.
        split = [each for each in await found.collector().collect() if each.split]
        assert [(each.origin, each.split, each.is_met) for each in split] == [
            (log_origin(NAME, 0), ("newspaper",), False)
        ]


@pytest.mark.parametrize("attack", ["rewritten", "rolled back", "key swapped"])
async def test_an_attack_on_a_real_ledger_is_an_alarm_with_evidence(ledger, tmp_path, attack):
    before = tmp_path / "before"
    shutil.copytree(ledger.ledger_dir, before)
    with running_workers(ledger) as workers:
        workers.start()
        await load(ledger, 1_000, drawn_seed())
        await audited(ledger, workers)
    if attack != "rewritten":
        await keep(ledger)
    async with parties(ledger, tmp_path) as (found, address):
        charity = await found.open_witness("charity", address)
        assert set((await charity.look()).values()) == {Outcome.COSIGNED}
        log = log_folder(ledger, 0)
        if attack == "rolled back":
            (log / "checkpoint").write_bytes((before / "donations/0/checkpoint").read_bytes())
            await asyncio.sleep(1.1)  # longer ago than STALE_S
        elif attack == "key swapped":
            text = Note.parse((log / "checkpoint").read_bytes()).text
            (log / "checkpoint").write_bytes(
                bytes(sign_note(text, [SignerKey.from_seed(log_origin(NAME, 0), b"x" * 32)]))
            )
        else:
            await keep(ledger)  # grows, and then its first half is another one
            other = forked(ledger, tmp_path / "other")
            shutil.rmtree(ledger.ledger_dir)
            other.rename(ledger.ledger_dir)
        outcomes = await charity.look()
        assert outcomes[log_origin(NAME, 0)] is Outcome.ALARM
        assert Outcome.ALARM not in [outcomes[log_origin(NAME, number)] for number in (1, 2, 3)]
        (evidence,) = found.evidence("charity")
        finding = check_evidence(evidence, found.keys)
        wanted = {"rewritten": Charge.REWRITTEN, "rolled back": Charge.ROLLED_BACK, "key swapped": Charge.FOREIGN_KEY}
        assert evidence.charge is wanted[attack]
        assert finding.proven is (attack == "rewritten"), finding.text
