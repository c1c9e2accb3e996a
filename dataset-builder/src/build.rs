//! The whole build: screen, sample and judge, write what was sampled, label.

use std::path::Path;

use crate::control::Control;
use crate::error::BuildError;
use crate::label::finish::{BuildReport, finish};
use crate::sample::part::SamplingPart;
use crate::sample::shards::remove_shards;
use crate::sample::stage::{BuildInputs, sample_shards, screen_set, write_questions};

/// Samples the model on every question and writes the dataset folder `out`.
///
/// The files depend on the arguments alone: not on the number of threads, not on where `out` is, and not on how often
/// the build was stopped and started again. Samples are kept shard by shard while they are drawn, and a later build
/// resumes after them. The files are written one by one, each whole or not at all, the manifest last; a dataset without
/// a manifest is not complete.
///
/// # Errors
/// [`BuildError::Config`] before anything is read; [`BuildError::TooManyRejected`] before anything is sampled, with
/// `rejected.jsonl` written; [`BuildError::OtherSampling`] if `out` holds shards of another build;
/// [`BuildError::Stopped`] if `control` says so; [`BuildError::Model`] and [`BuildError::Common`] later.
pub fn build(inputs: &BuildInputs<'_>, out: &Path, control: &Control<'_>) -> Result<BuildReport, BuildError> {
    let BuildInputs { config, seed, provenance, .. } = *inputs;
    let (screened, input) = screen_set(inputs, out, control)?;
    let shards = sample_shards(inputs, &screened, SamplingPart::WHOLE, out, control)?;
    shards.join(out)?;
    write_questions(out, &screened, config)?;
    let report = finish(out, &config.identity(), seed, provenance, &screened.counts(input))?;
    // Not before: a build that is killed here is complete, one that is killed before starts from its shards.
    remove_shards(out)?;
    Ok(report)
}

#[cfg(test)]
mod tests {

    use idk_common::fs;
    use idk_common::json::read_jsonl;
    use idk_questions::rows::SampleRow;
    use idk_questions::{Question, QuestionSet, Rejection};

    use super::*;
    use crate::config::BuildConfig;
    use crate::format::chats::{read_sft, verify};
    use crate::format::files::{REJECTED_FILE, SAMPLES_FILE};
    use crate::test_support::{bytes_of, copy_clips, question, run, three_samples, tiny_model};

    fn four_questions(audio: &Path) -> QuestionSet {
        let clip = |name: &str| audio.join(name);
        let questions = vec![
            question("q1", &[clip("c.wav")]),
            question("q2", &[clip("a.wav")]),
            question("q3", &[clip("b.wav"), clip("a.wav")]),
            question("q4", &[clip("b.wav")]),
        ];
        QuestionSet { questions, rejected: Vec::new() }
    }

    #[test]
    fn a_build_gives_the_same_bytes_again_elsewhere_and_on_one_thread() {
        let root = tempfile::tempdir().unwrap();
        let (lalm, set) = (tiny_model(), four_questions(&copy_clips(root.path())));
        let out = |name: &str| root.path().join(name).join("dataset");
        let report = run(&lalm, &set, &three_samples(), &out("first")).unwrap();
        assert_eq!((report.counts.kept, report.counts.samples, report.counts.sft_rows), (4, 12, 4));
        run(&lalm, &set, &three_samples(), &out("again")).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        one_thread.install(|| run(&lalm, &set, &three_samples(), &out("one"))).unwrap();
        // More rows than the model decodes as one batch, so that several threads really share the work.
        let many = BuildConfig { n_samples: 40, ..three_samples() };
        run(&lalm, &set, &many, &out("many")).unwrap();
        one_thread.install(|| run(&lalm, &set, &many, &out("many-one"))).unwrap();
        assert!(bytes_of(&out("many")) == bytes_of(&out("many-one")), "many samples on one thread differ");
        let first = bytes_of(&out("first"));
        assert_eq!(first.len(), 10, "{:?}", first.keys());
        assert!(first == bytes_of(&out("again")), "a second build differs");
        assert!(first == bytes_of(&out("one")), "a build on one thread differs");
        verify(&out("first")).unwrap();
    }

    #[test]
    fn a_sample_depends_on_neither_the_batch_nor_the_number_of_samples() {
        let root = tempfile::tempdir().unwrap();
        let (lalm, set) = (tiny_model(), four_questions(&copy_clips(root.path())));
        let texts = |name: &str, config: &BuildConfig| {
            let out = root.path().join(name);
            run(&lalm, &set, config, &out).unwrap();
            let rows: Vec<SampleRow> = read_jsonl(&out.join(SAMPLES_FILE)).unwrap();
            let first = rows.into_iter().filter(|row| row.sample < 3);
            first.map(|row| (row.id, row.sample, row.seed, row.text)).collect::<Vec<_>>()
        };
        let together = texts("together", &three_samples());
        assert_eq!(together.len(), 12);
        let ids: Vec<&str> = together.iter().map(|row| row.0.as_str()).collect();
        assert!(ids.is_sorted(), "rows are in the order of the questions");
        assert_eq!(together, texts("alone", &BuildConfig { batch_size: 1, ..three_samples() }));
        assert_eq!(together, texts("five", &BuildConfig { n_samples: 5, ..three_samples() }));
        let other = BuildConfig { temperature: 3.0, ..three_samples() };
        assert_ne!(together, texts("hot", &other), "the settings reach the sampler");
    }

    #[test]
    fn what_cannot_be_used_is_listed_with_its_reason_and_counted() {
        let root = tempfile::tempdir().unwrap();
        let audio = copy_clips(root.path());
        let whole = fs::read(&audio.join("a.wav")).unwrap();
        fs::write_atomic(&audio.join("torn.wav"), &whole[..whole.len() / 2]).unwrap();
        fs::write_atomic(&audio.join("none.wav"), &whole[..0]).unwrap();
        idk_audio::write_wav(&audio.join("long.wav"), &vec![0.1; 48_000], 16_000).unwrap();
        idk_audio::write_wav(&audio.join("short.wav"), &[0.1; 100], 16_000).unwrap();
        let mut set = four_questions(&audio);
        let line_9 =
            Rejection { id: "q0".into(), line: 9, reason: "missing-field".into(), detail: String::new() };
        set.rejected.push(line_9);
        for (id, name) in [("e1", "torn.wav"), ("e2", "none.wav"), ("e3", "gone.wav"), ("e4", "short.wav")] {
            set.questions.push(question(id, &[audio.join(name)]));
        }
        set.questions.push(question("q1", &[audio.join("a.wav")]));
        set.questions.push(Question { answer: "horse".into(), ..question("e5", &[audio.join("a.wav")]) });
        set.questions.push(question("q5", &[audio.join("long.wav")]));
        let config = BuildConfig { max_rejected_share: 0.9, ..three_samples() };
        let out = root.path().join("dataset");
        let counts = run(&tiny_model(), &set, &config, &out).unwrap().counts;
        // `long.wav` and the fixture's `c.wav` are longer than the window of two seconds.
        assert_eq!((counts.input, counts.kept, counts.rejected, counts.cut_audio), (12, 5, 7, 2));
        assert_eq!(counts.input, counts.kept + counts.rejected);
        let rejected: Vec<Rejection> = read_jsonl(&out.join(REJECTED_FILE)).unwrap();
        let listed: Vec<(&str, &str)> =
            rejected.iter().map(|row| (row.id.as_str(), row.reason.as_str())).collect();
        assert_eq!(
            listed,
            [
                ("q0", "missing-field"),
                ("e1", "truncated-audio"),
                ("e2", "empty-audio"),
                ("e3", "missing-audio"),
                ("e4", "audio-too-short"),
                ("q1", "duplicate-id"),
                ("e5", "answer-not-in-choices"),
            ]
        );
        let root = root.path().display().to_string();
        assert!(rejected.iter().all(|row| !row.detail.contains(&root)), "{rejected:?}");
    }

    #[test]
    fn too_many_rejections_stop_before_sampling_and_leave_the_list_but_no_dataset() {
        let root = tempfile::tempdir().unwrap();
        let mut set = four_questions(&copy_clips(root.path()));
        set.questions[1].audio = vec![root.path().join("gone.wav")];
        let out = root.path().join("dataset");
        let error = run(&tiny_model(), &set, &three_samples(), &out).unwrap_err();
        assert!(matches!(error, BuildError::TooManyRejected { rejected: 1, total: 4, .. }), "{error}");
        assert!(error.to_string().contains("1 missing-audio"), "{error}");
        let names: Vec<String> = bytes_of(&out).into_keys().collect();
        assert_eq!(names, [REJECTED_FILE]);
    }

    #[test]
    fn training_rows_open_their_recordings_and_ask_what_was_sampled() {
        let root = tempfile::tempdir().unwrap();
        let set = four_questions(&copy_clips(root.path()));
        let out = root.path().join("dataset");
        run(&tiny_model(), &set, &three_samples(), &out).unwrap();
        let rows = read_sft(&out).unwrap();
        assert_eq!(rows.len(), 4);
        for (row, question) in rows.iter().zip(&set.questions) {
            assert_eq!(row.audios.len(), question.audio.len());
            for (path, original) in row.audios.iter().zip(&question.audio) {
                assert_eq!(fs::read(Path::new(path)).unwrap(), fs::read(original).unwrap());
            }
            let shown = idk_questions::shuffled(question, 7);
            let text = idk_questions::prompt_text(&shown, three_samples().prompt);
            assert_eq!(row.messages[0].tagged(), format!("{}{text}", "<audio>".repeat(question.audio.len())));
        }
    }
}
