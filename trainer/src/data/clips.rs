//! The clips of rows, each file read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use idk_audio::AudioError;
use idk_common::progress::Progress;
use idk_model::{Clip, FeatureExtractor, FeatureStore};
use rayon::prelude::*;

use crate::error::TrainError;

/// The clips of rows, each given as its id and the paths of its recordings, as `store` knows or now reads them.
///
/// # Errors
/// [`TrainError::Clip`] with the id of the first row that has a recording which cannot be used.
pub fn clips_of_rows(
    rows: &[(&str, &[String])],
    store: &FeatureStore,
    extractor: &FeatureExtractor,
    progress: impl FnOnce(u64) -> Progress,
) -> Result<Vec<Vec<Clip>>, TrainError> {
    let distinct: BTreeSet<&str> = rows.iter().flat_map(|(_, paths)| *paths).map(String::as_str).collect();
    let bar = progress(distinct.len() as u64);
    let read = |path: &&str| {
        let clip = store.clip(Path::new(path), extractor);
        bar.inc(1);
        clip
    };
    let paths: Vec<&str> = distinct.into_iter().collect();
    let found: Vec<Result<Clip, AudioError>> = paths.par_iter().map(read).collect();
    bar.finish();
    let mut clips: BTreeMap<&str, Clip> = BTreeMap::new();
    let mut errors: BTreeMap<&str, AudioError> = BTreeMap::new();
    for (path, found) in paths.into_iter().zip(found) {
        match found {
            Ok(clip) => drop(clips.insert(path, clip)),
            Err(error) => drop(errors.insert(path, error)),
        }
    }
    for &(id, paths) in rows {
        if let Some(source) = paths.iter().find_map(|path| errors.remove(path.as_str())) {
            return Err(TrainError::Clip { id: id.to_owned(), source: Box::new(source) });
        }
    }
    let of_row =
        |paths: &[String]| paths.iter().filter_map(|path| clips.get(path.as_str()).cloned()).collect();
    Ok(rows.iter().map(|(_, paths)| of_row(paths)).collect())
}
