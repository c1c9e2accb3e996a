//! The table of `docs/reference/scorers.md` is what the scorers say.

use idk_questions::{Question, Scorer, Verdict, judge_with};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/scorers.md");

/// A trap, the options with the right one first, and a reply that steps into it.
type Trap = (&'static str, &'static [&'static str], &'static str);

const TRAPS: [Trap; 16] = [
    ("the option's text", &["rain", "wind"], "Rain."),
    ("letter and text", &["rain", "a dog"], "(A) rain"),
    ("the letter alone", &["rain", "wind"], "(A)"),
    ("the letter in a sentence", &["rain", "wind", "hail", "snow", "thunder"], "The answer is (a)"),
    ("a sentence around the text", &["rain", "the dog is near"], "The answer is rain."),
    ("an explanation that names another option", &["rain", "wind"], "The answer is rain, not wind."),
    (
        "the words of the answer in another order",
        &["first: sad, second: calm", "first: calm, second: sad"],
        "first: calm, second: sad",
    ),
    ("an answer that holds another option", &["fourteen", "four"], "fourteen"),
    ("an answer inside another word", &["rain", "wind"], "a train"),
    ("two options", &["rain", "wind"], "rain or wind"),
    ("the answer denied", &["rain", "wind"], "It is not rain"),
    ("a letter with another option's text", &["rain", "wind"], "(B) rain"),
    ("a refusal", &["rain", "wind"], "I don't know"),
    ("a refusal with a short answer in it", &["D", "G"], "I don't know"),
    ("an option that looks like a refusal", &["Not sure", "Yes"], "Not sure"),
    ("nothing", &["rain", "wind"], ""),
];

fn verdict(scorer: Scorer, reply: &str, options: &[&str]) -> &'static str {
    let question = Question {
        choices: options.iter().map(|&option| option.to_owned()).collect(),
        answer: options[0].to_owned(),
        ..Question::default()
    };
    let judgement = judge_with(scorer, reply, &question);
    match judgement.verdict {
        Verdict::Correct => "correct",
        Verdict::Refused => "refused",
        Verdict::Wrong if judgement.unparsed => "wrong (unparsed)",
        Verdict::Wrong => "wrong",
    }
}

fn table() -> String {
    let names = Scorer::ALL.map(|scorer| format!("`{}`", scorer.name()));
    let mut text = format!("| trap | options, the right one first | reply | {} |\n", names.join(" | "));
    text.push_str("|---|---|---|---|---|---|\n");
    for (trap, options, reply) in TRAPS {
        let verdicts = Scorer::ALL.map(|scorer| verdict(scorer, reply, options));
        let reply = if reply.is_empty() { "(empty)".to_owned() } else { format!("`{reply}`") };
        text.push_str(&format!(
            "| {trap} | {} | {reply} | {} |\n",
            options.join(" / "),
            verdicts.join(" | ")
        ));
    }
    text
}

#[test]
fn the_documented_table_is_what_the_scorers_say() {
    let text = idk_common::fs::read_to_string(DOCUMENT.as_ref()).unwrap();
    let (_, after) = text.split_once("<!-- table -->\n").unwrap();
    let (documented, _) = after.split_once("<!-- end of table -->").unwrap();
    assert_eq!(documented, table(), "the table must be:\n{}", table());
}
