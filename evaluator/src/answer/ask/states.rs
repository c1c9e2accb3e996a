//! The hidden states of the model where it is about to answer.

use crate::answer::ask::{Item, MethodRunner};
use crate::error::EvalError;

impl MethodRunner<'_> {
    /// The hidden states of `layers` at the last token of each question's prompt.
    ///
    /// # Errors
    /// [`EvalError::Model`], [`EvalError::Lacks`] for a server, which gives none.
    pub(crate) fn states(&self, items: &[Item<'_>], layers: &[usize]) -> Result<Vec<Vec<f32>>, EvalError> {
        let heard = self.backend.hear(items)?;
        let prompt = |question| self.chat(question, &self.opening(question.asked));
        let prompts = heard.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
        self.backend.last_states(&prompts, layers)
    }
}
