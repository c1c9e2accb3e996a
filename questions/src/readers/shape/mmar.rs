//! The shape of MMAR (Ma et al. 2025, arXiv 2505.13032): `MMAR-meta.json` as an array, or as JSON Lines.
//!
//! Its `modality` is also a mix, such as `mix-sound-music`. `language`, `source`, `url` and `timestamp` are kept.

use super::FileShape;
use super::generic::question_of;
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::Row;
use crate::readers::{Fault, ReadOptions};

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
