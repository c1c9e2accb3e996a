//! The results as Markdown tables for a terminal, at most 120 columns wide.

use idk_common::text::{ellipsis, terminal_safe};
use idk_questions::metrics::{BeforeAfter, Comparison, show, show_rgi};

use crate::compare::groups::Grouping;
use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::{BaseResult, Results};
use crate::compare::rules::Rule;
use crate::method::Method;
use crate::report::abstention_table::abstention_text;
use crate::report::details::{group_tables, pair_table, transition_tables};
use crate::report::export::{as_csv, as_latex};
use crate::report::measure_table::measure_tables;
use crate::report::rate_table::rate_tables;
use crate::report::text_table::{Cell, markdown};
use crate::report::yardstick_table::{
    RANKING_NOTE, READABLE_NOTE, RULES_NOTE, Yardstick, ranking_table, rule_table, yes_or_no,
};

/// Longest task name, so that a name from a file cannot widen the table.
const MAX_NAME_CHARS: usize = 8;

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableFormat {
    /// Markdown tables that fit a terminal.
    #[default]
    Markdown,
    /// One table of comma-separated values.
    Csv,
    /// One table for a paper, with the package booktabs.
    Latex,
}

/// What of the results is printed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The form.
    pub format: TableFormat,
    /// Rows for groups: in Markdown after the tasks, else in their place.
    pub by: Option<Grouping>,
    /// The 3 x 3 tables of what became of every answer; in Markdown only, CSV has them in its columns.
    pub transitions: bool,
    /// The table of p-values; in Markdown only.
    pub pairs: bool,
}

/// The results in the form that was asked for.
pub fn render(results: &Results, view: &View) -> String {
    match view.format {
        TableFormat::Csv => return as_csv(results, view.by),
        TableFormat::Latex => return as_latex(results, view.by),
        TableFormat::Markdown => {}
    }
    let mut text = tables(results);
    if let Some(by) = view.by {
        text.push_str(&group_tables(results, by));
    }
    if view.transitions {
        text.push_str(&transition_tables(results));
    }
    if view.pairs {
        text.push_str(&pair_table(results));
    }
    text
}

/// All tables of an evaluation: one for each method, or the base model's alone if there is no method; then those of the
/// questions without a right answer, if there are any.
pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    if results.methods.is_empty() {
        text.push_str(&base_table(&results.base));
    }
    for method in &results.methods {
        text.push_str(&method_table(method));
    }
    text.push_str(&measure_tables(results));
    text.push_str(&rate_tables(results));
    if let Some(of) = &results.unanswerable {
        text.push_str(&abstention_text(of));
    }
    for note in results.notes() {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

/// One method compared with the base model, one row per task: shares in percent, then what rules and rankings give that
/// need no training. Measures of doubt have one table together instead of the latter.
pub fn method_table(result: &MethodResult) -> String {
    let header = ["test", "Acc", "Tru", "Rel", "refused", "dCon", "dHum", "RGI [95 %]"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(result.tasks.iter().map(method_row));
    let unparsed: Vec<String> = result
        .tasks
        .iter()
        .map(|task| {
            let (name, row) = (name(&task.task), &task.comparison);
            format!("{name} {} ({}→{} name no option)", row.n, row.unparsed.before, row.unparsed.after)
        })
        .collect();
    let main = format!(
        "{} against the base model, before→after:\n\n{}\n{}n: {}\n",
        terminal_safe(&result.name),
        aligned(&rows),
        result.rule.as_ref().map(rule_note).unwrap_or_default(),
        unparsed.join(", "),
    );
    if result.method.is_measure() {
        return main;
    }
    let has_unreadable = result.tasks.iter().any(|task| task.readable.is_some());
    let readable = if has_unreadable { format!("{READABLE_NOTE}\n") } else { String::new() };
    format!(
        "{main}\nRGI next to rules that need no training and refuse as many of the base model's answers:\n\n{}\n\
         {RULES_NOTE}\n{readable}\n\
         AUROC of rankings, within sub-categories (over all questions): is what the base model gets wrong ranked \
         first?\n\n{}\n{RANKING_NOTE}\n{}\n",
        yardstick(rule_table(result)),
        yardstick(ranking_table(result)),
        yes_or_no(result),
    )
}

/// As Markdown.
fn yardstick(table: Yardstick) -> String {
    aligned(&[vec![table.head], table.rows].concat())
}

/// What a rule refused by, as one line.
fn rule_note(rule: &Rule) -> String {
    match rule {
        Rule::Fitted { rule, fit, probability } => match fit.threshold {
            None => format!("Refuses nothing: {}.\n", fit.reason.as_deref().unwrap_or("no threshold")),
            Some(threshold) => {
                let beyond = beyond(*rule, probability.unwrap_or(threshold));
                format!("Refuses answers {beyond}, fitted on {} questions of val.\n", fit.n)
            }
        },
        Rule::Group { known_share_below, refused } => format!(
            "Refuses the {} sub-categories of which the base model knows less than {:.0} %.\n",
            refused.len(),
            100.0 * known_share_below
        ),
        Rule::Random { refusals, like } => {
            let like = like.as_ref().map(|name| format!(", as many as {}", terminal_safe(name)));
            format!("Refuses {refusals} questions at random{}.\n", like.unwrap_or_default())
        }
    }
}

/// Which answers the threshold of a measure refuses.
fn beyond(measure: Method, threshold: f64) -> String {
    match measure {
        Method::Threshold => format!("of a probability below {threshold:.3}"),
        Method::OnePass => format!("of a probability below {threshold:.3} as a whole"),
        Method::SelfConsistency => {
            format!("that fewer than {:.0} % of the samples agree with", 100.0 * threshold)
        }
        _ if measure.grows_with_doubt() => format!("of a {} above {threshold:.3}", measure.name()),
        _ => format!("of a {} below {threshold:.3}", measure.name()),
    }
}

fn method_row(task: &TaskResult) -> Vec<String> {
    let row = &task.comparison;
    vec![
        name(&task.task),
        change(&row.acc),
        change(&row.tru),
        change(&row.rel),
        change(&row.refusal_rate),
        percent(row.dcon),
        percent(row.dhum),
        rgi_with_interval(row),
    ]
}

fn base_table(base: &[BaseResult]) -> String {
    let header = ["test", "n", "Acc", "Tru", "Rel", "refused", "unreadable"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for row in base {
        let counts = &row.counts;
        let shares = [counts.acc(), counts.tru(), counts.rel(), counts.refusal_rate()];
        let mut cells = vec![name(&row.task), counts.n.to_string()];
        cells.extend(shares.map(|share| percent(share.map(|share| 100.0 * share))));
        cells.push(counts.unparsed.to_string());
        rows.push(cells);
    }
    format!("base model:\n\n{}", aligned(&rows))
}

pub(crate) fn name(task: &str) -> String {
    // A bar would end the cell.
    ellipsis(&terminal_safe(task), MAX_NAME_CHARS).replace('|', "/")
}

pub(crate) fn change(values: &BeforeAfter<Option<f64>>) -> String {
    format!("{}→{}", percent(values.before), percent(values.after))
}

pub(crate) fn percent(value: Option<f64>) -> String {
    let text = show(value, 1);
    // One column less, which the table needs.
    if text == "100.0" { "100".to_owned() } else { text }
}

/// `+0.27 [+0.10,+0.44]`, or the reason why there is no number.
pub(crate) fn rgi_with_interval(row: &Comparison) -> String {
    show_rgi(row.rgi, row.rgi_ci95, row.rgi_reason.as_deref())
}

/// A Markdown table of texts that are safe already.
fn aligned(rows: &[Vec<String>]) -> String {
    let grid: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(Cell::own).collect()).collect();
    markdown(&grid)
}

#[cfg(test)]
pub(crate) mod tests {
    use idk_questions::Verdict;
    use idk_questions::metrics::compare;

    use super::*;
    use crate::compare::groups::{GroupCounts, GroupResult};
    use crate::compare::results::FORMAT;
    use crate::compare::yardsticks::{Auroc, RuleResult, Yardsticks};
    use crate::config::EvalConfig;
    use idk_questions::PromptStyle;
    use idk_questions::metrics::{Counts, RiskCoverage};

    fn row(task: &str, cells: &[(Verdict, Verdict, usize)]) -> TaskResult {
        let repeated = cells.iter().flat_map(|&(was, is, count)| std::iter::repeat_n((was, is), count));
        let (before, after): (Vec<Verdict>, Vec<Verdict>) = repeated.unzip();
        let rule = RuleResult {
            acc: Some(50.0),
            dcon: Some(0.0),
            dhum: Some(1.0),
            rgi: None,
            rgi_reason: Some("lost nothing".to_owned()),
        };
        TaskResult {
            task: task.to_owned(),
            comparison: compare(&before, &after, None, 0, 200).unwrap(),
            yardsticks: Yardsticks {
                threshold: Some(rule),
                auroc: Auroc { refusal_within: Some(0.523), ..Auroc::default() },
                ..Yardsticks::default()
            },
            readable: None,
            risk_coverage: RiskCoverage::default(),
        }
    }

    fn golden() -> TaskResult {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        row("sound", &[(C, C, 167), (C, W, 16), (C, R, 20), (W, C, 27), (W, W, 63), (W, R, 40)])
    }

    fn method(tasks: Vec<TaskResult>) -> MethodResult {
        let group = |row: &TaskResult| GroupResult {
            group: format!("{}/event", row.task),
            comparison: row.comparison.clone(),
        };
        MethodResult {
            name: "adapter".to_owned(),
            method: Method::Adapter,
            rule: None,
            missing: 0,
            sub_categories: tasks.iter().map(group).collect(),
            difficulties: tasks.iter().map(group).collect(),
            tasks,
        }
    }

    /// The results of an evaluation with the paper's row as the only task of the only method.
    pub(crate) fn golden_results(task: &str) -> Results {
        let counts = Counts { n: 333, correct: 203, wrong: 130, ..Counts::default() };
        let group = GroupCounts { group: format!("{task}/event"), counts };
        Results {
            format: FORMAT,
            program: String::new(),
            seed: 0,
            prompt: PromptStyle::default(),
            config: EvalConfig::default(),
            provenance: std::collections::BTreeMap::new(),
            n: 333,
            rejected: 0,
            cut_audio: 0,
            open: 0,
            judge: None,
            unanswerable: None,
            base: vec![BaseResult { task: task.to_owned(), counts, risk_coverage: RiskCoverage::default() }],
            base_sub_categories: vec![group.clone()],
            base_difficulties: vec![group],
            methods: vec![method(vec![TaskResult { task: task.to_owned(), ..golden() }])],
            pairs: Vec::new(),
        }
    }

    #[test]
    fn a_row_prints_the_papers_numbers_and_every_line_fits_120_columns() {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let bad = row("environment", &[(C, R, 300), (W, R, 4), (R, R, 29)]);
        let result = method(vec![golden(), bad]);
        let table = method_table(&result);
        let line = table.lines().find(|line| line.starts_with("| sound")).unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[1..7], ["61.0→58.3", "61.0→76.3", "61.0→73.0", "0.0→18.0", "10.8", "20.1"]);
        assert!(cells.len() == 8 && cells[7].starts_with("+0.27 ["), "{line}");
        for line in table.lines().filter(|line| line.starts_with('|')) {
            assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn a_method_that_refuses_nothing_is_not_compared_with_refusing_at_random() {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        for (cells, shown) in [([(C, W, 3), (W, C, 4)], "-"), ([(C, C, 3), (W, R, 4)], "+0.12")] {
            let table = method_table(&method(vec![row("music", &cells)]));
            let line = table.lines().filter(|line| line.starts_with("| music")).nth(1).unwrap();
            // log10(4 / 3): 4 of 7 answers were wrong.
            assert_eq!(line.trim_matches('|').split('|').map(str::trim).nth(5), Some(shown), "{line}");
        }
    }

    #[test]
    fn an_undefined_rgi_is_printed_as_its_reason() {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        for (cells, reason) in [
            ([(C, C, 3), (W, R, 2)], "lost nothing"),
            ([(C, R, 3), (W, W, 2)], "gained nothing"),
            ([(C, C, 3), (W, W, 2)], "changed nothing"),
        ] {
            let result = method(vec![row("music", &cells)]);
            assert!(method_table(&result).contains(reason), "{}", method_table(&result));
        }
    }

    #[test]
    fn columns_are_aligned_and_names_from_files_are_tamed() {
        let mut wild = golden();
        wild.task = "\u{1b}[2J|a very long task name".to_owned();
        let table = method_table(&method(vec![golden(), wild]));
        assert!(!table.contains('\u{1b}'));
        let lengths: Vec<usize> =
            table.lines().filter(|line| line.starts_with('|')).map(|line| line.chars().count()).collect();
        assert_eq!(lengths.len(), 3 * 4, "three tables");
        assert!(lengths.chunks(4).all(|of| of.iter().all(|&length| length == of[0])), "{table}");
    }

    #[test]
    fn without_a_method_the_base_model_has_its_own_table() {
        let counts = Counts { n: 10, correct: 5, wrong: 3, refused: 2, unparsed: 1 };
        let table = base_table(&[BaseResult {
            task: "music".to_owned(),
            counts,
            risk_coverage: RiskCoverage::default(),
        }]);
        let line = table.lines().last().unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells, ["music", "10", "50.0", "70.0", "66.0", "20.0", "1"]);
    }
}
