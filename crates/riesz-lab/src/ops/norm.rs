//! Normalization on slices, channels last, for the CPU: each pass goes over the tensor once, in blocks of rows whose
//! number depends on shapes alone; block sums are added in order, in f64, so threads do not change bits.

use rayon::prelude::*;

/// Rows (pixels) of a block.
const ROWS: usize = 512;

/// Mean and biased variance of each of `c` channels: `[2, c]`. Blocks are joined by Chan's formula in f64.
pub(super) fn moments(x: &[f32], c: usize) -> Vec<f32> {
    let blocks: Vec<(f64, Vec<f32>, Vec<f32>)> = x
        .par_chunks(ROWS * c)
        .map(|block| {
            let rows = block.len() / c;
            let mut mean = vec![0.0_f32; c];
            for row in block.chunks_exact(c) {
                for (sum, x) in mean.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            mean.iter_mut().for_each(|sum| *sum /= rows as f32);
            let mut squares = vec![0.0_f32; c];
            for row in block.chunks_exact(c) {
                for ((sum, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                    let centered = x - mean;
                    *sum += centered * centered;
                }
            }
            (rows as f64, mean, squares)
        })
        .collect();
    let (mut count, mut mean, mut squares) = (0.0, vec![0.0_f64; c], vec![0.0_f64; c]);
    for (rows, block_mean, block_squares) in blocks {
        let total = count + rows;
        for channel in 0..c {
            let apart = f64::from(block_mean[channel]) - mean[channel];
            mean[channel] += apart * rows / total;
            squares[channel] += f64::from(block_squares[channel]) + apart * apart * count * rows / total;
        }
        count = total;
    }
    mean.into_iter().chain(squares.into_iter().map(|sum| sum / count)).map(|x| x as f32).collect()
}

/// Scale and shift of each channel: γ/√(variance + ε) and β − mean · scale.
fn affine(moments: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64) -> (Vec<f32>, Vec<f32>) {
    let (mean, variance) = moments.split_at(gamma.len());
    let scale: Vec<f32> = variance
        .iter()
        .zip(gamma)
        .map(|(v, g)| (f64::from(*g) / (f64::from(*v) + epsilon).sqrt()) as f32)
        .collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    (scale, shift)
}

/// y = scale · x + shift (+ residual), then max(0, ·) if `relu`.
pub(super) fn forward(
    x: &[f32],
    moments: &[f32],
    gamma: &[f32],
    beta: &[f32],
    residual: Option<&[f32]>,
    epsilon: f64,
    relu: bool,
) -> Vec<f32> {
    let c = gamma.len();
    let (scale, shift) = affine(moments, gamma, beta, epsilon);
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(ROWS * c).enumerate().for_each(|(block, y)| {
        let start = block * ROWS * c;
        let x = &x[start..start + y.len()];
        match residual {
            None => {
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                        *y = (x * scale + shift).max(floor);
                    }
                }
            }
            Some(residual) => {
                let residual = &residual[start..start + x.len()];
                for ((y, x), r) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(residual.chunks_exact(c))
                {
                    for ((((y, x), r), scale), shift) in y.iter_mut().zip(x).zip(r).zip(&scale).zip(&shift) {
                        *y = (x * scale + shift + r).max(floor);
                    }
                }
            }
        }
    });
    y
}

/// Gradients with respect to x, γ, β, and the residual (`None` where there is no max: then it is dy itself).
pub(super) struct Gradients {
    pub(super) x: Vec<f32>,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) residual: Option<Vec<f32>>,
}

/// With g = dy where y > 0 (or dy), x̂ = (x − mean)/σ over N rows:
/// dβ = Σ g, dγ = Σ g x̂, dx = (γ/σ)(g − dβ/N − x̂ dγ/N).
pub(super) fn backward(
    x: &[f32],
    moments: &[f32],
    gamma: &[f32],
    y: Option<&[f32]>,
    dy: &[f32],
    epsilon: f64,
) -> Gradients {
    let c = gamma.len();
    let (mean, variance) = moments.split_at(c);
    let inverse: Vec<f32> =
        variance.iter().map(|v| (1.0 / (f64::from(*v) + epsilon).sqrt()) as f32).collect();
    let masked: Option<Vec<f32>> = y.map(|y| {
        let mut masked = vec![0.0; dy.len()];
        masked.par_chunks_mut(ROWS * c).enumerate().for_each(|(block, masked)| {
            let start = block * ROWS * c;
            let (y, dy) = (&y[start..start + masked.len()], &dy[start..start + masked.len()]);
            for ((masked, y), dy) in masked.iter_mut().zip(y).zip(dy) {
                *masked = if *y > 0.0 { *dy } else { 0.0 };
            }
        });
        masked
    });
    let g = masked.as_deref().unwrap_or(dy);
    let blocks: Vec<(Vec<f32>, Vec<f32>)> = g
        .par_chunks(ROWS * c)
        .zip(x.par_chunks(ROWS * c))
        .map(|(g, x)| {
            let (mut beta, mut gamma) = (vec![0.0_f32; c], vec![0.0_f32; c]);
            for (g, x) in g.chunks_exact(c).zip(x.chunks_exact(c)) {
                for ((((beta, gamma), g), x), mean) in beta.iter_mut().zip(&mut gamma).zip(g).zip(x).zip(mean)
                {
                    *beta += g;
                    *gamma += g * (x - mean);
                }
            }
            (beta, gamma)
        })
        .collect();
    let (mut d_beta, mut d_gamma) = (vec![0.0_f64; c], vec![0.0_f64; c]);
    for (beta, gamma) in blocks {
        for channel in 0..c {
            d_beta[channel] += f64::from(beta[channel]);
            d_gamma[channel] += f64::from(gamma[channel] * inverse[channel]);
        }
    }
    let rows = (x.len() / c) as f64;
    // dx = a g + b x + e, channel by channel.
    let a: Vec<f32> = gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let b: Vec<f32> =
        (0..c).map(|i| -(f64::from(a[i]) * f64::from(inverse[i]) * d_gamma[i] / rows) as f32).collect();
    let e: Vec<f32> = (0..c)
        .map(|i| (-f64::from(a[i]) * d_beta[i] / rows - f64::from(b[i]) * f64::from(mean[i])) as f32)
        .collect();
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(ROWS * c).enumerate().for_each(|(block, dx)| {
        let start = block * ROWS * c;
        let (x, g) = (&x[start..start + dx.len()], &g[start..start + dx.len()]);
        for ((dx, x), g) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(g.chunks_exact(c)) {
            for (((((dx, x), g), a), b), e) in dx.iter_mut().zip(x).zip(g).zip(&a).zip(&b).zip(&e) {
                *dx = a * g + b * x + e;
            }
        }
    });
    Gradients {
        x: dx,
        gamma: d_gamma.into_iter().map(|x| x as f32).collect(),
        beta: d_beta.into_iter().map(|x| x as f32).collect(),
        residual: masked,
    }
}
