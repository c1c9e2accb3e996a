//! The questions that can be asked. There may be a million of them: what can be made again is not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use idk_common::hash::PartsHasher;
use idk_model::{Answerer, Clip, Guide, ModelError};
use idk_questions::{AskedQuestion, PackedQuestions, Question, Rejection, reason};

use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::format::sampled::Screening;
use crate::sample::model::SampledModel;

/// A question that can be asked, with everything that asking it takes.
#[derive(Clone, Debug)]
pub(crate) struct Screened {
    /// The question as it is asked.
    pub(crate) asked: AskedQuestion,
    /// Its recordings.
    pub(crate) clips: Vec<Clip>,
    /// The prompt's tokens, one placeholder for each audio token; none without a tokenizer.
    pub(crate) ids: Vec<u32>,
    /// The only answers that it may get, if its samples are guided.
    pub(crate) guide: Option<Arc<Guide>>,
}

impl Screened {
    /// The question with its prompt.
    ///
    /// # Errors
    /// [`ModelError`] for a prompt that cannot be made.
    pub(crate) fn new(
        model: SampledModel<'_>,
        asked: AskedQuestion,
        clips: Vec<Clip>,
        config: &BuildConfig,
    ) -> Result<Self, ModelError> {
        let SampledModel::Folder(answerer) = model else {
            return Ok(Self { asked, clips, ids: Vec::new(), guide: None });
        };
        let audio_tokens: Vec<usize> = clips.iter().map(Clip::audio_tokens).collect();
        let ids = answerer.lalm.tokenizer.prompt_ids(&[asked.message(config.prompt)], &audio_tokens)?;
        let guide = guide(answerer, &asked, config)?;
        Ok(Self { asked, clips, ids, guide })
    }

    /// The question's id.
    pub(crate) fn id(&self) -> &str {
        self.asked.id()
    }
}

/// The only answers that a question may get, if its samples are guided.
fn guide(
    answerer: &Answerer<'_>,
    asked: &AskedQuestion,
    config: &BuildConfig,
) -> Result<Option<Arc<Guide>>, ModelError> {
    let texts = config.answers_to(asked);
    if texts.is_empty() {
        return Ok(None);
    }
    let texts = texts.into_iter().map(|text| (text, 0.0));
    Ok(Some(Arc::new(answerer.guide(&[asked.message(config.prompt)], texts)?)))
}

/// What became of every question of a set.
#[derive(Debug)]
pub(crate) struct ScreenedSet<'a> {
    questions: &'a PackedQuestions,
    /// With what the options are shuffled, if they are.
    shuffle_seed: Option<u64>,
    /// Which of the questions can be asked, in the order of the set.
    places: Vec<usize>,
    /// The recordings of those one after the other, and where those of each end.
    clips: Vec<Clip>,
    ends: Vec<usize>,
    /// Ids and prompts of those so far.
    prompts: PartsHasher,
    /// Rows that the reader rejected, then questions rejected here, in the order of the set.
    pub(crate) rejected: Vec<Rejection>,
}

impl<'a> ScreenedSet<'a> {
    /// None of `questions` is screened yet, and the reader rejected `rejected`.
    pub(crate) fn new(
        questions: &'a PackedQuestions,
        shuffle_seed: Option<u64>,
        rejected: Vec<Rejection>,
    ) -> Self {
        let (places, clips, ends, prompts) = Default::default();
        Self { questions, shuffle_seed, places, clips, ends, prompts, rejected }
    }

    /// Adds the question at `place` of the set, which can be asked. Its prompt counts, but is not kept.
    pub(crate) fn push(&mut self, place: usize, question: Screened) {
        self.prompts.add(question.id());
        self.prompts.add([0]);
        self.prompts.add((question.ids.len() as u64).to_le_bytes());
        self.prompts.add(question.ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
        self.places.push(place);
        self.clips.extend(question.clips);
        self.ends.push(self.clips.len());
    }

    /// How many questions can be asked.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// SHA-256 of their ids and of the tokens of their prompts.
    pub(crate) fn prompts_sha256(&self) -> String {
        self.prompts.sha256()
    }

    /// Each of them as it is asked.
    pub(crate) fn asked(&self) -> impl Iterator<Item = AskedQuestion> {
        (0..self.len()).filter_map(|at| self.asked_at(at))
    }

    fn asked_at(&self, at: usize) -> Option<AskedQuestion> {
        self.questions.get(*self.places.get(at)?).map(|question| self.ask(question))
    }

    /// A question of the set as it is asked.
    pub(crate) fn ask(&self, question: Question) -> AskedQuestion {
        AskedQuestion::new(question, self.shuffle_seed)
    }

    /// Those `range` of them with their prompts, which are made again.
    ///
    /// # Errors
    /// [`BuildError::Model`] (never: the prompts could be made before).
    pub(crate) fn prompts(
        &self,
        range: std::ops::Range<usize>,
        model: SampledModel<'_>,
        config: &BuildConfig,
    ) -> Result<Vec<Screened>, BuildError> {
        let screened = |at: usize| {
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            let clips = self.clips[start..self.ends[at]].to_vec();
            Some(Screened::new(model, self.asked_at(at)?, clips, config).map_err(BuildError::from))
        };
        range.filter_map(screened).collect()
    }

    /// The books of the screening of `input` questions.
    pub(crate) fn counts(&self, input: usize) -> Screening {
        let mut noted_audio = BTreeMap::new();
        for note in self.clips.iter().flat_map(|clip| clip.notes().names()) {
            *noted_audio.entry(note.to_owned()).or_insert(0) += 1;
        }
        Screening {
            input,
            kept: self.len(),
            rejected: self.rejected.len(),
            rejected_by_reason: reason::counts(&self.rejected),
            cut_audio: self.clips.iter().filter(|clip| clip.is_cut()).count(),
            noted_audio,
        }
    }
}
