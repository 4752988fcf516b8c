//! Parts of a source: what is held out, what is left after a limit, and a source without its labels; and sources one after
//! another.

use std::sync::Arc;

use riesz::rng::{Key, permutation};

use super::{Image, Source};
use crate::Result;

/// At least this many images are held out, but never more than half.
pub(super) const HELD_OUT_AT_LEAST: usize = 50;

/// Splits off a keyed share `held_out` of the images: (to train on, held out), both in the source's order.
///
/// The share is raised to [`HELD_OUT_AT_LEAST`] images and lowered to half of them; a share of 0 holds none out.
pub(super) fn hold_out(
    source: Box<dyn Source>,
    held_out: f64,
    seed: u64,
) -> (Box<dyn Source>, Box<dyn Source>) {
    let images = source.len();
    let (_, count) = counts(held_out, images);
    let mut order = permutation(&mut Key::new(seed).stream("held-out images").rng(), images);
    let mut train = order.split_off(count);
    let mut test = order;
    train.sort_unstable();
    test.sort_unstable();
    let source: Arc<dyn Source> = Arc::from(source);
    (part(Arc::clone(&source), train), part(source, test))
}

/// Of `images` images as many as a share asks to hold out, and as many as are.
fn counts(held_out: f64, images: usize) -> (usize, usize) {
    let asked = (held_out * images as f64).round() as usize;
    let taken = if held_out == 0.0 { 0 } else { asked.max(HELD_OUT_AT_LEAST).min(images / 2) };
    (asked, taken)
}

/// That more of `images` images are held out than a share asks for, in a sentence.
pub(super) fn raised(held_out: f64, images: usize) -> Option<String> {
    let (asked, taken) = counts(held_out, images);
    (taken > asked).then(|| {
        format!(
            "{taken} of {images} images are held out, not the {asked} that data.held-out = {held_out} says: at least \
             {HELD_OUT_AT_LEAST} are, but not more than half"
        )
    })
}

/// A keyed choice of at most `limit` images, in the source's order.
pub(super) fn limit(source: Box<dyn Source>, limit: usize, seed: u64) -> Box<dyn Source> {
    if limit >= source.len() {
        return source;
    }
    let mut items = permutation(&mut Key::new(seed).stream("limited images").rng(), source.len());
    items.truncate(limit);
    items.sort_unstable();
    part(Arc::from(source), items)
}

/// The same images, no labels.
pub(super) fn without_labels(source: Box<dyn Source>) -> Box<dyn Source> {
    Box::new(Unlabeled(source))
}

/// The images of two sources, one after the other.
pub(super) fn joined(first: Box<dyn Source>, second: Box<dyn Source>) -> Box<dyn Source> {
    if second.is_empty() { first } else { Box::new(Joined { first, second }) }
}

struct Joined {
    first: Box<dyn Source>,
    second: Box<dyn Source>,
}

impl Joined {
    /// Which of the two has image `index`, and where.
    fn place(&self, index: usize) -> (&dyn Source, usize) {
        match index.checked_sub(self.first.len()) {
            None => (&*self.first, index),
            Some(index) => (&*self.second, index),
        }
    }
}

impl Source for Joined {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn name(&self, index: usize) -> String {
        let (source, index) = self.place(index);
        source.name(index)
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (source, index) = self.place(index);
        source.label(index)
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (source, index) = self.place(index);
        source.image(index)
    }
}

/// The images of a source with these numbers, in this order.
pub fn part(source: Arc<dyn Source>, items: Vec<usize>) -> Box<dyn Source> {
    Box::new(Part { source, items })
}

/// Some of a source's images.
struct Part {
    source: Arc<dyn Source>,
    items: Vec<usize>,
}

impl Source for Part {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(self.items[index])
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(self.items[index])
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.source.image(self.items[index])
    }
}

struct Unlabeled(Box<dyn Source>);

impl Source for Unlabeled {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.0.image(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    struct Numbers(usize);

    impl Source for Numbers {
        fn len(&self) -> usize {
            self.0
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn label(&self, index: usize) -> Option<u32> {
            Some(index as u32)
        }

        fn image(&self, index: usize) -> Result<Image> {
            Ok(Image { width: 1, height: 1, channels: 1, pixels: vec![index as u8] })
        }
    }

    fn names(source: &dyn Source) -> Vec<String> {
        (0..source.len()).map(|index| source.name(index)).collect()
    }

    #[test]
    fn what_is_held_out_is_a_function_of_the_seed_and_is_disjoint_from_the_rest() {
        for (images, share, expected) in
            [(10_000, 0.05, 500), (200, 0.05, 50), (30, 0.05, 15), (1, 0.05, 0), (80, 0.0, 0)]
        {
            let (train, test) = hold_out(Box::new(Numbers(images)), share, 3);
            assert_eq!((train.len(), test.len()), (images - expected, expected));
            let all: BTreeSet<String> = names(&*train).into_iter().chain(names(&*test)).collect();
            assert_eq!(all.len(), images);
        }
        let held_out = |seed| names(&*hold_out(Box::new(Numbers(1000)), 0.1, seed).1);
        assert_eq!(held_out(7), held_out(7));
        assert_ne!(held_out(7), held_out(8));
        let (train, _) = hold_out(Box::new(Numbers(100)), 0.1, 1);
        let third = train.name(2);
        assert_eq!(
            (train.label(2).unwrap().to_string(), train.image(2).unwrap().pixels[0].to_string()),
            (third.clone(), third)
        );
    }

    #[test]
    fn a_share_that_is_raised_is_told() {
        for (share, images) in [(0.1, 500), (0.1, 5000), (0.0, 60), (0.5, 60), (0.1, 1)] {
            assert_eq!(raised(share, images), None, "{share} of {images}");
        }
        let words = "that data.held-out = 0.1 says: at least 50 are, but not more than half";
        assert_eq!(raised(0.1, 60), Some(format!("30 of 60 images are held out, not the 6 {words}")));
        assert_eq!(raised(0.1, 141), Some(format!("50 of 141 images are held out, not the 14 {words}")));
    }

    #[test]
    fn a_limit_chooses_and_keeps_the_order() {
        let limited = limit(Box::new(Numbers(100)), 10, 5);
        let numbers: Vec<u32> = (0..10).map(|index| limited.label(index).unwrap()).collect();
        assert!(numbers.is_sorted() && numbers != (0..10).collect::<Vec<_>>());
        assert_eq!(limit(Box::new(Numbers(5)), 10, 5).len(), 5);
        assert_eq!(without_labels(Box::new(Numbers(5))).label(1), None);
    }

    #[test]
    fn joined_sources_follow_each_other() {
        let both = joined(Box::new(Numbers(2)), Box::new(Numbers(3)));
        assert_eq!(names(&*both), ["0", "1", "0", "1", "2"]);
        assert_eq!((both.label(4), both.image(3).unwrap().pixels[0]), (Some(2), 1));
        assert_eq!(joined(Box::new(Numbers(2)), Box::new(Numbers(0))).len(), 2);
    }
}
