//! One optimiser step: log-probabilities, loss, gradients, update.

pub(crate) mod accumulate;
pub(crate) mod answer_nll;
pub(crate) mod evaluate;
pub(crate) mod optimizer;
pub(crate) mod parameters;
pub(crate) mod trained_model;
pub(crate) mod update;

pub(crate) use accumulate::{Sums, adapter_gradients, add_sums, full_gradients};
pub(crate) use answer_nll::AnswerNll;
pub(crate) use evaluate::evaluate;
pub(crate) use optimizer::AdamW;
pub(crate) use parameters::Parameters;
pub(crate) use trained_model::TrainedModel;
pub(crate) use update::{Metrics, StepOutcome, StepSize, update};
