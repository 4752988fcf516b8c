//! Gradients of the operations, for any device below autodiff.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::{ChannelsLast, ChannelsLastGradients, Normalized};

#[derive(Debug)]
struct Convolve;

/// What a convolution's gradient needs: the inputs and the geometry.
#[derive(Clone, Debug)]
struct Convolved<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
}

impl<B: Backend + ChannelsLastGradients> Backward<B, 2> for Convolve {
    type State = Convolved<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Convolved { x, weight, stride, padding } = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let [x_node, weight_node] = ops.parents;
        let (x_shape, weight_shape) = (dims(&x), dims(&weight));
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::convolve_dw(x, weight_shape, dy.clone(), stride, padding));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::convolve_dx(x_shape, weight, dy, stride, padding));
        }
    }
}

fn dims<T: TensorMetadata>(tensor: &T) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

#[derive(Debug)]
struct Normalize;

/// What a normalization's gradient needs.
#[derive(Clone, Debug)]
struct Kept<B: Backend> {
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gamma: FloatTensor<B>,
    y: Option<FloatTensor<B>>,
    epsilon: f64,
}

/// Parents: x, γ, β, and the residual if there is one.
impl<B: Backend + ChannelsLastGradients, const N: usize> Backward<B, N> for Normalize {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Kept { x, moments, gamma, y, epsilon } = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let gradients = B::normalize_gradients(Normalized { x, moments, gamma, y, epsilon }, dy);
        let all = [gradients.x, gradients.gamma, gradients.beta, gradients.residual];
        for (node, gradient) in ops.parents.into_iter().zip(all) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + ChannelsLast + ChannelsLastGradients, C: CheckpointStrategy> ChannelsLast
    for Autodiff<B, C>
{
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let state =
            Convolved::<B> { x: x.primitive().clone(), weight: weight.primitive().clone(), stride, padding };
        let y = B::convolve(state.x.clone(), state.weight.clone(), stride, padding);
        match Backward::<B, 2>::prepare::<C>(Convolve, [x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    /// Statistics are not differentiated through here: [`ChannelsLast::normalize`]'s gradient accounts for them.
    fn moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        <FloatTensor<Self>>::new(B::moments(x.into_primitive()))
    }

    fn normalize(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, moments, gamma, beta] = [x, moments, gamma, beta].map(|tensor| tensor.into_primitive());
        let y = B::normalize(x.clone(), moments.clone(), gamma.clone(), beta, epsilon, relu);
        let kept = Kept { x, moments, gamma, y: relu.then(|| y.clone()), epsilon };
        match Backward::<B, 3>::prepare::<C>(Normalize, nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(kept, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn normalize_add(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node(), residual.node()];
        let [x, moments, gamma, beta, residual] =
            [x, moments, gamma, beta, residual].map(|tensor| tensor.into_primitive());
        let y = B::normalize_add(x.clone(), moments.clone(), gamma.clone(), beta, residual, epsilon, relu);
        let kept = Kept { x, moments, gamma, y: relu.then(|| y.clone()), epsilon };
        match Backward::<B, 4>::prepare::<C>(Normalize, nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(kept, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
