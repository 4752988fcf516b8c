//! Recipes: what a run is, as written and as executed.
