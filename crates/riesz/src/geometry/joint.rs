//! Two encoders on the same items: how alike they are, from one state of the rows side by side.
//!
//! U and V are the unit rows of n items, n × d and n × e. The state is that of the rows (u v)/√2, which are unit rows, too; its
//! triangle has every product of the columns of U and V.

use super::sample::Sampling;
use super::singular::singular_values;
use super::spectrum::Spectrum;
use super::state::State;
use super::triangle::{FOLDED, Triangle, turn};
use crate::product::add_weighted_rows_transposed;
use crate::{Error, Matrix};

/// The state of rows side by side. Merges as [`State`] does.
#[derive(Clone, Debug)]
pub struct Joint {
    dims: [usize; 2],
    state: State,
}

/// How alike two encoders are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Likeness {
    /// Mean and singular values of each.
    pub spectra: [Spectrum; 2],
    /// ‖UᵀV‖²_F/(‖UᵀU‖_F ‖VᵀV‖_F), means taken off: linear CKA (Kornblith et al., ICML 2019), 1 if V is U turned and scaled.
    /// `None` if all rows of one are equal.
    pub linear_cka: Option<f64>,
    /// ‖U‖²_F + ‖V‖²_F − 2‖UᵀV‖_*, means taken off and both scaled to ‖·‖_F = 1: the orthogonal Procrustes distance (Ding et
    /// al., NeurIPS 2021), 0 if V is U turned and scaled, 2 if they have nothing in common.
    pub procrustes: Option<f64>,
    /// The places of the sampled rows.
    pub places: Vec<u64>,
    /// The sampled unit rows of each.
    pub samples: [Matrix<f64>; 2],
}

impl Joint {
    /// Of no rows.
    ///
    /// # Panics
    /// If a dimension is 0.
    pub fn new(dims: [usize; 2], sampling: Sampling) -> Self {
        assert!(dims[0] > 0 && dims[1] > 0, "rows of no numbers");
        Self { dims, state: State::with_sample(dims[0] + dims[1], sampling) }
    }

    /// Takes rows of both, which must be unit.
    ///
    /// # Errors
    /// Names the first row that is not finite.
    ///
    /// # Panics
    /// If the rows differ in number, or have not the dimensions of the state.
    pub fn push(&mut self, u: &Matrix<f64>, v: &Matrix<f64>) -> Result<(), Error> {
        assert!(u.len() == v.len() && [u.dim(), v.dim()] == self.dims, "shapes of the rows");
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let joined: Vec<f64> =
            (0..u.len()).flat_map(|i| u.row(i).iter().chain(v.row(i))).map(|x| x * half).collect();
        self.state.push(&joined)
    }

    /// Likeness, spectra and samples.
    ///
    /// # Errors
    /// If there are fewer than two rows.
    pub fn finish(self) -> Result<Likeness, Error> {
        let [d, e] = self.dims;
        let (triangle, rows, places, sampled) = self.state.finish_joint()?;
        // Undo the √2.
        let root = 2.0_f64.sqrt();
        let part = |first: usize, dim: usize| {
            let mut whole = Triangle::new(dim + 1);
            let lines: Vec<f64> = (0..=d + e)
                .flat_map(|k| {
                    let line = triangle.row(k);
                    std::iter::once(line[0]).chain(line[1 + first..1 + first + dim].iter().map(|x| x * root))
                })
                .collect();
            for lines in lines.chunks(FOLDED * (dim + 1)) {
                whole.fold(&mut turn(lines, dim + 1), 0);
            }
            Spectrum::of_triangle(&whole, rows)
        };
        let spectra = [part(0, d), part(d, e)];
        let (mut u, mut v) = (Vec::new(), Vec::new());
        for k in 1..=d + e {
            u.extend_from_slice(&triangle.row(k)[1..=d]);
            v.extend_from_slice(&triangle.row(k)[d + 1..]);
        }
        let product = |a: &[f64], b: &[f64], rows: usize, columns: usize| {
            let mut product = vec![0.0; rows * columns];
            add_weighted_rows_transposed(a, b, d + e, columns, &mut product);
            product
        };
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        let cross = product(&u, &v, d, e);
        let (own_u, own_v) = (product(&u, &u, d, d), product(&v, &v, e, e));
        let is_defined = spectra.iter().all(|spectrum| spectrum.centered[0] > 1e-14 * spectrum.values[0]);
        let linear_cka = is_defined.then(|| square(&cross) / (square(&own_u) * square(&own_v)).sqrt());
        let procrustes = is_defined.then(|| {
            let mut whole = Triangle::new(e);
            for lines in cross.chunks(FOLDED * e) {
                whole.fold(&mut turn(lines, e), 0);
            }
            let nuclear: f64 = singular_values(&mut whole.into_rows(), e).iter().sum();
            (2.0 - 2.0 * nuclear / (square(&u) * square(&v)).sqrt()).max(0.0)
        });
        let split = |first: usize, dim: usize| -> Result<Matrix<f64>, Error> {
            let data =
                (0..sampled.len()).flat_map(|i| &sampled.row(i)[first..first + dim]).copied().collect();
            let mut rows = Matrix::new(data, dim);
            crate::normalize(&mut rows)?;
            Ok(rows)
        };
        let samples = [split(0, d)?, split(d, e)?];
        Ok(Likeness { spectra, linear_cka, procrustes, places, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Points;
    use crate::rng::Key;
    use crate::sphere::sample;

    fn of(u: &Matrix<f64>, v: &Matrix<f64>) -> Likeness {
        let mut joint = Joint::new([u.dim(), v.dim()], Sampling { rows: 50, key: Key::new(1) });
        joint.push(u, v).unwrap();
        joint.finish().unwrap()
    }

    #[test]
    fn a_turned_copy_is_alike_and_noise_is_not() {
        let (n, d) = (600, 7);
        let u = sample(n, d, Key::new(1));
        let mirror = sample(1, d, Key::new(2));
        let mut turned = u.clone();
        for i in 0..n {
            let along: f64 = u.row(i).iter().zip(mirror.row(0)).map(|(a, b)| 2.0 * a * b).sum();
            turned.row_mut(i).iter_mut().zip(mirror.row(0)).for_each(|(x, m)| *x -= along * m);
        }
        let found = of(&u, &turned);
        assert!((found.linear_cka.unwrap() - 1.0).abs() < 1e-12 && found.procrustes.unwrap() < 1e-12);
        let noise = of(&u, &sample(n, 11, Key::new(3)));
        // E CKA of independent rows is about √(d e)/n.
        assert!(noise.linear_cka.unwrap() < 0.05 && noise.procrustes.unwrap() > 1.4, "{noise:?}");
        for (spectrum, rows) in noise.spectra.iter().zip([&u, &sample(n, 11, Key::new(3))]) {
            let want = Spectrum::of(Points::new(rows).unwrap()).unwrap();
            for (a, b) in
                spectrum.values.iter().zip(&want.values).chain(spectrum.centered.iter().zip(&want.centered))
            {
                assert!((a - b).abs() < 1e-13 * want.values[0], "{a} for {b}");
            }
        }
        assert_eq!((noise.samples[0].len(), noise.samples[1].dim()), (50, 11));
        for (i, &place) in noise.places.iter().enumerate() {
            assert!(
                noise.samples[0].row(i).iter().zip(u.row(place as usize)).all(|(a, b)| (a - b).abs() < 1e-15)
            );
        }
    }

    /// From the definition, on a matrix small enough to see.
    #[test]
    fn cka_and_procrustes_are_those_of_the_centered_matrices() {
        let (u, v) = (sample(40, 3, Key::new(4)), sample(40, 2, Key::new(5)));
        let center = |rows: &Matrix<f64>| {
            let mut rows = rows.clone();
            for k in 0..rows.dim() {
                let mean = (0..40).map(|i| rows.row(i)[k]).sum::<f64>() / 40.0;
                (0..40).for_each(|i| rows.row_mut(i)[k] -= mean);
            }
            rows
        };
        let (a, b) = (center(&u), center(&v));
        let dot = |a: &Matrix<f64>, i: usize, b: &Matrix<f64>, j: usize| -> f64 {
            (0..40).map(|n| a.row(n)[i] * b.row(n)[j]).sum()
        };
        let square = |a: &Matrix<f64>, b: &Matrix<f64>| -> f64 {
            (0..a.dim())
                .flat_map(|i| (0..b.dim()).map(move |j| (i, j)))
                .map(|(i, j)| dot(a, i, b, j).powi(2))
                .sum()
        };
        let found = of(&u, &v);
        let want = square(&a, &b) / (square(&a, &a) * square(&b, &b)).sqrt();
        assert!((found.linear_cka.unwrap() - want).abs() < 1e-13);
        // Of a matrix with two columns: ‖·‖_* = √(‖·‖²_F + 2 √det).
        let gram =
            |i: usize, j: usize| -> f64 { (0..3).map(|k| dot(&a, k, &b, i) * dot(&a, k, &b, j)).sum() };
        let determinant = gram(0, 0) * gram(1, 1) - gram(0, 1) * gram(1, 0);
        let nuclear = (gram(0, 0) + gram(1, 1) + 2.0 * determinant.sqrt()).sqrt();
        let norms: f64 = [&a, &b].map(|x| x.as_slice().iter().map(|x| x * x).sum::<f64>()).iter().product();
        assert!((found.procrustes.unwrap() - (2.0 - 2.0 * nuclear / norms.sqrt())).abs() < 1e-12);
    }
}
