//! `README.md` of a dataset: what it is, how it was made, its numbers, how others read it.

use std::fmt::Write as _;
use std::path::Path;

use idk_common::text::{markdown, markdown_code};
use idk_common::{CommonError, fs};

use crate::config::{BuildConfig, OptionOrder, Sampler, Target};
use crate::format::files::README_FILE;
use crate::format::manifest::DatasetManifest;
use crate::format::shares::Share;

/// Writes the dataset card.
pub(crate) fn write_card(dir: &Path, manifest: &DatasetManifest) -> Result<(), CommonError> {
    fs::write_atomic(&dir.join(README_FILE), card(manifest).as_bytes())
}

/// How the model was run, if not by this program.
fn served(config: &BuildConfig) -> String {
    match config.sampler {
        Sampler::Local => String::new(),
        Sampler::OpenAi => {
            format!(", sampled through a server that calls it `{}`", markdown_code(&config.server_model))
        }
    }
}

/// The hash of the model's files; a model that only a server has shows none.
fn model_hash(sha256: &str) -> String {
    if sha256.is_empty() { String::new() } else { format!(", sha256 `{sha256}`") }
}

/// The card as Markdown, with the front matter that the Hugging Face Hub reads.
fn card(manifest: &DatasetManifest) -> String {
    let (config, counts, provenance) = (&manifest.config, &manifest.counts, &manifest.provenance);
    let (k, n) = (config.k, config.n_samples);
    let target = match config.target {
        Target::Gold => "the text of the right option",
        Target::Sampled => "one of the model's own correct answers, chosen by the seed",
        Target::Own => "the commonest of the model's own correct answers",
    };
    let order = match config.options {
        OptionOrder::Shuffle => "shuffled by (seed, question id)",
        OptionOrder::Keep => "as in the question file",
    };
    let sampling = format!(
        "temperature {}, top-p {}, top-k {}, repetition penalty {}, at most {} new tokens",
        config.temperature, config.top_p, config.top_k, config.repetition_penalty, config.max_new_tokens
    );
    let mut text = format!(
        "---
tags:
- audio
- question-answering
- refusal
configs:
- config_name: sft
  data_files: sft.jsonl
- config_name: dpo
  data_files: dpo.jsonl
- config_name: calibrated
  data_files: calibrated.jsonl
---

# IDK dataset

Chats that teach one audio language model to say {refusal} where it does not know, and to keep answering where
it does. The set is specific to the model that was sampled: `{model}`.

Each question was answered {n} times{until}. With at least {k} right answers it is *known* and its target is {target};
otherwise it is *unknown* and its target is the refusal.

| | |
|---|---:|
| questions read | {input} |
| kept | {kept} |
| rejected | {rejected} |
| recordings cut at the model's window | {cut} |
| samples: correct / wrong / refused | {correct} / {wrong} / {refused} |
| known | {known} |
| unknown | {unknown} |
| unknown, left out of training | {left_out} |
| training chats / preference pairs / own answers | {rows} / {pairs} / {own} |
| validation chats / preference pairs / own answers | {val_rows} / {val_pairs} / {val_own} |

{balance}
- Sampling: {sampling}; seed {seed}, one seed for each question and sample.
- Options: {order}; `choice` in the rows counts them as they were shown.
- Model: `{model}`{model_hash}{served}
- Questions: `{questions}`, sha256 `{questions_hash}`
- Program: {program}
",
        until = if config.stop_when_decided { ", or until its label was certain" } else { "" },
        refusal = quoted_refusals(config),
        left_out = counts.left_out,
        rows = counts.sft_rows,
        pairs = counts.dpo_rows,
        own = counts.calibrated_rows,
        val_own = counts.calibrated_val_rows,
        val_rows = counts.sft_val_rows,
        val_pairs = counts.dpo_val_rows,
        balance = balance(config),
        served = served(config),
        model = markdown_code(&provenance.model),
        model_hash = model_hash(&provenance.model_sha256),
        questions = markdown_code(&provenance.questions),
        questions_hash = provenance.questions_sha256,
        input = counts.input,
        kept = counts.kept,
        rejected = counts.rejected,
        cut = counts.cut_audio,
        correct = counts.correct,
        wrong = counts.wrong,
        refused = counts.refused,
        known = counts.known,
        unknown = counts.unknown,
        seed = manifest.seed,
        program = manifest.program,
    );
    push_shares(&mut text, manifest);
    text.push_str(FILES);
    text
}

/// The texts of the refusal, `or` between them.
fn quoted_refusals(config: &BuildConfig) -> String {
    let texts: Vec<String> =
        config.refusal_texts().iter().map(|text| format!("\"{}\"", markdown(text))).collect();
    texts.join(" or ")
}

/// What was done to the labelled questions before they became rows.
fn balance(config: &BuildConfig) -> String {
    let mut lines = Vec::new();
    if config.refusals.len() > 1 {
        lines.push("- Refusal: one of the texts for each question, chosen by the seed.".to_owned());
    }
    lines.push(match config.max_idk_share {
        Some(share) => format!(
            "- Balance: at most {:.1} % of the training chats are refusals; unknown questions above that are left out by \
             the seed, the same share of every task and sub-category.",
            100.0 * share
        ),
        None => "- Balance: none; every question is used.".to_owned(),
    });
    if let Some(share) = config.unanswerable_share {
        lines.push(format!(
            "- No right answer: at most {:.1} % of the training chats are questions that have none, in addition.",
            100.0 * share
        ));
    }
    if !config.keep_tasks.is_empty() {
        let tasks: Vec<String> = config.keep_tasks.iter().map(|task| markdown(task)).collect();
        lines.push(format!(
            "- Kept: questions of {} have the model's own answer as their target, right or wrong; their labels are not used.",
            tasks.join(", ")
        ));
    }
    if config.val_share > 0.0 {
        lines.push(format!(
            "- Validation: {:.1} % of the questions; those about the same recordings stay together.",
            100.0 * config.val_share
        ));
    }
    if let Some(pairs) = config.max_pairs_per_question {
        lines.push(format!("- Preference pairs: at most {pairs} a question."));
    }
    lines.join("\n")
}

fn push_shares(text: &mut String, manifest: &DatasetManifest) {
    let n_samples = manifest.config.n_samples;
    let shares = &manifest.idk_share;
    text.push_str("\n## Share of unknown questions, in percent\n\n| | n |");
    for k in shares.overall.unknown.keys() {
        let _ = write!(text, " {k}@{n_samples} |");
    }
    let _ = write!(text, "\n|---|---:|{}\n", "---:|".repeat(shares.overall.unknown.len()));
    push_share(text, "all", &shares.overall);
    for (name, share) in shares.task.iter().chain(&shares.sub_category) {
        push_share(text, name, share);
    }
    for (name, share) in shares.difficulty.iter().filter(|(name, _)| !name.is_empty()) {
        push_share(text, &format!("difficulty: {name}"), share);
    }
    if shares.overall.unknown.len() > 1 {
        let _ = write!(
            text,
            "\nFrom 1@{n_samples} to {n_samples}@{n_samples}: `{}`\n",
            shares.overall.sparkline()
        );
    } else if n_samples > 1 {
        text.push_str("\nOther values of K need the samples that were saved by stopping as soon as a label was decided.\n");
    }
}

fn push_share(text: &mut String, name: &str, share: &Share) {
    // The name comes from the question file.
    let _ = write!(text, "| {} | {} |", markdown(name), share.n);
    for value in share.unknown.values() {
        let _ = write!(text, " {:.1} |", 100.0 * value);
    }
    text.push('\n');
}

const FILES: &str = "
## Files

| file | content |
|---|---|
| `questions.jsonl` | what was asked, with answer, options and group |
| `samples.jsonl` | every sampled answer with its seed, verdict and log-probability |
| `labels.jsonl` | one label per question |
| `sft.jsonl` | chats: `messages` with one `<audio>` tag for each recording, and `audios` |
| `dpo.jsonl` | preference pairs: `prompt`, `chosen`, `rejected`, and `audios` |
| `calibrated.jsonl` | own answers: `prompt`, `own`, `refusal`, `error_rate`, and `audios` |
| `sft-val.jsonl`, `dpo-val.jsonl`, `calibrated-val.jsonl` | the same for the validation split, if there is one |
| `rejected.jsonl` | what could not be used, with a reason code |
| `sampling.json` | what `idk-build relabel` needs to label the samples again |
| `manifest.json` | counts, shares, settings, seed and hashes |

The paths in `audios` are relative to this folder. The toolkit's own programs resolve them from anywhere;
`idk-build export` writes the rows for ms-swift, LLaMA-Factory and TRL with the paths and keys that they need.
";
