//! Risk-coverage curves: how the share of wrong answers grows with the share of questions answered, the surest first.

use idk_questions::metrics::{RiskCoverage, show};

use crate::compare::methods::MethodResult;
use crate::compare::results::Results;
use crate::report::measure_table::measures;

use super::draw::axis::Axis;
use super::draw::panel::SMALL;
use super::draw::shape::{Shape, polyline};
use super::draw::{Key, Plot, file_name};

/// A curve with its name and the number of its colour.
type Curve<'a> = (&'a str, usize, &'a RiskCoverage);

/// A plot for each task that has curves; those of the base model and of the methods that run a model (the rules refuse
/// the base model's answers, so their curves are its own).
pub(crate) fn curves(results: &Results) -> Vec<Plot> {
    let kind = CurveKind { file: "risk-coverage", title: "Risk and coverage" };
    plots(results, &kind, |task| {
        let base =
            results.base.iter().filter(|row| row.task == task).map(|row| ("base", 0, &row.risk_coverage));
        let methods = results.methods.iter().enumerate().filter(|(_, method)| !method.method.is_rule());
        base.chain(methods.flat_map(|(index, method)| curves_of(method, task, index + 1))).collect()
    })
}

/// A plot for each task with the curves of all measures of doubt over the base model's answers.
pub(crate) fn measure_curves(results: &Results) -> Vec<Plot> {
    let kind = CurveKind { file: "risk-coverage-measures", title: "Risk and coverage of measures of doubt" };
    plots(results, &kind, |task| {
        measures(results).enumerate().flat_map(|(index, method)| curves_of(method, task, index + 1)).collect()
    })
}

fn curves_of<'a>(
    method: &'a MethodResult,
    task: &str,
    colour: usize,
) -> impl Iterator<Item = Curve<'a>> + use<'a> {
    let row = method.tasks.iter().find(|row| row.task == task);
    row.map(|row| (method.name.as_str(), colour, &row.risk_coverage)).into_iter()
}

/// What is drawn: the beginning of the file's name and of the title.
struct CurveKind {
    file: &'static str,
    title: &'static str,
}

/// A plot for each task for which there are curves, all with one axis of risks.
fn plots<'a>(results: &'a Results, kind: &CurveKind, of_task: impl Fn(&str) -> Vec<Curve<'a>>) -> Vec<Plot> {
    let of_task =
        |task: &str| -> Vec<Curve<'a>> { of_task(task).into_iter().filter(|curve| curve.2.n > 0).collect() };
    let tasks: Vec<(&str, Vec<Curve<'_>>)> =
        results.base.iter().map(|row| (row.task.as_str(), of_task(&row.task))).collect();
    let risks = tasks.iter().flat_map(|(_, curves)| curves.iter().flat_map(|curve| &curve.2.points));
    let mut values: Vec<f64> = risks.map(|point| point[1]).collect();
    values.push(0.0);
    let risk = Axis::around(&values, 5, SMALL.up);
    let drawn = tasks.iter().filter(|(_, curves)| !curves.is_empty());
    drawn.map(|(task, curves)| plot(kind, task, curves, &risk)).collect()
}

fn plot(kind: &CurveKind, task: &str, curves: &[Curve<'_>], risk: &Axis) -> Plot {
    let coverage = Axis { values: [0.0, 1.0], pixels: SMALL.across, step: 0.2 };
    let ticks: Vec<(f64, String)> =
        coverage.ticks().into_iter().map(|(value, label)| (coverage.at(value), label)).collect();
    let mut shapes = SMALL.frame(risk, "share of wrong answers", &ticks, "share of questions answered");
    for (_, colour, curve) in curves {
        shapes.push(drawn(curve, &coverage, risk, *colour));
    }
    let key = curves.iter().map(|(name, colour, curve)| {
        let area = show(curve.aurc, 3);
        Key::line(&class(*colour), &format!("{name}, AURC {area}"))
    });
    Plot {
        file: file_name(&[kind.file, task]),
        title: format!("{}, {task}", kind.title),
        label: format!("{}, {task}", kind.title.to_lowercase()),
        size: SMALL.size,
        shapes,
        key: key.collect(),
    }
}

/// The look of a curve; from the ninth on the eight looks come again as thin lines.
fn class(colour: usize) -> String {
    let thin = if colour > 8 { "thin " } else { "" };
    format!("curve {thin}c{}", colour % 8)
}

fn drawn(curve: &RiskCoverage, coverage: &Axis, risk: &Axis, colour: usize) -> Shape {
    let points = curve.points.iter().map(|[share, wrong]| [coverage.at(*share), risk.at(*wrong)]);
    polyline(points.collect(), &class(colour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::measure_table::tests::measured_results;
    use crate::report::plot::draw::svg::{elements, inline};
    use crate::report::table::tests::golden_results;

    fn curve() -> RiskCoverage {
        let points = vec![[0.5, 0.0], [1.0, 0.25]];
        RiskCoverage { n: 2, aurc: Some(0.125), points, ..RiskCoverage::default() }
    }

    #[test]
    fn points_are_where_their_shares_are() {
        // Half of 40..310 is 175; a risk of a quarter is half the way up an axis to 0.5, at 110.
        let coverage = Axis { values: [0.0, 1.0], pixels: SMALL.across, step: 0.2 };
        let risk = Axis { values: [0.0, 0.5], pixels: SMALL.up, step: 0.1 };
        assert_eq!(
            elements(&[drawn(&curve(), &coverage, &risk, 9)]),
            "<polyline points=\"175,194 310,110\" class=\"curve thin c1\"/>\n"
        );
    }

    #[test]
    fn all_measures_of_doubt_are_in_one_plot_and_no_method_that_answers() {
        let plots = measure_curves(&measured_results());
        assert_eq!((plots.len(), plots[0].file.as_str()), (1, "risk-coverage-measures-sound"));
        let names: Vec<&str> = plots[0].key.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["semantic-entropy, AURC 0.125"]);
        assert_eq!(measure_curves(&golden_results("sound")), []);
    }

    #[test]
    fn a_task_without_option_probabilities_has_no_plot_and_a_name_cannot_open_a_tag() {
        let mut results = golden_results("<img src=x>");
        assert_eq!(curves(&results), []);
        results.base[0].risk_coverage = curve();
        let plots = curves(&results);
        assert_eq!((plots.len(), plots[0].key[0].name.as_str()), (1, "base, AURC 0.125"));
        let svg = inline(&plots[0]);
        assert!(!svg.contains("<img") && svg.matches("<polyline").count() == 1, "{svg}");
    }
}
