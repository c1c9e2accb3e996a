//! What every row of chats with recordings is checked for when it is read back.

use std::path::Path;

use idk_common::chat::{Message, audio_count};

use crate::error::BuildError;

/// The error of the row `id` of the file `path`.
pub(crate) fn wrong_row(path: &Path, id: &str, what: &str) -> BuildError {
    BuildError::Dataset { path: path.to_owned(), what: format!("row `{id}`: {what}") }
}

/// Joins the recordings of the row `id` to `dir`, so that they can be opened from anywhere that `dir` can.
///
/// # Errors
/// [`BuildError::Dataset`] if there are more or fewer of them than audio tags in `messages`;
/// [`BuildError::PathNotText`].
pub(crate) fn locate(
    dir: &Path,
    path: &Path,
    id: &str,
    messages: &[Message],
    audios: &mut [String],
) -> Result<(), BuildError> {
    let tags = audio_count(messages);
    if tags != audios.len() {
        let what = format!("{tags} audio tags, but {} recordings", audios.len());
        return Err(wrong_row(path, id, &what));
    }
    for audio in audios {
        let joined = dir.join(&*audio).into_os_string().into_string();
        *audio = joined.map_err(|path| BuildError::PathNotText { path: path.into() })?;
    }
    Ok(())
}

/// Rejects a part of the row `id` that is not one message of the assistant.
///
/// # Errors
/// [`BuildError::Dataset`] naming the part.
pub(crate) fn check_answer(path: &Path, id: &str, part: &str, answer: &[Message]) -> Result<(), BuildError> {
    match answer {
        [message] if message.role == "assistant" => Ok(()),
        _ => Err(wrong_row(path, id, &format!("`{part}` is not one message of the assistant"))),
    }
}
