//! Any text as a recipe: every mistake at once, or a recipe that is written and read back as it is.

#![no_main]

use std::path::Path;

use idk::recipe::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The last line may be an override, as of `--set`.
    let (text, overrides) = match text.rsplit_once("\n--set ") {
        Some((text, assignment)) => (text, vec![assignment.trim().to_owned()]),
        None => (text, Vec::new()),
    };
    let Ok(recipe) = Recipe::parse(text, Path::new("r.toml"), &overrides) else { return };
    let written = recipe.to_toml().expect("a recipe has a form in TOML");
    let again = Recipe::parse(&written, Path::new("r.toml"), &[]).expect("what was written can be read");
    assert_eq!(again, recipe);
});
