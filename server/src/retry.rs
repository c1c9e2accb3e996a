//! When a request is sent again, and how long before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idk_common::seed::{Rng, derive_seed};

use crate::http::HttpReply;

/// The longest wait that a server may ask for; above it the build ends and can be given again later.
pub(crate) const MAX_ASKED_WAIT: Duration = Duration::from_secs(300);

/// The longest wait of its own accord.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Whether the same request may be answered the next time.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// The wait before attempt `attempt` (from 1): twice the one before, then between half and all of it.
///
/// The part that is left out is a function of the prompt's seed and the attempt, so that many requests that failed
/// together do not come back together, and a run is the same each time.
pub(crate) fn backoff(first: Duration, seed: u64, attempt: u32) -> Duration {
    let whole = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(MAX_WAIT);
    let seed = derive_seed(seed, "retry", &[&attempt.to_string()]);
    whole.mul_f64(Rng::new(seed).range(0.5, 1.0))
}

/// What the `Retry-After` header asks for: seconds, or a date that is compared with the reply's own `Date` (with this
/// machine's clock where there is none). A value that is neither is passed over.
pub(crate) fn asked_wait(reply: &HttpReply) -> Option<Duration> {
    let text = reply.retry_after.as_deref()?;
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = unix_time(text)?;
    let now = reply
        .date
        .as_deref()
        .and_then(unix_time)
        .or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()))?;
    Some(Duration::from_secs(until.saturating_sub(now)))
}

/// Seconds since 1970 of an HTTP date (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn unix_time(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, clock, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as u64 + 1;
    let (day, year) = (day.parse::<u64>().ok()?, year.parse::<u64>().ok()?);
    let clock: Vec<u64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hour, minute, second] = clock.as_slice() else { return None };
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days to the first of March of year 0, in a calendar whose years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(86_400 * days + 3_600 * hour + 60 * minute + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_the_same_in_every_run() {
        let first = Duration::from_millis(500);
        let wait = |attempt| backoff(first, 7, attempt).as_secs_f64();
        for (attempt, whole) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (9, 30.0), (40, 30.0)] {
            let wait = wait(attempt);
            assert!((whole / 2.0..=whole).contains(&wait), "{attempt}: {wait}");
        }
        assert_eq!(wait(3), wait(3));
        assert_ne!(backoff(first, 7, 3), backoff(first, 8, 3));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_anything_else_is_passed_over() {
        let reply = |retry_after: &str, date: Option<&str>| HttpReply {
            retry_after: Some(retry_after.to_owned()),
            date: date.map(str::to_owned),
            ..HttpReply::default()
        };
        let seconds = |reply: &HttpReply| asked_wait(reply).map(|wait| wait.as_secs());
        assert_eq!(seconds(&reply("7", None)), Some(7));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(seconds(&reply("Sun, 06 Nov 1994 08:50:07 GMT", Some(date))), Some(30));
        assert_eq!(seconds(&reply(date, None)), Some(0), "a date of the past");
        assert_eq!(seconds(&reply("soon", None)), None);
        assert_eq!(seconds(&reply("-3", None)), None);
        assert_eq!(asked_wait(&HttpReply::default()), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // date -u -d '...' +%s
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Thu, 31 Dec 2099 12:00:00 GMT", 4_102_401_600),
        ] {
            assert_eq!(unix_time(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!([408, 429, 500, 502, 503, 504].into_iter().all(is_passing));
        assert!(![200, 301, 400, 401, 403, 404, 413, 422].into_iter().any(is_passing));
    }
}
