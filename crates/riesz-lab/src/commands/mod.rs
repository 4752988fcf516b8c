//! One file a verb: its arguments and what it does; `loss_flags` and `asked`, which several take.

pub mod asked;
pub mod bench;
pub mod bench_train;
pub mod compare;
pub mod completions;
pub mod data;
pub mod duplicates;
pub mod embed;
pub mod eval;
pub mod export;
pub mod finetune;
pub mod geometry;
pub mod loss;
pub mod loss_flags;
pub mod man;
mod outputs;
pub mod recipes;
pub mod report;
pub mod reproduce;
pub mod runs;
pub mod search;
pub mod sphere;
pub mod sweep;
pub mod train;
