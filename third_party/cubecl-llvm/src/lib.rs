//! The names of `cubecl-llvm` 0.11.3 that `cubecl-cuda` uses, without LLVM behind them.
//!
//! `cubecl-cuda` always links both of its compilers and picks one: with cubecl's feature `cuda-cpp` it is CUDA C++ by
//! way of NVRTC, and nothing here is ever called. Without that feature every kernel fails to compile with an error that
//! says so.

use core::ffi::c_char;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::{compiler::CompilationError, kernel::BufferIOAttr};

use nvptx::ptx_version::PtxVersion;

/// What the compiler writes code for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The processor.
    #[default]
    Cpu,
    /// PTX, for NVIDIA GPUs.
    Nvptx,
}

/// The compiler that is not there.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would write code for.
    pub target: LlvmTarget,
}

/// Settings that `cubecl-cuda` hands over.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// AMD architecture; `cubecl-cuda` leaves it empty.
    pub arch: Option<()>,
    /// NVIDIA architecture.
    pub sm_arch: Option<SmArch>,
    /// Version of PTX to write.
    pub ptx_version: Option<PtxVersion>,
    /// Whether kernel parameters are passed as grid constants.
    pub grid_constants: bool,
}

/// A kernel in PTX.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// Its text, ending in a zero.
    pub ptx: Vec<c_char>,
    /// The name to launch it by.
    pub entrypoint: String,
    /// LLVM's intermediate form.
    pub ir: String,
    /// Dynamic shared memory, in bytes.
    pub shared_memory_size: usize,
    /// Which buffers it reads and writes.
    pub io: Vec<BufferIOAttr>,
}

/// What compiling gives.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// A kernel for NVIDIA GPUs.
    NvptxCode(NvptxModule),
    /// Stands for the other targets; never made.
    Other,
}

impl PlironCompiler {
    /// Fails: there is no compiler.
    ///
    /// # Errors
    /// Always.
    pub fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "built without LLVM: enable the feature `cuda-cpp` of cubecl".to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    /// Name of the kernel language in logs.
    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// NVIDIA's assembly.
pub mod nvptx {
    /// Its versions.
    pub mod ptx_version {
        use core::fmt;

        /// A version of PTX; only LLVM needs one, so there is none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The newest version that a driver loads: not known here.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What the targets have in common.
pub mod shared {
    /// Features of a GPU that a compiler cannot serve.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A target that lacks some.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// PTX, for NVIDIA GPUs.
            Nvptx,
        }

        /// Would take from `props` what the LLVM backend cannot serve; only that backend asks for it.
        pub fn restrict_features(_props: &mut DeviceProperties, _target: GpuTarget) {}
    }
}
