//! Orders as nearly every source writes them: without white space, escapes or fields of its own, read straight through.
//!
//! `compact_order` takes a part of what `order::plain_order` takes, with the same result, for a third of the cost. All
//! else gets None and goes there. It is a reader of JSON only in so far as what it takes is JSON: fields in any order,
//! each once; digits without a sign, point or leading zero; texts of printable ASCII without `"`, `\` and `|`.

use crate::order::{BPS_MAX, EVENT_TIME_MAX_MS, FEN_MAX, LINE_NUMBER_MAX, LINES_MAX, VALUE_MAX};
use crate::order::{Line, Order, Pledge, has_twice, is_id};

const DIGITS_MAX: usize = 15; // of a number that is in range anywhere
const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The order of a record, if it is a compact one. `lines` is taken for its lines, and must be empty.
pub fn compact_order<'a>(key: Option<&[u8]>, value: Option<&'a [u8]>, lines: &mut Vec<Line<'a>>) -> Option<Order<'a>> {
    let value = value?;
    if value.len() > VALUE_MAX || !is_printable(value) {
        return None;
    }
    let mut rest = Scan(value);
    let (mut order_id, mut buyer_id, mut merchant_id, mut completed_at, mut lines_seen) =
        (None, None, None, None, false);
    rest.skip(b"{")?;
    loop {
        match rest.0.get(1)? {
            b'o' => once(&mut order_id, rest.text(b"\"order_id\":\"")?)?,
            b'b' => once(&mut buyer_id, rest.text(b"\"buyer_id\":\"")?)?,
            b'm' => once(&mut merchant_id, rest.text(b"\"merchant_id\":\"")?)?,
            b'c' => once(&mut completed_at, rest.number(b"\"completed_at\":", 1, EVENT_TIME_MAX_MS)?)?,
            b'l' if !lines_seen => {
                lines_seen = true;
                rest.lines(lines)?;
            }
            _ => return None,
        }
        if !rest.goes_on(b'}')? {
            break;
        }
    }
    let (buyer_id, is_whole) = (buyer_id?, rest.0.is_empty() && lines_seen);
    (is_whole && key == Some(buyer_id)).then_some(())?;
    let (order_id, merchant_id, completed_at) = (order_id?, merchant_id?, completed_at? as i64);
    Some(Order { order_id, buyer_id, merchant_id, completed_at, lines: std::mem::take(lines), plain: true })
}

/// What is still to be read.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// True behind a comma, false behind `end`.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        if byte == b',' { Some(true) } else { (byte == end).then_some(false) }
    }

    /// The text of a field: `name` is it and all up to the text. It is an id.
    fn text(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        self.skip(name)?;
        let (text, rest) = self.0.split_at_checked(quote_in(self.0)?)?;
        self.0 = rest.get(1..)?;
        is_id(text).then_some(text)
    }

    fn number(&mut self, name: &[u8], least: u64, most: u64) -> Option<u64> {
        self.skip(name)?;
        let mut number = 0;
        let mut digits = 0;
        while let Some(digit) = self.0.get(digits).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
            if digits == DIGITS_MAX {
                return None;
            }
            number = number * 10 + u64::from(digit);
            digits += 1;
        }
        let led = digits == 0 || digits > 1 && self.0[0] == b'0';
        self.0 = &self.0[digits..];
        (!led && (least..=most).contains(&number)).then_some(number)
    }

    fn lines(&mut self, lines: &mut Vec<Line<'a>>) -> Option<()> {
        self.skip(b"\"lines\":[")?;
        loop {
            if lines.len() == LINES_MAX {
                return None;
            }
            lines.push(self.line()?);
            if !self.goes_on(b']')? {
                return (!has_twice(lines)).then_some(());
            }
        }
    }

    fn line(&mut self) -> Option<Line<'a>> {
        let (mut line, mut item_id, mut paid_fen, mut pledge, mut pledge_seen) = (None, None, None, None, false);
        self.skip(b"{")?;
        loop {
            match self.0.get(2)? {
                b'i' => once(&mut line, self.number(b"\"line\":", 0, LINE_NUMBER_MAX)?)?,
                b't' => once(&mut item_id, self.text(b"\"item_id\":\"")?)?,
                b'a' => once(&mut paid_fen, self.number(b"\"paid_fen\":", 1, FEN_MAX)?)?,
                b'l' if !pledge_seen => {
                    pledge_seen = true;
                    self.skip(b"\"pledge\":")?;
                    pledge =
                        if self.0.starts_with(b"null") { self.skip(b"null").and(None) } else { Some(self.pledge()?) };
                }
                _ => return None,
            }
            if !self.goes_on(b'}')? {
                return Some(Line { line: line?, item_id: item_id?, paid_fen: paid_fen?, pledge });
            }
        }
    }

    fn pledge(&mut self) -> Option<Pledge<'a>> {
        let (mut kind, mut project_id, mut fen, mut bps) = (None, None, None, None);
        self.skip(b"{")?;
        loop {
            match self.0.get(1)? {
                b'k' => once(&mut kind, self.text(b"\"kind\":\"")?)?,
                b'p' => once(&mut project_id, self.text(b"\"project_id\":\"")?)?,
                b'f' => once(&mut fen, self.number(b"\"fen\":", 1, FEN_MAX)?)?,
                b'b' => once(&mut bps, self.number(b"\"bps\":", 1, BPS_MAX)?)?,
                _ => return None,
            }
            if !self.goes_on(b'}')? {
                break;
            }
        }
        let project_id = project_id?;
        match (kind?, fen, bps) {
            (b"fixed", Some(fen), None) => Some(Pledge::Fixed { project_id, fen }),
            (b"rate", None, Some(bps)) => Some(Pledge::Rate { project_id, bps }),
            _ => None,
        }
    }
}

/// Keep a field's value; None if it was there before.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// True if all of it is printable ASCII without what an id may not hold or must escape. Without a branch, so it is done
/// by many bytes at a time.
fn is_printable(value: &[u8]) -> bool {
    let is_odd = |byte: u8| u8::from(!(b' '..0x7f).contains(&byte)) | u8::from(byte == b'\\') | u8::from(byte == b'|');
    value.iter().fold(0, |odd, &byte| odd | is_odd(byte)) == 0
}

/// Where the first quotation mark stands, eight bytes at a time. `text` is ASCII.
fn quote_in(text: &[u8]) -> Option<usize> {
    let mut words = text.chunks_exact(8);
    for (at, word) in words.by_ref().enumerate() {
        let others = u64::from_le_bytes(word.try_into().ok()?) ^ (ONES * u64::from(b'"'));
        let found = others.wrapping_sub(ONES) & !others & TOPS; // its lowest bit is that of the first quotation mark
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let rest = words.remainder();
    let at = rest.iter().position(|&byte| byte == b'"')?;
    Some(text.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::plain_order;

    #[test]
    fn a_quotation_mark_is_found_wherever_it_stands() {
        for length in 0..40 {
            let text = vec![b'!'; length]; // one less than a quotation mark: a borrow must not make one of it
            assert_eq!(quote_in(&text), None);
            for at in 0..length {
                let mut text = text.clone();
                text[at] = b'"';
                text.push(b'"');
                assert_eq!(quote_in(&text), Some(at));
            }
        }
    }

    #[test]
    fn what_is_not_printable_is_seen_wherever_it_stands() {
        for odd in (0..=255).filter(|&byte: &u8| !(b' '..0x7f).contains(&byte) || byte == b'\\' || byte == b'|') {
            for at in 0..70 {
                let mut text = vec![b'x'; 70];
                assert!(is_printable(&text));
                text[at] = odd;
                assert!(!is_printable(&text));
            }
        }
    }

    const ORDERS: [&str; 2] = [
        concat!(
            r#"{"order_id":"1400000000000000001","buyer_id":"b1","merchant_id":"m1","completed_at":1605024000000,"#,
            r#""lines":[{"line":0,"item_id":"i 1","paid_fen":4990,"pledge":{"kind":"fixed","project_id":"P1","fen":2}},"#,
            r#"{"line":1,"item_id":"i2","paid_fen":12900,"pledge":{"kind":"rate","project_id":"P2","bps":30}},"#,
            r#"{"line":2,"item_id":"i3","paid_fen":100,"pledge":null},{"line":3,"item_id":"i4","paid_fen":1}]}"#
        ),
        concat!(
            r#"{"lines":[{"pledge":{"bps":1,"project_id":"P","kind":"rate"},"paid_fen":1,"line":7,"item_id":"i"}],"#,
            r#""completed_at":1,"merchant_id":"m","buyer_id":"b1","order_id":"o"}"#
        ),
    ];
    const PIECES: [&[u8]; 12] = [
        b"\"",
        b",",
        b"}",
        b"]",
        b"0",
        b"00",
        b"1000000000000",
        b"\"fen\":2,",
        b"\"pledge\":null,",
        b" ",
        b"\\",
        b"\"line\":1,",
    ];

    #[test]
    fn what_is_taken_as_compact_is_taken_as_plain_with_the_same_result() {
        let key = Some(b"b1".as_slice());
        let mut chance = 1u64;
        let mut below = |limit: usize| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) as usize % limit
        };
        let mut taken = 0;
        for round in 0..100_000 {
            let mut value = ORDERS[round % 2].as_bytes().to_vec();
            for _ in 0..below(3) {
                let at = below(value.len());
                let piece = PIECES[below(PIECES.len())].iter().copied();
                match below(4) {
                    0 => value[at] = b' ' + below(95) as u8,
                    1 => drop(value.remove(at)),
                    2 => drop(value.splice(at..at, piece)),
                    _ => drop(value.splice(at..(at + below(9)).min(value.len()), piece)),
                }
            }
            if let Some(order) = compact_order(key, Some(&value), &mut Vec::new()) {
                taken += 1;
                assert_eq!(Some(order), plain_order(key, Some(&value)), "{}", String::from_utf8_lossy(&value));
            }
        }
        assert!(taken > 35_000, "{taken}"); // a third has nothing changed
    }
}
