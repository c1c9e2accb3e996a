//! What the model says about its own answer, as a number: P(True) (Kadavath et al. 2022, arXiv 2207.05221) and a confidence
//! in words (Tian et al. 2023, arXiv 2305.14975; Xiong et al. 2023, arXiv 2306.13063).

/// P(yes) against P(no), 0 to 1: `log_probs` are the log-probabilities of the two replies as the whole answer, in nats,
/// the approving one first.
pub fn approval(log_probs: [f64; 2]) -> Option<f64> {
    let [yes, no] = log_probs;
    let share = 1.0 / (1.0 + (no - yes).exp());
    (!share.is_nan()).then_some(share)
}

/// The confidence that a reply states, 0 to 100. `None` unless it has exactly one number in that range; `NN/100` and `NN out
/// of 100` are one. A fraction below 1 could be percent or a share, so it is none of both.
pub fn stated_confidence(reply: &str) -> Option<f64> {
    let numbers = numbers(reply);
    let (&(at, end, value), rest) = numbers.split_first()?;
    let out_of_100 = |&(next, _, of): &(usize, usize, f64)| {
        of == 100.0 && ["/", "of", "out of"].contains(&reply[end..next].trim())
    };
    let is_negative = reply[..at].ends_with(['-', '−']);
    let is_share = value > 0.0 && value < 1.0;
    let is_alone = rest.is_empty() || (rest.len() == 1 && out_of_100(&rest[0]));
    (is_alone && !is_negative && !is_share && value <= 100.0).then_some(value)
}

/// The numbers of a text with where each begins and ends. Several points, as in `1.2.3`, are no number.
fn numbers(text: &str) -> Vec<(usize, usize, f64)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = text[rest..].find(|c: char| c.is_ascii_digit()).map(|at| rest + at) {
        let part = |c: char| c.is_ascii_digit() || c == '.';
        let end = text[at..].find(|c| !part(c)).map_or(text.len(), |len| at + len);
        let digits = text[at..end].trim_end_matches('.');
        // Not a number, and not left out either: NaN is in no range.
        found.push((at, at + digits.len(), digits.parse().unwrap_or(f64::NAN)));
        rest = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approval_is_the_share_of_the_approving_reply_of_both() {
        let found = approval([0.3_f64.ln(), 0.1_f64.ln()]).unwrap();
        assert!((found - 0.75).abs() < 1e-12, "{found}");
        assert_eq!(approval([-3.0, -3.0]), Some(0.5));
        assert_eq!(approval([-5000.0, -1.0]), Some(0.0));
        assert_eq!(approval([f64::NEG_INFINITY; 2]), None);
    }

    #[test]
    fn a_confidence_is_the_only_number_of_the_reply() {
        for (reply, expected) in [
            ("85", 85.0),
            ("85%", 85.0),
            ("I am 90 percent sure.", 90.0),
            ("Confidence: 72.5.", 72.5),
            ("80/100", 80.0),
            ("7 out of 100", 7.0),
            ("0", 0.0),
            ("100", 100.0),
            ("1", 1.0),
        ] {
            assert_eq!(stated_confidence(reply), Some(expected), "{reply}");
        }
    }

    #[test]
    fn what_could_mean_several_things_is_no_confidence() {
        for reply in [
            "",
            "very sure",
            "101",
            "-5",
            "0.85",
            "between 70 and 80",
            "3 dogs, 90",
            "1.2.3",
            "80/10",
            "8 of 10",
            "100 of 100 of 100",
            "9999999999999999999999",
        ] {
            assert_eq!(stated_confidence(reply), None, "{reply}");
        }
    }
}
