//! The refusal offset as an axis: one pass with the refusals held back tells what any offset would refuse.

use idk_questions::Judgement;

use crate::answer::options::ENDLESS_OFFSET;
use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::answer::subject::NamedAdapter;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::grid::file::{Grid, Picked};
use crate::grid::kind::{GridKind, GridSet};
use crate::grid::run::{Sweeper, judgements};

/// Shares of val that the offsets of a sweep refuse: every so many of them.
const STEPS: usize = 40;

/// The adapter's answers to a set if it never refuses, each with the offset above which it does.
#[derive(Clone, Debug)]
pub struct HeldBack<'a> {
    prepared: &'a Prepared,
    answers: Vec<Answer>,
}

impl HeldBack<'_> {
    /// Margins in ascending order; questions without options have none.
    fn margins(&self) -> Vec<f64> {
        let mut margins: Vec<f64> = self.answers.iter().filter_map(|answer| answer.refusal_margin).collect();
        margins.sort_by(f64::total_cmp);
        margins
    }

    /// The offset that refuses the share `rate` of the questions that have options, in thousandths of a nat: half way
    /// between the last that is refused and the first that is not.
    ///
    /// # Errors
    /// [`EvalError::Grid`] if no question has options.
    pub fn offset_at(&self, rate: f64) -> Result<f64, EvalError> {
        let margins = self.margins();
        let (Some(&first), Some(&last)) = (margins.first(), margins.last()) else {
            let what = "no question has options, so no offset refuses any".to_owned();
            return Err(EvalError::Grid { path: GridKind::RefusalOffset.name().into(), what });
        };
        let refused = ((rate * margins.len() as f64).round() as usize).min(margins.len());
        let below = if refused == 0 { first - 2.0 } else { margins[refused - 1] };
        let above = margins.get(refused).copied().unwrap_or(last + 2.0);
        Ok((f64::midpoint(below, above) * 1000.0).round() / 1000.0)
    }

    /// Offsets from one that refuses none to one that refuses all, and 0, where the adapter is as it was trained.
    ///
    /// # Errors
    /// As [`Self::offset_at`].
    pub fn offsets(&self) -> Result<Vec<f64>, EvalError> {
        let at = |step: usize| self.offset_at(step as f64 / STEPS as f64);
        let mut offsets = (0..=STEPS).map(at).collect::<Result<Vec<f64>, _>>()?;
        offsets.push(0.0);
        Ok(offsets)
    }
}

impl Sweeper<'_> {
    /// Answers `prepared` with the adapter and its refusals held back.
    ///
    /// # Errors
    /// [`EvalError::Grid`] where answers are by text; else as [`Self::adapters`].
    pub fn held_back<'a>(
        &self,
        adapter: &NamedAdapter,
        prepared: &'a Prepared,
    ) -> Result<HeldBack<'a>, EvalError> {
        let kind = GridKind::RefusalOffset.name();
        if !self.config.answer_by.is_from_list() {
            let what =
                "answers by text have no refusal offset: set `answer_by = \"guided\"` in [eval]".to_owned();
            return Err(EvalError::Grid { path: kind.into(), what });
        }
        let config = EvalConfig { refusal_offset: -ENDLESS_OFFSET, ..self.config.clone() };
        let answers = Sweeper { config: &config, ..*self }.answers(kind, Some(adapter), prepared)?;
        Ok(HeldBack { prepared, answers })
    }

    /// What the adapter's answers are at each offset, in nats.
    ///
    /// Above 0 an answer that is not refused could be another option if options begin as a refusal does; it is then left at
    /// the one without an offset.
    ///
    /// # Errors
    /// As [`Self::adapters`].
    pub fn at_offsets(
        &self,
        held_back: &HeldBack<'_>,
        set: GridSet,
        offsets: &[f64],
        picked: Option<Picked>,
    ) -> Result<Grid, EvalError> {
        let prepared = held_back.prepared;
        let base = judgements(&self.base(prepared)?);
        let mut offsets = offsets.to_vec();
        offsets.sort_by(f64::total_cmp);
        offsets.dedup();
        let mut cells = Vec::new();
        for offset in offsets {
            let judge = |answer: &Answer| match answer.refusal_margin {
                Some(margin) if margin < offset => Judgement::REFUSED,
                _ => answer.judgement,
            };
            let after: Vec<Judgement> = held_back.answers.iter().map(judge).collect();
            cells.push(self.cell(offset, prepared, &base, &after)?);
        }
        Ok(Grid { picked, ..self.grid(GridKind::RefusalOffset, set, prepared, &base, cells)? })
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::REFUSAL;
    use idk_questions::Verdict;

    use super::*;
    use crate::config::AnswerBy;
    use crate::grid::run::tests::with_sweeper;

    #[test]
    fn an_offset_refuses_what_decoding_with_it_refuses() {
        with_sweeper(|sweeper, adapter, prepared| {
            let prepared = Prepared { refusals: vec![REFUSAL.to_owned()], ..prepared.clone() };
            for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
                let config = EvalConfig { answer_by, ..sweeper.config.clone() };
                let sweeper = Sweeper { config: &config, ..*sweeper };
                let held_back = sweeper.held_back(adapter, &prepared).unwrap();
                let offsets = held_back.offsets().unwrap();
                let grid = sweeper.at_offsets(&held_back, GridSet::Val, &offsets, None).unwrap();
                let rate = |offset: f64| grid.at(offset).unwrap().refusal_rate.unwrap();
                for refused in 0..=4 {
                    let offset = held_back.offset_at(f64::from(refused) / 4.0).unwrap();
                    let config = EvalConfig { refusal_offset: offset, ..config.clone() };
                    let answers =
                        Sweeper { config: &config, ..sweeper }.answers("x", Some(adapter), &prepared);
                    let verdicts = answers.unwrap().into_iter().map(|answer| answer.judgement.verdict);
                    let decoded = verdicts.filter(|&verdict| verdict == Verdict::Refused).count();
                    assert_eq!(25.0 * decoded as f64, rate(offset), "{refused} {offset}");
                    if [0, 4].contains(&refused) {
                        assert_eq!(decoded, refused as usize);
                    }
                }
                assert!(grid.at(0.0).is_some(), "the adapter as it was trained is one of them");
            }
        });
    }

    #[test]
    fn answers_by_text_have_no_offset() {
        with_sweeper(|sweeper, adapter, prepared| {
            let error = sweeper.held_back(adapter, prepared).unwrap_err().to_string();
            assert!(error.contains("answer_by"), "{error}");
        });
    }
}
