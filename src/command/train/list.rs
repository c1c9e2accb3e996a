//! `idk-train --list`: the recipes of this repository, as their headers describe them.

use std::path::{Path, PathBuf};

use idk_common::CommonError;
use idk_common::fs::read_to_string;
use idk_common::paths::find;
use serde::Serialize;

use crate::terminal::{Failure, print_result};

/// A recipe with what its header says. An empty text: the header does not say.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Listed {
    path: PathBuf,
    /// What it does.
    summary: String,
    /// Commands that run it, one per line.
    command: String,
    hardware: String,
    minutes: String,
    /// What it reaches.
    expected: String,
}

impl Listed {
    /// Reads the comment at the top of a recipe: sentences, then `# Key  text` with further lines indented.
    fn of(path: &Path, recipe: &str) -> Self {
        let mut listed = Self { path: path.to_owned(), ..Self::default() };
        let mut last = "";
        for line in recipe.lines().map_while(|line| line.strip_prefix('#')) {
            let (key, text) = match line.trim_start().split_once("  ") {
                Some((key, text)) if !line.starts_with("  ") && !key.contains(' ') => (key, text),
                _ if line.starts_with("  ") => (last, line),
                _ => ("", line),
            };
            last = key;
            let (field, between) = match key {
                "" => (&mut listed.summary, " "),
                "Command" => (&mut listed.command, "\n"),
                "Hardware" => (&mut listed.hardware, " "),
                "Minutes" => (&mut listed.minutes, " "),
                "Expected" => (&mut listed.expected, " "),
                _ => continue,
            };
            let text = text.trim();
            if !field.is_empty() && !text.is_empty() {
                field.push_str(between);
            }
            field.push_str(text);
        }
        listed
    }

    /// A paragraph: the path, what the recipe does, and the rest by name.
    fn to_text(&self) -> String {
        let named = [
            ("command", self.command.replace('\n', "\n             ")),
            ("hardware", wrapped(&self.hardware, 13)),
            ("minutes", wrapped(&self.minutes, 13)),
            ("expected", wrapped(&self.expected, 13)),
        ];
        let given = named.iter().filter(|(_, text)| !text.is_empty());
        let lines = given.map(|(name, text)| format!("\n    {name:<8} {text}"));
        format!("{}\n    {}{}", self.path.display(), wrapped(&self.summary, 4), lines.collect::<String>())
    }
}

/// A text in lines of at most 100 characters, all but the first behind `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let is_full = |line: &String| indent + line.chars().count() + 1 + word.chars().count() > WIDTH;
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if !is_full(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// The `.toml` files in `folder` and in the folders in it, in order; those of the folder itself first.
fn recipes(folder: &Path) -> Result<Vec<PathBuf>, CommonError> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(CommonError::reading("list", folder))? {
        let path = entry.map_err(CommonError::io("read the folder", folder))?.path();
        if path.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    for folder in folders {
        files.extend(recipes(&folder)?);
    }
    Ok(files)
}

/// Prints every recipe in `recipes/`.
///
/// # Errors
/// A missing folder or a file that cannot be read; a failed write to stdout.
pub(super) fn print(json: bool) -> Result<(), Failure> {
    let paths = recipes(&find(Path::new("recipes"), None))?;
    let listed = paths.iter().map(|path| Ok(Listed::of(path, &read_to_string(path)?)));
    let listed: Vec<Listed> = listed.collect::<Result<_, CommonError>>()?;
    let text = || listed.iter().map(Listed::to_text).collect::<Vec<_>>().join("\n\n");
    Ok(print_result(json, &listed, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_summary_commands_hardware_minutes_and_what_to_expect() {
        let recipe = "# Does one thing\n# and another.\n#\n# Command   a x.toml   # first\n#           b x.toml\n\
                      # Hardware  two cores\n# Minutes   3\n# Expected  RGI +0.2;\n#           more\nseed = 0\n# a comment\n";
        let listed = Listed::of(Path::new("x.toml"), recipe);
        let expected = Listed {
            path: "x.toml".into(),
            summary: "Does one thing and another.".to_owned(),
            command: "a x.toml   # first\nb x.toml".to_owned(),
            hardware: "two cores".to_owned(),
            minutes: "3".to_owned(),
            expected: "RGI +0.2; more".to_owned(),
        };
        assert_eq!(listed, expected);
        assert!(listed.to_text().contains("\n    minutes  3\n"), "{}", listed.to_text());
        let long = wrapped(&"abcd ".repeat(30), 5);
        assert_eq!(long.lines().map(|line| line.trim_start().len()).collect::<Vec<_>>(), [94, 54]);
    }

    #[test]
    fn every_shipped_recipe_says_what_it_does_where_it_runs_and_what_to_expect() {
        let paths = recipes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")).unwrap_or_default();
        assert!(paths.len() > 10, "{paths:?}");
        for path in paths {
            let listed = Listed::of(&path, &read_to_string(&path).unwrap_or_default());
            let all = [&listed.summary, &listed.command, &listed.hardware, &listed.minutes, &listed.expected];
            assert!(all.iter().all(|text| !text.is_empty()), "{listed:?}");
        }
    }
}
