//! What a base model gets right on the validation split.

use std::collections::BTreeMap;

use idk_benchmark::{Bank, ComposeConfig, ComposedItem};
use idk_model::{Answerer, Chat, Clip, FeatureLimits, FeatureStore, Lalm, SamplingConfig};
use idk_questions::{AskedQuestion, Judgement, PromptStyle, Verdict, judge};
use rayon::prelude::*;

use crate::error::PretrainError;

/// Validation questions that go through the model together.
const VAL_BATCH: usize = 32;

/// The questions of the bank's validation split: so many of each modality, or all.
///
/// # Errors
/// A bank that has too few recordings.
pub(crate) fn validation_items(
    bank: &Bank,
    questions_per_modality: Option<usize>,
) -> Result<Vec<ComposedItem>, PretrainError> {
    let config =
        ComposeConfig { split: "val".to_owned(), questions_per_modality, modalities: Vec::new(), seed: 0 };
    Ok(idk_benchmark::compose(bank, &config)?)
}

/// One greedy answer to every item, as the judge reads it.
fn answers(lalm: &Lalm, items: &[ComposedItem]) -> Result<Vec<Judgement>, PretrainError> {
    let greedy = SamplingConfig { max_new_tokens: 16, ..SamplingConfig::default() };
    // The model changes between two calls, so nothing that it hears may be kept.
    let features = FeatureStore::new("", FeatureLimits::NONE);
    let answerer = Answerer::base(lalm, &features);
    let mut read = Vec::with_capacity(items.len());
    for batch in items.chunks(VAL_BATCH) {
        let chat = |item: &ComposedItem| Chat {
            messages: vec![AskedQuestion::new(item.question.clone(), None).message(PromptStyle::Lettered)],
            clips: vec![Clip::of_mel(lalm.mel.log_mel(&item.samples), &lalm.mel)],
        };
        let prompts = answerer.prompts(&batch.par_iter().map(chat).collect::<Vec<Chat>>())?;
        let generated = answerer.answer(&prompts, &greedy, &vec![vec![0]; prompts.len()])?;
        read.extend(batch.iter().zip(&generated).map(|(item, answers)| {
            answers.first().map_or(Judgement::UNPARSED, |answer| judge(&answer.text, &item.question))
        }));
    }
    Ok(read)
}

/// Accuracy over all questions and by task, and the share of answers that name an option.
///
/// # Errors
/// Whatever stops the answers.
pub(crate) fn accuracy_by_task(
    lalm: &Lalm,
    items: &[ComposedItem],
) -> Result<BTreeMap<String, f64>, PretrainError> {
    let judgements = answers(lalm, items)?;
    let mut groups = BTreeMap::<String, (usize, usize)>::new();
    for (item, judgement) in items.iter().zip(judgements) {
        let is_right = judgement.verdict == Verdict::Correct;
        let task = format!("accuracy_{}", item.question.task);
        let counted = [("accuracy", is_right), (&task, is_right), ("names_an_option", !judgement.unparsed)];
        for (name, counts) in counted {
            let (hits, total) = groups.entry(name.to_owned()).or_default();
            *hits += usize::from(counts);
            *total += 1;
        }
    }
    Ok(groups.into_iter().map(|(name, (hits, total))| (name, hits as f64 / total.max(1) as f64)).collect())
}

/// A table of the accuracy by family and difficulty.
///
/// # Errors
/// Whatever stops the answers.
pub(crate) fn accuracy_table(lalm: &Lalm, items: &[ComposedItem]) -> Result<String, PretrainError> {
    let judgements = answers(lalm, items)?;
    let mut rows = BTreeMap::<(String, String), BTreeMap<String, (usize, usize)>>::new();
    for (item, judgement) in items.iter().zip(judgements) {
        let question = &item.question;
        let row = rows.entry((question.task.clone(), question.sub_category.clone())).or_default();
        for column in [question.difficulty.clone(), "all".to_owned()] {
            let (hits, total) = row.entry(column).or_default();
            *hits += usize::from(judgement.verdict == Verdict::Correct);
            *total += 1;
        }
    }
    let mut table =
        "| modality | family | easy | medium | hard | all | n |\n|---|---|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for ((task, family), row) in &rows {
        let cell = |name: &str| match row.get(name) {
            Some((hits, total)) if *total > 0 => format!("{:.2}", *hits as f64 / *total as f64),
            _ => "-".to_owned(),
        };
        let total = row.get("all").map_or(0, |(_, total)| *total);
        let cells = ["easy", "medium", "hard", "all"].map(cell).join(" | ");
        table.push_str(&format!("| {task} | {family} | {cells} | {total} |\n"));
    }
    Ok(table)
}
