//! `idk-train --env`: describes program and machine for bug reports, without anything that identifies the user.

use std::path::Path;

use serde::Serialize;

use crate::terminal::{Failure, print_result};

/// Version of burn that this program is built with; a test compares it with `Cargo.lock`.
const BURN_VERSION: &str = "0.22.1";

/// Program and machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Environment {
    /// Version of this program.
    version: &'static str,
    /// Version of burn.
    burn: &'static str,
    /// Cargo features that are compiled in.
    features: Vec<&'static str>,
    /// Optimised or not: a debug build is many times slower.
    profile: &'static str,
    /// Operating system.
    os: &'static str,
    /// Processor architecture.
    arch: &'static str,
    /// Processor model, where the system tells.
    cpu: Option<String>,
    /// Vector instructions that the processor has, of those that make a difference.
    simd: Vec<&'static str>,
    /// Cores that this process may use.
    cores: usize,
    /// Threads that the program uses.
    threads: usize,
    /// Memory of the machine in bytes, where the system tells.
    memory_bytes: Option<u64>,
    /// Where tensors can be computed: values of `device` in [model].
    devices: Vec<String>,
}

/// Features of the program that choose where it can compute, and whether it was built with them.
const FEATURES: [(&str, bool); 3] = [
    ("cuda", cfg!(feature = "cuda")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("fusion", cfg!(feature = "fusion")),
];

impl Environment {
    /// Looks at this machine.
    fn here() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            burn: BURN_VERSION,
            features: FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cpu: system_file("/proc/cpuinfo").as_deref().and_then(|text| field(text, "model name")),
            simd: simd(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads: rayon::current_num_threads(),
            memory_bytes: system_file("/proc/meminfo").as_deref().and_then(memory_bytes),
            devices: devices(),
        }
    }

    /// One line a fact.
    fn to_text(&self) -> String {
        let unknown = || "unknown".to_owned();
        let list = |words: &[&str]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let memory = self.memory_bytes.map_or_else(unknown, |bytes| format!("{:.1} GiB", gib(bytes)));
        let rows = [
            ("idk", format!("{} ({} build)", self.version, self.profile)),
            ("burn", self.burn.to_owned()),
            ("features", list(&self.features)),
            ("system", format!("{} {}", self.os, self.arch)),
            ("cpu", self.cpu.clone().unwrap_or_else(unknown)),
            ("simd", list(&self.simd)),
            ("cores", format!("{}, threads {}", self.cores, self.threads)),
            ("memory", memory),
            ("devices", self.devices.join(", ")),
        ];
        let line = |(name, value): (&str, String)| format!("{name:<9} {value}");
        rows.map(line).join("\n")
    }
}

/// Where tensors can be computed on this machine, as `device` in [model] names it.
fn devices() -> Vec<String> {
    idk_model::devices()
        .into_iter()
        .map(|device| format!("{} ({})", device.name, device.description))
        .collect()
}

/// Prints what `--env` found.
///
/// # Errors
/// A failed write to stdout.
pub(super) fn print(json: bool) -> Result<(), Failure> {
    let found = Environment::here();
    Ok(print_result(json, &found, || found.to_text())?)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// A file that the system makes up; none elsewhere than on Linux.
fn system_file(path: &str) -> Option<String> {
    idk_common::fs::read_to_string(Path::new(path)).ok()
}

/// The first `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
    values.next()
}

/// The total of `/proc/meminfo`, which counts in kibibytes.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    field(meminfo, "MemTotal")?.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(target_arch = "x86_64")]
fn simd() -> Vec<&'static str> {
    let found = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn simd() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_the_one_of_the_lock_file() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        let lock: toml::Table = idk_common::fs::read_to_string(&lock).unwrap().parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let burn = packages.iter().find(|package| package["name"].as_str() == Some("burn")).unwrap();
        assert_eq!(burn["version"].as_str(), Some(BURN_VERSION));
    }

    #[test]
    fn the_fields_of_the_systems_files_are_found() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz: x\nmodel name\t: another\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("Some CPU @ 2.0GHz: x"));
        assert_eq!(memory_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(memory_bytes("MemTotal: many\n"), None);
    }

    #[test]
    fn every_device_that_is_listed_can_be_opened() {
        for device in devices() {
            let name = device.split(' ').next().unwrap();
            assert!(idk_model::device(name).is_ok(), "{device}");
        }
    }
}
