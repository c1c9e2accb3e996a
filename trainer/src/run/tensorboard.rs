//! TensorBoard event files.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use protobuf::Message;
use tensorboard_proto::event::{Event, SessionLog, SessionLog_SessionStatus};
use tensorboard_rs::record_writer::RecordWriter;
use tensorboard_rs::summary;

use crate::error::TrainError;

/// Version mark of the first event; TensorBoard drops overwritten steps only from files that have it.
const FILE_VERSION: &str = "brain.Event:2";

/// Appends scalars to one event file.
///
/// Built on tensorboard-rs' record writer and summaries over a file of our own: its `SummaryWriter` writes on
/// another thread and panics when the disk fails. A record torn by a kill is skipped by readers.
pub(crate) struct EventFile {
    path: PathBuf,
    records: RecordWriter<File>,
}

impl std::fmt::Debug for EventFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EventFile {
    /// Starts a new event file in `dir`.
    ///
    /// A run that resumes after `resumed_at` steps writes a session start for the step after it, which makes
    /// TensorBoard forget what an earlier file says about that step and later ones.
    ///
    /// # Errors
    /// [`TrainError::Io`] if the file cannot be written.
    pub(crate) fn create(dir: &Path, resumed_at: Option<u64>) -> Result<Self, TrainError> {
        idk_common::fs::create_dir_all(dir)?;
        let seconds = wall_time().floor();
        // TensorBoard reads files in name order, so files of one second are numbered.
        for number in 0_u32.. {
            let path = dir.join(format!("events.out.tfevents.{seconds:010}.{number:04}.idk"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut events = Self { path, records: RecordWriter::new(file) };
                    events.start(resumed_at)?;
                    return Ok(events);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(TrainError::io(path, "creating the event file")(error)),
            }
        }
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        Err(TrainError::io(dir, "creating an event file")(source))
    }

    fn start(&mut self, resumed_at: Option<u64>) -> Result<(), TrainError> {
        let mut version = Event::new();
        version.set_file_version(FILE_VERSION.to_owned());
        self.write(version, 0)?;
        if let Some(step) = resumed_at {
            let mut session = SessionLog::new();
            session.set_status(SessionLog_SessionStatus::START);
            let mut event = Event::new();
            event.set_session_log(session);
            self.write(event, step + 1)?;
        }
        Ok(())
    }

    /// Writes one value of the curve `tag`.
    ///
    /// # Errors
    /// [`TrainError::Io`] if the file cannot be written.
    pub(crate) fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), TrainError> {
        let mut event = Event::new();
        event.set_summary(summary::scalar(tag, value as f32));
        self.write(event, step)
    }

    fn write(&mut self, mut event: Event, step: u64) -> Result<(), TrainError> {
        event.set_wall_time(wall_time());
        event.set_step(step.cast_signed());
        let failed = |source| TrainError::io(&self.path, "writing an event")(source);
        let bytes = event.write_to_bytes().map_err(|error| failed(std::io::Error::other(error)))?;
        self.records.write(&bytes).map_err(failed)
    }
}

/// Seconds since 1970; 0 on a clock before it.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads of a record file, framing checked.
    fn records(bytes: &[u8]) -> Vec<Event> {
        let mut rest = bytes;
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            events.push(Event::parse_from_bytes(&rest[12..12 + length]).unwrap());
            rest = &rest[12 + length + 4..];
        }
        events
    }

    #[test]
    fn a_file_starts_with_its_version_and_holds_the_scalars() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(dir.path(), None).unwrap();
        file.scalar("train/loss", 7, 1.5).unwrap();
        let events = records(&std::fs::read(&file.path).unwrap());
        assert_eq!(events[0].get_file_version(), "brain.Event:2");
        assert_eq!(events[1].get_step(), 7);
        let value = &events[1].get_summary().get_value()[0];
        assert_eq!((value.get_tag(), value.get_simple_value()), ("train/loss", 1.5));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_resumed_run_starts_a_later_file_that_drops_the_steps_it_does_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventFile::create(dir.path(), None).unwrap();
        let second = EventFile::create(dir.path(), Some(120)).unwrap();
        assert!(first.path < second.path, "{first:?} {second:?}");
        let events = records(&std::fs::read(&second.path).unwrap());
        assert_eq!(events[1].get_step(), 121);
        assert_eq!(events[1].get_session_log().get_status(), SessionLog_SessionStatus::START);
    }

    #[test]
    fn the_record_checksum_is_masked_crc32c() {
        // crc32c of eight zero bytes is 0x8c28b28a: the check value of the length field of an empty record.
        let mut bytes = Vec::new();
        RecordWriter::new(&mut bytes).write(&[]).unwrap();
        let crc = 0x8c28_b28a_u32;
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(bytes[8..12], masked.to_le_bytes());
    }
}
