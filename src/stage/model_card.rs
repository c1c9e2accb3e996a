//! `adapter/README.md`: what the adapter is, what it was made from, its results and limits, how to load it.
//!
//! It holds no time and no path: the same run gives the same bytes.

use std::fmt::Write as _;
use std::path::Path;

use idk_common::fs;
use idk_common::text::{markdown, markdown_code as code, quoted};
use idk_dataset_builder::DatasetManifest;
use idk_evaluator::{Method, Results};
use idk_model::{ARCHITECTURES, LalmConfig};
use idk_questions::metrics::{show, show_signed, show_with};
use idk_trainer::AllowedChange;
use serde_json::Value;

use crate::recipe::Recipe;
use crate::run::folder_name;
use crate::run::rows::row_count;
use crate::terminal::Failure;

/// Name of the card in the adapter's folder. PEFT does not read it.
pub(crate) const CARD_FILE: &str = "README.md";
/// Keys of a base model's own card that say what may be done with what is made of it.
const LICENCE_KEYS: [&str; 3] = ["license", "license_name", "license_link"];
/// Longest value that is taken over from the base model's card.
const MAX_VALUE_CHARS: usize = 200;

/// What a card is about.
pub(crate) struct ModelCard<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) dataset: &'a DatasetManifest,
    /// Optimiser steps of the adapter.
    pub(crate) steps: u64,
    /// What the run went on with although it was started with something else.
    pub(crate) changes: &'a [AllowedChange],
    /// Once it is evaluated.
    pub(crate) results: Option<&'a Results>,
}

impl ModelCard<'_> {
    /// Writes the card into the adapter's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, adapter: &Path) -> Result<(), Failure> {
        let base = Base::of(&self.recipe.model.path);
        Ok(fs::write_atomic(&adapter.join(CARD_FILE), self.text(&base).as_bytes())?)
    }

    fn text(&self, base: &Base) -> String {
        let mut text = base.front_matter();
        let name = markdown(&base.name);
        let refusals: Vec<String> = self
            .dataset
            .config
            .refusal_texts()
            .iter()
            .map(|text| format!("\"{}\"", markdown(text)))
            .collect();
        let refusals = refusals.join(" or ");
        let _ = write!(
            text,
            "\n# \"I don't know\" for {name}\n\nA LoRA adapter that teaches {name} to say {refusals} where it does not know \
             the answer to a question about a recording, and to keep answering where it does.\n"
        );
        self.push_dataset(&mut text);
        self.push_settings(&mut text);
        self.push_results(&mut text);
        self.push_limits(&mut text, &name);
        push_use(&mut text, base);
        text
    }

    fn push_dataset(&self, text: &mut String) {
        let (counts, config) = (&self.dataset.counts, &self.dataset.config);
        let _ = write!(
            text,
            "\n## Data\n\nEach question was answered {n} times by the base model at temperature {temperature}. With at least \
             {k} right answers it is known and its answer is the target; otherwise it is unknown and the target is the \
             refusal.\n\n| | |\n|---|---:|\n| questions (`{questions}`) | {kept} |\n| known | {known} |\n| unknown | \
             {unknown} |\n| {rows} | {row_count} |\n",
            n = config.n_samples,
            k = config.k,
            temperature = config.temperature,
            questions = code(&self.dataset.provenance.questions),
            kept = counts.kept,
            known = counts.known,
            unknown = counts.unknown,
            rows = self.recipe.train.method.describe().unit,
            row_count = row_count(self.recipe, counts),
        );
        if let Some(share) = config.max_idk_share {
            let _ = write!(
                text,
                "\nAt most {share} of the rows may have the refusal as their target (`max_idk_share`); what was more was left out \
                 at random.\n"
            );
        }
    }

    fn push_settings(&self, text: &mut String) {
        let (recipe, train) = (self.recipe, &self.recipe.train);
        let mut rows: Vec<(&str, String)> = vec![("seed", recipe.seed.to_string())];
        let keys: &[&str] = &["rank", "alpha", "dropout", "rslora", "modules", "target_modules", "init"];
        rows.extend(values(&recipe.lora, keys));
        let keys = [
            "method",
            "epochs",
            "max_steps",
            "batch_size",
            "gradient_accumulation_steps",
            "learning_rate",
            "schedule",
        ];
        rows.extend(values(train, &keys));
        rows.extend(values(&recipe.method().section(), recipe.train.method.describe().keys));
        rows.push(("steps", self.steps.to_string()));
        text.push_str("\n## Training\n\n| | |\n|---|---|\n");
        for (name, value) in rows {
            let _ = writeln!(text, "| {name} | `{}` |", code(&value));
        }
        if self.changes.is_empty() {
            return;
        }
        text.push_str("\nThe recipe was changed while it was trained:\n\n| after step | key | before | then |\n|---:|---|---|---|\n");
        for AllowedChange { step, key, then, now } in self.changes {
            let _ = writeln!(text, "| {step} | `{}` | `{}` | `{}` |", code(key), code(then), code(now));
        }
    }

    fn push_results(&self, text: &mut String) {
        text.push_str("\n## Results\n\n");
        let adapter = self
            .results
            .and_then(|results| results.methods.iter().find(|found| found.method == Method::Adapter));
        let (Some(results), Some(adapter)) = (self.results, adapter) else {
            text.push_str("Not evaluated yet.\n");
            return;
        };
        let questions = results.provenance.get("questions").map_or("", String::as_str);
        let _ = write!(
            text,
            "On `{}`, the base model before, the adapter after, in percent. RGI = log10(wrong answers gone / right answers \
             lost), with its 95 % interval; next to it that of refusing as many questions at random.\n\n\
             | test | n | Acc | Tru | Rel | refused | RGI | at random |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
            code(questions)
        );
        let percent = |value: Option<f64>| show(value, 1);
        for row in &adapter.tasks {
            let found = &row.comparison;
            let both = |pair: &idk_questions::metrics::BeforeAfter<Option<f64>>| {
                format!("{} → {}", percent(pair.before), percent(pair.after))
            };
            let rgi = match (found.rgi, found.rgi_ci95) {
                (Some(rgi), Some([low, high])) => format!("{rgi:+.2} [{low:+.2}, {high:+.2}]"),
                (Some(rgi), None) => format!("{rgi:+.2}"),
                (None, _) => show_with(found.rgi_reason.clone(), |reason| reason),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {rgi} | {} |",
                markdown(&row.task),
                found.n,
                both(&found.acc),
                both(&found.tru),
                both(&found.rel),
                both(&found.refusal_rate),
                show_signed(found.random_rgi_of_refusals(), 2),
            );
        }
    }

    fn push_limits(&self, text: &mut String, name: &str) {
        let tasks = &self.recipe.data.tasks;
        let heard = if tasks.is_empty() {
            "every kind of recording in its question set".to_owned()
        } else {
            tasks.iter().map(|task| markdown(task)).collect::<Vec<_>>().join(", ")
        };
        let _ = write!(
            text,
            "\n## Limits\n\n- It refuses what {name} did not get right consistently. What another model, or another version \
             of this one, does not know is something else.\n- It was trained on {heard}. On other recordings it may refuse \
             too much, or hardly at all; measure before you rely on it.\n- An answer that is not a refusal may still be \
             wrong, and some right answers are lost to refusing: see the table.\n- It has seen one way of asking. Other \
             wordings, open questions where it was trained with options, and longer chats are not measured here.\n"
        );
    }
}

fn push_use(text: &mut String, base: &Base) {
    let _ = write!(
        text,
        "\n## Use\n\n```python\nfrom peft import PeftModel\nfrom transformers import AutoProcessor, \
         {class}\n\nbase = {name}\nmodel = \
         {class}.from_pretrained(base)\nmodel = PeftModel.from_pretrained(model, \
         \"path/to/this/folder\")\nprocessor = AutoProcessor.from_pretrained(base)\n```\n",
        class = base.class,
        name = quoted(&base.name.replace("```", "")),
    );
}

/// Keys of a section with their values, those that the section has.
fn values<'a>(config: &impl serde::Serialize, keys: &[&'a str]) -> Vec<(&'a str, String)> {
    let config = serde_json::to_value(config).unwrap_or_default();
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let found = keys.iter().filter_map(|key| Some((*key, config.get(key)?)));
    found.filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, shown(value))).collect()
}

/// What is known of the base model from its folder.
struct Base {
    /// As on the Hub, where the folder says so, else the folder's name.
    name: String,
    /// The class of transformers that loads it.
    class: &'static str,
    /// Lines of its card's front matter about the licence.
    licence: Vec<(String, String)>,
}

impl Base {
    /// Reads the folder; what is not there, or not readable, is not known.
    fn of(dir: &Path) -> Self {
        let name = hub_name(dir).unwrap_or_else(|| folder_name(dir));
        let card = fs::read_to_string(&dir.join(CARD_FILE)).unwrap_or_default();
        let family = LalmConfig::from_dir(dir).map_or(ARCHITECTURES[0], |config| config.architecture);
        Self { name, class: family.transformers_class, licence: licence(&card) }
    }

    /// As the Hugging Face Hub reads it.
    fn front_matter(&self) -> String {
        let mut text = format!(
            "---\nbase_model: {}\nlibrary_name: peft\npipeline_tag: audio-text-to-text\n",
            quoted(&self.name)
        );
        for (key, value) in &self.licence {
            let _ = writeln!(text, "{key}: {}", quoted(value));
        }
        text.push_str("tags:\n- lora\n- audio\n- question-answering\n- refusal\n---\n");
        text
    }
}

/// What an adapter calls its base model: the model's name on the Hub if its folder says so, else a path below the current
/// folder as it stands, else the folder's name. An adapter is published, and must not say where its maker keeps files.
pub(crate) fn base_name(dir: &Path) -> String {
    let below = dir.to_str().filter(|path| idk_common::paths::is_plain_relative(path));
    let own = || below.map_or_else(|| folder_name(dir), str::to_owned);
    hub_name(dir).unwrap_or_else(own)
}

/// The name of a model folder on the Hub, as its configuration has it.
fn hub_name(dir: &Path) -> Option<String> {
    let config = idk_common::json::read_json::<Value>(&dir.join("config.json")).ok()?;
    let name = config.get("_name_or_path")?.as_str()?;
    is_hub_name(name).then(|| name.to_owned())
}

/// `owner/name`, as the Hub names models.
fn is_hub_name(name: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    name.len() <= MAX_VALUE_CHARS
        && name.split_once('/').is_some_and(|(owner, name)| is_plain(owner) && is_plain(name))
}

/// The licence lines of a card's front matter: plain `key: value` only.
fn licence(card: &str) -> Vec<(String, String)> {
    let mut lines = card.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Vec::new();
    }
    let front = lines.take_while(|line| line.trim_end() != "---");
    let pairs = front.filter_map(|line| line.split_once(':'));
    let plain = pairs.map(|(key, value)| (key, value.trim().trim_matches(['"', '\''])));
    let wanted = plain.filter(|(key, value)| {
        let one_value = !value.is_empty() && !value.starts_with(['[', '{', '|', '>', '&', '*', '#', '-']);
        LICENCE_KEYS.contains(key) && one_value && value.chars().count() <= MAX_VALUE_CHARS
    });
    wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_taken_over_only_where_the_base_says_one_plainly() {
        let card = "---\nlicense: other\nlicense_name: \"tongyi\"\ntags: [license]\n---\nlicense: mit\n";
        let found = licence(card);
        assert_eq!(
            found,
            [("license", "other"), ("license_name", "tongyi")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        for card in [
            "",
            "# no front matter\nlicense: mit\n",
            "---\nlicense:\n- mit\n---\n",
            "---\nlicense: [mit]\n---\n",
        ] {
            assert_eq!(licence(card), [], "{card}");
        }
    }

    #[test]
    fn a_base_is_called_as_on_the_hub_where_its_folder_says_so() {
        assert!(is_hub_name("Qwen/Qwen2-Audio-7B-Instruct"));
        for name in ["", "/home/me/model", "model", "a/b/c", "../x", "a/b\n---", "a /b"] {
            assert!(!is_hub_name(name), "{name}");
        }
    }

    #[test]
    fn names_and_refusals_cannot_become_markup_or_end_the_front_matter() {
        assert_eq!(markdown("a|b <i> `c` [d](e)\n# f"), "a\\|b &lt;i> \\`c\\` \\[d\\](e)\\\\u{a}\\# f");
        assert_eq!(code("a`b|c"), "a'b\\|c");
        let base = Base { name: "x\"\n---\nevil: true".to_owned(), class: "", licence: Vec::new() };
        let front = base.front_matter();
        assert_eq!(front.lines().filter(|line| *line == "---").count(), 2, "{front}");
        assert!(!front.lines().any(|line| line.starts_with("evil")), "{front}");
    }
}
