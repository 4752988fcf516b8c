//! The points of known configurations.

use super::Shape;
use super::lattices::{e8, equiangular, leech};
use crate::Matrix;

/// Unit rows, in as many dimensions as they span.
pub(super) fn of(shape: &Shape) -> Matrix<f64> {
    match shape {
        Shape::Polygon(n) => polygon(*n),
        Shape::Simplices(sizes) => orthogonal(sizes),
        Shape::Cube(dim) => {
            let sign = |corner: usize, k: usize| if corner >> k & 1 == 1 { 1.0 } else { -1.0 };
            unit((0..1 << dim).flat_map(|corner| (0..*dim).map(move |k| sign(corner, k))).collect(), *dim)
        }
        Shape::PentagonalBipyramid => {
            let ring = polygon(5);
            let mut rows: Vec<f64> = (0..5).flat_map(|i| [ring.row(i)[0], ring.row(i)[1], 0.0]).collect();
            rows.extend([0.0, 0.0, 1.0, 0.0, 0.0, -1.0]);
            Matrix::new(rows, 3)
        }
        Shape::Icosahedron => unit(cyclic(&[[0.0, 1.0, golden()]]), 3),
        Shape::Dodecahedron => {
            let mut rows = signed(&[1.0, 1.0, 1.0]);
            rows.extend(cyclic(&[[0.0, 1.0 / golden(), golden()]]));
            unit(rows, 3)
        }
        Shape::Cell24 => unit(two_of(4), 4),
        Shape::Cell600 => cell_600(),
        Shape::E8 => e8(),
        Shape::Hesse => section(&e8(), 0.5),
        Shape::Schlaefli => section(&of(&Shape::Hesse), 1.0 / 3.0),
        Shape::HalfCube => section(&of(&Shape::Schlaefli), 0.25),
        Shape::Leech => leech(),
        Shape::Leech4600 => section(&leech(), 0.5),
        Shape::Isotropic => section(&of(&Shape::Leech4600), 1.0 / 3.0),
        Shape::Equiangular => equiangular(),
        Shape::McLaughlin => section(&equiangular(), 0.2),
    }
}

fn golden() -> f64 {
    0.5 * (1.0 + 5.0_f64.sqrt())
}

fn polygon(n: usize) -> Matrix<f64> {
    let angle = |i: usize| std::f64::consts::TAU * i as f64 / n as f64;
    Matrix::new((0..n).flat_map(|i| [angle(i).cos(), angle(i).sin()]).collect(), 2)
}

/// Simplices by Helmert's basis of the vectors that sum to 0: axis k is (1, …, 1, −k, 0, …)/√(k (k + 1)), with k ones.
fn orthogonal(sizes: &[usize]) -> Matrix<f64> {
    let (points, dim) = (sizes.iter().sum(), sizes.iter().sum::<usize>() - sizes.len());
    let mut rows = Matrix::zeros(points, dim);
    let (mut row, mut column) = (0, 0);
    for &size in sizes {
        let stretch = (size as f64 / (size - 1) as f64).sqrt();
        for i in 0..size {
            for k in 1..size {
                let length = ((k * (k + 1)) as f64).sqrt();
                let entry = if i < k {
                    1.0
                } else if i == k {
                    -(k as f64)
                } else {
                    0.0
                };
                rows.row_mut(row + i)[column + k - 1] = stretch * entry / length;
            }
        }
        (row, column) = (row + size, column + size - 1);
    }
    rows
}

/// 8 axes, 16 corners, and 96 even permutations of (±φ, ±1, ±1/φ, 0)/2.
fn cell_600() -> Matrix<f64> {
    let mut rows: Vec<f64> = (0..4).flat_map(|k| (0..4).map(move |l| f64::from(u8::from(k == l)))).collect();
    rows.extend(rows.clone().iter().map(|x| -x));
    rows.extend(signed(&[0.5; 4]));
    let all = [0, 1, 2, 3];
    for &a in &all {
        for &b in all.iter().filter(|&&b| b != a) {
            for &c in all.iter().filter(|&&c| c != a && c != b) {
                let order = [a, b, c, 6 - a - b - c];
                let inversions =
                    (0..4).map(|i| (i + 1..4).filter(|&j| order[i] > order[j]).count()).sum::<usize>();
                if inversions.is_multiple_of(2) {
                    let mut row = [0.0; 4];
                    row[a] = 0.5 * golden();
                    row[b] = 0.5;
                    row[c] = 0.5 / golden();
                    rows.extend(signed(&row));
                }
            }
        }
    }
    unit(rows, 4)
}

/// All signs of the entries that are not 0.
fn signed(row: &[f64]) -> Vec<f64> {
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
fn cyclic(rows: &[[f64; 3]]) -> Vec<f64> {
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
