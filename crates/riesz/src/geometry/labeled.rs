//! What labels say of the geometry: LiDAR and the silhouette.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::singular::singular_values;
use super::triangle::{FOLDED, Triangle, turn};
use super::{Estimate, Unit};
use crate::{Error, Points, Scalar};

/// What the authors of LiDAR add to the diagonal of the scatter within classes.
const RIDGE: f64 = 1e-4;
/// The distance below which means are one but for rounding.
const ONE_MEAN: f64 = 1e-12;
/// What they add to each share.
const SMOOTHING: f64 = 1e-7;

/// The mean of each class's rows, and how many there are.
fn means<T: Scalar>(points: Points<'_, T>, classes: &[u32]) -> Result<BTreeMap<u32, (Vec<f64>, f64)>, Error> {
    assert_eq!(points.len(), classes.len(), "points and classes");
    let mut means: BTreeMap<u32, (Vec<f64>, f64)> = BTreeMap::new();
    for (i, &class) in classes.iter().enumerate() {
        let (sum, count) = means.entry(class).or_insert_with(|| (vec![0.0; points.dim()], 0.0));
        sum.iter_mut().zip(points.row(i)).for_each(|(sum, x)| *sum += x.to_f64());
        *count += 1.0;
    }
    if means.len() < 2 {
        return Err(Error::new(format!("points of {} classes; at least 2 are needed", means.len())));
    }
    for (sum, count) in means.values_mut() {
        sum.iter_mut().for_each(|x| *x /= *count);
    }
    Ok(means)
}

/// exp H of the shares of the eigenvalues of Σ_w^{−½} Σ_b Σ_w^{−½}, plus 10⁻⁷ each: LiDAR (Thilak et al., ICLR 2024), with
/// labels for its classes. Σ_b is the scatter of the C classes' means about their mean, Σ_w the mean over classes of each
/// one's scatter, plus 10⁻⁴ on the diagonal. Between 1 and min(C − 1, d).
///
/// # Errors
/// If there are fewer than two classes, or all classes have one mean, to 10⁻¹².
///
/// # Panics
/// If there are not as many classes as points.
pub fn lidar<T: Scalar>(points: Points<'_, T>, classes: &[u32]) -> Result<f64, Error> {
    let unit = Unit::of(points);
    let points = unit.points();
    let means = means(points, classes)?;
    let (dim, count) = (points.dim(), means.len() as f64);
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut others = means.values().map(|(mean, _)| mean);
    let first = others.next().expect("there are two classes");
    if others.all(|mean| apart(first, mean) < ONE_MEAN * ONE_MEAN) {
        return Err(Error::new("all classes have one mean"));
    }
    // RᵀR = Σ_w, by folding the rows of which it is the sum.
    let mut within = Triangle::new(dim);
    let mut ridge = vec![0.0; dim * dim];
    (0..dim).for_each(|k| ridge[k * dim + k] = RIDGE.sqrt());
    for lines in ridge.chunks(FOLDED * dim) {
        within.fold(&mut turn(lines, dim), 0);
    }
    let all: Vec<usize> = (0..points.len()).collect();
    for block in all.chunks(FOLDED) {
        let mut lines = Vec::with_capacity(block.len() * dim);
        for &i in block {
            let (mean, members) = &means[&classes[i]];
            let scale = 1.0 / (count * members).sqrt();
            lines.extend(points.row(i).iter().zip(mean).map(|(x, mean)| (x.to_f64() - mean) * scale));
        }
        within.fold(&mut turn(&lines, dim), 0);
    }
    let mut middle = vec![0.0; dim];
    for (mean, _) in means.values() {
        middle.iter_mut().zip(mean).for_each(|(sum, x)| *sum += x / count);
    }
    // Z R = M row by row: the eigenvalues are the squares of Z's singular values.
    let mut between = Vec::with_capacity(means.len() * dim);
    for (mean, _) in means.values() {
        let mut line: Vec<f64> = mean.iter().zip(&middle).map(|(x, middle)| x - middle).collect();
        for i in 0..dim {
            line[i] /= within.row(i)[i];
            let z = line[i];
            line[i + 1..].iter_mut().zip(&within.row(i)[i + 1..]).for_each(|(x, r)| *x -= z * r);
        }
        between.extend(line);
    }
    let mut whole = Triangle::new(dim);
    for lines in between.chunks(FOLDED * dim) {
        whole.fold(&mut turn(lines, dim), 0);
    }
    let squares: Vec<f64> =
        singular_values(&mut whole.into_rows(), dim).into_iter().map(|sigma| sigma * sigma).collect();
    let total: f64 = squares.iter().sum();
    let shares = squares.iter().map(|x| x / total + SMOOTHING);
    Ok(shares.map(|p| -p * p.ln()).sum::<f64>().exp())
}

/// A point's silhouette, and how it moves with the distances it is made of.
struct Silhouette {
    value: f64,
    /// Its derivative by the point's cosine with the mean of its own class.
    own: f64,
    /// That by the cosine with the mean of the nearest other class.
    other: f64,
    /// Which one this is.
    nearest: u32,
}

impl Silhouette {
    fn of<T: Scalar>(row: &[T], class: u32, means: &BTreeMap<u32, (Vec<f64>, f64)>) -> Self {
        let distance =
            |mean: &[f64]| 1.0 - row.iter().zip(mean).map(|(x, mean)| x.to_f64() * mean).sum::<f64>();
        let others = means.iter().filter(|(other, _)| **other != class);
        let (nearest, far) = others
            .map(|(other, (mean, _))| (*other, distance(mean)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("there are two classes");
        let (own, members) = &means[&class];
        if *members < 2.0 {
            return Self { value: 0.0, own: 0.0, other: 0.0, nearest };
        }
        // Without the point's distance to itself.
        let itself = 1.0 - row.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>();
        let near = ((distance(own) * members - itself) / (members - 1.0)).max(0.0);
        let far = far.max(0.0);
        let larger = near.max(far);
        if larger <= 0.0 {
            return Self { value: 0.0, own: 0.0, other: 0.0, nearest };
        }
        let (by_near, by_far) =
            if near < far { (-1.0 / far, near / (far * far)) } else { (-far / (near * near), 1.0 / near) };
        let value = (far - near) / larger;
        Self { value, own: -by_near * members / (members - 1.0), other: -by_far, nearest }
    }
}

/// Each point's silhouette (b − a)/max(a, b) with the cosine distance 1 − s: a the mean to the other points of its class, b
/// the least mean to another class (Rousseeuw 1987). 0 for a point that is alone in its class. A mean of cosines is a cosine
/// with the mean, so this takes O(n C d) and no pairs.
///
/// # Errors
/// If there are fewer than two classes.
///
/// # Panics
/// If there are not as many classes as points.
pub fn silhouettes<T: Scalar>(points: Points<'_, T>, classes: &[u32]) -> Result<Vec<f64>, Error> {
    let unit = Unit::of(points);
    let points = unit.points();
    let means = means(points, classes)?;
    Ok(each(points, classes, &means).into_iter().map(|one| one.value).collect())
}

fn each<T: Scalar>(
    points: Points<'_, T>,
    classes: &[u32],
    means: &BTreeMap<u32, (Vec<f64>, f64)>,
) -> Vec<Silhouette> {
    let silhouette = |i: usize| Silhouette::of(points.row(i), classes[i], means);
    (0..points.len()).into_par_iter().map(silhouette).collect()
}

/// The mean of [`silhouettes`] with its interval. A point has two shares in how far the mean may be off: its own silhouette,
/// and, by the mean of its class, those of others. The standard error is √Σ h², h the derivative of the mean by the weight
/// of a point (the infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982).
///
/// # Errors
/// As [`silhouettes`].
///
/// # Panics
/// As [`silhouettes`].
pub fn silhouette<T: Scalar>(points: Points<'_, T>, classes: &[u32]) -> Result<Estimate, Error> {
    let unit = Unit::of(points);
    let points = unit.points();
    let means = means(points, classes)?;
    let all = each(points, classes, &means);
    let n = points.len() as f64;
    let value = all.iter().map(|one| one.value).sum::<f64>() / n;
    // The derivative of the sum of silhouettes by each class's mean.
    let mut slopes: BTreeMap<u32, Vec<f64>> =
        means.keys().map(|&class| (class, vec![0.0; points.dim()])).collect();
    for (i, one) in all.iter().enumerate() {
        for (class, by) in [(classes[i], one.own), (one.nearest, one.other)] {
            let slope = slopes.get_mut(&class).expect("every class has a mean");
            slope.iter_mut().zip(points.row(i)).for_each(|(slope, x)| *slope += by * x.to_f64());
        }
    }
    let squares = all.iter().enumerate().map(|(i, one)| {
        let ((mean, members), slope) = (&means[&classes[i]], &slopes[&classes[i]]);
        let row = points.row(i).iter().zip(mean).zip(slope);
        let moved: f64 = row.map(|((x, mean), slope)| slope * (x.to_f64() - mean)).sum();
        ((one.value - value + moved / members) / n).powi(2)
    });
    let error = (squares.sum::<f64>() * n / (n - 1.0)).sqrt();
    Ok(Estimate::with_error(value, error).within(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;
    use crate::{Matrix, normalize};

    /// `count` points about each of the first `classes` axes.
    fn clusters(classes: usize, count: usize, dim: usize, spread: f64) -> (Matrix<f64>, Vec<u32>) {
        let mut rows = sample(classes * count, dim, Key::new(6));
        let labels: Vec<u32> = (0..rows.len()).map(|i| (i % classes) as u32).collect();
        for i in 0..rows.len() {
            rows.row_mut(i).iter_mut().for_each(|x| *x *= spread);
            rows.row_mut(i)[i % classes] += 1.0;
        }
        normalize(&mut rows).unwrap();
        (rows, labels)
    }

    /// By pairs, from the definition.
    #[test]
    fn silhouettes_are_those_of_all_pairs() {
        let (rows, classes) = clusters(3, 20, 5, 0.7);
        let got = silhouettes(Points::new(&rows).unwrap(), &classes).unwrap();
        let distance =
            |i: usize, j: usize| 1.0 - rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum::<f64>();
        for i in 0..rows.len() {
            let mean = |class: u32| {
                let others: Vec<usize> = (0..rows.len()).filter(|&j| j != i && classes[j] == class).collect();
                others.iter().map(|&j| distance(i, j)).sum::<f64>() / others.len() as f64
            };
            let near = mean(classes[i]);
            let far = (0..3).filter(|class| *class != classes[i]).map(mean).fold(f64::INFINITY, f64::min);
            assert!((got[i] - (far - near) / near.max(far)).abs() < 1e-12);
        }
    }

    /// Draws of points about the axes, in classes that overlap; the truth is the mean over all draws.
    #[test]
    #[expect(clippy::print_stdout, reason = "the shares are the page's figures")]
    fn the_silhouettes_interval_covers_what_it_says() {
        for (classes, count, dim, spread) in [(2, 100, 8, 1.5), (10, 30, 16, 1.0), (5, 80, 5, 3.0)] {
            let labels: Vec<u32> = (0..classes * count).map(|i| (i % classes) as u32).collect();
            let draws: Vec<Estimate> = (0..1000)
                .map(|draw| {
                    let mut rows = sample(labels.len(), dim, Key::new(9).at(draw));
                    for (i, &class) in labels.iter().enumerate() {
                        rows.row_mut(i).iter_mut().for_each(|x| *x *= spread);
                        rows.row_mut(i)[class as usize % dim] += 1.0;
                    }
                    normalize(&mut rows).unwrap();
                    silhouette(Points::new(&rows).unwrap(), &labels).unwrap()
                })
                .collect();
            let truth = draws.iter().map(|one| one.value).sum::<f64>() / draws.len() as f64;
            let held =
                |one: &&Estimate| one.interval.is_some_and(|[low, high]| low <= truth && truth <= high);
            let share = draws.iter().filter(held).count() as f64 / draws.len() as f64;
            println!(
                "{classes} classes of {count} in {dim} dimensions: {truth:.3}, {:.1} % cover",
                100.0 * share
            );
            assert!((0.93..=0.98).contains(&share), "{classes} × {count}: {share} cover");
        }
    }

    #[test]
    fn lidar_counts_the_directions_that_part_classes() {
        // Means at C axes span C − 1 directions, all alike.
        let (rows, labels) = clusters(6, 200, 12, 0.1);
        let found = lidar(Points::new(&rows).unwrap(), &labels).unwrap();
        assert!((found - 5.0).abs() < 0.02, "{found}");
        // Labels that mean nothing: the means still scatter, in as many directions as they can.
        let points = Points::new(&rows).unwrap();
        let other: Vec<u32> = (0..rows.len()).map(|i| (i / 600) as u32).collect();
        assert!((lidar(points, &other).unwrap() - 1.0).abs() < 1e-3);
        assert!(
            lidar(points, &vec![4; rows.len()]).is_err()
                && silhouettes(points, &vec![4; rows.len()]).is_err()
        );
    }
}
