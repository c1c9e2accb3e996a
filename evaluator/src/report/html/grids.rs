//! The sweeps of a run: plots, the picked value in words, and the numbers.

use crate::report::plot::draw::escape::escape;
use crate::report::plot::grid_curves::{name, plots, questions};
use crate::report::table::percent;
use crate::grid::file::{Sweep, SweepKind, SweepPoint};
use idk_questions::metrics::show_rgi;

use super::page::{figure, figures, paragraph, row, section, table};

/// What is turned, and what it means.
fn note(kind: SweepKind) -> &'static str {
    match kind {
        SweepKind::AdapterScale => {
            "A factor before the adapter when the model answers, without another training: 0 is the base model, 1 \
             the adapter as it was trained."
        }
        SweepKind::Threshold => {
            "No adapter: the base model's answer is refused where the probability of the chosen option is below the \
             threshold."
        }
        SweepKind::K => {
            "A question counts as known if at least K of its samples are right; an adapter was trained for each K."
        }
    }
}

/// A section for every number that was turned; nothing without sweeps.
pub(super) fn sections(sweeps: &[Sweep]) -> String {
    let of = |kind: SweepKind| {
        let found: Vec<&Sweep> = sweeps.iter().filter(|sweep| sweep.kind == kind).collect();
        let pair = |sweep: &&Sweep| figures(&plots(sweep).map(|plot| figure(&plot, "")));
        let plots: String = found.iter().map(pair).collect();
        let said: String = found.iter().map(|sweep| picked(sweep)).collect();
        let numbers: String = found.iter().map(|sweep| numbers(sweep)).collect();
        let mut title = name(kind).trim_start_matches("the ").to_owned();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        section(&title, note(kind), &(said + &plots + &numbers))
    };
    SweepKind::ALL.map(of).concat()
}

fn picked(sweep: &Sweep) -> String {
    let Some(picked) = &sweep.picked else { return String::new() };
    let text = format!("Picked: {} = {} ({}).", sweep.parameter, picked.value, picked.why);
    // A sweep of the test set repeats what was picked on val.
    if sweep.set == crate::grid::file::SweepSet::Val { paragraph(&text) } else { String::new() }
}

fn numbers(sweep: &Sweep) -> String {
    let head = [sweep.kind.name(), "Acc", "Tru", "Rel", "refused", "RGI [95 %]"];
    let rows: String = sweep
        .points
        .iter()
        .map(|point| {
            let shares = [point.acc, point.tru, point.rel, point.refusal_rate].map(percent);
            let is_picked = sweep.picked.as_ref().is_some_and(|picked| picked.value == point.value);
            let mut cells = shares.to_vec();
            cells.push(rgi(point));
            row(if is_picked { "chosen" } else { "" }, &point.value.to_string(), &cells)
        })
        .collect();
    format!("<details><summary>{}</summary>\n{}</details>\n", escape(&questions(sweep)), table(&head, &rows))
}

fn rgi(point: &SweepPoint) -> String {
    show_rgi(point.rgi, point.interval(), point.rgi_reason.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::grid_curves::tests::sweep;
    use crate::grid::file::SweepSet;

    #[test]
    fn a_sweep_has_its_plots_its_numbers_and_what_was_picked() {
        let val = sweep("sound");
        let html = sections(&[val.clone(), Sweep { set: SweepSet::Test, ..val }]);
        assert_eq!((html.matches("<h2>").count(), html.matches("role=\"img\"").count()), (1, 4));
        assert_eq!(html.matches("Picked: adapter_scale = 0.5 (best).").count(), 1, "{html}");
        let cells =
            ["55.0", "65.0", "62.0", "10.0", "+0.30 [+0.20,+0.40]"].map(|cell| format!("<td>{cell}</td>"));
        assert!(html.contains(&cells.concat()) && html.contains("<td>lost nothing</td>"), "{html}");
        assert_eq!(sections(&[]), "");
    }
}
