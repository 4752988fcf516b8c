//! The laboratory: everything that touches the world. Data, augmentation, encoders, training, evaluation,
//! reports. The mathematics is in the crate `riesz`.

pub mod atomic;
pub mod augment;
pub mod cli;
pub mod commands;
pub mod console;
pub mod data;
pub mod device;
#[cfg(feature = "gpu")]
pub mod device_loss;
pub mod embeddings;
pub mod encoder;
pub mod environment;
mod error;
pub mod evaluation;
pub mod export;
pub mod finetune;
mod foreign;
pub mod geometry;
mod hexadecimal;
pub mod index;
mod input;
pub mod interrupt;
pub mod lines;
pub mod lock;
pub mod loss_recipe;
pub mod memory;
mod names;
pub mod network;
mod number;
pub mod optim;
pub mod own_data;
mod parquet_columns;
mod pickle;
pub mod pretrained;
pub mod progress;
pub mod protocols;
pub mod recipe;
pub mod report;
pub mod room;
pub mod run;
pub mod speed;
pub mod sphere;
pub mod sweep;
pub mod tensorboard;
pub mod tensors;
mod threads;
pub mod throughput;
pub mod train;
mod zip;

pub use error::{Error, Result, ended};
