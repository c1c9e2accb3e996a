//! Questions without a right answer, and options that refuse.

use idk_questions::{
    Question, ReadOptions, RefusalOption, Scorer, Verdict, judge, judge_with, read_questions,
    read_questions_with, write_questions,
};
use serde_json::{Value, json};

use crate::{MMAU_CLIP, clip, folder, mmau, read, rejections, with};

/// Four rows about one clip, as AQUA-Bench has them; `option` is what says that no answer is right.
fn aqua_bench(option: &str) -> Vec<Value> {
    let row = |id: u32, kind: &str, stem: &str, options: [&str; 3], answer: &str| {
        let letters = ["(a)", "(b)", "(c)", "(d)"];
        let listed =
            options.iter().chain([&option]).zip(letters).map(|(text, letter)| format!("{letter} {text}"));
        let listed: Vec<String> = listed.collect();
        json!({
            "id": id, "type": kind, "subtype": "animal", "question": format!("{stem} {} Choose one.", listed.join(" ")),
            "options": [options[0], options[1], options[2], option], "answer": answer, "audio_filename": "a.wav", "fold": 3,
        })
    };
    let animals = ["frog", "sheep", "crow"];
    vec![
        row(0, "Solvable", "Which animal calls?", animals, "sheep"),
        row(1, "AAD", "Which animal calls?", ["frog", "cow", "crow"], option),
        row(2, "IASD", "Which animal calls?", ["red", "blue", "green"], option),
        row(3, "IAQD", "Which colour has the car?", ["red", "blue", "green"], option),
    ]
}

#[test]
fn aqua_bench_is_read_with_its_option_that_refuses_or_without() {
    for option in ["None of the above", "Unanswerable"] {
        let dir = folder("aqua.json", &json!(aqua_bench(option)).to_string(), &["audio/a.wav"]);
        let path = dir.path().join("aqua.json");
        let set = read_questions(&path).unwrap();
        assert_eq!(set.rejected, []);
        let kinds: Vec<Option<&str>> = set.questions.iter().map(|it| it.unanswerable.as_deref()).collect();
        assert_eq!(kinds, [None, Some("AAD"), Some("IASD"), Some("IAQD")]);
        let solvable = &set.questions[0];
        assert_eq!((solvable.question.as_str(), solvable.answer.as_str()), ("Which animal calls?", "sheep"));
        assert_eq!(
            (clip(&dir, solvable).as_str(), solvable.sub_category.as_str()),
            ("audio/a.wav", "animal")
        );
        assert_eq!((&solvable.extra["type"], &solvable.extra["fold"]), (&"Solvable".into(), &3.into()));
        for (place, question) in set.questions.iter().enumerate() {
            assert_eq!((question.choices.len(), question.refusal_option.as_str()), (4, option));
            for reply in [option, "D", "The answer is (d)", "I don't know"] {
                assert_eq!(judge(reply, question).verdict, Verdict::Refused, "{reply}");
            }
            let right = if place == 0 { Verdict::Correct } else { Verdict::Wrong };
            assert_eq!(judge("The answer is (b)", question).verdict, right);
        }
        let drop = ReadOptions { refusal_option: RefusalOption::Drop, ..ReadOptions::default() };
        let dropped = read_questions_with(&path, &drop).unwrap();
        assert_eq!(dropped.rejected, []);
        for (place, question) in dropped.questions.iter().enumerate() {
            assert_eq!((question.choices.len(), question.refusal_option.as_str()), (3, ""));
            assert_eq!(question.is_answerable(), place == 0);
            assert_eq!(judge("I don't know", question).verdict, Verdict::Refused);
        }
        let copy = dir.path().join("copy.json");
        write_questions(&copy, &set.questions).unwrap();
        assert_eq!(
            read_questions(&copy).unwrap().questions,
            set.questions,
            "what is written keeps the option"
        );
    }
}

#[test]
fn an_option_that_refuses_must_be_one_of_the_options_and_being_the_answer_leaves_none() {
    let options = ["wind", "rain", "other"];
    let rows = json!([
        with(&mmau("r1", &options), &[("refusal_option", json!("Other."))]),
        with(&mmau("r2", &options), &[("refusal_option", json!("other")), ("answer", json!("other"))]),
        with(&mmau("r3", &options), &[("refusal_option", json!("none"))]),
    ]);
    let (_dir, set) = read(&rows, MMAU_CLIP);
    assert_eq!(rejections(&set), [(3, "r3", "bad-field")]);
    let [first, second] = [&set.questions[0], &set.questions[1]];
    assert_eq!((first.refusal_option.as_str(), first.is_answerable()), ("other", true));
    assert_eq!((second.unanswerable.as_deref(), second.answer.as_str()), (Some(""), ""));
    assert_eq!(
        [judge("wind", first), judge("(C)", first)].map(|it| it.verdict),
        [Verdict::Correct, Verdict::Refused]
    );
}

#[test]
fn a_question_has_no_right_answer_where_it_is_null_or_the_row_says_so() {
    let mut without_answer = mmau("u2", &["wind", "rain"]);
    without_answer.as_object_mut().unwrap().remove("answer");
    let rows = [
        with(&mmau("u1", &["(A) wind", "(B) rain"]), &[("answer", Value::Null), ("kind", json!("absent"))]),
        with(&without_answer, &[("answerable", json!(false))]),
        with(
            &mmau("u3", &["wind", "rain"]),
            &[("choices", json!([])), ("answer", json!("")), ("answerable", json!(false))],
        ),
        with(&mmau("a1", &["wind", "rain"]), &[("answerable", json!(true)), ("kind", json!("event"))]),
        json!({"id": "u4", "audio": "a.wav", "question": "Who sings?", "answer": null}),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    for (name, text) in [("q.json", json!(rows[..4]).to_string()), ("q.jsonl", lines)] {
        let dir = folder(name, &text, &[MMAU_CLIP[0], "a.wav"]);
        let set = read_questions(&dir.path().join(name)).unwrap();
        let kinds: Vec<Option<&str>> =
            set.questions.iter().map(|question| question.unanswerable.as_deref()).collect();
        assert_eq!(kinds[..4], [Some("absent"), Some(""), Some(""), None], "{:?}", set.rejected);
        assert_eq!(set.questions[0].choices, ["wind", "rain"]);
        assert!(set.questions[..3].iter().all(|question| question.answer.is_empty()));
        let kept: Vec<&str> = set.questions[3].extra.keys().map(String::as_str).collect();
        assert_eq!(kept, ["answerable", "kind"], "keys of a question that has an answer stay as they are");
        for copy in ["copy.json", "copy.jsonl"].map(|name| dir.path().join(name)) {
            write_questions(&copy, &set.questions).unwrap();
            assert_eq!(read_questions(&copy).unwrap().questions, set.questions);
        }
    }
}

#[test]
fn no_reply_but_a_refusal_is_right_where_there_is_no_right_answer() {
    for choices in [&["wind", "rain", "dog"][..], &[]] {
        let question = Question {
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            unanswerable: Some("absent".to_owned()),
            ..Question::default()
        };
        for reply in ["wind", "(B)", "It is the dog.", "???", "", "none of them"] {
            assert_ne!(judge(reply, &question).verdict, Verdict::Correct, "{reply}");
            for scorer in Scorer::ALL {
                assert_ne!(judge_with(scorer, reply, &question).verdict, Verdict::Correct, "{reply}");
            }
        }
        assert_eq!(judge("I don't know", &question).verdict, Verdict::Refused);
        assert_eq!(judge("wind", &question).verdict, Verdict::Wrong);
    }
}
