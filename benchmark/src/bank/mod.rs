//! The bank: short recordings of single events, notes and words, decoded and sorted into classes and splits.

pub(crate) mod catalog;
mod class;
mod clip;
mod manifest;
mod members;
mod similar;
mod split;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use idk_common::json;
use idk_common::paths::{self, find};
use rayon::prelude::*;

use self::class::ClassLabel;
use self::manifest::{ManifestRow, check};
use self::members::{deal, members, recording_key};
use crate::error::ComposeError;
use crate::mix::{self, Noise, SAMPLE_RATE_HZ};

pub(crate) use self::class::Class;
pub(crate) use self::clip::BankClip;
pub use self::manifest::MANIFEST_FILE;
pub use self::split::Split;

/// The recordings that question sets are rendered from.
#[derive(Debug)]
pub struct Bank {
    pub(crate) clips: Vec<BankClip>,
    pub(crate) classes: Vec<Class>,
    pub(crate) noise: Noise,
}

impl Bank {
    /// Reads `dir/manifest.jsonl` and decodes every clip that it lists.
    ///
    /// Needed keys of a row: `path` (relative to `dir`), `modality`, `family`, `label`, `recording` (what the clip
    /// was cut from: it never crosses splits), `seconds`. Used where present: `package`, `source` (the speaker),
    /// `lang`.
    ///
    /// # Errors
    /// A manifest that is missing, empty or malformed (with the line); a value that cannot be used; a clip that is
    /// missing, outside `dir`, silent or cannot be decoded.
    pub fn load(dir: &Path) -> Result<Self, ComposeError> {
        let manifest = dir.join(MANIFEST_FILE);
        let rows: Vec<ManifestRow> = json::read_jsonl(&manifest)?;
        if rows.is_empty() {
            return Err(ComposeError::EmptyBank { path: manifest });
        }
        for row in &rows {
            check(&manifest, row)?;
        }
        let samples: Vec<Vec<f32>> =
            rows.par_iter().map(|row| decode(dir, &manifest, row)).collect::<Result<_, ComposeError>>()?;
        Ok(Self::of(&rows, samples))
    }

    fn of(rows: &[ManifestRow], samples: Vec<Vec<f32>>) -> Self {
        let splits = deal(rows);
        let clips: Vec<BankClip> = rows
            .iter()
            .zip(samples)
            .map(|(row, samples)| {
                let recording = recording_key(row);
                let split = splits.get(&recording).copied();
                BankClip { recording, split, samples }
            })
            .collect();
        let features = similar::features(&clips);
        let mut classes: Vec<Class> = members(rows)
            .into_iter()
            .map(|((modality, name), labels)| {
                let labels =
                    labels.into_iter().map(|(text, ids)| ClassLabel::new(text, &ids, &clips)).collect();
                Class::new(modality, name, labels)
            })
            .collect();
        for class in &mut classes {
            class.near = similar::neighbours(class, &features);
        }
        Self { clips, classes, noise: Noise::new() }
    }

    /// The modalities of the bank, in alphabetical order.
    #[must_use]
    pub fn modalities(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.classes.iter().map(|class| &class.modality).collect();
        names.into_iter().cloned().collect()
    }

    /// The recordings of each split, in alphabetical order; those that no question uses are in none.
    #[must_use]
    pub fn recordings(&self, split: Split) -> BTreeSet<&str> {
        let of_split = self.clips.iter().filter(|clip| clip.split == Some(split));
        of_split.map(|clip| clip.recording.as_str()).collect()
    }

    /// How many recordings each label has in each split (base, idk, val, test): modality/class -> label -> counts.
    #[must_use]
    pub fn label_table(&self) -> BTreeMap<String, BTreeMap<String, [usize; 4]>> {
        let count = |ids: &Vec<usize>| {
            ids.iter().map(|id| self.clips[*id].recording.as_str()).collect::<BTreeSet<_>>().len()
        };
        let table = self.classes.iter().map(|class| {
            let rows = class.labels.iter().map(|label| {
                let counts = Split::ALL.map(|split| count(&label.clips[split as usize]));
                (label.text.clone(), counts)
            });
            (format!("{}/{}", class.modality, class.name), rows.collect())
        });
        table.collect()
    }
}

/// The folder of the shipped bank: `IDK_BANK` where it is set, else `dataset-builder/bank`, looked for as [`find`] does,
/// `near` being the recipe.
#[must_use]
pub fn default_bank_dir(near: Option<&Path>) -> PathBuf {
    if let Some(dir) = std::env::var_os("IDK_BANK").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    find(Path::new("dataset-builder/bank"), near)
}

fn decode(dir: &Path, manifest: &Path, row: &ManifestRow) -> Result<Vec<f32>, ComposeError> {
    let path = paths::resolve_inside(dir, &row.path)?;
    let audio = idk_audio::load(&path, SAMPLE_RATE_HZ)?;
    mix::prepare(&audio.samples).ok_or_else(|| ComposeError::BadRow {
        path: manifest.to_owned(),
        clip: row.path.clone(),
        what: "the clip is silent".to_owned(),
    })
}
