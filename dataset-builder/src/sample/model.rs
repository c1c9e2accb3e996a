//! The model that is sampled, with its folder or without.

use std::path::Path;

use idk_audio::AudioError;
use idk_common::Problem;
use idk_model::{Answerer, Clip, FeatureExtractor, Lalm};

use crate::error::BuildError;

/// The model that is sampled.
#[derive(Clone, Copy)]
pub enum SampledModel<'a> {
    /// A model in this program, or the folder that a server serves: of that the tokenizer and the audio settings.
    Folder(&'a Answerer<'a>),
    /// A model that a server has, without its folder: how recordings are sent. What needs a tokenizer is left out: the
    /// check that a prompt fits, and the comparison of prompts.
    Server(&'a FeatureExtractor),
}

impl<'a> SampledModel<'a> {
    /// The recording in a file.
    ///
    /// # Errors
    /// As [`Answerer::clip`].
    pub(crate) fn clip(self, path: &Path) -> Result<Clip, AudioError> {
        match self {
            Self::Folder(answerer) => answerer.clip(path),
            Self::Server(audio) => Clip::of_file(path, audio),
        }
    }

    /// How recordings are read.
    pub(crate) fn audio(self) -> &'a FeatureExtractor {
        match self {
            Self::Folder(answerer) => &answerer.lalm.mel,
            Self::Server(audio) => audio,
        }
    }

    /// The folder's model.
    pub fn lalm(self) -> Option<&'a Lalm> {
        match self {
            Self::Folder(answerer) => Some(answerer.lalm),
            Self::Server(_) => None,
        }
    }

    /// The model that answers in this program.
    ///
    /// # Errors
    /// [`BuildError::Config`] without a folder.
    pub(crate) fn answerer(self) -> Result<&'a Answerer<'a>, BuildError> {
        match self {
            Self::Folder(answerer) => Ok(answerer),
            Self::Server(_) => {
                let what = "must name a folder: only a server is sampled without one";
                Err(BuildError::Config { problems: vec![Problem::of_key("model", "path", what)] })
            }
        }
    }
}
