//! What can go wrong in here, and what Python hears of it.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(
    _everycent,
    CorruptRecordsError,
    PyValueError,
    "Bytes that are not the record batches which a broker gives: to be fetched again."
);

/// Why a fold ends before its input does. The state it leaves behind is to be thrown away.
#[derive(Debug)]
pub enum Fault {
    /// Bytes that are no record batches.
    Corrupt(&'static str),
    /// A record of our own that we can't read: a broken invariant.
    Broken(String),
    /// A total beyond 64 bits: project, kind of window, its start, fen.
    Beyond(String, u8, i64, u128),
    /// What Python raised when it was asked.
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => CorruptRecordsError::new_err(what),
            Fault::Broken(what) => PyValueError::new_err(what),
            Fault::Beyond(project, kind, start_ms, fen) => PyOverflowError::new_err((project, kind, start_ms, fen)),
            Fault::Python(error) => error,
        }
    }
}
