//! The SimCLR augmentations, keyed.
