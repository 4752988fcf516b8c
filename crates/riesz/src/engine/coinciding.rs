//! Rows that coincide where a kernel is infinite. Their cosine may be rounded below 1, and the kernel is then huge instead; so it is the
//! rows that are compared.

use std::collections::BTreeMap;

use super::Batch;
use crate::loss::{Anchors, Loss, Term};
use crate::{Error, Points, Scalar};

/// A row: view and image.
type Place = (usize, usize);

/// Refuses a loss one of whose pairs are two equal rows under a kernel that is unbounded there. Time O(m d log m) for m rows, and none for
/// other losses.
pub(super) fn refuse<T: Scalar>(batch: Batch<'_>, loss: &Loss, views: &[Points<'_, T>]) -> Result<(), Error> {
    let unbounded: Vec<&Term> = loss.terms.iter().filter(|term| term.kernel.is_unbounded()).collect();
    if unbounded.is_empty() {
        return Ok(());
    }
    let mut equal: BTreeMap<Vec<u64>, Vec<Place>> = BTreeMap::new();
    for (view, points) in views.iter().enumerate() {
        for image in 0..points.len() {
            // 0 and −0 are one number.
            let numbers = points.row(image).iter().map(|x| (x.to_f64() + 0.0).to_bits()).collect();
            equal.entry(numbers).or_default().push((view, image));
        }
    }
    let group = |image: usize| batch.groups.map_or(image as u32, |groups| groups.of[image]);
    for places in equal.values() {
        for (later, &a) in places.iter().enumerate() {
            for &b in &places[..later] {
                let is_pair = |term: &&Term| {
                    let is_anchored = term.anchors != Anchors::FirstView || a.0 == 0 || b.0 == 0;
                    is_anchored && term.pairs.contains(false, group(a.1) == group(b.1), a.0 == b.0)
                };
                if unbounded.iter().any(is_pair) {
                    return Err(Error::new(format!(
                        "{}: two rows coincide where its kernel is infinite, {} of view {} and {} of view {}",
                        loss.name,
                        b.1,
                        b.0 + 1,
                        a.1,
                        a.0 + 1
                    )));
                }
            }
        }
    }
    Ok(())
}
