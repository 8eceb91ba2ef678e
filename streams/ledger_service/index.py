"""Which leaf a donation is: an index on disk, made from the logs' entries, and made again from them at any time.

RocksDB keeps, for each `donation_id`, its partition and its number there. How far the index has come in each log is
written in one batch with what it has taken in, so a crash leaves both or neither. What it answers is only a hint: a
receipt shows the leaf itself. Only one process writes; others read what it had written when they opened it.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from streams.errors import UserError
from streams.ledger.published import PublishedLog
from streams.ledger.tiles import TILE_WIDTH

BATCH_BUNDLES = 64  # 16,384 ids: what is written at once, some megabytes
BLOOM_BITS = 10  # one look in a hundred goes to the disk in vain
CACHE_BYTES = 64 * 1_048_576
METADATA_BLOCK_BYTES = 4_096  # of filters and of the index of a file
_CONFIG = "rocksdict-config.json"
_SEQ_BITS = 48  # beside 16 for the partition
_POSITION = b"\x00position/%d"  # no id begins so: ids hold no control characters


class _Id(msgspec.Struct, gc=False):
    """Of an entry only this is read."""

    donation_id: str


_decode_id = msgspec.json.Decoder(_Id).decode


class DonationIndex:
    """The index as it stands in a folder."""

    def __init__(self, database: Rdict) -> None:
        self._database = database

    def find(self, donation_id: str) -> tuple[int, int] | None:
        """(partition, seq) of the donation, as far as the index has come."""
        if not donation_id or donation_id.startswith("\x00"):
            return None
        value = self._database.get(donation_id.encode())
        if value is None:
            return None
        packed = int.from_bytes(value, "big")
        return packed >> _SEQ_BITS, packed & ((1 << _SEQ_BITS) - 1)

    def position(self, partition: int) -> int:
        """So many leaves of the partition's log are in the index."""
        return int.from_bytes(self._database.get(_POSITION % partition) or b"", "big")

    def advance(
        self, partition: int, log: PublishedLog, size: int, on_progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Take in the log's leaves up to `size`; how many were new. Written batch by batch: it may be cut short."""
        before = position = self.position(partition)
        if position >= size:
            return 0
        batch = WriteBatch(raw_mode=True)
        for taken, (bundle, entries) in enumerate(log.bundles(position // TILE_WIDTH, size), 1):
            first = bundle.number * TILE_WIDTH
            base = (partition << _SEQ_BITS) + first
            for offset in range(position - first, len(entries)):
                batch.put(_decode_id(entries[offset]).donation_id.encode(), (base + offset).to_bytes(8, "big"))
            position = first + len(entries)
            if taken % BATCH_BUNDLES == 0 or position == size:
                batch.put(_POSITION % partition, position.to_bytes(8, "big"))
                self._database.write(batch)
                batch = WriteBatch(raw_mode=True)
                on_progress(position)
        return position - before


@contextmanager
def open_index(folder: Path, *, write: bool = False) -> Iterator[DonationIndex | None]:
    """The index; None if it's to be read and there is none.

    Raises UserError if somebody else writes it, too, and for damage that is met within the block.
    """
    if not write and not (folder / "CURRENT").exists():
        yield None
        return
    try:
        with ExitStack() as stack:
            if write:
                folder.mkdir(parents=True, exist_ok=True)
                database = Rdict(str(folder), _options())
            else:
                place = folder if _may_be_written(folder) else stack.enter_context(_view(folder))
                database = Rdict(str(place), _options(), access_type=AccessType.read_only())
            stack.callback(database.close)
            closing = stack.pop_all()
    except Exception as error:  # rocksdict raises no narrower one
        raise UserError(
            f"the index in {folder} can't be opened ({error}). If nobody else writes it, delete the folder: "
            "`everycent ledger index` makes it again from the ledger."
        ) from error
    try:
        with closing:
            yield DonationIndex(database)
    except Exception as error:
        if type(error) is not Exception:  # as rocksdict raises what RocksDB says
            raise
        raise UserError(
            f"the index in {folder} is damaged ({error}). Delete the folder: `everycent ledger index` makes it again "
            "from the ledger."
        ) from error


def _may_be_written(folder: Path) -> bool:
    """Whether rocksdict can write its own file there, which it does whoever only reads."""
    file = folder / _CONFIG
    return os.access(file if file.exists() else folder, os.W_OK)


@contextmanager
def _view(folder: Path) -> Iterator[Path]:
    """A folder of our own with links to all files of one that we may only read, but for rocksdict's own."""
    with tempfile.TemporaryDirectory(prefix="everycent-index-") as view:
        for path in folder.iterdir():
            if path.name != _CONFIG:
                (Path(view) / path.name).symlink_to(path.absolute())
        yield Path(view)


def find_unindexed(
    log: PublishedLog, start: int, size: int, donation_id: str, on_searched: Callable[[int], None] = lambda _: None
) -> int | None:
    """The number of the donation's leaf among those from `start` on, looked for one by one: 2 million a second."""
    wanted = f'"donation_id":{msgspec.json.encode(donation_id).decode()},'.encode()
    for taken, (bundle, entries) in enumerate(log.bundles(start // TILE_WIDTH, size)):
        if taken % BATCH_BUNDLES == 0:
            on_searched(max(bundle.number * TILE_WIDTH - start, 0))
        for offset, entry in enumerate(entries):
            if wanted in entry and _decode_id(entry).donation_id == donation_id:
                return bundle.number * TILE_WIDTH + offset
    return None


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_bloom_filter(BLOOM_BITS, block_based=False)
    table.set_block_cache(Cache(CACHE_BYTES))
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    # Whole, the filter of a file of 64 MB has 4 MB, and those of 10^8 ids don't fit the cache. A look-up reads a few
    # blocks of them instead.
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(METADATA_BLOCK_BYTES)
    table.set_pin_top_level_index_and_filter(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    return options
