//! How a build talks to whoever started it: progress, warnings, and being asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use idk_common::progress::{NewProgress, Progress};

/// What a long build shows and listens to. None of it changes a byte of the dataset.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Makes the bar of a stage from its name and number of units.
    pub progress: NewProgress,
    /// Set from outside to stop after the shard that is being sampled.
    pub stop: Option<&'a AtomicBool>,
    /// Called with each warning, one line.
    pub warn: &'a (dyn Fn(&str) + Sync),
}

impl Control<'_> {
    /// Shows nothing and never stops.
    pub fn silent() -> Control<'static> {
        Control { progress: |_, _| Progress::hidden(), stop: None, warn: &|_| {} }
    }

    /// Whether the build was asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}
