//! What is wrong with a configuration: a [`Problem`] for each mistake, all of them at once, each rule in one wording.

use std::fmt;

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, such as `train.eps`; empty where there is none.
    pub key: String,
    /// What is wrong, as a sentence that names the key.
    pub what: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem whose sentence is complete.
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), hint: None }
    }

    /// A problem of `key` in `[section]`; `what` is the rest of the sentence, such as "must be at least 1". An empty
    /// section is left out.
    pub fn of_key(section: &str, key: &str, what: impl fmt::Display) -> Self {
        if section.is_empty() {
            return Self::new(key, format!("`{key}` {what}"));
        }
        Self::new(format!("{section}.{key}"), format!("`{key}` in [{section}] {what}"))
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Several problems in one line, for the message of an error.
#[must_use]
pub fn joined(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects the problems of one section. Each method checks keys by one rule.
#[derive(Debug)]
pub struct Problems {
    section: &'static str,
    found: Vec<Problem>,
}

impl Problems {
    /// None yet. `section` is empty for settings that do not come from a recipe.
    #[must_use]
    pub fn of_section(section: &'static str) -> Self {
        Self { section, found: Vec::new() }
    }

    /// Notes a problem of `key`; `what` is the rest of the sentence.
    pub fn add(&mut self, key: &str, what: impl fmt::Display) {
        self.found.push(Problem::of_key(self.section, key, what));
    }

    /// Notes a problem of `key` unless `holds`.
    pub fn require(&mut self, holds: bool, key: &str, what: impl fmt::Display) {
        if !holds {
            self.add(key, what);
        }
    }

    /// Counts of which there must be one or more.
    pub fn at_least_one<'a, N>(&mut self, counts: impl IntoIterator<Item = (&'a str, N)>)
    where
        N: PartialEq + From<bool>,
    {
        for (key, count) in counts {
            self.require(count != N::from(false), key, "must be at least 1");
        }
    }

    /// Numbers from 0 to 1, both included.
    pub fn shares<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, f64)>) {
        for (key, value) in values {
            self.require((0.0..=1.0).contains(&value), key, "must be between 0 and 1");
        }
    }

    /// A number from 0, included, to 1, not included.
    pub fn below_one(&mut self, key: &str, value: f64) {
        self.require((0.0..1.0).contains(&value), key, "must be at least 0 and below 1");
    }

    /// Numbers above 0, which the computation takes as float32.
    pub fn positive<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, f64)>) {
        for (key, value) in values {
            let holds = value.is_finite() && value > 0.0;
            self.require(holds, key, "must be a number above 0");
            self.require(!holds || fits_f32(value), key, BEYOND_F32);
        }
    }

    /// Numbers from 0, which the computation takes as float32.
    pub fn not_negative<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, f64)>) {
        for (key, value) in values {
            let holds = value.is_finite() && value >= 0.0;
            self.require(holds, key, "must be a number, 0 or above");
            self.require(!holds || value == 0.0 || fits_f32(value), key, BEYOND_F32);
        }
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}

const BEYOND_F32: &str = "must be between 1.2e-38 and 3.4e38, the range of float32";

/// Whether a number above 0 stays one, at full precision, as float32.
fn fits_f32(value: f64) -> bool {
    (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: impl FnOnce(&mut Problems)) -> Vec<String> {
        let mut problems = Problems::of_section("train");
        check(&mut problems);
        problems.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_problem_names_key_and_section_and_its_path_finds_the_line() {
        let problem = Problem::of_key("build", "k", "must be at least 1").with_hint("write 1");
        assert_eq!((problem.key.as_str(), problem.hint.as_deref()), ("build.k", Some("write 1")));
        assert_eq!(problem.to_string(), "`k` in [build] must be at least 1");
        assert_eq!(Problem::of_key("", "k", "is 0").to_string(), "`k` is 0");
        let text = joined(&[problem, Problem::new("x", "x is odd")]);
        assert_eq!(text, "`k` in [build] must be at least 1; x is odd");
    }

    #[test]
    fn every_count_below_one_is_named() {
        let counts = found(|it| {
            it.at_least_one([("a", 0_usize), ("b", 1), ("c", 7)]);
            it.at_least_one([("d", 0_u64)]);
        });
        assert_eq!(counts, ["`a` in [train] must be at least 1", "`d` in [train] must be at least 1"]);
    }

    #[test]
    fn shares_have_both_ends_or_leave_out_the_upper_one() {
        let values = [("a", 0.0), ("b", 1.0), ("c", 1.1), ("d", -0.1), ("e", f64::NAN)];
        assert_eq!(found(|it| it.shares(values)).len(), 3);
        assert_eq!(found(|it| values.iter().for_each(|(key, value)| it.below_one(key, *value))).len(), 4);
    }

    #[test]
    fn numbers_that_float32_cannot_hold_are_refused() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 1e308, 3.5e38, 1e-300, 1.1e-38] {
            assert_eq!(found(|it| it.positive([("a", value)])).len(), 1, "{value}");
            assert_eq!(found(|it| it.not_negative([("a", value)])).len(), 1, "{value}");
        }
        for value in [1e-37, 1.0, f64::from(f32::MAX)] {
            assert!(found(|it| it.positive([("a", value)])).is_empty(), "{value}");
        }
        assert_eq!(found(|it| it.positive([("a", 0.0)])), ["`a` in [train] must be a number above 0"]);
        assert!(found(|it| it.not_negative([("a", 0.0)])).is_empty());
    }
}
