//! The scripts that sample a dataset on several machines make the dataset of one machine.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::process::Command;

use crate::support::{BUILD, Desk, assert_same, files, repo, said};

const OVERRIDES: [&str; 4] = ["--set", "build.shard_size=1", "--set", "output.dir=parts"];

fn script(desk: &Desk, name: &str, arguments: &[&str]) -> Command {
    let script = repo("scripts").join(name).display().to_string();
    let mut command =
        desk.command("bash", &[&[script.as_str(), "quick.toml"], &OVERRIDES[..], arguments].concat());
    command.env("IDK_BUILD", BUILD);
    command
}

/// A desk with the dataset that one machine makes, in `one`.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.build(&["build.shard_size=1", "output.dir=one"]).succeeded();
    desk
}

#[track_caller]
fn assert_merged(desk: &Desk) {
    assert_same(&files(&desk.path("one/dataset")), &files(&desk.path("parts/dataset")));
}

#[test]
fn parts_that_xargs_starts_on_each_machine_make_the_dataset_of_one_machine() {
    let desk = desk();
    said(script(&desk, "shards.sh", &["--"])).failed(2, &["usage: scripts/shards.sh RECIPE"]);
    // `ssh` that hands the line to a shell, as the real one does.
    let ssh = desk.write(
        "bin/ssh",
        b"#!/bin/sh\nfor line; do :; done\necho \"$line\" >>ssh.log\nexec sh -c \"$line\"\n",
    );
    assert!(Command::new("chmod").arg("+x").arg(&ssh).status().unwrap().success());
    let with_ssh = |arguments: &[&str]| {
        let mut command = script(&desk, "shards.sh", arguments);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", desk.path("bin").display()));
        said(command)
    };
    with_ssh(&["--set", "build.k=99", "--", "localhost", "gpu1"]).failed(1, &["run the same command again"]);
    with_ssh(&["--", "localhost", "gpu1", "localhost"]).succeeded();
    assert!(desk.path("parts/shard-3-of-3").is_dir());
    let log = String::from_utf8(idk_common::fs::read(&desk.path("ssh.log")).unwrap()).unwrap();
    assert!(log.contains("build.shard_size=1") && log.trim_end().ends_with("--shard 2/3"), "{log}");
    assert_merged(&desk);
}

#[test]
fn the_tasks_of_a_slurm_array_job_make_the_dataset_of_one_machine() {
    let desk = desk();
    let task = |id: &str, variables: &[(&str, &str)]| {
        let mut command = script(&desk, "shards.slurm", &[]);
        command.env("SLURM_ARRAY_TASK_ID", id).envs(variables.iter().copied());
        said(command)
    };
    task("1", &[]).failed(1, &["sbatch --array=1-N"]);
    task("0", &[("SLURM_ARRAY_TASK_COUNT", "2")]).failed(2, &["task 0 is none of the parts 1 to 2"]);
    task("1", &[("SLURM_ARRAY_TASK_COUNT", "2")]).succeeded();
    // Some tasks again: Slurm counts those of the new job.
    task("2", &[("SLURM_ARRAY_TASK_COUNT", "1"), ("IDK_PARTS", "2")]).succeeded();
    desk.run(BUILD, &[&["merge", "quick.toml"], &OVERRIDES[..]].concat()).succeeded();
    assert_merged(&desk);
}
