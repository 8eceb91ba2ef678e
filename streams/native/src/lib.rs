//! everycent's hot path: from what a fetch brought to the record batches that a commit sends.
//!
//! The rules stand in `streams/domain`, in Python, and are the reference: tests hold this to them byte by byte. Nothing
//! in here knows a clock, a broker or a setting, and nothing survives a crash.

use pyo3::prelude::*;

mod compact;
mod delta;
mod entries;
mod fault;
mod judged;
mod leaves;
mod ledger;
mod memory;
mod order;
mod packed;
mod partitioner;
mod reader;
mod split;
mod sums;
mod text;
mod totals;
mod unpacked;
mod varint;
mod windows;
mod writer;

#[pymodule]
mod _everycent {
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::pybacked::PyBackedBytes;
    use pyo3::types::PyBytes;

    #[pymodule_export]
    use crate::fault::CorruptRecordsError;
    #[pymodule_export]
    use crate::leaves::{LeafMaker, check_bundle, complete_root};
    #[pymodule_export]
    use crate::split::Splitter;
    #[pymodule_export]
    use crate::totals::Totals;
    #[pymodule_export]
    use crate::unpacked::UnpackedRecord;

    /// What a fetch holds from `position` on, told by its headers: the offset behind it, how many committed records at
    /// the most, and whether a fold can read it. Raises CorruptRecordsError.
    #[pyfunction]
    fn outline(data: &[u8], aborted: crate::reader::Aborted, position: i64) -> PyResult<(i64, i64, bool)> {
        let outline = crate::reader::outline(data, aborted, position)?;
        Ok((outline.next_offset, outline.records, outline.readable))
    }

    /// How the committed records of `data` from `position` on are read as orders: so many as compact ones, so many as
    /// plain ones, so many by Python. For tests and measurements. Raises CorruptRecordsError.
    #[pyfunction]
    fn readings(py: Python, data: &[u8], aborted: crate::reader::Aborted, position: i64) -> PyResult<(u64, u64, u64)> {
        let (mut compact, mut plain, mut odd) = (0, 0, 0);
        let mut reader = crate::reader::Reader::new()?;
        py.detach(|| {
            reader.read(data, aborted, position, |record| {
                if crate::compact::compact_order(record.key, record.value, &mut Vec::new()).is_some() {
                    compact += 1;
                } else if crate::order::plain_order(record.key, record.value).is_some() {
                    plain += 1;
                } else {
                    odd += 1;
                }
                Ok(())
            })
        })?;
        Ok((compact, plain, odd))
    }

    /// How many bytes each of `bodies`, records as a batch holds them, takes when it is packed. For measurements.
    #[pyfunction]
    fn packed_sizes(py: Python, bodies: Vec<PyBackedBytes>, level: i32) -> PyResult<Vec<usize>> {
        Ok(py.detach(|| crate::writer::packed_sizes(&bodies, level))?)
    }

    /// The committed records of a fetch that `outline` calls readable, one by one. Headers whose names are no UTF-8 are
    /// left out. Raises CorruptRecordsError.
    #[pyfunction]
    fn unpack(
        py: Python,
        data: &[u8],
        aborted: crate::reader::Aborted,
        position: i64,
    ) -> PyResult<Vec<Py<UnpackedRecord>>> {
        crate::unpacked::unpack(py, data, aborted, position)
    }

    /// A finished batch with its producer and sequence number written in. Raises ValueError if it is no batch.
    #[pyfunction]
    fn stamp<'py>(
        py: Python<'py>,
        batch: &[u8],
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    ) -> PyResult<Bound<'py, PyBytes>> {
        crate::writer::stamp(batch, producer_id, producer_epoch, base_sequence)
            .map(|stamped| PyBytes::new(py, &stamped))
            .ok_or_else(|| PyValueError::new_err("not a record batch"))
    }
}
