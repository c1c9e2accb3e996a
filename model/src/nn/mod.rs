//! The blocks that models are built of.
pub(crate) mod batch;
pub(crate) mod cache;
pub(crate) mod convolution;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod projector;
pub(crate) mod rope;
mod rotary_time;
pub(crate) mod sinusoids;
pub(crate) mod source;
pub(crate) mod tensor_mut;
