//! Accuracy, truthfulness, reliability, RGI, and what luck and simple rules would have given.
//!
//! Every answer is exactly one of correct, wrong and refused ([`crate::Verdict`]). [`compare`] compares a method
//! with the base model, item by item; [`threshold_refuser`] and [`group_refuser`] make the verdicts of simple
//! rules, to be compared in the same way.

mod abstention;
mod auroc;
mod baselines;
mod bootstrap;
mod clusters;
mod comparison;
mod counts;
mod fit;
mod mcnemar;
mod rgi;
mod risk_coverage;
mod show;
mod transition;

pub use abstention::{Abstention, Proportion, refusals_as_right, wilson_interval};
pub use auroc::{auroc, within_group_auroc};
pub use baselines::{group_refuser, random_refuser, random_refuser_rgi, threshold_refuser};
pub use bootstrap::{DEFAULT_DRAWS, rgi_interval};
pub use clusters::Clusters;
pub use comparison::{BeforeAfter, Comparison, compare};
pub use counts::Counts;
pub use fit::{Criterion, ThresholdFit, fit_threshold};
pub use mcnemar::{McNemar, mcnemar};
pub use rgi::Rgi;
pub use risk_coverage::{RiskCoverage, risk_coverage};
pub use show::{UNDEFINED, show, show_rgi, show_signed, show_with};
pub use transition::Transition;
