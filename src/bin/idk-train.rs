//! `idk-train`: see `idk-train --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    idk::idk_train()
}
