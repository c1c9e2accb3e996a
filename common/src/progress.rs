//! Progress of a long job, on standard error: a bar on a terminal, one plain line per 5 % elsewhere.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::{ellipsis, terminal_safe};

/// Lines that a job prints where there is no terminal: one per 5 %.
const LINES_PER_JOB: u64 = 20;

/// Longest message beside the bar, in characters: a terminal line holds little more.
const MAX_MESSAGE_CHARS: usize = 120;

/// Counts the units of a job (steps, questions, files) and shows how far it is.
///
/// May be shared among threads. Uses no colour, so `NO_COLOR` has nothing to switch off. Never fails: a closed
/// standard error only means that nobody watches. Wall times go to the screen alone, never into a file.
#[derive(Debug)]
pub struct Progress {
    view: View,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
    Hidden,
}

impl Progress {
    /// Starts the clock of a job of `total` units and, on a terminal, draws the empty bar.
    #[must_use]
    pub fn new(label: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        // Hidden means: no terminal, or one that cannot redraw a line.
        if bar.is_hidden() {
            return Self::to_writer(label, total, Box::new(io::stderr()));
        }
        let template = "{prefix} [{bar:28}] {pos}/{len} {msg} {per_sec} ETA {eta}";
        bar.set_style(
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.set_prefix(terminal_safe(label));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { view: View::Bar(bar) }
    }

    /// Counts nothing and shows nothing, for tests and for callers that print their own results.
    #[must_use]
    pub fn hidden() -> Self {
        Self { view: View::Hidden }
    }

    /// Plain lines to `out`.
    fn to_writer(label: &str, total: u64, out: Box<dyn Write + Send>) -> Self {
        let lines = Lines {
            out,
            label: terminal_safe(label),
            message: String::new(),
            total,
            position: 0,
            first_position: 0,
            printed: 0,
            finished: false,
            start: Instant::now(),
        };
        Self { view: View::Lines(Mutex::new(lines)) }
    }

    /// The text beside the count, such as the current loss.
    pub fn set_message(&self, message: impl Into<String>) {
        let message = ellipsis(&terminal_safe(&message.into()), MAX_MESSAGE_CHARS);
        match &self.view {
            View::Bar(bar) => bar.set_message(message),
            View::Lines(lines) => with(lines, |lines| lines.message = message),
            View::Hidden => {}
        }
    }

    /// Says that `units` were done before, as after a resume: they count as done but not for the rate.
    pub fn resume_at(&self, units: u64) {
        match &self.view {
            View::Bar(bar) => {
                bar.set_position(units);
                bar.reset_eta();
            }
            View::Lines(lines) => with(lines, |lines| lines.resume_at(units)),
            View::Hidden => {}
        }
    }

    /// Says that `units` more are done.
    pub fn inc(&self, units: u64) {
        match &self.view {
            View::Bar(bar) => bar.inc(units),
            View::Lines(lines) => with(lines, |lines| lines.inc(units)),
            View::Hidden => {}
        }
    }

    /// Prints one line of text above the bar, such as a warning or the loss on the validation set.
    pub fn line(&self, text: &str) {
        let text = terminal_safe(text);
        match &self.view {
            View::Bar(bar) => bar.println(text),
            View::Lines(lines) => with(lines, |lines| lines.print(&text)),
            View::Hidden => {}
        }
    }

    /// Shows the final state and stops; later calls change nothing on the screen.
    pub fn finish(&self) {
        match &self.view {
            View::Bar(bar) => bar.finish(),
            View::Lines(lines) => with(lines, Lines::finish),
            View::Hidden => {}
        }
    }
}

/// A panic in another thread must not silence this one.
fn with(lines: &Mutex<Lines>, change: impl FnOnce(&mut Lines)) {
    change(&mut lines.lock().unwrap_or_else(PoisonError::into_inner));
}

struct Lines {
    out: Box<dyn Write + Send>,
    label: String,
    message: String,
    total: u64,
    position: u64,
    first_position: u64,
    /// How many twentieths have had their line.
    printed: u64,
    finished: bool,
    start: Instant,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} {}/{})", self.label, self.position, self.total)
    }
}

impl Lines {
    fn inc(&mut self, units: u64) {
        self.position = self.position.saturating_add(units);
        let reached = self.twentieths();
        if reached > self.printed && !self.finished {
            self.printed = reached;
            self.print_state();
        }
    }

    fn resume_at(&mut self, units: u64) {
        self.position = units;
        self.first_position = units;
        self.printed = self.twentieths();
        self.start = Instant::now();
    }

    /// The last line, unless reaching 100 % has already printed it.
    fn finish(&mut self) {
        if !self.finished && self.printed < LINES_PER_JOB {
            self.print_state();
        }
        self.finished = true;
    }

    fn twentieths(&self) -> u64 {
        let reached = u128::from(self.position.min(self.total)) * u128::from(LINES_PER_JOB);
        reached.checked_div(u128::from(self.total)).unwrap_or(0) as u64
    }

    fn print_state(&mut self) {
        let done = self.position.saturating_sub(self.first_position);
        let line =
            state_line(&self.label, self.position, self.total, &self.message, done, self.start.elapsed());
        self.print(&line);
    }

    fn print(&mut self, line: &str) {
        // One write per line, so that lines of several processes do not mix.
        let _ = self.out.write_all(format!("{line}\n").as_bytes());
        let _ = self.out.flush();
    }
}

/// `train  45%  90/200  loss 1.234  12.0/s  ETA 9s`; the rate is that of the `done` units of this run.
fn state_line(label: &str, position: u64, total: u64, message: &str, done: u64, elapsed: Duration) -> String {
    let percent = (u128::from(position) * 100).checked_div(u128::from(total)).unwrap_or(100);
    let mut line = format!("{label}  {percent}%  {position}/{total}");
    if !message.is_empty() {
        line = format!("{line}  {message}");
    }
    let elapsed_s = elapsed.as_secs_f64();
    if done > 0 && elapsed_s > 0.0 {
        let per_second = done as f64 / elapsed_s;
        let left_s = total.saturating_sub(position) as f64 / per_second;
        line = if left_s > 0.0 {
            format!("{line}  {per_second:.1}/s  ETA {}", duration(left_s))
        } else {
            format!("{line}  {per_second:.1}/s  in {}", duration(elapsed_s))
        };
    }
    line
}

/// `42s`, `3m20s` or `2h05m`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
