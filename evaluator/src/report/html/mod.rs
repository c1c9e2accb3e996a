//! `report.html`: an evaluation, or a transfer experiment, as one page to read; and the index of a folder of runs. A page needs
//! no network, follows the reader's light or dark theme, and can be printed; its script only filters examples and sorts tables.

mod clips;
mod examples;
mod grids;
mod headline;
mod index_page;
mod page;
mod summary;

mod transfer_page;

use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::methods::MethodResult;
use crate::compare::results::Results;
use crate::error::EvalError;
use crate::method::Method;
use crate::report::abstention_table::abstention_note;
use crate::report::measure_table::{MEASURE_NOTE, measures, missing_note};
use crate::report::plot::draw::escape::escape;
use crate::report::plot::{bars, curves, flows, forest, training};
use crate::report::rate_table::{RATE_NOTE, RATE_TITLE};
use crate::report::run_files::RunFiles;
use crate::report::yardstick_table::{RANKING_NOTE, READABLE_NOTE, RULES_NOTE};

use self::page::{figure, figures, section, wide};

pub use self::index_page::{RunIndex, write_index};
pub use self::transfer_page::write_transfer_report;

/// Name of the page in the evaluation's folder.
pub const REPORT_FILE: &str = "report.html";

/// The page in the evaluation's folder.
pub fn report_file(eval_dir: &Path) -> PathBuf {
    eval_dir.join(REPORT_FILE)
}

/// Writes the page. `answers`: names and answers of the base model and of every method, in the order of the questions.
/// The same evaluation gives the same bytes.
///
/// # Errors
/// [`EvalError::Common`]; [`EvalError::Model`] for a recording that cannot be read at the moment.
pub(crate) fn write_report(
    eval_dir: &Path,
    results: &Results,
    prepared: &Prepared,
    answers: &[(&str, &[Answer])],
    run_files: &RunFiles,
) -> Result<(), EvalError> {
    Ok(write_atomic(&report_file(eval_dir), report(results, prepared, answers, run_files)?.as_bytes())?)
}

fn report(
    results: &Results,
    prepared: &Prepared,
    answers: &[(&str, &[Answer])],
    run_files: &RunFiles,
) -> Result<String, EvalError> {
    let title = format!("Does {} know what it does not know?", headline::model_name(results));
    let groups: Vec<String> = results
        .methods
        .iter()
        .enumerate()
        .map(|(index, method)| summary::groups(method, index == 0))
        .collect();
    let compared = results.methods.iter().filter(|method| !method.method.is_measure());
    let yardsticks: Vec<String> = compared.map(summary::yardsticks).collect();
    let curves: Vec<String> = curves::curves(results).iter().map(|plot| figure(plot, "")).collect();
    let measure_curves: Vec<String> =
        curves::measure_curves(results).iter().map(|plot| figure(plot, "")).collect();
    let training: Vec<String> =
        training::plots(&run_files.metrics).iter().map(|plot| figure(plot, "")).collect();
    let sections = [
        example_section(results, prepared, answers)?,
        section("Every method", SUMMARY_NOTE, &summary::summary(results)),
        section("Rules and rankings", &yardsticks_note(), &yardsticks.concat()),
        section(
            "Questions without an answer",
            &escape(&results.unanswerable.as_ref().map_or(String::new(), abstention_note)),
            &summary::unanswerable(results),
        ),
        section(
            "Reliability gain",
            FOREST_NOTE,
            &forest::forest(results).map_or(String::new(), |plot| wide(&plot)),
        ),
        grids::sections(&run_files.grids),
        section("Reliability", BARS_NOTE, &wide(&bars::bars(results))),
        section("What became of every answer", FLOW_NOTE, &figures(&flow_figures(results))),
        section("Risk and coverage", CURVE_NOTE, &figures(&curves)),
        section(
            "Measures of doubt",
            &measures_note(results),
            &(summary::measures(results) + &figures(&measure_curves)),
        ),
        section(RATE_TITLE, &escape(RATE_NOTE), &summary::rates(results)),
        section("By difficulty and sub-category", "", &groups.concat()),
        section("Training", "", &figures(&training)),
        section("What was measured", "", &summary::provenance(results)),
    ];
    let lead = headline::headline(results)
        + &run_files.problems.iter().map(|text| page::paragraph(text)).collect::<String>();
    Ok(page::page(&title, &lead, &sections.concat()))
}

const SUMMARY_NOTE: &str = "In percent, except RGI, n and unreadable answers. Acc: right; Tru: right or refused; Rel: \
    reliability, between Acc and Tru; dCon: right answers lost; dHum: wrong answers that went away; RGI: log10(dHum / \
    dCon), with its 95 % interval. The columns random, one-pass, confidence and group have the RGI of rules that refuse \
    the same number of the base model's answers: at random, by the probability of the whole answer, by that of the \
    option, by sub-category.";
/// What the tables of rules and rankings show.
fn yardsticks_note() -> String {
    escape(&format!(
        "First the RGI of rules that refuse the same number of the base model's answers: {RULES_NOTE} Then the AUROC of \
         rankings within sub-categories, over all questions in brackets, 0.5 = no better than chance: {RANKING_NOTE} \
         {READABLE_NOTE}"
    ))
}

/// What the table of measures shows; nothing without measures.
fn measures_note(results: &Results) -> String {
    match measures(results).next() {
        None => String::new(),
        Some(_) => escape(&format!("{MEASURE_NOTE} {}", missing_note(results))),
    }
}

const FOREST_NOTE: &str = "RGI is log10(wrong answers that went away / right answers lost): to the right of zero, more \
    went away than were lost. Hollow marks: rules that refuse the same number of questions; a mark at an end of the axis \
    may lie beyond it. An arrow at an end: nothing was lost, or nothing gained, so RGI is undefined.";
const BARS_NOTE: &str = "Rel = r × Acc + (1 - r) × Tru, in percent, where r is the share refused: between Acc and Tru, \
    closer to Acc the more is refused.";
const FLOW_NOTE: &str = "The base model's answers on the left, the method's on the right. Unreadable answers count \
    as wrong.";
const CURVE_NOTE: &str = "The share of wrong answers (up) if the model answers only the questions where it is surest \
    of its likeliest option. AURC is the area under the curve; lower is better.";

/// The transitions of every method on all tasks; those of the main method on each task too.
fn flow_figures(results: &Results) -> Vec<String> {
    let shown = flows::shown(results, headline::main_method(results));
    let figure = |(method, row): (&MethodResult, &crate::compare::methods::TaskResult)| {
        let moved = &row.comparison.transition;
        figure(&flows::flow(&method.name, &row.task, moved), &summary::transitions(moved))
    };
    shown.into_iter().map(figure).collect()
}

fn example_section(
    results: &Results,
    prepared: &Prepared,
    answers: &[(&str, &[Answer])],
) -> Result<String, EvalError> {
    let of = |name: &str| answers.iter().find(|(found, _)| *found == name).map(|(_, answers)| *answers);
    let method = headline::main_method(results).map_or(Method::Base.name(), |method| &method.name);
    let (Some(base), Some(after)) = (of(Method::Base.name()), of(method)) else {
        return Ok(String::new());
    };
    let note = format!(
        "Drawn at random: first one of each kind of change, then more. Answers of the base model and of {}.",
        escape(method)
    );
    Ok(section("Examples", &note, &examples::examples(prepared, base, method, after, results.seed)?))
}

#[cfg(test)]
mod tests {
    use idk_questions::Verdict;

    use super::*;
    use crate::grid::file::{Picked, tests::sweep};
    use crate::report::measure_table::tests::measured_results;
    use crate::report::table::tests::golden_results;

    fn attacked(text: &str) -> String {
        let (prepared, before, after) = examples::tests::case(&[(Verdict::Wrong, Verdict::Refused)], text);
        let mut results = golden_results(text);
        results.provenance.insert("model".to_owned(), text.to_owned());
        let task = text.to_owned();
        let mut sweep = sweep(&task);
        sweep.picked = Some(Picked { value: 0.5, why: text.to_owned() });
        let run_files = RunFiles { grids: vec![sweep], problems: vec![task], ..RunFiles::default() };
        report(&results, &prepared, &[("base", &before), ("adapter", &after)], &run_files).unwrap()
    }

    #[test]
    fn text_from_data_adds_no_element_and_no_script() {
        let tags = |page: &str| page.matches('<').count();
        let plain = attacked("plain");
        for attack in [
            "</script><img src=x onerror=alert(1)>",
            "\"><svg onload='x'>",
            "<!--",
            "</style></title><script>alert(1)</script>",
        ] {
            let page = attacked(attack);
            assert_eq!(tags(&page), tags(&plain), "{attack}");
            assert_eq!(page.matches("<script>").count(), 1, "{attack}");
            assert_eq!(page.matches("</script>").count(), 1, "{attack}");
        }
        assert!(!attacked("\u{0}\u{1b}[2J").chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = attacked("plain");
        for part in ["http:", "https:", "@import", "url(", "src=\"/"] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn the_same_evaluation_gives_the_same_page() {
        assert_eq!(attacked("x"), attacked("x"));
    }

    #[test]
    fn measures_of_doubt_have_a_section_with_a_table_and_a_plot_of_all_and_only_then() {
        let page_of = |results: &Results| {
            let (prepared, before, after) = examples::tests::case(&[(Verdict::Wrong, Verdict::Refused)], "x");
            let answers: [(&str, &[Answer]); 2] = [("base", &before), ("adapter", &after)];
            report(results, &prepared, &answers, &RunFiles::default()).unwrap()
        };
        let page = page_of(&measured_results());
        let (_, section) = page.split_once("<h2>Measures of doubt</h2>").unwrap();
        let (section, _) = section.split_once("</section>").unwrap();
        for part in
            ["<th scope=\"row\">semantic-entropy</th><td>0.80 (0.85)</td>", "AURC 0.125", "entropy 3 of 333"]
        {
            assert!(section.contains(part), "{part} is not in {section}");
        }
        assert!(!page_of(&golden_results("all")).contains("Measures of doubt"));
    }

    #[test]
    fn every_part_is_there_and_nothing_else_without_a_method() {
        let page_of = |results: &Results| {
            let (prepared, before, after) = examples::tests::case(&[(Verdict::Wrong, Verdict::Refused)], "x");
            report(results, &prepared, &[("base", &before), ("adapter", &after)], &RunFiles::default())
                .unwrap()
        };
        let results = golden_results("all");
        let all = page_of(&results);
        for heading in ["Every method", "Reliability gain", "What became of every answer", "Examples"] {
            assert!(all.contains(&format!("<h2>{heading}</h2>")), "{heading}");
        }
        let alone = page_of(&Results { methods: Vec::new(), ..results });
        assert!(alone.contains("<h2>Reliability</h2>") && !alone.contains("<h2>Reliability gain</h2>"));
    }
}
