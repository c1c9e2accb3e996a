//! `idk-build`: see `idk-build --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    idk::idk_build()
}
