//! Images that cannot be read are skipped, but not without limit: at most 5 % of those seen.

use crate::{Error, Result};

/// Counts images asked for and images that could not be read.
#[derive(Clone, Debug, Default)]
pub struct Unreadable {
    seen: usize,
    unreadable: usize,
    first: Vec<(String, String)>,
}

impl Unreadable {
    /// How many are remembered with name and reason.
    pub const REMEMBERED: usize = 10;
    /// Below this many images seen, no share is judged.
    pub const AT_LEAST: usize = 20;

    /// Notes that `images` more were asked for, readable or not.
    pub fn seen(&mut self, images: usize) {
        self.seen += images;
    }

    /// Notes one of them that could not be read.
    pub fn unreadable(&mut self, name: &str, reason: &str) {
        self.unreadable += 1;
        if self.first.len() < Self::REMEMBERED {
            self.first.push((name.to_owned(), Self::why(name, reason).to_owned()));
        }
    }

    /// The reason alone: the errors of a source open with the item's name, which is told once.
    pub fn why<'a>(name: &str, reason: &'a str) -> &'a str {
        reason.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(reason)
    }

    /// (seen, unreadable).
    pub fn counts(&self) -> (usize, usize) {
        (self.seen, self.unreadable)
    }

    /// The first few unreadable ones: name and reason.
    pub fn first(&self) -> &[(String, String)] {
        &self.first
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// If more than 5 % of at least [`Self::AT_LEAST`] images seen are unreadable, or all of fewer.
    pub fn check(&self) -> Result<()> {
        self.check_among(0)
    }

    /// As [`check`](Self::check), where the share is of `least` images at least, while fewer were seen.
    ///
    /// # Errors
    /// If too many are unreadable.
    pub fn check_among(&self, least: usize) -> Result<()> {
        let images = self.seen.max(least);
        let too_many = match images {
            ..Self::AT_LEAST => self.unreadable > 0 && self.unreadable >= images,
            _ => self.unreadable * 20 > images,
        };
        if !too_many {
            return Ok(());
        }
        let share = match images > self.seen {
            true => format!("{} images looked at so far cannot be read, and", self.seen),
            false => {
                let share = 100.0 * self.unreadable as f64 / self.seen.max(1) as f64;
                format!("{} images ({share:.1} %) cannot be read;", self.seen)
            }
        };
        let tolerated = match images > self.seen {
            true => format!("at most {} of {images} are", images / 20),
            false => "at most 5 % is".to_owned(),
        };
        let first: Vec<String> =
            self.first.iter().take(3).map(|(name, reason)| format!("{name} ({reason})")).collect();
        Err(Error::input(format!(
            "{} of {share} {tolerated} tolerated; the first: {}",
            self.unreadable,
            first.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_is_tolerated_and_more_is_not() {
        let mut counter = Unreadable::default();
        counter.seen(200);
        for i in 0..10 {
            counter.unreadable(&format!("{i}.jpg"), &format!("{i}.jpg: truncated"));
        }
        counter.check().unwrap();
        counter.unreadable("10.jpg", "empty");
        assert_eq!(
            counter.check().unwrap_err().to_string(),
            "11 of 200 images (5.5 %) cannot be read; at most 5 % is tolerated; the first: 0.jpg (truncated), \
             1.jpg (truncated), 2.jpg (truncated)"
        );
        assert_eq!((counter.counts(), counter.first().len()), ((200, 11), 10));
        counter.check_among(220).unwrap();
        let message = counter.check_among(210).unwrap_err().to_string();
        let expected = "11 of 200 images looked at so far cannot be read, and at most 10 of 210 are tolerated; the first: ";
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn a_few_images_are_judged_only_when_none_is_readable() {
        let mut counter = Unreadable::default();
        counter.check().unwrap();
        counter.seen(8);
        counter.unreadable("a.png", "empty");
        counter.check().unwrap();
        for _ in 0..7 {
            counter.unreadable("b.png", "empty");
        }
        assert!(counter.check().unwrap_err().to_string().starts_with("8 of 8 images (100.0 %)"));
    }
}
