//! The pieces of a step, for tests that hold them against other programs. They may change at any time.

pub use crate::data::batch::{AudioInput, Rollout, Totals, TrainingBatch};
pub use crate::data::tokens::RowTokens;
pub use crate::method::calibrated::listwise::{listwise_loss, listwise_metrics};
pub use crate::method::calibrated::loss::{calibrated_loss, calibrated_metrics};
pub use crate::method::dpo::loss::{PairLogProbs, pair_losses, pair_metrics, pair_sums};
pub use crate::method::dpo::{answer_log_probs, dpo_loss, dpo_metrics};
pub use crate::method::rl::advantage::advantages;
pub use crate::method::rl::exact::{exact_loss, exact_metrics};
pub use crate::method::rl::loss::{rl_loss, rl_metrics};
pub use crate::method::sft::{sft_loss, sft_metrics};
pub use crate::step::accumulate::{Loss, StepGradients, Sums, adapter_gradients, full_gradients};
pub use crate::step::answer_nll::{AnswerNll, WholeRows, answer_nll, whole_rows_nll};
pub use crate::step::evaluate::evaluate;
pub use crate::step::optimizer::AdamW;
pub use crate::step::parameters::{Gradients, Parameters, make_trainable};
pub use crate::step::update::{StepOutcome, StepSize, update};
