//! What a machine needs besides this program to compute on an NVIDIA GPU, looked for without loading anything.
//!
//! The driver (`libcuda`) runs kernels. They are written as CUDA C++ and compiled at run time by NVRTC (`libnvrtc`), which
//! reads CUDA's headers. A library that is missing would be noticed only in a worker thread, as a panic.

use std::path::{Path, PathBuf};

use crate::error::ModelError;

/// Oldest CUDA whose NVRTC is asked for, and the one that the program is built against.
const NVRTC_NAMES: [&str; 3] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"];
const DRIVER_NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

/// Headers that the kernels include.
const HEADERS: [&str; 3] = ["cuda_fp16.h", "cuda_bf16.h", "mma.h"];

/// Folders that the loader searches besides its list.
const SYSTEM_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
];

/// Where CUDA's headers are looked for if `CUDA_PATH` is not set; the backend looks in the same places.
const CUDA_FOLDERS: [&str; 2] = ["/usr/local/cuda", "/opt/cuda"];

/// What is missing, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Missing {
    fn new(what: impl Into<String>, hint: &str) -> Self {
        Self { what: what.into(), hint: hint.to_owned() }
    }

    /// As the error of a device that was asked for.
    pub(crate) fn on(self, device: &str) -> ModelError {
        ModelError::DeviceMissing { device: device.to_owned(), what: self.what, hint: self.hint }
    }
}

/// Where libraries and headers may lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct CudaPlaces {
    /// Folders of shared libraries.
    folders: Vec<PathBuf>,
    /// The loader's list of libraries, as it stands on disk.
    loader_cache: Vec<u8>,
    /// The CUDA folder, whose `include/` holds the headers.
    cuda: Option<PathBuf>,
}

impl CudaPlaces {
    /// From the environment and the system's folders.
    pub(crate) fn of_this_machine() -> Self {
        let own = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let folders = std::env::split_paths(&own).chain(SYSTEM_FOLDERS.map(PathBuf::from)).collect();
        let cuda = std::env::var_os("CUDA_PATH")
            .map(PathBuf::from)
            .or_else(|| CUDA_FOLDERS.map(PathBuf::from).into_iter().find(|path| path.exists()));
        let cuda = cuda.or_else(|| Path::new("/usr/bin/nvcc").exists().then(|| PathBuf::from("/usr")));
        Self { folders, loader_cache: std::fs::read("/etc/ld.so.cache").unwrap_or_default(), cuda }
    }

    fn has_library(&self, names: &[&str]) -> bool {
        names.iter().any(|name| {
            // The list holds whole paths that end in a zero.
            let listed = [b"/", name.as_bytes(), b"\0"].concat();
            self.loader_cache.windows(listed.len()).any(|window| window == listed)
                || self.folders.iter().any(|folder| folder.join(name).exists())
        })
    }
}

/// Why the driver shows no GPU.
pub(crate) fn no_gpu(places: &CudaPlaces) -> Missing {
    if places.has_library(&DRIVER_NAMES) {
        Missing::new(
            "the NVIDIA driver is there but shows no GPU",
            "`nvidia-smi` must list the GPU, and CUDA_VISIBLE_DEVICES must not hide it; a container is started with `--gpus all`",
        )
    } else {
        Missing::new(
            "no NVIDIA driver: libcuda.so.1 was not found",
            "install the NVIDIA driver (580 or newer); a container is started with `--gpus all`; `cpu` works everywhere",
        )
    }
}

/// The part of CUDA that is missing on a machine with a GPU.
pub(crate) fn missing_part(places: &CudaPlaces) -> Option<Missing> {
    if !places.has_library(&NVRTC_NAMES) {
        return Some(Missing::new(
            "the kernel compiler NVRTC was not found: no libnvrtc.so, libnvrtc.so.13 or libnvrtc.so.12",
            "install the CUDA toolkit 13, or `pip install nvidia-cuda-nvrtc`, and put its lib folder on LD_LIBRARY_PATH",
        ));
    }
    let toolkit = "install the CUDA toolkit 13, or `pip install nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-crt`, and set \
                   CUDA_PATH to the folder that holds include/";
    let Some(cuda) = &places.cuda else {
        let tried = CUDA_FOLDERS.join(" and ");
        return Some(Missing::new(
            format!("the CUDA headers were not found: CUDA_PATH is not set, {tried} are not there"),
            toolkit,
        ));
    };
    let include = cuda.join("include");
    HEADERS.iter().find(|header| !include.join(header).exists()).map(|header| {
        Missing::new(
            format!("the CUDA headers were not found: {} is not there", include.join(header).display()),
            toolkit,
        )
    })
}

/// The version of NVRTC, such as `13.0`, from the name of the library that comes with it.
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
pub(crate) fn nvrtc_version(places: &CudaPlaces) -> Option<String> {
    const BUILTINS: &str = "libnvrtc-builtins.so.";
    let of_name = |name: &str| {
        let version = name.strip_prefix(BUILTINS)?;
        (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
            .then(|| version.to_owned())
    };
    let with_nvrtc =
        places.folders.iter().find(|folder| NVRTC_NAMES.iter().any(|name| folder.join(name).exists()));
    let Some(folder) = with_nvrtc else {
        let listed =
            places.loader_cache.split(|&byte| byte == 0).filter_map(|path| std::str::from_utf8(path).ok());
        return listed.filter_map(|path| of_name(path.rsplit('/').next()?)).max();
    };
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| of_name(name.to_str()?)).max()
}

/// The GPUs' names, as the driver lists them below `/proc`.
#[cfg(feature = "cuda")]
pub(crate) fn gpu_names() -> Vec<String> {
    let Ok(folders) = std::fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let mut files: Vec<PathBuf> = folders.flatten().map(|folder| folder.path().join("information")).collect();
    files.sort();
    let model = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("Model:"));
        line.map(|name| name.trim().to_owned())
    };
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok().and_then(model)).collect()
}

#[cfg(test)]
mod tests {
    use idk_common::diagnose::{Diagnose, ExitKind};

    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        idk_common::fs::write_atomic(path, b"").unwrap();
    }

    #[test]
    fn what_is_missing_is_named_one_after_the_other_until_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib");
        let mut places = CudaPlaces { folders: vec![lib.clone()], ..CudaPlaces::default() };
        assert!(no_gpu(&places).what.contains("libcuda.so.1"));
        touch(&lib.join("libcuda.so.1"));
        assert!(no_gpu(&places).what.contains("shows no GPU"));

        assert!(missing_part(&places).unwrap().what.contains("libnvrtc"));
        touch(&lib.join("libnvrtc.so.13"));
        assert!(missing_part(&places).unwrap().what.contains("CUDA_PATH is not set"));
        places.cuda = Some(dir.path().to_owned());
        for header in HEADERS {
            assert!(missing_part(&places).unwrap().what.contains(header));
            touch(&dir.path().join("include").join(header));
        }
        assert_eq!(missing_part(&places), None);
    }

    #[test]
    fn the_kernel_compilers_version_is_that_of_the_library_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let places = CudaPlaces {
            folders: vec![dir.path().join("none"), dir.path().to_owned()],
            ..CudaPlaces::default()
        };
        assert_eq!(nvrtc_version(&places), None);
        for name in ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13.0"] {
            touch(&dir.path().join(name));
        }
        assert_eq!(nvrtc_version(&places).as_deref(), Some("13.0"));
        let listed = b"x\0/usr/lib/libnvrtc-builtins.so.12.8\0libnvrtc.so.12\0".to_vec();
        let places = CudaPlaces { loader_cache: listed, ..CudaPlaces::default() };
        assert_eq!(nvrtc_version(&places).as_deref(), Some("12.8"));
    }

    #[test]
    fn a_machine_that_shows_no_gpu_is_a_missing_input_with_a_way_out() {
        let error = no_gpu(&CudaPlaces::of_this_machine()).on("cuda:1");
        assert_eq!(error.exit_kind(), ExitKind::MissingInput);
        assert!(error.to_string().contains("`cuda:1`") && error.hint().unwrap().contains("--gpus all"));
    }

    #[test]
    fn a_library_may_also_be_on_the_loaders_list() {
        let places = |path: &str| CudaPlaces {
            loader_cache: format!("x\0{path}\0y").into_bytes(),
            ..CudaPlaces::default()
        };
        assert!(places("/opt/nvidia/libnvrtc.so.13").has_library(&NVRTC_NAMES));
        assert!(!places("/opt/nvidia/libnvrtc.so.13.0.88").has_library(&NVRTC_NAMES));
        assert!(!places("/opt/nvidia/libnvrtc-builtins.so.13").has_library(&NVRTC_NAMES));
    }
}
