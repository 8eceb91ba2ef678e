//! Partial sums as `project-deltas` carries them: `schemas/delta.py` has the format.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};

/// One project's donations of one commit.
#[derive(Deserialize)]
pub struct Delta {
    pub minutes: Vec<MinuteSum>,
}

/// Its start in ms, fen and donations; what a later version may add behind them is passed over.
pub struct MinuteSum(pub i64, pub u64, pub u64);

impl<'de> Deserialize<'de> for MinuteSum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MinuteVisitor;
        impl<'de> Visitor<'de> for MinuteVisitor {
            type Value = MinuteSum;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a minute's start, fen and donations")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let too_short = || A::Error::invalid_length(0, &"three numbers");
                let start_ms = seq.next_element()?.ok_or_else(too_short)?;
                let fen = seq.next_element()?.ok_or_else(too_short)?;
                let donations = seq.next_element()?.ok_or_else(too_short)?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(MinuteSum(start_ms, fen, donations))
            }
        }
        deserializer.deserialize_seq(MinuteVisitor)
    }
}
