//! Why a row of a question set cannot be used: the codes of [`crate::Rejection`].

/// The row is not JSON.
pub const NOT_JSON: &str = "not-json";
/// The row is not a JSON object.
pub const NOT_AN_OBJECT: &str = "not-an-object";
/// The id, the clip, the question or the answer is missing or empty.
pub const MISSING_FIELD: &str = "missing-field";
/// A field has a type or content that it cannot have.
pub const BAD_FIELD: &str = "bad-field";
/// A field is longer than [`idk_common::limits::MAX_FIELD_CHARS`], or the row than
/// [`idk_common::limits::MAX_ROW_BYTES`].
pub const TOO_LONG: &str = "too-long";
/// A text holds a token that steers the model, such as `<|AUDIO|>` or `<audio>`.
pub const RESERVED_TOKEN: &str = "reserved-token";
/// One option; there must be two or more, or none.
pub const TOO_FEW_CHOICES: &str = "too-few-choices";
/// More options than letters.
pub const TOO_MANY_CHOICES: &str = "too-many-choices";
/// Two options are the same but for case, spaces and punctuation around words.
pub const DUPLICATE_CHOICES: &str = "duplicate-choices";
/// The answer is not one of the options.
pub const ANSWER_NOT_IN_CHOICES: &str = "answer-not-in-choices";
/// Too few annotators give the same answer.
pub const NO_AGREEMENT: &str = "no-agreement";
/// An earlier row has the same id.
pub const DUPLICATE_ID: &str = "duplicate-id";
/// A clip's path is absolute, has `..`, or leads out of the set's folder through a link (but for those of the
/// Hub's cache).
pub const BAD_PATH: &str = "bad-path";
/// A clip is not there, is no regular file, or is a Git LFS pointer.
pub const MISSING_AUDIO: &str = "missing-audio";
/// More clips than [`idk_common::limits::MAX_CLIPS`].
pub const TOO_MANY_CLIPS: &str = "too-many-clips";

/// Every code above.
pub const ALL: [&str; 15] = [
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
    MISSING_AUDIO,
    TOO_MANY_CLIPS,
];
