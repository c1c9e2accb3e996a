//! Promises about whole question sets, kept on the shipped bank and on a made-up one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use idk_audio::write_wav;
use idk_common::fs::write_atomic;

use super::*;

fn shipped() -> &'static Bank {
    static BANK: OnceLock<Bank> = OnceLock::new();
    BANK.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("dataset-builder").join("bank");
        Bank::load(&dir).unwrap()
    })
}

/// Tones and clicks under names that the shipped bank does not have; `per_label` recordings of each label.
fn write_bank(dir: &Path, labels: usize, per_label: usize) {
    let mut manifest = String::new();
    for (modality, family) in [("sound", "machine"), ("music", "note"), ("speech", "word")] {
        for label in 0..labels {
            for take in 0..per_label {
                let path = format!("{modality}-{label}-{take}.wav");
                let hz = 150.0 * (label + 1) as f32 + 7.0 * take as f32;
                let tone = |i: usize| {
                    let t = i as f32 / 16_000.0;
                    0.4 * (std::f32::consts::TAU * hz * t).sin() * (-3.0 * t).exp()
                };
                write_wav(&dir.join(&path), &(0..6400).map(tone).collect::<Vec<_>>(), 16_000).unwrap();
                let row = serde_json::json!({
                    "path": path, "modality": modality, "family": family, "label": format!("{family} {label}"),
                    "recording": format!("{modality} {label} {take}"), "seconds": 0.4, "source": format!("s{take}"),
                });
                manifest.push_str(&format!("{row}\n"));
            }
        }
    }
    write_atomic(&dir.join(MANIFEST_FILE), manifest.as_bytes()).unwrap();
}

fn made_up() -> &'static Bank {
    static BANK: OnceLock<Bank> = OnceLock::new();
    BANK.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        write_bank(dir.path(), 9, 6);
        Bank::load(dir.path()).unwrap()
    })
}

fn config(split: &str, seed: u64) -> ComposeConfig {
    ComposeConfig { split: split.to_owned(), seed, ..ComposeConfig::default() }
}

fn set(bank: &Bank, split: &str, seed: u64) -> Vec<ComposedItem> {
    compose(bank, &config(split, seed)).unwrap()
}

fn recordings(item: &ComposedItem) -> Vec<String> {
    serde_json::from_value(item.question.extra["idk"]["recordings"].clone()).unwrap()
}

#[test]
fn no_recording_crosses_splits() {
    for bank in [shipped(), made_up()] {
        let mut owner: BTreeMap<String, Split> = BTreeMap::new();
        for split in Split::ALL {
            let config = ComposeConfig {
                split: split.to_string(),
                questions_per_modality: Some(600),
                ..ComposeConfig::default()
            };
            let heard: BTreeSet<String> =
                compose(bank, &config).unwrap().iter().flat_map(recordings).collect();
            assert!(heard.iter().all(|recording| bank.recordings(split).contains(recording.as_str())));
            for recording in heard {
                let before = owner.insert(recording.clone(), split);
                assert!(before.is_none_or(|before| before == split), "{recording} in {before:?} and {split}");
            }
        }
    }
}

#[test]
fn splits_do_not_depend_on_the_order_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    write_bank(dir.path(), 9, 6);
    let path = dir.path().join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let reversed: Vec<&str> = text.lines().rev().collect();
    write_atomic(&path, reversed.join("\n").as_bytes()).unwrap();
    let bank = Bank::load(dir.path()).unwrap();
    for split in Split::ALL {
        assert_eq!(bank.recordings(split), made_up().recordings(split));
    }
}

/// The share of questions that a rule answers right.
fn accuracy(items: &[&ComposedItem], rule: impl Fn(&ComposedItem) -> String) -> f64 {
    let right = items.iter().filter(|item| rule(item) == item.question.answer).count();
    right as f64 / items.len() as f64
}

#[test]
fn constant_answers_stay_within_two_points_of_chance() {
    for bank in [shipped(), made_up()] {
        for (split, seed) in [("test", 0), ("test", 1), ("idk", 0), ("val", 0)] {
            let all = set(bank, split, seed);
            for modality in ["sound", "music", "speech"] {
                let items: Vec<_> = all.iter().filter(|item| item.question.task == modality).collect();
                for place in 0..4 {
                    let rate = accuracy(&items, |item| item.question.choices[place].clone());
                    assert!((rate - 0.25).abs() <= 0.02, "{split} {modality} place {place}: {rate}");
                }
                let texts: BTreeSet<&String> = items.iter().map(|item| &item.question.answer).collect();
                for text in texts {
                    let rate = accuracy(&items, |_| text.clone());
                    assert!(rate <= 0.27, "{split} {modality} always `{text}`: {rate}");
                    let rate = accuracy(&items, |item| {
                        let offered = item.question.choices.contains(text);
                        if offered { text.clone() } else { item.question.choices[0].clone() }
                    });
                    assert!(rate <= 0.29, "{split} {modality} `{text}` where offered: {rate}");
                }
            }
        }
    }
}

#[test]
fn every_family_has_the_same_mix_of_difficulties_and_half_generic_wording() {
    for split in ["idk", "val", "test"] {
        let mut families: BTreeMap<String, Vec<ComposedItem>> = BTreeMap::new();
        for item in set(shipped(), split, 0) {
            families
                .entry(format!("{}/{}", item.question.task, item.question.sub_category))
                .or_default()
                .push(item);
        }
        assert_eq!(families.len(), 18, "{:?}", families.keys());
        for (family, items) in families {
            let share = |holds: &dyn Fn(&ComposedItem) -> bool| {
                items.iter().filter(|item| holds(item)).count() as f64 / items.len() as f64
            };
            for difficulty in ["easy", "medium", "hard"] {
                let found = share(&|item| item.question.difficulty == difficulty);
                assert!((found - 1.0 / 3.0).abs() < 0.04, "{split} {family} {difficulty}: {found}");
            }
            assert!(
                (share(&|item| item.question.extra["idk"]["generic_wording"] == true) - 0.5).abs() < 0.01
            );
        }
    }
}

#[test]
fn labels_are_balanced_to_within_one_in_idk_and_test() {
    for split in ["idk", "test"] {
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for item in set(shipped(), split, 0) {
            if ["event", "surface", "instrument", "percussion", "digit", "word", "language", "words", "count"]
                .contains(&&*item.question.sub_category)
            {
                *counts.entry((item.question.sub_category, item.question.answer)).or_default() += 1;
            }
        }
        for ((family, answer), count) in &counts {
            let of_family = counts.iter().filter(|((other, _), _)| other == family).map(|(_, count)| *count);
            assert!(of_family.min().unwrap() + 1 >= *count, "{split} {family} {answer}: {count}");
        }
    }
}

#[test]
fn every_question_has_four_distinct_options_and_a_whole_clip() {
    for bank in [shipped(), made_up()] {
        let mut ids = BTreeSet::new();
        for item in set(bank, "test", 3) {
            let question = &item.question;
            let distinct: BTreeSet<&String> = question.choices.iter().collect();
            assert_eq!(distinct.len(), 4, "{question:?}");
            assert!(question.answer_index().is_some());
            assert_eq!(
                question.choices.iter().map(|text| text.to_lowercase()).collect::<Vec<_>>(),
                question.choices
            );
            assert_eq!(item.samples.len(), 48_000);
            assert!(item.samples.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
            let power = item.samples.iter().map(|sample| sample * sample).sum::<f32>() / 48_000.0;
            assert!(power.sqrt() > 0.002, "{}", question.id);
            assert!(ids.insert(question.id.clone()));
        }
        assert!(ids.contains("test-sound-count-0007"));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (many, one) = (set(shipped(), "val", 5), one_thread.install(|| set(shipped(), "val", 5)));
    assert_eq!(many, one);
    let dir = tempfile::tempdir().unwrap();
    write(shipped(), &config("val", 5), &dir.path().join("a")).unwrap();
    one_thread.install(|| write(shipped(), &config("val", 5), &dir.path().join("b"))).unwrap();
    let id = &many[0].question.id;
    for file in [QUESTIONS_FILE.to_owned(), format!("audio/{id}.wav")] {
        let read = |folder: &str| std::fs::read(dir.path().join(folder).join(&file)).unwrap();
        assert_eq!(read("a"), read("b"), "{file}");
    }
}

#[test]
fn different_seeds_give_different_sets_of_the_same_ids() {
    let (a, b) = (set(shipped(), "val", 0), set(shipped(), "val", 1));
    assert!(a.iter().zip(&b).all(|(x, y)| x.question.id == y.question.id));
    let same = a.iter().zip(&b).filter(|(x, y)| x.samples == y.samples).count();
    assert_eq!(same, 0);
}

#[test]
fn stream_items_are_pure_and_base_meets_only_its_own_labels() {
    let bank = shipped();
    let stream = Stream::new(bank, Split::Base).unwrap();
    assert_eq!(stream.item(4, 17), Stream::new(bank, Split::Base).unwrap().item(4, 17));
    assert_ne!(stream.item(4, 17).samples, stream.item(5, 17).samples);
    let table = bank.label_table();
    let never_met: BTreeSet<&String> = ["sound/event", "music/instrument", "speech/word"]
        .iter()
        .flat_map(|class| table[*class].iter().filter(|(_, counts)| counts[0] == 0).map(|(label, _)| label))
        .collect();
    assert!(never_met.len() >= 6, "{never_met:?}");
    for index in 0..600 {
        let item = stream.item(1, index);
        for text in &item.question.choices {
            assert!(!never_met.contains(text), "base offers `{text}`");
        }
        assert_eq!(item.question.extra["idk"]["seen_in_base"], true);
    }
    let two = Stream::over(bank, Split::Idk, &["sound/event", "music/duo"]).unwrap();
    let names: BTreeSet<String> = (0..40).map(|index| two.item(0, index).question.sub_category).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["duo", "event"]);
}

#[test]
fn about_a_tenth_of_the_identified_labels_of_test_were_never_met() {
    let items = set(shipped(), "test", 0);
    let identified: Vec<_> = items
        .iter()
        .filter(|item| {
            ["event", "surface", "instrument", "percussion", "digit", "word"]
                .contains(&&*item.question.sub_category)
        })
        .collect();
    let unmet = identified.iter().filter(|item| item.question.extra["idk"]["seen_in_base"] == false).count();
    let share = unmet as f64 / identified.len() as f64;
    assert!((0.07..0.16).contains(&share), "{share}");
}

#[test]
fn a_written_set_reads_back_without_rejections() {
    let dir = tempfile::tempdir().unwrap();
    let items = set(made_up(), "val", 0);
    let path = write(made_up(), &config("val", 0), dir.path()).unwrap();
    let read = idk_questions::read_questions(&path).unwrap();
    assert_eq!((read.questions.len(), read.rejected.len()), (items.len(), 0));
    assert_eq!(read.questions[0].extra, items[0].question.extra);
    assert!(read.questions.iter().all(|question| question.audio[0].is_file()));
}

#[test]
fn the_vocabulary_holds_every_word_that_is_composed() {
    let words = |texts: &[String]| -> BTreeSet<String> {
        texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
    };
    for bank in [shipped(), made_up()] {
        let known = words(&vocabulary(bank));
        for split in Split::NAMES {
            let config = ComposeConfig {
                split: split.to_owned(),
                questions_per_modality: Some(240),
                ..ComposeConfig::default()
            };
            for item in compose(bank, &config).unwrap() {
                let mut texts = item.question.choices.clone();
                texts.extend([item.question.question, item.caption]);
                let missing: Vec<String> = words(&texts).difference(&known).cloned().collect();
                assert!(missing.is_empty(), "{missing:?}");
            }
        }
    }
}

/// The message of the error that a changed manifest leads to.
fn load_error(change: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_bank(dir.path(), 4, 2);
    change(dir.path());
    let error = Bank::load(dir.path()).unwrap_err();
    let _ = idk_common::diagnose::Diagnose::exit_kind(&error);
    error.to_string()
}

fn append(dir: &Path, line: &str) {
    let path = dir.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).unwrap() + line + "\n";
    write_atomic(&path, text.as_bytes()).unwrap();
}

#[test]
fn a_bad_bank_gives_an_error_that_names_file_and_line() {
    let missing = load_error(|dir| std::fs::remove_file(dir.join("sound-1-0.wav")).unwrap());
    assert!(missing.contains("sound-1-0.wav") && missing.contains("does not exist"), "{missing}");
    let broken = load_error(|dir| append(dir, "{\"path\": \"x.wav\","));
    assert!(broken.contains(MANIFEST_FILE) && broken.contains("line 25"), "{broken}");
    let keyless = load_error(|dir| append(dir, "{\"path\": \"x.wav\", \"modality\": \"sound\"}"));
    assert!(keyless.contains("line 25") && keyless.contains("family"), "{keyless}");
    let row = |path: &str, label: &str, seconds: f64| {
        serde_json::json!({"path": path, "modality": "sound", "family": "f", "label": label, "recording": "r",
            "seconds": seconds})
        .to_string()
    };
    let outside = load_error(|dir| append(dir, &row("../x.wav", "a", 1.0)));
    assert!(outside.contains("leads out of"), "{outside}");
    let refusal = load_error(|dir| append(dir, &row("sound-1-0.wav", "I don't know", 1.0)));
    assert!(refusal.contains("reserved"), "{refusal}");
    let endless = load_error(|dir| append(dir, &row("sound-1-0.wav", "a", -1.0)));
    assert!(endless.contains("seconds"), "{endless}");
    let empty = load_error(|dir| write_atomic(&dir.join(MANIFEST_FILE), b"\n").unwrap());
    assert!(empty.contains("no clips"), "{empty}");
    let silent = load_error(|dir| write_wav(&dir.join("sound-1-0.wav"), &[0.0; 4000], 16_000).unwrap());
    assert!(silent.contains("silent") && silent.contains("sound-1-0.wav"), "{silent}");
    let absent = Bank::load(Path::new("/no/such/bank")).unwrap_err().to_string();
    assert!(absent.contains("does not exist"), "{absent}");
}

#[test]
fn wrong_names_are_errors_that_list_the_right_ones() {
    let of = |config: ComposeConfig| compose(made_up(), &config).unwrap_err().to_string();
    let split = of(ComposeConfig { split: "train".to_owned(), ..ComposeConfig::default() });
    assert!(split.contains("train") && split.contains("base, idk, val, test"), "{split}");
    let modality = of(ComposeConfig { modalities: vec!["smell".to_owned()], ..ComposeConfig::default() });
    assert!(modality.contains("smell") && modality.contains("music, sound, speech"), "{modality}");
    for asked in [0, 99_999_999] {
        let count = of(ComposeConfig { questions_per_modality: Some(asked), ..ComposeConfig::default() });
        assert!(count.contains(&format!("{asked} questions a modality")), "{count}");
    }
    let family = Stream::over(made_up(), Split::Test, &["sound/smell"]).unwrap_err().to_string();
    assert!(family.contains("sound/smell") && family.contains("sound/machine"), "{family}");
    let dir = tempfile::tempdir().unwrap();
    write_bank(dir.path(), 1, 1);
    let bank = Bank::load(dir.path()).unwrap();
    let nothing = compose(&bank, &ComposeConfig::default()).unwrap_err().to_string();
    assert!(nothing.contains("too few recordings"), "{nothing}");
}
