//! A linear probe as what it is: the last layer of a classifier, on rows as an encoder gives them.

use riesz::rng::{Key, permutation};

use super::logistic::Set;
use super::probe::Columns;
use super::{Labeled, few, probe, span};
use crate::{Error, Result};

/// A linear map from rows to one logit a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// C × d, row-major.
    pub weights: Vec<f32>,
    /// C.
    pub shifts: Vec<f32>,
    /// The chosen λ.
    pub penalty: f64,
    /// Whether the fit converged.
    pub converged: bool,
}

/// Up to so many rows λ is chosen by five folds; beyond, on a keyed fifth.
const FEW: usize = 2000;

impl Head {
    /// The linear probe of rows whose labels are places below `classes`: standardized, λ chosen, fitted, and brought back to rows
    /// that are not standardized.
    ///
    /// # Errors
    /// If there are fewer than two classes.
    ///
    /// # Panics
    /// If rows and labels differ in number.
    pub fn fit(train: &Labeled, classes: usize, key: Key) -> Result<Self> {
        assert_eq!(train.rows.len(), train.labels.len(), "a label for each row");
        if classes < 2 {
            return Err(Error::input("labels of one class only; a classifier needs at least 2"));
        }
        let columns = Columns::of(&train.rows);
        let dim = train.rows.dim();
        // Folds and the fifth are parts of a keyed order.
        let order = permutation(&mut key.rng(), train.labels.len());
        let mut rows =
            riesz::Matrix::new(order.iter().flat_map(|&i| train.rows.row(i).iter().copied()).collect(), dim);
        columns.standardize(&mut rows);
        let labels: Vec<u32> = order.iter().map(|&i| train.labels[i]).collect();
        let set = Set { rows: rows.as_slice(), dim, labels: &labels };
        let choose = if labels.len() <= FEW { few::choose } else { probe::choose };
        let (penalty, fit) = span::fitted(set, classes, choose);
        let mut head = Self {
            weights: Vec::with_capacity(classes * dim),
            shifts: Vec::new(),
            penalty,
            converged: fit.converged(),
        };
        // w (x − m) / s + b = (w / s) x + (b − Σ w m / s).
        for own in fit.weights.chunks_exact(dim + 1) {
            let scaled: Vec<f64> =
                own[..dim].iter().zip(&columns.inverse).map(|(w, inverse)| w * inverse).collect();
            let moved: f64 = scaled.iter().zip(&columns.mean).map(|(w, mean)| w * mean).sum();
            head.weights.extend(scaled.iter().map(|&w| w as f32));
            head.shifts.push((own[dim] - moved) as f32);
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use riesz::Matrix;
    use riesz::rng::normal;

    use super::super::probe::{probe, standardize};
    use super::*;

    #[test]
    fn the_layer_answers_as_the_probe_does() {
        let mut rng = Key::new(5).rng();
        let mut drawn = |n: usize| {
            let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
            // Far from 0 and of different scales.
            let rows = labels.iter().flat_map(|&label| {
                [(0, 3.0, 0.1), (1, -40.0, 7.0), (2, 900.0, 30.0)].map(|(own, center, scale)| {
                    center + scale * (f64::from(u8::from(own == label)) * 3.0 + normal(&mut rng))
                })
            });
            Labeled { rows: Matrix::new(rows.map(|x| x as f32).collect(), 3), labels }
        };
        let (train, test) = (drawn(3000), drawn(500));
        let head = Head::fit(&train, 3, Key::new(1)).unwrap();
        let (mut of_probe, mut asked) = (train.clone(), test.clone());
        standardize(&mut of_probe.rows, &mut asked.rows);
        let (expected, hits) = probe(&mut of_probe, &asked, Key::new(1)).unwrap();
        assert!(head.converged && expected.accuracy > 0.9);
        let own: Vec<bool> = (0..500)
            .map(|i| {
                let logit = |class: usize| -> f32 {
                    let products = head.weights[3 * class..].iter().zip(test.rows.row(i)).map(|(w, x)| w * x);
                    head.shifts[class] + products.sum::<f32>()
                };
                let winner = (0..3).max_by(|&a, &b| logit(a).total_cmp(&logit(b))).unwrap();
                winner == test.labels[i] as usize
            })
            .collect();
        let apart = own.iter().zip(&hits).filter(|(own, hit)| own != hit).count();
        assert!(apart <= 5, "{apart} of 500 answers differ");
    }

    #[test]
    fn one_class_is_refused() {
        let train = Labeled { rows: Matrix::new(vec![1.0, 2.0], 1), labels: vec![0, 0] };
        assert!(Head::fit(&train, 1, Key::new(1)).unwrap_err().to_string().contains("at least 2"));
    }
}
