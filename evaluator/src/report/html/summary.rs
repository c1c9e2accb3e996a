//! The tables of the page: every method on every task, transitions, groups, what was measured.

use idk_questions::metrics::{Comparison, Counts, Transition, show_signed, show_with};

use crate::compare::groups::GroupResult;
use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::Results;
use crate::compare::yardsticks::RuleResult;
use crate::report::measure_table::measure_rows;
use crate::report::plot::draw::escape::escape;
use crate::report::plot::flows::{VERDICTS, cells};
use crate::report::rate_table::rate_table;
use crate::report::table::{change, percent, rgi_with_interval};

use crate::report::abstention_table::{abstention_tables, title};
use crate::report::text_table::{Cell, TextTable};
use crate::report::yardstick_table::{Yardstick, ranking_table, rule_table, yes_or_no};

use super::page::{paragraph, row, table};

/// One table of everything: for each task the base model and every method.
pub(crate) fn summary(results: &Results) -> String {
    let head = [
        "",
        "Acc",
        "Tru",
        "Rel",
        "refused",
        "dCon",
        "dHum",
        "RGI [95 %]",
        "random",
        "one-pass",
        "confidence",
        "group",
        "unreadable",
    ];
    let mut rows = String::new();
    for base in &results.base {
        rows.push_str(&format!(
            "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{}, n {}</th></tr>\n",
            head.len(),
            escape(&base.task),
            base.counts.n
        ));
        rows.push_str(&row("", "base", &base_cells(&base.counts)));
        for method in &results.methods {
            let of_task = method.tasks.iter().filter(|row| row.task == base.task);
            rows.extend(of_task.map(|task| row("", &method.name, &method_cells(task))));
        }
    }
    table(&head, &rows)
}

fn base_cells(counts: &Counts) -> Vec<String> {
    let shares = [counts.acc(), counts.tru(), counts.rel(), counts.refusal_rate()];
    let mut cells: Vec<String> =
        shares.into_iter().map(|share| percent(share.map(|share| 100.0 * share))).collect();
    cells.extend(std::iter::repeat_n(String::new(), 7));
    cells.push(counts.unparsed.to_string());
    cells
}

fn method_cells(task: &TaskResult) -> Vec<String> {
    let of = &task.comparison;
    let percents = [of.acc.after, of.tru.after, of.rel.after, of.refusal_rate.after, of.dcon, of.dhum];
    let mut cells: Vec<String> = percents.into_iter().map(percent).collect();
    cells.push(rgi_with_interval(of));
    cells.push(show_signed(of.random_rgi_of_refusals(), 2));
    let rules = &task.yardsticks;
    cells.extend([&rules.one_pass, &rules.threshold, &rules.group].map(|rule| rule_cell(rule.as_ref())));
    cells.push(of.unparsed.after.to_string());
    cells
}

pub(super) fn rule_cell(rule: Option<&RuleResult>) -> String {
    let text = rule.and_then(|rule| match rule.rgi {
        Some(rgi) => Some(format!("{rgi:+.2}")),
        None => rule.rgi_reason.clone(),
    });
    show_with(text, |text| text)
}

/// The measures of doubt of every task; nothing without measures.
pub(crate) fn measures(results: &Results) -> String {
    let mut text = String::new();
    for task in &results.base {
        let (head, rows) = measure_rows(results, &task.task);
        if rows.is_empty() {
            continue;
        }
        let rows = rows.iter().map(|cells| row("", &cells[0], &cells[1..]));
        let table = table(&head, &rows.collect::<String>());
        text.push_str(&format!("<h3>{}</h3>\n{table}", escape(&task.task)));
    }
    text
}

/// Every method next to every measure, for every task; nothing without measures.
pub(crate) fn rates(results: &Results) -> String {
    let mut text = String::new();
    for task in &results.base {
        let grid = rate_table(results, &task.task);
        if !grid.is_empty() {
            text.push_str(&format!("<h3>{}</h3>\n{}", escape(&task.task), of_grid(&grid)));
        }
    }
    text
}

/// A table of cells, of which the first row is the head.
fn of_grid(grid: &TextTable) -> String {
    let texts = |cells: &[Cell]| cells.iter().map(|cell| cell.text().to_owned()).collect::<Vec<_>>();
    let head: Vec<String> = grid[0].iter().map(|cell| escape(cell.text())).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows = grid[1..].iter().map(|cells| row("", cells[0].text(), &texts(&cells[1..])));
    table(&head, &rows.collect::<String>())
}

/// The rules and rankings next to a method.
pub(crate) fn yardsticks(method: &MethodResult) -> String {
    let html = |of: Yardstick| {
        let head: Vec<&str> = of.head.iter().map(String::as_str).collect();
        let rows = of.rows.iter().map(|cells| row("", &cells[0], &cells[1..]));
        table(&head, &rows.collect::<String>())
    };
    let parts = [html(rule_table(method)), html(ranking_table(method)), paragraph(&yes_or_no(method))];
    format!("<h3>{}</h3>\n{}", escape(&method.name), parts.concat())
}

/// The tables of the questions without a right answer; nothing if there are none.
pub(crate) fn unanswerable(results: &Results) -> String {
    let Some(of) = &results.unanswerable else { return String::new() };
    paragraph(&title(of)) + &abstention_tables(of).iter().map(of_grid).collect::<String>()
}

/// The nine counts of a table of transitions.
pub(crate) fn transitions(moved: &Transition) -> String {
    let rows: String = VERDICTS
        .iter()
        .zip(cells(moved))
        .map(|(verdict, counts)| row("", verdict, &counts.map(|count| count.to_string())))
        .collect();
    let mut head = vec!["before \\ after"];
    head.extend(VERDICTS);
    table(&head, &rows)
}

/// A method by sub-category and by difficulty; the base model's own numbers are those before the arrows.
pub(crate) fn groups(method: &MethodResult, open: bool) -> String {
    let head = ["", "n", "Acc", "Rel", "refused", "dCon", "dHum", "RGI [95 %]"];
    let section = |title: &str, groups: &[GroupResult]| {
        let title = format!(
            "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{title}</th></tr>\n",
            head.len()
        );
        title + &groups.iter().map(|of| row("", &of.group, &group_cells(&of.comparison))).collect::<String>()
    };
    let rows =
        section("by difficulty", &method.difficulties) + &section("by sub-category", &method.sub_categories);
    format!(
        "<details{}><summary>{}, before→after</summary>\n{}</details>\n",
        if open { " open" } else { "" },
        escape(&method.name),
        table(&head, &rows)
    )
}

fn group_cells(of: &Comparison) -> Vec<String> {
    let mut cells = vec![of.n.to_string()];
    cells.extend([&of.acc, &of.rel, &of.refusal_rate].map(change));
    cells.extend([of.dcon, of.dhum].map(percent));
    cells.push(rgi_with_interval(of));
    cells
}

/// What the numbers were made from: names and hashes.
pub(crate) fn provenance(results: &Results) -> String {
    let mut pairs: Vec<(&str, String)> = vec![("program", results.program.clone())];
    pairs.push(("seed", results.seed.to_string()));
    pairs.extend(results.provenance.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let rows: String = pairs.iter().map(|(key, value)| row("", key, std::slice::from_ref(value))).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"plain\"><tbody>\n{rows}</tbody></table></div>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::abstention::tests::case;
    use crate::report::rate_table::tests::ranked_results;
    use crate::report::table::tests::golden_results;

    #[test]
    fn the_summary_has_the_papers_numbers_and_reasons_where_there_are_none() {
        let html = summary(&golden_results("sound"));
        let cells = ["58.3", "76.3", "73.0", "18.0", "10.8", "20.1"].map(|cell| format!("<td>{cell}</td>"));
        assert!(html.contains(&cells.concat()), "{html}");
        assert!(html.contains("<td>-0.19</td><td>-</td><td>lost nothing</td><td>-</td>"), "{html}");
        assert!(html.contains("<th scope=\"row\">base</th><td>61.0</td>"), "{html}");
    }

    #[test]
    fn an_undefined_rgi_is_shown_as_its_reason() {
        let mut results = golden_results("sound");
        let comparison = &mut results.methods[0].tasks[0].comparison;
        (comparison.rgi, comparison.rgi_reason) = (None, Some("changed nothing".to_owned()));
        assert!(summary(&results).contains("<td>changed nothing</td>"));
    }

    #[test]
    fn every_row_is_as_long_as_the_head() {
        let results = golden_results("sound");
        let unanswerable = Results { unanswerable: Some(case("audio", "adapter")), ..results.clone() };
        let pages = [
            summary(&results),
            groups(&results.methods[0], true),
            yardsticks(&results.methods[0]),
            rates(&ranked_results()),
            super::unanswerable(&unanswerable),
        ];
        for html in pages {
            let (mut columns, mut rows) = (0, 0);
            for line in html.lines() {
                if line.starts_with("<thead>") {
                    columns = line.matches("<th").count() - 1;
                } else if line.contains("scope=\"row\"") {
                    assert_eq!(line.matches("<td>").count() + 1, columns, "{line}");
                    rows += 1;
                }
            }
            assert!(rows > 1, "the rows were not seen: {html}");
        }
    }

    #[test]
    fn names_from_files_cannot_hold_markup() {
        let mut results = golden_results("<img src=x>");
        results.provenance.insert("<b>".to_owned(), "\"'<script>".to_owned());
        results.methods[0].name = "<i>".to_owned();
        let mut ranked = ranked_results();
        ranked.methods[0].name = "<i>".to_owned();
        results.unanswerable = Some(case("<script>", "<i>"));
        let html = summary(&results)
            + &groups(&results.methods[0], false)
            + &provenance(&results)
            + &unanswerable(&results)
            + &rates(&ranked);
        for part in ["<img", "<b>", "<i>", "<script"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        assert!(html.contains("&lt;img src=x&gt;/event"));
    }
}
