//! The laboratory: everything that touches the world. Data, augmentation, encoders, training, evaluation,
//! reports. The mathematics is in the crate `riesz`.

pub mod augment;
pub mod cli;
pub mod commands;
pub mod data;
pub mod device;
pub mod embeddings;
pub mod encoder;
pub mod environment;
mod error;
pub mod eval;
pub mod evaluate;
pub mod loss_recipe;
pub mod memory;
pub mod ops;
pub mod optim;
pub mod recipe;
pub mod report;
pub mod run;
pub mod tensorboard;
pub mod train;

pub use error::{Error, Result};
