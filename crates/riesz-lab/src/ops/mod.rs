//! Operations that riesz adds to Burn.
