//! What is measured while adapters are trained.

use std::collections::BTreeMap;
use std::error::Error;

use idk_model::Adapters;

use crate::config::TrainConfig;
use crate::data::TrainingRow;
use crate::error::TrainError;

/// Measures the adapters after some number of steps; the metrics go to the logs as `eval_<name>`.
///
/// It must depend on the adapters alone, so that a resumed run measures what it would have measured. Known names are
/// those of [`BestMetric`](crate::BestMetric) and `refusal_rate`. A metric without a value is NaN.
pub type Measure<'a> =
    dyn FnMut(u64, &Adapters) -> Result<BTreeMap<String, f64>, Box<dyn Error + Send + Sync>> + 'a;

/// What adapters are measured on every `eval_every` steps and after the last one: held-out rows, which give
/// `eval_loss`, and whatever the caller measures.
pub struct Validation<'a> {
    /// Rows that are not trained on; may be empty.
    pub rows: &'a [TrainingRow],
    /// The caller's own measurement.
    pub measure: Option<&'a mut Measure<'a>>,
}

impl<'a> Validation<'a> {
    /// Nothing is measured.
    #[must_use]
    pub fn none() -> Self {
        Self { rows: &[], measure: None }
    }

    /// Rejects a configuration that goes by what is not measured, before anything is trained.
    pub(crate) fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        let missing = |key: &'static str, metric: &str, needs: &'static str| {
            Err(TrainError::NoValidation { key, metric: metric.to_owned(), needs })
        };
        if let Some(metric) = config.metric_for_best {
            if metric.is_of_rows() && self.rows.is_empty() {
                return missing("metric_for_best", metric.name(), "rows");
            }
            if !metric.is_of_rows() && self.measure.is_none() {
                return missing("metric_for_best", metric.name(), "questions");
            }
        }
        if config.target_refusal_rate.is_some() && self.measure.is_none() {
            return missing("target_refusal_rate", "refusal_rate", "questions");
        }
        Ok(())
    }

    /// The loss on `rows` is measured.
    #[must_use]
    pub fn of_rows(rows: &'a [TrainingRow]) -> Self {
        Self { rows, measure: None }
    }
}

impl std::fmt::Debug for Validation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validation").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
