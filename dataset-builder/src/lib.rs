//! Builds the IDK dataset: samples a base model N times for each question, judges every answer, labels a
//! question *known* if at least K of the N are right, and writes the rows that teach the model to refuse the rest.

mod answers;
mod build;
mod card;
mod config;
mod control;
mod decided;
mod error;
mod export;
mod finish;
mod fold;
mod identity;
mod inspect;
mod joined;
mod label;
mod manifest;
mod merge;
mod pairs;
mod part;
mod question_row;
mod read;
mod relabel;
mod sample;
mod sampled;
mod screen;
mod served;
mod shard_file;
mod shards;
mod shares;
mod write;

pub use answers::sample_answers;
pub use build::{BuildInputs, BuildReport, PartReport, Provenance, build, sample_part};
pub use config::{BuildConfig, OptionOrder, Sampler, Target};
pub use control::Control;
pub use error::{BuildError, stopped_at};
pub use export::{Exported, Format, Paths, export};
pub use finish::{complete, finish};
pub use identity::{SamplingIdentity, SamplingSettings};
pub use inspect::{ExampleRow, Inspection, inspect};
pub use manifest::{Counts, DatasetManifest, MANIFEST_FILE};
pub use merge::SampledParts;
pub use pairs::{read_dpo, read_dpo_val};
pub use part::Part;
pub use question_row::QuestionRow;
pub use read::{read_labels, read_manifest, read_sft, read_sft_val, verify};
pub use relabel::{relabel, relabel_to};
pub use sampled::{Sampled, Screening};
pub use shards::{partial_sampling, remove_shards};
pub use shares::{IdkShares, Share};
pub use write::{
    DPO_FILE, DPO_VAL_FILE, DpoRow, LABELS_FILE, QUESTIONS_FILE, README_FILE, REJECTED_FILE, SAMPLES_FILE,
    SFT_FILE, SFT_VAL_FILE,
};
