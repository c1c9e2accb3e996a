//! The page of a transfer experiment: what was found in sentences, the heat map, and the numbers.

use std::path::Path;

use idk_common::fs::write_atomic;

use crate::compare::methods::ALL;
use crate::error::EvalError;
use crate::grid::cell::GridValue;
use crate::grid::file::Grid;
use crate::grid::spread::Spread;

use super::grids::sections;
use super::page::{page, paragraph};
use super::report_file;

/// Writes `report.html` of a transfer experiment into its folder. The same experiment gives the same bytes.
///
/// # Errors
/// [`EvalError::Common`].
pub fn write_transfer_report(dir: &Path, grid: &Grid) -> Result<(), EvalError> {
    Ok(write_atomic(&report_file(dir), report(grid).as_bytes())?)
}

fn report(grid: &Grid) -> String {
    page("Does refusing transfer?", &lead(grid), &sections(std::slice::from_ref(grid)))
}

/// What was found, in plain sentences.
fn lead(grid: &Grid) -> String {
    let trains: Vec<String> = grid.values().into_iter().map(GridValue::to_string).collect();
    let seeds = counted(grid.seeds().len(), "seed");
    let mut text = paragraph(&format!(
        "Adapters were trained on {}, with {seeds} each, and tested on every task.",
        list(&trains)
    ));
    let (mut own, mut off) = (Vec::new(), Vec::new());
    for train in trains.iter().filter(|train| *train != ALL) {
        for test in grid.tasks() {
            let spread = grid.spread(&train.as_str().into(), &test);
            if *train == test {
                own.push(format!("{} ({test})", mean_text(&spread)));
            } else {
                off.push(spread);
            }
        }
    }
    if !own.is_empty() {
        text.push_str(&paragraph(&format!(
            "On what it was trained on, an adapter has an RGI of {}.",
            list(&own)
        )));
    }
    let means = || off.iter().filter_map(Spread::rgi);
    if let (Some(low), Some(high)) = (means().reduce(f64::min), means().reduce(f64::max)) {
        let above = off.iter().filter(|spread| spread.is_above_zero()).count();
        text.push_str(&paragraph(&format!(
            "On other tasks it is {low:+.2} to {high:+.2}; in {above} of these {} the intervals of all seeds lie above zero.",
            counted(off.len(), "cell")
        )));
    }
    if let Some(mean) = grid.spread(&ALL.into(), ALL).rgi() {
        text.push_str(&paragraph(&format!("Trained on all tasks, it is {mean:+.2} over all of them.")));
    }
    text
}

fn mean_text(spread: &Spread<'_>) -> String {
    spread.rgi().map_or("none".to_owned(), |mean| format!("{mean:+.2}"))
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::file::tests::transfer;

    #[test]
    fn the_page_says_what_was_found_on_and_off_the_trained_tasks() {
        let html = report(&transfer("music"));
        for part in [
            "trained on sound and music, with 2 seeds each",
            "an RGI of +0.30 (sound) and -0.50 (music).",
            "On other tasks it is +0.10 to +0.10; in 0 of these 2 cells",
        ] {
            assert!(html.replace('\u{a0}', " ").contains(part), "{part} is not in {html}");
        }
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
}
