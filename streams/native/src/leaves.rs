//! Leaves of the public ledger: from fetched donations to entries in bundles and to hashes, and bundles back to hashes.
//!
//! `streams/ledger` has the rules, and is the reference. What is taken here is *plain*: the form that our own writer
//! gives, to the byte, in ASCII without escapes, all in range. Everything else, right or wrong, is Python's to judge.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use memchr::memchr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use crate::reader::{Aborted, Reader, Record};

// streams/ledger/tiles.py and tree.py have these; tests/native hold the two together.
const TILE_WIDTH: u64 = 256;
const HASH_BYTES: usize = 32;
const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

// Of schemas/limits.py.
const ID_MAX: usize = 64;
const DONATION_ID_MAX: usize = ID_MAX + 6; // behind the order's id a colon and a line's number
const LINE_NUMBER_MAX: u64 = 65_535;
const FEN_MAX: u64 = 1_000_000_000_000;
const EVENT_TIME_MAX_MS: u64 = 253_402_300_799_999;
const COUNT_MAX: u64 = i64::MAX as u64;

const USUAL_ENTRY_BYTES: usize = 320; // as much as is set aside, no limit
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Makes leaves of donations under one deployment's secret.
#[pyclass(module = "streams.native")]
pub struct LeafMaker {
    reader: Reader,
    salts: Hmac<Sha256>, // keyed; a copy of its two inner states makes each salt
    judge: Py<PyAny>,    // (offset, value, seq) -> the packed entry, for donations that aren't plain; or it raises
}

#[pymethods]
impl LeafMaker {
    #[new]
    fn new(secret: &[u8], judge: Py<PyAny>) -> PyResult<Self> {
        let salts = Hmac::new_from_slice(secret).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { reader: Reader::new()?, salts, judge })
    }

    /// Leaves of the committed donations of `data` from `position` on, the first of which must be number `seq`: their
    /// hashes, one after another, and their packed entries, cut where bundles of the log end. Raises what the judge
    /// raises, and CorruptRecordsError.
    fn make<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        aborted: Aborted,
        position: i64,
        seq: u64,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
        let Self { reader, salts, judge } = self;
        let mut made = Made { seq, hashes: Vec::new(), packed: Vec::new() };
        py.detach(|| reader.read(data, aborted, position, |record| made.take(salts, judge, record)))?;
        let packed = made.packed.iter().map(|piece| PyBytes::new(py, piece)).collect();
        Ok((PyBytes::new(py, &made.hashes), packed))
    }
}

/// The leaf hashes of a bundle's first `width` entries, which must be leaves from number `seq` on; None where Python has
/// to look at them one by one.
#[pyfunction]
pub fn check_bundle<'py>(py: Python<'py>, data: &[u8], width: usize, seq: u64) -> Option<Bound<'py, PyBytes>> {
    py.detach(|| plain_bundle(data, width, seq)).map(|hashes| PyBytes::new(py, &hashes))
}

/// The root over 2^n hashes, one after another. Raises ValueError for any other number.
#[pyfunction]
pub fn complete_root<'py>(py: Python<'py>, hashes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if hashes.len() % HASH_BYTES != 0 || !(hashes.len() / HASH_BYTES).is_power_of_two() {
        return Err(PyValueError::new_err(format!("{} bytes are not the hashes of a complete tree", hashes.len())));
    }
    let mut level = hashes.to_vec();
    while level.len() > HASH_BYTES {
        level = level.chunks_exact(2 * HASH_BYTES).flat_map(|pair| sha256(&[&NODE_PREFIX, pair])).collect();
    }
    Ok(PyBytes::new(py, &level))
}

/// The leaves of one fetch as far as they are made.
struct Made {
    seq: u64, // of the next one
    hashes: Vec<u8>,
    packed: Vec<Vec<u8>>,
}

impl Made {
    fn take(&mut self, salts: &Hmac<Sha256>, judge: &Py<PyAny>, record: &Record) -> Result<(), Fault> {
        if self.packed.is_empty() || self.seq % TILE_WIDTH == 0 {
            self.packed.push(Vec::with_capacity(TILE_WIDTH as usize * USUAL_ENTRY_BYTES));
        }
        let Some(piece) = self.packed.last_mut() else {
            return Err(Fault::Broken("a leaf without a bundle".to_owned())); // one was pushed just now
        };
        let start = piece.len();
        let plain = record.value.and_then(plain_donation).filter(|donation| donation.seq == self.seq);
        match plain {
            Some(donation) => {
                piece.extend_from_slice(&[0; 2]);
                donation.write_entry(piece, salts);
                let length = (piece.len() - start - 2) as u16; // limits of a plain one keep it far below
                piece[start..start + 2].copy_from_slice(&length.to_be_bytes());
            }
            None => Python::attach(|py| {
                let value = record.value.map(|value| PyBytes::new(py, value));
                let entry = judge.call1(py, (record.offset, value, self.seq))?;
                piece.extend_from_slice(entry.extract(py)?);
                Ok::<_, PyErr>(())
            })?,
        }
        let entry = piece.get(start + 2..).unwrap_or_default();
        self.hashes.extend_from_slice(&sha256(&[&LEAF_PREFIX, entry]));
        self.seq += 1;
        Ok(())
    }
}

/// A donation as our writer writes it. Its numbers are kept as they stand there: that is their canonical form.
struct Donation<'a> {
    seq: u64,
    donation_id: &'a [u8],
    order_id: &'a [u8],
    buyer_id: &'a [u8],
    merchant_id: &'a [u8],
    item_id: &'a [u8],
    project_id: &'a [u8],
    seq_text: &'a [u8],
    line: &'a [u8],
    fen: &'a [u8],
    donated_at: &'a [u8],
    source_offset: &'a [u8],
}

fn plain_donation(value: &[u8]) -> Option<Donation<'_>> {
    let mut text = Text(value);
    let donation_id = text.literal(b"{\"donation_id\":\"")?.string(DONATION_ID_MAX)?;
    let (seq_text, seq) = text.literal(b",\"seq\":")?.number(0, COUNT_MAX)?;
    let order_id = text.literal(b",\"order_id\":\"")?.id()?;
    let (line, _) = text.literal(b",\"line\":")?.number(0, LINE_NUMBER_MAX)?;
    let buyer_id = text.literal(b",\"buyer_id\":\"")?.id()?;
    let merchant_id = text.literal(b",\"merchant_id\":\"")?.id()?;
    let item_id = text.literal(b",\"item_id\":\"")?.id()?;
    let project_id = text.literal(b",\"project_id\":\"")?.id()?;
    let (fen, _) = text.literal(b",\"fen\":")?.number(1, FEN_MAX)?;
    let (donated_at, _) = text.literal(b",\"donated_at\":")?.number(1, EVENT_TIME_MAX_MS)?;
    let (source_offset, _) = text.literal(b",\"source_offset\":")?.number(0, COUNT_MAX)?;
    text.literal(b"}")?.end()?;
    Some(Donation {
        seq,
        donation_id,
        order_id,
        buyer_id,
        merchant_id,
        item_id,
        project_id,
        seq_text,
        line,
        fen,
        donated_at,
        source_offset,
    })
}

impl Donation<'_> {
    /// Append the leaf's entry: `streams/ledger/leaf.py` has the rule.
    fn write_entry(&self, out: &mut Vec<u8>, salts: &Hmac<Sha256>) {
        let salt = salts.clone().chain_update(self.donation_id).finalize().into_bytes();
        let donor = sha256(&[&salt, self.buyer_id]);
        let mut donor_hex = [0; 2 * HASH_BYTES];
        for (pair, byte) in donor_hex.chunks_exact_mut(2).zip(donor) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        let parts: [&[u8]; 23] = [
            b"{\"donated_at\":",
            self.donated_at,
            b",\"donation_id\":\"",
            self.donation_id,
            b"\",\"donor\":\"",
            &donor_hex,
            b"\",\"fen\":",
            self.fen,
            b",\"item_id\":\"",
            self.item_id,
            b"\",\"line\":",
            self.line,
            b",\"merchant_id\":\"",
            self.merchant_id,
            b"\",\"order_id\":\"",
            self.order_id,
            b"\",\"project_id\":\"",
            self.project_id,
            b"\",\"seq\":",
            self.seq_text,
            b",\"source_offset\":",
            self.source_offset,
            b"}",
        ];
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

fn plain_bundle(mut data: &[u8], width: usize, seq: u64) -> Option<Vec<u8>> {
    let mut hashes = Vec::with_capacity(width.min(TILE_WIDTH as usize) * HASH_BYTES);
    for number in 0..width {
        let (length, rest) = data.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if plain_leaf(entry)? != seq.checked_add(number as u64)? {
            return None;
        }
        hashes.extend_from_slice(&sha256(&[&LEAF_PREFIX, entry]));
        data = rest;
    }
    Some(hashes)
}

/// The number of a leaf in canonical form.
fn plain_leaf(entry: &[u8]) -> Option<u64> {
    let mut text = Text(entry);
    text.literal(b"{\"donated_at\":")?.number(0, COUNT_MAX)?;
    text.literal(b",\"donation_id\":\"")?.string(usize::MAX)?;
    let donor = text.literal(b",\"donor\":\"")?.string(2 * HASH_BYTES)?;
    text.literal(b",\"fen\":")?.number(0, COUNT_MAX)?;
    text.literal(b",\"item_id\":\"")?.string(usize::MAX)?;
    text.literal(b",\"line\":")?.number(0, COUNT_MAX)?;
    text.literal(b",\"merchant_id\":\"")?.string(usize::MAX)?;
    text.literal(b",\"order_id\":\"")?.string(usize::MAX)?;
    text.literal(b",\"project_id\":\"")?.string(usize::MAX)?;
    let (_, seq) = text.literal(b",\"seq\":")?.number(0, COUNT_MAX)?;
    text.literal(b",\"source_offset\":")?.number(0, COUNT_MAX)?;
    text.literal(b"}")?.end()?;
    let is_hex = donor.len() == 2 * HASH_BYTES && donor.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then_some(seq)
}

/// What is still to be read of a JSON object in a known form.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn literal(&mut self, expected: &[u8]) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(self)
    }

    /// An id behind its opening quote, and the closing one.
    fn id(&mut self) -> Option<&'a [u8]> {
        self.string(ID_MAX).filter(|id| !id.is_empty())
    }

    /// Up to `bytes_max` bytes of plain ASCII behind the opening quote, and the closing one.
    fn string(&mut self, bytes_max: usize) -> Option<&'a [u8]> {
        let end = memchr(b'"', self.0)?;
        let inside = &self.0[..end];
        self.0 = &self.0[end + 1..];
        let plain = end <= bytes_max && inside.iter().all(|&byte| (b' '..0x7f).contains(&byte) && byte != b'\\');
        plain.then_some(inside)
    }

    /// An integer in its one right form, with its digits.
    fn number(&mut self, least: u64, most: u64) -> Option<(&'a [u8], u64)> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        let leading_zero = digits.len() > 1 && digits[0] == b'0';
        let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (!leading_zero && (least..=most).contains(&value)).then_some((digits, value))
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
