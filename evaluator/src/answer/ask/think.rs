//! Chain of thought: the model thinks, and its thought is part of the prompt of the answer.

use crate::answer::ask::MethodRunner;
use crate::answer::prompts::PromptName;
use crate::answer::record::Step;
use crate::backend::{BackendPrompt, Heard, Reply};
use crate::error::EvalError;

impl MethodRunner<'_> {
    /// Chain of thought: the prompts for the answers, and the thoughts that stand in them.
    pub(super) fn think(
        &self,
        questions: &[Heard<'_>],
    ) -> Result<(Vec<BackendPrompt>, Vec<Vec<Step>>), EvalError> {
        let opening = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
        let opening = questions.iter().map(opening).collect::<Result<Vec<_>, _>>()?;
        let thoughts = self.say(&opening, self.config.max_step_tokens)?;
        let mut prompts = Vec::new();
        let mut steps = Vec::new();
        for (question, Reply { text: thought, .. }) in questions.iter().zip(&thoughts) {
            let text =
                |thought: &str| self.fill(PromptName::McotAnswer, question.asked, &[("reasoning", thought)]);
            prompts.push(self.fitting(question, thought, text)?);
            steps.push(vec![Step::new("reasoning", thought)]);
        }
        Ok((prompts, steps))
    }
}
