//! One machine's part of a distributed build.

use std::fmt;
use std::str::FromStr;

/// Part `i` of `n`: every n-th shard, from the i-th on. Which questions that are depends on the set alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingPart {
    index: usize,
    of: usize,
}

/// Most parts of a build.
const MAX_PARTS: usize = 10_000;

impl SamplingPart {
    /// All of the build.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Whether a shard is of this part.
    pub(crate) fn has(self, shard: usize) -> bool {
        shard % self.of == self.index - 1
    }

    /// Name of the folder, next to the dataset of the run, in which this part is sampled.
    pub fn folder_name(self) -> String {
        format!("shard-{}-of-{}", self.index, self.of)
    }

    /// The part that samples in a folder of this name.
    pub fn of_folder(name: &str) -> Option<Self> {
        let (index, of) = name.strip_prefix("shard-")?.split_once("-of-")?;
        let part: Self = format!("{index}/{of}").parse().ok()?;
        (part.folder_name() == name).then_some(part)
    }
}

impl fmt::Display for SamplingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for SamplingPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| {
            let part = Self { index: index.parse().ok()?, of: of.parse().ok()? };
            (part.of <= MAX_PARTS && (1..=part.of).contains(&part.index)).then_some(part)
        });
        numbers.ok_or_else(|| "write i/n with 1 <= i <= n, such as 2/8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_together_have_every_shard_once() {
        for of in 1..6 {
            let parts: Vec<SamplingPart> =
                (1..=of).map(|index| format!("{index}/{of}").parse().unwrap()).collect();
            for shard in 0..20 {
                assert_eq!(parts.iter().filter(|part| part.has(shard)).count(), 1, "{shard} of {of}");
            }
        }
        assert!((0..20).all(|shard| SamplingPart::WHOLE.has(shard)));
    }

    #[test]
    fn a_part_is_read_from_what_it_prints_and_from_its_folder() {
        let part: SamplingPart = "2/8".parse().unwrap();
        assert_eq!(part.to_string(), "2/8");
        assert_eq!(SamplingPart::of_folder(&part.folder_name()), Some(part));
        for name in ["shard-2-of-8.old-1", "shard-9-of-8", "shard-02-of-8", "shards", "dataset"] {
            assert_eq!(SamplingPart::of_folder(name), None, "{name}");
        }
        for text in ["0/4", "5/4", "1/0", "4", "a/b", "-1/4", "1/20000", "1/4/2", ""] {
            assert!(text.parse::<SamplingPart>().is_err(), "{text}");
        }
    }
}
