//! Choosing the compute device by name, and saying what is missing where one cannot be used.
pub(crate) mod check;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
mod cuda;
pub(crate) mod kernel_cache;
pub(crate) mod malloc;
pub(crate) mod parallel;
pub(crate) mod run_settings;

pub use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::{DeviceType, Tensor};

use crate::error::ModelError;

/// A device that a recipe can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `cpu`, `cuda:N` or `wgpu`.
    pub name: String,
    /// What it is, for people.
    pub description: String,
}

/// The device named by `spec`: `cpu`, `cuda` (the first NVIDIA GPU), `cuda:N` or `wgpu` (the GPU that wgpu prefers). A
/// GPU is made to compute something, so that whatever it lacks is said here and not in the middle of a run.
///
/// # Errors
/// [`ModelError::Device`] if the name is unknown; [`ModelError::DeviceMissing`] if the program was built without
/// what the device needs, or the machine has no such GPU or lacks a part of CUDA.
pub fn device(spec: &str) -> Result<Device, ModelError> {
    let fail = |what: &str| ModelError::Device { device: spec.to_owned(), what: what.to_owned() };
    match spec.split_once(':') {
        None if spec == "cpu" => Ok(Device::flex()),
        None if spec == "cuda" => cuda(spec, 0),
        None if spec == "wgpu" => wgpu(),
        Some(("cuda", index)) => {
            let index: usize = index.parse().map_err(|_| fail("the GPU number is not a whole number"))?;
            cuda(spec, index)
        }
        _ => Err(fail("no such device: use `cpu`, `cuda`, `cuda:N` or `wgpu`")),
    }
}

/// The devices of this machine that this program can use, the CPU first. Opens none of them.
pub fn devices() -> Vec<DeviceInfo> {
    let threads = rayon::current_num_threads();
    let cpu = DeviceInfo { name: "cpu".to_owned(), description: format!("{threads} threads") };
    std::iter::once(cpu).chain(gpus()).chain(wgpu_device()).collect()
}

#[cfg(feature = "cuda")]
fn gpus() -> Vec<DeviceInfo> {
    let names = crate::device::cuda::gpu_names();
    (0..count_gpus())
        .map(|index| DeviceInfo {
            name: format!("cuda:{index}"),
            description: names.get(index).cloned().unwrap_or_else(|| "NVIDIA GPU".to_owned()),
        })
        .collect()
}

/// Asks the driver; without one the answer is 0.
#[cfg(feature = "cuda")]
fn count_gpus() -> usize {
    Device::enumerate(DeviceType::Cuda).into_vec().len()
}

#[cfg(feature = "cuda")]
fn cuda(spec: &str, index: usize) -> Result<Device, ModelError> {
    use crate::device::cuda::{CudaPlaces, Missing, missing_part};
    // Touching a CUDA device without a driver panics on a worker thread, so look before.
    let found = count_gpus();
    if found == 0 {
        return Err(crate::device::cuda::no_gpu(&CudaPlaces::of_this_machine()).on(spec));
    }
    if index >= found {
        let what = format!("this machine has {found} CUDA GPUs, numbered from 0");
        return Err(Missing { what, hint: "name one of them: `cuda:0` is the first".to_owned() }.on(spec));
    }
    if let Some(missing) = missing_part(&CudaPlaces::of_this_machine()) {
        return Err(missing.on(spec));
    }
    let broken = |what: String| {
        let hint = "look at nvidia-smi: the driver may be older than CUDA 13.0 (580), or the GPU full";
        Missing { what, hint: hint.to_owned() }.on(spec)
    };
    probed(Device::cuda(index)).map_err(broken)
}

/// The device, once it has compiled and run a kernel; else what is wrong.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn probed(device: Device) -> Result<Device, String> {
    device.sync().map_err(|error| format!("the GPU does not answer: {error}"))?;
    let sum: f32 = Tensor::<1>::ones([4], &device)
        .sum()
        .try_into_scalar()
        .map_err(|error| format!("the GPU cannot compute: {error}"))?;
    if sum == 4.0 { Ok(device) } else { Err(format!("the GPU says that four ones are {sum}")) }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, ModelError> {
    let missing = |what: String| ModelError::DeviceMissing {
        device: "wgpu".to_owned(),
        what,
        hint: "install the GPU's Vulkan driver (Metal and DirectX 12 come with their systems), or use `cpu`"
            .to_owned(),
    };
    // Touching the device without a driver panics on a worker thread, so look before.
    if wgpu_device().is_none() {
        return Err(missing("wgpu finds no GPU on this machine".to_owned()));
    }
    probed(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)).map_err(missing)
}

#[cfg(feature = "wgpu")]
fn wgpu_device() -> Option<DeviceInfo> {
    let found = Device::enumerate(DeviceType::Wgpu).into_vec().len();
    (found > 0).then(|| DeviceInfo { name: "wgpu".to_owned(), description: "GPU through wgpu".to_owned() })
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Vec<DeviceInfo> {
    Vec::new()
}

#[cfg(not(feature = "cuda"))]
fn cuda(spec: &str, _index: usize) -> Result<Device, ModelError> {
    Err(ModelError::DeviceMissing {
        device: spec.to_owned(),
        what: "this program was built without CUDA".to_owned(),
        hint: "build it with `cargo build --release --features cuda`, or use `cpu`".to_owned(),
    })
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, ModelError> {
    Err(ModelError::DeviceMissing {
        device: "wgpu".to_owned(),
        what: "this program was built without wgpu".to_owned(),
        hint: "build it with `cargo build --release --features wgpu`, or use `cpu`".to_owned(),
    })
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_device() -> Option<DeviceInfo> {
    None
}

#[cfg(test)]
mod tests {
    use idk_common::diagnose::{Diagnose, ExitKind};

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
        assert_eq!(devices()[0].name, "cpu");
    }

    #[test]
    #[cfg(not(feature = "wgpu"))]
    fn a_build_without_wgpu_says_how_to_build_with_it() {
        let error = device("wgpu").unwrap_err();
        assert_eq!(error.exit_kind(), ExitKind::MissingInput);
        assert!(error.hint().unwrap().contains("--features wgpu"));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_how_to_build_with_it() {
        let error = device("cuda:1").unwrap_err();
        assert_eq!(error.exit_kind(), ExitKind::MissingInput);
        assert!(error.hint().unwrap().contains("--features cuda"));
    }
}
