//! Samples of a question set for their own sake: no labels, no training rows.

use std::path::Path;

use idk_questions::rows::SampleRow;

use crate::control::Control;
use crate::error::BuildError;
use crate::format::question_row::QuestionRow;
use crate::format::questions_with_samples::QuestionsWithSamples;
use crate::sample::part::SamplingPart;
use crate::sample::stage::{BuildInputs, sample_shards, screen_set, write_questions};

/// Samples the model on every question as [`crate::build`] does and returns each question that can be asked with its
/// samples. They are kept in the folder `out`, which is no dataset; a later call with the same inputs samples only what
/// is missing there.
///
/// # Errors
/// As [`crate::build`].
pub fn sample_answers(
    inputs: &BuildInputs<'_>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Vec<(QuestionRow, Vec<SampleRow>)>, BuildError> {
    let (screened, _) = screen_set(inputs, out, control)?;
    let shards = sample_shards(inputs, &screened, SamplingPart::WHOLE, out, control)?;
    shards.join(out)?;
    write_questions(out, &screened, inputs.config)?;
    let mut joined = QuestionsWithSamples::open(out, inputs.config.n_samples)?;
    let mut answers = Vec::new();
    while let Some(answered) = joined.next_question()? {
        answers.push(answered);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use idk_model::Answerer;
    use idk_questions::{PackedSet, QuestionSet};

    use super::*;
    use crate::config::BuildConfig;
    use crate::format::files::{MANIFEST_FILE, SAMPLED_FILE};
    use crate::format::sampled::Provenance;
    use crate::sample::model::SampledModel;
    use crate::test_support::{copy_clips, features, question, three_samples, tiny_model};

    #[test]
    fn guided_samples_are_options_or_refusals_and_others_are_not_taken_for_them() {
        let root = tempfile::tempdir().unwrap();
        let audio = copy_clips(root.path());
        let mut questions =
            ["a.wav", "b.wav", "c.wav"].map(|name| question(name, &[audio.join(name)])).to_vec();
        questions[2].choices.clear();
        let options = questions[0].choices.clone();
        let set = PackedSet::from(&QuestionSet { questions, rejected: Vec::new() });
        let (lalm, provenance) = (tiny_model(), Provenance::default());
        let refusals = ["I don't know", "I'm not sure"].map(str::to_owned).to_vec();
        let free = BuildConfig { max_new_tokens: 2, refusals: refusals.clone(), ..three_samples() };
        let config = BuildConfig { guided: true, n_samples: 12, ..free.clone() };
        let features = features();
        let answerer = Answerer::base(&lalm, &features);
        let inputs = |config| BuildInputs {
            model: SampledModel::Folder(&answerer),
            server: None,
            set: &set,
            config,
            seed: 7,
            provenance: &provenance,
        };
        let out = root.path().join("samples");
        let answers = sample_answers(&inputs(&config), &out, &Control::silent()).unwrap();
        let listed = |text: &String| options.contains(text) || refusals.contains(text);
        let texts = |place: usize| answers[place].1.iter().map(|row| &row.text).collect::<Vec<_>>();
        assert!(texts(0).into_iter().chain(texts(1)).all(listed), "{:?} {:?}", texts(0), texts(1));
        assert!(!texts(2).into_iter().any(listed), "a question without options is answered freely");
        for row in answers[..2].iter().flat_map(|(_, rows)| rows) {
            let message = idk_common::chat::Message::user(1, "");
            let ids = lalm.tokenizer.answer_ids(&[message], &row.text).unwrap();
            assert_eq!(row.tokens, Some(ids.len()), "{}", row.text);
        }
        let distinct: std::collections::BTreeSet<&String> = texts(0).into_iter().collect();
        assert!(distinct.len() > 1, "{distinct:?}");
        assert!(sample_answers(&inputs(&free), &out, &Control::silent()).is_err());
    }

    #[test]
    fn samples_come_with_their_questions_and_are_there_the_next_time() {
        let root = tempfile::tempdir().unwrap();
        let audio = copy_clips(root.path());
        let questions = ["a.wav", "b.wav"].map(|name| question(name, &[audio.join(name)])).to_vec();
        let set = PackedSet::from(&QuestionSet { questions, rejected: Vec::new() });
        let (lalm, config, provenance) = (tiny_model(), three_samples(), Provenance::default());
        let features = features();
        let answerer = Answerer::base(&lalm, &features);
        let inputs = BuildInputs {
            model: SampledModel::Folder(&answerer),
            server: None,
            set: &set,
            config: &config,
            seed: 7,
            provenance: &provenance,
        };
        let out = root.path().join("samples");
        let answers = sample_answers(&inputs, &out, &Control::silent()).unwrap();
        let ids: Vec<&str> = answers.iter().map(|(question, _)| question.id.as_str()).collect();
        assert_eq!(ids, ["a.wav", "b.wav"]);
        assert!(answers.iter().all(|(_, samples)| samples.len() == 3));
        // What cannot be mistaken for a dataset has neither of these.
        assert!(!out.join(MANIFEST_FILE).exists() && !out.join(SAMPLED_FILE).exists());
        let shard = out.join("shards/00000.jsonl");
        let before = idk_common::fs::read(&shard).unwrap();
        let stopped = std::sync::atomic::AtomicBool::new(false);
        let control = Control { stop: Some(&stopped), ..Control::silent() };
        assert_eq!(sample_answers(&inputs, &out, &control).unwrap(), answers);
        assert_eq!(idk_common::fs::read(&shard).unwrap(), before);
    }
}
