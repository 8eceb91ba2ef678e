//! Plain orders, read fast; all others are Python's.
//!
//! `plain_order` takes only what the contract's own decoder (`schemas.order.decode_order`) surely takes with the same
//! result: an object of known fields, each once, ASCII without escapes, within all limits. Everything else, right or
//! wrong, gets None and is judged there. So there is one judge of what is refused and why.

use std::fmt;
use std::marker::PhantomData;

use memchr::memchr3;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};

// The limits of schemas/limits.py; tests/native hold the two together.
const ID_MAX: usize = 64;
pub const LINES_MAX: usize = 200;
pub const LINE_NUMBER_MAX: u64 = 65_535;
pub const FEN_MAX: u64 = 1_000_000_000_000;
pub const BPS_MAX: u64 = 10_000;
pub const EVENT_TIME_MAX_MS: u64 = 253_402_300_799_999;
pub const VALUE_MAX: usize = 1_048_576;

/// What a line gives: the rule is `domain/programme.py`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pledge<'a> {
    Fixed { project_id: &'a [u8], fen: u64 },
    Rate { project_id: &'a [u8], bps: u64 },
}

/// One item of an order.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub line: u64,
    pub item_id: &'a [u8],
    pub paid_fen: u64,
    pub pledge: Option<Pledge<'a>>,
}

/// A valid order; its texts are UTF-8. `plain`: none of them wants escaping.
#[derive(Debug, PartialEq, Eq)]
pub struct Order<'a> {
    pub order_id: &'a [u8],
    pub buyer_id: &'a [u8],
    pub merchant_id: &'a [u8],
    pub completed_at: i64,
    pub lines: Vec<Line<'a>>,
    pub plain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrder<'a> {
    order_id: &'a str,
    buyer_id: &'a str,
    merchant_id: &'a str,
    completed_at: u64,
    #[serde(borrow)]
    lines: Vec<Object<RawLine<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    line: u64,
    item_id: &'a str,
    paid_fen: u64,
    #[serde(borrow, default)]
    pledge: Option<Object<RawPledge<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPledge<'a> {
    kind: &'a str,
    project_id: &'a str,
    fen: Option<u64>,
    bps: Option<u64>,
}

/// A `T` that stands as a JSON object: serde would take an array of its fields as well, which the contract doesn't.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// The order of a record, if it is a plain one.
pub fn plain_order<'a>(key: Option<&[u8]>, value: Option<&'a [u8]>) -> Option<Order<'a>> {
    let value = value?;
    if value.len() > VALUE_MAX || !value.is_ascii() || memchr3(b'\\', b'|', 0x7f, value).is_some() {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let Object(raw) = serde_json::from_str::<Object<RawOrder>>(text).ok()?;
    let right = is_id(raw.order_id.as_bytes())
        && is_id(raw.buyer_id.as_bytes())
        && is_id(raw.merchant_id.as_bytes())
        && (1..=EVENT_TIME_MAX_MS).contains(&raw.completed_at)
        && (1..=LINES_MAX).contains(&raw.lines.len())
        && key == Some(raw.buyer_id.as_bytes());
    if !right {
        return None;
    }
    let lines: Vec<Line> = raw.lines.into_iter().map(|Object(line)| plain_line(line)).collect::<Option<_>>()?;
    if has_twice(&lines) {
        return None;
    }
    Some(Order {
        order_id: raw.order_id.as_bytes(),
        buyer_id: raw.buyer_id.as_bytes(),
        merchant_id: raw.merchant_id.as_bytes(),
        completed_at: raw.completed_at as i64,
        lines,
        plain: true,
    })
}

fn plain_line(raw: RawLine) -> Option<Line> {
    let pledge = match raw.pledge {
        None => None,
        Some(Object(pledge)) => Some(plain_pledge(pledge)?),
    };
    let right = raw.line <= LINE_NUMBER_MAX && is_id(raw.item_id.as_bytes()) && (1..=FEN_MAX).contains(&raw.paid_fen);
    right.then_some(Line { line: raw.line, item_id: raw.item_id.as_bytes(), paid_fen: raw.paid_fen, pledge })
}

fn plain_pledge(raw: RawPledge) -> Option<Pledge> {
    let project_id = raw.project_id.as_bytes();
    if !is_id(project_id) {
        return None;
    }
    match (raw.kind, raw.fen, raw.bps) {
        ("fixed", Some(fen), None) if (1..=FEN_MAX).contains(&fen) => Some(Pledge::Fixed { project_id, fen }),
        ("rate", None, Some(bps)) if (1..=BPS_MAX).contains(&bps) => Some(Pledge::Rate { project_id, bps }),
        _ => None,
    }
}

pub fn is_id(text: &[u8]) -> bool {
    (1..=ID_MAX).contains(&text.len())
}

/// True if two lines have one number.
pub fn has_twice(lines: &[Line]) -> bool {
    if lines.is_sorted_by(|one, next| one.line < next.line) {
        return false; // as nearly every source numbers them
    }
    let mut numbers: Vec<u64> = lines.iter().map(|line| line.line).collect();
    numbers.sort_unstable();
    numbers.windows(2).any(|pair| pair[0] == pair[1])
}
