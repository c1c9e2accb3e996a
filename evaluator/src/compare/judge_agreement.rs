//! How far a judge model and the exact rule agree about answers to open questions.

use idk_common::text::terminal_safe;
use idk_questions::Verdict;
use idk_questions::metrics::show;
use serde::{Deserialize, Serialize};

use crate::answer::record::{Answer, ModelJudgement};

/// The verdicts in the order of the tables.
const VERDICTS: [Verdict; 3] = [Verdict::Correct, Verdict::Wrong, Verdict::Refused];

/// A judge model, and how far it agrees with the exact rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeResults {
    /// The model's name on its server.
    pub model: String,
    /// SHA-256 of its name, its prompt and its settings.
    pub sha256: String,
    /// The base model, then every method that answers by itself.
    pub agreement: Vec<JudgeAgreement>,
}

/// Two verdicts on each of a method's answers to open questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeAgreement {
    /// Whose answers.
    pub name: String,
    /// Answers that were judged.
    pub n: usize,
    /// Those on which the judge's reply was none of the three words: the rule's verdict counts there.
    pub unreadable: usize,
    /// How many of the others the rule (rows) and the judge (columns) find correct, wrong and refused.
    pub table: [[usize; 3]; 3],
    /// Share of equal verdicts among those that can be read.
    pub share: Option<f64>,
    /// Cohen's kappa: what the share exceeds chance by, of what it could.
    pub kappa: Option<f64>,
    /// Why there is no kappa.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kappa_reason: Option<String>,
}

impl JudgeAgreement {
    /// That of the answers that a judge has seen.
    pub(crate) fn of(name: &str, answers: &[Answer]) -> Self {
        let (mut n, mut unreadable, mut table) = (0, 0, [[0; 3]; 3]);
        for &ModelJudgement { verdict, rule } in answers.iter().filter_map(|answer| answer.by_model.as_ref())
        {
            n += 1;
            let place = |verdict: Verdict| VERDICTS.iter().position(|&it| it == verdict);
            match (place(rule), verdict.and_then(place)) {
                (Some(rule), Some(judge)) => table[rule][judge] += 1,
                _ => unreadable += 1,
            }
        }
        let (share, kappa) = cohens_kappa(&table);
        let kappa_reason = kappa.is_none().then(|| match share {
            None => "no verdict can be read".to_owned(),
            Some(_) => "both give all answers the same verdict".to_owned(),
        });
        Self { name: name.to_owned(), n, unreadable, table, share, kappa, kappa_reason }
    }
}

impl JudgeResults {
    /// All of it as one sentence.
    pub(crate) fn sentence(&self) -> String {
        let of = |row: &JudgeAgreement| {
            let (name, share) = (terminal_safe(&row.name), show(row.share.map(|share| 100.0 * share), 1));
            let unreadable = match row.unreadable {
                0 => String::new(),
                count => format!(", {count} unreadable, judged by the rule"),
            };
            format!("{name} {share} % of {} (Cohen's kappa {}{unreadable})", row.n, show(row.kappa, 2))
        };
        format!(
            "Answers to open questions were judged by `{}`; agreement with the exact rule: {}.",
            terminal_safe(&self.model),
            self.agreement.iter().map(of).collect::<Vec<_>>().join("; ")
        )
    }
}

/// The share on the diagonal, and Cohen's kappa (Cohen 1960, <https://doi.org/10.1177/001316446002000104>): with counts,
/// (n a - e) / (n² - e), where a are the equal verdicts and e is the sum of the products of the margins.
fn cohens_kappa(table: &[[usize; 3]; 3]) -> (Option<f64>, Option<f64>) {
    let n: usize = table.iter().flatten().sum();
    if n == 0 {
        return (None, None);
    }
    let equal: usize = (0..3).map(|place| table[place][place]).sum();
    let by_chance: usize = (0..3)
        .map(|place| table[place].iter().sum::<usize>() * table.iter().map(|row| row[place]).sum::<usize>())
        .sum();
    let share = equal as f64 / n as f64;
    let kappa =
        (by_chance < n * n).then(|| ((n * equal) as f64 - by_chance as f64) / (n * n - by_chance) as f64);
    (Some(share), kappa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_the_one_computed_by_hand() {
        // Cohen's: 20 + 15 of 50 agree (0.7); by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5; kappa 0.2 / 0.5 = 0.4.
        let found = cohens_kappa(&[[20, 5, 0], [10, 15, 0], [0, 0, 0]]);
        assert_eq!(found, (Some(0.7), Some(0.4)));
        // Three kinds: 5 of 10; margins 4 3 3 and 5 3 2: 20 + 9 + 6 = 35; (50 - 35) / (100 - 35) = 3 / 13.
        let (share, kappa) = cohens_kappa(&[[3, 1, 0], [1, 1, 1], [1, 1, 1]]);
        assert_eq!(share, Some(0.5));
        assert!((kappa.unwrap() - 3.0 / 13.0).abs() < 1e-15);
        assert_eq!(cohens_kappa(&[[4, 0, 0], [0, 3, 0], [0, 0, 3]]), (Some(1.0), Some(1.0)));
        // Nothing but the opposite: (0 - 2) / (4 - 2).
        assert_eq!(cohens_kappa(&[[0, 1, 0], [1, 0, 0], [0, 0, 0]]), (Some(0.0), Some(-1.0)));
    }

    #[test]
    fn a_kappa_of_nothing_and_of_one_verdict_alone_is_undefined_with_a_reason() {
        assert_eq!(cohens_kappa(&[[0; 3]; 3]), (None, None));
        assert_eq!(cohens_kappa(&[[0, 0, 0], [0, 7, 0], [0, 0, 0]]), (Some(1.0), None));
        let none = JudgeAgreement::of("base", &[]);
        assert_eq!(none.kappa_reason.as_deref(), Some("no verdict can be read"));
    }

    #[test]
    fn the_sentence_names_judge_share_kappa_and_what_could_not_be_read() {
        let row = JudgeAgreement { unreadable: 2, n: 52, ..JudgeAgreement::of("base", &[]) };
        let row = JudgeAgreement { share: Some(0.7), kappa: Some(0.4), kappa_reason: None, ..row };
        let results = JudgeResults { model: "j".to_owned(), sha256: String::new(), agreement: vec![row] };
        let expected = "Answers to open questions were judged by `j`; agreement with the exact rule: base 70.0 % of 52 \
                        (Cohen's kappa 0.40, 2 unreadable, judged by the rule).";
        assert_eq!(results.sentence(), expected);
    }
}
