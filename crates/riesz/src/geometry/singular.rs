//! Singular values of a square matrix: made bidiagonal by reflections from both sides, then found by bisection, each to
//! about 10⁻¹⁵σ₁.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::triangle::{Reflection, add, dot};
use crate::elementary::widest;

/// The singular values of a `side × side` matrix, which is used up, largest first.
pub(super) fn singular_values(matrix: &mut [f64], side: usize) -> Vec<f64> {
    if side == 0 {
        return Vec::new();
    }
    let (mut diagonal, mut above) = (Vec::with_capacity(side), Vec::with_capacity(side));
    for k in 0..side {
        let (in_diagonal, beside) = step(&mut matrix[k * side..], side, k);
        diagonal.push(in_diagonal);
        above.extend(beside);
    }
    bisect(&diagonal, &above)
}

/// Rows that a thread takes at a time.
const ROWS: usize = 64;

/// Step k: column k below the diagonal to 0, and row k beyond the first place above the diagonal. `matrix` is the rows
/// from k on. What is left in the two places.
fn step(matrix: &mut [f64], side: usize, k: usize) -> (f64, Option<f64>) {
    let (head, below) = matrix.split_at_mut(side);
    let tail_square: f64 = below.iter().skip(k).step_by(side).map(|x| x * x).sum();
    let left = Reflection::new(head[k], tail_square);
    if k + 1 == side {
        return (left.length, None);
    }
    let line = &mut head[k + 1..];
    // u = row k + Σ vᵢ row i, in the order of blocks of rows.
    let mut along = line.to_vec();
    let sums = blocks(below, side, |rows| {
        let mut sum = vec![0.0; side - k - 1];
        widest(Gather { rows, side, k, scale: left.scale, sum: &mut sum });
        sum
    });
    sums.iter().flat_map(|sum| sum.iter().enumerate()).for_each(|(i, x)| along[i] += x);
    line.iter_mut().zip(&along).for_each(|(x, u)| *x -= left.factor * u);
    let right = Reflection::new(line[0], line[1..].iter().map(|x| x * x).sum());
    line[0] = 1.0;
    line[1..].iter_mut().for_each(|x| *x *= right.scale);
    let (line, along) = (&*line, &*along);
    let [left_factor, right_factor] = [left.factor * left.scale, right.factor];
    blocks(below, side, |rows| {
        widest(Apply { rows, side, k, factors: [left_factor, right_factor], along, line })
    });
    (left.length, Some(right.length))
}

/// What `work` makes of each block of rows, in order.
fn blocks<T: Send>(rows: &mut [f64], side: usize, work: impl Fn(&mut [f64]) -> T + Sync + Send) -> Vec<T> {
    if rows.len() > 4 * ROWS * side {
        rows.par_chunks_mut(ROWS * side).map(work).collect()
    } else {
        rows.chunks_mut(ROWS * side).map(work).collect()
    }
}

/// sum += Σ scale · xₖ · (the numbers of the row behind xₖ).
struct Gather<'a> {
    rows: &'a [f64],
    side: usize,
    k: usize,
    scale: f64,
    sum: &'a mut [f64],
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact(self.side) {
            add::<S>(self.sum, self.scale * row[self.k], &row[self.k + 1..]);
        }
    }
}

/// Both reflections of each row's numbers behind xₖ: − f₀ xₖ · along, then − f₁ ⟨·, line⟩ line.
struct Apply<'a> {
    rows: &'a mut [f64],
    side: usize,
    k: usize,
    factors: [f64; 2],
    along: &'a [f64],
    line: &'a [f64],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.side) {
            let share = -self.factors[0] * row[self.k];
            let row = &mut row[self.k + 1..];
            add::<S>(row, share, self.along);
            let onto = -self.factors[1] * dot(simd, row, self.line);
            add::<S>(row, onto, self.line);
        }
    }
}

/// Singular values of a bidiagonal matrix, largest first: ±σ are the eigenvalues of the tridiagonal matrix with zero
/// diagonal and the two lines interleaved beside it (Golub and Kahan), and a Sturm count says how many lie below any x.
fn bisect(diagonal: &[f64], above: &[f64]) -> Vec<f64> {
    let mut squares = Vec::with_capacity(2 * diagonal.len());
    let mut bound = 0.0_f64;
    let mut before = 0.0;
    for (k, d) in diagonal.iter().enumerate() {
        let beside = above.get(k).copied().unwrap_or(0.0);
        bound = bound.max(f64::abs(before) + d.abs()).max(d.abs() + beside.abs());
        squares.push(d * d);
        squares.push(beside * beside);
        before = beside;
    }
    squares.truncate(2 * diagonal.len() - 1);
    // A pivot may not be 0; one this small moves no count.
    let least = (bound * 1e-160).max(f64::MIN_POSITIVE);
    let below = |x: [f64; TOGETHER]| widest(Sturm { squares: &squares, least, x });
    let last = diagonal.len() - 1;
    let groups: Vec<[f64; TOGETHER]> = (0..diagonal.len().div_ceil(TOGETHER))
        .into_par_iter()
        .map(|group| {
            // The value with exactly `rank` others below it.
            let rank: [usize; TOGETHER] =
                std::array::from_fn(|i| diagonal.len() + last - (group * TOGETHER + i).min(last));
            let (mut low, mut high) = ([0.0; TOGETHER], [bound * (1.0 + 1e-15); TOGETHER]);
            for _ in 0..60 {
                let middle: [f64; TOGETHER] = std::array::from_fn(|i| 0.5 * (low[i] + high[i]));
                let counts = below(middle);
                for i in 0..TOGETHER {
                    if counts[i] > rank[i] {
                        high[i] = middle[i];
                    } else {
                        low[i] = middle[i];
                    }
                }
                if (0..TOGETHER).all(|i| high[i] - low[i] <= f64::EPSILON * 0.25 * bound) {
                    break;
                }
            }
            std::array::from_fn(|i| 0.5 * (low[i] + high[i]))
        })
        .collect();
    groups.into_iter().flatten().take(diagonal.len()).collect()
}

/// Values that are sought at once, one a lane.
const TOGETHER: usize = 16;

/// How many eigenvalues of the tridiagonal matrix lie below each x.
struct Sturm<'a> {
    squares: &'a [f64],
    least: f64,
    x: [f64; TOGETHER],
}

impl WithSimd for Sturm<'_> {
    type Output = [usize; TOGETHER];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { squares, least, x } = self;
        let mut pivot = x.map(|x| -x);
        let mut negative = pivot.map(|pivot| f64::from(u8::from(pivot < 0.0)));
        for &square in squares {
            for i in 0..TOGETHER {
                let safe = if pivot[i].abs() < least { -least } else { pivot[i] };
                pivot[i] = -x[i] - square / safe;
                negative[i] += if pivot[i] < 0.0 { 1.0 } else { 0.0 };
            }
        }
        negative.map(|count| count as usize)
    }
}
