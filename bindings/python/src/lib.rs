//! `riesz._riesz`: the crate `riesz` for Python. Rows come as NumPy arrays, numbers and arrays go back; what is typed,
//! documented and named for users is Python, in `python/riesz/`.
//!
//! | file | what |
//! |---|---|
//! | `losses` | a loss by its name, its numbers and its words; its terms in words |
//! | `rows` | arrays in, arrays out |
//! | `value` | value and gradient |
//! | `geometry` | the state that takes rows and merges, and what is read from it |
//! | `comparison` | two encoders on the same items |
//! | `neighbors` | nearest others, and rows that are nearly the same |
//! | `sphere` | where a loss puts free points |
//! | `spread` | own rows against a block of others' |
//! | `pool` | threads: as many as asked for, anew in a forked process |

mod comparison;
mod geometry;
mod losses;
mod neighbors;
mod pool;
mod rows;
mod sphere;
mod spread;
mod value;

use pyo3::prelude::*;

/// The compiled part of riesz.
#[pymodule]
fn _riesz(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(losses::terms, module)?)?;
    module.add_function(wrap_pyfunction!(value::value_and_grad, module)?)?;
    module.add_function(wrap_pyfunction!(value::value, module)?)?;
    module.add_function(wrap_pyfunction!(pool::available_threads, module)?)?;
    module.add_function(wrap_pyfunction!(geometry::metrics, module)?)?;
    module.add_class::<geometry::GeometryState>()?;
    module.add_class::<comparison::JointState>()?;
    module.add_function(wrap_pyfunction!(neighbors::nearest, module)?)?;
    module.add_function(wrap_pyfunction!(neighbors::duplicates, module)?)?;
    module.add_function(wrap_pyfunction!(sphere::minimize, module)?)?;
    module.add_function(wrap_pyfunction!(sphere::bound, module)?)?;
    module.add_function(wrap_pyfunction!(sphere::sample, module)?)?;
    module.add_function(wrap_pyfunction!(sphere::uniform_energy, module)?)?;
    module.add_function(wrap_pyfunction!(spread::log_sums, module)?)?;
    module.add_function(wrap_pyfunction!(spread::sweep, module)?)?;
    Ok(())
}
