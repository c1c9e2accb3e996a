//! `idk-eval`: see `idk-eval --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    idk::idk_eval()
}
