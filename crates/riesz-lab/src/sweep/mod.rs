//! Grids of runs: what is written, where it lies, and what comes of it.
//!
//! | file | what |
//! |---|---|
//! | `grid.rs` | the grid file, and its cells |
//! | `folder.rs` | `sweeps/NAME` and how each cell stands |
//! | `select.rs` | choosing a setting on training images |

mod folder;
mod grid;
mod select;

pub use folder::{Contents, Entry, Folder, State};
pub use grid::{Cell, Grid};
pub use select::{Score, Selection};
