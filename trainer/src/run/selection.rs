//! Which evaluation was the best, and when a run ends before its last step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// Name, without `eval_`, of the metric that `target_refusal_rate` looks at.
const REFUSAL_RATE: &str = "refusal_rate";

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps that were done when it was made.
    pub step: u64,
    /// The metric.
    pub value: f64,
}

/// Why a run ended before its last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyEnd {
    /// The metric did not improve for `early_stopping_patience` evaluations.
    Patience,
    /// The share of refused validation questions reached `target_refusal_rate`.
    TargetRefusalRate,
}

/// What the evaluations of a run have decided so far. Part of every checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// The best evaluation; none without `metric_for_best` or before the metric first had a value.
    pub best: Option<Best>,
    /// Evaluations since then.
    pub evaluations_since_best: u64,
    /// Set when the run is to end.
    pub ended: Option<EarlyEnd>,
}

impl Selection {
    /// Takes in the evaluation after `step` steps and returns whether it is the best so far.
    ///
    /// A metric that has no value (RGI, where nothing was lost or nothing gained) is never the best. Of equal values the
    /// first is.
    ///
    /// # Errors
    /// [`TrainError::NoMetric`] if the evaluation did not measure what the configuration goes by.
    pub fn observe(
        &mut self,
        config: &TrainConfig,
        step: u64,
        values: &BTreeMap<String, f64>,
    ) -> Result<bool, TrainError> {
        let find = |key: &'static str, metric: &str| {
            values.get(metric).copied().ok_or_else(|| TrainError::NoMetric {
                key,
                metric: metric.to_owned(),
                measured: values.keys().cloned().collect(),
            })
        };
        let mut improved = false;
        if let Some(metric) = config.metric_for_best {
            let value = find("metric_for_best", metric.name())?;
            improved = value.is_finite() && self.best.is_none_or(|best| metric.is_better(value, best.value));
            if improved {
                (self.best, self.evaluations_since_best) = (Some(Best { step, value }), 0);
            } else if self.best.is_some() {
                self.evaluations_since_best += 1;
            }
            let patience = config.early_stopping_patience.unwrap_or(u64::MAX);
            if self.evaluations_since_best >= patience {
                self.ended = Some(EarlyEnd::Patience);
            }
        }
        if let Some(target) = config.target_refusal_rate
            && find("target_refusal_rate", REFUSAL_RATE)? >= target
        {
            self.ended = Some(EarlyEnd::TargetRefusalRate);
        }
        Ok(improved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::best_metric::BestMetric;

    fn observe(config: &TrainConfig, metric: &str, values: &[f64]) -> (Selection, Vec<bool>) {
        let mut selection = Selection::default();
        let improved = values.iter().enumerate().map(|(index, value)| {
            let values = BTreeMap::from([(metric.to_owned(), *value)]);
            selection.observe(config, 10 * (index as u64 + 1), &values).unwrap()
        });
        let improved = improved.collect();
        (selection, improved)
    }

    #[test]
    fn the_lowest_loss_and_the_highest_rgi_are_the_best_and_of_equal_ones_the_first() {
        let by = |metric| TrainConfig { metric_for_best: Some(metric), ..TrainConfig::default() };
        let (selection, improved) = observe(&by(BestMetric::Loss), "loss", &[2.0, 1.0, 1.0, 1.5]);
        assert_eq!(selection.best, Some(Best { step: 20, value: 1.0 }));
        assert_eq!(improved, [true, true, false, false]);
        let (selection, _) = observe(&by(BestMetric::Rgi), "rgi", &[-0.2, f64::NAN, 0.1, 0.0]);
        assert_eq!(selection.best, Some(Best { step: 30, value: 0.1 }));
    }

    #[test]
    fn patience_counts_evaluations_in_a_row_without_improvement_once_there_is_a_value() {
        let config = TrainConfig {
            metric_for_best: Some(BestMetric::Rgi),
            early_stopping_patience: Some(2),
            ..TrainConfig::default()
        };
        let nan = f64::NAN;
        let (selection, _) = observe(&config, "rgi", &[nan, nan, nan, 0.1, 0.0, 0.2, 0.2]);
        assert_eq!((selection.ended, selection.evaluations_since_best), (None, 1));
        let (selection, _) = observe(&config, "rgi", &[0.1, nan, 0.1]);
        assert_eq!(selection.ended, Some(EarlyEnd::Patience));
    }

    #[test]
    fn the_run_ends_at_the_first_evaluation_that_refuses_enough() {
        let config = TrainConfig { target_refusal_rate: Some(0.25), ..TrainConfig::default() };
        assert_eq!(observe(&config, "refusal_rate", &[0.0, 0.2]).0.ended, None);
        let (selection, _) = observe(&config, "refusal_rate", &[0.0, 0.25]);
        assert_eq!((selection.ended, selection.best), (Some(EarlyEnd::TargetRefusalRate), None));
    }

    #[test]
    fn a_metric_that_was_not_measured_is_an_error_that_names_the_key_and_what_was() {
        let config = TrainConfig { metric_for_best: Some(BestMetric::Rgi), ..TrainConfig::default() };
        let values = BTreeMap::from([("loss".to_owned(), 1.0)]);
        let error = Selection::default().observe(&config, 1, &values).unwrap_err().to_string();
        assert!(
            error.contains("metric_for_best") && error.contains("rgi") && error.contains("loss"),
            "{error}"
        );
    }
}
