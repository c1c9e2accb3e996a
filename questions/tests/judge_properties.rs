//! What holds for every reply: what does not change a reading, what moves with the options, and how long it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use idk_questions::{Judgement, Question, is_refusal, judge, shuffled};
use serde_json::Value;

fn question(choices: &[&str]) -> Question {
    Question {
        id: "q".to_owned(),
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        answer: choices[0].to_owned(),
        ..Question::default()
    }
}

/// The replies of the fixtures, each with its question; open questions aside.
#[expect(clippy::expect_used, reason = "a helper of tests")]
fn replies() -> Vec<(Question, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut replies = Vec::new();
    for name in ["replies.jsonl", "replies-reported.jsonl"] {
        for row in idk_common::json::read_jsonl::<Value>(&folder.join(name)).expect("a fixture") {
            let choices: Vec<&str> =
                row["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if !choices.is_empty() {
                replies.push((question(&choices), row["reply"].as_str().unwrap_or_default().to_owned()));
            }
        }
    }
    replies
}

#[test]
fn an_end_token_and_white_space_around_a_reply_change_nothing() {
    for (question, reply) in replies() {
        let plain = judge(&reply, &question);
        for (before, after) in
            [("", "<|im_end|>"), ("", "</s>"), ("", " \n"), ("\n ", ""), ("", "<|endoftext|>\n")]
        {
            let changed = judge(&format!("{before}{reply}{after}"), &question);
            assert_eq!(changed, plain, "{before:?} {reply:?} {after:?}");
        }
    }
}

#[test]
fn a_closed_thought_before_a_reply_changes_nothing_and_an_open_one_hides_it() {
    for (question, reply) in replies().into_iter().filter(|(_, reply)| !reply.contains(['<', '[', '◁'])) {
        let plain = judge(&reply, &question);
        let thought = judge(&format!("<think>The answer is (A), or (B)?</think>\n{reply}"), &question);
        assert_eq!(thought, plain, "{reply:?}");
        assert_eq!(judge(&format!("<think>{reply}"), &question), Judgement::UNPARSED, "{reply:?}");
    }
}

#[test]
fn the_reading_of_an_option_moves_with_the_option() {
    let sets: [&[&str]; 5] = [
        &["footsteps", "footsteps on snow", "rain", "snow"],
        &["A minor", "C major", "E minor", "A major"],
        &["1", "12", "1.5 s", "15 s"],
        &["猫", "狗", "鸟叫", "牛"],
        &["male", "female", "a man and a woman", "nobody"],
    ];
    for choices in sets {
        for seed in 0..24 {
            let shown = shuffled(&question(choices), seed);
            for (index, text) in shown.choices.iter().enumerate() {
                let letter = char::from(b'A' + u8::try_from(index).unwrap());
                for reply in [
                    text.clone(),
                    format!("{text}."),
                    format!("The answer is {text}."),
                    format!("({letter}) {text}"),
                    format!("{letter}. {text}"),
                    format!("({letter})"),
                    format!("<answer>{letter}</answer>"),
                    format!("The answer is {letter}."),
                    format!("Probably ({letter})"),
                ] {
                    let judgement = judge(&reply, &shown);
                    assert_eq!(judgement.choice, Some(index), "{reply:?} of {:?}", shown.choices);
                }
            }
        }
    }
}

#[test]
fn an_option_that_is_denied_asked_about_or_supposed_is_never_read() {
    let sets: std::collections::BTreeSet<Vec<String>> =
        replies().into_iter().map(|(question, _)| question.choices).collect();
    // Options that deny or refuse themselves are theirs to read.
    let plain = |option: &String| {
        !["no", "not", "none", "neither", "No", "False", "Yes", "True"]
            .iter()
            .any(|word| option.contains(word))
            && !is_refusal(option)
    };
    for choices in sets {
        let question = question(&choices.iter().map(String::as_str).collect::<Vec<_>>());
        for (index, option) in choices.iter().enumerate().filter(|(_, option)| plain(option)) {
            for form in [
                "It is not {}.",
                "The answer is not {}.",
                "I don't think it is {}.",
                "I don't know if it is {}.",
                "Is it {}?",
                "If it were {}, it would be clear.",
                "{} can be ruled out.",
                "{} is wrong.",
                "It could be {}, but I can't tell.",
                "<think>It is {}",
            ] {
                let reply = form.replace("{}", option);
                assert_ne!(judge(&reply, &question).choice, Some(index), "{reply:?} of {choices:?}");
            }
        }
    }
}

#[test]
fn a_reply_of_64_kb_is_judged_in_a_moment_whatever_it_repeats() {
    const BYTES: usize = 1 << 16;
    let question = question(&["a dog", "a cat", "dog dog dog dog dog dog", "2 or 3", "狗"]);
    let parts = [
        "a ",
        "dog ",
        "a dog or a cat, ",
        "The answer is ",
        "answer: ",
        "not ",
        "I don't know ",
        "(A) ",
        "A, ",
        "B. ",
        "<",
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "<think></thinking>",
        "</s>",
        "<|im_end|>",
        "\\boxed{",
        "{",
        "}",
        "狗",
        "不",
        "我不",
        "B,狗",
        "1 000 ",
        "1,000",
        "-",
        "d-",
        "'",
        "l'",
        "`",
        "```\n",
        "# ",
        "if would ",
        "whether ",
        "i can not ~ ",
        "no ",
        "so ",
        "?",
        "A? ",
        "\u{300}",
        "ﬃ",
        "<|",
        "|>",
        "\\text{",
        "can not be said or ",
        "ich kann ",
        "我",
        "無法",
        "(",
        "((A",
        "[",
        "it is A and ",
        "a dog, ",
        "no dog, a cat or ",
        "2 or 3, 4, ",
        "wait, ",
        "no wait ",
    ];
    for part in parts {
        let started = Instant::now();
        let _ = judge(&part.repeat(BYTES / part.len()), &question);
        // Quadratic time would be minutes; unoptimised code on a busy machine takes a second.
        assert!(started.elapsed() < Duration::from_secs(60), "{part:?}: {:?}", started.elapsed());
        if std::env::var_os("IDK_TIMES").is_some() {
            println!("{part:?}: {:?}", started.elapsed());
        }
    }
}
