//! Progress of a long job. Libraries count; their caller decides where to show it.

use std::fmt;

/// Makes the display of a job from its label and its number of units.
pub type NewProgress = fn(&str, u64) -> Progress;

/// Shows how far a job is. Must never fail and may be called from several threads.
pub trait Display: fmt::Debug + Send + Sync {
    /// The text next to the count.
    fn set_message(&self, message: &str);
    /// `units` were done before, as after a resume: they count as done but not for the rate.
    fn resume_at(&self, units: u64);
    /// `units` more are done.
    fn inc(&self, units: u64);
    /// One line of text next to the display.
    fn line(&self, text: &str);
    /// The job is done; may be called again.
    fn finish(&self);
}

/// Counts the units of a job (steps, questions, files).
///
/// May be shared among threads. Wall times go to the display alone, never into a file.
#[derive(Debug)]
pub struct Progress(Option<Box<dyn Display>>);

impl Progress {
    /// A job that `display` shows.
    pub fn shown(display: impl Display + 'static) -> Self {
        Self(Some(Box::new(display)))
    }

    /// Counts nothing and shows nothing, for tests and for callers that print their own results.
    #[must_use]
    pub fn hidden() -> Self {
        Self(None)
    }

    /// The text next to the count, such as the current loss.
    pub fn set_message(&self, message: impl AsRef<str>) {
        self.on_display(|display| display.set_message(message.as_ref()));
    }

    /// Says that `units` were done before, as after a resume: they count as done but not for the rate.
    pub fn resume_at(&self, units: u64) {
        self.on_display(|display| display.resume_at(units));
    }

    /// Says that `units` more are done.
    pub fn inc(&self, units: u64) {
        self.on_display(|display| display.inc(units));
    }

    /// Prints one line of text, such as a warning or the loss on the validation set.
    pub fn line(&self, text: &str) {
        self.on_display(|display| display.line(text));
    }

    /// Shows the final state and stops; later calls change nothing on the screen.
    pub fn finish(&self) {
        self.on_display(|display| display.finish());
    }

    fn on_display(&self, call: impl FnOnce(&dyn Display)) {
        if let Some(display) = &self.0 {
            call(display.as_ref());
        }
    }
}
