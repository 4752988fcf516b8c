//! What a loss and its terms are on a batch of given size: whether they can be evaluated, and with which factors.

use super::{Anchors, Link, Loss, Pairs, Term};
use crate::Error;

impl Loss {
    /// Whether it can be evaluated on a batch of `images` images and `views` views, without groups.
    ///
    /// # Errors
    /// If the loss has pairs of different images and there are fewer than two, or a term over matched pairs or other
    /// views is given one view, or one that weighs the match of two views (DCLW) other than two; if a weight is not finite, a
    /// focus not above 0 and finite, or a parameter of a kernel out of its range ([`Kernel::check`](crate::kernel::Kernel::check)); if
    /// a term is none that the language has: a focus on other than the mean over matched pairs, or the logarithm of a
    /// kernel that is not positive.
    pub fn check(&self, images: usize, views: usize) -> Result<(), Error> {
        self.check_grouped(images, views, None)
    }

    /// The same where images are in groups, if `sizes` has how many images the group of each image has.
    pub(crate) fn check_grouped(
        &self,
        images: usize,
        views: usize,
        sizes: Option<&[usize]>,
    ) -> Result<(), Error> {
        if views == 0 {
            return Err(Error::new(format!("{} needs at least 1 view; there is none", self.name)));
        }
        for term in &self.terms {
            term.kernel.check()?;
            if !term.weight.is_finite() {
                return Err(Error::new(format!(
                    "a term of {} has the weight {}; it must be finite",
                    self.name, term.weight
                )));
            }
            if let Some(focus) = term.focus.filter(|focus| !(*focus > 0.0 && focus.is_finite())) {
                return Err(Error::new(format!(
                    "a term of {} has the focus {focus}; it must be above 0 and finite",
                    self.name
                )));
            }
            let other_images = term.pairs.cross || term.pairs.within;
            if images == 0 || (other_images && images < 2) {
                return Err(Error::new(format!(
                    "a contrastive loss needs at least 2 images; the batch has {images}"
                )));
            }
            if sizes.is_none() && views < 2 && (term.pairs.matched || term.pairs.cross) {
                return Err(Error::new(format!(
                    "{} needs at least 2 views of each image; there is 1",
                    self.name
                )));
            }
            if views != 2 && term.focus.is_some() {
                return Err(Error::new(format!(
                    "{} weighs the match of two views; there are {views}",
                    self.name
                )));
            }
            if sizes.is_some() && term.focus.is_some() {
                return Err(Error::new(format!(
                    "{} weighs one match of an image; it takes no groups",
                    self.name
                )));
            }
            let count = |image: usize| {
                term.pairs.count_in_group(images, views, sizes.map_or(1, |sizes| sizes[image]))
            };
            // Without groups all images are alike.
            let different = if sizes.is_some() { images } else { 1 };
            if let Some(image) = (0..different).find(|&image| count(image) == 0) {
                let lacking = if term.pairs.matched { "match" } else { "row of another group" };
                return Err(Error::new(format!(
                    "{} needs a {lacking} for each row; those of image {image} have none",
                    self.name
                )));
            }
            if term.focus.is_some() && (term.link != Link::Mean || term.pairs != Pairs::MATCHED) {
                return Err(Error::new(format!(
                    "a term of {} has a focus; it must be a mean over matched pairs",
                    self.name
                )));
            }
            if term.link.is_logarithmic() && !term.kernel.is_positive() {
                return Err(Error::new(format!(
                    "a term of {} takes the logarithm of {:?}, which is not positive everywhere",
                    self.name, term.kernel
                )));
            }
        }
        Ok(())
    }
}

impl Term {
    /// How many of `views` views have anchors: they are the first ones.
    pub fn anchor_views(&self, views: usize) -> usize {
        match self.anchors {
            Anchors::AllViews | Anchors::EachView => views,
            Anchors::FirstView => 1,
        }
    }

    /// The factor of one pair's (κ, or its share of the log) in the loss, but for what a row's sum adds to it: weight
    /// over anchors, and over pairs for a mean; for a batch of `images` images and `views` views, without groups.
    pub fn pair_factor(&self, images: usize, views: usize) -> f64 {
        match self.link {
            Link::Mean => {
                let pairs = self.pairs.count(images, views) as f64;
                self.weight / (self.mean_views(views) * images as f64 * pairs)
            }
            _ => self.sum_factor(images, views),
        }
    }

    /// The same with the pairs of an anchor, an image or a view taken together: weight over what the mean runs over.
    pub(crate) fn sum_factor(&self, images: usize, views: usize) -> f64 {
        let (images, views) = (images as f64, self.mean_views(views));
        match self.link {
            Link::Mean | Link::RowSum | Link::RowLogSum | Link::RowLogMean => self.weight / (views * images),
            Link::ImageLogSum => self.weight / images,
            Link::LogMean => self.weight / views,
        }
    }

    /// Views over which a mean runs.
    fn mean_views(&self, views: usize) -> f64 {
        match self.anchors {
            Anchors::AllViews => views as f64,
            Anchors::EachView | Anchors::FirstView => 1.0,
        }
    }
}
