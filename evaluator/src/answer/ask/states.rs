//! The hidden states of the model when it is about to answer.

use idk_model::StatePosition;

use crate::answer::ask::{Item, MethodRunner};
use crate::error::EvalError;

impl MethodRunner<'_> {
    /// The hidden states of `layers` at `positions` of each question's prompt.
    ///
    /// # Errors
    /// [`EvalError::Model`], [`EvalError::Lacks`] for a server, which gives none.
    pub(crate) fn states(
        &self,
        items: &[Item<'_>],
        layers: &[usize],
        positions: &[StatePosition],
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        let heard = self.backend.hear(items)?;
        let prompt = |question| self.chat(question, &self.opening(question.asked));
        let prompts = heard.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
        self.backend.states(&prompts, layers, positions)
    }
}
