//! Any text as a reply to any options: one reading, the same for the same reply, never a panic or a long wait.

#![no_main]

use idk_questions::{Question, Scorer, Verdict, judge, judge_with};
use libfuzzer_sys::fuzz_target;

/// The options of an input that names none.
const OPTIONS: [&str; 4] = ["rain", "a dog", "footsteps on snow", "4"];

fuzz_target!(|text: &str| {
    // The first line may be the options, with bars between them.
    let (options, reply) = match text.split_once('\n') {
        Some((first, rest)) if first.contains('|') => (first.split('|').collect(), rest),
        _ => (OPTIONS.to_vec(), text),
    };
    let choices: Vec<String> = options.into_iter().map(str::to_owned).collect();
    let question = Question { answer: choices[0].clone(), choices, ..Question::default() };
    let judgement = judge(reply, &question);
    let named = judgement.choice.map(|choice| &question.choices[choice]);
    assert_eq!(judgement.verdict == Verdict::Correct, named == Some(&question.answer));
    assert!(!judgement.unparsed || (named.is_none() && judgement.verdict == Verdict::Wrong));
    assert_eq!(judge(&format!("\n {reply} \n"), &question), judgement, "white space around a reply changes nothing");
    for scorer in Scorer::ALL {
        let _ = judge_with(scorer, reply, &question);
    }
    let open = Question { choices: Vec::new(), ..question };
    let _ = judge(reply, &open);
});
