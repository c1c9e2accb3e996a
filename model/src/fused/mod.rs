//! Operations that the CPU backend would run as long chains of small ones, each in one pass over memory.
//!
//! burn records every elementary operation on its own: a softmax or a SiLU under autodiff is three to ten single-threaded
//! passes, each with a buffer of its own that is kept for the backward pass. The functions here compute the same values
//! in one pass over chunks of a fixed size, so that the result is the same for any number of threads, and carry their
//! own backward pass, which works in the buffers that it no longer needs.
//!
//! Every function looks at its tensors: float32 on the CPU backend takes the fused path, anything else (a GPU, another
//! type, a device with gradient checkpointing) the plain graph of burn operations in the same file, which is also what
//! the tests compare with.

mod attention;
mod buffer;
mod cross_entropy;
mod gelu;
mod linear;
mod math;
mod norm;
mod raw;
mod recompute;
mod record;
mod rope;
mod swiglu;
#[cfg(test)]
mod test_support;

pub use attention::{AttentionMask, attention};
pub use cross_entropy::{cross_entropy_sum, label_nll};
pub use gelu::gelu;
pub use linear::linear;
pub(crate) use linear::{adapted_linear, quantised_linear};
pub use norm::{layer_norm, rms_norm};
pub(crate) use recompute::recompute;
pub use rope::rotate_half;
pub use swiglu::swiglu;
