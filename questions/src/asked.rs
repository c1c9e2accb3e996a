//! A question as it will be asked: the one way from a record to the user's message, and to a rejection.

use std::fmt::Display;
use std::path::Path;

use idk_common::chat::Message;

use crate::judge::{Judgement, judge};
use crate::question::{PromptStyle, Question, Rejection, prompt_text, shuffled};
use crate::reason;

/// A question as it stands in its file, and as the model sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskedQuestion {
    /// As in its file.
    pub original: Question,
    /// As it is shown: the options may be in another order.
    pub shown: Question,
}

impl AskedQuestion {
    /// The question with its options shuffled by a seed, or in their order in the file if there is none.
    #[must_use]
    pub fn new(original: Question, shuffle_seed: Option<u64>) -> Self {
        let shown = shuffle_seed.map_or_else(|| original.clone(), |seed| shuffled(&original, seed));
        Self { original, shown }
    }

    /// The question's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.original.id
    }

    /// The user's turn: the recordings, the question, and the options as they are shown.
    #[must_use]
    pub fn message(&self, style: PromptStyle) -> Message {
        Message::user(self.shown.audio.len(), &prompt_text(&self.shown, style))
    }

    /// What a reply is, read against the options as they were shown, which `choice` counts too.
    #[must_use]
    pub fn judge(&self, reply: &str) -> Judgement {
        judge(reply, &self.shown)
    }

    /// What an answer is that was chosen from the options and the refusals, letter for letter: nothing is read into it.
    #[must_use]
    pub fn judge_chosen(&self, text: &str) -> Judgement {
        match self.shown.choices.iter().position(|choice| choice == text) {
            None => Judgement::REFUSED,
            Some(choice) => Judgement::of_choice(choice, &self.shown),
        }
    }
}

impl Question {
    /// Why this question cannot be used. A set may have been filtered, so its line in the file is not known: it is 0.
    #[must_use]
    pub fn rejection(&self, reason: &str, detail: impl Into<String>) -> Rejection {
        Rejection { id: self.id.clone(), line: 0, reason: reason.to_owned(), detail: detail.into() }
    }

    /// Opens every recording of the question. `reason` gives the reason code of an error that the file itself causes.
    ///
    /// # Errors
    /// Outside, what says nothing about the file: rejecting the question for it would let luck decide what a set holds.
    /// Inside, the question's rejection; its detail leaves the folder out, so that two copies of a set give the same bytes.
    pub fn open_audio<C, E: Display>(
        &self,
        open: impl Fn(&Path) -> Result<C, E>,
        reason: impl Fn(&E) -> Option<&'static str>,
    ) -> Result<Result<Vec<C>, Rejection>, E> {
        let mut clips = Vec::with_capacity(self.audio.len());
        for path in &self.audio {
            match open(path) {
                Ok(clip) => clips.push(clip),
                Err(error) => {
                    let Some(reason) = reason(&error) else { return Err(error) };
                    let folder = path.parent().map(|parent| format!("{}/", parent.display()));
                    let detail = error.to_string().replace(&folder.unwrap_or_default(), "");
                    return Ok(Err(self.rejection(reason, detail)));
                }
            }
        }
        Ok(Ok(clips))
    }

    /// Checks that the longest prompt of the question and what may follow it fit into the model's positions.
    ///
    /// # Errors
    /// The rejection [`reason::PROMPT_TOO_LONG`].
    pub fn check_length(&self, tokens: usize, positions: usize) -> Result<(), Rejection> {
        if tokens <= positions {
            return Ok(());
        }
        let detail = format!("{tokens} tokens, but the model has {positions} positions");
        Err(self.rejection(reason::PROMPT_TOO_LONG, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn question() -> Question {
        Question {
            id: "q".to_owned(),
            audio: vec!["/data/a.wav".into(), "/data/b.wav".into()],
            question: "Which animal is heard?".to_owned(),
            choices: ["dog", "cat", "hen", "pig"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            ..Question::default()
        }
    }

    #[test]
    fn a_letter_is_read_by_the_order_that_was_shown() {
        let asked = AskedQuestion::new(question(), Some(3));
        assert_eq!(asked.original, question());
        assert_ne!(asked.shown.choices, question().choices, "seed 3 shuffles");
        let place = asked.shown.answer_index().unwrap();
        let letter = ["A", "B", "C", "D"][place];
        let judgement = asked.judge(letter);
        assert_eq!((judgement.verdict, judgement.choice), (Verdict::Correct, Some(place)));
        let tagged = asked.message(PromptStyle::Lettered).tagged();
        assert!(tagged.starts_with("<audio><audio>Which animal is heard?\n"), "{tagged}");
        assert!(tagged.contains(&format!("({letter}) dog")), "{tagged}");
        assert_eq!(AskedQuestion::new(question(), None).shown, question());
    }

    #[test]
    fn a_chosen_answer_is_its_option_letter_for_letter_or_else_the_refusal() {
        let choices = ["A", "B", "b", "unknown"].map(str::to_owned).to_vec();
        let asked = AskedQuestion::new(Question { choices, answer: "b".to_owned(), ..question() }, None);
        let verdicts = ["A", "B", "b", "unknown", "I don't know"].map(|text| {
            let judgement = asked.judge_chosen(text);
            assert!(!judgement.unparsed);
            (judgement.verdict, judgement.choice)
        });
        let wrong = |choice| (Verdict::Wrong, Some(choice));
        let right = (Verdict::Correct, Some(2));
        assert_eq!(verdicts, [wrong(0), wrong(1), right, wrong(3), (Verdict::Refused, None)]);
    }

    #[test]
    fn a_file_that_is_wrong_rejects_the_question_without_its_folder_and_bad_luck_does_not() {
        let open = |fault: &'static str| {
            move |path: &Path| match path.ends_with("b.wav") {
                true => Err(format!("{}: {fault}", path.display())),
                false => Ok(path.to_owned()),
            }
        };
        let reason = |error: &String| error.contains("cut short").then_some("truncated-audio");
        let rejection = question().open_audio(open("cut short"), reason).unwrap().unwrap_err();
        let expected = Rejection {
            id: "q".to_owned(),
            line: 0,
            reason: "truncated-audio".to_owned(),
            detail: "b.wav: cut short".to_owned(),
        };
        assert_eq!(rejection, expected);
        question().open_audio(open("too many open files"), reason).unwrap_err();
        let whole = question().open_audio(|path| Ok::<_, String>(path.to_owned()), reason).unwrap();
        assert_eq!(whole.unwrap(), question().audio);
    }

    #[test]
    fn a_prompt_may_take_every_position_and_no_more() {
        question().check_length(10, 10).unwrap();
        let rejection = question().check_length(11, 10).unwrap_err();
        assert_eq!(rejection.reason, reason::PROMPT_TOO_LONG);
        assert_eq!(rejection.detail, "11 tokens, but the model has 10 positions");
    }
}
