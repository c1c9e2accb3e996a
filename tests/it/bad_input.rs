//! Whatever is wrong with the input: a clear error or a listed rejection, the right exit code, nothing half-written.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::path::PathBuf;

use crate::support::{BUILD, Desk, EVAL, TRAIN, files, question_set, repo, tiny_model};
use serde_json::{Map, Value, json};

/// Builds that look at thirty questions in a moment.
const SHORT: [&str; 4] =
    ["build.n_samples=1", "build.k=1", "build.max_new_tokens=1", "data.limit_per_task=30"];

/// Checks that a refused command left nothing behind.
#[track_caller]
fn assert_no_run(desk: &Desk) {
    assert!(!desk.path("run").exists(), "it left {:?}", files(&desk.path("run")).keys());
}

// Questions.

#[test]
fn a_file_of_which_no_row_can_be_used_is_refused_with_the_reasons_and_the_first_of_them() {
    let desk = Desk::new();
    question_set(&desk, "set", 6, |rows| rows.iter_mut().for_each(|row| row["answer"] = "bird".into()));
    let parts = [
        "no row of `set/questions.json` can be used: 6 answer",
        "row 1: ",
        "row 5: ",
        "and 1 more",
        "correct the rows",
    ];
    let said = desk.train(&["build.max_rejected_share=1"]).failed(65, &parts);
    assert!(!said.stderr.contains("limit_per_task"), "{}", said.stderr);
}

// Recipes.

#[test]
fn a_recipe_with_typos_is_refused_with_file_line_key_and_suggestion_and_nothing_is_written() {
    let desk = Desk::new();
    let text = "seeed = 1\n\n[model]\npath = \"m\"\n[lora]\nrnak = 8\nalpha = \"big\"\n[trian]\nepochs = 1\n";
    desk.write("typo.toml", text.as_bytes());
    let before = files(&desk.path(""));
    for program in [TRAIN, BUILD, EVAL] {
        desk.run(program, &["typo.toml", "--set", "build.k=9", "--set", "eval.mehtods=[]"]).failed(
            2,
            &[
                "6 mistakes",
                "typo.toml:1: unknown key `seeed`",
                "did you mean `seed`?",
                "typo.toml:6: unknown key `rnak` in [lora]",
                "did you mean `rank`?",
                "typo.toml:7: `alpha` in [lora]",
                "typo.toml:8: unknown section `trian`",
                "did you mean `train`?",
                "--set: unknown key `mehtods` in [eval]",
                "did you mean `methods`?",
                "--set: `k` in [build]",
            ],
        );
        assert_eq!(before, files(&desk.path("")));
    }
}

/// Every `(section, key, value)` of a recipe in which every key has a value; the section of `seed` is empty.
fn all_keys(desk: &Desk) -> Vec<(String, String, String)> {
    let optional =
        "[data]\nlimit_per_task = 3\n[train]\nmax_steps = 9\nwarmup_steps = 1\n[eval]\nlimit = 4\n";
    desk.write("all.toml", optional.as_bytes());
    let printed = desk.run(TRAIN, &["all.toml", "--print-config"]).succeeded().stdout;
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once(" = ") {
            keys.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    keys
}

/// The word with another letter in one place.
fn misspelt(word: &str, place: usize) -> String {
    let other = |letter: char| if letter == 'x' { 'y' } else { 'x' };
    word.chars().enumerate().map(|(at, letter)| if at == place { other(letter) } else { letter }).collect()
}

#[test]
fn every_key_with_one_wrong_letter_is_refused_and_the_right_one_suggested() {
    let desk = Desk::new();
    let keys = all_keys(&desk);
    assert!(keys.len() > 60, "{keys:?}");
    let longest = keys.iter().map(|(_, key, _)| key.len()).max().unwrap();
    for place in 0..longest {
        let (mut text, mut section, mut line) = (String::new(), "", 0);
        let mut expected = Vec::new();
        for (of, key, value) in keys.iter().filter(|(_, key, _)| key.len() > place) {
            let wrong = misspelt(key, place);
            // `top_x` may be meant for `top_k` as well as for `top_p`.
            let same = |other: &String| other.len() > place && misspelt(other, place) == wrong;
            if keys.iter().filter(|(section, other, _)| section == of && same(other)).count() > 1 {
                assert!(wrong.starts_with("top_"), "{wrong}");
                continue;
            }
            if of != section {
                section = of;
                line += 1;
                text.push_str(&format!("[{section}]\n"));
            }
            line += 1;
            text.push_str(&format!("{wrong} = {value}\n"));
            let place = if of.is_empty() { String::new() } else { format!(" in [{of}]") };
            expected.push(format!(
                "wrong.toml:{line}: unknown key `{wrong}`{place}\n    hint: did you mean `{key}`?"
            ));
        }
        desk.write("wrong.toml", text.as_bytes());
        let said = desk.run(TRAIN, &["wrong.toml"]).failed(2, &[]);
        for message in expected {
            assert!(said.stderr.contains(&message), "`{message}` is not in {}", said.stderr);
        }
    }
    for section in ["model", "data", "build", "lora", "train", "eval", "output"] {
        desk.write("wrong.toml", format!("[{}]\n", misspelt(section, 1)).as_bytes());
        desk.run(TRAIN, &["wrong.toml"]).failed(2, &["wrong.toml:1:", &format!("did you mean `{section}`?")]);
    }
}

#[test]
fn a_recipe_that_makes_a_base_model_names_the_program_for_it() {
    let recipe = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/base/1-listen.toml");
    let said =
        Desk::new().run(TRAIN, &[recipe.to_str().unwrap()]).failed(2, &["1-listen.toml:10", "idk-pretrain"]);
    assert!(said.stderr.contains("[base] trains a base model"), "{}", said.stderr);
}

/// Two wrong keys of every section, each with what is said about it.
const TWO_WRONG_KEYS: [(&str, [(&str, &str); 2]); 12] = [
    ("model", [("path = ''", "must name a folder"), ("pad_to = 2000", "must be at most 1024 tokens")]),
    ("data", [("val_questions = 0", "must be at least 1"), ("min_annotators = 0", "must be at least 1")]),
    ("build", [("n_samples = 0", "must be at least 1"), ("top_p = 2", "must be above 0 and at most 1")]),
    ("lora", [("rank = 0", "must be between 1 and"), ("dropout = 1.0", "must be at least 0 and below 1")]),
    ("train", [("batch_size = 0", "must be at least 1"), ("eps = 0", "must be a number above 0")]),
    ("dpo", [("beta = 0", "must be a number above 0"), ("sft_weight = -1", "must be a number, 0 or above")]),
    (
        "calibrated",
        [
            ("refusal_weight = -1", "must be a number, 0 or above"),
            ("own_weight = -0.5", "must be a number, 0 or above"),
        ],
    ),
    ("rl", [("group_size = 1", "must be between 2 and"), ("beta = -1", "must be a number, 0 or above")]),
    ("eval", [("limit = 0", "must be at least 1"), ("random_rate = 2", "must be between 0 and 1")]),
    ("output", [("dir = ''", "must name a folder"), ("folder = 'run'", "")]),
    (
        "transfer",
        [("train = ['../x']", "may hold names of letters"), ("seeds = []", "must hold one or more seeds")],
    ),
    (
        "sweep",
        [
            ("adapter_scale = [-1]", "may hold numbers between 0 and 100"),
            ("min_accuracy = 2", "must be between 0 and 1"),
        ],
    ),
];

#[test]
fn two_wrong_keys_of_every_section_are_all_reported_at_once_with_their_lines() {
    assert_eq!(TWO_WRONG_KEYS.map(|(section, _)| section), idk::recipe::SECTIONS);
    let desk = Desk::new();
    let (mut text, mut line, mut expected) = (String::new(), 0, Vec::new());
    for (section, keys) in TWO_WRONG_KEYS {
        text.push_str(&format!("[{section}]\n"));
        line += 1;
        for (assignment, what) in keys {
            text.push_str(&format!("{assignment}\n"));
            line += 1;
            let key = assignment.split(' ').next().unwrap();
            expected.push(match what {
                "" => format!("wrong.toml:{line}: unknown key `{key}` in [{section}]"),
                what => format!("wrong.toml:{line}: `{key}` in [{section}] {what}"),
            });
        }
    }
    desk.write("wrong.toml", text.as_bytes());
    for program in [TRAIN, BUILD, EVAL] {
        let said = desk.run(program, &["wrong.toml"]).failed(2, &[]);
        for message in &expected {
            assert!(said.stderr.contains(message), "`{message}` is not in {}", said.stderr);
        }
    }
}

#[test]
fn three_wrong_keys_of_three_sections_are_nine_mistakes() {
    let desk = Desk::new();
    let wrong = "[build]\nn_samples = 0\ntop_p = 2\nval_share = 1\n[eval]\nlimit = 0\nrandom_rate = 2\n\
                 batch_size = 0\n[train]\nepochs = 0\nbatch_size = 0\nlog_every = 0\n";
    desk.write("wrong.toml", wrong.as_bytes());
    desk.run(TRAIN, &["wrong.toml"]).failed(2, &["has 9 mistakes"]);
}

/// Keys that may be left out, so that "not set" has a meaning.
const OPTIONAL_KEYS: [(&str, &[&str]); 4] = [
    ("data", &["train_questions", "val_questions", "limit_per_task"]),
    ("build", &["max_idk_share", "max_pairs_per_question"]),
    (
        "train",
        &["max_steps", "warmup_steps", "metric_for_best", "early_stopping_patience", "target_refusal_rate"],
    ),
    ("eval", &["limit", "random_rate"]),
];

#[test]
fn infinity_and_nan_are_rejected_with_the_key_and_never_taken_for_not_set() {
    let desk = Desk::new();
    for number in ["inf", "-inf", "nan"] {
        let (mut text, mut line, mut expected) = ("seed = 1\n".to_owned(), 1, Vec::new());
        let mut arguments = vec!["quick.toml".to_owned()];
        for (section, keys) in OPTIONAL_KEYS {
            text.push_str(&format!("[{section}]\n"));
            line += 1;
            for key in keys {
                text.push_str(&format!("{key} = {number}\n"));
                line += 1;
                arguments.extend(["--set".to_owned(), format!("{section}.{key}={number}")]);
                expected
                    .push((line, format!("`{key}` in [{section}] must be a finite number, not `{number}`")));
            }
        }
        desk.write("wrong.toml", text.as_bytes());
        let of_file = desk.run(TRAIN, &["wrong.toml"]).failed(2, &["has 12 mistakes"]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let of_set = desk.run(TRAIN, &arguments).failed(2, &["has 12 mistakes"]);
        for (line, message) in expected {
            for (said, place) in [(&of_file, format!("wrong.toml:{line}")), (&of_set, "--set".to_owned())] {
                assert!(said.stderr.contains(&format!("{place}: {message}")), "{message}: {}", said.stderr);
            }
        }
    }
    let elsewhere =
        ["seed=inf", "train.betas=[0.9, nan]", "train={max_steps = inf}", "sweep.adapter_scale=[1, inf]"];
    for assignment in elsewhere {
        desk.train(&[assignment]).failed(2, &["--set: `", "must be a finite number, not `"]);
    }
    assert_no_run(&desk);
}

#[test]
fn numbers_that_float32_cannot_hold_are_rejected_before_anything_is_sampled() {
    let desk = Desk::new();
    for number in ["1e308", "1e-300"] {
        let keys = [
            "lora.alpha",
            "train.learning_rate",
            "train.eps",
            "train.weight_decay",
            "train.max_grad_norm",
            "dpo.beta",
            "dpo.sft_weight",
            "build.temperature",
            "build.repetition_penalty",
            "eval.repetition_penalty",
        ];
        let overrides: Vec<String> = keys.iter().map(|key| format!("{key}={number}")).collect();
        let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
        let said = desk.train(&overrides).failed(2, &["has 10 mistakes"]);
        for key in keys {
            let (section, key) = key.split_once('.').unwrap();
            let message = format!("`{key}` in [{section}] must be between 1.2e-38 and 3.4e38");
            assert!(said.stderr.contains(&message), "{message}: {}", said.stderr);
        }
    }
    assert_no_run(&desk);
}

#[test]
fn a_recipe_that_is_no_toml_names_its_line() {
    let desk = Desk::new();
    desk.write("broken.toml", b"seed = 1\n[lora\nrank = 8\n");
    desk.run(TRAIN, &["broken.toml"]).failed(2, &["broken.toml:2", "not valid TOML"]);
    desk.run(TRAIN, &["quick.toml", "--set", "lora.rank"]).failed(2, &["lora.rank", "no `=`"]);
    assert_no_run(&desk);
}

#[test]
fn a_recipe_that_is_not_there_exits_with_66_and_no_recipe_at_all_with_2() {
    let desk = Desk::new();
    for program in [TRAIN, BUILD, EVAL] {
        desk.run(program, &["nowhere.toml"]).failed(66, &["nowhere.toml", "does not exist"]);
    }
    for program in [TRAIN, BUILD] {
        desk.run(program, &[]).failed(2, &["no recipe"]);
    }
    desk.run(TRAIN, &["set"]).failed(66, &["the folder `set` is no run", "give a recipe"]);
}

// Models.

#[test]
fn a_model_folder_that_is_not_there_exits_with_66_and_leaves_no_run_folder() {
    let desk = Desk::new();
    for program in [TRAIN, BUILD, EVAL] {
        desk.run(program, &["quick.toml", "--set", "model.path=nowhere/model"])
            .failed(66, &["nowhere/model"]);
        assert_no_run(&desk);
    }
    let mut folder = files(&tiny_model());
    folder.remove("model.safetensors");
    for (name, bytes) in folder.iter().filter(|(name, _)| !name.contains('/')) {
        desk.write(&format!("hollow/{name}"), bytes);
    }
    desk.train(&["model.path=hollow"]).failed(66, &["hollow", "no weights"]);
    desk.train(&["model.device=cuda:7"]).failed(66, &["cuda:7", "--features cuda"]);
    desk.train(&["model.device=abacus"]).failed(2, &["abacus"]);
    assert_no_run(&desk);
}

/// The tensors of a safetensors file: name, type, shape, bytes.
type Tensors = Vec<(String, String, Vec<u64>, Vec<u8>)>;

fn read_tensors() -> Tensors {
    let bytes = idk_common::fs::read(&tiny_model().join("model.safetensors")).unwrap();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + header_bytes]).unwrap();
    let data = &bytes[8 + header_bytes..];
    let numbers = |value: &Value| -> Vec<u64> { serde_json::from_value(value.clone()).unwrap() };
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__").map(|(name, entry)| {
        let range = numbers(&entry["data_offsets"]);
        let bytes = data[range[0] as usize..range[1] as usize].to_vec();
        (name.clone(), entry["dtype"].as_str().unwrap().to_owned(), numbers(&entry["shape"]), bytes)
    });
    tensors.collect()
}

fn safetensors_bytes(tensors: &Tensors) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn damaged_weights_exit_with_65_name_the_tensor_or_file_and_leave_no_run_folder() {
    let desk = Desk::new();
    for (name, bytes) in files(&tiny_model()).iter().filter(|(name, _)| !name.contains('/')) {
        desk.write(&format!("model/{name}"), bytes);
    }
    let tensor = "language_model.model.layers.1.self_attn.k_proj.weight";
    let good = read_tensors();
    let place = good.iter().position(|(name, ..)| name == tensor).unwrap();
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = good.clone();
        change(&mut tensors);
        safetensors_bytes(&tensors)
    };
    let whole = changed(&|_| {});
    let with_bytes = |at: usize, bytes: &[u8]| {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    let cases: [(&str, Vec<u8>, &[&str]); 12] = [
        ("bytes at the end", [&whole[..], b"more"].concat(), &["model.safetensors"]),
        ("cut in the data", whole[..whole.len() / 2].to_vec(), &["model.safetensors"]),
        ("cut in the header", whole[..100].to_vec(), &["model.safetensors"]),
        ("no bytes", Vec::new(), &["model.safetensors"]),
        ("garbage for a header", with_bytes(8, &[0xff; 64]), &["model.safetensors"]),
        ("a header of 2^64 bytes", with_bytes(0, &[0xff; 8]), &["model.safetensors"]),
        (
            "NaN",
            changed(&|all| all[place].3[6..8].copy_from_slice(&[0xc0, 0x7f])),
            &[tensor, "not finite", "element 3"],
        ),
        (
            "infinity",
            changed(&|all| all[place].3[..2].copy_from_slice(&[0x80, 0xff])),
            &[tensor, "not finite"],
        ),
        ("a tensor is missing", changed(&|all| drop(all.remove(place))), &[tensor, "missing"]),
        (
            "a tensor too many",
            changed(&|all| all.push(("language_model.extra".into(), "BF16".into(), vec![1], vec![0, 0]))),
            &["language_model.extra", "not used"],
        ),
        ("a transposed tensor", changed(&|all| all[place].2.reverse()), &[tensor, "[64, 32]", "[32, 64]"]),
        ("whole numbers", changed(&|all| all[place].1 = "I16".into()), &[tensor, "I16"]),
    ];
    let good_run = |name: &str| desk.build(&["model.path=model", &format!("output.dir={name}")]);
    for (what, bytes, parts) in cases {
        assert_ne!(bytes, whole, "{what}");
        desk.write("model/model.safetensors", &bytes);
        let said = desk.build(&["model.path=model"]);
        assert_eq!(said.code, Some(65), "{what}: {}", said.stderr);
        said.failed(65, parts);
        desk.build(&["model.path=model", "model.dtype=nf4"]).failed(65, parts);
        assert_no_run(&desk);
    }
    desk.write("model/model.safetensors", &whole);
    good_run("good").succeeded();
}

#[test]
fn a_damaged_or_missing_adapter_is_refused_by_its_path() {
    let desk = Desk::new();
    let adapter = tiny_model().join("lora_adapter");
    let evaluate = |path: &str| desk.run(EVAL, &["quick.toml", "--adapter", path, "--out", "out"]);
    evaluate("nowhere").failed(66, &["nowhere"]);
    for (name, bytes) in files(&adapter) {
        desk.write(&format!("adapter/{name}"), &bytes[..bytes.len() - bytes.len() / 3]);
    }
    evaluate("adapter").failed(65, &["adapter"]);
    for (name, bytes) in files(&adapter) {
        desk.write(&format!("adapter/{name}"), &bytes);
    }
    evaluate("adapter").succeeded();
}

// Question files and clips.

#[test]
fn a_question_file_that_is_not_there_or_no_json_is_named_before_anything_is_trained() {
    let desk = Desk::new();
    desk.write("broken.json", b"[\n {\"id\": \"a\"},\n oops\n]\n");
    desk.write("text.json", b"\n\nhello\n");
    for key in ["train", "test"] {
        desk.train(&[&format!("data.{key}=nowhere.json")]).failed(66, &["nowhere.json", "does not exist"]);
        desk.train(&[&format!("data.{key}=bank:tset")])
            .failed(2, &[key, "bank:tset", "base, idk, val, test"]);
        assert_no_run(&desk);
    }
    for (file, place) in [("broken.json", "line 3"), ("text.json", "line 3")] {
        desk.train(&[&format!("data.train={file}")]).failed(65, &[file, place]);
        desk.run(EVAL, &["quick.toml", "--questions", file, "--out", "out"]).failed(65, &[file, place]);
        assert!(!desk.path("run/dataset").exists());
        assert!(!desk.path("run/eval").exists());
    }
}

/// A WAV file of 32-bit floats, one of which is no number.
fn nan_wav() -> Vec<u8> {
    let samples: Vec<u8> =
        (0..8000).flat_map(|i| if i == 77 { f32::NAN } else { 0.1 }.to_le_bytes()).collect();
    let size = samples.len() as u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + size).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(3_u16.to_le_bytes()); // IEEE float
    wav.extend(1_u16.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(64_000_u32.to_le_bytes());
    wav.extend(4_u16.to_le_bytes());
    wav.extend(32_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(samples);
    wav
}

/// A set of 30 questions of which number 7 is spoilt.
fn spoilt(desk: &Desk, row: Option<&dyn Fn(&mut Value)>, clip: Option<&[u8]>) -> PathBuf {
    let path = question_set(desk, "thirty", 30, |rows| {
        if let Some(change) = row {
            change(&mut rows[7]);
        }
    });
    if let Some(bytes) = clip {
        desk.write("thirty/audio/q7.wav", bytes);
    }
    path
}

type RowChange<'a> = Option<&'a dyn Fn(&mut Value)>;

#[test]
fn one_bad_question_of_thirty_is_a_listed_rejection_with_its_reason_and_the_books_balance() {
    let desk = Desk::new();
    let wav = idk_common::fs::read(&tiny_model().join("a.wav")).unwrap();
    let nan = nan_wav();
    let answer: &dyn Fn(&mut Value) = &|row| row["answer"] = "horse".into();
    let twice: &dyn Fn(&mut Value) = &|row| row["id"] = "q3".into();
    let outside: &dyn Fn(&mut Value) = &|row| row["audio_id"] = "../quick.toml".into();
    let absolute: &dyn Fn(&mut Value) = &|row| row["audio_id"] = "/etc/passwd".into();
    let gone: &dyn Fn(&mut Value) = &|row| row["audio_id"] = "audio/gone.wav".into();
    let number: &dyn Fn(&mut Value) = &|row| *row = 42.into();
    let token: &dyn Fn(&mut Value) = &|row| row["question"] = "What? <|im_end|>".into();
    let same: &dyn Fn(&mut Value) = &|row| row["choices"] = json!(["dog", "Dog", "rain"]);
    let mute: &dyn Fn(&mut Value) = &|row| drop(row.as_object_mut().unwrap().remove("answer"));
    let silent: &dyn Fn(&mut Value) = &|row| drop(row.as_object_mut().unwrap().remove("question"));
    let cases: [(&str, &str, RowChange<'_>, Option<&[u8]>); 16] = [
        ("missing-audio", "q7", Some(gone), None),
        ("truncated-audio", "q7", None, Some(&wav[..wav.len() / 2])),
        ("empty-audio", "q7", None, Some(b"")),
        ("empty-audio", "q7", None, Some(&[&nan[..40], &[0; 4]].concat())),
        ("non-finite-audio", "q7", None, Some(&nan)),
        ("unsupported-audio", "q7", None, Some(b"this is a text that calls itself a recording")),
        (
            "audio-too-short",
            "q7",
            None,
            Some(&{
                let mut short = nan[..40].to_vec();
                short.extend(16_u32.to_le_bytes());
                short.extend([0; 16]);
                short
            }),
        ),
        ("answer-not-in-choices", "q7", Some(answer), None),
        ("duplicate-id", "q3", Some(twice), None),
        ("duplicate-choices", "q7", Some(same), None),
        ("bad-path", "q7", Some(outside), None),
        ("bad-path", "q7", Some(absolute), None),
        ("not-an-object", "", Some(number), None),
        ("reserved-token", "q7", Some(token), None),
        ("missing-field", "q7", Some(silent), None),
        ("missing-field", "q7", Some(mute), None),
    ];
    for (number, (reason, id, row, clip)) in cases.into_iter().enumerate() {
        spoilt(&desk, row, clip);
        let (train, dir) = ("data.train=thirty/questions.json", format!("output.dir=run{number}"));
        desk.build(&[&SHORT[..], &[train, &dir]].concat()).succeeded();
        let dataset = desk.path(&format!("run{number}/dataset"));
        let rejected: Vec<Value> = idk_common::json::read_jsonl(&dataset.join("rejected.jsonl")).unwrap();
        assert_eq!(rejected.len(), 1, "{reason}: {rejected:?}");
        assert_eq!((&rejected[0]["id"], &rejected[0]["reason"]), (&id.into(), &reason.into()));
        assert!(!rejected[0]["detail"].as_str().unwrap().is_empty(), "{rejected:?}");
        let manifest: Value = idk_common::json::read_json(&dataset.join("manifest.json")).unwrap();
        let counts = &manifest["counts"];
        assert_eq!([&counts["input"], &counts["kept"], &counts["rejected"]], [30, 29, 1], "{reason}");
        assert_eq!(counts["rejected_by_reason"], json!({ reason: 1 }));
        let labels: Vec<Value> = idk_common::json::read_jsonl(&dataset.join("labels.jsonl")).unwrap();
        assert_eq!(labels.len(), 29);
    }
}

#[cfg(unix)]
#[test]
fn a_clip_that_is_a_link_out_of_the_folder_is_rejected_and_its_target_never_read() {
    let desk = Desk::new();
    let path = question_set(&desk, "thirty", 30, |_| {});
    let clip = path.with_file_name("audio").join("q7.wav");
    desk.write("outside.wav", &idk_common::fs::read(&clip).unwrap());
    std::fs::remove_file(&clip).unwrap();
    std::os::unix::fs::symlink(desk.path("outside.wav"), &clip).unwrap();
    desk.build(&[&SHORT[..], &["data.train=thirty/questions.json"]].concat()).succeeded();
    let rejected: Vec<Value> =
        idk_common::json::read_jsonl(&desk.path("run/dataset/rejected.jsonl")).unwrap();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!((&rejected[0]["id"], &rejected[0]["reason"]), (&"q7".into(), &"bad-path".into()));
}

#[test]
fn clips_of_another_rate_or_longer_than_the_window_are_used_and_the_cut_ones_counted() {
    let desk = Desk::new();
    question_set(&desk, "thirty", 30, |_| {});
    let tone = |rate_hz: u32, duration_s: u32| -> Vec<f32> {
        let place = |at: u32| (at as f32 / rate_hz as f32 * 440.0 * std::f32::consts::TAU).sin() * 0.3;
        (0..rate_hz * duration_s).map(place).collect()
    };
    for (clip, rate_hz, duration_s) in
        [("q6", 44_100, 1), ("q7", 8_000, 1), ("q9", 16_000, 5), ("q10", 48_000, 3)]
    {
        let path = desk.path(&format!("thirty/audio/{clip}.wav"));
        idk_audio::write_wav(&path, &tone(rate_hz, duration_s), rate_hz).unwrap();
    }
    desk.build(&[&SHORT[..], &["data.train=thirty/questions.json"]].concat()).succeeded();
    let manifest: Value = idk_common::json::read_json(&desk.path("run/dataset/manifest.json")).unwrap();
    let counts = &manifest["counts"];
    assert_eq!([&counts["kept"], &counts["rejected"]], [30, 0]);
    // The window is two seconds; every third clip of the set is the fixture's longer one, q2, q5, ...
    assert_eq!(counts["cut_audio"], 10 + 2);
}

#[test]
fn one_bad_question_of_a_test_set_is_listed_and_counted_too() {
    let desk = Desk::new();
    spoilt(&desk, None, Some(b"RIFF"));
    desk.run(
        EVAL,
        &[
            "quick.toml",
            "--questions",
            "thirty/questions.json",
            "--out",
            "out",
            "--set",
            "data.limit_per_task=30",
        ],
    )
    .succeeded();
    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    assert_eq!([&results["n"], &results["rejected"]], [29, 1]);
    let rejected: Vec<Value> = idk_common::json::read_jsonl(&desk.path("out/rejected.jsonl")).unwrap();
    assert_eq!((rejected.len(), &rejected[0]["id"]), (1, &"q7".into()));
}

#[test]
fn too_many_bad_questions_stop_the_run_with_their_reasons_and_leave_no_half_written_dataset() {
    let desk = Desk::new();
    question_set(&desk, "thirty", 30, |rows| rows[7]["answer"] = "horse".into());
    desk.write("thirty/audio/q8.wav", b"");
    let overrides = [&SHORT[..], &["data.train=thirty/questions.json"]].concat();
    let list = "rejected.jsonl";
    desk.train(&overrides).failed(65, &["2 of 30", "5 %", "1 answer-not-in-choices", "1 empty-audio", list]);
    let left: Vec<String> = files(&desk.path("run/dataset")).into_keys().collect();
    assert_eq!(left, [list]);
    assert!(!desk.path("run/adapter").exists() && !desk.path("run/eval").exists());
    // The test set keeps the same rule.
    desk.run(
        EVAL,
        &["quick.toml", "--questions", "thirty/questions.json", "--out", "out", "--set", SHORT[3]],
    )
    .failed(65, &["2 of 30", "answer-not-in-choices", "empty-audio"]);
    assert!(!desk.path("out/results.json").exists());
    // Corrected, the same command goes through.
    question_set(&desk, "thirty", 30, |_| {});
    desk.build(&overrides).succeeded();
    assert!(desk.path("run/dataset/manifest.json").exists());
}

// Places to write to.

#[test]
fn an_output_folder_that_is_a_file_exits_with_74_and_the_file_stays() {
    let desk = Desk::new();
    desk.write("taken", b"my notes");
    for dir in ["taken", "taken/run"] {
        desk.train(&[&format!("output.dir={dir}")]).failed(74, &["taken"]);
        desk.run(BUILD, &["compose", "--split", "val", "--questions", "6", "--out", dir])
            .failed(74, &["taken"]);
    }
    assert_eq!(idk_common::fs::read(&desk.path("taken")).unwrap(), b"my notes");
}

#[test]
fn a_bank_that_is_not_there_or_has_too_few_recordings_is_refused() {
    let desk = Desk::new();
    let compose =
        |bank: &str| desk.run(BUILD, &["compose", "--bank", bank, "--split", "test", "--out", "out"]);
    compose("nowhere").failed(66, &["nowhere"]);
    desk.write("bank/manifest.jsonl", b"{\"path\": \"x.wav\",\n");
    compose("bank").failed(65, &["manifest.jsonl", "line 1"]);
    let clip = idk_common::fs::read(&repo("tests/fixtures/qwen2-audio-tiny/a.wav")).unwrap();
    desk.write("bank/x.wav", &clip);
    let row = json!({"path": "x.wav", "modality": "sound", "family": "f", "label": "l", "recording": "r", "seconds": 1.4});
    desk.write("bank/manifest.jsonl", format!("{row}\n").as_bytes());
    compose("bank").failed(65, &["too few recordings"]);
    assert!(!desk.path("out").exists());
}
