//! From what a fetch brought of a partition to its committed records.
//!
//! The bytes are record batches of Kafka's format v2, one behind the other; the last one may be cut off. Records of
//! aborted transactions and the markers of all transactions are passed over, by the same rule as every Kafka client's:
//! the fetch says which producers' transactions were aborted and where they began, and the abort marker ends each.

use std::collections::HashSet;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::fault::Fault;
use crate::varint;

const HEADER_BYTES: usize = 61;
const LENGTH_AT: usize = 8; // what follows the length field is counted by it
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21; // the checksum covers all from the attributes on
const CODEC_MASK: i16 = 0x07;
const CODEC_NONE: i16 = 0;
const CODEC_ZSTD: i16 = 4;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const ABORT_MARKER: [u8; 4] = [0, 0, 0, 0]; // version 0, type 0
const BLOCK_RECORDS: usize = 64; // their memory is waited for together, and what is read of them fits the nearest caches
const INFLATE_STEP: usize = 256 * 1024;
const SCRATCH_KEPT_MAX: usize = 1024 * 1024; // a batch is mostly less; what giant ones took is given back

/// A record, borrowed from the batch that holds it. `timestamp` is the broker's where the topic says so.
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8], // as they came, behind their number
    header_count: usize,
}

impl<'a> Record<'a> {
    /// One without headers.
    pub fn bare(offset: i64, timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { offset, timestamp, key, value, headers: &[], header_count: 0 }
    }

    /// Each header's name and value, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        (0..self.header_count).map_while(move |_| {
            let name = field_of(&mut rest)??;
            Some((name, field_of(&mut rest)?))
        })
    }
}

/// Producers whose transaction was aborted, each with the offset at which it began.
pub type Aborted = Vec<(i64, i64)>;

/// A record batch of committed records; what it holds may still be packed.
struct Batch<'a> {
    base_offset: i64,
    next_offset: i64,
    attributes: i16,
    first_timestamp: i64,
    max_timestamp: i64,
    records: i32,
    body: &'a [u8],
}

/// What can be told of a fetch without unpacking it.
#[derive(Default)]
pub struct Outline {
    /// The offset behind all of it.
    pub next_offset: i64,
    /// How many committed records there are, at the most, at or after the position.
    pub records: i64,
    /// False where a batch has an older format or another codec: Python reads those.
    pub readable: bool,
}

/// Reads runs of record batches, one after the other.
pub struct Reader {
    decoder: Decoder<'static>,
    scratch: Vec<u8>,
}

impl Reader {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, scratch: Vec::new() })
    }

    /// Give each committed record at or after `position` to `each`, once, in the order of the log.
    pub fn read<F>(&mut self, data: &[u8], aborted: Aborted, position: i64, mut each: F) -> Result<(), Fault>
    where
        F: FnMut(&Record) -> Result<(), Fault>,
    {
        self.read_blocks(data, aborted, position, |block| block.iter().try_for_each(&mut each))
    }

    /// The same, by blocks of at most `BLOCK_RECORDS`.
    pub fn read_blocks<F>(&mut self, data: &[u8], aborted: Aborted, mut position: i64, mut each: F) -> Result<(), Fault>
    where
        F: FnMut(&[Record]) -> Result<(), Fault>,
    {
        let mut batches = Batches::new(data, aborted);
        while let Some(batch) = batches.next()? {
            if batch.next_offset <= position {
                continue;
            }
            let body = match batch.attributes & CODEC_MASK {
                CODEC_NONE => batch.body,
                CODEC_ZSTD => {
                    inflate(&mut self.decoder, batch.body, &mut self.scratch)
                        .map_err(|_| Fault::Corrupt("a record batch that doesn't unpack"))?;
                    self.scratch.as_slice()
                }
                _ => return Err(Fault::Corrupt("a record batch with a codec that isn't read here")),
            };
            read_records(&batch, body, position, &mut each)?;
            position = batch.next_offset;
        }
        if self.scratch.capacity() > SCRATCH_KEPT_MAX {
            self.scratch = Vec::new();
        }
        Ok(())
    }
}

/// The outline of `data`, seen from `position`.
pub fn outline(data: &[u8], aborted: Aborted, position: i64) -> Result<Outline, Fault> {
    let mut batches = Batches::new(data, aborted);
    let mut found = Outline { next_offset: position, records: 0, readable: true };
    loop {
        match batches.next() {
            Ok(Some(batch)) => {
                if batch.next_offset > position {
                    found.records += i64::from(batch.records.max(0)).min(batch.next_offset - position);
                    found.readable &= matches!(batch.attributes & CODEC_MASK, CODEC_NONE | CODEC_ZSTD);
                }
            }
            Ok(None) => break,
            Err(Fault::Corrupt(_)) if batches.is_older_format() => {
                found.readable = false;
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    found.next_offset = found.next_offset.max(batches.next_offset);
    Ok(found)
}

/// The committed batches of a fetch.
struct Batches<'a> {
    rest: &'a [u8],
    aborted: std::iter::Peekable<std::vec::IntoIter<(i64, i64)>>,
    aborted_producers: HashSet<i64>,
    next_offset: i64,
}

impl<'a> Batches<'a> {
    fn new(data: &'a [u8], mut aborted: Aborted) -> Self {
        aborted.sort_by_key(|&(_, first_offset)| first_offset);
        let aborted = aborted.into_iter().peekable();
        Self { rest: data, aborted, aborted_producers: HashSet::new(), next_offset: i64::MIN }
    }

    /// True if the fetch begins with an older format; behind one of ours none can come.
    fn is_older_format(&self) -> bool {
        self.next_offset == i64::MIN && self.rest.get(MAGIC_AT).is_some_and(|&magic| magic < 2)
    }

    fn next(&mut self) -> Result<Option<Batch<'a>>, Fault> {
        while let Some(whole) = self.take_whole()? {
            let attributes = i16_at(whole, 21);
            let base_offset = i64_at(whole, 0);
            let last_step = i64::from(i32_at(whole, 23));
            let next_offset = base_offset.checked_add(last_step + 1).filter(|_| base_offset >= 0 && last_step >= 0);
            let batch = Batch {
                base_offset,
                next_offset: next_offset.ok_or(Fault::Corrupt("a record batch of impossible offsets"))?,
                attributes,
                first_timestamp: i64_at(whole, 27),
                max_timestamp: i64_at(whole, 35),
                records: i32_at(whole, 57),
                body: &whole[HEADER_BYTES..],
            };
            self.next_offset = batch.next_offset;
            if !self.is_skipped(&batch, i64_at(whole, 43)) {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// The bytes of the next batch that is there as a whole, checked.
    fn take_whole(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.rest.len() <= MAGIC_AT {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(i32_at(self.rest, LENGTH_AT)) else {
            return Err(Fault::Corrupt("a record batch of negative length"));
        };
        let size = LENGTH_AT + 4 + length;
        if self.rest[MAGIC_AT] != 2 {
            return Err(Fault::Corrupt("a record batch of another format"));
        }
        if size > self.rest.len() {
            return Ok(None);
        }
        if size < HEADER_BYTES {
            return Err(Fault::Corrupt("a record batch shorter than its header"));
        }
        let (whole, rest) = self.rest.split_at(size);
        if crc32c::crc32c(&whole[CRC_FROM..]) != i32_at(whole, CRC_AT) as u32 {
            return Err(Fault::Corrupt("a record batch whose checksum is wrong"));
        }
        self.rest = rest;
        Ok(Some(whole))
    }

    fn is_skipped(&mut self, batch: &Batch, producer: i64) -> bool {
        while let Some((aborted, _)) = self.aborted.next_if(|&(_, first_offset)| first_offset <= batch.base_offset) {
            self.aborted_producers.insert(aborted);
        }
        if batch.attributes & CONTROL != 0 {
            if is_abort_marker(batch.body) {
                self.aborted_producers.remove(&producer);
            }
            return true;
        }
        batch.attributes & TRANSACTIONAL != 0 && self.aborted_producers.contains(&producer)
    }
}

fn is_abort_marker(mut body: &[u8]) -> bool {
    record_of(&mut body).is_some_and(|parts| parts.key.is_some_and(|key| key.starts_with(&ABORT_MARKER)))
}

fn read_records<F>(batch: &Batch, mut body: &[u8], mut position: i64, each: &mut F) -> Result<(), Fault>
where
    F: FnMut(&[Record]) -> Result<(), Fault>,
{
    let stamped_by_broker = batch.attributes & LOG_APPEND_TIME != 0;
    let mut block = Vec::with_capacity(BLOCK_RECORDS);
    for _ in 0..batch.records {
        let Some(Parts { time, step, key, value, headers, header_count }) = record_of(&mut body) else {
            return Err(Fault::Corrupt("a record that doesn't fit its batch"));
        };
        if !(0..batch.next_offset - batch.base_offset).contains(&step) {
            return Err(Fault::Corrupt("a record beyond the offsets of its batch"));
        }
        let offset = batch.base_offset + step;
        let timestamp = if stamped_by_broker { batch.max_timestamp } else { batch.first_timestamp.wrapping_add(time) };
        if offset >= position {
            block.push(Record { offset, timestamp, key, value, headers, header_count });
            position = offset + 1;
        }
        if block.len() == BLOCK_RECORDS {
            each(&block)?;
            block.clear();
        }
    }
    if !body.is_empty() {
        return Err(Fault::Corrupt("a record batch with more than its records"));
    }
    each(&block)
}

/// What a record is made of; its time and offset are counted from the batch's.
struct Parts<'a> {
    time: i64,
    step: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: usize,
}

/// The record at the front of `body`. Its headers must be there as a whole, and nothing behind them.
fn record_of<'a>(body: &mut &'a [u8]) -> Option<Parts<'a>> {
    let length = usize::try_from(varint::take(body)?).ok()?;
    if length > body.len() {
        return None;
    }
    let (mut record, rest) = body.split_at(length);
    *body = rest;
    let (_, after_attributes) = record.split_first()?;
    record = after_attributes;
    let time = varint::take(&mut record)?;
    let step = varint::take(&mut record)?;
    let key = field_of(&mut record)?;
    let value = field_of(&mut record)?;
    let header_count = usize::try_from(varint::take(&mut record)?).ok()?;
    let headers = record;
    for _ in 0..header_count {
        field_of(&mut record)??; // a name, never null
        field_of(&mut record)?;
    }
    record.is_empty().then_some(Parts { time, step, key, value, headers, header_count })
}

#[allow(clippy::option_option)] // not there, or null
fn field_of<'a>(record: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::take(record)?;
    if length < 0 {
        return Some(None);
    }
    let length = length as usize;
    if length > record.len() {
        return None;
    }
    let (field, rest) = record.split_at(length);
    *record = rest;
    Some(Some(field))
}

fn inflate(decoder: &mut Decoder<'static>, body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    decoder.reinit()?;
    out.clear();
    let mut input = InBuffer::around(body);
    loop {
        let before = (input.pos(), out.len());
        if out.capacity() - out.len() < INFLATE_STEP {
            out.reserve(INFLATE_STEP.max(out.len()));
        }
        let filled = out.len();
        let left = decoder.run(&mut input, &mut OutBuffer::around_pos(out, filled))?;
        if input.pos() == body.len() && left == 0 {
            return Ok(());
        }
        if (input.pos(), out.len()) == before {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from(i32_at(bytes, at)) << 32 | i64::from(i32_at(bytes, at + 4) as u32)
}
