//! What a run writes for people: the adapter's card, the curves, the summary at the end.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, TRAIN, files, question_set, tiny_model, with_overrides};
use idk_common::fs::read_to_string;
use idk_common::json::read_json;
use serde_json::Value;

fn card(desk: &Desk) -> String {
    read_to_string(&desk.path("run/adapter/README.md")).unwrap()
}

#[test]
fn the_card_of_the_adapter_says_what_it_was_made_of_and_what_it_does() {
    let desk = Desk::new();
    desk.train(&["data.tasks=[\"sound\", \"music\"]"]).succeeded();
    let card = card(&desk);
    let (front, rest) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    assert!(
        front.contains("base_model: \"qwen2-audio-tiny\"") && front.contains("library_name: peft"),
        "{front}"
    );
    assert!(!front.contains("license"), "the base model's folder names none: {front}");
    let manifest: Value = read_json(&desk.path("run/dataset/manifest.json")).unwrap();
    let counts = &manifest["counts"];
    for (name, key) in [("known", "known"), ("unknown", "unknown"), ("training chats", "sft_rows")] {
        let row = format!("| {name} | {} |", counts[key]);
        assert!(rest.contains(&row), "`{row}` is not in {rest}");
    }
    for part in [
        "to say \"I don't know\" where",
        "| rank | `8` |",
        "| steps | `4` |",
        "trained on sound, music.",
        "PeftModel",
    ] {
        assert!(rest.contains(part), "`{part}` is not in {rest}");
    }
    let results: Value = read_json(&desk.path("run/eval/results.json")).unwrap();
    let all = results["methods"][0]["tasks"].as_array().unwrap().last().unwrap();
    let percent = |value: &Value| format!("{:.1}", value.as_f64().unwrap());
    let row = format!("| all | 6 | {} → {} |", percent(&all["acc"]["before"]), percent(&all["acc"]["after"]));
    assert!(rest.contains(&row), "`{row}` is not in {rest}");
    let here = desk.path("").display().to_string();
    assert!(!card.contains(&here), "no path of this machine: {card}");
}

#[test]
fn the_card_says_what_was_left_out_of_the_rows_and_what_was_changed_on_the_way() {
    let desk = Desk::new();
    let capped = ["train.schedule=constant", "train.warmup_ratio=0", "build.max_idk_share=1"];
    desk.train(&capped).succeeded();
    assert!(card(&desk).contains("At most 1 of the rows"), "{}", card(&desk));
    assert!(!card(&desk).contains("was changed"), "{}", card(&desk));
    let longer = [&capped[..], &["train.epochs=3", "train.learning_rate=5e-4"]].concat();
    let allowed = ["--allow-change", "train.epochs", "--allow-change", "train.learning_rate"];
    desk.run(TRAIN, &[&with_overrides("quick.toml", &longer)[..], &allowed].concat()).succeeded();
    let card = card(&desk);
    for part in
        ["was changed while it was trained", "| `train.epochs` | `2` | `3` |", "| `train.learning_rate` |"]
    {
        assert!(card.contains(part), "`{part}` is not in {card}");
    }
}

#[test]
fn the_commands_at_the_end_are_words_of_a_shell_and_no_folder_makes_a_line_of_its_own() {
    let desk = Desk::new();
    let said = desk.train(&["output.dir=my run's"]).succeeded();
    for part in [r"idk-eval 'my run'\''s' --by", r"idk-train merge 'my run'\''s' --out DIR"] {
        assert!(said.stderr.contains(part), "`{part}` is not in {}", said.stderr);
    }
    let said = desk.train(&["output.dir=\"a\\nhint: b\""]).succeeded();
    assert!(!said.stderr.lines().any(|line| line.starts_with("hint: b")), "{}", said.stderr);
    assert!(said.stderr.contains("dataset   a\\u{a}hint: b/dataset"), "{}", said.stderr);
    assert!(said.stderr.contains(r"idk-train merge $'a\012hint: b' --out DIR"), "{}", said.stderr);
}

#[test]
fn the_licence_of_the_base_stands_on_the_card_and_the_card_is_no_part_of_the_adapter() {
    let desk = Desk::new();
    for (name, bytes) in files(&tiny_model()) {
        desk.write(&format!("model/{name}"), &bytes);
    }
    desk.write("model/README.md", b"---\nlicense: apache-2.0\ntags: [x]\n---\n# A model\n");
    desk.train(&["model.path=model"]).succeeded();
    assert!(card(&desk).contains("\nlicense: \"apache-2.0\"\n"), "{}", card(&desk));
    // Whoever writes on the card has the same adapter, and so the same results.
    let before = files(&desk.path("run/eval"));
    desk.write("run/adapter/README.md", b"mine");
    desk.run(crate::support::EVAL, &["quick.toml", "--set", "model.path=model"]).succeeded();
    crate::support::assert_same(&before, &files(&desk.path("run/eval")));
}

#[test]
fn the_curves_show_training_and_validation() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let plain = read_to_string(&desk.path("run/curves.svg")).unwrap();
    assert!(plain.contains(">loss<") && plain.contains(">learning rate<"), "{plain}");
    assert!(!plain.contains("alidation"), "{plain}");
    question_set(&desk, "val", 3, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    desk.train(&["data.val=val/questions.json", "train.eval_every=2", "output.dir=seen"]).succeeded();
    let seen = read_to_string(&desk.path("seen/curves.svg")).unwrap();
    for part in [">Acc (right)<", ">refused<", "<circle", "prefers-color-scheme:dark"] {
        assert!(seen.contains(part), "`{part}` is not in {seen}");
    }
    for name in ["svg", "style", "text", "title"] {
        let count = |tag: String| seen.matches(&tag).count();
        assert!(
            count(format!("<{name}")) >= count(format!("</{name}>")) && count(format!("</{name}>")) > 0,
            "{name}"
        );
    }
    assert_eq!(seen.matches("http").count(), 1, "the name space alone, nothing that is fetched: {seen}");
}

#[test]
fn the_summary_is_the_last_word_on_stderr_and_names_everything_that_is_there() {
    let desk = Desk::new();
    let said = desk.train(&[]).succeeded();
    let frame: Vec<&str> =
        said.stderr.lines().filter(|line| line.starts_with('|') || line.starts_with("+--")).collect();
    assert!(frame.iter().all(|line| line.len() == frame[0].len()), "{}", said.stderr);
    assert_eq!(said.stderr.lines().last(), frame.last().copied());
    assert!(!said.stdout.contains("+--"), "{}", said.stdout);
    let text = frame.join("\n");
    for part in ["6 of 6 steps", "| all ", "Acc ", "refused ", "RGI ", "idk-eval run --by"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    for name in ["adapter", "curves", "results", "report"] {
        let line = frame.iter().find(|line| line.starts_with(&format!("| {name} "))).unwrap();
        let path = line.split_whitespace().nth(2).unwrap();
        assert!(desk.path(path).exists(), "{line}");
    }
    let again = desk.run(TRAIN, &["quick.toml", "--json"]).succeeded();
    assert!(again.stderr.contains("done before"), "{}", again.stderr);
    again.json();
}

#[test]
fn progress_tells_loss_rate_and_tokens_a_second() {
    let desk = Desk::new();
    let said = desk.train(&["train.epochs=10"]).succeeded();
    let lines: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("train  ")).collect();
    assert_eq!(lines.len(), 20, "30 steps, one line for each 5 %: {lines:?}");
    for line in &lines {
        let tokens = line.split(" tokens/s").next().unwrap().rsplit(' ').next().unwrap();
        assert!(
            line.contains("loss ") && line.contains(" lr ") && tokens.parse::<u64>().unwrap() > 0,
            "{line}"
        );
    }
    assert!(lines[0].contains("/30") && lines[0].contains("ETA"), "{}", lines[0]);
}
