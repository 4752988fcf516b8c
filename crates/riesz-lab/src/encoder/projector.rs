//! The projector: Linear, BatchNorm, ReLU, Linear, BatchNorm without learned shift.

use burn::tensor::Tensor;

use super::parameters::{Declare, Pass};

pub(super) fn declare(declare: &mut Declare, dim: usize, hidden: usize, output: usize) {
    declare.linear("projector.0", hidden, dim, false);
    declare.batch_norm("projector.1", hidden);
    declare.linear("projector.3", output, hidden, false);
    declare.batch_norm_without_shift("projector.4", output);
}

pub(super) fn forward(pass: &mut Pass<'_>, h: Tensor<2>) -> Tensor<2> {
    let x = pass.linear("projector.0", h);
    let x = batch_norm(pass, "projector.1", x, true);
    let x = pass.linear("projector.3", x);
    batch_norm(pass, "projector.4", x, false)
}

/// Batch norm of rows: of images of one pixel.
fn batch_norm(pass: &mut Pass<'_>, name: &str, x: Tensor<2>, relu: bool) -> Tensor<2> {
    let [n, c] = x.dims();
    pass.batch_norm(name, x.reshape([n, 1, 1, c]), None, relu).reshape([n, c])
}
