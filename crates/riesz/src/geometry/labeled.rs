//! What labels say of the geometry: LiDAR and the silhouette.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::singular::singular_values;
use super::triangle::{FOLDED, Triangle, turn};
use crate::{Error, Points, Scalar};

/// What the authors of LiDAR add to the diagonal of the scatter within classes.
const RIDGE: f64 = 1e-4;
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
/// If there are fewer than two classes, or all classes have one mean.
///
/// # Panics
/// If there are not as many classes as points.
pub fn lidar<T: Scalar>(points: Points<'_, T>, classes: &[u32]) -> Result<f64, Error> {
    let means = means(points, classes)?;
    let (dim, count) = (points.dim(), means.len() as f64);
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
    if total <= 0.0 {
        return Err(Error::new("all classes have the same mean"));
    }
    let shares = squares.iter().map(|x| x / total + SMOOTHING);
    Ok(shares.map(|p| -p * p.ln()).sum::<f64>().exp())
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
    let means = means(points, classes)?;
    let silhouette = |i: usize| {
        let row = points.row(i);
        let distance =
            |mean: &[f64]| 1.0 - row.iter().zip(mean).map(|(x, mean)| x.to_f64() * mean).sum::<f64>();
        let (own, members) = &means[&classes[i]];
        if *members < 2.0 {
            return 0.0;
        }
        // Without the point's distance to itself.
        let itself = 1.0 - row.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>();
        let near = ((distance(own) * members - itself) / (members - 1.0)).max(0.0);
        let others = means.iter().filter(|(class, _)| **class != classes[i]);
        let far = others.map(|(_, (mean, _))| distance(mean)).fold(f64::INFINITY, f64::min).max(0.0);
        let larger = near.max(far);
        if larger > 0.0 { (far - near) / larger } else { 0.0 }
    };
    Ok((0..points.len()).into_par_iter().map(silhouette).collect())
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
