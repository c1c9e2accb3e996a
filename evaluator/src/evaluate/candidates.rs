//! Who is compared in an evaluation, and whether each has what it works with.

use idk_common::Problem;

use crate::answer::subject::{NamedAdapter, Subject};
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::{Candidate, Method};

/// The recipe's methods, each once, and every adapter where the recipe has `adapter`; the base is answered anyway.
pub(super) fn candidates(config: &EvalConfig, adapters: &[NamedAdapter]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for &method in &config.methods {
        let of_method: Vec<Candidate> = match method {
            Method::Base => Vec::new(),
            Method::Adapter => {
                adapters.iter().map(|adapter| Candidate { name: adapter.name.clone(), method }).collect()
            }
            _ => vec![method.into()],
        };
        for who in of_method {
            if !candidates.contains(&who) {
                candidates.push(who);
            }
        }
    }
    candidates
}

/// What a rule works with must be there before an earlier evaluation is taken away.
pub(super) fn check_possible(
    subject: &Subject<'_>,
    config: &EvalConfig,
    candidates: &[Candidate],
) -> Result<(), EvalError> {
    let lacks = |method: Method, what: &str, hint| {
        Err(EvalError::Lacks { method: method.name(), what: what.to_owned(), hint })
    };
    let has = |method: Method| candidates.iter().any(|who| who.method == method);
    for method in candidates.iter().map(|who| who.method).filter(|method| method.is_measure()) {
        if subject.val.is_none() || (method.needs_samples() && subject.samples.is_none()) {
            return lacks(method, "is fitted on questions that were not given", "give `val` in [data]");
        }
    }
    let decoder_layers = subject.lalm.config.text.num_hidden_layers;
    if has(Method::Probe) && subject.probe.is_none() {
        let hint = "evaluate a recipe whose dataset is built (`idk-build RECIPE`)";
        return lacks(Method::Probe, "is fitted on an IDK dataset that was not given", hint);
    }
    if let Some(layer) = config.probe.layers.iter().find(|&&layer| layer > decoder_layers) {
        let what = format!("there is no layer {layer}: the model has 0 to {decoder_layers}");
        return Err(EvalError::Config { problems: vec![Problem::of_key("eval", "probe.layers", &what)] });
    }
    if has(Method::Group) && subject.known_share.is_empty() {
        let hint = "evaluate a recipe whose dataset is built (`idk-build RECIPE`)";
        return lacks(Method::Group, "needs the labels of an IDK dataset", hint);
    }
    if has(Method::Random)
        && config.random_rate.is_none()
        && candidates.iter().all(|who| who.method.is_rule())
    {
        let hint = "give `random_rate` in [eval], or a method that runs a model";
        return lacks(Method::Random, "does not know how many questions to refuse", hint);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixture::{lalm, named};

    #[test]
    fn the_base_is_not_compared_with_itself_and_an_adapter_needs_one() {
        let lalm = lalm();
        let adapter = |name: &str| named(name, &lalm);
        let all = vec![Method::Base, Method::Adapter, Method::IdkPrompt, Method::Adapter];
        let config = EvalConfig { methods: all, ..EvalConfig::default() };
        let names = |adapters: &[NamedAdapter]| {
            candidates(&config, adapters).into_iter().map(|who| who.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[adapter("adapter"), adapter("k5")]), ["adapter", "k5", "idk-prompt"]);
        assert_eq!(names(&[]), ["idk-prompt"]);
    }
}
