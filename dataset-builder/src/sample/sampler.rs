//! N answers to every question, each from a seed of its own, and what the judge says about them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use idk_common::prefetch;
use idk_common::progress::Progress;
use idk_common::seed::derive_seed;
use idk_model::{Clip, Generated, LoadedClip, Prompt, batches_by_length};
use idk_questions::rows::SampleRow;
use idk_questions::{AskedQuestion, Verdict};
use idk_server::Server;

use crate::config::BuildConfig;
use crate::control::Control;
use crate::error::BuildError;
use crate::sample::early_stop::{answers_until_decided, deciding_answers};
use crate::sample::model::SampledModel;
use crate::sample::part::SamplingPart;
use crate::sample::screened::{Screened, ScreenedSet};
use crate::sample::served;
use crate::sample::shards::Shards;

/// The seed of one sample: a pure function of the run's seed, the question and the sample's place, so that neither
/// the batch nor the rest of the set can change an answer.
pub(crate) fn sample_seed(run_seed: u64, question_id: &str, sample: usize) -> u64 {
    derive_seed(run_seed, "sample", &[question_id, &sample.to_string()])
}

/// What the samples of a build are drawn from.
pub(crate) struct ShardSampler<'a> {
    pub(crate) model: SampledModel<'a>,
    /// Answers instead of the local model.
    pub(crate) server: Option<&'a Server>,
    pub(crate) screened: &'a ScreenedSet<'a>,
    pub(crate) config: &'a BuildConfig,
    pub(crate) run_seed: u64,
}

/// Questions of one shard that are sampled together.
struct Batch {
    shard: usize,
    /// The questions, with their places among the usable ones.
    questions: Vec<(usize, Screened)>,
    is_last_of_shard: bool,
}

/// A batch with its recordings, one question after the other.
type Loaded = Result<(Batch, Vec<LoadedClip>), BuildError>;

impl ShardSampler<'_> {
    /// Samples the shards of `part` that are not done yet and keeps each as soon as it is whole.
    ///
    /// While one batch is decoded, the recordings of the next are read on another thread.
    ///
    /// # Errors
    /// [`BuildError::Stopped`] between two shards if `control` says so; else whatever stops a batch. The shards that
    /// were finished before stay.
    pub(crate) fn sample(
        &self,
        shards: &Shards,
        part: SamplingPart,
        control: &Control<'_>,
    ) -> Result<(), BuildError> {
        let missing = shards.missing(part, control.warn)?;
        let questions = |shard: usize| shards.questions(shard).len();
        let total: usize = (0..shards.count()).filter(|&shard| part.has(shard)).map(questions).sum();
        let done = total - missing.iter().map(|&shard| questions(shard)).sum::<usize>();
        if missing.is_empty() {
            return Ok(());
        }
        let bar = (control.progress)("sampling", total as u64);
        bar.resume_at(done as u64);
        if let Some(server) = self.server {
            self.ask(server, &missing, shards, (done, total), control, &bar)?;
            bar.finish();
            return Ok(());
        }
        let batches = missing.iter().flat_map(|&shard| self.batches(shard, shards.questions(shard)));
        let loaded = batches.map(|batch| batch.and_then(|batch| self.load(batch)));
        let result =
            prefetch(loaded, |loaded| self.sample_batches(loaded, shards, (done, total), control, &bar));
        bar.finish();
        result
    }

    /// Has a server answer the missing shards, one after the other. A stop drops the requests that are under way.
    fn ask(
        &self,
        server: &Server,
        missing: &[usize],
        shards: &Shards,
        (mut done, total): (usize, usize),
        control: &Control<'_>,
        bar: &Progress,
    ) -> Result<(), BuildError> {
        let never = AtomicBool::new(false);
        let stop = control.stop.unwrap_or(&never);
        for &shard in missing {
            let questions = self.screened.prompts(shards.questions(shard), self.model, self.config)?;
            let rows = served::sample(server, self.model, &questions, self.config, self.run_seed, stop, bar)?;
            let Some(rows) = rows else { return Err(BuildError::Stopped { sampled: Some(done), total }) };
            shards.write(shard, &rows.into_iter().flatten().collect::<Vec<_>>())?;
            done += questions.len();
        }
        Ok(())
    }

    fn sample_batches(
        &self,
        loaded: &mut dyn Iterator<Item = Loaded>,
        shards: &Shards,
        (mut done, total): (usize, usize),
        control: &Control<'_>,
        bar: &Progress,
    ) -> Result<(), BuildError> {
        let mut rows: BTreeMap<usize, Vec<SampleRow>> = BTreeMap::new();
        for loaded in loaded {
            if control.stopped() && rows.is_empty() {
                return Err(BuildError::Stopped { sampled: Some(done), total });
            }
            let (batch, clips) = loaded?;
            rows.extend(self.answer(&batch, clips)?);
            bar.inc(batch.questions.len() as u64);
            if batch.is_last_of_shard {
                done += rows.len();
                let whole: Vec<SampleRow> = std::mem::take(&mut rows).into_values().flatten().collect();
                shards.write(batch.shard, &whole)?;
            }
        }
        Ok(())
    }

    /// The batches of a shard. They depend on its questions and the batch size alone.
    fn batches(&self, shard: usize, questions: Range<usize>) -> Vec<Result<Batch, BuildError>> {
        let start = questions.start;
        let screened = match self.screened.prompts(questions, self.model, self.config) {
            Ok(screened) => screened,
            Err(error) => return vec![Err(error)],
        };
        let lengths: Vec<usize> = screened.iter().map(|question| question.ids.len()).collect();
        let batches = batches_by_length(&lengths, self.config.batch_size);
        let last = batches.len().saturating_sub(1);
        let mut screened: Vec<Option<Screened>> = screened.into_iter().map(Some).collect();
        let mut question = |at: usize| Some((start + at, screened.get_mut(at)?.take()?));
        let batch = |(index, places): (usize, Vec<usize>)| {
            let questions = places.into_iter().filter_map(&mut question).collect();
            Ok(Batch { shard, questions, is_last_of_shard: index == last })
        };
        batches.into_iter().enumerate().map(batch).collect()
    }

    /// Reads the recordings of a batch.
    fn load(&self, batch: Batch) -> Loaded {
        let clips = batch.questions.iter().flat_map(|(_, question)| question.clips.iter().cloned());
        let loaded = self.model.answerer()?.load(&clips.collect::<Vec<Clip>>())?;
        Ok((batch, loaded))
    }

    /// The samples of each question of a batch, by its place among the usable ones.
    ///
    /// Each recording is encoded once and each prompt goes through the decoder once; its answers share its keys and
    /// values.
    fn answer(
        &self,
        batch: &Batch,
        loaded: Vec<LoadedClip>,
    ) -> Result<Vec<(usize, Vec<SampleRow>)>, BuildError> {
        let config = self.config;
        let mut features = self.model.answerer()?.hear(loaded)?.into_iter();
        let prompt = |(_, question): &(usize, Screened)| Prompt {
            ids: question.ids.clone(),
            audio: features.by_ref().take(question.clips.len()).collect(),
            guide: question.guide.clone(),
        };
        let prompts: Vec<Prompt> = batch.questions.iter().map(prompt).collect();
        let seeds = |(_, question): &(usize, Screened)| -> Vec<u64> {
            let seed = |sample| sample_seed(self.run_seed, question.id(), sample);
            (0..config.n_samples).map(seed).collect()
        };
        let seeds: Vec<Vec<u64>> = batch.questions.iter().map(seeds).collect();
        let asked: Vec<&AskedQuestion> =
            batch.questions.iter().map(|(_, question)| &question.asked).collect();
        let more = |place: usize, so_far: &[Generated]| {
            if !config.stop_when_decided {
                return config.n_samples;
            }
            let is_correct =
                |answer: &&Generated| config.judge(asked[place], &answer.text).verdict == Verdict::Correct;
            let correct = so_far.iter().filter(is_correct).count();
            answers_until_decided(config.k, config.n_samples, correct, so_far.len())
        };
        let answers = self.model.answerer()?.answer_in_rounds(&prompts, &config.sampling(), &seeds, &more)?;
        let rows = |(place, &(index, _)): (usize, &(usize, Screened))| {
            let mut rows = judge_samples(config, asked[place], &answers[place], &seeds[place]);
            if config.stop_when_decided {
                let is_correct: Vec<bool> = rows.iter().map(|row| row.verdict == Verdict::Correct).collect();
                rows.truncate(deciding_answers(config.k, config.n_samples, &is_correct));
            }
            (index, rows)
        };
        Ok(batch.questions.iter().enumerate().map(rows).collect())
    }
}

/// Judged against the options as they were shown, which `choice` counts too.
fn judge_samples(
    config: &BuildConfig,
    asked: &AskedQuestion,
    answers: &[Generated],
    seeds: &[u64],
) -> Vec<SampleRow> {
    let row = |(sample, (answer, &seed)): (usize, (&Generated, &u64))| {
        let (log_prob, tokens) = (Some(answer.log_prob), Some(answer.ids.len()));
        sample_row(config, asked, (sample, seed), &answer.text, log_prob, tokens)
    };
    answers.iter().zip(seeds).enumerate().map(row).collect()
}

/// One judged answer.
pub(crate) fn sample_row(
    config: &BuildConfig,
    asked: &AskedQuestion,
    (sample, seed): (usize, u64),
    text: &str,
    log_prob: Option<f64>,
    tokens: Option<usize>,
) -> SampleRow {
    let judgement = config.judge(asked, text);
    SampleRow {
        id: asked.id().to_owned(),
        sample,
        seed,
        text: text.to_owned(),
        verdict: judgement.verdict,
        choice: judgement.choice,
        log_prob,
        tokens,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use idk_common::diagnose::Diagnose;
    use idk_model::{Answerer, ModelError};
    use idk_questions::{PackedSet, QuestionSet};

    use super::*;
    use crate::format::sampled::Provenance;
    use crate::sample::identity::SamplingIdentity;
    use crate::sample::screen::screen;
    use crate::test_support::{copy_clips, features, question, three_samples, tiny_model};

    #[test]
    fn a_samples_seed_depends_on_run_question_and_place_alone() {
        let seed = sample_seed(7, "q1", 0);
        assert_eq!(seed, sample_seed(7, "q1", 0));
        let others = [sample_seed(8, "q1", 0), sample_seed(7, "q2", 0), sample_seed(7, "q1", 1)];
        assert!(others.iter().all(|&other| other != seed));
    }

    #[test]
    fn a_recording_that_vanishes_while_sampling_is_named_and_the_shards_before_it_stay() {
        let root = tempfile::tempdir().unwrap();
        let audio = copy_clips(root.path());
        let questions =
            ["a.wav", "a.wav", "b.wav", "b.wav", "c.wav"].map(|name| question(name, &[audio.join(name)]));
        let questions = questions.into_iter().enumerate();
        let renamed = questions
            .map(|(index, question)| idk_questions::Question { id: format!("q{index}"), ..question });
        let set = PackedSet::from(&QuestionSet { questions: renamed.collect(), rejected: Vec::new() });
        let (lalm, config) = (tiny_model(), BuildConfig { shard_size: 2, batch_size: 1, ..three_samples() });
        let control = Control::silent();
        let features = features();
        let answerer = Answerer::base(&lalm, &features);
        let screened = screen(SampledModel::Folder(&answerer), &set, &config, 7, &control).unwrap();
        std::fs::remove_file(audio.join("b.wav")).unwrap();
        let identity = SamplingIdentity::of(&screened, &config, 7, &Provenance::default());
        let shards = Shards::open(root.path(), identity, &|_| ()).unwrap();
        let sampler = ShardSampler {
            server: None,
            model: SampledModel::Folder(&answerer),
            screened: &screened,
            config: &config,
            run_seed: 7,
        };
        let error = sampler.sample(&shards, SamplingPart::WHOLE, &control).unwrap_err();
        assert!(
            matches!(&error, BuildError::Model(ModelError::RecordingChanged { path }) if path.ends_with("b.wav")),
            "{error:?}"
        );
        assert!(error.hint().is_some());
        assert_eq!(shards.missing(SamplingPart::WHOLE, &|_| ()).unwrap(), [1, 2]);
    }

    #[test]
    fn a_stop_between_shards_keeps_what_is_done_and_says_how_much_that_is() {
        let root = tempfile::tempdir().unwrap();
        let audio = copy_clips(root.path());
        let questions = (0..6).map(|index| question(&format!("q{index}"), &[audio.join("a.wav")])).collect();
        let set = PackedSet::from(&QuestionSet { questions, rejected: Vec::new() });
        let (lalm, config) = (tiny_model(), BuildConfig { shard_size: 2, batch_size: 1, ..three_samples() });
        let stop = std::sync::atomic::AtomicBool::new(false);
        let warnings = Mutex::new(Vec::new());
        let warn = |line: &str| {
            // Comes before the first batch, when the damaged shard is found.
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            warnings.lock().unwrap().push(line.to_owned());
        };
        let control = Control { stop: Some(&stop), warn: &warn, ..Control::silent() };
        let features = features();
        let answerer = Answerer::base(&lalm, &features);
        let screened = screen(SampledModel::Folder(&answerer), &set, &config, 7, &control).unwrap();
        let identity = SamplingIdentity::of(&screened, &config, 7, &Provenance::default());
        let shards = Shards::open(root.path(), identity, &|_| ()).unwrap();
        let sampler = ShardSampler {
            server: None,
            model: SampledModel::Folder(&answerer),
            screened: &screened,
            config: &config,
            run_seed: 7,
        };
        sampler.sample(&shards, SamplingPart::WHOLE, &Control::silent()).unwrap();
        let damaged = root.path().join("shards/00001.jsonl");
        idk_common::fs::write_atomic(&damaged, b"torn").unwrap();
        let error = sampler.sample(&shards, SamplingPart::WHOLE, &control).unwrap_err();
        assert!(matches!(error, BuildError::Stopped { sampled: Some(4), total: 6 }), "{error:?}");
        assert_eq!(warnings.into_inner().unwrap().len(), 1);
    }
}
