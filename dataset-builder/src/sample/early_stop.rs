//! When a question's K@N label is certain, so that no further sample can change it.

/// How many further answers are needed at least before the label can be certain; 0 once it is.
///
/// Known is certain with `k` right answers, unknown when the answers that are left cannot reach `k`.
pub(crate) fn answers_until_decided(k: usize, n_samples: usize, correct: usize, drawn: usize) -> usize {
    let right_ones = k.saturating_sub(correct);
    let others = (n_samples + 1).saturating_sub(k).saturating_sub(drawn - correct);
    right_ones.min(others)
}

/// How many of the answers, in the order of their seeds, one-by-one sampling would have drawn. The others, drawn because
/// there was room for them, are dropped: so a dataset depends on no batch.
pub(crate) fn deciding_answers(k: usize, n_samples: usize, is_correct: &[bool]) -> usize {
    let mut correct = 0;
    for (drawn, &is_correct) in is_correct.iter().enumerate() {
        if answers_until_decided(k, n_samples, correct, drawn) == 0 {
            return drawn;
        }
        correct += usize::from(is_correct);
    }
    is_correct.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws rounds until the label is certain; gives it and the number of answers drawn.
    fn draw(answers: &[bool], k: usize) -> (bool, usize) {
        let (mut correct, mut drawn) = (0, 0);
        loop {
            let round = answers_until_decided(k, answers.len(), correct, drawn);
            if round == 0 {
                return (correct >= k, drawn);
            }
            correct += answers[drawn..drawn + round].iter().filter(|&&right| right).count();
            drawn += round;
        }
    }

    /// The first number of answers after which every continuation has the same label, by trying them all.
    fn certain_after(answers: &[bool], k: usize) -> usize {
        let certain = |drawn: usize| {
            let right = answers[..drawn].iter().filter(|&&right| right).count();
            (right >= k) == (right + answers.len() - drawn >= k)
        };
        (0..=answers.len()).find(|&drawn| certain(drawn)).unwrap()
    }

    #[test]
    fn rounds_stop_at_the_first_certain_answer_with_the_label_of_all_answers() {
        for n in 1..=7_usize {
            for bits in 0..1_u32 << n {
                let answers: Vec<bool> = (0..n).map(|place| (bits >> place) & 1 == 1).collect();
                let correct = answers.iter().filter(|&&right| right).count();
                for k in 1..=n {
                    let found = draw(&answers, k);
                    assert_eq!(found, (correct >= k, certain_after(&answers, k)), "{k} of {answers:?}");
                    assert_eq!(deciding_answers(k, n, &answers), found.1, "{k} of {answers:?}");
                }
            }
        }
    }

    #[test]
    fn five_at_five_stops_at_the_first_wrong_answer() {
        assert_eq!(draw(&[true, true, false, true, true], 5), (false, 3));
        assert_eq!(draw(&[true; 5], 5), (true, 5));
        assert_eq!(draw(&[true, false, true, false, true], 1), (true, 1));
    }
}
