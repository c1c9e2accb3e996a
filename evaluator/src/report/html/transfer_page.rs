//! The page of a transfer experiment: what was found in sentences, the heat map, and the numbers.

use std::path::Path;

use idk_common::fs::write_atomic;
use idk_questions::metrics::{show_signed, show_with};

use crate::compare::methods::ALL;
use crate::error::EvalError;
use crate::report::plot::heat::heat;
use crate::report::table::percent;
use crate::grid::transfer::{Transfer, TransferCell, mean_and_std};

use super::page::{page, paragraph, row, section, table, wide};
use super::report_file;

const MATRIX_NOTE: &str = "RGI is log10(wrong answers that went away / right answers lost). In every cell: the mean over \
    the seeds and their standard deviation, from the lowest to the highest end of the seeds' 95 % intervals over \
    questions, and the share of questions refused. Blue: more wrong answers went away than right ones were lost. An RGI \
    where next to nothing is refused is noise in the answers.";

/// How the numbers are summed up.
fn numbers_note(transfer: &Transfer) -> String {
    format!(
        "In percent but for RGI, which is the {}. Random: the RGI of refusing as many questions at random.",
        transfer.of_seeds()
    )
}

/// Writes `report.html` of a transfer experiment into its folder. The same experiment gives the same bytes.
///
/// # Errors
/// [`EvalError::Common`].
pub fn write_transfer_report(dir: &Path, transfer: &Transfer) -> Result<(), EvalError> {
    Ok(write_atomic(&report_file(dir), report(transfer).as_bytes())?)
}

fn report(transfer: &Transfer) -> String {
    let plot = format!("<div class=\"scroll\" tabindex=\"0\">{}</div>\n", wide(&heat(transfer)));
    let seeds = format!("<details><summary>Every seed</summary>\n{}</details>\n", seeds(transfer));
    let sections = [
        section("Trained on, tested on", MATRIX_NOTE, &plot),
        section("The numbers", &numbers_note(transfer), &(numbers(transfer) + &seeds)),
    ];
    page("Does refusing transfer?", &lead(transfer), &sections.concat())
}

/// What was found, in plain sentences.
fn lead(transfer: &Transfer) -> String {
    let named = |cell: &&TransferCell| cell.train == cell.test && cell.train != ALL;
    let other = |cell: &&TransferCell| cell.train != cell.test && cell.train != ALL && cell.test != ALL;
    let asked = format!(
        "Adapters were trained on {}, with {} each, and tested on every task.",
        list(&transfer.trains()),
        counted(transfer.seeds.len(), "seed")
    );
    let own: Vec<String> = transfer.cells.iter().filter(named).map(with_mean).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut text = paragraph(&asked);
    if !own.is_empty() {
        text.push_str(&paragraph(&format!(
            "On what it was trained on, an adapter has an RGI of {}.",
            list(&own)
        )));
    }
    let off: Vec<&TransferCell> = transfer.cells.iter().filter(other).collect();
    let means: Vec<f64> = off.iter().filter_map(|cell| cell.rgi_mean).collect();
    if !means.is_empty() {
        let (low, high) = means
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(*mean), high.max(*mean)));
        let above = off.iter().filter(|cell| is_above_zero(cell)).count();
        text.push_str(&paragraph(&format!(
            "On other tasks it is {low:+.2} to {high:+.2}; in {above} of these {} the intervals of all seeds lie above zero.",
            counted(off.len(), "cell")
        )));
    }
    if let Some(cell) = transfer.cell(ALL, ALL).filter(|cell| cell.rgi_mean.is_some()) {
        let mean = cell.rgi_mean.unwrap_or_default();
        text.push_str(&paragraph(&format!("Trained on all tasks, it is {mean:+.2} over all of them.")));
    }
    text
}

fn with_mean(cell: &TransferCell) -> String {
    let mean = cell.rgi_mean.map_or("none".to_owned(), |mean| format!("{mean:+.2}"));
    format!("{mean} ({})", cell.test)
}

/// Every seed's interval lies above zero.
fn is_above_zero(cell: &TransferCell) -> bool {
    cell.rgi_ci95.iter().all(|interval| interval.is_some_and(|[low, _]| low > 0.0))
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// One row for every cell.
fn numbers(transfer: &Transfer) -> String {
    let head = ["trained on → tested on", "RGI", "seeds' intervals", "refused", "Acc", "base Acc"];
    let mut rows = String::new();
    for cell in &transfer.cells {
        let interval = show_with(cell.hull(), |[low, high]| format!("[{low:+.2},{high:+.2}]"));
        let mean = |values: &[Option<f64>]| percent(mean_and_std(values).0);
        let base = percent(transfer.base_acc.get(&cell.test).copied().flatten());
        let cells = [cell.rgi_text(), interval, mean(&cell.refusal_rate), mean(&cell.acc), base];
        // A new training set begins a group of rows.
        let first = transfer.tests().first() == Some(&cell.test.as_str());
        let class = if first { "first" } else { "" };
        rows.push_str(&row(class, &format!("{} → {}", cell.train, cell.test), &cells));
    }
    table(&head, &rows)
}

/// One row for every cell and seed.
fn seeds(transfer: &Transfer) -> String {
    let head = ["trained on → tested on", "seed", "Acc", "refused", "RGI [95 %]", "random"];
    let mut rows = String::new();
    for cell in &transfer.cells {
        for (index, seed) in transfer.seeds.iter().enumerate() {
            let of = |values: &[Option<f64>]| values.get(index).copied().flatten();
            let interval = cell.rgi_ci95.get(index).copied().flatten();
            let rgi = match (of(&cell.rgi), interval) {
                (Some(rgi), Some([low, high])) => format!("{rgi:+.2} [{low:+.2},{high:+.2}]"),
                (Some(rgi), None) => format!("{rgi:+.2}"),
                (None, _) => "undefined".to_owned(),
            };
            let random = show_signed(of(&cell.random_rgi), 2);
            let cells =
                [seed.to_string(), percent(of(&cell.acc)), percent(of(&cell.refusal_rate)), rgi, random];
            rows.push_str(&row("", &format!("{} → {}", cell.train, cell.test), &cells));
        }
    }
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::transfer::tests::transfer;

    #[test]
    fn the_page_says_what_was_found_on_and_off_the_trained_tasks() {
        let html = report(&transfer("music"));
        for part in [
            "trained on sound and music, with 2 seeds each",
            "an RGI of +0.30 (sound) and -0.50 (music).",
            "On other tasks it is +0.10 to +0.10; in 0 of these 2 cells",
            "<td>+0.30 ± 0.14</td><td>[-0.10,+0.60]</td><td>50.0</td><td>30.0</td><td>55.0</td>",
        ] {
            assert!(html.replace('\u{a0}', " ").contains(part), "{part} is not in {html}");
        }
        assert_eq!(html.matches("<th scope=\"row\">sound → sound</th>").count(), 3);
    }

    #[test]
    fn names_of_tasks_add_no_element_and_no_script() {
        let plain = report(&transfer("plain")).matches('<').count();
        for attack in
            ["</script><img src=x onerror=alert(1)>", "\"><svg onload='x'>", "<!--", "</style></title><b>"]
        {
            let page = report(&transfer(attack));
            assert_eq!(page.matches('<').count(), plain, "{attack}");
            assert_eq!(page.matches("</script>").count(), 1, "{attack}");
        }
    }

    #[test]
    fn every_row_is_as_long_as_the_head() {
        for html in [numbers(&transfer("music")), seeds(&transfer("music"))] {
            let columns =
                html.lines().find(|line| line.starts_with("<thead>")).unwrap().matches("<th").count() - 1;
            for line in html.lines().filter(|line| line.contains("scope=\"row\"")) {
                assert_eq!(line.matches("<td>").count() + 1, columns, "{line}");
            }
        }
    }
}
