//! Orders that Python has judged and found right: decoded there, taken over here.

use pyo3::prelude::*;

use crate::order::{Line, Order, Pledge};

/// An order that Python has decoded.
pub struct OwnedOrder {
    order_id: String,
    buyer_id: String,
    merchant_id: String,
    completed_at: i64,
    lines: Vec<OwnedLine>,
}

struct OwnedLine {
    line: u64,
    item_id: String,
    paid_fen: u64,
    pledge: Option<(String, Option<u64>, u64)>, // project; fixed fen, or none and the rate
}

pub fn owned_order(order: &Bound<PyAny>) -> PyResult<OwnedOrder> {
    let lines = order.getattr("lines")?.try_iter()?.map(|line| owned_line(&line?)).collect::<PyResult<_>>()?;
    Ok(OwnedOrder {
        order_id: order.getattr("order_id")?.extract()?,
        buyer_id: order.getattr("buyer_id")?.extract()?,
        merchant_id: order.getattr("merchant_id")?.extract()?,
        completed_at: order.getattr("completed_at")?.extract()?,
        lines,
    })
}

fn owned_line(line: &Bound<PyAny>) -> PyResult<OwnedLine> {
    let pledge = line.getattr("pledge")?;
    let pledge = if pledge.is_none() {
        None
    } else {
        let project_id = pledge.getattr("project_id")?.extract()?;
        if pledge.hasattr("fen")? {
            Some((project_id, Some(pledge.getattr("fen")?.extract()?), 0))
        } else {
            Some((project_id, None, pledge.getattr("bps")?.extract()?))
        }
    };
    Ok(OwnedLine {
        line: line.getattr("line")?.extract()?,
        item_id: line.getattr("item_id")?.extract()?,
        paid_fen: line.getattr("paid_fen")?.extract()?,
        pledge,
    })
}

impl OwnedOrder {
    /// The order, as the fold takes it.
    pub fn borrowed(&self) -> Order<'_> {
        let lines = self.lines.iter().map(|line| Line {
            line: line.line,
            item_id: line.item_id.as_bytes(),
            paid_fen: line.paid_fen,
            pledge: line.pledge.as_ref().map(|(project_id, fixed, bps)| match *fixed {
                Some(fen) => Pledge::Fixed { project_id: project_id.as_bytes(), fen },
                None => Pledge::Rate { project_id: project_id.as_bytes(), bps: *bps },
            }),
        });
        Order {
            order_id: self.order_id.as_bytes(),
            buyer_id: self.buyer_id.as_bytes(),
            merchant_id: self.merchant_id.as_bytes(),
            completed_at: self.completed_at,
            lines: lines.collect(),
            plain: false,
        }
    }
}
