//! The points of known configurations.

use super::Shape;
use super::lattices::{e8, equiangular, leech};
use super::made::{cyclic, section, signed, two_of, unit};
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
