//! One shard on the disk: a line with its identity and the hash of the rest, then its samples as JSON Lines.
//!
//! Hash and samples are in one file, which is written atomically: neither ever exists without the other.

use std::path::Path;

use idk_common::hash::sha256_hex;
use idk_common::{CommonError, fs};
use idk_questions::rows::SampleRow;
use serde::{Deserialize, Serialize};

/// The first line of a shard.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardHeader {
    shard: usize,
    /// SHA-256 of the [`crate::sample::identity::SamplingIdentity`].
    sampling_sha256: String,
    /// SHA-256 of all bytes after this line.
    samples_sha256: String,
}

/// What lies where a shard should be.
#[derive(Debug, PartialEq)]
pub(crate) enum ShardState {
    /// The bytes of its rows, as they were written.
    Samples(Vec<u8>),
    /// Something else.
    Damaged,
    Nothing,
}

/// Writes a shard, whole or not at all.
pub(crate) fn write_shard(
    path: &Path,
    shard: usize,
    sampling_sha256: &str,
    rows: &[SampleRow],
) -> Result<(), CommonError> {
    let encode = |error| CommonError::Encode { path: path.to_owned(), source: error };
    let mut samples = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut samples, row).map_err(encode)?;
        samples.push(b'\n');
    }
    let header = ShardHeader {
        shard,
        sampling_sha256: sampling_sha256.to_owned(),
        samples_sha256: sha256_hex(&samples),
    };
    let mut bytes = serde_json::to_vec(&header).map_err(encode)?;
    bytes.push(b'\n');
    bytes.extend(samples);
    fs::write_atomic(path, &bytes)
}

/// Reads a shard and checks that it is the one that was written.
///
/// # Errors
/// [`CommonError`] if the file is there but cannot be read; a wrong content is [`ShardState::Damaged`].
pub(crate) fn read_shard(
    path: &Path,
    shard: usize,
    sampling_sha256: &str,
) -> Result<ShardState, CommonError> {
    let mut bytes = match fs::read(path) {
        Err(CommonError::NotFound { .. }) => return Ok(ShardState::Nothing),
        read => read?,
    };
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Ok(ShardState::Damaged) };
    let samples = bytes.split_off(end + 1);
    let expected = ShardHeader {
        shard,
        sampling_sha256: sampling_sha256.to_owned(),
        samples_sha256: sha256_hex(&samples),
    };
    let is_whole = serde_json::from_slice::<ShardHeader>(&bytes).is_ok_and(|header| header == expected);
    Ok(if is_whole { ShardState::Samples(samples) } else { ShardState::Damaged })
}

#[cfg(test)]
mod tests {
    use idk_questions::Verdict;

    use super::*;

    fn rows() -> Vec<SampleRow> {
        let row = |sample| SampleRow {
            id: "q".to_owned(),
            sample,
            seed: u64::MAX,
            text: "a\nb".to_owned(),
            verdict: Verdict::Wrong,
            choice: None,
            log_prob: Some(-1.0 / 3.0),
            tokens: None,
        };
        (0..3).map(row).collect()
    }

    #[test]
    fn a_shard_gives_back_its_rows_as_json_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00004.jsonl");
        assert_eq!(read_shard(&path, 4, "model").unwrap(), ShardState::Nothing);
        write_shard(&path, 4, "model", &rows()).unwrap();
        let lines = dir.path().join("rows.jsonl");
        idk_common::json::write_jsonl(&lines, &rows()).unwrap();
        assert_eq!(read_shard(&path, 4, "model").unwrap(), ShardState::Samples(fs::read(&lines).unwrap()));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00004.jsonl");
        write_shard(&path, 4, "model", &rows()).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for bytes in [&changed[..], &whole[..at]] {
                fs::write_atomic(&path, bytes).unwrap();
                assert_eq!(read_shard(&path, 4, "model").unwrap(), ShardState::Damaged, "byte {at}");
            }
        }
    }

    #[test]
    fn a_shard_of_another_place_or_sampling_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00004.jsonl");
        write_shard(&path, 4, "model", &rows()).unwrap();
        assert_eq!(read_shard(&path, 5, "model").unwrap(), ShardState::Damaged);
        assert_eq!(read_shard(&path, 4, "another").unwrap(), ShardState::Damaged);
    }
}
