//! What is asked of a trained encoder: neighbours, linear probe, retrieval of the other view.
