//! Cross-entropy of softmaxes: −ln( e^{x_y} / Σ_c e^{x_c} ) of a row of logits x with the label y, and its gradient, the softmax less
//! 1 at the label.

use riesz::Matrix;

/// The mean over the rows, and its gradient with respect to the logits, `n × C`.
///
/// # Panics
/// If rows and labels differ in number, or a label is not below C.
pub fn cross_entropy(logits: &Matrix<f32>, labels: &[u32]) -> (f64, Matrix<f32>) {
    assert_eq!(logits.len(), labels.len(), "a label for each row");
    let (n, classes) = (labels.len() as f64, logits.dim());
    let mut gradient = Matrix::zeros(logits.len(), classes);
    let rows = logits.as_slice().chunks_exact(classes).zip(gradient.as_mut_slice().chunks_exact_mut(classes));
    let losses = rows.zip(labels).map(|((logits, gradient), &label)| {
        of_row(logits, label as usize, |class, residual| gradient[class] = (residual / n) as f32)
    });
    let total: f64 = losses.sum();
    (total / n, gradient)
}

/// The loss of one row; `give` hears of each class its share less 1 at the label.
pub(super) fn of_row(logits: &[f32], label: usize, mut give: impl FnMut(usize, f64)) -> f64 {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(f64::from(x)));
    let total: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    for (class, &x) in logits.iter().enumerate() {
        let hit = if class == label { 1.0 } else { 0.0 };
        give(class, (f64::from(x) - most).exp() / total - hit);
    }
    most + total.ln() - f64::from(logits[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_differences() {
        // Equal logits: ln C; a sure and right one: 0; a sure and wrong one: its lead.
        let of = |row: &[f32], label| cross_entropy(&Matrix::new(row.to_vec(), row.len()), &[label]).0;
        assert!((of(&[0.3; 5], 2) - 5_f64.ln()).abs() < 1e-12);
        assert!(of(&[1000.0, 0.0], 0).abs() < 1e-12 && (of(&[1000.0, 0.0], 1) - 1000.0).abs() < 1e-9);
        let rows = vec![0.1_f32, -0.4, 0.7, 2.0, 0.0, -1.0];
        let labels = [2, 0];
        let (_, gradient) = cross_entropy(&Matrix::new(rows.clone(), 3), &labels);
        for i in 0..rows.len() {
            let at = |step: f32| {
                let mut moved = rows.clone();
                moved[i] += step;
                cross_entropy(&Matrix::new(moved, 3), &labels).0
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient.as_slice()[i])).abs() < 1e-4, "{i}");
        }
    }
}
