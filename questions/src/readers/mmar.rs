//! The shape of MMAR (Ma et al. 2025, arXiv 2505.13032): `MMAR-meta.json` as an array, or as JSON Lines.
//!
//! Its `modality` is also a mix, such as `mix-sound-music`. `language`, `source`, `url` and `timestamp` are kept.

use super::clips::Folder;
use super::fields::Row;
use super::generic::question_of;
use super::shape::FileShape;
use super::{Fault, ReadOptions};
use crate::question::Question;

/// MMAR's rows.
pub(super) const SHAPE: FileShape = FileShape {
    name: "MMAR",
    keys: &[&["audio_path"], &["modality"], &["question"], &["choices"], &["answer", "answerable"]],
    id: &["id"],
    names_rows_by_clip: false,
    read,
};

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    let id = row.id(&["id"])?;
    question_of(row, id, &["audio_path", "audio_id", "audio"], folder, options)
}
