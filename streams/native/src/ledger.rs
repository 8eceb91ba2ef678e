//! Donations: as they are written, what a fingerprint says of them, and how the memory is made of them again.

use serde::Deserialize;

use crate::fault::Fault;
use crate::memory::{OrderMemory, fingerprint, hash_id};
use crate::order::Order;
use crate::text;

/// What a line with a pledge donates, and to whom.
pub struct Gift<'a> {
    pub line: u64,
    pub item_id: &'a [u8],
    pub project_id: &'a [u8],
    pub hash: u64,    // the project's
    pub project: u32, // its number, once it was looked up
    pub fen: u64,
}

/// An order whose donations are being read back.
pub struct PendingOrder {
    source_offset: u64,
    order_id: String,
    donated_at: i64,
    said: Vec<u8>,
}

#[derive(Deserialize)]
struct RawDonation<'a> {
    #[serde(borrow)]
    order_id: std::borrow::Cow<'a, str>,
    line: u64,
    #[serde(borrow)]
    buyer_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    merchant_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    item_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    project_id: std::borrow::Cow<'a, str>,
    fen: u64,
    donated_at: i64,
    source_offset: u64,
}

// What a fingerprint covers. No id holds a NUL, so nothing said can be read in two ways.

/// Say it.
pub fn say_order(said: &mut Vec<u8>, buyer_id: &[u8], merchant_id: &[u8], completed_at: i64) {
    said.extend_from_slice(buyer_id);
    said.push(0);
    said.extend_from_slice(merchant_id);
    said.push(0);
    said.extend_from_slice(&completed_at.to_le_bytes());
}

/// Say it.
pub fn say_donation(said: &mut Vec<u8>, line: u64, item_id: &[u8], project_id: &[u8], fen: u64) {
    said.extend_from_slice(&line.to_le_bytes());
    said.extend_from_slice(item_id);
    said.push(0);
    said.extend_from_slice(project_id);
    said.push(0);
    said.extend_from_slice(&fen.to_le_bytes());
}

/// Take back a donation; those of one order come one behind the other.
pub fn restore_donation(
    memory: &mut OrderMemory,
    pending: &mut Option<PendingOrder>,
    value: &[u8],
) -> Result<(), Fault> {
    let donation: RawDonation = serde_json::from_slice(value)
        .map_err(|error| Fault::Broken(format!("a donation that can't be read back: {error}")))?;
    if pending.as_ref().is_none_or(|order| order.source_offset != donation.source_offset) {
        remember_pending(memory, pending);
        let mut said = Vec::with_capacity(128);
        say_order(&mut said, donation.buyer_id.as_bytes(), donation.merchant_id.as_bytes(), donation.donated_at);
        *pending = Some(PendingOrder {
            source_offset: donation.source_offset,
            order_id: donation.order_id.into_owned(),
            donated_at: donation.donated_at,
            said,
        });
    }
    if let Some(order) = pending {
        let (item_id, project_id) = (donation.item_id.as_bytes(), donation.project_id.as_bytes());
        say_donation(&mut order.said, donation.line, item_id, project_id, donation.fen);
    }
    Ok(())
}

/// Remember the order whose donations were taken back last.
pub fn remember_pending(memory: &mut OrderMemory, pending: &mut Option<PendingOrder>) {
    if let Some(order) = pending.take() {
        memory.remember(hash_id(&order.order_id), fingerprint(&order.said), order.donated_at);
    }
}

/// Append the donation as JSON.
pub fn write_donation(out: &mut Vec<u8>, seq: u64, source_offset: i64, order: &Order, gift: &Gift) {
    let &Gift { line, item_id, project_id, fen, .. } = gift;
    let plain = order.plain;
    out.extend_from_slice(b"{\"donation_id\":\"");
    text::inner(out, order.order_id, plain);
    out.push(b':');
    text::integer(out, line);
    out.extend_from_slice(b"\",\"seq\":");
    text::integer(out, seq);
    out.extend_from_slice(b",\"order_id\":");
    text::string(out, order.order_id, plain);
    out.extend_from_slice(b",\"line\":");
    text::integer(out, line);
    out.extend_from_slice(b",\"buyer_id\":");
    text::string(out, order.buyer_id, plain);
    out.extend_from_slice(b",\"merchant_id\":");
    text::string(out, order.merchant_id, plain);
    out.extend_from_slice(b",\"item_id\":");
    text::string(out, item_id, plain);
    out.extend_from_slice(b",\"project_id\":");
    text::string(out, project_id, plain);
    out.extend_from_slice(b",\"fen\":");
    text::integer(out, fen);
    out.extend_from_slice(b",\"donated_at\":");
    text::integer(out, order.completed_at);
    out.extend_from_slice(b",\"source_offset\":");
    text::integer(out, source_offset);
    out.push(b'}');
}
