//! What decides a sampled answer. Shards of one identity belong together, others never do.

use idk_common::identity::{Difference, Identity, differences, sha256_of};
use idk_questions::PromptStyle;
use serde::{Deserialize, Serialize};

use crate::config::{BuildConfig, OptionOrder, Sampler};
use crate::format::sampled::Provenance;
use crate::sample::screened::ScreenedSet;

/// The values of `[build]` that decide what is sampled and how it is cut into shards. K, target, refusal and batch size
/// are not among them, unless the sampling stops when the label for K is certain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSettings {
    n_samples: usize,
    temperature: f64,
    top_p: f64,
    top_k: usize,
    repetition_penalty: f64,
    max_new_tokens: usize,
    /// The refusals among the only answers, where the samples are guided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guided: Option<Vec<String>>,
    options: OptionOrder,
    prompt: PromptStyle,
    shard_size: usize,
    stop_when_decided: Stop,
    sampler: Sampler,
    server_model: String,
}

/// `stop_when_decided`: `false`, or the K whose label it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Stop {
    Never(bool),
    At { k: usize },
}

impl SamplingSettings {
    /// Those of a configuration.
    pub fn of(config: &BuildConfig) -> Self {
        Self {
            n_samples: config.n_samples,
            temperature: config.temperature,
            top_p: config.top_p,
            top_k: config.top_k,
            repetition_penalty: config.repetition_penalty,
            max_new_tokens: config.max_new_tokens,
            guided: config.guided.then(|| config.refusal_texts().to_vec()),
            options: config.options,
            prompt: config.prompt,
            shard_size: config.shard_size,
            stop_when_decided: if config.stop_when_decided {
                Stop::At { k: config.k }
            } else {
                Stop::Never(false)
            },
            sampler: config.sampler,
            server_model: config.identity().server_model,
        }
    }

    /// Questions in a shard.
    pub(crate) fn shard_size(&self) -> usize {
        self.shard_size.max(1)
    }
}

/// Everything that decides the samples of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingIdentity {
    /// Version of the program that samples.
    pub program: String,
    /// `Provenance::model_sha256`.
    pub model_sha256: String,
    /// `Provenance::questions_sha256`.
    pub questions_sha256: String,
    /// Questions that can be asked, in the order of the set.
    pub usable_questions: usize,
    /// SHA-256 of their ids and of the tokens of their prompts.
    pub prompts_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// The values of `[build]`.
    pub build: SamplingSettings,
}

impl SamplingIdentity {
    pub(crate) fn of(
        screened: &ScreenedSet<'_>,
        config: &BuildConfig,
        seed: u64,
        provenance: &Provenance,
    ) -> Self {
        Self {
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            model_sha256: provenance.model_sha256.clone(),
            questions_sha256: provenance.questions_sha256.clone(),
            usable_questions: screened.len(),
            prompts_sha256: screened.prompts_sha256(),
            seed,
            build: SamplingSettings::of(config),
        }
    }

    /// Number of shards that hold the samples of all questions.
    pub(crate) fn shard_count(&self) -> usize {
        self.usable_questions.div_ceil(self.build.shard_size())
    }

    /// SHA-256 of the whole identity, by which a shard names it.
    pub(crate) fn sha256(&self) -> String {
        sha256_of(self)
    }

    /// Everything that is not the same.
    pub fn differences(then: &Self, now: &Self) -> Vec<Difference> {
        let flat = |identity: &Self| {
            let mut flat = Identity::of(identity).with_section("build", &identity.build);
            flat.retain(|key| key != "build");
            flat
        };
        differences(&flat(then), &flat(now))
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::PackedQuestions;

    use super::*;

    fn identity(config: &BuildConfig, seed: u64) -> SamplingIdentity {
        let none = PackedQuestions::default();
        SamplingIdentity::of(&ScreenedSet::new(&none, None, Vec::new()), config, seed, &Provenance::default())
    }

    #[test]
    fn what_only_labels_or_batches_read_is_no_part_of_the_identity() {
        let base = BuildConfig::default();
        let relabelled = BuildConfig {
            k: 3,
            target: crate::config::Target::Sampled,
            refusal: "I'm not sure".to_owned(),
            batch_size: 1,
            max_rejected_share: 0.5,
            ..base.clone()
        };
        assert_eq!(identity(&base, 1), identity(&relabelled, 1));
        // The refusals of guided samples are among the answers.
        let guided = |config: &BuildConfig| identity(&BuildConfig { guided: true, ..config.clone() }, 1);
        let found = SamplingIdentity::differences(&guided(&base), &guided(&relabelled));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, [r#"`build.guided` was ["I don't know"] and is ["I'm not sure"] now"#]);
        assert_ne!(identity(&base, 1), guided(&base));
        let decided = |k| BuildConfig { stop_when_decided: true, k, ..base.clone() };
        let found = SamplingIdentity::differences(&identity(&decided(3), 1), &identity(&decided(4), 1));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, [r#"`build.stop_when_decided` was {"k":3} and is {"k":4} now"#]);
    }

    #[test]
    fn each_sampling_setting_is_named_when_it_differs() {
        let base = BuildConfig::default();
        let other = BuildConfig {
            n_samples: 6,
            temperature: 0.5,
            top_p: 0.9,
            top_k: 3,
            repetition_penalty: 1.5,
            max_new_tokens: 7,
            options: OptionOrder::Keep,
            prompt: PromptStyle::Lines,
            shard_size: 9,
            stop_when_decided: true,
            ..base.clone()
        };
        let found = SamplingIdentity::differences(&identity(&base, 1), &identity(&other, 2));
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        for key in [
            "`seed` was 1 and is 2 now",
            "`build.n_samples` was 5 and is 6 now",
            "build.temperature",
            "build.top_p",
            "build.top_k",
            "build.repetition_penalty",
            "build.max_new_tokens",
            "build.options",
            "build.prompt",
            "build.shard_size",
            "build.stop_when_decided",
        ] {
            assert!(lines.iter().any(|line| line.contains(key)), "{key}: {lines:?}");
        }
    }
}
