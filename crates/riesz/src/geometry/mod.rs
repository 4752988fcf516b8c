//! geometry/mod
