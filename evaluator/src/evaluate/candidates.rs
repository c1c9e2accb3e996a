//! Who is compared in an evaluation, and whether each has what it works with.

use idk_common::Problem;

use crate::answer::subject::Subject;
use crate::backend::Backend;
use crate::config::{AnswerBy, EvalConfig};
use crate::error::EvalError;
use crate::method::{Candidate, Method};

/// The names of all adapters: those in this program, then those of the server.
pub(super) fn adapter_names<'a>(subject: &'a Subject<'_>) -> Vec<&'a str> {
    let local = subject.adapters.iter().map(|adapter| adapter.name.as_str());
    local.chain(subject.served_adapters.iter().map(|(name, _)| name.as_str())).collect()
}

/// The recipe's methods, each once, and every adapter where the recipe has `adapter`; the base is answered anyway.
pub(super) fn candidates(config: &EvalConfig, adapters: &[&str]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for &method in &config.methods {
        let of_method: Vec<Candidate> = match method {
            Method::Base => Vec::new(),
            Method::Adapter => {
                adapters.iter().map(|&name| Candidate { name: name.to_owned(), method }).collect()
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
    if has(Method::Probe) && matches!(subject.backend, Backend::Served(_)) {
        let what = "reads hidden states, which a server does not give";
        return lacks(
            Method::Probe,
            what,
            "evaluate the model in this program, without `server_url` in [model]",
        );
    }
    if has(Method::Probe) && subject.probe.is_none() {
        let hint = "evaluate a recipe whose dataset is built (`idk-build RECIPE`)";
        return lacks(Method::Probe, "is fitted on an IDK dataset that was not given", hint);
    }
    let decoder_layers = subject.backend.lalm().map_or(usize::MAX, |lalm| lalm.config.text.num_hidden_layers);
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
    check_backend(&subject.backend, config, candidates)
}

/// What a server must give for the methods.
fn check_backend(
    backend: &Backend<'_>,
    config: &EvalConfig,
    candidates: &[Candidate],
) -> Result<(), EvalError> {
    let first = |needs: fn(Method) -> bool| candidates.iter().map(|who| who.method).find(|&it| needs(it));
    let options = "needs the probability of given texts as the answer, which is not asked for";
    let hint = "write `server_log_probs = \"options\"` in [model]; the server must give `prompt_logprobs`, as vLLM does";
    let lacks = |method: &'static str, what: &str, hint| {
        Err(EvalError::Lacks { method, what: what.to_owned(), hint })
    };
    if let Some(method) = first(Method::compares_texts).filter(|_| !backend.scores_texts()) {
        return lacks(method.name(), options, hint);
    }
    let knows_options = backend.scores_texts() || backend.gives_letters();
    if let Some(method) = first(Method::needs_options).filter(|_| !knows_options) {
        let what = "needs the probability of every option, which is not asked for";
        let hint = "write `server_log_probs` in [model]: \"options\" for vLLM, \"letters\" for a server that gives `top_logprobs`";
        return lacks(method.name(), what, hint);
    }
    if config.answer_by == AnswerBy::Options && !backend.scores_texts() {
        return lacks("answer_by = \"options\"", options, hint);
    }
    if let Some(method) = first(Method::needs_log_probs).filter(|_| !backend.gives_log_probs()) {
        let what = "needs the log-probability of every answer, which is not asked for";
        return lacks(method.name(), what, "write `server_log_probs = \"answers\"` in [model]");
    }
    if matches!(backend, Backend::Served(_))
        && config.answer_by == AnswerBy::Guided
        && config.refusal_offset != 0.0
    {
        let what = "is not for a server, which guides by its own probabilities";
        return lacks("refusal_offset", what, "leave it out, or write `answer_by = \"options\"`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_not_compared_with_itself_and_an_adapter_needs_one() {
        let all = vec![Method::Base, Method::Adapter, Method::IdkPrompt, Method::Adapter];
        let config = EvalConfig { methods: all, ..EvalConfig::default() };
        let names = |adapters: &[&str]| {
            candidates(&config, adapters).into_iter().map(|who| who.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["adapter", "k5"]), ["adapter", "k5", "idk-prompt"]);
        assert_eq!(names(&[]), ["idk-prompt"]);
    }
}
