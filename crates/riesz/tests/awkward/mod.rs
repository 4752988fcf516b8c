//! Inputs where losses are interesting: random rows in many dimensions have cosines near 0, and most wrong losses are
//! right there.

use riesz::rng::{Key, normal};
use riesz::sphere::sample;
use riesz::{Matrix, normalize};

/// How near different rows of a batch come. Where rows meet, some kernels are infinite and some have no slope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// No two rows are near each other.
    Apart,
    /// Some coincide, and their cosine is exactly 1 in whatever order it is summed.
    Exact,
    /// Some coincide, and rounding decides whether their cosine is 1.
    Rounded,
}

/// Two views of unit rows under a name.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) views: [Matrix<f64>; 2],
    pub(crate) meeting: Meeting,
}

/// Every awkward input that a loss must accept or refuse, the same in every engine.
pub(crate) fn awkward() -> Vec<Input> {
    let key = Key::new(2024).stream("awkward");
    let near = |rows: Matrix<f64>, number: u64| {
        let moved = moved(&rows, 0.3, key.at(number));
        [rows, moved]
    };
    let input = |name, views, meeting| Input { name, views, meeting };
    use Meeting::{Apart, Exact, Rounded};
    vec![
        input("random 12 × 5", near(sample(12, 5, key.at(0)), 1), Apart),
        input("unrelated views 9 × 3", [sample(9, 3, key.at(2)), sample(9, 3, key.at(3))], Apart),
        // More rows and columns than one tile of any engine.
        input("random 300 × 6", near(sample(300, 6, key.at(4)), 5), Apart),
        input("two clusters", near(clusters(10, 8, key.at(6)), 7), Apart),
        input("simplex", [simplex(6), simplex(6)], Rounded),
        input("simplex, views apart", near(simplex(6), 8), Apart),
        input("orthogonal", near(axes(5, false), 9), Apart),
        input("antipodes", near(axes(4, true), 10), Apart),
        input("antipodes, views equal", [axes(4, true), axes(4, true)], Exact),
        input("duplicates", [corners(6, 2), corners(6, 2)], Exact),
        input(
            "duplicates, rounded",
            [twice(sample(6, 4, key.at(17))), twice(sample(6, 4, key.at(18)))],
            Rounded,
        ),
        input("all rows equal", [corners(1, 7), corners(1, 7)], Exact),
        input("all rows equal, rounded", [equal(7, 4), equal(7, 4)], Rounded),
        input("one image", near(sample(1, 4, key.at(11)), 12), Apart),
        input("two images", near(sample(2, 3, key.at(13)), 14), Apart),
        input("one dimension", [line(&[1.0, -1.0, 1.0]), line(&[1.0, 1.0, -1.0])], Exact),
        input("one dimension, two images", [line(&[1.0, -1.0]), line(&[1.0, -1.0])], Exact),
        input("two dimensions", near(sample(11, 2, key.at(15)), 16), Apart),
    ]
}

/// `rows`, each moved by a normal step of this size and brought back to the sphere.
fn moved(rows: &Matrix<f64>, size: f64, key: Key) -> Matrix<f64> {
    let mut rng = key.rng();
    let mut rows = rows.clone();
    rows.as_mut_slice().iter_mut().for_each(|x| *x += size * normal(&mut rng));
    normalize(&mut rows).unwrap();
    rows
}

/// Half the rows near one point, half near its antipode: cosines of almost ±1.
fn clusters(n: usize, d: usize, key: Key) -> Matrix<f64> {
    let center = sample(1, d, key);
    let signs = (0..n).flat_map(|i| center.row(0).iter().map(move |x| if i % 2 == 0 { *x } else { -x }));
    moved(&Matrix::new(signs.collect(), d), 0.02, key.at(1))
}

/// n rows in ℝⁿ with all cosines −1/(n − 1).
fn simplex(n: usize) -> Matrix<f64> {
    let mean = 1.0 / n as f64;
    let mut rows = Matrix::new((0..n * n).map(|i| f64::from(u8::from(i / n == i % n)) - mean).collect(), n);
    normalize(&mut rows).unwrap();
    rows
}

/// The d axes, with their antipodes or without.
fn axes(d: usize, antipodes: bool) -> Matrix<f64> {
    let mut rows = Matrix::zeros(if antipodes { 2 * d } else { d }, d);
    for i in 0..rows.len() {
        rows.row_mut(i)[i % d] = if i < d { 1.0 } else { -1.0 };
    }
    rows
}

/// Corners of the cube (±½)⁴, whose products are exact, all of them as often as said.
fn corners(n: usize, times: usize) -> Matrix<f64> {
    let corner = |i: usize| (0..4).map(move |k| if i >> k & 1 == 0 { 0.5 } else { -0.5 });
    Matrix::new((0..n * times).flat_map(|i| corner(i % n)).collect(), 4)
}

fn twice(rows: Matrix<f64>) -> Matrix<f64> {
    Matrix::new(rows.as_slice().repeat(2), rows.dim())
}

fn equal(n: usize, d: usize) -> Matrix<f64> {
    Matrix::new(sample(1, d, Key::new(7)).as_slice().repeat(n), d)
}

fn line(signs: &[f64]) -> Matrix<f64> {
    Matrix::new(signs.to_vec(), 1)
}
