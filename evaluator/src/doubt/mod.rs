//! Measures of doubt: how unsure the base model is of an answer, as pure functions of the answer's probabilities and of
//! samples of the same prompt. No model, no files.

pub(crate) mod answer_probability;
pub(crate) mod logistic;
pub(crate) mod meaning;
pub(crate) mod option_probability;
pub(crate) mod own_words;
pub(crate) mod predictive_entropy;
pub(crate) mod samples;
pub(crate) mod self_consistency;
pub(crate) mod semantic_entropy;
