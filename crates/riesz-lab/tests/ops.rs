//! The hand-written operations against the same made of Burn's own, values and gradients; and the same bits for any
//! number of threads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};
use riesz_lab::ops::{batch_norm_eval, batch_norm_train, conv2d, mean_pool};

/// Numbers that repeat nowhere, in [−1, 1].
fn wave(shape: &[usize], phase: f32) -> TensorData {
    let count = shape.iter().product::<usize>();
    TensorData::new(
        (0..count).map(|i| ((i as f32) * 0.731 + phase).sin()).collect::<Vec<f32>>(),
        shape.to_vec(),
    )
}

fn leaf<const D: usize>(shape: [usize; D], phase: f32) -> Tensor<D> {
    Tensor::from_data(wave(&shape, phase), &Device::flex().autodiff()).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Largest difference relative to the largest value.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-6_f32, |top, x| top.max(x.abs()));
    got.iter().zip(want).fold(0.0_f32, |top, (a, b)| top.max((a - b).abs())) / scale
}

/// Output and gradients of `f` on its inputs, with a gradient that differs in every place.
fn run(inputs: &[Tensor<4>], f: impl Fn(&[Tensor<4>]) -> Tensor<4>) -> Vec<Vec<f32>> {
    let y = f(inputs);
    let dy = Tensor::from_data(wave(&y.dims(), 0.3), &y.device());
    let gradients = (y.clone() * dy).sum().backward();
    let mut all = vec![values(y.inner())];
    all.extend(inputs.iter().map(|input| values(input.grad(&gradients).unwrap())));
    all
}

fn plain_conv(x: Tensor<4>, w: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let options = ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1);
    module::conv2d(x.permute([0, 3, 1, 2]), w, None, options).permute([0, 2, 3, 1])
}

#[test]
fn convolution_agrees_with_burns() {
    for (shape, out, kernel, stride, padding) in [
        ([3, 7, 7, 16], 8, 3, 1, 1),
        ([2, 14, 14, 3], 5, 3, 2, 1),
        ([1, 5, 3, 1], 4, 3, 1, 1),
        ([5, 8, 8, 4], 6, 1, 1, 0),
        ([2, 9, 9, 4], 6, 1, 2, 0),
        ([2, 17, 17, 3], 8, 7, 2, 3),
        ([40, 7, 7, 8], 8, 3, 2, 1),
        ([1, 3, 3, 2], 2, 3, 1, 0),
    ] {
        let inputs = [leaf(shape, 0.1), leaf([out, shape[3], kernel, kernel], 1.7)];
        let got = run(&inputs, |i| conv2d(i[0].clone(), i[1].clone(), stride, padding));
        let want = run(&inputs, |i| plain_conv(i[0].clone(), i[1].clone(), stride, padding));
        for (what, (got, want)) in ["y", "dx", "dw"].iter().zip(got.iter().zip(&want)) {
            let error = difference(got, want);
            assert!(error < 1e-5, "{what} of {shape:?} → {out}, {kernel}/{stride}/{padding}: {error:e}");
        }
    }
}

/// Batch norm written out, differentiated by Burn.
fn plain_norm(
    x: Tensor<4>,
    gamma: Tensor<4>,
    beta: Tensor<4>,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let mean = |x: Tensor<4>| x.mean_dim(0).mean_dim(1).mean_dim(2);
    let centered = x.clone() - mean(x);
    let variance = mean(centered.clone() * centered.clone());
    let mut y = centered / (variance + 1e-5).sqrt() * gamma + beta;
    if let Some(residual) = residual {
        y = y + residual;
    }
    if relu { burn::tensor::activation::relu(y) } else { y }
}

#[test]
fn normalization_agrees_with_burns() {
    for shape in [[3, 7, 7, 16], [2, 5, 3, 1], [64, 5, 5, 3], [1, 4, 1, 4]] {
        for relu in [false, true] {
            for with_residual in [false, true] {
                let c = shape[3];
                let mut inputs =
                    vec![leaf(shape, 0.1) * 3.0 + 0.7, leaf([1, 1, 1, c], 0.5), leaf([1, 1, 1, c], 2.5)];
                if with_residual {
                    inputs.push(leaf(shape, 4.0));
                }
                let inputs: Vec<Tensor<4>> =
                    inputs.into_iter().map(|x| Tensor::from_inner(x.inner()).require_grad()).collect();
                let got = run(&inputs, |i| {
                    let (gamma, beta) = (i[1].clone().reshape([c]), i[2].clone().reshape([c]));
                    batch_norm_train(i[0].clone(), gamma, beta, 1e-5, i.get(3).cloned(), relu).0
                });
                let want = run(&inputs, |i| {
                    plain_norm(i[0].clone(), i[1].clone(), i[2].clone(), i.get(3).cloned(), relu)
                });
                for (what, (got, want)) in ["y", "dx", "dγ", "dβ", "dr"].iter().zip(got.iter().zip(&want)) {
                    let error = difference(got, want);
                    assert!(
                        error < 1e-4,
                        "{what} of {shape:?}, relu {relu}, residual {with_residual}: {error:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn moments_are_those_of_the_batch_and_evaluation_uses_those_given() {
    let x = leaf([4, 6, 6, 3], 0.2) * 2.0 + 5.0;
    let ones = || Tensor::<1>::ones([3], &Device::flex().autodiff());
    let (y, mean, variance) = batch_norm_train(x.clone(), ones(), ones() * 0.0, 1e-5, None, false);
    let rows: Vec<f32> = values(x.clone().inner());
    for (channel, (m, v)) in values(mean.clone()).into_iter().zip(values(variance.clone())).enumerate() {
        let column: Vec<f64> = rows.iter().skip(channel).step_by(3).map(|x| f64::from(*x)).collect();
        let want_mean = column.iter().sum::<f64>() / column.len() as f64;
        let want = column.iter().map(|x| (x - want_mean).powi(2)).sum::<f64>() / column.len() as f64;
        assert!((f64::from(m) - want_mean).abs() < 1e-5 && (f64::from(v) - want).abs() < 1e-5 * want);
    }
    let flat = |x: Tensor<1>| x.inner();
    let inner =
        batch_norm_eval(x.inner(), flat(ones()), flat(ones() * 0.0), mean, variance, 1e-5, None, false);
    assert!(difference(&values(inner), &values(y.inner())) < 1e-6);
}

#[test]
fn mean_pool_is_the_mean() {
    let x = leaf([2, 3, 5, 4], 0.9);
    let want = values(x.clone().inner().mean_dim(1).mean_dim(2));
    assert!(difference(&values(mean_pool(x).inner()), &want) < 1e-5);
}

#[test]
fn threads_do_not_change_bits() {
    let inputs = [leaf([70, 14, 14, 6], 0.1), leaf([9, 6, 3, 3], 1.7)];
    let bits = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut all = run(&inputs, |i| conv2d(i[0].clone(), i[1].clone(), 1, 1));
            let ones = Tensor::<1>::ones([6], &Device::flex().autodiff());
            let norm = |i: &[Tensor<4>]| {
                batch_norm_train(i[0].clone(), ones.clone(), ones.clone(), 1e-5, None, true).0
            };
            all.extend(run(&inputs[..1], norm));
            all.concat().into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        })
    };
    let one = bits(1);
    for threads in [2, 3, 8] {
        assert!(bits(threads) == one, "{threads} threads give other bits than one");
    }
}
