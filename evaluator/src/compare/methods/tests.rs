//! Rows of a comparison: every task, the rules at the same rate, and what is left out.

use idk_questions::PromptStyle;

use super::*;
use idk_questions::AskedQuestion;

fn question(id: usize, task: &str, sub_category: &str) -> AskedQuestion {
    let question = Question {
        id: format!("q{id}"),
        audio: vec![format!("{id}.wav").into()],
        choices: vec!["dog".to_owned(), "cat".to_owned()],
        answer: "dog".to_owned(),
        task: task.to_owned(),
        sub_category: sub_category.to_owned(),
        ..Question::default()
    };
    AskedQuestion { shown: question.clone(), original: question }
}

fn answer(id: usize, verdict: Verdict, confidence: f64) -> Answer {
    let choice = match verdict {
        Verdict::Correct => Some(0),
        Verdict::Wrong => Some(1),
        Verdict::Refused => None,
    };
    Answer {
        id: format!("q{id}"),
        text: String::new(),
        judgement: Judgement { verdict, choice, unparsed: false },
        log_prob: Some(-(id as f64)),
        tokens: None,
        option_log_probs: vec![confidence, confidence],
        refusal_margin: None,
        steps: Vec::new(),
        by_model: None,
    }
}

/// Sound: an easy and a hard group of four. Base: easy 3 right, hard 1 right. The method refuses all hard ones.
fn case() -> (Prepared, Vec<Answer>, Vec<Answer>) {
    use Verdict::{Correct, Refused, Wrong};
    let groups = ["easy", "easy", "easy", "easy", "hard", "hard", "hard", "hard"];
    let was = [Correct, Correct, Correct, Wrong, Wrong, Wrong, Wrong, Correct];
    let confidence = [-0.1, -0.2, -0.3, -2.0, -3.0, -4.0, -5.0, -0.4];
    let is = [Correct, Correct, Correct, Wrong, Refused, Refused, Refused, Refused];
    let mut questions: Vec<_> = (0..8).map(|id| question(id, "sound", groups[id])).collect();
    questions.push(question(8, "music", "pitch"));
    let mut before: Vec<_> = (0..8).map(|id| answer(id, was[id], confidence[id])).collect();
    before.push(answer(8, Correct, -1.0));
    let mut after: Vec<_> = (0..8).map(|id| answer(id, is[id], 0.0)).collect();
    after.push(answer(8, Correct, 0.0));
    let prepared = Prepared {
        questions,
        clips: Vec::new(),
        rejected: Vec::new(),
        cut_audio: 0,
        style: PromptStyle::default(),
        refusals: Vec::new(),
    };
    (prepared, before, after)
}

fn compared(known_share: &BTreeMap<String, f64>) -> MethodResult {
    let (prepared, before, after) = case();
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let measures = BTreeMap::from([
        (Method::SelfConsistency, vec![1.0, 0.8, 0.8, 0.6, 0.6, 0.4, 0.2, 0.0, 1.0]),
        (Method::Probe, vec![0.9, -0.3, 0.8, -0.2, 0.1, 0.0, -0.1, 1.0, 0.0]),
        (Method::VerbalisedConfidence, vec![f64::NEG_INFINITY; 9]),
    ]);
    let rules =
        RuleInputs { known_share: Some(known_share), measures: Some(&measures), ..RuleInputs::default() };
    compare_method(&prepared, &before, &Method::Adapter.into(), &after, rules, &config, 0).unwrap()
}

#[test]
fn every_task_has_a_row_in_the_papers_order_and_all_comes_last() {
    let names: Vec<String> = compared(&BTreeMap::new()).tasks.into_iter().map(|row| row.task).collect();
    assert_eq!(names, ["sound", "music", "all"]);
    let order = task_names(["speech", "zoo", "sound", "bells"].into_iter());
    assert_eq!(order, ["sound", "speech", "bells", "zoo"]);
}

#[test]
fn simple_rules_refuse_as_many_as_the_method_did() {
    let known = BTreeMap::from([("sound/easy".to_owned(), 0.75), ("sound/hard".to_owned(), 0.25)]);
    let sound = compared(&known).tasks.remove(0);
    // The method lost 1 of 8 correct answers and freed 3 wrong ones: log10(3).
    assert_eq!(sound.comparison.rgi, Some(3.0_f64.log10()));
    assert_eq!(sound.comparison.random_rgi, Some(0.0));
    // The threshold takes the four least sure answers, all wrong; the group rule does what the method did.
    let threshold = sound.yardsticks.threshold.unwrap();
    assert_eq!((threshold.rgi, threshold.rgi_reason.as_deref()), (None, Some("lost nothing")));
    assert_eq!(threshold.dhum, Some(50.0));
    // The fewest samples agree with q7 (right), q6 and q5 (wrong); q3 and q4, both wrong, tie for the fourth place.
    assert_eq!(sound.yardsticks.self_consistency.unwrap().rgi, Some(3.0_f64.log10()));
    assert_eq!(sound.yardsticks.group.unwrap().rgi, Some(3.0_f64.log10()));
}

#[test]
fn every_measure_that_was_computed_refuses_as_many_as_the_method_did() {
    let sound = compared(&BTreeMap::new()).tasks.remove(0);
    let of = |measure| sound.yardsticks.of_measure(measure).and_then(|rule| rule.rgi);
    // The probe is least sure of q1 (right), q3, q6 and q5 (wrong).
    assert_eq!(of(Method::Probe), Some(3.0_f64.log10()));
    assert_eq!(of(Method::SelfConsistency), sound.yardsticks.self_consistency.as_ref().unwrap().rgi);
    assert_eq!(sound.yardsticks.measures.keys().collect::<Vec<_>>(), [&Method::Probe]);
    assert!(sound.yardsticks.of_measure(Method::VerbalisedConfidence).is_none(), "it has no value");
    let json = serde_json::to_value(&sound).unwrap();
    assert_eq!(json["measures"]["probe"]["rgi"].as_f64(), Some(3.0_f64.log10()));
    assert_eq!(serde_json::from_value::<TaskResult>(json).unwrap(), sound);
    let (prepared, before, after) = case();
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let measures = BTreeMap::from([(Method::Probe, vec![0.5; 9])]);
    let rules = RuleInputs { measures: Some(&measures), ..RuleInputs::default() };
    let rule = compare_method(&prepared, &before, &Method::Group.into(), &after, rules, &config, 0);
    assert!(rule.unwrap().tasks[0].yardsticks.measures.is_empty(), "a rule stands next to no other");
}

#[test]
fn the_order_of_the_questions_changes_no_number_where_many_share_a_value() {
    use Verdict::{Correct, Refused, Wrong};
    let mut rng = idk_common::seed::Rng::new(5);
    let n = 60;
    let verdict = |rng: &mut idk_common::seed::Rng| [Correct, Wrong, Refused][rng.below(3)];
    let questions: Vec<_> =
        (0..n).map(|id| question(id, ["sound", "music"][id % 2], ["a", "b", "c"][id % 3])).collect();
    let mut before: Vec<_> = (0..n).map(|id| answer(id, verdict(&mut rng), -(rng.below(3) as f64))).collect();
    for id in (0..n).step_by(7) {
        before[id].judgement = Judgement::UNPARSED;
    }
    let after: Vec<_> = (0..n).map(|id| answer(id, verdict(&mut rng), 0.0)).collect();
    let lists: Vec<(Method, Vec<f64>)> =
        [Method::SelfConsistency, Method::VerbalisedConfidence, Method::DiscreteSemanticEntropy]
            .map(|measure| (measure, (0..n).map(|_| rng.below(3) as f64).collect()))
            .to_vec();
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let result = |order: &[usize], seed: u64| {
        fn by<T: Clone>(order: &[usize], list: &[T]) -> Vec<T> {
            order.iter().map(|&place| list[place].clone()).collect()
        }
        let prepared = Prepared { questions: by(order, &questions), ..case().0 };
        let measures = lists.iter().map(|(measure, list)| (*measure, by(order, list))).collect();
        let rules = RuleInputs {
            measures: Some(&measures),
            sureness: Some(&measures[&Method::SelfConsistency]),
            ..RuleInputs::default()
        };
        let (before, after) = (by(order, &before), by(order, &after));
        let who = Method::Adapter.into();
        compare_method(&prepared, &before, &who, &after, rules, &config, seed).unwrap()
    };
    let straight: Vec<usize> = (0..n).collect();
    let expected = result(&straight, 3);
    for _ in 0..5 {
        assert_eq!(result(&rng.permutation(n), 3), expected);
    }
    let of_seed = |seed| result(&straight, seed).tasks[2].yardsticks.measures.clone();
    assert!((0..5).any(|seed| of_seed(seed) != of_seed(5)), "ties are broken by the seed");
}

#[test]
fn refusing_whole_groups_shows_as_no_skill_within_groups() {
    let sound = compared(&BTreeMap::new()).tasks.remove(0);
    let auroc = sound.yardsticks.auroc;
    assert!(auroc.refusal.unwrap() > 0.5);
    assert_eq!(auroc.refusal_within, Some(0.5));
    assert_eq!((auroc.doubt, auroc.doubt_within), (Some(1.0), Some(1.0)));
    assert!(sound.yardsticks.group.is_none(), "no labelled set, no group rule");
}

#[test]
fn one_pass_refuses_the_answers_that_are_least_likely_as_a_whole() {
    let sound = compared(&BTreeMap::new()).tasks.remove(0);
    // The least likely whole answers are q7 (right), q6, q5 and q4 (wrong): the order in which they were asked.
    assert_eq!(sound.yardsticks.one_pass.unwrap().rgi, Some(3.0_f64.log10()));
    // Within easy q3 (wrong) is the least likely; within hard q7 (right) is: 3 + 0 of 6 pairs.
    assert_eq!(sound.yardsticks.auroc.one_pass_within, Some(0.5));
    // Of 16 pairs of a wrong and a right answer: q3, q4, q5, q6 are less likely than q0, q1, q2 each.
    assert_eq!(sound.yardsticks.auroc.one_pass, Some(12.0 / 16.0));
}

#[test]
fn a_method_is_ranked_by_its_refusal_margin_and_a_rule_by_none() {
    let (prepared, before, mut after) = case();
    // The margin is lowest where the base model is wrong (q3 to q6), but for q4.
    let margins = [5.0, 4.0, 3.0, -1.0, 6.0, -1.0, -2.0, 2.0, 1.0];
    after.iter_mut().zip(margins).for_each(|(answer, margin)| answer.refusal_margin = Some(margin));
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let auroc = |method: Method| {
        let rules = RuleInputs::default();
        let result = compare_method(&prepared, &before, &method.into(), &after, rules, &config, 0).unwrap();
        result.tasks[0].yardsticks.auroc
    };
    // q3, q5, q6 win all 4 pairs, q4 none; within easy q3 wins 3, within hard q5 and q6 win 2, q4 none.
    assert_eq!(auroc(Method::Adapter).ranking, Some(12.0 / 16.0));
    assert_eq!(auroc(Method::Adapter).ranking_within, Some(5.0 / 6.0));
    assert_eq!(auroc(Method::Group).ranking, None);
    after[0].refusal_margin = None;
    let result = compare_method(
        &prepared,
        &before,
        &Method::Adapter.into(),
        &after,
        RuleInputs::default(),
        &config,
        0,
    );
    assert_eq!(result.unwrap().tasks[0].yardsticks.auroc.ranking, None, "one answer was not scored");
}

#[test]
fn a_measure_ranks_the_base_models_answers_and_one_without_a_value_ranks_nothing() {
    let (prepared, before, after) = case();
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let compared = |sureness: &[f64]| {
        let rules = RuleInputs { sureness: Some(sureness), ..RuleInputs::default() };
        let who = Method::SemanticEntropy.into();
        compare_method(&prepared, &before, &who, &after, rules, &config, 0).unwrap()
    };
    // Sound by falling sureness: q0 right, q1 right, q3 wrong, q2 right, then q4, q5, q6 wrong, and q7, right, without a value.
    let none = f64::NEG_INFINITY;
    let result = compared(&[9.0, 8.0, 6.0, 7.0, 5.0, 4.0, 3.0, none, 2.0]);
    let sound = &result.tasks[0];
    // Of 16 pairs of a wrong and a right answer q3 wins against q0 and q1, the other three against q0, q1 and q2.
    assert_eq!(sound.yardsticks.auroc.ranking, Some(11.0 / 16.0));
    // Within easy q3 wins 2 of 3; within hard none of 3.
    assert_eq!(sound.yardsticks.auroc.ranking_within, Some(2.0 / 6.0));
    let risks = [0.0, 0.0, 1.0 / 3.0, 0.25, 0.4, 0.5, 4.0 / 7.0, 0.5];
    let aurc = sound.risk_coverage.aurc.unwrap();
    assert!((aurc - risks.iter().sum::<f64>() / 8.0).abs() < 1e-12, "{aurc}");
    assert_eq!(result.missing, 1);
    let empty = compared(&[none; 9]);
    let row = &empty.tasks[0];
    assert_eq!((row.yardsticks.auroc.ranking, row.risk_coverage.aurc, empty.missing), (None, None, 9));
}

#[test]
fn answers_that_cannot_be_read_are_left_out_of_the_second_measure_alone() {
    let (prepared, mut before, after) = case();
    assert!(compared(&BTreeMap::new()).tasks.iter().all(|row| row.readable.is_none()));
    // Of the four that the method refuses, two wrong ones name no option.
    for index in [4, 5] {
        before[index].judgement = Judgement { verdict: Verdict::Wrong, choice: None, unparsed: true };
    }
    let config = EvalConfig { bootstrap_draws: 20, ..EvalConfig::default() };
    let adapter = Method::Adapter.into();
    let result =
        compare_method(&prepared, &before, &adapter, &after, RuleInputs::default(), &config, 0).unwrap();
    let sound = &result.tasks[0];
    assert_eq!((sound.comparison.n, sound.comparison.rgi), (8, Some(3.0_f64.log10())));
    let readable = sound.readable.as_ref().unwrap();
    // q6 (wrong) and q7 (right) are refused; by confidence q6 and q3, both wrong, would be.
    assert_eq!((readable.comparison.n, readable.comparison.rgi), (6, Some(0.0)));
    let conf = readable.yardsticks.threshold.as_ref().unwrap();
    assert_eq!((conf.rgi, conf.rgi_reason.as_deref()), (None, Some("lost nothing")));
    assert!(result.tasks[1].readable.is_none(), "all of music can be read");
    let json = serde_json::to_value(sound).unwrap();
    assert_eq!((&json["n"], &json["readable"]["n"]), (&8.into(), &6.into()));
    assert_eq!(serde_json::from_value::<TaskResult>(json).unwrap(), *sound);
}

#[test]
fn the_risk_coverage_curve_is_that_of_the_likeliest_options_whatever_was_said() {
    let (prepared, before, _) = case();
    // The first option is the right one; for q1 the second is likelier, and q1 is the surest of three.
    let answers: Vec<Answer> = [[-2.0, -3.0], [-1.0, -0.5], [-1.0, -4.0]]
        .into_iter()
        .zip(&before)
        .map(|(options, answer)| Answer {
            judgement: Judgement::REFUSED,
            option_log_probs: options.to_vec(),
            refusal_margin: None,
            ..answer.clone()
        })
        .collect();
    let shown = prepared.questions.iter().map(|question| &question.shown);
    let curve = forced_choice(answers.iter().zip(shown)).unwrap();
    // Risks 1, 1/2, 1/3.
    assert!((curve.aurc.unwrap() - (1.0 + 0.5 + 1.0 / 3.0) / 3.0).abs() < 1e-12, "{curve:?}");
}

#[test]
fn known_shares_count_labels_by_task_and_sub_category() {
    let row = |task: &str, label| LabelRow {
        id: String::new(),
        n: 5,
        correct: 0,
        refused: 0,
        wrong: 5,
        label,
        task: task.to_owned(),
        sub_category: "x".to_owned(),
        unanswerable: None,
    };
    let unanswerable = LabelRow { unanswerable: Some("absent".to_owned()), ..row("sound", Label::Unknown) };
    let labels = [
        row("sound", Label::Known),
        row("sound", Label::Unknown),
        unanswerable,
        row("music", Label::Unknown),
    ];
    let expected = BTreeMap::from([("music/x".to_owned(), 0.0), ("sound/x".to_owned(), 0.5)]);
    assert_eq!(known_shares(&labels), expected);
}

#[test]
fn answers_to_other_questions_are_an_error() {
    let (prepared, before, mut after) = case();
    after.swap(0, 1);
    let config = EvalConfig::default();
    let result = compare_method(
        &prepared,
        &before,
        &Method::Adapter.into(),
        &after,
        RuleInputs::default(),
        &config,
        0,
    );
    assert!(matches!(result, Err(EvalError::Misaligned { method }) if method == "adapter"));
}
