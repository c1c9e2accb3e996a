//! Where a GPU's compiled kernels and the results of autotuning are kept between runs.
//!
//! cubecl keeps both in a database per environment. Ours is named after the kernel compiler, since a driver loads only what a
//! compiler of its own version or an older one wrote; cubecl itself adds its version and the GPU's architecture to every key.

use std::path::{Path, PathBuf};

/// The file of a kernel cache, and what was wrong with what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCache {
    /// The database; it may not exist yet.
    pub file: PathBuf,
    /// Set if the file was damaged and moved aside, or its folder cannot be written: one line for people.
    pub warning: Option<String>,
}

/// The user's cache folder for kernels: `$XDG_CACHE_HOME/idk/kernels`, or `~/.cache/idk/kernels`.
#[must_use]
pub fn default_kernel_cache_dir() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("idk").join("kernels")
}

/// Keeps compiled kernels in `folder`. To be called before the first GPU is opened: what the process did before stays in
/// memory. `device` is the device as recipes name it; the CPU has no kernels to keep.
///
/// A file that is damaged or that another program wrote is moved aside, never read.
#[must_use]
pub fn open_kernel_cache(folder: &Path, device: &str) -> Option<KernelCache> {
    if device == "cpu" {
        return None;
    }
    backend::open(folder, device)
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
mod backend {
    use super::{KernelCache, Path};

    /// A program without a GPU has no kernels.
    pub(super) fn open(_folder: &Path, _device: &str) -> Option<KernelCache> {
        None
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod backend {
    use std::io::Read;

    use cubecl::config::cache::CacheConfig;
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use cubecl_environment::persistence::{Access, Database};

    use super::{KernelCache, Path};
    use crate::device::cuda::{CudaPlaces, nvrtc_version};

    /// The first bytes of every SQLite file.
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";

    pub(super) fn open(folder: &Path, device: &str) -> Option<KernelCache> {
        let name = environment_name(device);
        let file = folder.join(format!("{name}.db"));
        let warning = prepare(folder, &file);
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        config.compilation.cache = true;
        config.environment.path = CacheConfig::Directory(folder.to_owned());
        config.environment.name = name;
        // A second call of the process keeps what the first one set.
        CubeClRuntimeConfig::try_set(config);
        Some(KernelCache { file, warning })
    }

    /// `nvrtc-13.0`, or `wgpu`.
    fn environment_name(device: &str) -> String {
        if device == "wgpu" {
            return device.to_owned();
        }
        match nvrtc_version(&CudaPlaces::of_this_machine()) {
            Some(version) => format!("nvrtc-{version}"),
            None => "nvrtc".to_owned(),
        }
    }

    /// Makes sure that cubecl finds a database that it can use, or none.
    fn prepare(folder: &Path, file: &Path) -> Option<String> {
        if let Err(error) = std::fs::create_dir_all(folder) {
            return Some(format!("kernels are not kept: cannot create {}: {error}", folder.display()));
        }
        let damage = damage(file)?;
        let aside = file.with_extension("damaged");
        // Its write-ahead log belongs to it and is of no use without it.
        let _ = std::fs::remove_file(file.with_extension("db-wal"));
        match std::fs::rename(file, &aside) {
            Ok(()) => Some(format!(
                "the kernel cache {} is damaged ({damage}): moved to {}, kernels are compiled again",
                file.display(),
                aside.display()
            )),
            Err(error) => {
                Some(format!("the kernel cache {} is damaged and cannot be moved: {error}", file.display()))
            }
        }
    }

    /// What is wrong with an existing file; `None` if nothing is, or there is no file.
    pub(super) fn damage(file: &Path) -> Option<String> {
        let mut head = [0; 16];
        match std::fs::File::open(file).and_then(|mut opened| opened.read_exact(&mut head)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            // cubecl creates an empty file first.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && is_empty(file) => return None,
            Err(error) => return Some(error.to_string()),
            Ok(()) if head != *MAGIC => return Some("not a database".to_owned()),
            Ok(()) => {}
        }
        // The database engine may panic on pages that make no sense.
        let opened = std::panic::catch_unwind(|| {
            Database::open_at(file, Access::ReadOnly).map(|database| database.namespaces().len())
        });
        match opened {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some("its pages make no sense".to_owned()),
        }
    }

    fn is_empty(file: &Path) -> bool {
        std::fs::metadata(file).is_ok_and(|found| found.len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_keeps_no_kernels() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(open_kernel_cache(&dir.path().join("kernels"), "cpu"), None);
        assert!(!dir.path().join("kernels").exists());
    }

    #[test]
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    fn a_file_that_is_no_database_is_damaged_and_a_missing_or_empty_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        assert_eq!(backend::damage(&file), None);
        idk_common::fs::write_atomic(&file, b"").unwrap();
        assert_eq!(backend::damage(&file), None);
        for bytes in [&b"short"[..], &[7; 5000][..], b"SQLite format 3\0 and then nothing that fits"] {
            idk_common::fs::write_atomic(&file, bytes).unwrap();
            assert!(backend::damage(&file).is_some(), "{} bytes", bytes.len());
        }
    }
}
