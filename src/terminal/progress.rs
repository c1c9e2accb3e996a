//! Progress of a long job on standard error: a bar on a terminal, one plain line per 5 % elsewhere.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use idk_common::progress::{Display, Progress};
use idk_common::text::{ellipsis, terminal_safe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Lines that a job prints where there is no terminal: one per 5 %.
const LINES_PER_JOB: u64 = 20;

/// Longest message next to the bar, in characters: a terminal line holds little more.
const MAX_MESSAGE_CHARS: usize = 120;

/// Starts the clock of a job of `total` units and shows it on standard error: on a terminal as a bar, else as lines.
///
/// Uses no colour, so `NO_COLOR` has nothing to switch off. Never fails: a closed standard error only means that nobody
/// watches.
pub(crate) fn progress(label: &str, total: u64) -> Progress {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    // Hidden means: no terminal, or one that cannot redraw a line.
    if bar.is_hidden() {
        let out: Box<dyn Write + Send> =
            if cfg!(test) { Box::new(io::sink()) } else { Box::new(io::stderr()) };
        return to_writer(label, total, out);
    }
    let first_position = Arc::new(AtomicU64::new(0));
    let first = Arc::clone(&first_position);
    let bar_pace = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let done = state.pos().saturating_sub(first.load(Ordering::Relaxed));
        let left = state.len().unwrap_or(0).saturating_sub(state.pos());
        // Nobody to tell if the screen is gone.
        let _ = out.write_str(&pace(done, left, state.elapsed()));
    };
    let template = "{prefix} [{bar:28}] {pos}/{len}{pace}  {wide_msg}";
    bar.set_style(
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("pace", bar_pace)
            .progress_chars("=> "),
    );
    bar.set_prefix(terminal_safe(label));
    bar.enable_steady_tick(Duration::from_millis(500));
    Progress::shown(Bar { bar, first_position })
}

/// Plain lines to `out`.
fn to_writer(label: &str, total: u64, out: Box<dyn Write + Send>) -> Progress {
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
    Progress::shown(LinesOfProgress(Mutex::new(lines)))
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    /// Where the job was when this run began.
    first_position: Arc<AtomicU64>,
}

impl Display for Bar {
    fn set_message(&self, message: &str) {
        self.bar.set_message(shown_message(message));
    }

    fn resume_at(&self, units: u64) {
        self.first_position.store(units, Ordering::Relaxed);
        self.bar.reset_elapsed();
        self.bar.set_position(units);
    }

    fn inc(&self, units: u64) {
        self.bar.inc(units);
    }

    fn line(&self, text: &str) {
        self.bar.println(terminal_safe(text));
    }

    fn finish(&self) {
        self.bar.finish();
    }
}

/// Lines instead of a bar, for outputs that are no terminal.
#[derive(Debug)]
struct LinesOfProgress(Mutex<Lines>);

impl Display for LinesOfProgress {
    fn set_message(&self, message: &str) {
        with(&self.0, |lines| lines.message = shown_message(message));
    }

    fn resume_at(&self, units: u64) {
        with(&self.0, |lines| lines.resume_at(units));
    }

    fn inc(&self, units: u64) {
        with(&self.0, |lines| lines.inc(units));
    }

    fn line(&self, text: &str) {
        with(&self.0, |lines| lines.print(&terminal_safe(text)));
    }

    fn finish(&self) {
        with(&self.0, Lines::finish);
    }
}

fn shown_message(message: &str) -> String {
    ellipsis(&terminal_safe(message), MAX_MESSAGE_CHARS)
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

/// `train  45%  90/200  loss 1.234  12.0/s  ETA 9s`
fn state_line(label: &str, position: u64, total: u64, message: &str, done: u64, elapsed: Duration) -> String {
    let percent = (u128::from(position) * 100).checked_div(u128::from(total)).unwrap_or(100);
    let space = if message.is_empty() { "" } else { "  " };
    let pace = pace(done, total.saturating_sub(position), elapsed);
    format!("{label}  {percent}%  {position}/{total}{space}{message}{pace}")
}

/// The rate of the `done` units of this run and the time for those `left`, or the time taken if none are.
fn pace(done: u64, left: u64, elapsed: Duration) -> String {
    let elapsed_s = elapsed.as_secs_f64();
    if done == 0 || elapsed_s == 0.0 {
        return String::new();
    }
    let per_second = done as f64 / elapsed_s;
    let rate = if per_second >= 1.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{:.1} s each", per_second.recip())
    };
    match left {
        0 => format!("  {rate}  in {}", duration(elapsed_s)),
        _ => format!("  {rate}  ETA {}", duration(left as f64 / per_second)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }

        fn job(&self, total: u64) -> Progress {
            to_writer("train", total, Box::new(self.clone()))
        }
    }

    #[test]
    fn a_long_job_prints_one_line_per_five_percent() {
        let screen = Screen::default();
        let progress = screen.job(1000);
        (0..1000).for_each(|_| progress.inc(1));
        progress.finish();
        progress.finish();
        let lines = screen.lines();
        assert_eq!(lines.len(), 20);
        assert!(lines[0].starts_with("train  5%  50/1000"), "{}", lines[0]);
        assert!(lines[19].starts_with("train  100%  1000/1000"), "{}", lines[19]);
    }

    #[test]
    fn a_large_jump_prints_one_line_and_a_stop_half_way_prints_where() {
        let screen = Screen::default();
        let progress = screen.job(200);
        progress.set_message("loss \u{1b}[31m1.25");
        progress.inc(90);
        progress.inc(3);
        progress.finish();
        let lines = screen.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("train  45%  90/200  loss \\u{1b}[31m1.25"), "{}", lines[0]);
        assert!(lines[1].starts_with("train  46%  93/200"), "{}", lines[1]);
    }

    #[test]
    fn a_resumed_job_counts_on_without_repeating_lines() {
        let screen = Screen::default();
        let progress = screen.job(100);
        progress.resume_at(50);
        progress.inc(1);
        assert_eq!(screen.lines().len(), 0);
        progress.inc(4);
        assert!(screen.lines()[0].starts_with("train  55%  55/100"));
    }

    #[test]
    fn an_empty_job_and_one_that_overruns_are_fine() {
        let screen = Screen::default();
        let progress = screen.job(0);
        progress.inc(3);
        progress.finish();
        assert_eq!(screen.lines().len(), 1);
        let screen = Screen::default();
        let progress = screen.job(2);
        progress.inc(u64::MAX);
        progress.inc(u64::MAX);
        assert_eq!(screen.lines().len(), 1);
    }

    #[test]
    fn extra_lines_cannot_carry_escape_sequences() {
        let screen = Screen::default();
        screen.job(10).line("warning: \u{1b}[2J");
        assert_eq!(screen.lines(), ["warning: \\u{1b}[2J"]);
    }

    #[test]
    fn threads_share_one_count() {
        let screen = Screen::default();
        let progress = screen.job(8000);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| progress.inc(1)));
            }
        });
        assert_eq!(screen.lines().len(), 20);
    }

    #[test]
    fn a_line_tells_count_message_rate_and_the_time_left() {
        let line = state_line("train", 60, 200, "loss 0.5", 40, Duration::from_secs(20));
        assert_eq!(line, "train  30%  60/200  loss 0.5  2.0/s  ETA 1m10s");
        let line = state_line("eval", 10, 10, "", 10, Duration::from_secs(4));
        assert_eq!(line, "eval  100%  10/10  2.5/s  in 4s");
        let line = state_line("train", 2, 3, "", 2, Duration::from_secs(5));
        assert_eq!(line, "train  66%  2/3  2.5 s each  ETA 3s");
        let line = state_line("train", 50, 100, "", 0, Duration::from_secs(5));
        assert_eq!(line, "train  50%  50/100");
        assert_eq!(duration(7500.0), "2h05m");
        assert_eq!(duration(59.5), "1m00s");
    }
}
