//! The page of a folder of runs: every method of every evaluation in it as a row of one table that can be sorted.

use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;
use idk_questions::metrics::show_signed;
use serde::Serialize;

use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::{RESULTS_FILE, Results, read_results};
use crate::error::EvalError;
use crate::report::html::headline::model_name;
use crate::report::html::summary::rule_cell;
use crate::report::plot::draw::escape::escape;
use crate::report::table::{percent, rgi_with_interval};

use super::REPORT_FILE;
use super::page::{page, paragraph, section};

/// Name of the page in the folder of runs.
const INDEX_FILE: &str = "index.html";

/// Deepest folder below that of the runs in which an evaluation is looked for.
const DEPTH: usize = 4;

/// What was found in a folder of runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunIndex {
    /// The page.
    pub page: PathBuf,
    /// Folders of evaluations, below the folder of runs, in the order of their paths.
    pub evaluations: Vec<PathBuf>,
    /// Files of results that could not be read, and why.
    pub problems: Vec<String>,
}

/// Writes `index.html` into `folder`: the results of every evaluation in it and below. The same results give the same bytes.
///
/// # Errors
/// [`EvalError::NoResults`] if there is none that can be read; [`EvalError::Common`] if the page cannot be written.
pub fn write_index(folder: &Path) -> Result<RunIndex, EvalError> {
    let mut found = RunIndex { page: folder.join(INDEX_FILE), ..RunIndex::default() };
    let mut rows = String::new();
    for eval in evaluations(folder, DEPTH) {
        match read_results(&eval) {
            Ok(results) => {
                rows.push_str(&run_rows(folder, &eval, &results));
                found.evaluations.push(eval.strip_prefix(folder).unwrap_or(&eval).to_owned());
            }
            Err(error) => found.problems.push(error.to_string()),
        }
    }
    if found.evaluations.is_empty() {
        return Err(EvalError::no_results(folder));
    }
    let lead = paragraph(&format!(
        "{} evaluations. Choose a column's head to sort by it. Compare an RGI with the rules of the same row, which refuse as \
         many answers: never with an RGI at another rate.",
        found.evaluations.len()
    )) + &found.problems.iter().map(|problem| paragraph(problem)).collect::<String>();
    let html = page("Runs", &lead, &section("Every method of every run", NOTE, &sortable(&rows)));
    write_atomic(&found.page, html.as_bytes())?;
    Ok(found)
}

const NOTE: &str =
    "Over all questions of a run's test set. In percent, except n and RGI with its 95 % interval.";

const HEAD: [&str; 12] = [
    "run",
    "method",
    "model",
    "n",
    "Acc before",
    "Acc",
    "refused",
    "RGI [95 %]",
    "random",
    "one-pass",
    "confidence",
    "group",
];

fn sortable(rows: &str) -> String {
    let head: String = HEAD
        .iter()
        .map(|name| format!("<th scope=\"col\"><button type=\"button\">{name}</button></th>"))
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\
         </table></div>\n"
    )
}

/// Folders with a file of results, in the order of their paths.
fn evaluations(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if folder.join(RESULTS_FILE).is_file() {
        found.push(folder.to_owned());
    }
    // A folder that cannot be read has nothing to show.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    if depth > 0 {
        found.extend(folders.iter().flat_map(|folder| evaluations(folder, depth - 1)));
    }
    found
}

/// A row per method; the base model alone where there is none.
fn run_rows(folder: &Path, eval: &Path, results: &Results) -> String {
    let inside = eval.strip_prefix(folder).unwrap_or(eval);
    let run = inside.parent().filter(|_| inside.ends_with("eval")).unwrap_or(inside).to_string_lossy();
    let run = if run.is_empty() { ".".into() } else { run };
    let first = if eval.join(REPORT_FILE).is_file() {
        format!("<a href=\"{}\">{}</a>", link_to(&inside.join(REPORT_FILE)), escape(&run))
    } else {
        escape(&run)
    };
    let model = model_name(results);
    let row = |method: &str, cells: Vec<String>| {
        let cells: String =
            [method, model].into_iter().chain(cells.iter().map(String::as_str)).map(cell).collect();
        format!("<tr><th scope=\"row\">{first}</th>{cells}</tr>\n")
    };
    let all = |method: &MethodResult| method.tasks.last().map(|task| row(&method.name, method_cells(task)));
    let rows: Vec<String> = results.methods.iter().filter_map(all).collect();
    if !rows.is_empty() {
        return rows.concat();
    }
    let Some(base) = results.base.last() else { return String::new() };
    let acc = percent(base.counts.acc().map(|share| 100.0 * share));
    let refused = percent(base.counts.refusal_rate().map(|share| 100.0 * share));
    row(
        "base",
        [base.counts.n.to_string(), acc.clone(), acc, refused]
            .into_iter()
            .chain(vec![String::new(); 5])
            .collect(),
    )
}

/// A relative path as a link: everything but plain letters, digits and separators is percent-encoded.
fn link_to(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path = path.to_string_lossy().replace('\\', "/");
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn cell(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

fn method_cells(task: &TaskResult) -> Vec<String> {
    let of = &task.comparison;
    let mut cells = vec![of.n.to_string()];
    cells.extend([of.acc.before, of.acc.after, of.refusal_rate.after].map(percent));
    cells.push(rgi_with_interval(of));
    cells.push(show_signed(of.random_rgi_of_refusals(), 2));
    let rules = &task.yardsticks;
    cells.extend([&rules.one_pass, &rules.threshold, &rules.group].map(|rule| rule_cell(rule.as_ref())));
    cells
}

#[cfg(test)]
mod tests {
    use idk_common::json::write_json;

    use super::*;
    use crate::report::table::tests::golden_results;

    #[test]
    fn every_method_of_every_run_is_a_row_with_a_link_to_its_report() {
        let folder = tempfile::tempdir().unwrap();
        let results = golden_results("all");
        for run in ["b/eval", "a b/eval", "c"] {
            std::fs::create_dir_all(folder.path().join(run)).unwrap();
            write_json(&folder.path().join(run).join(RESULTS_FILE), &results).unwrap();
        }
        write_atomic(&folder.path().join("b/eval").join(REPORT_FILE), b"x").unwrap();
        std::fs::create_dir(folder.path().join("damaged")).unwrap();
        write_atomic(&folder.path().join("damaged").join(RESULTS_FILE), b"{").unwrap();
        let found = write_index(folder.path()).unwrap();
        assert_eq!(found.evaluations, ["a b/eval", "b/eval", "c"].map(PathBuf::from));
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
        let html = std::fs::read_to_string(&found.page).unwrap();
        assert_eq!(html.matches("<tr><th scope=\"row\">").count(), 3 * results.methods.len());
        assert!(html.contains("<a href=\"b/eval/report.html\">b</a>"), "{html}");
        assert!(html.contains("<th scope=\"row\">a b</th>"), "{html}");
        assert_eq!(write_index(folder.path()).unwrap(), found, "the page itself is no run");
    }

    #[test]
    fn a_folder_without_results_is_an_error_and_names_add_no_markup() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(write_index(folder.path()), Err(EvalError::NoResults { .. })));
        let missing = write_index(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.ends_with("none` does not exist"), "{missing}");
        assert!(!folder.path().join(INDEX_FILE).exists());
        let run = folder.path().join("<img src=x>");
        std::fs::create_dir(&run).unwrap();
        write_json(&run.join(RESULTS_FILE), &golden_results("<b>")).unwrap();
        write_atomic(&run.join(REPORT_FILE), b"x").unwrap();
        let found = write_index(folder.path()).unwrap();
        let html = std::fs::read_to_string(found.page).unwrap();
        assert!(!html.contains("<img") && !html.contains("<b>"), "{html}");
    }
}
