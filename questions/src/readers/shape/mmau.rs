//! The shape of MMAU, which is also the one that this project writes.
//!
//! Source: `mmau-test-mini.json` of Sakshi113/MMAU (Sakshi et al. 2024, arXiv 2410.19168), before and after its
//! revision of May 2025. Variants that exist in the wild are read as well: rows without `id` (the first release),
//! `category` as a list, `choices` as a JSON text, options that bring their own letters.

use super::FileShape;
use super::generic::question_of;
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::Row;
use crate::readers::{Fault, ReadOptions};

/// MMAU's rows.
pub(super) const SHAPE: FileShape = FileShape {
    name: "MMAU",
    keys: &[&["audio_id"], &["question"], &["choices"], &["answer", "answerable"]],
    id: &["id"],
    names_rows_by_clip: true,
    read,
};

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    // An `id` that is there must hold something; the first release has none at all.
    let id = if row.get("id").is_some() { row.id(&["id"])? } else { String::new() };
    question_of(row, id, &["audio_id", "audio", "audio_path"], folder, options)
}
