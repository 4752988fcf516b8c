//! riesz
fn main() {}
