//! Promises that need a second process: failing disks, file permissions, locks of the living and the dead.
//!
//! Each test starts this very test program again with one of the `child_...` functions.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use idk_common::fs::{AtomicFile, read, remove_temporaries, write_atomic};
use idk_common::lock::RunLock;
use idk_common::{CommonError, Diagnose};

const DIR_VARIABLE: &str = "IDK_COMMON_TEST_DIR";

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(DIR_VARIABLE).map(PathBuf::from)
}

/// This program running only the test `name` on `dir`, after the shell commands `setup`.
fn child(setup: &str, name: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{setup}exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env(DIR_VARIABLE, dir);
    command
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_disk_that_takes_no_more_leaves_the_old_file_whole_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join("a.bin"), b"old").unwrap();
    // No file may grow beyond one block; with the signal ignored, the write itself fails.
    let setup = "trap '' XFSZ; ulimit -f 1; ";
    let output = child(setup, "child_writes_too_much", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(read(&dir.path().join("a.bin")).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a.bin"]);
}

#[test]
#[ignore = "run by another test in a process with a limit"]
fn child_writes_too_much() {
    let Some(dir) = child_dir() else { return };
    let path = dir.join("a.bin");
    let check = |error: CommonError| {
        assert!(error.to_string().contains("a.bin"), "{error}");
        assert_eq!(error.exit_kind().code(), 74);
        let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), ErrorKind::FileTooLarge);
        assert_eq!(names(&dir), ["a.bin"], "left behind");
    };
    // Larger than the buffer: the write fails. Smaller: the flush of the commit does.
    check(write_atomic(&path, &vec![0; 1 << 20]).unwrap_err());
    check(write_atomic(&path, &[0; 8192]).unwrap_err());
    // A caller that overlooks the failed write still cannot commit a file with a hole.
    let mut file = AtomicFile::create(&path).unwrap();
    assert!(file.write_all(&vec![0; 1 << 20]).is_err());
    assert!(file.commit().is_err());
    assert_eq!(names(&dir), ["a.bin"]);
    assert_eq!(read(&path).unwrap(), b"old");
}

#[test]
fn permissions_follow_the_umask() {
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("000", 0o666)] {
        let dir = tempfile::tempdir().unwrap();
        let output = child(&format!("umask {umask}; "), "child_writes", dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let metadata = std::fs::metadata(dir.path().join("a.bin")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "umask {umask}");
    }
}

#[test]
#[ignore = "run by another test in a process with another umask"]
fn child_writes() {
    let Some(dir) = child_dir() else { return };
    write_atomic(&dir.join("a.bin"), b"x").unwrap();
}

#[test]
fn a_living_process_keeps_its_folder_and_a_killed_one_loses_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = child("", "child_holds_the_lock", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("locked")), "the child never got the lock");

    match RunLock::acquire(dir.path()) {
        Err(CommonError::Busy { holder_pid, .. }) => assert_eq!(holder_pid, Some(holder.id())),
        other => panic!("{other:?}"),
    }

    holder.kill().unwrap(); // SIGKILL
    holder.wait().unwrap();
    let _lock = RunLock::acquire(dir.path()).unwrap();
    let left = names(dir.path()).into_iter().filter(|name| name.ends_with(".tmp")).count();
    assert_eq!(left, 1, "the killed writer's temporary file");
    remove_temporaries(dir.path()).unwrap();
    assert_eq!(names(dir.path()), [".lock"]);
}

#[test]
#[ignore = "run by another test in a process that is killed"]
fn child_holds_the_lock() {
    let Some(dir) = child_dir() else { return };
    let _lock = RunLock::acquire(&dir).unwrap();
    let mut file = AtomicFile::create(&dir.join("a.bin")).unwrap();
    file.put(b"never finished").unwrap();
    println!("locked");
    // Ends with the parent, however that ends.
    let _ = std::io::stdin().read_line(&mut String::new());
}
