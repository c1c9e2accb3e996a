//! The sampling of a question set: screen, sample what is left of a part, write what was asked.

use std::path::Path;

use idk_common::json::{JsonlWriter, write_jsonl};
use idk_questions::PackedSet;
use idk_server::Server;

use crate::config::BuildConfig;
use crate::control::Control;
use crate::error::BuildError;
use crate::format::files::{QUESTIONS_FILE, REJECTED_FILE, open_folder};
use crate::format::question_row::QuestionRow;
use crate::format::sampled::Provenance;
use crate::sample::identity::SamplingIdentity;
use crate::sample::model::SampledModel;
use crate::sample::part::SamplingPart;
use crate::sample::sampler::ShardSampler;
use crate::sample::screen::screen;
use crate::sample::screened::ScreenedSet;
use crate::sample::served;
use crate::sample::shards::Shards;

/// What a build is made from.
#[derive(Clone, Copy)]
pub struct BuildInputs<'a> {
    /// The base model that is sampled.
    pub model: SampledModel<'a>,
    /// A server that is open and answers instead of that of the configuration.
    pub server: Option<&'a Server>,
    /// The questions.
    pub set: &'a PackedSet,
    /// How they are asked and labelled.
    pub config: &'a BuildConfig,
    /// Seed of everything random.
    pub seed: u64,
    /// Where model and questions come from.
    pub provenance: &'a Provenance,
}

/// What the sampling of a part did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// Shards of this part, all of them sampled.
    pub shards: usize,
    /// Shards of the whole build.
    pub shards_of_build: usize,
    /// Questions of this part.
    pub questions: usize,
}

/// Samples one part of a build into the dataset folder `out`, for [`crate::SampledParts`] to bring together.
///
/// # Errors
/// As [`build`].
pub fn sample_part(
    inputs: &BuildInputs<'_>,
    part: SamplingPart,
    out: &Path,
    control: &Control<'_>,
) -> Result<PartReport, BuildError> {
    let (screened, _) = screen_set(inputs, out, control)?;
    let shards = sample_shards(inputs, &screened, part, out, control)?;
    let of_part: Vec<usize> = (0..shards.count()).filter(|&shard| part.has(shard)).collect();
    Ok(PartReport {
        shards: of_part.len(),
        shards_of_build: shards.count(),
        questions: of_part.into_iter().map(|shard| shards.questions(shard).len()).sum(),
    })
}

/// Sorts the questions into usable and rejected; also gives how many there were.
pub(crate) fn screen_set<'a>(
    inputs: &BuildInputs<'a>,
    out: &Path,
    control: &Control<'_>,
) -> Result<(ScreenedSet<'a>, usize), BuildError> {
    let BuildInputs { model, set, config, seed, .. } = *inputs;
    config.validate()?;
    if inputs.server.is_none() {
        // A key that is not set shows before the recordings are read.
        served::open(config)?;
    }
    let input = set.questions.len() + set.rejected.len();
    if input == 0 {
        return Err(BuildError::NoQuestions);
    }
    let screened = screen(model, set, config, seed, control)?;
    check_rejected(&screened, input, config, out)?;
    Ok((screened, input))
}

/// Samples what is left of a part.
pub(crate) fn sample_shards(
    inputs: &BuildInputs<'_>,
    screened: &ScreenedSet<'_>,
    part: SamplingPart,
    out: &Path,
    control: &Control<'_>,
) -> Result<Shards, BuildError> {
    let BuildInputs { model, config, seed, provenance, .. } = *inputs;
    let opened = if inputs.server.is_none() { served::open(config)? } else { None };
    open_folder(out)?;
    let identity = SamplingIdentity::of(screened, config, seed, provenance);
    let shards = Shards::open(out, identity, control.warn)?;
    let warning;
    let model = match model {
        SampledModel::Folder(answerer) => {
            warning = answerer.clone().warn_with(control.warn);
            SampledModel::Folder(&warning)
        }
        SampledModel::Server(_) => model,
    };
    let sampler =
        ShardSampler { model, server: inputs.server.or(opened.as_ref()), screened, config, run_seed: seed };
    sampler.sample(&shards, part, control)?;
    Ok(shards)
}

/// Every question is either usable or listed, and not too many are listed.
fn check_rejected(
    screened: &ScreenedSet<'_>,
    input: usize,
    config: &BuildConfig,
    out: &Path,
) -> Result<(), BuildError> {
    let (kept, rejected) = (screened.len(), screened.rejected.len());
    if kept + rejected != input {
        return Err(BuildError::Unaccounted { input, kept, rejected });
    }
    if kept > 0 && rejected as f64 <= config.max_rejected_share * input as f64 {
        return Ok(());
    }
    open_folder(out)?;
    let list = out.join(REJECTED_FILE);
    write_jsonl(&list, &screened.rejected)?;
    Err(BuildError::TooManyRejected {
        rejected,
        total: input,
        max_share: config.max_rejected_share,
        reasons: idk_questions::reason::counts(&screened.rejected),
        list,
    })
}

/// Writes the files next to the samples: the questions that were asked, in their order, and those that were not.
pub(crate) fn write_questions(
    out: &Path,
    screened: &ScreenedSet<'_>,
    config: &BuildConfig,
) -> Result<(), BuildError> {
    let mut file = JsonlWriter::create(&out.join(QUESTIONS_FILE))?;
    for asked in screened.asked() {
        file.put(&QuestionRow::new(&asked, &asked.message(config.prompt), out)?)?;
    }
    file.commit()?;
    Ok(write_jsonl(&out.join(REJECTED_FILE), &screened.rejected)?)
}
