//! What tensors are called. The program knows each by one canonical name, that of transformers 4's Qwen2-Audio; a family
//! says how else its files and PEFT spell it.

use fancy_regex::escape;

/// Module path of the audio encoder.
pub(crate) const ENCODER: &str = "audio_tower";
/// Module path of what stands between the encoder and the language model.
pub(crate) const PROJECTOR: &str = "multi_modal_projector";
/// Module path of the language model without its output head.
pub(crate) const DECODER: &str = "language_model.model";
/// Module path of the output head.
pub(crate) const HEAD: &str = "language_model.lm_head";

/// The token embedding.
pub(crate) const EMBEDDING: &str = "language_model.model.embed_tokens.weight";
/// The encoder's positions: fixed sinusoids, which transformers never trains.
pub const ENCODER_POSITIONS: &str = "audio_tower.embed_positions.weight";
/// Norm after the encoder's last layer.
pub(crate) const ENCODER_NORM: &str = "audio_tower.layer_norm";
/// Norm after the decoder's last layer.
pub(crate) const DECODER_NORM: &str = "language_model.model.norm";

/// The two convolutions in front of the encoder's layers.
pub(crate) const CONVOLUTIONS: [&str; 2] = ["audio_tower.conv1", "audio_tower.conv2"];

/// Modules of an encoder layer (Whisper's).
pub(crate) mod encoder_layer {
    pub(crate) const ATTENTION_NORM: &str = "self_attn_layer_norm";
    pub(crate) const QUERY: &str = "self_attn.q_proj";
    pub(crate) const KEY: &str = "self_attn.k_proj";
    pub(crate) const VALUE: &str = "self_attn.v_proj";
    pub(crate) const OUT: &str = "self_attn.out_proj";
    pub(crate) const FEED_FORWARD_NORM: &str = "final_layer_norm";
    pub(crate) const UP: &str = "fc1";
    pub(crate) const DOWN: &str = "fc2";
}

/// Modules of a decoder layer (Llama's and Qwen2's).
pub(crate) mod decoder_layer {
    pub(crate) const ATTENTION_NORM: &str = "input_layernorm";
    pub(crate) const QUERY: &str = "self_attn.q_proj";
    pub(crate) const KEY: &str = "self_attn.k_proj";
    pub(crate) const VALUE: &str = "self_attn.v_proj";
    pub(crate) const OUT: &str = "self_attn.o_proj";
    pub(crate) const FEED_FORWARD_NORM: &str = "post_attention_layernorm";
    pub(crate) const GATE: &str = "mlp.gate_proj";
    pub(crate) const UP: &str = "mlp.up_proj";
    pub(crate) const DOWN: &str = "mlp.down_proj";
}

/// Module path of layer `index` of the encoder or of the decoder.
pub(crate) fn layer(part: &str, index: usize) -> String {
    format!("{part}.layers.{index}")
}

/// Module path of linear layer `index` of a projector of `count` layers.
pub(crate) fn projector_layer(index: usize, count: usize) -> String {
    if count == 1 { format!("{PROJECTOR}.linear") } else { format!("{PROJECTOR}.linear_{}", index + 1) }
}

/// The part of a model that a tensor or module belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The audio encoder.
    Encoder,
    /// What brings the encoder's output to the language model's width.
    Projector,
    /// The language model, its output head aside.
    Decoder,
    /// The output head.
    Head,
}

impl Role {
    /// Every role, in the order in which audio passes through them.
    pub const ALL: [Self; 4] = [Self::Encoder, Self::Projector, Self::Decoder, Self::Head];

    /// How recipes name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Projector => "projector",
            Self::Decoder => "decoder",
            Self::Head => "head",
        }
    }

    /// The role of a tensor or module by its canonical name; `None` if no model has one of that name.
    #[must_use]
    pub fn of(canonical: &str) -> Option<Self> {
        let parts = [
            (ENCODER, Self::Encoder),
            (PROJECTOR, Self::Projector),
            (DECODER, Self::Decoder),
            (HEAD, Self::Head),
        ];
        parts.into_iter().find(|(path, _)| below(canonical, path).is_some()).map(|(_, role)| role)
    }

    /// Whether it works on audio before the language model sees it: what such a part computes for a clip is the same at
    /// each step only while the part is frozen.
    #[must_use]
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Encoder | Self::Projector)
    }
}

/// Whether any of the modules works on audio ([`Role::is_audio`]).
pub fn adapt_audio<'a>(mut canonical: impl Iterator<Item = &'a String>) -> bool {
    canonical.any(|name| Role::of(name).is_some_and(Role::is_audio))
}

/// How transformers 5 spells the module paths of most families in memory.
pub(crate) const TRANSFORMERS5: &[(&str, &str)] = &[
    ("audio_tower", "model.audio_tower"),
    ("multi_modal_projector", "model.multi_modal_projector"),
    ("language_model.model", "model.language_model"),
    ("language_model.lm_head", "lm_head"),
];

/// The names of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Spellings of module paths besides the canonical one, first that which transformers 5 has in memory: canonical prefix
    /// and prefix there. Of a spelling the first pair that fits counts.
    pub(crate) spellings: &'static [&'static [(&'static str, &'static str)]],
    /// Whether adapters of the language model are saved under canonical names, which transformers 4 and 5 both load. Else
    /// they are saved as transformers 5 has them.
    pub(crate) portable_adapters: bool,
    /// Beginnings of names, as they stand in files, of tensors that are not run: they are passed over when a model is
    /// loaded and copied when it is merged.
    pub(crate) passed_over: &'static [&'static str],
    /// The linear layers of each part as regular expressions.
    pub(crate) linears: LinearNames,
}

/// The linear layers of each part as PEFT's `target_modules` names them, in a way that fits every version of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinearNames {
    /// A component of every path in the language model, and expressions for the ends of those paths.
    pub(crate) decoder: (&'static str, &'static str),
    /// The same of the audio encoder.
    pub(crate) encoder: (&'static str, &'static str),
    /// An expression for the ends of the paths in the projector.
    pub(crate) projector: &'static str,
}

impl Names {
    /// The canonical name of a tensor or module that is spelt as in a file or as in memory; a name that fits no known
    /// spelling stays as it is.
    #[must_use]
    pub fn canonical(&self, name: &str) -> String {
        let renamed = |(canonical, there): &(&str, &str)| Some(format!("{canonical}{}", below(name, there)?));
        let pairs = self.spellings.iter().copied().flatten();
        pairs.into_iter().find_map(renamed).unwrap_or_else(|| name.to_owned())
    }

    /// A canonical name as transformers 5 has it in memory.
    #[must_use]
    pub fn transformers5(&self, canonical: &str) -> String {
        self.spellings.first().map_or_else(|| canonical.to_owned(), |spelling| spelt(spelling, canonical))
    }

    /// A canonical name in every spelling.
    pub(crate) fn all(&self, canonical: &str) -> Vec<String> {
        let others = self.spellings.iter().map(|spelling| spelt(spelling, canonical));
        std::iter::once(canonical.to_owned()).chain(others).collect()
    }

    /// The names under which PEFT meets a module of an adapter that is saved here.
    pub(crate) fn in_peft(&self, canonical: &str) -> Vec<String> {
        let there = self.transformers5(canonical);
        if self.portable_adapters { vec![canonical.to_owned(), there] } else { vec![there] }
    }

    /// Whether a tensor, as it is called in a file, is not run.
    pub(crate) fn is_passed_over(&self, disk_name: &str) -> bool {
        self.passed_over.iter().any(|beginning| disk_name.starts_with(beginning))
    }

    /// A regular expression for the end of a module's path that fits every spelling that PEFT meets.
    pub(crate) fn pattern(&self, canonical: &str) -> String {
        let there = self.transformers5(canonical);
        if !self.portable_adapters {
            return escape(&there).into_owned();
        }
        if there.ends_with(&format!(".{canonical}")) {
            return escape(canonical).into_owned();
        }
        format!("(?:{}|{})", escape(canonical), escape(&there))
    }
}

/// A canonical name in a spelling.
fn spelt(spelling: &[(&str, &str)], canonical: &str) -> String {
    let renamed = |(known, there): &(&str, &str)| Some(format!("{there}{}", below(canonical, known)?));
    spelling.iter().find_map(renamed).unwrap_or_else(|| canonical.to_owned())
}

/// What follows `path` in `name`: nothing, or a dot and the rest; `None` if the name is not `path` or below it.
fn below<'a>(name: &'a str, path: &str) -> Option<&'a str> {
    name.strip_prefix(path).filter(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARCHITECTURES;

    #[test]
    fn every_spelling_of_every_family_leads_back_to_the_canonical_name() {
        for architecture in ARCHITECTURES {
            for module in [
                "audio_tower.conv1.bias",
                "audio_tower.layers.3.fc1",
                "multi_modal_projector.linear",
                "language_model.model.layers.3.mlp.up_proj.weight",
                "language_model.model.norm.weight",
                "language_model.lm_head.weight",
                "language_model.lm_head",
            ] {
                let names = architecture.names;
                assert_eq!(names.canonical(module), module);
                assert_ne!(names.transformers5(module), module);
                for there in names.all(module) {
                    assert_eq!(names.canonical(&there), module, "{there}");
                }
                let pattern = regex::Regex::new(&format!(r"^(.*\.)?({})$", names.pattern(module))).unwrap();
                for there in names.in_peft(module) {
                    assert!(pattern.is_match(&there), "{pattern} {there}");
                }
            }
        }
    }

    #[test]
    fn a_role_follows_from_whole_components_of_a_name() {
        let role = |name: &str| Role::of(name);
        assert_eq!(role("audio_tower.conv1.weight"), Some(Role::Encoder));
        assert_eq!(role("multi_modal_projector.linear"), Some(Role::Projector));
        assert_eq!(role("language_model.model.layers.0.mlp.up_proj"), Some(Role::Decoder));
        assert_eq!(role("language_model.lm_head.weight"), Some(Role::Head));
        for name in ["audio_tower2.conv1", "language_model.modelling.x", "x.audio_tower.conv1", ""] {
            assert_eq!(role(name), None, "{name}");
        }
        let modules = |names: &[&str]| {
            adapt_audio(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().iter())
        };
        assert!(!modules(&["language_model.model.layers.0.mlp.up_proj"]) && !modules(&[]));
        assert!(modules(&["language_model.model.norm", "multi_modal_projector.linear"]));
    }
}
