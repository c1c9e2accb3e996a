//! The run of a base recipe: a new or given model, trained with all its parameters on rendered clips.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use idk_audio::LogMel;
use idk_benchmark::{Bank, ComposeConfig, ComposedItem, Split, Stream};
use idk_common::lock::RunLock;
use idk_common::{Identity, RunDir};
use idk_model::{
    ForwardContext, Lalm, LalmConfig, LalmTokenizer, Message, Prompt, SamplingConfig, SaveDtype, generate,
    train_word_bpe,
};
use idk_questions::{PromptStyle, Verdict, judge, prompt_text};
use idk_trainer::{TrainRun, train_full};
use rayon::prelude::*;

use crate::base::{BaseRows, CAPTION_PROMPT, Dtype, InitConfig, REPEAT_PROMPT};
use crate::recipe::Recipe;
use crate::run::rendered::bank_dir;
use crate::run::{Options, RunError, model_sha256, move_aside};
use crate::terminal::{Failure, StopSignals, print_line, progress, say};

/// Most ids of a new tokenizer.
const VOCAB_LIMIT: usize = 2048;
/// Validation questions that go through the model together.
const VAL_BATCH: usize = 32;

/// Trains a base model and writes it to `model/` in the run folder.
///
/// # Errors
/// Whatever stops it; checkpoints stay, and the same command goes on from the last one.
pub(crate) fn train_base(recipe: &Recipe, options: &Options<'_>) -> Result<(), Failure> {
    let config = recipe.base.clone().unwrap_or_default();
    let bank_dir = bank_dir(&recipe.data);
    let bank = Bank::load(&bank_dir)?;
    let device = idk_model::device(&recipe.model.device)?;
    let lalm = match &recipe.init {
        Some(init) => new_model(init, &bank, recipe)?,
        None => Lalm::load(&recipe.model.path, &device)?,
    };
    // Only once bank and model are there: a wrong path must not cost the earlier run its place.
    if options.fresh {
        move_aside(&recipe.output.dir)?;
    }
    let _lock = RunLock::acquire(&recipe.output.dir)?;
    let dir = RunDir::new(&recipe.output.dir);
    let mut identity = Identity::default()
        .with("bank", idk_common::hash::sha256_file(&bank_dir.join("manifest.jsonl"))?)
        .with("base", serde_json::to_string(&config).unwrap_or_default())
        .with("init", serde_json::to_string(&recipe.init).unwrap_or_default())
        .with("refusal", recipe.build.refusal.clone());
    if recipe.init.is_none() {
        identity.insert("model", model_sha256(&recipe.model.path)?);
    }
    let val = validation_items(&bank, recipe)?;
    // A run that is there keeps its recipe until this one has proved to be the same.
    if !dir.checkpoints().is_dir() {
        write_recipe(recipe, &dir)?;
    }
    let lalm = run_training(recipe, lalm, &bank, &val, &identity, &dir, options.allow_changes)?;
    write_recipe(recipe, &dir)?;

    let model_dir = dir.root.join("model");
    let dtype = match config.dtype {
        Dtype::F32 => SaveDtype::F32,
        Dtype::Bf16 => SaveDtype::Bf16,
    };
    lalm.save(&model_dir, dtype)?;
    report(&Lalm::load(&model_dir, &device)?, &val, &model_dir)
}

fn write_recipe(recipe: &Recipe, dir: &RunDir) -> Result<(), Failure> {
    Ok(idk_common::fs::write_atomic(&dir.recipe(), recipe.to_toml()?.as_bytes())?)
}

fn run_training(
    recipe: &Recipe,
    lalm: Lalm,
    bank: &Bank,
    val: &[ComposedItem],
    identity: &Identity,
    dir: &RunDir,
    allow_changes: &[String],
) -> Result<Lalm, Failure> {
    let config = &recipe.base.clone().unwrap_or_default();
    let mel = lalm.mel.clone();
    let stream = Stream::new(bank, Split::Base)?;
    let rows =
        BaseRows { stream: &stream, config, mel: &mel, refusal: &recipe.build.refusal, seed: recipe.seed };
    let batch_size = recipe.train.rows_per_step();
    let next_batch = |step: u64| Ok(rows.batch(step as usize, batch_size));
    let mut evaluate = |_: u64, lalm: &Lalm| accuracy_by_task(lalm, val).map_err(boxed);
    let stop = StopSignals::watch();
    let base_name = recipe.output.dir.display().to_string();
    let run = TrainRun {
        dir,
        seed: recipe.seed,
        base_name: &base_name,
        identity,
        resume: true,
        allow_changes,
        stop: Some(stop.flag()),
        warn: &|line| say(&format!("warning: {line}")),
        progress,
    };
    let (lalm, report) = train_full(lalm, &next_batch, Some(&mut evaluate), &recipe.train, run)?;
    if stop.came() {
        let (step, terminated) = (report.steps, stop.terminated());
        return Err(RunError::Interrupted { dir: dir.root.clone(), step, terminated }.into());
    }
    idk_evaluator::write_curves(&dir.root, &dir.curves())?;
    Ok(lalm)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn boxed(failure: Failure) -> Box<dyn Error + Send + Sync> {
    failure.to_string().into()
}

/// A model of random weights whose tokenizer knows every word that the bank's questions can hold.
fn new_model(init: &InitConfig, bank: &Bank, recipe: &Recipe) -> Result<Lalm, Failure> {
    let mut texts = idk_benchmark::vocabulary(bank);
    let refusal = &recipe.build.refusal;
    texts.extend(
        [
            CAPTION_PROMPT,
            REPEAT_PROMPT,
            refusal,
            "Audio 1: user\nassistant\nsystem\n",
            "You are a helpful assistant.",
        ]
        .map(str::to_owned),
    );
    texts.push(prompt_header());
    let bpe = train_word_bpe(&texts, VOCAB_LIMIT)?;
    if !bpe.split_words.is_empty() {
        say(&format!("{} words stay in pieces: the vocabulary is full", bpe.split_words.len()));
    }
    let tokenizer = LalmTokenizer::from_bytes(bpe.tokenizer_json, bpe.tokenizer_config_json)?;
    let config = LalmConfig::from_value(Path::new("[init]"), &init.config_json(&tokenizer))?;
    let device = idk_model::device(&recipe.model.device)?;
    Ok(Lalm::init(config, tokenizer, init.mel_config(), recipe.seed, &device)?)
}

/// The words that every lettered prompt has, whatever the question.
fn prompt_header() -> String {
    let question = idk_questions::Question {
        choices: ["x", "y", "z", "w"].map(str::to_owned).to_vec(),
        ..idk_questions::Question::default()
    };
    prompt_text(&question, PromptStyle::Lettered)
}

fn validation_items(bank: &Bank, recipe: &Recipe) -> Result<Vec<ComposedItem>, Failure> {
    let config = ComposeConfig {
        split: "val".to_owned(),
        questions_per_modality: recipe.data.limit_per_task,
        modalities: recipe.data.tasks.clone(),
        seed: recipe.data.seed,
    };
    Ok(idk_benchmark::compose(bank, &config)?)
}

/// One greedy answer to every item: was it right?
fn answers(lalm: &Lalm, items: &[ComposedItem]) -> Result<Vec<bool>, Failure> {
    let greedy = SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        repetition_penalty: 1.0,
        max_new_tokens: 16,
    };
    let mut right = Vec::with_capacity(items.len());
    for batch in items.chunks(VAL_BATCH) {
        let mels: Vec<LogMel> = batch.par_iter().map(|item| lalm.mel.log_mel(&item.samples)).collect();
        let features = lalm.encode_audio(&mels.iter().collect::<Vec<_>>(), &ForwardContext::default())?;
        let mut prompts = Vec::with_capacity(batch.len());
        for ((item, mel), audio) in batch.iter().zip(&mels).zip(features) {
            let text = prompt_text(&item.question, PromptStyle::Lettered);
            let ids = lalm.tokenizer.prompt_ids(&[Message::user(1, &text)], &[lalm.mel.tokens(mel)])?;
            prompts.push(Prompt { ids, audio: vec![audio] });
        }
        let seeds = vec![vec![0]; prompts.len()];
        let generated = generate(lalm, None, &prompts, &greedy, &seeds)?;
        let verdicts = batch.iter().zip(&generated).map(|(item, answers)| {
            answers
                .first()
                .is_some_and(|answer| judge(&answer.text, &item.question).verdict == Verdict::Correct)
        });
        right.extend(verdicts);
    }
    Ok(right)
}

fn accuracy_by_task(lalm: &Lalm, items: &[ComposedItem]) -> Result<BTreeMap<String, f64>, Failure> {
    let right = answers(lalm, items)?;
    let mut groups = BTreeMap::<String, (usize, usize)>::new();
    for (item, right) in items.iter().zip(right) {
        for name in ["accuracy".to_owned(), format!("accuracy_{}", item.question.task)] {
            let (hits, total) = groups.entry(name).or_default();
            *hits += usize::from(right);
            *total += 1;
        }
    }
    Ok(groups.into_iter().map(|(name, (hits, total))| (name, hits as f64 / total.max(1) as f64)).collect())
}

/// Prints accuracy by family and difficulty on the validation split.
fn report(lalm: &Lalm, items: &[ComposedItem], model_dir: &Path) -> Result<(), Failure> {
    let right = answers(lalm, items)?;
    let mut rows = BTreeMap::<(String, String), BTreeMap<String, (usize, usize)>>::new();
    for (item, right) in items.iter().zip(right) {
        let question = &item.question;
        let row = rows.entry((question.task.clone(), question.sub_category.clone())).or_default();
        for column in [question.difficulty.clone(), "all".to_owned()] {
            let (hits, total) = row.entry(column).or_default();
            *hits += usize::from(right);
            *total += 1;
        }
    }
    print_line("| modality | family | easy | medium | hard | all | n |")?;
    print_line("|---|---|---:|---:|---:|---:|---:|")?;
    for ((task, family), row) in &rows {
        let cell = |name: &str| match row.get(name) {
            Some((hits, total)) if *total > 0 => format!("{:.2}", *hits as f64 / *total as f64),
            _ => "-".to_owned(),
        };
        let total = row.get("all").map_or(0, |(_, total)| *total);
        let cells = ["easy", "medium", "hard", "all"].map(cell).join(" | ");
        print_line(&format!("| {task} | {family} | {cells} | {total} |"))?;
    }
    say(&format!("model     {}", model_dir.display()));
    Ok(())
}
