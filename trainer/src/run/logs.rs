//! The logs of a run: `metrics.jsonl` and TensorBoard events, with the metric names of TRL.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use idk_common::{RunDir, fs, json};
use serde_json::{Map, Value};

use crate::error::TrainError;
use crate::run::tensorboard::EventFile;

/// Appends rows to `metrics.jsonl` and to an event file.
///
/// `metrics.jsonl` holds no wall times: the same run writes the same bytes, resumed or not. The events carry them.
#[derive(Debug)]
pub(crate) struct Logs {
    path: PathBuf,
    file: File,
    /// Made with the first row: a run that is opened when it is done leaves no empty file.
    events: Option<EventFile>,
    dir: PathBuf,
    resumed_at: Option<u64>,
}

impl Logs {
    /// Opens the logs of a run that stands after `step` steps.
    ///
    /// Rows of later steps, which a killed run wrote after its last checkpoint, and a torn last line are dropped:
    /// those steps are done again.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Common`] if the files cannot be read or written.
    pub(crate) fn open(run: &RunDir, step: u64) -> Result<Self, TrainError> {
        let path = run.metrics();
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let kept = rows_up_to(&text, step);
        fs::write_atomic(&path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(TrainError::io(&path, "opening the metrics"))?;
        Ok(Self { path, file, events: None, dir: run.logs(), resumed_at: (step > 0).then_some(step) })
    }

    /// Writes the metrics of training step `step`.
    ///
    /// # Errors
    /// [`TrainError::Io`] if a file cannot be written.
    pub(crate) fn train_row(
        &mut self,
        step: u64,
        epoch: Option<f64>,
        values: &[(&str, f64)],
    ) -> Result<(), TrainError> {
        self.row("train/", "", step, epoch, values)
    }

    /// Writes metrics of an evaluation after step `step`; names get TRL's prefix `eval_`.
    ///
    /// # Errors
    /// [`TrainError::Io`] if a file cannot be written.
    pub(crate) fn eval_row(
        &mut self,
        step: u64,
        epoch: Option<f64>,
        values: &[(&str, f64)],
    ) -> Result<(), TrainError> {
        self.row("eval/", "eval_", step, epoch, values)
    }

    /// Waits until every row is on the disk, so that a checkpoint never outlives the rows of its steps.
    ///
    /// # Errors
    /// [`TrainError::Io`] if the disk refuses.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::io(&self.path, "syncing the metrics"))
    }

    fn events(&mut self) -> Result<&mut EventFile, TrainError> {
        let file = match self.events.take() {
            Some(file) => file,
            None => EventFile::create(&self.dir, self.resumed_at)?,
        };
        Ok(self.events.insert(file))
    }

    fn row(
        &mut self,
        tag_prefix: &str,
        name_prefix: &str,
        step: u64,
        epoch: Option<f64>,
        values: &[(&str, f64)],
    ) -> Result<(), TrainError> {
        let mut row = Map::new();
        for (name, value) in values {
            // JSON has no NaN: such a value becomes null.
            row.insert(format!("{name_prefix}{name}"), number(*value));
            self.events()?.scalar(&format!("{tag_prefix}{name}"), step, *value)?;
        }
        if let Some(epoch) = epoch {
            row.insert("epoch".to_owned(), number(epoch));
            if name_prefix.is_empty() {
                self.events()?.scalar("train/epoch", step, epoch)?;
            }
        }
        row.insert("step".to_owned(), Value::from(step));
        let line = format!("{}\n", Value::Object(row));
        self.file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path, "writing the metrics"))
    }
}

/// Whole numbers are written without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { Value::from(value) }
}

/// The leading lines of `text` that are whole rows of steps up to `step`.
fn rows_up_to(text: &str, step: u64) -> String {
    let kept = text.split_inclusive('\n').take_while(|line| {
        let row = serde_json::from_str::<Value>(line).ok().filter(|_| line.ends_with('\n'));
        row.and_then(|row| row.get("step")?.as_u64()).is_some_and(|row_step| row_step <= step)
    });
    kept.collect()
}

/// Rows of a `metrics.jsonl`, for tables and plots.
///
/// # Errors
/// [`TrainError::Common`] names the file and line that is not a JSON object.
pub fn read_metrics(run: &RunDir) -> Result<Vec<Map<String, Value>>, TrainError> {
    Ok(json::read_jsonl(&run.metrics())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(run: &RunDir, from: u64, steps: std::ops::Range<u64>) {
        let mut logs = Logs::open(run, from).unwrap();
        for step in steps {
            logs.train_row(
                step,
                Some(step as f64 / 10.0),
                &[("loss", 1.0 / step as f64), ("num_tokens", 64.0)],
            )
            .unwrap();
        }
    }

    #[test]
    fn a_resumed_log_has_the_bytes_of_an_uninterrupted_one() {
        let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (whole, cut) = (RunDir::new(whole.path()), RunDir::new(cut.path()));
        write(&whole, 0, 1..9);
        write(&cut, 0, 1..7);
        // A killed process tears its last line.
        let mut file = OpenOptions::new().append(true).open(cut.metrics()).unwrap();
        file.write_all(b"{\"loss\": 0.1").unwrap();
        write(&cut, 4, 5..9);
        assert_eq!(std::fs::read(whole.metrics()).unwrap(), std::fs::read(cut.metrics()).unwrap());
        let rows = read_metrics(&whole).unwrap();
        assert_eq!(rows.len(), 8);
        assert_eq!(rows[1].get("loss"), Some(&Value::from(0.5)));
        assert_eq!(rows[1].get("num_tokens"), Some(&Value::from(64)));
    }

    #[test]
    fn evaluation_rows_have_trl_names() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        Logs::open(&run, 0).unwrap().eval_row(3, None, &[("loss", 0.25)]).unwrap();
        assert_eq!(std::fs::read_to_string(run.metrics()).unwrap(), "{\"eval_loss\":0.25,\"step\":3}\n");
    }

    #[test]
    fn a_value_that_is_not_finite_becomes_null() {
        assert_eq!(number(f64::NAN), Value::Null);
    }
}
