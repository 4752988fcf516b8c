//! Rows that coincide where a kernel is infinite. Their cosine may be rounded below 1, and the kernel is then huge instead; so it is the
//! rows that are compared.

use std::cmp::Ordering;

use super::Batch;
use crate::loss::{Anchors, Loss, Term};
use crate::{Error, Points, Scalar};

/// A row: view and image.
type Place = (usize, usize);

/// Refuses a loss one of whose pairs are two equal rows under a kernel that is unbounded there. Time O(m d log m), memory O(m)
/// for m rows, and none for other losses.
pub(super) fn refuse<T: Scalar>(batch: Batch<'_>, loss: &Loss, views: &[Points<'_, T>]) -> Result<(), Error> {
    let unbounded: Vec<&Term> = loss.terms.iter().filter(|term| term.kernel.is_unbounded()).collect();
    if unbounded.is_empty() {
        return Ok(());
    }
    let compare = |a: Place, b: Place| {
        let (left, right) = (views[a.0].row(a.1), views[b.0].row(b.1));
        // 0 and −0 are one number.
        let mut orders =
            left.iter().zip(right).map(|(x, y)| (x.to_f64() + 0.0).total_cmp(&(y.to_f64() + 0.0)));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut places: Vec<Place> = views
        .iter()
        .enumerate()
        .flat_map(|(view, points)| (0..points.len()).map(move |image| (view, image)))
        .collect();
    places.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    let group = |image: usize| batch.groups.map_or(image as u32, |groups| groups.of[image]);
    for equal in places.chunk_by(|&a, &b| compare(a, b).is_eq()) {
        for (later, &a) in equal.iter().enumerate() {
            for &b in &equal[..later] {
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
