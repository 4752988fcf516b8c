//! Groups of images: whose rows match, where a batch says more than "the same image".

use std::collections::BTreeMap;

/// A batch's groups, at least one of which has several images.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    /// The group of each image, by any numbers.
    pub(crate) of: &'a [u32],
    /// How many images the group of each image has.
    pub(crate) sizes: Vec<usize>,
}

impl<'a> Groups<'a> {
    /// None without groups, and if each image is a group of its own: matched pairs are those of one image either way.
    pub(crate) fn new(of: Option<&'a [u32]>, images: usize) -> Option<Self> {
        let of = of?;
        assert!(of.len() == images, "{images} images and {} groups", of.len());
        let mut counts = BTreeMap::<u32, usize>::new();
        for &group in of {
            *counts.entry(group).or_default() += 1;
        }
        let sizes = || of.iter().map(|group| counts[group]).collect();
        (counts.len() < images).then(|| Self { of, sizes: sizes() })
    }
}
