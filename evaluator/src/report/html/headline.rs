//! What was found, in plain sentences.

use crate::compare::methods::{ALL, MethodResult, TaskResult};
use crate::compare::results::Results;
use crate::compare::yardsticks::RuleResult;
use crate::method::Method;
use crate::report::plot::forest::{RULES, extended, rule_rgis};

use super::page::paragraph;

/// The method that the page speaks of first: an adapter, else one that runs a model, else the first.
pub(crate) fn main_method(results: &Results) -> Option<&MethodResult> {
    let find = |is: fn(&MethodResult) -> bool| results.methods.iter().find(|method| is(method));
    find(|method| method.method == Method::Adapter)
        .or_else(|| find(|method| !method.method.is_rule()))
        .or(results.methods.first())
}

/// The name of the base model.
pub(crate) fn model_name(results: &Results) -> &str {
    results.provenance.get("model").map_or("the base model", String::as_str)
}

/// The paragraphs above everything else.
pub(crate) fn headline(results: &Results) -> String {
    let tasks = results.base.iter().filter(|row| row.task != ALL);
    let parts: Vec<String> = tasks.map(|row| format!("{} {}", row.counts.n, row.task)).collect();
    let questions = results.provenance.get("questions").map(|name| format!(" of {name}")).unwrap_or_default();
    let asked = format!("{} questions{questions} ({})", results.n, parts.join(", "));
    let base = results.base.iter().find(|row| row.task == ALL);
    let told = base.map_or(String::new(), |row| {
        let counts = &row.counts;
        shares(counts.n, [counts.correct, counts.wrong, counts.refused])
    });
    let mut text = paragraph(&format!("{} was asked {asked}: {told}", model_name(results)));
    let method = main_method(results);
    if let Some((method, row)) =
        method.and_then(|method| Some((method, method.tasks.iter().find(|row| row.task == ALL)?)))
    {
        text.push_str(&paragraph(&what_changed(&method.name, row)));
        text.push_str(&paragraph(&compared_with_rules(row)));
        text.push_str(&paragraph(&readable_alone(row)));
    }
    for note in results.notes() {
        text.push_str(&paragraph(&note));
    }
    text
}

fn shares(n: usize, counts: [usize; 3]) -> String {
    let [correct, wrong, refused] = counts.map(|count| 100.0 * count as f64 / n.max(1) as f64);
    format!(
        "{correct:.1} % of its answers are right, {wrong:.1} % wrong, {refused:.1} % say that it does not know."
    )
}

fn what_changed(name: &str, row: &TaskResult) -> String {
    let moved = &row.comparison.transition;
    let after =
        [moved.cc + moved.wc + moved.rc, moved.cw + moved.ww + moved.rw, moved.cr + moved.wr + moved.rr];
    let rgi = match (row.comparison.rgi, row.comparison.rgi_ci95, &row.comparison.rgi_reason) {
        (Some(rgi), Some([low, high]), _) => format!("RGI {rgi:+.2}, 95 % interval {low:+.2} to {high:+.2}"),
        (Some(rgi), None, _) => format!("RGI {rgi:+.2}"),
        (None, _, reason) => format!("no RGI: it {}", reason.as_deref().unwrap_or("is undefined")),
    };
    format!(
        "With {name}, {} {} wrong answers went away and {} right ones were lost ({rgi}).",
        shares(row.comparison.n, after),
        moved.gained(),
        moved.lost()
    )
}

/// How the simple rules do at the same refusal rate, and whether the method is better than the best of them. Nothing
/// where nothing was refused.
fn compared_with_rules(row: &TaskResult) -> String {
    if row.comparison.refusal_rate.after == Some(0.0) {
        return String::new();
    }
    let rules: Vec<(&str, f64)> =
        RULES.into_iter().zip(rule_rgis(row)).filter_map(|((_, name), rgi)| Some((name, rgi?))).collect();
    let own = extended(row.comparison.rgi, row.comparison.rgi_reason.as_deref());
    let best = rules.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (Some(own), Some((best_name, best))) = (own, best) else { return String::new() };
    let scores: Vec<String> = rules.iter().map(|(name, rgi)| format!("{} {name}", score(*rgi))).collect();
    let low = row.comparison.rgi_ci95.map_or(f64::NEG_INFINITY, |interval| interval[0]);
    let verdict = if own <= best {
        format!("Refusing {best_name} does as well or better.")
    } else if low > best {
        "Its interval lies above them all.".to_owned()
    } else {
        format!("It scores higher, but its interval includes that of refusing {best_name}.")
    };
    format!("Simple rules that refuse the same number of questions score {}. {verdict}", scores.join(", "))
}

/// How method and rules do without the answers that name no option; nothing where there are none.
fn readable_alone(row: &TaskResult) -> String {
    let Some(readable) = &row.readable else { return String::new() };
    let (left_out, n) = (row.comparison.n - readable.comparison.n, row.comparison.n);
    let text = format!(
        "{left_out} of the base model's {n} answers name no option; they are wrong by definition, and a rule by \
         confidence refuses them first."
    );
    let rgi = |rule: &Option<RuleResult>| {
        rule.as_ref().and_then(|rule| extended(rule.rgi, rule.rgi_reason.as_deref()))
    };
    let own = extended(readable.comparison.rgi, readable.comparison.rgi_reason.as_deref());
    let (one_pass, confidence) = (rgi(&readable.yardsticks.one_pass), rgi(&readable.yardsticks.threshold));
    match (own, one_pass, confidence) {
        (Some(own), Some(one_pass), Some(confidence)) => format!(
            "{text} Over the readable answers alone the method scores {}, refusing the same number by the probability \
             of the whole answer {}, by confidence {}.",
            score(own),
            score(one_pass),
            score(confidence)
        ),
        _ => text,
    }
}

fn score(rgi: f64) -> String {
    if rgi == f64::INFINITY {
        "without a loss".to_owned()
    } else if rgi == f64::NEG_INFINITY {
        "without a gain".to_owned()
    } else {
        format!("{rgi:+.2}")
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::metrics::Comparison;

    use super::*;
    use crate::compare::methods::ReadableResult;
    use crate::report::table::tests::golden_results;

    /// The paper's row over all tasks, its rules replaced.
    fn results(confidence: Option<f64>, interval: [f64; 2]) -> Results {
        let mut results = golden_results(ALL);
        let row = &mut results.methods[0].tasks[0];
        let rule = row.yardsticks.threshold.as_mut().unwrap();
        (rule.rgi, rule.rgi_reason) = (confidence, confidence.is_none().then(|| "lost nothing".to_owned()));
        row.comparison.rgi_ci95 = Some(interval);
        results
    }

    #[test]
    fn the_headline_says_what_was_gained_and_lost() {
        let text = headline(&results(Some(0.0), [0.1, 0.4])).replace('\u{a0}', " ");
        // 27 + 40 wrong answers went away, 16 + 20 right ones were lost.
        assert!(
            text.contains("67 wrong answers went away and 36 right ones were lost (RGI +0.27, 95 %"),
            "{text}"
        );
        assert!(text.contains("61.0 % of its answers are right, 39.0 % wrong, 0.0 % say"), "{text}");
        assert!(text.contains("58.3 % of its answers are right, 23.7 % wrong, 18.0 % say"), "{text}");
    }

    #[test]
    fn it_says_plainly_when_a_simple_rule_does_as_well() {
        for (confidence, interval, expected) in [
            (Some(0.5), [0.1, 0.4], "Refusing by the base model&#39;s confidence does as well or better."),
            (None, [0.1, 0.4], "without a loss by the base model&#39;s confidence"),
            (Some(0.2), [0.1, 0.4], "but its interval includes"),
            (Some(0.0), [0.1, 0.4], "Its interval lies above them all."),
        ] {
            let text = headline(&results(confidence, interval));
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn it_says_how_many_answers_name_no_option_and_what_is_left_without_them() {
        let mut results = results(Some(1.0), [0.1, 0.4]);
        assert!(!headline(&results).contains("name no option"));
        let row = &mut results.methods[0].tasks[0];
        let mut yardsticks = row.yardsticks.clone();
        yardsticks.one_pass = yardsticks.threshold.clone();
        let comparison = Comparison { n: 300, ..row.comparison.clone() };
        row.readable = Some(ReadableResult { comparison, yardsticks });
        let text = headline(&results);
        assert!(text.contains("33 of the base model&#39;s 333 answers name no option"), "{text}");
        assert!(text.contains("the method scores +0.27") && text.contains("by confidence +1.00."), "{text}");
    }

    #[test]
    fn a_method_that_refuses_nothing_is_not_compared_with_rules() {
        let mut results = results(Some(0.0), [0.1, 0.4]);
        results.methods[0].tasks[0].comparison.refusal_rate.after = Some(0.0);
        assert!(!headline(&results).contains("simple rules"));
    }

    #[test]
    fn without_a_method_there_is_the_base_model_alone() {
        let text = headline(&Results { methods: Vec::new(), ..golden_results(ALL) });
        assert_eq!(text.matches("<p>").count(), 1);
        assert!(text.contains("the base model was asked 333 questions"), "{text}");
    }
}
