//! Grids of runs: what is written, where it lies, and what comes of it.
//!
//! | file | what |
//! |---|---|
//! | `grid.rs` | the grid file, and its cells |
//! | `folder.rs` | `sweeps/NAME` and how each cell stands |
//! | `built_in.rs` | grids that ship with the program |
//! | `select.rs` | choosing a setting on training images |
//! | `quantities.rs` | the numbers that each cell has |
//! | `results.rs` | the table of results, CSV and parquet |
//! | `statistics.rs` | what seeds tell: paired differences, intervals, corrected tests |
//! | `compare.rs` | settings against each other |
//! | `chosen.rs` | what a selection chose |
//! | `claims.rs`, `probes.rs` | the paper's claims, and how each is judged |
//! | `page.rs`, `figures.rs` | the report |

mod built_in;
mod chosen;
mod claims;
mod compare;
mod figures;
mod folder;
mod grid;
mod page;
mod probes;
mod quantities;
mod results;
mod select;
mod statistics;

pub use built_in::{GRIDS, built_in};
pub use chosen::{Choice, choices};
pub use claims::{CLAIMS, Claim, Finding, Judgement};
pub use compare::{Comparison, Group, comparisons, groups};
pub use folder::{Contents, Entry, Folder, State};
pub use grid::{Cell, Grid};
pub use page::{all_comparisons, missing, plain, render};
pub use quantities::{QUANTITIES, Quantity};
pub use results::{Line, Results};
pub use select::{Score, Selection};
pub use statistics::{Paired, holm, student_cdf};
