//! Which class, label and split the rows of a manifest belong to.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{self, class_of};
use super::manifest::ManifestRow;
use super::split::{LabelRecordings, Split, deal_class};

/// Modality and class.
type ClassKey = (String, String);
/// Source (the speaker) and recording.
type SourcedRecording = (String, String);

/// What must not cross splits: package and recording.
pub(crate) fn recording_key(row: &ManifestRow) -> String {
    format!("{}/{}", row.package, row.recording)
}

/// The split of every recording.
pub(crate) fn deal(rows: &[ManifestRow]) -> BTreeMap<String, Split> {
    let mut classes: BTreeMap<ClassKey, BTreeMap<String, BTreeSet<SourcedRecording>>> = BTreeMap::new();
    for row in rows {
        let (class, label) = class_of(&row.family, &row.label);
        let labels = classes.entry((row.modality.trim().to_lowercase(), class)).or_default();
        let source = row.source.clone().unwrap_or_default();
        labels.entry(label).or_default().insert((source, recording_key(row)));
    }
    let mut splits = BTreeMap::new();
    for ((modality, class), labels) in classes {
        let labels: Vec<LabelRecordings> = labels
            .into_iter()
            .map(|(label, recordings)| LabelRecordings {
                name: format!("{modality}/{class}/{label}"),
                recordings: unique_recordings(recordings),
            })
            .collect();
        deal_class(&labels, &mut splits);
    }
    splits
}

/// Keeps the first source of a recording that is listed under several.
fn unique_recordings(recordings: BTreeSet<SourcedRecording>) -> Vec<SourcedRecording> {
    let mut seen = BTreeSet::new();
    recordings.into_iter().filter(|(_, recording)| seen.insert(recording.clone())).collect()
}

type Members = BTreeMap<ClassKey, BTreeMap<String, Vec<usize>>>;

/// The clips of every label of every class, the two derived classes of speech included: English words are also clips
/// of the language, and every speaker of the word classes is a voice.
pub(crate) fn members(rows: &[ManifestRow]) -> Members {
    let mut classes = Members::new();
    for (id, row) in rows.iter().enumerate() {
        let (class, label) = class_of(&row.family, &row.label);
        classes
            .entry((row.modality.trim().to_lowercase(), class))
            .or_default()
            .entry(label)
            .or_default()
            .push(id);
    }
    for (id, row) in rows.iter().enumerate() {
        let (class, _) = class_of(&row.family, &row.label);
        let modality = row.modality.trim().to_lowercase();
        if modality != "speech" || class == catalog::LANGUAGE {
            continue;
        }
        let languages = classes.get_mut(&(modality.clone(), catalog::LANGUAGE.to_owned()));
        if let (Some(languages), Some(code)) = (languages, &row.lang) {
            let (_, language) = class_of("phrase", code);
            if let Some(clips) = languages.get_mut(&language) {
                clips.push(id);
            }
        }
        if let Some(speaker) = &row.source {
            let voices = classes.entry((modality, catalog::SPEAKER.to_owned())).or_default();
            voices.entry(speaker.clone()).or_default().push(id);
        }
    }
    classes
}
