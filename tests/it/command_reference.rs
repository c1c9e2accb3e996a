//! `docs/reference/commands.md` has the help of every program and subcommand, as the programs print it.
//!
//! `IDK_WRITE_DOCS=1 cargo test --release --workspace --test it command_reference` rewrites the file.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::path::Path;
use std::process::Command;

use idk_common::fs::write_atomic;

const PROGRAMS: [(&str, &str); 3] = [
    ("idk-build", env!("CARGO_BIN_EXE_idk-build")),
    ("idk-train", env!("CARGO_BIN_EXE_idk-train")),
    ("idk-eval", env!("CARGO_BIN_EXE_idk-eval")),
];

const HEADER: &str = "# Commands

What `--help` prints for each program and subcommand. This page is made from the programs.
";

fn help(program: &str, command: &[&str]) -> String {
    let output = Command::new(program).args(command).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect()
}

/// The names below `Commands:`.
fn subcommands(help: &str) -> Vec<&str> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // A line of further text is indented more.
    let names = lines.filter_map(|line| line.strip_prefix("      ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|rest| rest.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn the_commands_page_is_what_the_programs_print() {
    let mut page = HEADER.to_owned();
    for (name, program) in PROGRAMS {
        let own = help(program, &[]);
        page.push_str(&format!("\n## {name}\n\n{own}"));
        let commands = subcommands(&own);
        assert!(commands.contains(&"completions"), "{commands:?}");
        for command in commands {
            page.push_str(&format!("\n### {name} {command}\n\n{}", help(program, &[command])));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    if std::env::var_os("IDK_WRITE_DOCS").is_some() {
        write_atomic(&path, page.as_bytes()).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = stored.lines().zip(page.lines()).find(|(is, must)| is != must);
    assert!(stored == page, "docs/reference/commands.md is not what the programs print: {differs:?}");
}
