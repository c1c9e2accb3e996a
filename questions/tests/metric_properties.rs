//! What holds for every metric whatever the answers are, on made-up answers; and how often the intervals hold the truth.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::collections::BTreeMap;

use idk_common::seed::Rng;
use idk_questions::Verdict::{self, Correct, Refused, Wrong};
use idk_questions::metrics::{
    Abstention, Clusters, Comparison, Criterion, auroc, compare, fit_threshold, group_refuser, mcnemar,
    random_refuser, rgi_interval, risk_coverage, threshold_refuser, within_group_auroc,
};

/// Answers of a base model and a method to questions with clips, groups and confidences.
struct Case {
    ids: Vec<String>,
    before: Vec<Verdict>,
    after: Vec<Verdict>,
    clips: Vec<String>,
    groups: Vec<String>,
    confidence: Vec<f64>,
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        let n = 2 + rng.below(80);
        // Some cases have one verdict only, so that every way of being undefined comes up.
        let kinds = 1 + rng.below(3);
        let verdicts = |rng: &mut Rng| (0..n).map(|_| [Wrong, Correct, Refused][rng.below(kinds)]).collect();
        Self {
            ids: (0..n).map(|index| format!("q{index}")).collect(),
            before: verdicts(rng),
            after: verdicts(rng),
            clips: (0..n).map(|_| format!("clip{}", rng.below(n))).collect(),
            groups: (0..n).map(|_| format!("group{}", rng.below(4))).collect(),
            confidence: (0..n).map(|_| rng.below(7) as f64 / 7.0).collect(),
        }
    }

    fn permuted(&self, order: &[usize]) -> Self {
        fn by<T: Clone>(order: &[usize], list: &[T]) -> Vec<T> {
            order.iter().map(|&index| list[index].clone()).collect()
        }
        Self {
            ids: by(order, &self.ids),
            before: by(order, &self.before),
            after: by(order, &self.after),
            clips: by(order, &self.clips),
            groups: by(order, &self.groups),
            confidence: by(order, &self.confidence),
        }
    }

    fn comparison(&self) -> Comparison {
        compare(&self.before, &self.after, Some(&Clusters::of(&self.clips)), 3, 40).unwrap()
    }

    /// Every metric, and for the rules the ids that they refuse.
    fn everything(&self) -> serde_json::Value {
        let wrong: Vec<bool> = self.before.iter().map(|&verdict| verdict == Wrong).collect();
        let right = |list: &[Verdict]| list.iter().map(|&it| it == Correct).collect::<Vec<_>>();
        let (ids, before, sure) = (&self.ids, &self.before, &self.confidence);
        let shares = BTreeMap::from([("group0".to_owned(), 0.2), ("group1".to_owned(), 0.9)]);
        let refused = |after: Vec<Verdict>| -> Vec<&String> {
            let mut ids: Vec<&String> =
                ids.iter().zip(after).filter(|(_, it)| *it == Refused).map(|(id, _)| id).collect();
            ids.sort();
            ids
        };
        let count = ids.len() / 3;
        let fits = [Criterion::Youden, Criterion::Rgi].map(|by| fit_threshold(before, sure, by).unwrap());
        serde_json::json!({
            "comparison": self.comparison(),
            "auroc": [auroc(sure, &wrong), within_group_auroc(sure, &wrong, &self.groups)],
            "risk_coverage": risk_coverage(sure, &right(&self.after)).unwrap(),
            "mcnemar": mcnemar(&right(before), &right(&self.after)).unwrap(),
            "fit": fits,
            "refused": [
                refused(random_refuser(before, ids, count, 5).unwrap()),
                refused(threshold_refuser(before, sure, ids, count, 5).unwrap()),
                refused(group_refuser(before, &self.groups, ids, &shares, count).unwrap()),
            ],
        })
    }
}

#[test]
fn the_order_of_the_questions_changes_no_metric_and_no_rules_choice() {
    let mut rng = Rng::new(1);
    for _ in 0..60 {
        let case = Case::random(&mut rng);
        let order = rng.permutation(case.ids.len());
        assert_eq!(case.permuted(&order).everything(), case.everything());
    }
}

#[test]
fn what_is_undefined_is_null_with_a_reason_and_what_is_defined_is_in_range() {
    let mut rng = Rng::new(2);
    let mut undefined = BTreeMap::<String, usize>::new();
    for _ in 0..400 {
        let row = Case::random(&mut rng).comparison();
        assert_eq!(row.rgi.is_none(), row.rgi_reason.is_some(), "{row:?}");
        assert!(row.rgi.is_none_or(f64::is_finite) && (row.rgi.is_some() || row.rgi_relative.is_none()));
        *undefined.entry(row.rgi_reason.clone().unwrap_or_default()).or_default() += 1;
        let shares = [
            row.acc.after,
            row.tru.after,
            row.rel.after,
            row.refusal_rate.after,
            row.dcon,
            row.dhum,
            row.prudence,
            row.over_conservativeness,
            row.honesty,
        ];
        assert!(shares.iter().flatten().all(|share| (0.0..=100.0).contains(share)), "{row:?}");
        let json = serde_json::to_string(&row).unwrap();
        assert!(!json.contains("NaN") && !json.contains("inf"), "{json}");
    }
    let reasons: Vec<&str> = undefined.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["", "changed nothing", "gained nothing", "lost nothing"]);
}

#[test]
fn the_metrics_hold_to_their_formulas_for_any_answers() {
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        let case = Case::random(&mut rng);
        let row = case.comparison();
        let n = case.ids.len() as f64;
        let pairs = || case.before.iter().zip(&case.after);
        let share = |keep: &dyn Fn(&Verdict, &Verdict) -> bool| {
            100.0 * pairs().filter(|(was, is)| keep(was, is)).count() as f64 / n
        };
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        let (acc, refused) = (share(&|_, is| *is == Correct), share(&|_, is| *is == Refused));
        assert!(near(row.acc.after, acc) && near(row.refusal_rate.after, refused));
        assert!(near(row.tru.after, acc + refused));
        // Rel = Acc + r (1 - r): which questions are refused does not matter to it.
        let rate = refused / 100.0;
        assert!(near(row.rel.after, acc + 100.0 * rate * (1.0 - rate)));
        let lost = share(&|was, is| *was == Correct && *is != Correct);
        let gained = share(&|was, is| *was == Wrong && *is != Wrong);
        assert!(near(row.dcon, lost) && near(row.dhum, gained));
        if let Some(rgi) = row.rgi {
            assert!((rgi - (gained / lost).log10()).abs() < 1e-9);
        }
    }
}

/// How many of the intervals of `runs` samples hold the true RGI. In each of `clips` clips `questions` questions share
/// their fate.
fn covered(runs: usize, clips: usize, questions: usize, clustered: bool) -> f64 {
    let (lost, gained) = (0.10, 0.20);
    let truth = f64::log10(gained / lost);
    let mut rng = Rng::new(11);
    let mut holds = 0;
    for run in 0..runs {
        let (mut before, mut after, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for clip in 0..clips {
            let (was, is) = match rng.uniform() {
                draw if draw < lost => (Correct, Refused),
                draw if draw < lost + gained => (Wrong, Refused),
                draw if draw < 0.7 => (Correct, Correct),
                _ => (Wrong, Wrong),
            };
            for _ in 0..questions {
                before.push(was);
                after.push(is);
                names.push(format!("clip{clip}"));
            }
        }
        let clusters = clustered.then(|| Clusters::of(&names));
        let [low, high] = rgi_interval(&before, &after, clusters.as_ref(), run as u64, 400).unwrap();
        holds += usize::from(low <= truth && truth <= high);
    }
    holds as f64 / runs as f64
}

#[test]
fn in_a_simulation_the_95_percent_interval_holds_the_truth_about_95_times_in_100() {
    // 500 samples: the share itself has a standard error of 1 point.
    let share = covered(500, 300, 1, false);
    assert!((0.92..=0.98).contains(&share), "{share}");
}

#[test]
fn where_questions_share_a_clip_only_the_interval_over_clips_holds_the_truth_as_often() {
    let clustered = covered(500, 200, 4, true);
    assert!((0.92..=0.98).contains(&clustered), "{clustered}");
    let naive = covered(200, 200, 4, false);
    assert!(naive < 0.80, "as if every question were a new clip: {naive}");
}

#[test]
fn abstention_holds_to_its_formulas_and_depends_on_no_order() {
    let mut rng = Rng::new(4);
    for _ in 0..200 {
        let case = Case::random(&mut rng);
        let n = case.ids.len();
        let answerable: Vec<bool> = (0..n).map(|_| rng.below(3) > 0).collect();
        // A reply to a question without a right answer is never correct.
        let pairs = case.after.iter().zip(&answerable);
        let replies: Vec<Verdict> =
            pairs.map(|(&it, &has)| if it == Correct && !has { Wrong } else { it }).collect();
        let clusters = Clusters::of(&case.clips);
        let found = Abstention::of(&answerable, &replies, Some(&clusters), 3, 40).unwrap();
        let count = |keep: &dyn Fn(bool, Verdict) -> bool| {
            answerable.iter().zip(&replies).filter(|&(&has, &it)| keep(has, it)).count()
        };
        let (hit, miss) = (count(&|has, it| !has && it == Refused), count(&|has, it| !has && it != Refused));
        let over = count(&|has, it| has && it == Refused);
        assert_eq!((found.correct_abstain.count, found.hallucination.count), (hit, miss));
        assert_eq!(found.correct_abstain.of, found.hallucination.of);
        if let (Some(recall), Some(precision)) = (found.correct_abstain.percent, found.precision.percent) {
            let sum = found.hallucination.percent.unwrap() + recall;
            assert!((sum - 100.0).abs() < 1e-9);
            match recall + precision {
                0.0 => assert_eq!(found.f1, Some(0.0)),
                sum => assert!((found.f1.unwrap() - 2.0 * recall * precision / sum).abs() < 1e-9),
            }
        }
        assert_eq!(found.f1.is_none(), hit + miss + over == 0);
        assert_eq!(found.right.count, hit + count(&|has, it| has && it == Correct));
        let wrong = count(&|_, it| it == Wrong);
        let score = 100.0 * (found.right.count as f64 - wrong as f64) / n as f64;
        assert!((found.truthfulness_score.unwrap() - score).abs() < 1e-9);
        for share in [found.correct_abstain, found.over_refusal, found.precision, found.selective_accuracy] {
            let [low, high] = share.ci95.unwrap_or_default();
            let at = share.percent.unwrap_or_default();
            assert!((0.0..=at).contains(&low) && (at..=100.0).contains(&high), "{share:?}");
        }
        if let Some([low, high]) = found.f1_ci95 {
            assert!(0.0 <= low && low <= high && high <= 100.0);
        }
        let order = rng.permutation(n);
        let permuted: Vec<Verdict> = order.iter().map(|&at| replies[at]).collect();
        let flags: Vec<bool> = order.iter().map(|&at| answerable[at]).collect();
        let clips = clusters.of_places(order.iter().copied());
        assert_eq!(Abstention::of(&flags, &permuted, Some(&clips), 3, 40).unwrap(), found);
    }
}
