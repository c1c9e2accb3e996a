//! `idk-train RECIPE --check`: reports every problem that can be found before a long run, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use idk_audio::{AudioError, load_window};
use idk_benchmark::Bank;
use idk_common::diagnose::ExitKind;
use idk_common::lock::{LOCK_FILE, RunLock};
use idk_common::text::terminal_safe;
use idk_common::{Problem, RunDir};
use idk_model::{ModelError, ModelInfo};
use idk_questions::{Rejection, reason};
use idk_trainer::MethodKind;
use rayon::prelude::*;
use serde::Serialize;

use super::questions::{SetSummary, summary};
use crate::recipe::Recipe;
use crate::run::questions::{Set, no_questions, too_many_rejected};
use crate::run::rendered::bank_dir;
use crate::run::same_run::check_same_run;
use crate::run::{RunError, inputs, model_sha256};
use crate::terminal::{Failure, grouped, print_line};

/// Questions of a set that are looked at more closely.
const LOOKED_AT: usize = 24;

/// Recordings of a set that a quick look opens.
const OPENED_QUICKLY: usize = 64;

/// How many recordings are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Look {
    /// Every one.
    #[default]
    Full,
    /// Some of each set, spread over it.
    Quick,
}

/// Whether the device of the recipe must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceUse {
    /// The run is about to start.
    Now,
    /// A run is planned, on this machine or another.
    Later,
}

/// One thing that was looked at and found good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fact {
    /// `model`, `train`, ...
    pub(crate) what: &'static str,
    /// What it is.
    pub(crate) found: String,
}

/// What a look at a recipe's inputs gave.
#[derive(Default)]
pub(crate) struct Checked {
    /// In the order of the run.
    pub(crate) facts: Vec<Fact>,
    problems: Vec<(Problem, ExitKind)>,
    /// The base model, if it can be used.
    pub(crate) outline: Option<ModelInfo>,
    /// The training questions, if they can be used.
    pub(crate) train: Option<SetSummary>,
    /// The test questions, if they can be used.
    pub(crate) test: Option<SetSummary>,
}

/// `--check`: looks at every input of a run and at its folder; trains and writes nothing.
///
/// # Errors
/// [`RunError::Problems`] with everything that is wrong and the exit code of the first of it: that of the run, if
/// nothing else is wrong.
pub(crate) fn run(recipe: &Recipe, allowed: &[String], look: Look, json: bool) -> Result<(), Failure> {
    let checked = Checked::of(recipe, allowed, look, DeviceUse::Now);
    if !json {
        checked.print_facts()?;
    }
    checked.or_problems()?;
    if json {
        let found = serde_json::json!({ "checked": checked.facts, "problems": [] });
        print_line(&found.to_string())?;
    } else {
        print_line("no problem found; nothing was written")?;
    }
    Ok(())
}

impl Checked {
    /// Looks at everything.
    pub(crate) fn of(recipe: &Recipe, allowed: &[String], look: Look, device: DeviceUse) -> Self {
        let mut checked = Self::default();
        checked.device(recipe, device);
        checked.model(recipe);
        checked.questions(recipe, look);
        checked.evaluation(recipe);
        checked.training(recipe);
        checked.folder(recipe, allowed);
        checked
    }

    /// One line a fact on stdout.
    pub(crate) fn print_facts(&self) -> Result<(), Failure> {
        for fact in &self.facts {
            let found = terminal_safe(&fact.found);
            print_line(&format!("{:<9} {found}", fact.what))?;
        }
        Ok(())
    }

    /// Fails if anything is wrong.
    pub(crate) fn or_problems(&self) -> Result<(), RunError> {
        let Some((_, kind)) = self.problems.first() else { return Ok(()) };
        let problems = self.problems.iter().map(|(problem, _)| problem.clone()).collect();
        Err(RunError::Problems { problems, kind: *kind })
    }

    fn fact(&mut self, what: &'static str, found: String) {
        self.facts.push(Fact { what, found });
    }

    fn problem(&mut self, key: &'static str, failure: &Failure) {
        let problem = Problem { hint: failure.hint(), ..Problem::new(key, failure.chain().join(": ")) };
        // A file that is read for two purposes is said to be wrong once.
        if !self.problems.iter().any(|(known, _)| known.what == problem.what) {
            self.problems.push((problem, failure.exit_kind()));
        }
    }

    fn device(&mut self, recipe: &Recipe, device: DeviceUse) {
        match idk_model::device(&recipe.model.device) {
            Err(ModelError::DeviceMissing { what, .. }) if device == DeviceUse::Later => {
                self.fact("device", format!("{}, on another machine: {what}", recipe.model.device));
            }
            Err(error) => self.problem("device", &error.into()),
            Ok(_) => {}
        }
    }

    fn model(&mut self, recipe: &Recipe) {
        let path = &recipe.model.path;
        match ModelInfo::read(path) {
            Ok(mut outline) => {
                if let Some(seconds) = recipe.data.max_audio_s {
                    outline.mel = outline.mel.limited_to(seconds);
                }
                self.fact(
                    "model",
                    format!(
                        "{}: {} parameters, {} layers of width {}, {} tokens, {} mel channels, {} s window",
                        path.display(),
                        grouped(outline.parameters),
                        outline.config.text.num_hidden_layers,
                        outline.config.text.hidden_size,
                        grouped(outline.tokenizer.vocab_size() as u64),
                        outline.mel.config().feature_size,
                        outline.mel.config().chunk_length,
                    ),
                );
                self.fact("chat", format!("rendered by {}", outline.tokenizer.chat_template()));
                if let Err(error) = outline.adapted(&recipe.lora) {
                    self.problem("lora", &error.into());
                }
                self.outline = Some(outline);
            }
            Err(problems) => problems.into_iter().for_each(|error| self.problem("model", &error.into())),
        }
    }

    fn questions(&mut self, recipe: &Recipe, look: Look) {
        let data = &recipe.data;
        if let Err(error) = inputs::check_test(recipe) {
            self.problem(Set::Test.key(), &error.into());
        }
        let sets = [Set::Train, Set::Val, Set::Test].into_iter();
        let sets: Vec<Set> = sets.filter(|set| !set.spec(data).is_empty()).collect();
        let from_bank = sets.iter().any(|set| set.spec(data).starts_with("bank:"));
        let mut bank = None;
        if from_bank {
            let dir = bank_dir(data);
            match Bank::load(&dir) {
                Ok(found) => {
                    self.fact("bank", format!("{}: {}", dir.display(), found.modalities().join(", ")));
                    bank = Some(found);
                }
                Err(error) => self.problem("bank", &error.into()),
            }
        }
        for set in sets {
            match summary(data, set, bank.as_ref(), LOOKED_AT) {
                Ok(mut found) => {
                    self.open_recordings(set, &mut found, look);
                    self.set(recipe, set, found);
                }
                Err(failure) => self.problem(set.key(), &failure),
            }
        }
    }

    /// Opens the recordings of a set; questions about those that cannot be used are rejected, as the run would do.
    fn open_recordings(&mut self, set: Set, found: &mut SetSummary, look: Look) {
        let rate_hz =
            self.outline.as_ref().map_or(16_000, |outline| outline.mel.config().sampling_rate as u32);
        let needed = self.outline.as_ref().map_or(0, |outline| outline.mel.min_samples());
        let stride = match look {
            Look::Full => 1,
            Look::Quick => found.clips.len().div_ceil(OPENED_QUICKLY).max(1),
        };
        let clips = &found.clips;
        let looked_at = || (0..clips.len()).step_by(stride);
        let open = |path: PathBuf| -> Option<AudioError> {
            match load_window(&path, rate_hz, 0) {
                Err(error) => Some(error),
                Ok(recording) if recording.total_samples < needed => {
                    let samples = recording.total_samples;
                    Some(AudioError::TooShort { path, samples, needed })
                }
                Ok(_) => None,
            }
        };
        let distinct: BTreeSet<u32> = looked_at().flat_map(|place| clips.of(place)).copied().collect();
        let distinct: Vec<u32> = distinct.into_iter().collect();
        let errors = distinct.par_iter().filter_map(|&clip| Some((clip, open(clips.path(clip))?)));
        let errors: BTreeMap<u32, AudioError> = errors.collect();
        let opened = looked_at().count();
        let mut rejected = Vec::new();
        for place in looked_at() {
            let Some((&clip, error)) = clips.of(place).iter().find_map(|clip| errors.get_key_value(clip))
            else {
                continue;
            };
            if !error.is_about_the_file() {
                let what = format!("{}: {error}", clips.path(clip).display());
                self.problems.push((Problem::new(set.key(), what), ExitKind::Io));
                return;
            }
            let (reason, detail) = (error.reason().to_owned(), error.to_string());
            rejected.push(Rejection { id: clips.id(place).to_owned(), line: 0, reason, detail });
        }
        found.questions -= rejected.len();
        if look == Look::Quick && opened < found.clips.len() {
            // As many of the others will be wrong.
            found.rows = found.rejected.len() + opened;
        }
        found.rejected.extend(rejected);
    }

    fn set(&mut self, recipe: &Recipe, set: Set, found: SetSummary) {
        let reasons = reason::listed(&reason::counts(&found.rejected));
        let limit = match set {
            Set::Train => recipe.build.max_rejected_share,
            Set::Val | Set::Test => recipe.eval.max_rejected_share,
        };
        let (path, rejected) = (Path::new(set.spec(&recipe.data)), found.rejected.len());
        if rejected as f64 > limit * found.rows as f64 || (rejected > 0 && found.questions == 0) {
            let error = too_many_rejected(path, &found.rejected, found.rows, set.section());
            return self.problem(set.key(), &error.into());
        }
        if found.questions == 0 {
            return self.problem(set.key(), &no_questions(&recipe.data, set, path).into());
        }
        let rejected = if reasons.is_empty() { String::new() } else { format!(", rejected: {reasons}") };
        let spec = set.spec(&recipe.data);
        self.fact(set.key(), format!("{spec}: {} questions{rejected}", grouped(found.questions as u64)));
        match set {
            Set::Train => self.train = Some(found),
            Set::Test => self.test = Some(found),
            Set::Val => {}
        }
    }

    /// Prompts and adapters that the evaluation reads.
    fn evaluation(&mut self, recipe: &Recipe) {
        if let Err(error) = recipe.eval.check_prompts() {
            self.problem("eval.prompts", &error.into());
        }
        for (_, dir) in recipe.eval.named_adapters().unwrap_or_default() {
            if let Err(error) = idk_model::check_adapter_files(&dir) {
                self.problem("eval.adapters", &error.into());
            }
        }
    }

    /// The adapter that DPO starts from, and the folder for audio features.
    fn training(&mut self, recipe: &Recipe) {
        let start = inputs::check_start_files(recipe).and_then(|()| match &self.outline {
            Some(outline) => {
                let linears = outline.config.linears();
                inputs::check_start_shape(recipe, &linears, |dir| outline.adapters(dir))
            }
            None => Ok(()),
        });
        if let Err(failure) = start {
            let section = match recipe.train.method {
                MethodKind::Rl => "rl.init",
                _ => "dpo.init",
            };
            self.problem(section, &failure);
        }
        if let Err(failure) = inputs::check_feature_cache(recipe) {
            self.problem("train.feature_cache_dir", &failure);
        }
    }

    fn folder(&mut self, recipe: &Recipe, allowed: &[String]) {
        let root = &recipe.output.dir;
        if let Err(failure) = writable(root) {
            return self.problem("output", &failure);
        }
        let dir = RunDir::new(root);
        if !dir.recipe().is_file() || self.outline.is_none() {
            return self.fact("output", format!("{}: can be written", root.display()));
        }
        let differing = model_sha256(&recipe.model.path)
            .map_err(Failure::from)
            .and_then(|sha256| check_same_run(recipe, &dir, &sha256, allowed));
        match differing {
            Ok(()) => self.fact("output", format!("{}: holds a run of this recipe", root.display())),
            Err(failure) => self.problem("output", &failure),
        }
    }
}

/// Whether a run can write its folder, and nobody else does.
fn writable(root: &Path) -> Result<(), Failure> {
    RunDir::new(root).check_claim()?;
    inputs::try_writing(root)?;
    if root.join(LOCK_FILE).is_file() {
        drop(RunLock::acquire(root)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_at_a_folder_leaves_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        writable(&dir.path().join("runs/a")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        idk_common::fs::write_atomic(&dir.path().join("file"), b"x").unwrap();
        assert!(writable(&dir.path().join("file/run")).is_err(), "a file is no folder");
    }
}
