//! What is known of a family of models: its configuration, and the names and shapes of its tensors.
pub(crate) mod config;
mod linear_shapes;
pub(crate) mod section;
pub(crate) mod shapes;
