//! Which linear layers take a LoRA pair: PEFT's `target_modules`, and the part of the model that it chooses from.

use std::fmt;

use fancy_regex::Regex;
use idk_common::text::did_you_mean;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arch::names::{LinearNames, Names, Role};
use crate::arch::specs::Linears;
use crate::text::pattern::check_pattern;

/// PEFT's word for every linear layer but the output head.
const ALL_LINEAR: &str = "all-linear";

/// Most module names that an error lists.
const LISTED_MODULES: usize = 8;

/// The part of the model whose linear layers may be adapted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdaptedModules {
    /// The language model.
    #[default]
    LanguageModel,
    /// The audio encoder.
    AudioTower,
    /// Both, and the projector between them.
    All,
}

impl AdaptedModules {
    /// The smallest part that holds all of the modules.
    pub(crate) fn of<'a>(mut canonical: impl Iterator<Item = &'a String> + Clone) -> Self {
        if canonical.clone().all(|name| Self::LanguageModel.contains(name)) {
            Self::LanguageModel
        } else if canonical.all(|name| Self::AudioTower.contains(name)) {
            Self::AudioTower
        } else {
            Self::All
        }
    }

    fn contains(self, canonical: &str) -> bool {
        match self {
            Self::LanguageModel => matches!(Role::of(canonical), Some(Role::Decoder | Role::Head)),
            Self::AudioTower => Role::of(canonical) == Some(Role::Encoder),
            Self::All => true,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::LanguageModel => "language_model",
            Self::AudioTower => "audio_tower",
            Self::All => "all",
        }
    }
}

/// Linear layers by their names, as in PEFT.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TargetModules {
    /// `"all-linear"`: all of them but the output head.
    #[default]
    AllLinear,
    /// Module paths or the ends of them: `["q_proj", "v_proj"]`.
    Names(Vec<String>),
    /// A regular expression that the whole module path must match, in its transformers-4 or transformers-5 form.
    Pattern(String),
}

impl From<&str> for TargetModules {
    fn from(text: &str) -> Self {
        if text == ALL_LINEAR { Self::AllLinear } else { Self::Pattern(text.to_owned()) }
    }
}

impl Serialize for TargetModules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str(ALL_LINEAR),
            Self::Names(names) => names.serialize(serializer),
            Self::Pattern(pattern) => serializer.serialize_str(pattern),
        }
    }
}

impl<'de> Deserialize<'de> for TargetModules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = TargetModules;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{ALL_LINEAR}\", a list of module names or a regular expression")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetModules, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TargetModules, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(TargetModules::Names(names))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl TargetModules {
    /// A name that is there more than once.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let Self::Names(names) = self else { return None };
        names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name.as_str())
    }

    /// Checks what can be checked without a model.
    pub(crate) fn matcher(&self) -> Result<Matcher, String> {
        match self {
            Self::AllLinear => Ok(Matcher::All),
            Self::Names(names) if names.is_empty() => Err("the list of names is empty".to_owned()),
            Self::Names(names) if names.iter().any(String::is_empty) => Err("a name is empty".to_owned()),
            Self::Names(names) => Ok(Matcher::Names(names.clone())),
            Self::Pattern(pattern) => Ok(Matcher::Pattern(Box::new(full_match_regex(pattern)?))),
        }
    }

    /// The linear layers that are adapted. What matches nothing, or only what `modules` leaves out, is a mistake.
    pub(crate) fn select(&self, modules: AdaptedModules, linears: &Linears) -> Result<Vec<String>, String> {
        let matching = |matcher: &Matcher| -> Result<Vec<&String>, String> {
            let mut found = Vec::new();
            for name in linears.keys() {
                if matcher.matches(name, &linears.names)? {
                    found.push(name);
                }
            }
            Ok(found)
        };
        let inside = |name: &&String| modules.contains(name);
        match self {
            Self::AllLinear => {}
            Self::Names(names) => {
                for name in names {
                    let found = matching(&Matcher::Names(vec![name.clone()]))?;
                    if found.is_empty() {
                        return Err(format!("no linear layer is called `{name}`{}", nearest(name, linears)));
                    }
                    if !found.iter().any(inside) {
                        return Err(left_out(&format!("`{name}` is found only in"), &found, &found, modules));
                    }
                }
            }
            Self::Pattern(pattern) => {
                let found = matching(&self.matcher()?)?;
                if found.is_empty() {
                    return Err(no_match(pattern, linears));
                }
                let outside: Vec<&String> = found.iter().copied().filter(|name| !inside(name)).collect();
                if !outside.is_empty() {
                    return Err(left_out(&format!("`{pattern}` matches"), &outside, &found, modules));
                }
            }
        }
        Ok(matching(&self.matcher()?)?.into_iter().filter(inside).cloned().collect())
    }

    /// The same choice for PEFT, which knows no `modules`: as it stands if that says it all, else as an expression.
    pub(crate) fn for_peft(&self, modules: AdaptedModules, names: &Names) -> Self {
        let LinearNames { decoder, encoder, projector } = names.linears;
        let layers = |(part, ends): (&str, &str)| format!(r".*{part}.*\.{ends}");
        let part = if modules == AdaptedModules::AudioTower { encoder } else { decoder };
        Self::Pattern(match (self, modules) {
            (Self::AllLinear, AdaptedModules::All) => {
                format!("{}|{}|.*{projector}", layers(decoder), layers(encoder))
            }
            (Self::AllLinear, _) => layers(part),
            (Self::Names(_), AdaptedModules::All) | (Self::Pattern(_), _) => return self.clone(),
            (Self::Names(names), _) => {
                let names: Vec<_> = names.iter().map(|name| fancy_regex::escape(name)).collect();
                format!(r".*{}\.(?:.*\.)?(?:{})", part.0, names.join("|"))
            }
        })
    }
}

/// [`TargetModules`] that have been checked.
#[derive(Debug)]
pub(crate) enum Matcher {
    All,
    Names(Vec<String>),
    Pattern(Box<Regex>),
}

impl Matcher {
    /// Whether a module is meant, by one of its spellings.
    pub(crate) fn matches(&self, canonical: &str, names: &Names) -> Result<bool, String> {
        for name in names.all(canonical) {
            if self.matches_name(&name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a module is meant by one of its names.
    pub(crate) fn matches_name(&self, path: &str) -> Result<bool, String> {
        match self {
            Self::All => Ok(true),
            Self::Names(names) => Ok(names.iter().any(|name| ends_with_name(path, name))),
            Self::Pattern(regex) => {
                regex.is_match(path).map_err(|error| format!("`{}`: {error}", regex.as_str()))
            }
        }
    }
}

/// Whether `name` is the path or its last components.
fn ends_with_name(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A regular expression that must match a whole name (`re.fullmatch`); lookarounds are understood, as in Python.
pub(crate) fn full_match_regex(pattern: &str) -> Result<Regex, String> {
    check_pattern(pattern)?;
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))
}

/// The last components of the layers' paths: `q_proj`, `fc1` ..., each once.
fn kinds(linears: &Linears) -> Vec<&str> {
    let mut kinds: Vec<&str> = linears.keys().filter_map(|path| path.rsplit('.').next()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn nearest(name: &str, linears: &Linears) -> String {
    let kinds = kinds(linears);
    // A whole path is corrected as a whole, a name by the names that layers end with.
    let near = did_you_mean(name, kinds.iter().copied().chain(linears.keys().map(String::as_str)));
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", kinds.join(", ")),
    }
}

fn no_match(pattern: &str, linears: &Linears) -> String {
    let some: Vec<&str> = linears.keys().take(LISTED_MODULES).map(String::as_str).collect();
    let near = did_you_mean(pattern, kinds(linears).into_iter());
    let advice = match near {
        Some(name) => {
            format!("; it must match the whole path: did you mean the list [\"{name}\"] or `.*\\.{name}`?")
        }
        None => String::new(),
    };
    format!(
        "`{pattern}` matches none of the {} linear layers{advice}; some of them: {}",
        linears.len(),
        some.join(", ")
    )
}

/// `found` are all modules that are meant, `outside` those of them that `modules` leaves out.
fn left_out(what: &str, outside: &[&String], found: &[&String], modules: AdaptedModules) -> String {
    let more = match outside.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let wider = if found.iter().all(|name| AdaptedModules::AudioTower.contains(name)) {
        "\"audio_tower\" or \"all\""
    } else {
        "\"all\""
    };
    let first = outside.first().map_or("", |name| name.as_str());
    format!(
        "{what} {first}{more}, which `modules = \"{}\"` leaves out; set `modules` to {wider}, or choose other names",
        modules.word()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARCHITECTURES;

    fn linears() -> Linears {
        let shapes = [
            "audio_tower.layers.0.fc1",
            "audio_tower.layers.0.self_attn.q_proj",
            "language_model.model.layers.0.mlp.down_proj",
            "language_model.model.layers.0.self_attn.q_proj",
            "language_model.model.layers.1.self_attn.q_proj",
            "multi_modal_projector.linear",
        ]
        .map(|name| (name.to_owned(), [2, 2]));
        Linears::new(ARCHITECTURES[0].names, shapes.into())
    }

    fn names(list: &[&str]) -> TargetModules {
        TargetModules::Names(list.iter().map(|name| (*name).to_owned()).collect())
    }

    fn count(target: &TargetModules, modules: AdaptedModules) -> usize {
        target.select(modules, &linears()).unwrap().len()
    }

    fn error(target: &TargetModules, modules: AdaptedModules) -> String {
        target.select(modules, &linears()).unwrap_err()
    }

    use AdaptedModules::{All, AudioTower, LanguageModel};

    #[test]
    fn all_linear_is_every_layer_of_the_chosen_part() {
        let all = TargetModules::AllLinear;
        assert_eq!([LanguageModel, AudioTower, All].map(|modules| count(&all, modules)), [3, 2, 6]);
    }

    #[test]
    fn names_are_whole_components_at_the_end_of_a_path_as_in_peft() {
        assert_eq!([LanguageModel, AudioTower, All].map(|part| count(&names(&["q_proj"]), part)), [2, 1, 3]);
        assert_eq!(count(&names(&["layers.1.self_attn.q_proj"]), LanguageModel), 1);
        assert_eq!(count(&names(&["model.language_model.layers.0.self_attn.q_proj"]), LanguageModel), 1);
        assert_eq!(count(&names(&["multi_modal_projector.linear", "down_proj"]), All), 2);
        assert!(error(&names(&["proj"]), All).contains("no linear layer is called `proj`"));
    }

    #[test]
    fn a_name_or_pattern_that_matches_nothing_is_told_what_there_is() {
        assert!(error(&names(&["q_proj", "donw_proj"]), All).contains("did you mean `down_proj`?"));
        assert!(error(&names(&["attention"]), All).contains("there are down_proj, fc1, linear, q_proj"));
        let bare = error(&"q_proj".into(), All);
        assert!(bare.contains(r#"the list ["q_proj"] or `.*\.q_proj`"#), "{bare}");
        let unknown = error(&r".*\.attention\..*".into(), All);
        assert!(
            unknown.contains("none of the 6") && unknown.contains("audio_tower.layers.0.fc1"),
            "{unknown}"
        );
    }

    #[test]
    fn what_the_chosen_part_leaves_out_is_a_contradiction() {
        let both = error(&r".*\.q_proj".into(), LanguageModel);
        assert!(both.contains("audio_tower.layers.0.self_attn.q_proj"), "{both}");
        assert!(both.contains("set `modules` to \"all\","), "{both}");
        assert_eq!(count(&r".*\.q_proj".into(), All), 3);
        assert_eq!(count(&r"audio_tower\..*q_proj".into(), AudioTower), 1);
        let encoder = error(&names(&["q_proj", "fc1"]), LanguageModel);
        assert!(encoder.contains("`fc1` is found only in audio_tower.layers.0.fc1, which"), "{encoder}");
        assert!(encoder.contains("\"audio_tower\" or \"all\""), "{encoder}");
        let projector = error(&r".*projector\.linear".into(), AudioTower);
        assert!(projector.contains("set `modules` to \"all\""), "{projector}");
    }

    #[test]
    fn the_choice_that_peft_is_given_is_the_same_under_both_naming_schemes() {
        for modules in [LanguageModel, AudioTower, All] {
            for target in [TargetModules::AllLinear, names(&["q_proj"])] {
                let matcher = target.for_peft(modules, &linears().names).matcher().unwrap();
                let expected = target.select(modules, &linears()).unwrap();
                for name in linears().keys() {
                    let meant = expected.contains(name);
                    assert_eq!(matcher.matches_name(name).unwrap(), meant, "{name} {target:?} {modules:?}");
                    let new = linears().names.transformers5(name);
                    assert_eq!(matcher.matches_name(&new).unwrap(), meant, "{new} {target:?} {modules:?}");
                }
            }
        }
    }

    #[test]
    fn both_forms_are_read_and_written_and_others_are_refused() {
        for text in [r#""all-linear""#, r#"["q_proj","v_proj"]"#, r#"".*q_proj""#] {
            let target: TargetModules = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&target).unwrap(), text);
        }
        let wrong = serde_json::from_str::<TargetModules>("3").unwrap_err().to_string();
        assert!(wrong.contains("a list of module names or a regular expression"), "{wrong}");
        assert!(names(&[]).matcher().unwrap_err().contains("empty"));
        assert!(TargetModules::from("(").matcher().unwrap_err().contains("no regular expression"));
    }
}
