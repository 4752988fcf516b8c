//! Rows made of rows: by signs, orders, lengths, and sections of what there is.

use crate::Matrix;

/// All signs of the entries that are not 0.
pub(super) fn signed(row: &[f64]) -> Vec<f64> {
    let places: Vec<usize> = (0..row.len()).filter(|&k| row[k] != 0.0).collect();
    (0..1_usize << places.len())
        .flat_map(|signs| {
            let mut row = row.to_vec();
            for (bit, &place) in places.iter().enumerate() {
                if signs >> bit & 1 == 1 {
                    row[place] = -row[place];
                }
            }
            row
        })
        .collect()
}

/// All signs of the three cyclic orders of rows of ℝ³.
pub(super) fn cyclic(rows: &[[f64; 3]]) -> Vec<f64> {
    rows.iter()
        .flat_map(|&[x, y, z]| [[x, y, z], [y, z, x], [z, x, y]])
        .flat_map(|row| signed(&row))
        .collect()
}

/// ±e_k ± e_l for k < l.
pub(super) fn two_of(dim: usize) -> Vec<f64> {
    let mut rows = Vec::new();
    for k in 0..dim {
        for l in k + 1..dim {
            let mut row = vec![0.0; dim];
            (row[k], row[l]) = (1.0, 1.0);
            rows.extend(signed(&row));
        }
    }
    rows
}

/// Rows divided by their lengths.
pub(super) fn unit(rows: Vec<f64>, dim: usize) -> Matrix<f64> {
    let mut rows = Matrix::new(rows, dim);
    crate::normalize(&mut rows).expect("the configurations have no zero rows");
    rows
}

/// The points that have this cosine with the first one, seen from it: without their part along it.
pub(super) fn section(points: &Matrix<f64>, cosine: f64) -> Matrix<f64> {
    section_along(points, points.row(0), cosine)
}

/// The points that have this cosine with the unit vector `axis`, without their part along it: mirrored so that the axis
/// becomes the first one, which is then left out.
pub(super) fn section_along(points: &Matrix<f64>, axis: &[f64], cosine: f64) -> Matrix<f64> {
    let dim = points.dim();
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let mut mirror = axis.to_vec();
    mirror[0] += if axis[0] < 0.0 { -1.0 } else { 1.0 };
    let square = dot(&mirror, &mirror);
    let mut rows = Vec::new();
    for i in 0..points.len() {
        let row = points.row(i);
        if (dot(row, axis) - cosine).abs() < 1e-9 {
            let along = 2.0 * dot(row, &mirror) / square;
            rows.extend(row.iter().zip(&mirror).skip(1).map(|(x, m)| x - along * m));
        }
    }
    unit(rows, dim - 1)
}
