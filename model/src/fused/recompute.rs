//! Running a part of the model again in the backward pass, so that what it computes on the way need not be kept.
//!
//! The part runs once outside autodiff, and only its inputs are kept. The backward pass runs it a second time, with a
//! small graph of its own, and takes the gradients from there. On any backend; costs one more forward pass.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{
    Autodiff, Backend, DispatchDevice, DispatchKindConversion, DispatchTensor, Flex,
    GradientCheckpointingStrategy,
};
use burn::tensor::Tensor;

pub(super) type Graph<B> = Autodiff<B, NoCheckpointing>;

/// A part of the model: its inputs to its output. It must give the same output for the same inputs.
pub(crate) type Segment<const D: usize> = dyn Fn(&[Tensor<D>]) -> Tensor<D> + Send + Sync;

/// `part(parents, leaves)`, recorded as a single operation that keeps its inputs alone.
///
/// Gradients go to those of the inputs that are tracked: the `parents` may be results of other operations, the `leaves`
/// must be parameters. If a leaf is tracked a parent must be, so one of the leaves may have to stand among the parents.
///
/// # Shapes
/// - whatever `part` reads and gives; inputs and output have one rank
pub(crate) fn recompute<const D: usize, const N: usize>(
    parents: [Tensor<D>; N],
    leaves: Vec<Tensor<D>>,
    part: Arc<Segment<D>>,
) -> Tensor<D> {
    let strategy = parents.iter().find_map(Tensor::gradient_checkpointing_strategy);
    let plain = matches!(strategy, None | Some(GradientCheckpointingStrategy::Disabled));
    if !plain || !parents.iter().any(Tensor::is_tracked) {
        let inputs: Vec<Tensor<D>> = parents.into_iter().chain(leaves).collect();
        return part(&inputs);
    }
    match parents[0].device().inner().as_dispatch() {
        DispatchDevice::Flex(_) => record::<Flex, D, N>(parents, leaves, part),
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        DispatchDevice::Cube(_) => record::<burn::backend::Cube, D, N>(parents, leaves, part),
        // Without `inner` it would be the device of autodiff.
        DispatchDevice::Autodiff(_) => unreachable!("a plain device"),
    }
}

fn record<B: Backend, const D: usize, const N: usize>(
    parents: [Tensor<D>; N],
    leaves: Vec<Tensor<D>>,
    part: Arc<Segment<D>>,
) -> Tensor<D>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Graph<B>>,
{
    let plain: Vec<Tensor<D>> = parents.iter().chain(&leaves).map(|input| input.clone().inner()).collect();
    let out = primitive::<B, D>(part(&plain));
    let inputs: Vec<B::FloatTensorPrimitive> = plain.into_iter().map(primitive::<B, D>).collect();
    let node = |leaf: Tensor<D>| match leaf.try_into_primitive::<Graph<B>>() {
        Ok(leaf) => leaf.id(),
        Err(error) => unreachable!("a tracked tensor of this backend: {error:?}"),
    };
    let leaves = leaves.into_iter().map(|leaf| leaf.is_tracked().then(|| node(leaf))).collect();
    let guards = parents.map(|parent| match parent.autodiff().try_into_primitive::<Graph<B>>() {
        Ok(parent) => parent.into_parts().1,
        Err(error) => unreachable!("a tensor of this backend: {error:?}"),
    });
    let out = match Recompute.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(State { inputs, leaves, part }, out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Tensor::from_primitive::<Graph<B>>(out)
}

/// The tensor of one backend.
///
/// # Panics
/// If it is another's, or recorded.
pub(super) fn primitive<B: Backend, const D: usize>(tensor: Tensor<D>) -> B::FloatTensorPrimitive
where
    DispatchTensor: DispatchKindConversion<B>,
{
    match tensor.try_into_primitive::<B>() {
        Ok(primitive) => primitive,
        Err(error) => unreachable!("a plain tensor of this backend: {error:?}"),
    }
}

/// What is kept for the backward pass.
struct State<B: Backend, const D: usize> {
    inputs: Vec<B::FloatTensorPrimitive>,
    /// Nodes of the leaves that are tracked; they are the last of the inputs.
    leaves: Vec<Option<NodeId>>,
    part: Arc<Segment<D>>,
}

impl<B: Backend, const D: usize> Clone for State<B, D> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), leaves: self.leaves.clone(), part: Arc::clone(&self.part) }
    }
}

impl<B: Backend, const D: usize> fmt::Debug for State<B, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Recompute<const D: usize>;

impl<B: Backend, const D: usize, const N: usize> Backward<B, N> for Recompute<D>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = State<B, D>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = Tensor::<D>::from_primitive::<B>(grads.consume::<B>(&ops.node));
        let State { inputs, leaves, part } = ops.state;
        let parents = ops.parents.into_iter().map(|parent| parent.map(|node| node.id));
        let nodes: Vec<Option<NodeId>> = parents.chain(leaves).collect();
        let inputs: Vec<Tensor<D>> = inputs
            .into_iter()
            .zip(&nodes)
            .map(|(input, node)| {
                let input = Tensor::from_primitive::<B>(input);
                if node.is_some() { input.autodiff().require_grad() } else { input }
            })
            .collect();
        let out = part(&inputs);
        // The sum's own value does not matter; its gradient hands `d_out` to the part.
        let mut tape = (out * d_out).sum().backward();
        for (input, node) in inputs.into_iter().zip(nodes) {
            if let Some(node) = node {
                // An input without influence still owes its producer a gradient.
                let gradient = input.grad_remove(&mut tape).unwrap_or_else(|| input.inner().zeros_like());
                grads.register::<B>(node, primitive::<B, D>(gradient));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn leaf(values: [f32; 2]) -> Tensor<1> {
        Tensor::<1>::from_floats(values, &Device::flex()).autodiff().require_grad()
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn gradients_reach_parents_behind_other_operations_and_leaves_beside_them() {
        let (x, w) = (leaf([2.0, 3.0]), leaf([5.0, 7.0]));
        let constant = Tensor::<1>::from_floats([1.0, 10.0], &Device::flex());
        // y = (x^2 w + c) twice over: dy/dx = 2 x w, dy/dw = x^2.
        let part: Arc<Segment<1>> =
            Arc::new(|inputs| inputs[0].clone() * inputs[2].clone() + inputs[1].clone());
        let y = recompute([x.clone().square(), constant.clone()], vec![w.clone()], Arc::clone(&part));
        assert_eq!(values(y.clone().inner()), [21.0, 73.0]);
        // A part that follows another: its output is the parent.
        let y = recompute([y, constant], vec![w.clone()], part); // (x^2 w + c) w + c
        let mut tape = y.sum().backward();
        // d/dx = 2 x w^2; d/dw = 2 x^2 w + c
        assert_eq!(values(x.grad_remove(&mut tape).unwrap()), [100.0, 294.0]);
        assert_eq!(values(w.grad_remove(&mut tape).unwrap()), [41.0, 136.0]);
    }

    #[test]
    fn an_input_without_influence_gets_a_gradient_of_zero() {
        let (x, unused) = (leaf([1.0, 2.0]), leaf([3.0, 4.0]));
        let part: Arc<Segment<1>> = Arc::new(|inputs| inputs[0].clone().square());
        let y = recompute([x.clone(), unused.clone().square()], Vec::new(), part);
        let mut tape = y.sum().backward();
        assert_eq!(values(x.grad_remove(&mut tape).unwrap()), [2.0, 4.0]);
        assert_eq!(values(unused.grad_remove(&mut tape).unwrap()), [0.0, 0.0]);
    }

    #[test]
    fn nothing_is_recorded_for_inputs_that_are_not_tracked() {
        let x = Tensor::<1>::from_floats([1.0, 2.0], &Device::flex());
        let part: Arc<Segment<1>> = Arc::new(|inputs| inputs[0].clone().square());
        assert!(!recompute([x], Vec::new(), part).is_autodiff());
    }
}
