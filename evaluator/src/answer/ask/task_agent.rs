//! Task agent: the model names the kind of recording and writes a note, and both are part of the prompt of the answer.

use crate::answer::ask::MethodRunner;
use crate::answer::prompts::PromptName;
use crate::answer::record::Step;
use crate::backend::{BackendPrompt, Heard, Reply};
use crate::error::EvalError;

/// Most tokens of the name of a recording's kind.
pub(super) const TYPE_TOKENS: usize = 8;

impl MethodRunner<'_> {
    /// Task agent: the prompts for the answers, and the kind and the note that stand in them.
    pub(super) fn note(
        &self,
        questions: &[Heard<'_>],
    ) -> Result<(Vec<BackendPrompt>, Vec<Vec<Step>>), EvalError> {
        let opening = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
        let opening = questions.iter().map(opening).collect::<Result<Vec<_>, _>>()?;
        let named = self.say(&opening, TYPE_TOKENS)?;
        let kinds: Vec<&str> = named.iter().map(|reply| kind_of(&reply.text)).collect();
        let name = |kind: &str| {
            if kind == "speech" { PromptName::AgentTranscript } else { PromptName::AgentCaption }
        };
        let ask = |(question, kind): (&Heard<'_>, &&str)| {
            self.chat(question, &self.fill(name(kind), question.asked, &[("type", kind)]))
        };
        let ask = questions.iter().zip(&kinds).map(ask).collect::<Result<Vec<_>, _>>()?;
        let notes = self.say(&ask, self.config.max_step_tokens)?;
        let mut prompts = Vec::new();
        let mut steps = Vec::new();
        for (((question, kind), said), Reply { text: note, .. }) in
            questions.iter().zip(kinds).zip(&named).zip(&notes)
        {
            let text = |note: &str| {
                self.fill(PromptName::AgentAnswer, question.asked, &[("type", kind), ("content", note)])
            };
            prompts.push(self.fitting(question, note, text)?);
            let content = if kind == "speech" { "transcript" } else { "caption" };
            steps.push(vec![Step::new("type", &said.text), Step::new(content, note)]);
        }
        Ok((prompts, steps))
    }
}

/// The kind of recording that a reply names first; `sound` if it names none.
fn kind_of(reply: &str) -> &'static str {
    let reply = reply.to_lowercase();
    let kinds = ["speech", "music", "sound"].into_iter();
    let named = kinds.filter_map(|kind| Some((reply.find(kind)?, kind)));
    named.min().map_or("sound", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_named_first_counts_and_sound_is_the_rest() {
        let cases =
            [("Speech.", "speech"), ("It is music, not speech", "music"), ("a dog", "sound"), ("", "sound")];
        for (reply, kind) in cases {
            assert_eq!(kind_of(reply), kind, "{reply}");
        }
    }
}
