//! Why a question cannot be used: the codes of [`Rejection`], from the reader, the recordings and the screening.
//!
//! The comments of the codes are the table in `docs/reference/dataset.md`.

use std::collections::BTreeMap;

use idk_common::text::terminal_safe;

use crate::Rejection;

// Of the reader.

/// the line is not JSON; in an array, whose rows only brackets and commas tell apart, an error between rows stops the file
pub const NOT_JSON: &str = "not-json";
/// the row is not a JSON object
pub const NOT_AN_OBJECT: &str = "not-an-object";
/// id, clip, question, options or answer are missing or empty
pub const MISSING_FIELD: &str = "missing-field";
/// a field has a type or content that it cannot have; a csv row has too many or too few fields, or one over several lines
pub const BAD_FIELD: &str = "bad-field";
/// a text has more than 65,536 characters, or the row more than 4 MiB
pub const TOO_LONG: &str = "too-long";
/// a text holds a token that steers a model, such as `<|im_end|>` or `<audio>`
pub const RESERVED_TOKEN: &str = "reserved-token";
/// one option; there must be two or more, or none
pub const TOO_FEW_CHOICES: &str = "too-few-choices";
/// more than 26 options
pub const TOO_MANY_CHOICES: &str = "too-many-choices";
/// two options are the same but for case, spaces and punctuation around words
pub const DUPLICATE_CHOICES: &str = "duplicate-choices";
/// the answer is none of the options
pub const ANSWER_NOT_IN_CHOICES: &str = "answer-not-in-choices";
/// too few annotators give the same answer
pub const NO_AGREEMENT: &str = "no-agreement";
/// an earlier row has the same id
pub const DUPLICATE_ID: &str = "duplicate-id";
/// a clip's path is absolute, has `..`, or leads out of the folder through a link (but to the `blobs` of its Hub cache)
pub const BAD_PATH: &str = "bad-path";
/// more than 16 clips
pub const TOO_MANY_CLIPS: &str = "too-many-clips";

// Of a recording.

/// a clip does not exist, is no regular file, or is a Git LFS pointer (`git lfs pull` fetches it)
pub const MISSING_AUDIO: &str = "missing-audio";
/// a clip is a folder, a pipe or a device
pub const AUDIO_NOT_A_FILE: &str = "audio-not-a-file";
/// a clip has no samples
pub const EMPTY_AUDIO: &str = "empty-audio";
/// a clip ends before the audio that its header announces
pub const TRUNCATED_AUDIO: &str = "truncated-audio";
/// a clip is larger, or decodes to more samples, than is read
pub const AUDIO_TOO_LONG: &str = "audio-too-long";
/// a clip is too short to give the model one audio token
pub const AUDIO_TOO_SHORT: &str = "audio-too-short";
/// a sample of a clip is NaN, infinite, or louder than any recording (10,000 times full scale)
pub const NON_FINITE_AUDIO: &str = "non-finite-audio";
/// a clip is in a format that is not read
pub const UNSUPPORTED_AUDIO: &str = "unsupported-audio";
/// a clip is of a known format and damaged
pub const CORRUPT_AUDIO: &str = "corrupt-audio";
/// the decoder failed on a clip
pub const AUDIO_DECODER_PANIC: &str = "audio-decoder-panic";
/// the system could not read a clip
pub const UNREADABLE_AUDIO: &str = "unreadable-audio";
/// a clip could not be opened for another reason
pub const FILE_ERROR: &str = "file-error";

// Of the screening, before anything is sampled or answered.

/// the prompt cannot be made of this question
pub const BAD_PROMPT: &str = "bad-prompt";
/// the prompt and the longest answer have more tokens than the model has positions
pub const PROMPT_TOO_LONG: &str = "prompt-too-long";
/// a refusal that is trained reads as one of the options
pub const REFUSAL_IS_AN_OPTION: &str = "refusal-is-an-option";

/// Every code.
pub const ALL: [&str; 29] = [
    NOT_JSON,
    NOT_AN_OBJECT,
    MISSING_FIELD,
    BAD_FIELD,
    TOO_LONG,
    RESERVED_TOKEN,
    TOO_FEW_CHOICES,
    TOO_MANY_CHOICES,
    DUPLICATE_CHOICES,
    ANSWER_NOT_IN_CHOICES,
    NO_AGREEMENT,
    DUPLICATE_ID,
    BAD_PATH,
    TOO_MANY_CLIPS,
    MISSING_AUDIO,
    AUDIO_NOT_A_FILE,
    EMPTY_AUDIO,
    TRUNCATED_AUDIO,
    AUDIO_TOO_LONG,
    AUDIO_TOO_SHORT,
    NON_FINITE_AUDIO,
    UNSUPPORTED_AUDIO,
    CORRUPT_AUDIO,
    AUDIO_DECODER_PANIC,
    UNREADABLE_AUDIO,
    FILE_ERROR,
    BAD_PROMPT,
    PROMPT_TOO_LONG,
    REFUSAL_IS_AN_OPTION,
];

/// How many questions each code has rejected.
#[must_use]
pub fn counts(rejected: &[Rejection]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for rejection in rejected {
        *counts.entry(rejection.reason.clone()).or_default() += 1;
    }
    counts
}

/// Counts as text: `1 bad-path, 2 missing-field`.
#[must_use]
pub fn listed(counts: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.join(", ")
}

/// How many questions each code has rejected, and the first of them: its id and what is wrong with it.
#[must_use]
pub fn with_first(rejected: &[Rejection]) -> BTreeMap<String, (usize, String)> {
    let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for rejection in rejected {
        let first = || (0, format!("`{}`: {}", rejection.id, rejection.detail));
        reasons.entry(rejection.reason.clone()).or_insert_with(first).0 += 1;
    }
    reasons
}

/// Those as text: `1 bad-path (the first: ...)`.
#[must_use]
pub fn listed_with_first(reasons: &BTreeMap<String, (usize, String)>) -> String {
    let part = |(reason, (count, first)): (&String, &(usize, String))| {
        format!("{count} {reason} (the first: {})", terminal_safe(first))
    };
    reasons.iter().map(part).collect::<Vec<_>>().join(", ")
}
