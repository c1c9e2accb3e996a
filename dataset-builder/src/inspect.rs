//! What is in a dataset, for people: counts, the K curve, shares of groups, a few rows. No model is needed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::JsonlReader;
use idk_common::seed::{Rng, derive_seed};
use idk_common::text::{ellipsis, terminal_safe};
use idk_questions::metrics::show_with;
use idk_questions::rows::{Label, LabelRow, SftRow};
use serde::Serialize;

use crate::error::BuildError;
use crate::format::chats::read_manifest;
use crate::format::files::{
    LABELS_FILE, MANIFEST_FILE, QUESTIONS_FILE, SAMPLED_FILE, SFT_FILE, SFT_VAL_FILE,
};
use crate::format::manifest::DatasetManifest;
use crate::format::question_row::QuestionRow;
use crate::format::shares::{IdkShares, Share};

/// Rows that are shown.
const EXAMPLES: usize = 5;
/// Widest message of a row that is shown, in characters.
const MESSAGE_CHARS: usize = 300;

/// One row that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExampleRow {
    /// The question's id.
    pub id: String,
    /// Its modality and group, as `task/sub-category`.
    pub group: String,
    /// Its label.
    pub label: Label,
    /// Right answers among its samples.
    pub correct: usize,
    /// Its samples.
    pub n: usize,
    /// What the user says.
    pub message: String,
    /// What the model is trained to answer; none if the balance keeps the question out of training.
    pub target: Option<String>,
    /// Whether it belongs to the validation split.
    pub validation: bool,
}

/// A dataset at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The manifest: settings, counts, shares, hashes.
    #[serde(flatten)]
    pub manifest: DatasetManifest,
    /// Rows chosen by the seed, in their order.
    pub examples: Vec<ExampleRow>,
}

/// Reads the dataset in `dir`; its files are not checked against their hashes.
///
/// # Errors
/// [`BuildError::Incomplete`] for one that was not finished, [`BuildError::Common`] for what cannot be read.
pub fn inspect(dir: &Path) -> Result<Inspection, BuildError> {
    if !dir.join(MANIFEST_FILE).exists() && dir.join(SAMPLED_FILE).exists() {
        return Err(BuildError::Incomplete { dir: dir.to_owned() });
    }
    let manifest = read_manifest(dir)?;
    let examples = examples(dir, &manifest)?;
    Ok(Inspection { manifest, examples })
}

fn examples(dir: &Path, manifest: &DatasetManifest) -> Result<Vec<ExampleRow>, BuildError> {
    let mut rng = Rng::new(derive_seed(manifest.seed, "inspect", &[]));
    let mut chosen = rng.permutation(manifest.counts.kept);
    chosen.truncate(EXAMPLES);
    chosen.sort_unstable();
    let labels: Vec<LabelRow> = rows_at(dir, LABELS_FILE, &chosen)?;
    let questions: Vec<QuestionRow> =
        if dir.join(QUESTIONS_FILE).exists() { rows_at(dir, QUESTIONS_FILE, &chosen)? } else { Vec::new() };
    let mut targets: BTreeMap<&str, (String, bool)> = BTreeMap::new();
    for name in [SFT_FILE, SFT_VAL_FILE].into_iter().filter(|name| dir.join(name).exists()) {
        for row in JsonlReader::<SftRow>::open(&dir.join(name))? {
            let row = row?;
            if let Some(label) = labels.iter().find(|label| label.id == row.id) {
                let text = row.messages.last().map(Message::tagged).unwrap_or_default();
                targets.insert(&label.id, (text, name == SFT_VAL_FILE));
            }
        }
    }
    let example = |(place, label): (usize, &LabelRow)| {
        let target = targets.get(label.id.as_str());
        ExampleRow {
            id: label.id.clone(),
            group: format!("{}/{}", label.task, label.sub_category),
            label: label.label,
            correct: label.correct,
            n: label.n,
            message: questions.get(place).map(|row| row.message.clone()).unwrap_or_default(),
            target: target.map(|(text, _)| text.clone()),
            validation: target.is_some_and(|(_, validation)| *validation),
        }
    };
    Ok(labels.iter().enumerate().map(example).collect())
}

/// The rows at `places`, which are in order.
fn rows_at<T: serde::de::DeserializeOwned>(
    dir: &Path,
    name: &str,
    places: &[usize],
) -> Result<Vec<T>, BuildError> {
    let mut rows = Vec::with_capacity(places.len());
    let reader = JsonlReader::<T>::open(&dir.join(name))?;
    for (place, row) in reader.enumerate().take(places.last().map_or(0, |last| last + 1)) {
        let row = row?;
        if places.contains(&place) {
            rows.push(row);
        }
    }
    Ok(rows)
}

impl Inspection {
    /// As text of several lines, safe for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.push_counts(&mut text);
        let shares = &self.manifest.idk_share;
        push_curve(&mut text, &shares.overall, self.manifest.config.n_samples, self.manifest.config.k);
        push_groups(&mut text, shares, self.manifest.config.k);
        text.push_str("\nExamples, chosen by the seed\n");
        for row in &self.examples {
            push_example(&mut text, row);
        }
        text
    }

    fn push_counts(&self, text: &mut String) {
        let (counts, config, from) =
            (&self.manifest.counts, &self.manifest.config, &self.manifest.provenance);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<11}{}", terminal_safe(&value));
        };
        line("model", named(&from.model, &from.model_sha256));
        line("questions", named(&from.questions, &from.questions_sha256));
        line("read", format!("{} = {} kept + {} rejected", counts.input, counts.kept, counts.rejected));
        for (reason, count) in &counts.rejected_by_reason {
            line("", format!("{count} {reason}"));
        }
        let (right, wrong, refused) = (counts.correct, counts.wrong, counts.refused);
        line("samples", format!("{}: {right} correct, {wrong} wrong, {refused} refused", counts.samples));
        let at = format!("{}@{}", config.k, config.n_samples);
        line("labels", format!("{} known, {} unknown at {at}", counts.known, counts.unknown));
        if counts.unanswerable > 0 {
            line("", format!("{} of the unknown ones have no right answer", counts.unanswerable));
        }
        let rows = |[chats, pairs, own]: [usize; 3]| {
            format!("{chats} chats, {pairs} preference pairs, {own} own answers")
        };
        line("training", rows([counts.sft_rows, counts.dpo_rows, counts.calibrated_rows]));
        if config.val_share > 0.0 {
            line("validation", rows([counts.sft_val_rows, counts.dpo_val_rows, counts.calibrated_val_rows]));
        }
        if counts.left_out > 0 {
            let by = if config.unanswerable_share.is_some() { " or unanswerable_share" } else { "" };
            line("left out", format!("{} unknown questions, by max_idk_share{by}", counts.left_out));
        }
    }
}

/// A name with the beginning of its hash; a model that only a server has shows none.
fn named(name: &str, sha256: &str) -> String {
    match sha256.get(..12) {
        Some(short) => format!("{name}, sha256 {short}"),
        None => name.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn push_curve(text: &mut String, overall: &Share, n_samples: usize, k: usize) {
    let _ = writeln!(text, "\nIDK share by K   {}", overall.sparkline());
    for (at, share) in &overall.unknown {
        let mark = if *at == k { "  <- this dataset" } else { "" };
        let _ = writeln!(text, "{:>7}  {:>7}{mark}", format!("{at}@{n_samples}"), percent(*share));
    }
}

fn push_groups(text: &mut String, shares: &IdkShares, k: usize) {
    let groups =
        [("task", &shares.task), ("sub-category", &shares.sub_category), ("difficulty", &shares.difficulty)];
    for (title, groups) in groups {
        if groups.keys().all(String::is_empty) {
            continue;
        }
        let name = |name: &String| ellipsis(&terminal_safe(if name.is_empty() { "-" } else { name }), 40);
        let width = groups.keys().map(|key| name(key).chars().count()).max().unwrap_or_default();
        let _ = writeln!(text, "\nIDK share by {title}");
        for (key, share) in groups {
            let at_k = show_with(share.unknown.get(&k), |share| percent(*share));
            let key = name(key);
            let pad = " ".repeat(width - key.chars().count());
            let _ = writeln!(text, "  {key}{pad}  {at_k:>7}  of {:>6}  {}", share.n, share.sparkline());
        }
    }
}

fn push_example(text: &mut String, row: &ExampleRow) {
    let label = if row.label == Label::Known { "known" } else { "unknown" };
    let part = match (&row.target, row.validation) {
        (None, _) => ", left out of training",
        (_, true) => ", validation",
        _ => "",
    };
    let head = format!("{} ({}): {label}, {} of {} right{part}", row.id, row.group, row.correct, row.n);
    let _ = writeln!(text, "  {}", terminal_safe(&head));
    for line in ellipsis(&row.message, MESSAGE_CHARS).lines() {
        let _ = writeln!(text, "    {}", terminal_safe(line));
    }
    if let Some(target) = &row.target {
        let _ = writeln!(text, "    => {}", terminal_safe(&ellipsis(target, MESSAGE_CHARS)));
    }
}
