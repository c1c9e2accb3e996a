//! `server_url` in `[model]`: datasets from a model that only a server has, and what other trainers get of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use serde_json::{Value, json};

use crate::server::{Act, FakeServer};
use crate::support::{BUILD, Desk, Said, TRAIN, files, tiny_model};
use crate::tiny_server::{TinyServer, at};

/// Writes `served.toml`, the quick recipe without the folder of the model.
fn desk() -> Desk {
    let desk = Desk::new();
    let quick = idk_common::fs::read_to_string(&desk.path("quick.toml")).unwrap();
    let rest = quick.split_once("\n[data]").unwrap().1;
    desk.write("served.toml", format!("[data]{rest}").as_bytes());
    desk
}

fn build(desk: &Desk, recipe: &str, server: &FakeServer, more: &[&str]) -> Said {
    let at = at(server);
    let settings = at.iter().map(String::as_str).chain(more.iter().copied());
    let settings = settings.flat_map(|text| ["--set", text]);
    let arguments: Vec<&str> = [recipe].into_iter().chain(settings).collect();
    desk.run(BUILD, &arguments)
}

fn rows(desk: &Desk, run: &str, file: &str) -> Vec<Value> {
    idk_common::json::read_jsonl(&desk.path(run).join("dataset").join(file)).unwrap()
}

#[test]
fn a_build_needs_no_folder_and_has_the_rows_of_one_with_it() {
    let (desk, server) = (desk(), TinyServer::new().start());
    build(&desk, "served.toml", &server, &["output.dir=free"]).succeeded();
    let asked = server.seen();
    assert_eq!(asked.len(), 6, "one request per question");
    let content = &asked[0].body["messages"][0]["content"];
    assert_eq!(
        (&content[0]["type"], &content[0]["input_audio"]["format"]),
        (&json!("input_audio"), &json!("wav"))
    );
    build(&desk, "quick.toml", &server, &["output.dir=strict"]).succeeded();
    for file in ["samples.jsonl", "labels.jsonl", "sft.jsonl", "dpo.jsonl", "calibrated.jsonl"] {
        assert_eq!(rows(&desk, "free", file), rows(&desk, "strict", file), "{file}");
    }
    let manifest: Value = idk_common::json::read_json(&desk.path("free/dataset/manifest.json")).unwrap();
    assert_eq!(
        (&manifest["provenance"]["model"], &manifest["provenance"]["model_sha256"]),
        (&json!("tiny"), &json!(""))
    );
    let card = idk_common::fs::read_to_string(&desk.path("free/dataset/README.md")).unwrap();
    assert!(card.contains("- Model: `tiny`, sampled through a server that calls it `tiny`"), "{card}");
    let shown = desk.run(BUILD, &["inspect", "free"]).succeeded();
    assert!(shown.stdout.contains("model      tiny\n"), "{}", shown.stdout);

    // The same command does nothing, a moved server neither; another model is another run.
    let moved = TinyServer::new().start();
    build(&desk, "served.toml", &moved, &["output.dir=free", "model.server_concurrency=2"]).succeeded();
    assert_eq!(moved.seen().len(), 0);
    build(&desk, "served.toml", &moved, &["output.dir=free", "model.server_model=other"])
        .failed(65, &["another run", "build.server_model"]);
    let recipe = desk.path("free/recipe.toml");
    desk.run(BUILD, &[recipe.to_str().unwrap()]).succeeded();
    assert_eq!((moved.seen().len(), server.seen().len()), (0, 12), "the run's own recipe runs again");
    desk.run(BUILD, &["relabel", "free", "--k", "1", "--out", "k1"]).succeeded();
    assert_eq!(rows(&desk, "k1", "samples.jsonl"), rows(&desk, "free", "samples.jsonl"));
}

#[test]
fn a_build_without_a_folder_resumes_after_the_shards_that_came_and_can_be_divided() {
    let desk = desk();
    let tiny = TinyServer::new();
    let down = FakeServer::start(move |number, request| match number {
        0..3 => Act::Say(200, "", tiny.reply(request).to_string()),
        _ => Act::error(503, "the engine is busy"),
    });
    let shards = "build.shard_size=2";
    build(&desk, "served.toml", &down, &[shards, "model.server_concurrency=1"])
        .failed(74, &["the engine is busy"]);
    let up = TinyServer::new().start();
    build(&desk, "served.toml", &up, &[shards]).succeeded();
    assert_eq!(up.seen().len(), 4, "the first shard was kept");
    build(&desk, "served.toml", &up, &[shards, "output.dir=calm"]).succeeded();
    assert!(files(&desk.path("run/dataset")) == files(&desk.path("calm/dataset")));

    let at = at(&up);
    let settings: Vec<&str> = at.iter().map(String::as_str).chain([shards, "output.dir=parts"]).collect();
    let settings: Vec<&str> = settings.into_iter().flat_map(|text| ["--set", text]).collect();
    for part in ["1/2", "2/2"] {
        desk.run(BUILD, &[&["served.toml", "--shard", part], &settings[..]].concat()).succeeded();
    }
    desk.run(BUILD, &[&["merge", "served.toml"], &settings[..]].concat()).succeeded();
    assert!(files(&desk.path("parts/dataset")) == files(&desk.path("calm/dataset")));
}

#[test]
fn rows_of_a_served_model_go_to_other_trainers_and_it_is_not_trained_here() {
    let (desk, server) = (desk(), TinyServer::new().start());
    build(&desk, "served.toml", &server, &[]).succeeded();
    for (format, file, key) in [
        ("ms-swift", "sft.jsonl", "messages"),
        ("llama-factory", "sft.jsonl", "messages"),
        ("trl", "sft.jsonl", "completion"),
    ] {
        desk.run(BUILD, &["export", "run", "--format", format, "--out", format]).succeeded();
        let listed: Vec<String> = files(&desk.path(format)).into_keys().collect();
        assert!(listed.iter().any(|name| name == file), "{format}: {listed:?}");
        let text = idk_common::fs::read_to_string(&desk.path(format).join(file)).unwrap();
        let of_json =
            serde_json::from_str::<Value>(&text).is_ok_and(|rows| rows.as_array().unwrap().len() == 6);
        assert!(of_json || text.lines().count() == 6, "{format}");
        assert!(text.contains(key) && text.contains("q1.wav"), "{format}: {text}");
    }
    let at = at(&server);
    let settings: Vec<&str> = at.iter().map(String::as_str).flat_map(|text| ["--set", text]).collect();
    desk.run(TRAIN, &[&["served.toml"], &settings[..]].concat()).failed(2, &["cannot be trained"]);
    // The folder of another model does not train on its samples.
    let path = format!("model.path={}", tiny_model().display());
    desk.run(TRAIN, &["served.toml", "--set", &path]).failed(65, &["another run", "build.sampler"]);
}

#[test]
fn an_api_without_fields_of_vllm_and_without_log_probabilities_is_sampled_too() {
    let (desk, server) = (desk(), TinyServer::new().start());
    build(&desk, "served.toml", &server, &["output.dir=whole"]).succeeded();
    let asked = server.seen().len();
    let plain = ["model.server_api=openai", "model.server_log_probs=none", "output.dir=plain"];
    build(&desk, "served.toml", &server, &plain).succeeded();
    for seen in &server.seen()[asked..] {
        for field in ["top_k", "min_p", "repetition_penalty", "return_token_ids", "logprobs"] {
            assert_eq!(seen.body.get(field), None, "{field}");
        }
    }
    let without = |mut row: Value| {
        for key in ["log_prob", "tokens"] {
            row.as_object_mut().unwrap().remove(key);
        }
        row
    };
    let whole: Vec<Value> = rows(&desk, "whole", "samples.jsonl").into_iter().map(without).collect();
    assert_eq!(rows(&desk, "plain", "samples.jsonl"), whole, "the same texts, without log-probabilities");
    build(
        &desk,
        "served.toml",
        &server,
        &["model.server_api=openai", "build.guided=true", "output.dir=guided"],
    )
    .failed(2, &["`guided` in [build]", "vLLM"]);
    build(&desk, "served.toml", &server, &["build.guided=true", "output.dir=guided"]).succeeded();
    let options = ["dog", "cat", "rain", "I don't know"];
    let texts: Vec<Value> =
        rows(&desk, "guided", "samples.jsonl").into_iter().map(|row| row["text"].clone()).collect();
    assert!(texts.iter().all(|text| options.contains(&text.as_str().unwrap())), "{texts:?}");
}
