//! Choosing the compute device by name.

#[cfg(feature = "cuda")]
use burn::tensor::DeviceType;

pub use burn::tensor::Device;

use crate::error::ModelError;

/// The device named by `spec`: `cpu`, `cuda` (the first GPU) or `cuda:N`.
///
/// # Errors
/// [`ModelError::Device`] if the name is unknown, the build has no such backend, or the machine has no such GPU.
pub fn device(spec: &str) -> Result<Device, ModelError> {
    let fail = |what: &str| ModelError::Device { device: spec.to_owned(), what: what.to_owned() };
    match spec.split_once(':') {
        None if spec == "cpu" => Ok(Device::flex()),
        None if spec == "cuda" => cuda(0).map_err(|what| fail(&what)),
        Some(("cuda", index)) => {
            let index: usize = index.parse().map_err(|_| fail("the GPU number is not a whole number"))?;
            cuda(index).map_err(|what| fail(&what))
        }
        _ => Err(fail("no such device: use `cpu`, `cuda` or `cuda:N`")),
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device, String> {
    // Touching a CUDA device without a driver panics on a worker thread, so look before.
    let found = Device::enumerate(DeviceType::Cuda).into_vec().len();
    if index >= found {
        return Err(format!("this machine has {found} CUDA GPUs"));
    }
    let device = Device::cuda(index);
    device.sync().map_err(|error| format!("the GPU does not answer: {error}"))?;
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device, String> {
    Err("this build has no CUDA support (cargo feature `cuda`)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_an_error_that_names_it() {
        for spec in ["tpu", "cuda:x", "", "cpu:0"] {
            let error = device(spec).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("`{spec}`")), "{spec}: {error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(device("cpu").unwrap(), Device::flex());
    }
}
