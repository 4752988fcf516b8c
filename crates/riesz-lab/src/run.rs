//! The run folder: recipe, environment, log, checkpoints.
