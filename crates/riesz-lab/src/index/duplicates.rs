//! Images that are nearly the same: groups that cosines above a bound connect, and in them those whose pixels are the same.
//! Only the latter could go unseen: what is near is so by the encoder, and a group is a chain, whose ends may be far apart.

use std::collections::BTreeMap;
use std::sync::Mutex;

use minijinja::{Value, context};
use riesz::geometry::Duplicates;
use riesz::{Matrix, Points, normalize};
use serde::Serialize;

use super::sheet::{self, Pictures};
use super::{Beside, Embedder, Hit, Images, SCHEMA_VERSION, Stored};
use crate::names::counted;
use crate::progress::Progress;
use crate::{Error, Result, room};

/// Groups that a sheet shows, and images of each.
const SHOWN: (usize, usize) = (200, 24);
/// A group of more than this share of all images, and of more than so many, says more of the encoder than of them.
const CROWDED: (f64, usize) = (0.01, 10);
/// By how much a cosine of f32 may differ from the one that was compared with the bound.
const ROUNDING: f64 = 1e-6;

/// Rows of images, or of anything, all of them, and what is known of each.
pub struct Gallery {
    pub(super) source: String,
    pub(super) unreadable: usize,
    pub(super) rows: Matrix<f32>,
    /// Place in the source, name, class.
    pub(super) images: Vec<(usize, String, Option<String>)>,
    /// Words that exact copies share.
    pub(super) same: Vec<String>,
    pub(super) words: Words,
}

/// What the rows are of, and what exact copies have in common, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// One of them.
    pub one: &'static str,
    /// What is the same.
    pub same: &'static str,
}

impl Words {
    /// Of images.
    pub const IMAGES: Self = Self { one: "image", same: "pixels" };
    /// Of a file of which nothing is known but its rows.
    pub const ROWS: Self = Self { one: "row", same: "numbers" };
}

/// What was found; its JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    schema_version: u32,
    /// What it is of.
    #[serde(skip)]
    pub words: Words,
    /// The images that were looked at, in words.
    pub source: String,
    /// How many, or how many rows of a file.
    pub images: usize,
    /// How many could not be read.
    pub unreadable: usize,
    /// The cosine from which two images count as near duplicates.
    pub above: f64,
    /// Pairs with such a cosine.
    pub pairs: u64,
    /// Images with the same pixels as an image before them, or rows with the same numbers: these could go.
    pub copies: usize,
    /// Other images that are in a group and not its first: these are only near.
    pub near: usize,
    /// Largest first.
    pub groups: Vec<Group>,
}

/// Images that are connected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The smallest cosine with the first image: below the bound where only others connect them.
    pub least_cosine: f64,
    /// In the order of the images.
    pub images: Vec<Member>,
}

/// An image of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// The image; the cosine is that with the first of the group.
    #[serde(flatten)]
    pub image: Hit,
    /// The first image of the group with the same pixels, if that is another.
    pub copy_of: Option<String>,
}

impl Gallery {
    /// The rows of a file.
    ///
    /// # Errors
    /// If the file is damaged, or its rows do not fit into memory.
    pub fn of_file(stored: &Stored) -> Result<Self> {
        let (mut numbers, mut images, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
        let mut dim = 1;
        stored.each(|part| {
            if numbers.is_empty() {
                dim = part.rows.dim();
                check_room(stored.len(), dim)?;
                numbers.reserve_exact(stored.len() * dim);
            }
            numbers.extend(part.rows.into_vec());
            for (name, class) in part.names.into_iter().zip(part.classes) {
                images.push((images.len(), name, Some(class).filter(|class| !class.is_empty())));
            }
            pixels.extend(part.pixels);
            Ok(())
        })?;
        let source = stored.about().source.clone();
        let rows = Matrix::new(numbers, dim);
        Ok(Self { source, unreadable: 0, rows, images, same: pixels, words: Words::IMAGES })
    }

    /// The rows of images, which are embedded for it.
    ///
    /// # Errors
    /// If no image can be read, a row is not finite, or the rows do not fit into memory.
    pub fn of_images(embedder: &Embedder, images: &Images, progress: &mut Progress) -> Result<Self> {
        let dim = embedder.dim();
        check_room(images.source.len(), dim)?;
        let mut numbers = Vec::with_capacity(images.source.len() * dim);
        let (mut known, mut pixels) = (Vec::new(), Vec::new());
        let beside = Beside { pixels: true, thumbnails: None };
        let unreadable = embedder.each(&*images.source, beside, progress, |chunk| {
            numbers.extend(chunk.rows.into_vec());
            known
                .extend(chunk.items.iter().map(|&item| (item, images.source.name(item), images.class(item))));
            pixels.extend(chunk.pixels);
            Ok(())
        })?;
        let (source, unreadable) = (images.name.clone(), unreadable.counts().1);
        let rows = Matrix::new(numbers, dim);
        Ok(Self { source, unreadable, rows, images: known, same: pixels, words: Words::IMAGES })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The groups that pairs with a cosine of at least `above`, or with the same pixels, connect. `progress` is in millions of pairs.
    ///
    /// # Errors
    /// If a row is zero, and so has no direction.
    pub fn groups(mut self, above: f64, progress: Progress) -> Result<Found> {
        normalize(&mut self.rows).map_err(|_| {
            let is_zero = |i: &usize| self.rows.row(*i).iter().all(|x| *x == 0.0);
            let zero = (0..self.len()).find(is_zero).map_or(self.words.one, |i| &self.images[i].1);
            Error::input(format!("{zero}: its row is zero, which has no direction to be compared"))
        })?;
        // Each with the first that is the same.
        let mut firsts: BTreeMap<&str, usize> = BTreeMap::new();
        let first: Vec<usize> =
            self.same.iter().enumerate().map(|(i, word)| *firsts.entry(word).or_insert(i)).collect();
        let same: Vec<(usize, usize)> =
            first.iter().enumerate().map(|(i, &first)| (first, i)).filter(|(first, i)| first < i).collect();
        let progress = Mutex::new((progress, 0));
        let compared = |pairs: u64| {
            let (progress, left) = &mut *progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *left += pairs;
            progress.advance(*left / 1_000_000, String::new);
            *left %= 1_000_000;
        };
        let Duplicates { pairs, groups, .. } =
            Duplicates::of(Points::new(&self.rows)?, above, &same, compared)?;
        progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0.finish();
        let others: usize = groups.iter().map(|group| group.len() - 1).sum();
        let mut groups: Vec<Group> = groups.iter().map(|group| self.group(group, &first)).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.images.len()));
        Ok(Found {
            schema_version: SCHEMA_VERSION,
            words: self.words,
            source: self.source,
            images: self.images.len(),
            unreadable: self.unreadable,
            above,
            pairs,
            copies: same.len(),
            near: others - same.len(),
            groups,
        })
    }

    fn group(&self, rows: &[usize], first: &[usize]) -> Group {
        let head = self.rows.row(rows[0]);
        let member = |&i: &usize| {
            let products = head.iter().zip(self.rows.row(i)).map(|(a, b)| f64::from(*a) * f64::from(*b));
            let (row, name, class) = self.images[i].clone();
            let image = Hit { row, name, class, cosine: products.sum::<f64>().min(1.0) };
            Member { image, copy_of: (first[i] != i).then(|| self.images[first[i]].1.clone()) }
        };
        let images: Vec<Member> = rows.iter().map(member).collect();
        let least_cosine = images.iter().map(|member| member.image.cosine).fold(1.0, f64::min);
        Group { least_cosine, images }
    }
}

/// Refuses rows that do not fit into memory.
///
/// # Errors
/// If they do not.
pub(super) fn check_room(images: usize, dim: usize) -> Result<()> {
    // Names and digests take about as much as a few numbers.
    let what = || format!("comparing all of {images} rows of {dim} numbers");
    room::check(what, room::bytes(4, &[images, dim.saturating_add(64)]))
}

impl Found {
    /// In a sentence: exact copies first.
    pub fn headline(&self) -> String {
        let images = counted(self.images as u64, self.words.one);
        let is = |count: usize| if count == 1 { "is" } else { "are" };
        let groups = self.groups.iter().filter(|group| group.has_near()).count();
        let only = format!("{} only near, in {}", is(self.near), counted(groups as u64, "group"));
        let copies = match (self.copies, self.near) {
            (0, 0) => return format!("No two of {images} are nearly the same"),
            (0, near) => return format!("None of {images} is an exact copy of another; {near} {only}"),
            (1, _) => format!("1 of {images} is an exact copy of an earlier one and could go"),
            (copies, _) => format!("{copies} of {images} are exact copies of earlier ones and could go"),
        };
        match self.near {
            0 => format!("{copies}; no others are nearly the same"),
            near => format!("{copies}; {near} more {only}"),
        }
    }

    /// What has to be known beside it, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let one = self.words.one;
        let mut notes = vec![format!(
            "In {}: a group is what cosines of at least {} ({} pairs) or the same {} connect, directly or over others.",
            self.source, self.above, self.pairs, self.words.same
        )];
        let chains = self.groups.iter().filter(|group| group.is_chain(self.above)).count();
        if chains > 0 {
            let least = self.groups.iter().map(|group| group.least_cosine).fold(1.0, f64::min);
            notes.push(format!(
                "In {} there are {one}s whose cosine with the first is below the bound, the least {least:.4}: only others between \
                 connect them. Look before anything but an exact copy goes.",
                counted(chains as u64, "group")
            ));
        }
        if let Some(largest) = self.groups.first().map(|group| group.images.len())
            && largest as f64 > CROWDED.0 * self.images as f64
            && largest > CROWDED.1
        {
            notes.push(format!(
                "The largest group has {largest} {one}s: where rows are so near to each other a bound tells little; raise it, or see `riesz geometry`."
            ));
        }
        if self.unreadable > 0 {
            notes.push(format!("{} images could not be read.", self.unreadable));
        }
        notes
    }
}

impl Group {
    /// Whether an image of it, not the first, is no exact copy.
    fn has_near(&self) -> bool {
        self.images.iter().skip(1).any(|member| member.copy_of.is_none())
    }

    /// Whether only others connect one of its images with the first, when `above` is the bound.
    fn is_chain(&self, above: f64) -> bool {
        let copies_first =
            |member: &Member| member.copy_of.as_ref().is_some_and(|of| *of == self.images[0].image.name);
        self.images.iter().any(|member| member.image.cosine < above - ROUNDING && !copies_first(member))
    }

    /// From where on its images' cosines with the first are, the one to keep.
    pub fn nearness(&self, above: f64) -> String {
        let from = format!("with the first from {:.4} on", self.least_cosine);
        match self.is_chain(above) {
            true => format!("{from}, below the bound where only others connect them"),
            false => from,
        }
    }
}

/// The sheet: the groups, largest first.
///
/// # Errors
/// If an image cannot be read now.
pub fn sheet(found: &Found, pictures: &Pictures<'_>) -> Result<String> {
    let lines: Vec<Value> = found
        .groups
        .iter()
        .take(SHOWN.0)
        .map(|group| {
            let shown = group.images.iter().take(SHOWN.1);
            let images: Vec<Value> = shown
                .map(|member| pictures.figure(&member.image, member.copy_of.as_deref()))
                .collect::<Result<_>>()?;
            let more = group.images.len().saturating_sub(SHOWN.1);
            let title = format!("{} {}s", group.images.len(), found.words.one);
            let about = format!("Cosines {}.", group.nearness(found.above));
            Ok(context! { title => title, about => about, nearest => images, more => more })
        })
        .collect::<Result<_>>()?;
    let more = found.groups.len().saturating_sub(SHOWN.0);
    sheet::fill(context! {
        verb => "duplicates",
        title => found.source.clone(),
        headline => found.headline(),
        facts => found.notes(),
        lines => lines,
        more => more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What points of a circle at these degrees, with these pixels, are grouped to by a bound of 10°.
    fn found(points: &[(f64, &str)]) -> Found {
        let coordinates =
            |degrees: f64| [degrees.to_radians().cos() as f32, degrees.to_radians().sin() as f32];
        let numbers = points.iter().flat_map(|(degrees, _)| coordinates(*degrees)).collect();
        let gallery = Gallery {
            source: "photos".to_owned(),
            unreadable: 0,
            rows: Matrix::new(numbers, 2),
            images: (0..points.len()).map(|i| (i, format!("{i}.jpg"), None)).collect(),
            same: points.iter().map(|(_, pixels)| (*pixels).to_owned()).collect(),
            words: Words::IMAGES,
        };
        let progress = Progress::new("comparing", "million pairs", 0, 0, true);
        gallery.groups(10_f64.to_radians().cos(), progress).unwrap()
    }

    #[test]
    fn only_exact_copies_could_go_and_chains_are_told() {
        let told = |points: &[(f64, &str)]| found(points).headline();
        assert_eq!(told(&[(0.0, "a"), (90.0, "b")]), "No two of 2 images are nearly the same");
        assert_eq!(
            told(&[(0.0, "a"), (0.0, "a"), (90.0, "b")]),
            "1 of 3 images is an exact copy of an earlier one and could go; no others are nearly the same"
        );
        let chain = [(0.0, "a"), (8.0, "b"), (16.0, "c")];
        assert_eq!(told(&chain), "None of 3 images is an exact copy of another; 2 are only near, in 1 group");
        let all =
            [&chain[..], &[(90.0, "d"), (90.0, "d"), (180.0, "e"), (180.0, "e"), (185.0, "f")]].concat();
        let found = found(&all);
        assert_eq!(
            found.headline(),
            "2 of 8 images are exact copies of earlier ones and could go; 3 more are only near, in 2 groups"
        );
        assert_eq!((found.copies, found.near, found.groups.len()), (2, 3, 3));
        // cos 16° = 0.9613, where the bound is cos 10° = 0.9848.
        assert!(found.notes()[1].starts_with(
            "In 1 group there are images whose cosine with the first is below the bound, the least 0.9613"
        ));
        let nearness: Vec<String> = found.groups.iter().map(|group| group.nearness(found.above)).collect();
        assert_eq!(
            nearness,
            [
                "with the first from 0.9613 on, below the bound where only others connect them",
                "with the first from 0.9962 on",
                "with the first from 1.0000 on"
            ]
        );
    }
}
