//! Batches, prepared ahead: decoding and augmentation run on another thread while the encoder trains.
//!
//! The images of epoch e are visited in the order of the key (seed, "order", e); a view is made with the key
//! (seed, "augment", e, item, view). A batch is therefore a function of (recipe, step), whoever prepares it, and
//! whenever.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use rayon::prelude::*;
use riesz::rng::{Key, permutation};

use crate::augment::Augment;
use crate::data::{Image, Source};
use crate::recipe::Recipe;
use crate::{Result, threads};

/// One step's images: K views of each, view-major.
pub struct Batch {
    /// The step it belongs to.
    pub step: u64,
    /// Images in it: the recipe's batch less those that cannot be read.
    pub images: usize,
    /// Their numbers in the source.
    pub items: Vec<usize>,
    /// The group of each, where images are in groups.
    pub groups: Option<Vec<u32>>,
    /// `[K * images, size, size, channels]`, in [0, 1]; rows 0..images are view one.
    pub views: Vec<f32>,
    /// Items of this batch that cannot be read, with the reason.
    pub unreadable: Vec<(usize, String)>,
}

/// What determines the batches of a run.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// The recipe's seed.
    pub seed: u64,
    /// Images a batch.
    pub batch: usize,
    /// K, views of each.
    pub views: usize,
    /// Whether images of one label are one group.
    pub grouped: bool,
    /// Images of the training set.
    pub items: usize,
}

impl Schedule {
    /// Of `items` training images, as the recipe says.
    pub fn of(recipe: &Recipe, items: usize) -> Self {
        let Recipe { seed, batch, views, ref loss, .. } = *recipe;
        Self { seed, batch, views, grouped: loss.takes_groups(), items }
    }

    /// Whole batches an epoch; the rest of the images wait for another epoch's order.
    pub fn steps_per_epoch(self) -> u64 {
        (self.items / self.batch) as u64
    }

    /// The items of each batch of `epoch`, in order.
    fn order(self, epoch: u64) -> Vec<usize> {
        permutation(&mut Key::new(self.seed).stream("order").at(epoch).rng(), self.items)
    }
}

/// Starts a thread that prepares the batches of steps `first .. last` in order, at most two ahead.
///
/// When the receiver is dropped the thread ends by itself.
///
/// # Errors
/// If the system starts no more threads.
pub fn prepare<'scope>(
    scope: &'scope Scope<'scope, '_>,
    source: &'scope Decoded<'scope>,
    augment: &'scope Augment,
    schedule: Schedule,
    first: u64,
    last: u64,
) -> Result<Receiver<Batch>> {
    let (sender, receiver) = sync_channel(2);
    threads::scoped(scope, move || {
        let steps = schedule.steps_per_epoch();
        let mut order = (u64::MAX, Vec::new());
        for step in first..last {
            let epoch = step / steps;
            if order.0 != epoch {
                order = (epoch, schedule.order(epoch));
            }
            let start = (step % steps) as usize * schedule.batch;
            let items = &order.1[start..start + schedule.batch];
            if sender.send(batch(source, augment, schedule, epoch, step, items)).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

fn batch(
    source: &Decoded<'_>,
    augment: &Augment,
    schedule: Schedule,
    epoch: u64,
    step: u64,
    items: &[usize],
) -> Batch {
    let decoded: Vec<Result<std::borrow::Cow<'_, Image>>> =
        items.par_iter().map(|&item| source.image(item)).collect();
    let mut readable = Vec::with_capacity(items.len());
    let mut unreadable = Vec::new();
    for (&item, image) in items.iter().zip(&decoded) {
        match image {
            Ok(image) => readable.push((item, image.as_ref())),
            Err(error) => unreadable.push((item, error.to_string())),
        }
    }
    let key = Key::new(schedule.seed).stream("augment").at(epoch);
    let views = augment.views(&views_of(&readable, schedule.views, key));
    let items: Vec<usize> = readable.iter().map(|&(item, _)| item).collect();
    let groups = schedule.grouped.then(|| groups_of(source.source(), &items));
    Batch { step, images: readable.len(), items, groups, views, unreadable }
}

/// So many views of each image with its item, view-major, and each one's key below `key`.
pub(crate) fn views_of<'a>(images: &[(usize, &'a Image)], views: usize, key: Key) -> Vec<(&'a Image, Key)> {
    let of = |view| images.iter().map(move |&(item, image)| (image, key.at(item as u64).at(view)));
    (0..views as u64).flat_map(of).collect()
}

/// The label of each of these items; one without is a group of its own, called by a number that is no label.
pub(crate) fn groups_of(source: &dyn Source, items: &[usize]) -> Vec<u32> {
    let group = |(place, &item): (usize, &usize)| source.label(item).unwrap_or(u32::MAX - place as u32);
    items.iter().enumerate().map(group).collect()
}

/// A source whose decoded images are kept, as long as they fit a budget of bytes.
pub struct Decoded<'a> {
    source: &'a dyn Source,
    kept: Vec<OnceLock<Image>>,
    bytes_left: AtomicUsize,
}

impl<'a> Decoded<'a> {
    /// Keeps at most `budget` bytes of pixels.
    pub fn new(source: &'a dyn Source, budget: usize) -> Self {
        let kept = (0..source.len()).map(|_| OnceLock::new()).collect();
        Self { source, kept, bytes_left: AtomicUsize::new(budget) }
    }

    /// The source behind it.
    pub fn source(&self) -> &dyn Source {
        self.source
    }

    /// Image `item`, decoded now or before.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn image(&self, item: usize) -> Result<std::borrow::Cow<'_, Image>> {
        if let Some(image) = self.kept[item].get() {
            return Ok(std::borrow::Cow::Borrowed(image));
        }
        let image = self.source.image(item)?;
        let bytes = image.pixels.len();
        let fits = self
            .bytes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok();
        if fits {
            Ok(std::borrow::Cow::Borrowed(self.kept[item].get_or_init(|| image)))
        } else {
            Ok(std::borrow::Cow::Owned(image))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::BUILT_IN;

    #[test]
    fn more_views_leave_the_first_as_they_are() {
        let augment = Recipe::resolve(BUILT_IN[0].text, &[], "test").unwrap().augment.plan().unwrap();
        let gradient = |top: u8| Image {
            width: 30,
            height: 20,
            channels: 1,
            pixels: (0..600).map(|i| (i / 5) as u8 ^ top).collect(),
        };
        let images = [gradient(0), gradient(90), gradient(255)];
        let images: Vec<(usize, &Image)> = [4, 0, 7].into_iter().zip(&images).collect();
        let of = |views| augment.views(&views_of(&images, views, Key::new(1)));
        let (two, four) = (of(2), of(4));
        assert_eq!(four.len(), 2 * two.len());
        assert_eq!(four[..two.len()], two);
        let each: Vec<&[f32]> = four.chunks_exact(two.len() / 6).collect();
        assert_eq!(each.len(), 12);
        for (i, view) in each.iter().enumerate() {
            assert!(!each[..i].contains(view), "view {i} is an earlier one");
        }
    }
}
