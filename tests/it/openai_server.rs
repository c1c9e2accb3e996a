//! `sampler = "openai"`: a dataset from answers of a server, and what each kind of failure looks like from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::time::{Duration, Instant};

use crate::server::{Act, FakeServer};
use crate::support::{BUILD, Desk, Said, assert_same, files, said, stop, with_overrides};

/// Overrides that sample `server`.
fn settings(server: &FakeServer) -> Vec<String> {
    vec![
        "build.sampler=openai".to_owned(),
        format!("build.server_url={}", server.url),
        "build.server_model=tiny".to_owned(),
        "build.server_max_retries=0".to_owned(),
    ]
}

fn build(desk: &Desk, settings: &[String], more: &[&str]) -> Said {
    let all: Vec<&str> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
    desk.build(&all)
}

#[test]
fn a_dataset_is_built_from_a_servers_answers_and_does_not_say_where_the_server_was() {
    let (desk, server) = (Desk::new(), FakeServer::start(|_, request| Act::good(request)));
    build(&desk, &settings(&server), &[]).succeeded();
    assert_eq!(server.seen().len(), 6);
    let first = files(&desk.path("run/dataset"));
    let samples = String::from_utf8_lossy(&first["samples.jsonl"]).into_owned();
    assert_eq!((samples.lines().count(), samples.matches("\"text\":\"seed ").count()), (18, 18));
    let port = server.url.rsplit(':').next().unwrap().trim_end_matches("/v1");
    for (name, bytes) in &first {
        assert!(!String::from_utf8_lossy(bytes).contains(&format!("127.0.0.1:{port}")), "{name}");
    }
    let manifest = String::from_utf8_lossy(&first["manifest.json"]).into_owned();
    assert!(manifest.contains("\"server_model\": \"tiny\""), "{manifest}");
    assert!(String::from_utf8_lossy(&first["README.md"]).contains("a server that calls it `tiny`"));

    // The server has moved: the same dataset. It serves another model: another one.
    let moved = FakeServer::start(|_, request| Act::good(request));
    build(&desk, &settings(&moved), &["build.server_concurrency=2"]).succeeded();
    assert_eq!((moved.seen().len(), &files(&desk.path("run/dataset"))), (0, &first), "it was kept");
    build(&desk, &settings(&moved), &["build.server_model=other"])
        .failed(65, &["another run", "build.server_model"]);
    build(&desk, &settings(&moved), &["output.dir=again", "build.server_concurrency=1"]).succeeded();
    assert!(
        files(&desk.path("again/dataset")) == first,
        "another server of the same answers gives other bytes"
    );
}

#[test]
fn a_dataset_of_a_server_is_relabelled_without_the_server_and_the_run_then_resumes() {
    let (desk, server) = (Desk::new(), FakeServer::start(|_, request| Act::good(request)));
    build(&desk, &settings(&server), &["output.dir=k1", "build.k=1"]).succeeded();
    build(&desk, &settings(&server), &[]).succeeded();
    let asked = server.seen().len();
    desk.run(BUILD, &["relabel", "run", "--k", "1", "--out", "other"]).succeeded();
    desk.run(BUILD, &["relabel", "run", "--set", "build.server_url=http://a"]).failed(2, &["server_url"]);
    desk.run(BUILD, &["relabel", "run", "--k", "1"]).succeeded();
    for run in ["run", "other"] {
        assert_same(&files(&desk.path("k1/dataset")), &files(&desk.path(run).join("dataset")));
        let recipe = desk.path(run).join("recipe.toml");
        let text = String::from_utf8(idk_common::fs::read(&recipe).unwrap()).unwrap();
        assert!(text.contains(&server.url), "the recipe of the run still names the server: {text}");
        desk.run(BUILD, &[recipe.to_str().unwrap()]).succeeded();
    }
    assert_eq!(server.seen().len(), asked, "samples were asked for again");
}

#[test]
fn a_build_from_a_server_that_is_killed_after_its_last_sample_resumes_at_any_address() {
    let (desk, server) = (Desk::new(), FakeServer::start(|_, request| Act::good(request)));
    build(&desk, &settings(&server), &[]).succeeded();
    let first = files(&desk.path("run/dataset"));
    // What is written after the last sample, in the order of writing.
    let written = [
        "sampling.json",
        "labels.jsonl",
        "sft.jsonl",
        "dpo.jsonl",
        "calibrated.jsonl",
        "README.md",
        "manifest.json",
    ];
    for (count, k) in (1..written.len()).flat_map(|count| [(count, "build.k=2"), (count, "build.k=1")]) {
        for name in &written[count..] {
            std::fs::remove_file(desk.path("run/dataset").join(name)).unwrap();
        }
        let moved = FakeServer::start(|_, request| Act::good(request));
        let patient = ["build.server_timeout_s=9", "build.server_concurrency=1", k];
        build(&desk, &settings(&moved), &patient).succeeded();
        assert_eq!(moved.seen().len(), 0, "samples were asked for again after {}", written[count - 1]);
        if k == "build.k=2" {
            assert_same(&first, &files(&desk.path("run/dataset")));
        }
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_says_where_and_what_to_do() {
    let desk = Desk::new();
    type Script = fn(usize, &serde_json::Value) -> Act;
    let cases: [(Script, i32, &[&str]); 5] = [
        (
            |_, _| Act::error(503, "the engine is busy"),
            74,
            &["status 503: the engine is busy", "hint:", "server's log"],
        ),
        (|_, _| Act::Hang, 74, &["closed unanswered", "hint:", "server_url"]),
        (
            |_, _| Act::Say(200, "", "<html>".to_owned()),
            65,
            &["not a chat completion", "<html>", "docs/guide/server.md"],
        ),
        (|_, _| Act::Say(404, "", "{\"detail\":\"Not Found\"}".to_owned()), 2, &["status 404", "server_url"]),
        (|_, _| Act::error(404, "The model `tiny` does not exist."), 2, &["does not exist", "server_model"]),
    ];
    for (script, code, parts) in cases {
        let server = FakeServer::start(script);
        let address = format!("POST {}/chat/completions", server.url);
        let said = build(&desk, &settings(&server), &["output.dir=failed"]).failed(code, parts);
        assert!(said.stderr.contains(&address), "{}", said.stderr);
        assert!(!desk.path("failed/dataset/manifest.json").exists());
    }
}

#[test]
fn a_build_that_failed_on_the_network_goes_on_when_the_server_is_back() {
    let desk = Desk::new();
    let down = FakeServer::start(|number, request| if number < 3 { Act::good(request) } else { Act::Hang });
    build(&desk, &settings(&down), &[]).failed(74, &["closed unanswered"]);
    let up = FakeServer::start(|_, request| Act::good(request));
    build(&desk, &settings(&up), &[]).succeeded();
    build(&desk, &settings(&up), &["output.dir=calm"]).succeeded();
    assert!(files(&desk.path("run/dataset")) == files(&desk.path("calm/dataset")));
}

#[test]
fn a_signal_ends_a_build_whose_server_does_not_answer_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let desk = Desk::new();
        let silent = FakeServer::start(|_, _| Act::Late(Duration::from_secs(300), Box::new(Act::Hang)));
        let settings = settings(&silent);
        let overrides: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut child = desk.command(BUILD, &with_overrides("quick.toml", &overrides)).spawn().unwrap();
        while silent.seen().is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it asked");
            std::thread::sleep(Duration::from_millis(20));
        }
        let asked = Instant::now();
        stop(child, signal)
            .failed(code, &["stopping; the answers", "stopped by a signal", "same command again"]);
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        let server = FakeServer::start(|_, request| Act::good(request));
        build(&desk, &self::settings(&server), &[]).succeeded();
    }
}

#[test]
fn the_api_key_comes_from_the_environment_and_goes_into_no_file_and_no_message() {
    let desk = Desk::new();
    let run = |server: &FakeServer, key: Option<&str>, out: &str| {
        let settings = settings(server);
        let out = format!("output.dir={out}");
        let all: Vec<&str> =
            settings.iter().map(String::as_str).chain(["build.server_key_env=MY_KEY", &out]).collect();
        let mut command = desk.command(BUILD, &with_overrides("quick.toml", &all));
        command.env_remove("MY_KEY");
        if let Some(key) = key {
            command.env("MY_KEY", key);
        }
        said(command)
    };
    let server = FakeServer::start(|_, request| Act::good(request));
    run(&server, Some("k-5ecret\n"), "run").succeeded();
    assert!(server.seen().iter().all(|seen| seen.head.contains("\r\nauthorization: Bearer k-5ecret\r\n")));
    for (name, bytes) in files(&desk.path("run")) {
        assert!(!String::from_utf8_lossy(&bytes).contains("k-5ecret"), "{name}");
    }
    let echo = FakeServer::start(|_, _| Act::error(401, "wrong key k-5ecret"));
    let said =
        run(&echo, Some("k-5ecret"), "echo").failed(2, &["status 401: wrong key ***", "server_key_env"]);
    assert!(!said.stderr.contains("k-5ecret"), "{}", said.stderr);
    run(&server, None, "none").failed(2, &["server_key_env", "`MY_KEY`", "is not set"]);
    run(&server, Some("a\r\nX: b"), "split").failed(2, &["server_key_env", "letters of a key"]);
    assert_eq!(server.seen().len(), 6, "nothing was sent without a key");
}

#[test]
fn a_recipe_with_a_wrong_address_is_refused_with_its_line() {
    let desk = Desk::new();
    desk.write(
        "wrong.toml",
        b"[build]\nsampler = \"openai\"\nserver_url = \"gpu7:8000\"\nserver_model = \"m\"\n",
    );
    desk.run(BUILD, &["wrong.toml"])
        .failed(2, &["wrong.toml:3: `server_url` in [build] must begin with http://"]);
    desk.write("none.toml", b"[build]\nsampler = \"openai\"\n");
    desk.run(BUILD, &["none.toml"]).failed(2, &["`server_url` in [build] must begin with http://"]);
}
