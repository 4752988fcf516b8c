//! sphere/mod
