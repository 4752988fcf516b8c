//! Threads. rayon's global pool does not survive `fork`: a child would wait for threads that only its parent has. So work
//! runs in pools of our own, made when first asked for and told apart by process.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

struct Entry {
    process: u32,
    pool: Arc<ThreadPool>,
}

/// The pool of the number of threads that was asked for last. Locked only by who holds the GIL and does not let go of it meanwhile.
/// `os.fork` holds the GIL as well, so a child never inherits it locked.
static POOL: Mutex<Option<Entry>> = Mutex::new(None);

/// The processors that this process may use: affinity and cgroup quotas count.
#[pyfunction]
pub(crate) fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The threads to work on.
pub(crate) fn pool(_gil: Python<'_>, threads: usize) -> PyResult<Arc<ThreadPool>> {
    if threads == 0 {
        return Err(PyValueError::new_err("0 threads; at least 1 is needed"));
    }
    let process = std::process::id();
    let mut last = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = &*last
        && (entry.process, entry.pool.current_num_threads()) == (process, threads)
    {
        return Ok(Arc::clone(&entry.pool));
    }
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("riesz-{i}")).build().map_err(
            |error| PyRuntimeError::new_err(format!("{threads} threads cannot be started: {error}")),
        )?;
    let pool = Arc::new(pool);
    let before = last.replace(Entry { process, pool: Arc::clone(&pool) });
    // Threads of ours end when their work is done. The parent's are left alone: to end them would be to wait for threads that are not
    // here.
    if before.as_ref().is_some_and(|before| before.process != process) {
        std::mem::forget(before);
    }
    Ok(pool)
}

/// Runs `work` on so many threads, without the GIL. A signal that came meanwhile is its error, and the outcome is gone: for what leaves
/// nothing behind.
pub(crate) fn run<R: Send>(py: Python<'_>, threads: usize, work: impl FnOnce() -> R + Send) -> PyResult<R> {
    let pool = pool(py, threads)?;
    let outcome = py.detach(|| pool.install(work));
    py.check_signals()?;
    Ok(outcome)
}
