//! Example questions with the answers before and after, some of every kind of change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use idk_common::seed::{Rng, derive_seed};
use idk_model::ModelError;
use idk_questions::{AskedQuestion, Verdict};

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::groups::sub_category_name;
use crate::error::EvalError;
use crate::report::plot::draw::escape::escape;

use super::clips::Budget;

/// Most examples of a page.
const MAX_EXAMPLES: usize = 30;

/// Those that are shown at once, one of each kind of change while there are as many kinds.
const FIRST: usize = 5;

/// The changes, those of the most interest first.
const CHANGES: [(Verdict, Verdict); 9] = [
    (Verdict::Wrong, Verdict::Refused),
    (Verdict::Correct, Verdict::Refused),
    (Verdict::Wrong, Verdict::Correct),
    (Verdict::Correct, Verdict::Wrong),
    (Verdict::Refused, Verdict::Correct),
    (Verdict::Refused, Verdict::Wrong),
    (Verdict::Correct, Verdict::Correct),
    (Verdict::Wrong, Verdict::Wrong),
    (Verdict::Refused, Verdict::Refused),
];

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Correct => "correct",
        Verdict::Wrong => "wrong",
        Verdict::Refused => "refused",
    }
}

/// Places of the chosen questions, with the number of their change: of every change one in turn, in an order that
/// depends on the seed, until there are enough.
fn choose(before: &[Answer], after: &[Answer], seed: u64) -> Vec<(usize, usize)> {
    let mut by_change: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, (was, is)) in before.iter().zip(after).enumerate() {
        let pair = (was.judgement.verdict, is.judgement.verdict);
        let change = CHANGES.iter().position(|change| *change == pair).unwrap_or_default();
        by_change.entry(change).or_default().push(place);
    }
    for (change, places) in &mut by_change {
        Rng::new(derive_seed(seed, "report-examples", &[&change.to_string()])).shuffle(places);
    }
    let mut chosen = Vec::new();
    for round in 0..MAX_EXAMPLES {
        for (&change, places) in &by_change {
            chosen.extend(places.get(round).map(|&place| (change, place)));
        }
    }
    chosen.truncate(MAX_EXAMPLES);
    chosen
}

/// The first examples, and the others folded up with buttons that show one kind of change only (hidden until the page's
/// script runs).
///
/// # Errors
/// [`EvalError::Model`] for a recording that cannot be read at the moment.
pub(crate) fn examples(
    prepared: &Prepared,
    base: &[Answer],
    name: &str,
    after: &[Answer],
    seed: u64,
) -> Result<String, EvalError> {
    let mut budget = Budget::default();
    // Recordings go to the first that were drawn, so that every change has some; shown they are change by change.
    let chosen = choose(base, after, seed);
    let mut cards: Vec<(usize, String)> = chosen
        .into_iter()
        .map(|(change, place)| {
            let question = &prepared.questions[place];
            let players = question.original.audio.iter().map(|path| budget.player(path));
            let players = players.collect::<Result<String, _>>().map_err(ModelError::from)?;
            let card = card(question, change, &players, [("base", &base[place]), (name, &after[place])]);
            Ok((change, card))
        })
        .collect::<Result<_, EvalError>>()?;
    let mut more = cards.split_off(FIRST.min(cards.len()));
    let joined = |cards: Vec<(usize, String)>| cards.into_iter().map(|card| card.1).collect::<String>();
    let first = format!("<div class=\"cards\">\n{}</div>\n", joined(cards));
    if more.is_empty() {
        return Ok(first);
    }
    more.sort_by_key(|card| card.0);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (change, _) in &more {
        *counts.entry(*change).or_default() += 1;
    }
    let button = |(change, count): (&usize, &usize)| {
        let (was, is) = CHANGES[*change];
        format!(
            "<button type=\"button\" data-show=\"{change}\" aria-pressed=\"false\">{} → {} ({count})</button>\n",
            word(was),
            word(is)
        )
    };
    let buttons: String = counts.iter().map(button).collect();
    let count = more.len();
    Ok(format!(
        "{first}<details>\n<summary>{count} more</summary>\n<p class=\"filter\" hidden><button type=\"button\" data-show=\"\" \
         aria-pressed=\"true\">all ({count})</button>\n{buttons}</p>\n<div class=\"cards\">\n{}</div>\n</details>\n",
        joined(more)
    ))
}

fn card(question: &AskedQuestion, change: usize, players: &str, answers: [(&str, &Answer); 2]) -> String {
    let shown = &question.shown;
    let mut card = format!(
        "<article data-change=\"{change}\">\n<p class=\"faint\">{} · {}</p>\n<h3>{}</h3>\n{players}",
        escape(&shown.id),
        escape(&sub_category_name(shown)),
        escape(&shown.question)
    );
    if !shown.is_answerable() {
        card.push_str("<p>No answer is right: to refuse is.</p>\n");
    } else if shown.is_open() {
        let _ = writeln!(card, "<p>Right: {}</p>", escape(&shown.answer));
    }
    if !shown.is_open() {
        let option = |choice: &String| {
            let (open, close) = if *choice == shown.answer { ("<b>", " ✓</b>") } else { ("", "") };
            format!("<li>{open}{}{close}</li>", escape(choice))
        };
        let _ =
            writeln!(card, "<ol type=\"A\">{}</ol>", shown.choices.iter().map(option).collect::<String>());
    }
    for (name, answer) in answers {
        let verdict = word(answer.judgement.verdict);
        let unreadable = if answer.judgement.unparsed { " (unreadable)" } else { "" };
        let _ = writeln!(
            card,
            "<p class=\"said\"><span class=\"verdict {verdict}\">{verdict}</span> {}: <q>{}</q>{unreadable}</p>",
            escape(name),
            escape(&answer.text)
        );
    }
    card + "</article>\n"
}

#[cfg(test)]
pub(crate) mod tests {
    use idk_questions::{PromptStyle, Question};

    use super::*;

    /// As many questions as pairs of verdicts; every text is `text`.
    pub(crate) fn case(pairs: &[(Verdict, Verdict)], text: &str) -> (Prepared, Vec<Answer>, Vec<Answer>) {
        let question = |index: usize| Question {
            id: format!("q{index}{text}"),
            question: text.to_owned(),
            choices: vec!["cat".to_owned(), text.to_owned()],
            answer: text.to_owned(),
            task: text.to_owned(),
            sub_category: text.to_owned(),
            ..Question::default()
        };
        let prepare = |question: Question| AskedQuestion { shown: question.clone(), original: question };
        let answer = |index: usize, verdict: Verdict| Answer {
            id: format!("q{index}{text}"),
            text: text.to_owned(),
            judgement: verdict.into(),
            log_prob: None,
            tokens: None,
            option_log_probs: Vec::new(),
            refusal_margin: None,
            steps: Vec::new(),
            by_model: None,
        };
        let prepared = Prepared {
            questions: (0..pairs.len()).map(|index| prepare(question(index))).collect(),
            clips: Vec::new(),
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        let answers = pairs.iter().enumerate();
        let (before, after) = answers.map(|(i, &(was, is))| (answer(i, was), answer(i, is))).unzip();
        (prepared, before, after)
    }

    #[test]
    fn rare_changes_are_all_there_and_the_rest_is_filled_up_with_the_common_ones() {
        let (correct, wrong, refused) = (Verdict::Correct, Verdict::Wrong, Verdict::Refused);
        let mut pairs = vec![(correct, correct); 100];
        pairs.extend([(wrong, refused); 3]);
        pairs.push((correct, refused));
        let (_, before, after) = case(&pairs, "x");
        let chosen = choose(&before, &after, 7);
        let count = |change| chosen.iter().filter(|(found, _)| *found == change).count();
        assert_eq!((chosen.len(), count(0), count(1), count(6)), (30, 3, 1, 26));
        let first: Vec<usize> = chosen.iter().take(3).map(|(change, _)| *change).collect();
        assert_eq!(first, [0, 1, 6], "one of every change comes first");
        assert_eq!(choose(&before, &after, 7), chosen);
        assert_ne!(choose(&before, &after, 8), chosen);
    }

    #[test]
    fn questions_and_answers_cannot_hold_markup() {
        let attack = "</script><img onerror=\"x\" src='y'>\u{0}";
        let (prepared, before, after) = case(&[(Verdict::Wrong, Verdict::Refused)], attack);
        let html = examples(&prepared, &before, attack, &after, 0).unwrap();
        for part in ["</script", "<img", "onerror=\"", "\u{0}"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        assert_eq!(html.matches("&lt;img").count(), 8, "{html}");
    }

    #[test]
    fn five_examples_come_first_one_of_every_kind_and_the_others_have_a_button_per_kind() {
        let html_of = |pairs: &[(Verdict, Verdict)]| {
            let (prepared, before, after) = case(pairs, "x");
            examples(&prepared, &before, "adapter", &after, 0).unwrap()
        };
        let (refused, kept) = ((Verdict::Wrong, Verdict::Refused), (Verdict::Correct, Verdict::Correct));
        let few = html_of(&[refused, kept]);
        assert_eq!(few.matches("<button").count(), 0);
        assert!(few.contains("<article data-change=\"0\">") && few.contains("<article data-change=\"6\">"));

        let many = html_of(&[refused, refused, refused, refused, kept, kept, kept]);
        let (first, more) = many.split_once("<details>").unwrap();
        assert_eq!((first.matches("<article").count(), more.matches("<article").count()), (5, 2));
        assert_eq!(first.matches("data-change=\"6\"").count(), 2, "{first}");
        assert_eq!(more.matches("<button").count(), 3);
        assert!(more.contains("data-show=\"0\" aria-pressed=\"false\">wrong → refused (1)"), "{more}");
    }
}
