//! The calendar's windows, asked of Python once each, and when they end and leave memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use pyo3::prelude::*;

use crate::fault::Fault;

/// How many kinds of windows there are.
pub const KINDS: usize = 6;

const NAMES: [&str; KINDS] = ["minute", "hour", "day", "month", "year", "all"];

/// The kinds of windows, shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Minute,
    Hour,
    Day,
    Month,
    Year,
    All,
}

const ALL_KINDS: [Kind; KINDS] = [Kind::Minute, Kind::Hour, Kind::Day, Kind::Month, Kind::Year, Kind::All];

impl Kind {
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    pub fn of(name: &str) -> Option<Self> {
        NAMES.iter().position(|&each| each == name).map(|index| ALL_KINDS[index])
    }
}

/// From `start_ms` to `end_ms`, exclusive; `start` is `start_ms` as text. All time has no end and no text.
pub struct Window {
    pub kind: Kind,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub start: Option<String>,
}

impl Window {
    pub fn ends_by(&self, watermark_ms: i64) -> bool {
        self.end_ms.is_some_and(|end_ms| end_ms <= watermark_ms)
    }

    fn from_python(window: &Bound<PyAny>) -> PyResult<Self> {
        let kind: String = window.getattr("kind")?.extract()?;
        let kind = Kind::of(&kind)
            .ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("no kind of window {kind:?}")))?;
        Ok(Self {
            kind,
            start_ms: window.getattr("start_ms")?.extract()?,
            end_ms: window.getattr("end_ms")?.extract()?,
            start: window.getattr("start")?.extract()?,
        })
    }
}

/// The calendar, which is Python's.
pub struct Windows {
    at: Py<PyAny>,
    from_start: Py<PyAny>,
}

impl Windows {
    pub fn new(at: Py<PyAny>, from_start: Py<PyAny>) -> Self {
        Self { at, from_start }
    }

    /// The six windows, shortest first, that hold the minute.
    pub fn at(&self, minute_ms: i64) -> Result<[Window; KINDS], Fault> {
        let windows: Vec<Window> = Python::attach(|py| {
            let windows = self.at.bind(py).call1((minute_ms,))?;
            windows.try_iter()?.map(|window| Window::from_python(&window?)).collect::<PyResult<_>>()
        })?;
        windows.try_into().map_err(|_| Fault::Broken("a minute lies in one window of each kind".into()))
    }

    /// The window of a kind that starts then.
    pub fn starting_at(&self, kind: Kind, start_ms: i64) -> Result<Window, Fault> {
        Ok(Python::attach(|py| Window::from_python(&self.from_start.bind(py).call1((kind.name(), start_ms))?))?)
    }
}

type Due = Reverse<(i64, &'static str, i64)>; // ties go by the kind's name, as in the reference

/// Which windows end next, and which leave memory next.
pub struct Schedule {
    retention_ms: [Option<i64>; KINDS],
    ends: BinaryHeap<Due>,
    releases: BinaryHeap<Due>,
}

impl Schedule {
    pub fn new(retention_ms: [Option<i64>; KINDS]) -> Self {
        Self { retention_ms, ends: BinaryHeap::new(), releases: BinaryHeap::new() }
    }

    /// True if the watermark alone says that the window has left memory.
    pub fn is_past(&self, window: &Window, watermark_ms: i64) -> bool {
        match (window.end_ms, self.retention_ms[window.kind as usize]) {
            (Some(end_ms), Some(retention_ms)) => end_ms + retention_ms <= watermark_ms,
            _ => false,
        }
    }

    /// Note when the window ends, or if it is final when it is released.
    pub fn add(&mut self, window: &Window, is_final: bool) {
        let Some(end_ms) = window.end_ms else {
            return;
        };
        if !is_final {
            self.ends.push(Reverse((end_ms, window.kind.name(), window.start_ms)));
        } else if let Some(retention_ms) = self.retention_ms[window.kind as usize] {
            self.releases.push(Reverse((end_ms + retention_ms, window.kind.name(), window.start_ms)));
        }
    }

    /// Take the next window that ends by then.
    pub fn next_end(&mut self, watermark_ms: i64) -> Option<(Kind, i64)> {
        next_due(&mut self.ends, watermark_ms)
    }

    /// Take the next window that is to be released by then.
    pub fn next_release(&mut self, watermark_ms: i64) -> Option<(Kind, i64)> {
        next_due(&mut self.releases, watermark_ms)
    }
}

fn next_due(heap: &mut BinaryHeap<Due>, watermark_ms: i64) -> Option<(Kind, i64)> {
    if heap.peek()?.0.0 > watermark_ms {
        return None;
    }
    let Reverse((_, name, start_ms)) = heap.pop()?;
    Some((Kind::of(name)?, start_ms))
}
