//! Near duplicates: pairs of points whose cosine is at least a bound, and the groups that such pairs connect.

use super::{Unit, cosines};
use crate::{Error, Points, Scalar};

/// Those of a part of a row of cosines that are at least `bound`: the second point of the pair, and the cosine. `first` is the
/// second point of the first cosine.
pub(super) fn near(part: &[f64], first: usize, bound: f64) -> impl Iterator<Item = (usize, f64)> {
    // Nearly all parts have none, which is seen without a branch a cosine.
    let most = part.iter().fold(f64::NEG_INFINITY, |most, &s| if s > most { s } else { most });
    let part = if most >= bound { part } else { &[] };
    part.iter().zip(first..).filter(move |(s, _)| **s >= bound).map(|(s, j)| (j, *s))
}

/// A bound at which equal points count, though the cosine of a point with itself may be rounded below 1.
pub(super) fn bound<T: Scalar>(bound: f64) -> f64 {
    assert!((-1.0..=1.0).contains(&bound), "a bound of {bound} is no cosine");
    let rounding = 4.0 * if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    bound.min(1.0 - rounding)
}

/// Points that are near duplicates of each other, directly or over others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Duplicates {
    /// Pairs i < j with a cosine of at least the bound.
    pub pairs: u64,
    /// The connected components of two points or more, by their first point; the points of each in order.
    pub groups: Vec<Vec<usize>>,
}

impl Duplicates {
    /// Groups by all pairs with a cosine of at least `bound`, and by the pairs `known`, which are duplicates whatever their cosine.
    /// `compared` is told, from any thread, how many pairs more were looked at. The same groups for any number of threads; cosines
    /// are made in the precision of the points. Time O(n² d), memory O(n).
    ///
    /// # Errors
    /// If there are more than 2³² points.
    ///
    /// # Panics
    /// If `bound` is no cosine, or `known` names a point that is not there.
    pub fn of<T: Scalar>(
        points: Points<'_, T>,
        bound: f64,
        known: &[(usize, usize)],
        compared: impl Fn(u64) + Sync,
    ) -> Result<Self, Error> {
        let n = points.len();
        if u32::try_from(n).is_err() {
            return Err(Error::new(format!("{n} points are too many to look at all pairs")));
        }
        let bound = self::bound::<T>(bound);
        if let Some(pair) = known.iter().find(|pair| pair.0.max(pair.1) >= n) {
            panic!("{pair:?} is known of {n} points");
        }
        let unit = Unit::of(points);
        let points = unit.points();
        let start = || (0, Forest::new(n));
        let visit = |(pairs, forest): &mut (u64, Forest), i: usize, first: usize, part: &[f64]| {
            for (j, _) in near(part, first, bound) {
                *pairs += 1;
                forest.join(i, j);
            }
            if first + part.len() == n {
                compared((n - i - 1) as u64);
            }
        };
        let mut pairs = 0;
        let mut forest = Forest::new(n);
        for (found, share) in cosines::fold(points, start, visit) {
            pairs += found;
            (0..n).for_each(|i| forest.join(i, share.above[i] as usize));
        }
        known.iter().for_each(|&(i, j)| forest.join(i, j));
        Ok(Self { pairs, groups: forest.groups() })
    }
}

/// Disjoint sets of points, each a tree whose root is its first point.
struct Forest {
    /// A point of the same set that is no later; of a root itself.
    above: Vec<u32>,
}

impl Forest {
    fn new(n: usize) -> Self {
        Self { above: (0..n as u32).collect() }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.above[i] as usize != i {
            // Paths are halved as they are walked.
            self.above[i] = self.above[self.above[i] as usize];
            i = self.above[i] as usize;
        }
        i
    }

    fn join(&mut self, i: usize, j: usize) {
        let (i, j) = (self.root(i), self.root(j));
        self.above[i.max(j)] = i.min(j) as u32;
    }

    fn groups(mut self) -> Vec<Vec<usize>> {
        let n = self.above.len();
        let roots: Vec<usize> = (0..n).map(|i| self.root(i)).collect();
        let mut sizes = vec![0_u32; n];
        roots.iter().for_each(|&root| sizes[root] += 1);
        let mut place = vec![usize::MAX; n];
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (i, root) in roots.into_iter().enumerate().filter(|&(_, root)| sizes[root] > 1) {
            if place[root] == usize::MAX {
                place[root] = groups.len();
                groups.push(Vec::with_capacity(sizes[root] as usize));
            }
            groups[place[root]].push(i);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Matrix;
    use crate::rng::Key;
    use crate::sphere::sample;

    /// What a walk from point to point over all pairs says.
    fn by_walking(rows: &Matrix<f64>, bound: f64, known: &[(usize, usize)]) -> Duplicates {
        let n = rows.len();
        let dot =
            |i: usize, j: usize| -> f64 { rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum() };
        let near = |i: usize, j: usize| i != j && dot(i, j) >= bound;
        let joined = |i, j| near(i, j) || known.contains(&(i, j)) || known.contains(&(j, i));
        let mut seen = vec![false; n];
        let mut groups = Vec::new();
        for start in 0..n {
            let mut group = Vec::new();
            let mut ahead = vec![start];
            while let Some(i) = ahead.pop() {
                if !std::mem::replace(&mut seen[i], true) {
                    group.push(i);
                    ahead.extend((0..n).filter(|&j| !seen[j] && joined(i, j)));
                }
            }
            group.sort_unstable();
            if group.len() > 1 {
                groups.push(group);
            }
        }
        let pairs = (0..n).map(|i| (i + 1..n).filter(|&j| near(i, j)).count() as u64).sum();
        Duplicates { pairs, groups }
    }

    #[test]
    fn groups_are_what_walking_from_point_to_point_says() {
        let mut several = 0;
        for (n, dim, bound) in [(1, 2, 0.5), (2, 1, 0.5), (60, 2, 0.999), (700, 3, 0.995), (1300, 6, 0.95)] {
            let rows = sample(n, dim, Key::new(n as u64));
            let points = Points::new(&rows).unwrap();
            let known = if n > 50 { vec![(n - 1, 0), (7, 7), (3, n / 2)] } else { Vec::new() };
            let told = AtomicU64::new(0);
            let count = |pairs| {
                told.fetch_add(pairs, Ordering::Relaxed);
            };
            let found = Duplicates::of(points, bound, &known, count).unwrap();
            assert_eq!(found, by_walking(&rows, bound, &known), "n = {n}");
            assert_eq!(told.into_inner(), (n * (n - 1) / 2) as u64);
            several += found.groups.iter().filter(|group| group.len() > 2).count();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(pool.install(|| Duplicates::of(points, bound, &known, |_| ()).unwrap()), found);
        }
        assert!(several > 10, "{several} groups over others");
    }

    #[test]
    fn lengths_do_not_count_and_what_is_no_bound_panics() {
        let rows = Matrix::new([0.6 * 0.9991, 0.8 * 0.9991].repeat(4), 2);
        let points = Points::new(&rows).unwrap();
        assert_eq!(Duplicates::of(points, 0.999, &[], |_| ()).unwrap().pairs, 6);
        for (bound, known) in [(f64::NAN, &[][..]), (2.0, &[]), (0.9, &[(0, 4)])] {
            let call = || Duplicates::of(points, bound, known, |_| ());
            assert!(std::panic::catch_unwind(call).is_err(), "{bound}");
        }
    }

    #[test]
    fn equal_points_are_one_group_and_antipodes_none() {
        let rows = Matrix::new([0.6_f32, 0.8].repeat(900), 2);
        let found = Duplicates::of(Points::new(&rows).unwrap(), 0.99, &[], |_| ()).unwrap();
        assert_eq!((found.pairs, found.groups), (900 * 899 / 2, vec![(0..900).collect()]));
        let rows = Matrix::new(vec![1.0, 0.0, -1.0, 0.0], 2);
        let found = Duplicates::of(Points::new(&rows).unwrap(), 0.99, &[], |_| ()).unwrap();
        assert_eq!(found, Duplicates { pairs: 0, groups: Vec::new() });
        let all = Duplicates::of(Points::new(&rows).unwrap(), -1.0, &[], |_| ()).unwrap();
        assert_eq!(all.groups, [[0, 1]]);
    }
}
