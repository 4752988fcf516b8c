//! The nearest other points of each point, gathered in a walk over the pairs; intrinsic dimension and hubness from them.
//!
//! The walk knows cosines to the rounding of `T`, which does not tell which of points that nearly coincide is nearer. Their lists are
//! settled by ‖x − y‖² in f64, from the differences of directions.

use std::sync::{Mutex, PoisonError};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{Unit, cosines};
use crate::elementary::widest;
use crate::product::rows_by_rows;
use crate::{Error, Points, Scalar};

/// The `k` nearest others of each point: n lists of k places, one after another, each nearest first and of equal ones the first
/// first. All pairs are looked at, in time O(n² d) and memory O(n k) for each thread. Points whose distance is below 10⁻¹² are equal; of
/// points that are nearly as far away, with cosines equal to the errors of `T`, which are at most 2 % of 1 − s there, either may come first.
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
    let unit = Unit::of(points);
    let points = unit.points();
    let joined = Mutex::new(Nearest::<T>::new(n, k));
    cosines::fold_and(
        points,
        || Nearest::new(n, k),
        |nearest, i, first, part| nearest.add(i, first, part),
        |share| joined.lock().unwrap_or_else(PoisonError::into_inner).join(&share),
    );
    let mut nearest = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
    nearest.settle(points, &|i, out| direction(points, i, out));
    Ok(nearest.rows)
}

/// Point `i` in f64, of unit length.
pub(super) fn direction<T: Scalar>(points: Points<'_, T>, i: usize, out: &mut [f64]) {
    out.iter_mut().zip(points.row(i)).for_each(|(out, x)| *out = x.to_f64());
    let length = out.iter().map(|x| x * x).sum::<f64>().sqrt();
    out.iter_mut().for_each(|x| *x /= length);
}

/// ‖x − y‖² of directions; 0 if they are rounding apart.
fn square(x: &[f64], y: &[f64]) -> f64 {
    let square = x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum();
    if square > COINCIDENT { square } else { 0.0 }
}

/// Squared distances up to here are 0: what the same direction has from itself, written in f64 at several lengths, is far below.
const COINCIDENT: f64 = 1e-24;

/// A list is settled by distances if its 1 − s is less than so many errors of s.
const BLURRED: f64 = 100.0;

/// How far the cosine of `T` may be from that of the directions.
fn margin<T: Scalar>(dim: usize) -> f64 {
    let rounding = if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    (8.0 + (dim as f64).sqrt()) * rounding
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

    /// Puts the lists of points that have others all but on them in the order of the distances of the directions that `exact` writes in
    /// f64, and into them those that cosines had left out. Time O(m n d) for m such points.
    pub(super) fn settle(&mut self, points: Points<'_, T>, exact: &(impl Fn(usize, &mut [f64]) + Sync)) {
        let (n, k) = (points.len(), self.k);
        if k == 0 {
            return;
        }
        let bound = 1.0 - BLURRED * margin::<T>(points.dim());
        let blurred: Vec<usize> = (0..n).filter(|&i| self.cosines[i * k].to_f64() > bound).collect();
        // Of lists whose last is far enough away, the nearest are in them.
        let (open, closed): (Vec<usize>, Vec<usize>) =
            blurred.into_iter().partition(|&i| self.least[i] > bound);
        let sort = |i: usize| {
            let mut best = Best::of(k, points.dim(), i, exact);
            self.rows[i * k..(i + 1) * k].iter().for_each(|&j| best.offer(j, exact));
            (i, best.found)
        };
        let mut settled: Vec<(usize, Vec<(f64, u32)>)> = closed.into_par_iter().map(sort).collect();
        let around = around(points, open, bound);
        let blocks = around.iter().flat_map(|group| group.chunks(BLOCK.0).map(|block| (group[0], block)));
        let blocks: Vec<(usize, &[usize])> = blocks.collect();
        settled.par_extend(
            blocks
                .into_par_iter()
                .flat_map_iter(|(center, block)| search(block, center, k, n, points.dim(), exact)),
        );
        for (i, found) in settled {
            for (place, (square, other)) in found.into_iter().enumerate() {
                self.rows[i * k + place] = other;
                self.cosines[i * k + place] = T::from_f64(1.0 - 0.5 * square);
            }
            self.least[i] = self.cosines[(i + 1) * k - 1].to_f64();
        }
    }

    /// How often each of the rows that are kept is among the `k` nearest of another that is kept, as far as the lists reach.
    pub(super) fn occurrences(&self, k: usize, is_kept: impl Fn(usize) -> bool) -> Vec<f64> {
        let n = self.least.len();
        let mut counts = vec![0.0; n];
        for i in (0..n).filter(|&i| is_kept(i)) {
            let list = self.rows[i * self.k..(i + 1) * self.k].iter().map(|&row| row as usize);
            list.filter(|&row| row < n && is_kept(row)).take(k).for_each(|row| counts[row] += 1.0);
        }
        (0..n).filter(|&i| is_kept(i)).map(|i| counts[i]).collect()
    }

    /// Of each row whose nearest two are at distances 0 < r₁ ≤ r₂, in order: its place, that of its nearest, and ln(r₂/r₁),
    /// from the directions that `exact` writes.
    pub(super) fn log_ratios(
        &self,
        dim: usize,
        exact: &(impl Fn(usize, &mut [f64]) + Sync),
    ) -> Vec<(usize, usize, f64)> {
        let ratio = |(here, there): &mut (Vec<f64>, Vec<f64>), i: usize| {
            exact(i, here);
            let (mut nearest, mut first, mut second) = (i, f64::INFINITY, f64::INFINITY);
            for &other in self.rows[i * self.k..(i + 1) * self.k].iter().filter(|row| **row != u32::MAX) {
                exact(other as usize, there);
                let square = square(here, there);
                if square < first {
                    (nearest, first, second) = (other as usize, square, first);
                } else {
                    second = second.min(square);
                }
            }
            (first > 0.0 && second.is_finite()).then(|| (i, nearest, 0.5 * (second / first).ln()))
        };
        let room = || (vec![0.0; dim], vec![0.0; dim]);
        (0..self.least.len()).into_par_iter().map_init(room, ratio).flatten_iter().collect()
    }
}

/// Points that are searched at once, and among how many others.
const BLOCK: (usize, usize) = (32, 512);

/// Parts the points `open` into groups, of each of which all have a cosine above `bound` with the first.
fn around<T: Scalar>(points: Points<'_, T>, mut open: Vec<usize>, bound: f64) -> Vec<Vec<usize>> {
    let mut groups = Vec::new();
    let mut cosines = vec![T::default(); points.len()];
    while let Some(&first) = open.first() {
        rows_by_rows(points.row(first), points.as_slice(), points.dim(), &mut cosines);
        let (group, rest): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|&i| i == first || cosines[i].to_f64() > bound);
        groups.push(group);
        open = rest;
    }
    groups
}

/// The `k` nearest of each point of `block`, which are near to `center`. With y = x − center, ‖xᵢ − xⱼ‖² = ‖yᵢ‖² + ‖yⱼ‖² − 2⟨yᵢ, yⱼ⟩
/// is right to rounding of ‖yᵢ‖² + ‖yⱼ‖²; those that this leaves open are computed from differences.
fn search(
    block: &[usize],
    center: usize,
    k: usize,
    n: usize,
    d: usize,
    exact: &(impl Fn(usize, &mut [f64]) + Sync),
) -> Vec<(usize, Vec<(f64, u32)>)> {
    let mut origin = vec![0.0; d];
    exact(center, &mut origin);
    let off = |i: usize, out: &mut [f64]| {
        exact(i, out);
        out.iter_mut().zip(&origin).for_each(|(x, center)| *x -= center);
        out.iter().map(|x| x * x).sum::<f64>()
    };
    let mut here = vec![0.0; block.len() * d];
    let own: Vec<f64> = here.chunks_exact_mut(d).zip(block).map(|(out, &i)| off(i, out)).collect();
    let mut there = vec![0.0; BLOCK.1 * d];
    let mut tile = vec![0.0; block.len() * BLOCK.1];
    let (mut others, mut squares) = (vec![0.0; n], vec![0.0; block.len() * n]);
    for left in (0..n).step_by(BLOCK.1) {
        let width = BLOCK.1.min(n - left);
        let there = &mut there[..width * d];
        let lengths = &mut others[left..left + width];
        for ((out, length), j) in there.chunks_exact_mut(d).zip(lengths.iter_mut()).zip(left..) {
            *length = off(j, out);
        }
        let tile = &mut tile[..block.len() * width];
        rows_by_rows(&here, there, d, tile);
        for (line, (own, squares)) in
            tile.chunks_exact(width).zip(own.iter().zip(squares.chunks_exact_mut(n)))
        {
            let line = line.iter().zip(lengths.iter()).map(|(dot, length)| own + length - 2.0 * dot);
            squares[left..left + width].iter_mut().zip(line).for_each(|(out, square)| *out = square);
        }
    }
    let rounding = 4.0 * margin::<f64>(d);
    let mut order: Vec<f64> = Vec::new();
    let lists = block.iter().zip(own).zip(squares.chunks_exact_mut(n)).map(|((&i, own), squares)| {
        squares[i] = f64::INFINITY;
        // Above any that may be among the k nearest.
        let upper = |(square, length): (&f64, &f64)| square + rounding * (own + length);
        order.clear();
        order.extend(squares.iter().zip(&others).map(upper));
        let (_, &mut most, _) = order.select_nth_unstable_by(k - 1, f64::total_cmp);
        let mut best = Best::of(k, d, i, exact);
        for ((square, length), j) in squares.iter().zip(&others).zip(0..) {
            let error = rounding * (own + length);
            if square + error <= COINCIDENT {
                best.take(0.0, j);
            } else if square - error <= most {
                best.offer(j, exact);
            }
        }
        (i, best.found)
    });
    lists.collect()
}

/// The `k` nearest of one point among those offered, with their squared distances.
struct Best {
    k: usize,
    here: Vec<f64>,
    there: Vec<f64>,
    found: Vec<(f64, u32)>,
}

impl Best {
    fn of(k: usize, d: usize, i: usize, exact: &impl Fn(usize, &mut [f64])) -> Self {
        let mut here = vec![0.0; d];
        exact(i, &mut here);
        Self { k, here, there: vec![0.0; d], found: Vec::with_capacity(k + 1) }
    }

    fn offer(&mut self, j: u32, exact: &impl Fn(usize, &mut [f64])) {
        exact(j as usize, &mut self.there);
        self.take(square(&self.here, &self.there), j);
    }

    fn take(&mut self, square: f64, j: u32) {
        let place = self.found.partition_point(|&(other, i)| (other, i) < (square, j));
        if place < self.k {
            self.found.insert(place, (square, j));
            self.found.truncate(self.k);
        }
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
    use crate::Matrix;
    use crate::rng::Key;
    use crate::sphere::sample;

    /// By the squared distances of the directions, from their differences.
    fn by_sorting(rows: &Matrix<f64>, k: usize) -> Vec<u32> {
        let apart = |i: usize, j: usize| square(rows.row(i), rows.row(j));
        let list = |i: usize| {
            let mut others: Vec<(f64, u32)> =
                (0..rows.len()).filter(|&j| j != i).map(|j| (apart(i, j), j as u32)).collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            others.into_iter().take(k).map(|(_, j)| j)
        };
        (0..rows.len()).flat_map(list).collect()
    }

    #[test]
    fn the_lists_are_what_sorting_all_says() {
        for (n, k) in [(2, 1), (5, 4), (700, 10)] {
            let mut rows = sample(n, 3, Key::new(8));
            if n > 5 {
                let copy = rows.row(1).to_vec();
                [3, 400, 401].into_iter().for_each(|i| rows.row_mut(i).copy_from_slice(&copy));
            }
            let found = nearest(Points::new(&rows).unwrap(), k).unwrap();
            for (place, (got, want)) in found.iter().zip(by_sorting(&rows, k)).enumerate() {
                let apart = |j: u32| square(rows.row(place / k), rows.row(j as usize));
                assert!((apart(*got) - apart(want)).abs() < 1e-15, "n = {n}, place {place}");
            }
            assert_eq!(found.len(), n * k);
            assert!(nearest(Points::new(&rows).unwrap(), n).is_err());
        }
    }

    /// Clusters so tight that cosines do not tell their points apart, in f64 and in f32, and copies.
    #[test]
    fn points_that_nearly_coincide_are_told_apart() {
        let (clusters, of_each, d, k) = (20, 40, 6, 10);
        let (centers, spread) =
            (sample(clusters, d, Key::new(1)), sample(clusters * of_each, d, Key::new(2)));
        for scale in [1e-3, 1e-5, 1e-8, 1e-10] {
            let mut rows = spread.clone();
            for i in 0..rows.len() {
                let row = rows.row_mut(i).iter_mut().zip(centers.row(i % clusters));
                row.for_each(|(x, center)| *x = center + scale * *x);
            }
            crate::normalize(&mut rows).unwrap();
            // 5 and 45 are one point.
            let copy = rows.row(5).to_vec();
            rows.row_mut(45).copy_from_slice(&copy);
            let want = by_sorting(&rows, k);
            let points = Points::new(&rows).unwrap();
            assert_eq!(nearest(points, k).unwrap(), want, "{scale:e} apart");
            let rounded = rows.to_f32();
            let points = Points::new(&rounded).unwrap();
            let mut found = Nearest::new(rows.len(), k);
            let lists = Mutex::new(&mut found);
            cosines::fold_and(
                points,
                || Nearest::new(rows.len(), k),
                |nearest, i, first, part| nearest.add(i, first, part),
                |share| lists.lock().unwrap().join(&share),
            );
            assert!(scale > 1e-4 || found.rows != want, "cosines in f32 tell {scale:e} apart");
            let exact = |i: usize, out: &mut [f64]| out.copy_from_slice(rows.row(i));
            found.settle(points, &exact);
            assert_eq!(found.rows, want, "{scale:e} apart, cosines in f32");
            // The nearest is the point itself, again.
            let of_copy = found.log_ratios(d, &exact).into_iter().find(|(row, ..)| *row == 5);
            assert_eq!(of_copy, None);
        }
    }
}
