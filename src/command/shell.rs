//! What every program writes about its own command line: shell completions and manual pages.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use idk_common::CommonError;
use idk_common::fs::{create_dir_all, write_atomic};

use crate::terminal::{Failure, print_line, print_result};

/// Options of `completions`.
#[derive(Args, Clone, Debug)]
pub(super) struct CompletionsArguments {
    /// Shell that reads the script
    shell: Shell,
}

impl CompletionsArguments {
    /// Prints the completion script of `program`.
    ///
    /// # Errors
    /// A failed write to stdout.
    pub(super) fn run(&self, mut program: Command) -> Result<(), Failure> {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        Ok(print_line(String::from_utf8_lossy(&script).trim_end())?)
    }
}

/// Options of `man`.
#[derive(Args, Clone, Debug)]
pub(super) struct ManArguments {
    /// Folder for the pages
    #[arg(long)]
    out: PathBuf,
}

impl ManArguments {
    /// Writes a page for `program` and one for each of its subcommands, and prints their paths.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn run(&self, mut program: Command, json: bool) -> Result<(), Failure> {
        create_dir_all(&self.out)?;
        program.build();
        let mut pages = vec![write_page(&program, &self.out)?];
        for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
            pages.push(write_page(command, &self.out)?);
        }
        Ok(print_result(json, &pages, || {
            pages.iter().map(|page| page.display().to_string()).collect::<Vec<_>>().join("\n")
        })?)
    }
}

/// The page of one command; clap names that of a subcommand `PROGRAM-COMMAND`.
fn write_page(command: &Command, folder: &Path) -> Result<PathBuf, Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).map_err(CommonError::io("write", &path))?;
    write_atomic(&path, &page)?;
    Ok(path)
}
