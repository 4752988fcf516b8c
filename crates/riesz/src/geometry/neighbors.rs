//! The nearest other points of each point, gathered in a walk over the pairs; intrinsic dimension and hubness from them.

use std::sync::{Mutex, PoisonError};

use pulp::{Simd, WithSimd};

use super::cosines;
use crate::elementary::widest;
use crate::{Error, Points, Scalar};

/// The `k` nearest others of each point, by cosine: n lists of k places, one after another, each nearest first and of equal ones the first
/// first. All pairs are looked at, in time O(n² d) and memory O(n k) for each thread. Cosines are rounded to `T`: of points whose squared
/// distances differ by less than that, either may come first.
///
/// # Errors
/// If `k` is 0 or not below the number of points, or there are more than 2³² of them.
pub fn nearest<T: Scalar>(points: Points<'_, T>, k: usize) -> Result<Vec<u32>, Error> {
    let n = points.len();
    if k == 0 || k >= n || u32::try_from(n).is_err() {
        return Err(Error::new(format!(
            "{k} nearest of {n} points; expected at least 1, and fewer than points"
        )));
    }
    let joined = Mutex::new(Nearest::<T>::new(n, k));
    cosines::fold_and(
        points,
        || Nearest::new(n, k),
        |nearest, i, first, part| nearest.add(i, first, part),
        |share| joined.lock().unwrap_or_else(PoisonError::into_inner).join(&share),
    );
    Ok(joined.into_inner().unwrap_or_else(PoisonError::into_inner).rows)
}

/// The `k` largest cosines of each of n rows with others, and whose they are. Of equal cosines the earlier row's counts
/// first, so that the lists do not depend on the order in which pairs come.
#[derive(Clone, Debug)]
pub(super) struct Nearest<T> {
    k: usize,
    /// n × k, largest first; below any cosine where there is none yet. In the precision of the rows, which they have.
    cosines: Vec<T>,
    rows: Vec<u32>,
    /// The last of each list.
    least: Vec<f64>,
}

impl<T: Scalar> Nearest<T> {
    pub(super) fn new(n: usize, k: usize) -> Self {
        Self { k, cosines: vec![T::from_f64(-2.0); n * k], rows: vec![u32::MAX; n * k], least: vec![-2.0; n] }
    }

    /// Cosines of row `i` with rows `first`, `first` + 1, …
    pub(super) fn add(&mut self, i: usize, first: usize, cosines: &[f64]) {
        if self.k == 0 {
            return;
        }
        let mut done = 0;
        while let Some(at) = widest(FirstNear {
            cosines: &cosines[done..],
            least: &self.least[first + done..first + cosines.len()],
            bound: self.least[i],
        }) {
            for j in done + at..(done + at + FirstNear::TOGETHER).min(cosines.len()) {
                self.offer(i, first + j, cosines[j]);
                self.offer(first + j, i, cosines[j]);
            }
            done = (done + at + FirstNear::TOGETHER).min(cosines.len());
        }
    }

    fn offer(&mut self, i: usize, other: usize, cosine: f64) {
        let (k, other, cosine) = (self.k, other as u32, T::from_f64(cosine));
        let list = &mut self.cosines[i * k..(i + 1) * k];
        let rows = &mut self.rows[i * k..(i + 1) * k];
        if cosine < list[k - 1] || (cosine == list[k - 1] && other > rows[k - 1]) {
            return;
        }
        let mut place = k - 1;
        while place > 0
            && (cosine > list[place - 1] || (cosine == list[place - 1] && other < rows[place - 1]))
        {
            (list[place], rows[place]) = (list[place - 1], rows[place - 1]);
            place -= 1;
        }
        (list[place], rows[place]) = (cosine, other);
        self.least[i] = list[k - 1].to_f64();
    }

    /// Takes the lists of another share of the walk, too.
    pub(super) fn join(&mut self, share: &Self) {
        for i in 0..self.least.len() {
            for place in i * self.k..(i + 1) * self.k {
                if share.rows[place] != u32::MAX {
                    self.offer(i, share.rows[place] as usize, share.cosines[place].to_f64());
                }
            }
        }
    }

    /// How often each row is among the k nearest of another.
    pub(super) fn occurrences(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.least.len()];
        self.rows.iter().filter(|row| **row != u32::MAX).for_each(|&row| counts[row as usize] += 1.0);
        counts
    }

    /// Of each row whose nearest two are at distances 0 < r₁ ≤ r₂, in order: its place, that of its nearest, and ln(r₂/r₁),
    /// computed anew from the rows.
    pub(super) fn log_ratios(&self, points: Points<'_, T>) -> Vec<(usize, usize, f64)> {
        let ratio = |i: usize| {
            let (mut nearest, mut first, mut second) = (i, f64::INFINITY, f64::INFINITY);
            for &other in self.rows[i * self.k..(i + 1) * self.k].iter().filter(|row| **row != u32::MAX) {
                let rows = points.row(i).iter().zip(points.row(other as usize));
                let square: f64 = rows.map(|(a, b)| (a.to_f64() - b.to_f64()).powi(2)).sum();
                if square < first {
                    (nearest, first, second) = (other as usize, square, first);
                } else {
                    second = second.min(square);
                }
            }
            (first > 1e-24 && second.is_finite()).then(|| (i, nearest, 0.5 * (second / first).ln()))
        };
        (0..points.len()).filter_map(ratio).collect()
    }
}

/// Where the first cosine is that one of its two rows may want, rounded down to a whole group.
struct FirstNear<'a> {
    cosines: &'a [f64],
    least: &'a [f64],
    bound: f64,
}

impl FirstNear<'_> {
    const TOGETHER: usize = 32;
}

impl WithSimd for FirstNear<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<usize> {
        let groups = self.cosines.chunks(Self::TOGETHER).zip(self.least.chunks(Self::TOGETHER));
        for (group, (cosines, least)) in groups.enumerate() {
            let mut wanted = false;
            for (s, least) in cosines.iter().zip(least) {
                wanted |= (*s >= self.bound) | (*s >= *least);
            }
            if wanted {
                return Some(group * Self::TOGETHER);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;

    #[test]
    fn the_lists_are_what_sorting_all_says() {
        for (n, k) in [(2, 1), (5, 4), (700, 10)] {
            let mut rows = sample(n, 3, Key::new(8));
            if n > 5 {
                let copy = rows.row(1).to_vec();
                [3, 400, 401].into_iter().for_each(|i| rows.row_mut(i).copy_from_slice(&copy));
            }
            let found = nearest(Points::new(&rows).unwrap(), k).unwrap();
            let dot =
                |i: usize, j: usize| -> f64 { rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum() };
            for i in 0..n {
                let mut all: Vec<usize> = (0..n).filter(|&j| j != i).collect();
                all.sort_by(|&a, &b| {
                    dot(i, b).clamp(-1.0, 1.0).total_cmp(&dot(i, a).clamp(-1.0, 1.0)).then(a.cmp(&b))
                });
                for (place, &want) in all.iter().take(k).enumerate() {
                    let got = found[i * k + place] as usize;
                    assert!(got == want || (dot(i, got) - dot(i, want)).abs() < 1e-15, "n = {n}, row {i}");
                }
            }
            assert_eq!(found.len(), n * k);
            assert!(nearest(Points::new(&rows).unwrap(), n).is_err());
        }
    }
}
