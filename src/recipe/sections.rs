//! The sections that belong to no crate: the model, the question sets, the run folder.

use std::path::{Path, PathBuf};

use idk_common::{Problem, Problems};
use idk_model::WeightDtype;
use idk_questions::{DuplicateChoices, RefusalOption};
use idk_server::{ServerApi, ServerLogProbs, ServerSettings};
use serde::{Deserialize, Serialize};

/// A model's kernels gain nothing from wider steps.
const MAX_PAD_TO: usize = 1024;

/// `[model]`: the base model and where it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Folder in the Hugging Face layout. A relative path is looked for in the working directory, then in the folder of the
    /// recipe and those above it, then in the source tree that the program was built from. With `server_url` it is the
    /// folder that is served, for stricter checks, and need not be given. Default: the embedded `checkpoints/mini-lalm`,
    /// or none with `server_url`.
    pub path: PathBuf,
    /// `cpu`, `cuda`, `cuda:N` or `wgpu`; the flag `--device` wins over it. Default `cpu`.
    pub device: String,
    /// Type of the base model's weights: "f32", "bf16", or "auto", which is f32 on the CPU and, on a GPU, bf16 if they are
    /// stored in 16 bits. "int8" and "nf4" are "auto" with the frozen linear layers of the language model in 8 or 4 bits,
    /// for smaller cards. Norms, softmax, loss and LoRA are f32 in any case, as is everything when a whole model is
    /// trained. Default "auto".
    pub dtype: WeightDtype,
    /// Pad sequences to a multiple of this many tokens, so that a GPU meets few shapes and its kernels are compiled and
    /// chosen once; results change by rounding only. 0 is 64 on a GPU and 1 (no padding) on the CPU. Default 0.
    pub pad_to: usize,
    /// Folder for what a GPU's kernels are compiled to and for which of them turned out fastest, shared by all runs: a
    /// first start on a machine compiles for minutes, later ones do not. Default "": `$XDG_CACHE_HOME/idk/kernels`, or
    /// `~/.cache/idk/kernels`.
    pub kernel_cache_dir: PathBuf,
    /// Base of the API of a server that has the model, such as `http://localhost:8000/v1`: it answers in evaluations, and
    /// questions are sampled from it. Only `sampler = "openai"` in [build] samples from a server and leaves the rest to
    /// the model in `path`. Default: none.
    pub server_url: String,
    /// The name under which the server has the model.
    pub server_model: String,
    /// Name of the environment variable that holds the server's API key; none when empty.
    pub server_key_env: String,
    /// Fields that the server knows: `vllm`, also for servers that ignore unknown fields, or `openai`. Default `vllm`.
    pub server_api: ServerApi,
    /// Log-probabilities that the server is asked for: `options` (of answers and of every option, by `prompt_logprobs` of
    /// vLLM), `letters` (of answers and of every option's letter, by `top_logprobs`), `answers`, or `none`. Default `options`
    /// with `vllm`, `answers` with `openai`.
    pub server_log_probs: Option<ServerLogProbs>,
    /// Requests in flight at once. Default 16.
    pub server_concurrency: usize,
    /// Seconds that a request may take. Default 300.
    pub server_timeout_s: u64,
    /// How often a request that failed is sent again. Default 6: up to half a minute of waits.
    pub server_max_retries: u32,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: PathBuf::from("checkpoints/mini-lalm"),
            device: "cpu".to_owned(),
            dtype: WeightDtype::Auto,
            pad_to: 0,
            kernel_cache_dir: PathBuf::new(),
            server_url: String::new(),
            server_model: String::new(),
            server_key_env: String::new(),
            server_api: ServerApi::default(),
            server_log_probs: None,
            server_concurrency: 16,
            server_timeout_s: 300,
            server_max_retries: 6,
        }
    }
}

impl ModelSection {
    /// Whether there is a folder of the model.
    pub fn has_folder(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    /// What names the model in files that must not hold absolute paths: the last part of its folder, or its name on the
    /// server.
    pub fn name(&self) -> String {
        match self.path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None if self.has_folder() => self.path.to_string_lossy().into_owned(),
            None => self.server_model.clone(),
        }
    }

    /// The server that has the model, if one has it.
    pub fn server(&self) -> Option<ServerSettings> {
        if self.server_url.is_empty() {
            return None;
        }
        let log_probs = self.server_log_probs.unwrap_or(match self.server_api {
            ServerApi::Vllm => ServerLogProbs::Options,
            ServerApi::OpenAi => ServerLogProbs::Answers,
        });
        let named = ServerSettings::named(&self.server_url, &self.server_model, &self.server_key_env);
        let patient = named.patient(self.server_concurrency, self.server_timeout_s, self.server_max_retries);
        Some(ServerSettings { api: self.server_api, log_probs, ..patient })
    }

    /// What is wrong with the values of `[model]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("model");
        match self.server() {
            Some(server) => server.check(&mut problems),
            None => problems.require(self.has_folder(), "path", "must name a folder"),
        }
        problems.require(self.pad_to <= MAX_PAD_TO, "pad_to", format!("must be at most {MAX_PAD_TO} tokens"));
        problems.into_vec()
    }
}

/// `[data]`: the question sets. `bank:SPLIT` renders a split of the recordings in this repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSection {
    /// Questions that are sampled, labelled and trained on: `bank:idk` or a question file.
    pub train: String,
    /// Questions to choose by, such as `bank:val`; neither the training nor the test questions. `threshold` in [eval] is
    /// fitted on them, whatever their task. With `eval_every` of 1 or more in [train] those of the recipe's `tasks` are
    /// answered while training, every so many steps and after the last one; with 0 training leaves them alone, as
    /// answering them takes a while. Default: none.
    pub val: String,
    /// Questions that the evaluator answers; `idk-train` rejects the training questions here. Default `bank:test`.
    pub test: String,
    /// Tasks of the training and validation questions (`sound`, `music`, `speech`); all when empty.
    pub tasks: Vec<String>,
    /// Folder of recordings with a `manifest.jsonl`, looked for as `path` in [model]; when empty the bank of
    /// this repository, `dataset-builder/bank`, or the folder in the environment variable `IDK_BANK`.
    pub bank: String,
    /// Seed of the questions that are rendered from the bank, apart from the run's own seed, so that runs
    /// with different seeds answer the same questions.
    pub seed: u64,
    /// How many training questions of each task are rendered from the bank. Default: the split's own number.
    pub train_questions: Option<usize>,
    /// The same for a `val` that is a split of the bank, which has few questions of its own; of every task of the bank,
    /// whatever `tasks` says. Default: the split's own number.
    pub val_questions: Option<usize>,
    /// At most this many questions of each task, for a quick look.
    pub limit_per_task: Option<usize>,
    /// Questions with an option that is there twice: `reject` them, or `merge` the equal options. Default `reject`.
    pub duplicate_choices: DuplicateChoices,
    /// Longest part of a recording that the model hears, in seconds. What is behind it is cut off, and such recordings are
    /// counted. Qwen2-Audio hears one window of 30 s in any case; other families hear longer recordings whole, up to a
    /// limit of their own (docs/guide/models.md), and each second costs audio tokens. Default: not set.
    pub max_audio_s: Option<f64>,
    /// How many annotators must give an answer for it to count, in sets that list the answers of several. Default 2.
    pub min_annotators: usize,
    /// An option that says that no answer is right (`None of the above` of AQUA-Bench): `keep` it, so that to choose it is to
    /// refuse, or `drop` it. Default `keep`.
    pub refusal_option: RefusalOption,
    /// The file that the recipe was read from: a relative `bank` may lie above it.
    #[serde(skip)]
    pub(crate) recipe: Option<PathBuf>,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train: "bank:idk".to_owned(),
            val: String::new(),
            test: "bank:test".to_owned(),
            tasks: Vec::new(),
            bank: String::new(),
            seed: 0,
            train_questions: None,
            val_questions: None,
            limit_per_task: None,
            duplicate_choices: DuplicateChoices::default(),
            max_audio_s: None,
            min_annotators: 2,
            refusal_option: RefusalOption::default(),
            recipe: None,
        }
    }
}

impl DataSection {
    /// What is wrong with the values of `[data]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("data");
        problems.at_least_one([
            ("train_questions", self.train_questions.unwrap_or(1)),
            ("val_questions", self.val_questions.unwrap_or(1)),
            ("limit_per_task", self.limit_per_task.unwrap_or(1)),
            ("min_annotators", self.min_annotators),
        ]);
        let heard = self.max_audio_s.unwrap_or(1.0);
        problems.require(
            heard.is_finite() && heard > 0.0,
            "max_audio_s",
            "must be a positive number of seconds",
        );
        let is_val = |other: &String| !self.val.is_empty() && same_questions(&self.val, other);
        let apart = ![&self.train, &self.test].into_iter().any(is_val);
        problems.require(apart, "val", "must be other questions than `train` and `test`");
        problems.into_vec()
    }
}

/// Whether two sources are the same split of the bank, or name one and the same file.
pub(crate) fn same_questions(one: &str, other: &str) -> bool {
    let file = |source: &str| Path::new(source).canonicalize().ok();
    one == other || file(one).is_some_and(|path| Some(path) == file(other))
}

/// `[output]`: the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSection {
    /// Folder of the run; made when missing. Default `runs/default`.
    pub dir: PathBuf,
}

impl Default for OutputSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("runs/default") }
    }
}

impl OutputSection {
    /// What is wrong with the values of `[output]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("output");
        problems.require(!self.dir.as_os_str().is_empty(), "dir", "must name a folder");
        problems.into_vec()
    }
}
