//! Questions without a right answer, as rows for tables of any kind.

use idk_questions::metrics::{Proportion, UNDEFINED, show, show_rgi, show_with};

use crate::compare::abstention::{AbstentionResult, AbstentionResults};
use crate::report::table::percent;
use crate::report::text_table::{Cell, TextTable, markdown};

/// What the columns are.
const ABSTENTION_NOTE: &str = "In percent, in brackets 95 % intervals (Wilson; F1 and RGI: bootstrap by clip). \
    abstained: refused, of the questions\nwithout an answer; hallucinated: answered, of these; over-refused: refused, of the \
    others; precision: without an\nanswer, of all refused ones; selective: right, of the answered ones that have an answer; \
    right: of all questions,\nrefusals included where no answer is right; truthful: right less wrong, of all; RGI over all: \
    with these refusals\nas right answers.";

/// What the column of [`AbstentionResult::conditional_kinds`] is.
const CONDITIONAL_NOTE: &str = "conditional: abstained, of those about a clip whose questions with an answer are all right \
    (n: how many these are).";

/// What the columns of the tables are.
pub(crate) fn abstention_note(of: &AbstentionResults) -> String {
    match has_conditional(of) {
        true => format!("{ABSTENTION_NOTE}\n{CONDITIONAL_NOTE}"),
        false => ABSTENTION_NOTE.to_owned(),
    }
}

/// Whether any question counts for conditional accuracy.
fn has_conditional(of: &AbstentionResults) -> bool {
    of.replies.iter().any(|reply| reply.conditional.of > 0)
}

/// The set in one line.
pub(crate) fn title(of: &AbstentionResults) -> String {
    let kinds = of.kinds.iter().filter(|(kind, _)| !kind.is_empty());
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{kind} {count}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    format!("{} questions without an answer{kinds}, where to refuse is right", of.n)
}

/// The tables: how well refusing separates the questions, what that makes of all answers, and each kind.
pub(crate) fn abstention_tables(of: &AbstentionResults) -> Vec<TextTable> {
    let head = |names: &[&str]| vec![names.iter().map(|name| Cell::own(*name)).collect::<Vec<_>>()];
    let mut refusing = head(&["", "abstained", "over-refused", "precision", "F1"]);
    let mut answers = head(&["", "hallucinated", "selective", "right", "truthful", "RGI over all"]);
    let mut kinds = head(&["", "kind", "n", "abstained", "hallucinated"]);
    let has_conditional = has_conditional(of);
    kinds[0].extend(has_conditional.then_some(["n", "conditional"]).into_iter().flatten().map(Cell::own));
    for reply in &of.replies {
        let metrics = &reply.metrics;
        let name = || Cell::name(&reply.name);
        let shares = [metrics.correct_abstain, metrics.over_refusal, metrics.precision];
        let f1 = with_interval(metrics.f1, metrics.f1_ci95);
        refusing.push([vec![name()], shares.map(share).to_vec(), vec![Cell::own(f1)]].concat());
        let shares = [metrics.hallucination, metrics.selective_accuracy, metrics.right];
        let score = Cell::own(show(metrics.truthfulness_score, 1));
        answers.push([vec![name()], shares.map(share).to_vec(), vec![score, Cell::own(rgi(reply))]].concat());
        for (kind, abstained) in &reply.kinds {
            let conditional = reply.conditional_kinds.get(kind).copied().unwrap_or_default();
            let answered = Proportion::new(abstained.of - abstained.count, abstained.of);
            let kind = if kind.is_empty() { Cell::own(UNDEFINED) } else { Cell::name(kind) };
            let n = Cell::own(abstained.of.to_string());
            let mut cells = vec![name(), kind, n, share(*abstained), share(answered)];
            if has_conditional {
                cells.extend([Cell::own(conditional.of.to_string()), share(conditional)]);
            }
            kinds.push(cells);
        }
    }
    vec![refusing, answers, kinds]
}

/// The tables as Markdown, with what their columns are.
pub fn abstention_text(of: &AbstentionResults) -> String {
    let tables: Vec<String> = abstention_tables(of).iter().map(|grid| markdown(grid)).collect();
    let title = Cell::Name(title(of)).as_markdown();
    format!("{title}:\n\n{}\n{}\n", tables.join("\n"), abstention_note(of))
}

fn share(of: Proportion) -> Cell {
    Cell::own(with_interval(of.percent, of.ci95))
}

fn with_interval(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let interval =
        show_with(interval, |[low, high]| format!(" [{},{}]", percent(Some(low)), percent(Some(high))));
    show_with(value, |value| format!("{}{}", percent(Some(value)), interval.replace(UNDEFINED, "")))
}

fn rgi(reply: &AbstentionResult) -> String {
    show_with(reply.all.as_ref(), |all| show_rgi(all.rgi, all.rgi_ci95, all.rgi_reason.as_deref()))
}

/// The columns that a CSV table has more for these questions.
pub(crate) const CSV_COLUMNS: [&str; 37] = [
    "correct_abstain_before",
    "correct_abstain_after",
    "correct_abstain_ci95_low",
    "correct_abstain_ci95_high",
    "hallucination_before",
    "hallucination_after",
    "hallucination_ci95_low",
    "hallucination_ci95_high",
    "over_refusal_before",
    "over_refusal_after",
    "over_refusal_ci95_low",
    "over_refusal_ci95_high",
    "precision_before",
    "precision_after",
    "precision_ci95_low",
    "precision_ci95_high",
    "f1_before",
    "f1_after",
    "f1_ci95_low",
    "f1_ci95_high",
    "selective_accuracy_before",
    "selective_accuracy_after",
    "selective_accuracy_ci95_low",
    "selective_accuracy_ci95_high",
    "right_before",
    "right_after",
    "right_ci95_low",
    "right_ci95_high",
    "truthfulness_score_before",
    "truthfulness_score_after",
    "rgi_over_all",
    "rgi_over_all_ci95_low",
    "rgi_over_all_ci95_high",
    "conditional_before",
    "conditional_after",
    "conditional_ci95_low",
    "conditional_ci95_high",
];

/// A value before and after, with the interval of the last of them.
type CsvValue = [(Option<f64>, Option<[f64; 2]>); 2];

/// The rows of a CSV table for these questions: who, which questions, how many, and [`CSV_COLUMNS`].
pub(crate) fn csv_rows(of: &AbstentionResults) -> Vec<(&AbstentionResult, String, usize, Vec<Cell>)> {
    let Some(base) = of.replies.first() else { return Vec::new() };
    let mut rows = Vec::new();
    for (place, reply) in of.replies.iter().enumerate() {
        // The base model's row has its own values as those before, as in the other rows.
        let is_base = place == 0;
        let pair = |was: (Option<f64>, Option<[f64; 2]>), is: (Option<f64>, Option<[f64; 2]>)| -> CsvValue {
            [was, if is_base { (None, None) } else { is }]
        };
        let share = |was: Proportion, is: Proportion| pair((was.percent, was.ci95), (is.percent, is.ci95));
        let (was, is) = (&base.metrics, &reply.metrics);
        let values = [
            share(was.correct_abstain, is.correct_abstain),
            share(was.hallucination, is.hallucination),
            share(was.over_refusal, is.over_refusal),
            share(was.precision, is.precision),
            pair((was.f1, was.f1_ci95), (is.f1, is.f1_ci95)),
            share(was.selective_accuracy, is.selective_accuracy),
            share(was.right, is.right),
        ];
        let mut cells: Vec<Cell> = values.into_iter().flat_map(|value| csv_cells(value, is_base)).collect();
        let [before, after] = pair((was.truthfulness_score, None), (is.truthfulness_score, None));
        cells.extend([number(before.0), number(after.0)]);
        let all = reply.all.as_ref();
        cells.push(number(all.and_then(|all| all.rgi)));
        cells.extend(bounds(all.and_then(|all| all.rgi_ci95)));
        cells.extend(csv_cells(share(base.conditional, reply.conditional), is_base));
        rows.push((reply, "unanswerable".to_owned(), of.n, cells));
        for (kind, is) in &reply.kinds {
            let was = base.kinds.get(kind).copied().unwrap_or_default();
            let answered = |of: &Proportion| Proportion::new(of.of - of.count, of.of);
            let values = [share(was, *is), share(answered(&was), answered(is))];
            let mut cells: Vec<Cell> =
                values.into_iter().flat_map(|value| csv_cells(value, is_base)).collect();
            let of =
                |reply: &AbstentionResult| reply.conditional_kinds.get(kind).copied().unwrap_or_default();
            let conditional = csv_cells(share(of(base), of(reply)), is_base);
            cells.resize(CSV_COLUMNS.len() - conditional.len(), number(None));
            cells.extend(conditional);
            rows.push((reply, format!("unanswerable/{kind}"), is.of, cells));
        }
    }
    rows
}

fn csv_cells([before, after]: CsvValue, is_base: bool) -> [Cell; 4] {
    let [low, high] = bounds(if is_base { before.1 } else { after.1 });
    [number(before.0), number(after.0), low, high]
}

fn bounds(interval: Option<[f64; 2]>) -> [Cell; 2] {
    [interval.map(|bounds| bounds[0]), interval.map(|bounds| bounds[1])].map(number)
}

fn number(value: Option<f64>) -> Cell {
    Cell::own(value.map_or(String::new(), |value| value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::abstention::tests::{case, conditional_case};

    #[test]
    fn the_tables_have_the_numbers_of_the_hand_computed_case() {
        let text = abstention_text(&case("audio", "adapter"));
        assert!(text.starts_with("4 questions without an answer (absent 3, audio 1), where"), "{text}");
        let cells = |start: &str, number: usize| -> Vec<String> {
            let line = text.lines().filter(|line| line.starts_with(start)).nth(number).unwrap();
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            cells.map(|cell| cell.split(" [").next().unwrap().to_owned()).collect()
        };
        // 3 of 4 abstained, 2 of 4 over-refused, 3 of 5 refusals in the right place, F1 = 6 / 9.
        assert_eq!(cells("| adapter", 0), ["adapter", "75.0", "50.0", "60.0", "66.7"]);
        // 1 of 4 answered, 1 of 2 right, 4 of 8 right, (4 - 2) / 8, log10(4 / 2).
        assert_eq!(cells("| adapter", 1), ["adapter", "25.0", "50.0", "50.0", "25.0", "+0.30"]);
        assert_eq!(cells("| base", 1)[5], "-");
        assert_eq!(cells("| adapter", 2), ["adapter", "absent", "3", "66.7", "33.3"]);
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }

    #[test]
    fn a_csv_row_has_a_cell_for_every_column_and_a_kind_has_no_precision() {
        let found = case("audio", "adapter");
        let rows = csv_rows(&found);
        let names: Vec<(&str, &str, usize)> =
            rows.iter().map(|(who, test, n, _)| (who.name.as_str(), test.as_str(), *n)).collect();
        let expected = ["unanswerable", "unanswerable/absent", "unanswerable/audio"];
        assert_eq!(names[3..].iter().map(|row| row.1).collect::<Vec<_>>(), expected);
        assert_eq!((names[0], names[5].2), (("base", "unanswerable", 4), 1));
        assert!(rows.iter().all(|(_, _, _, cells)| cells.len() == CSV_COLUMNS.len()));
        let value = |row: usize, column: &str| {
            let place = CSV_COLUMNS.iter().position(|name| *name == column).unwrap();
            rows[row].3[place].clone()
        };
        assert_eq!(
            [value(3, "correct_abstain_before"), value(3, "correct_abstain_after")],
            ["25", "75"].map(Cell::own)
        );
        assert_eq!([value(3, "precision_after"), value(4, "precision_after")], ["60", ""].map(Cell::own));
        assert_eq!([value(0, "right_before"), value(0, "right_after")], ["37.5", ""].map(Cell::own));
    }

    #[test]
    fn conditional_accuracy_has_a_column_where_it_counts_any_question_and_a_note() {
        let found = conditional_case();
        let text = abstention_text(&found);
        let line = text.lines().find(|line| line.starts_with("| base") && line.contains(" AAD ")).unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!((cells[2], &cells[5..]), ("8", &["2", "50.0 [9.5,90.5]"][..]));
        assert!(text.ends_with(&format!("{CONDITIONAL_NOTE}\n")), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(!abstention_text(&case("audio", "adapter")).contains("conditional"));
        let value = |row: usize, column: &str| {
            let place = CSV_COLUMNS.iter().position(|name| *name == column).unwrap();
            csv_rows(&found)[row].3[place].text().to_owned()
        };
        assert_eq!(value(1, "conditional_before"), "50");
        assert!(value(0, "conditional_before").starts_with("66.66"));
        assert_eq!(
            [value(4, "conditional_before"), value(4, "conditional_after")],
            [value(0, "conditional_before"), String::new()]
        );
    }

    #[test]
    fn kinds_and_names_from_files_are_tamed() {
        let text = abstention_text(&case("\u{1b}[2J|x", "a|\u{1b}"));
        assert!(!text.contains('\u{1b}'), "{text}");
        let lengths: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert_eq!(lengths, [vec![6; 4], vec![7; 4], vec![6; 6]].concat());
    }
}
