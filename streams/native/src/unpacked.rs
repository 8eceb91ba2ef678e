//! Single records for Python: what a fetch brought, unpacked at a third of what it costs there.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::reader::{Aborted, Reader, Record};

/// One committed record, as `schemas.records.LogRecord` wants it, with its headers.
#[pyclass(frozen, get_all)]
pub struct UnpackedRecord {
    offset: i64,
    timestamp: i64,
    key: Option<Py<PyBytes>>,
    value: Option<Py<PyBytes>>,
    headers: Py<PyTuple>,
}

/// All committed records of a fetch at or after `position`, in the order of the log.
pub fn unpack(py: Python, data: &[u8], aborted: Aborted, position: i64) -> PyResult<Vec<Py<UnpackedRecord>>> {
    let mut found = Vec::new();
    Reader::new()?.read(data, aborted, position, |record| {
        found.push(Py::new(py, unpacked(py, record)?)?);
        Ok(())
    })?;
    Ok(found)
}

fn unpacked(py: Python, record: &Record) -> PyResult<UnpackedRecord> {
    let bytes = |field: &[u8]| PyBytes::new(py, field).unbind();
    // A name that is no UTF-8 can't be said in Python's text: nobody asks for such a header.
    let named = record.headers().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value.map(bytes))));
    Ok(UnpackedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(bytes),
        value: record.value.map(bytes),
        headers: PyTuple::new(py, named.collect::<Vec<_>>())?.unbind(),
    })
}
