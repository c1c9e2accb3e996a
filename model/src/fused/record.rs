//! Between burn's tensors and the CPU backend's buffers: which tensors can be fused, and how an operation enters the
//! autodiff graph.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, DispatchDevice, Flex, GradientCheckpointingStrategy};
use burn::tensor::{DType, Tensor};

type Recorded = Autodiff<Flex, NoCheckpointing>;

/// Whether the tensor is float32 on the CPU backend, with no checkpointing of its graph.
pub(super) fn fusable<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32
        && matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
        && matches!(
            tensor.gradient_checkpointing_strategy(),
            None | Some(GradientCheckpointingStrategy::Disabled)
        )
}

/// `f` of a tensor in float32, in the tensor's own type again.
pub(super) fn in_float32<const D: usize>(x: Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    if dtype == DType::F32 { f(x) } else { f(x.cast(DType::F32)).cast(dtype) }
}

/// The buffer of a tensor, and its node if the operation is going to be recorded.
///
/// # Panics
/// If the tensor is not [`fusable`].
pub(super) fn operand<const D: usize>(tensor: Tensor<D>, recorded: bool) -> (FlexTensor, Option<NodeGuard>) {
    if recorded {
        match tensor.autodiff().try_into_primitive::<Recorded>() {
            Ok(tensor) => {
                let (data, node) = tensor.into_parts();
                (data, Some(node))
            }
            Err(error) => unreachable!("the caller has checked that the tensor is fusable: {error:?}"),
        }
    } else {
        match tensor.inner().try_into_primitive::<Flex>() {
            Ok(data) => (data, None),
            Err(error) => unreachable!("the caller has checked that the tensor is fusable: {error:?}"),
        }
    }
}

/// The result of an operation as a tensor; recorded in the graph if its operands came with nodes.
pub(super) fn record<const D: usize, const N: usize, B: Backward<Flex, N>>(
    operation: B,
    nodes: [Option<NodeGuard>; N],
    out: FlexTensor,
    state: impl FnOnce() -> B::State,
) -> Tensor<D> {
    let nodes: Option<Vec<NodeGuard>> = nodes.into_iter().collect();
    let Some(nodes) = nodes.and_then(|nodes| <[NodeGuard; N]>::try_from(nodes).ok()) else {
        return Tensor::from_primitive::<Flex>(out);
    };
    let out = match operation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state(), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Tensor::from_primitive::<Recorded>(out)
}
