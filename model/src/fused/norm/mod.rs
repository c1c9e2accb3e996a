//! Normalisation over the last dimension.

mod layer_norm;
mod rms_norm;

pub use self::layer_norm::layer_norm;
pub use self::rms_norm::rms_norm;
