//! What is wrong with a recipe beyond the types of its values: ranges, and keys that need each other.

use idk_common::Problem;
use idk_evaluator::AnswerBy;
use idk_questions::PromptStyle;
use idk_server::{ServerApi, ServerLogProbs};
use idk_trainer::{BestMetric, MethodKind, RowKind};

use super::{KeyLines, Recipe, RecipeProblem, TransferConfig};

impl Recipe {
    /// Checks that need the meaning of a value, not only its type: each section alone, then sections together.
    pub(super) fn check_values(&self, places: &KeyLines, problems: &mut Vec<RecipeProblem>) {
        let mut found = self.of_sections();
        self.check_evaluations(&mut found);
        self.check_experiments(&mut found);
        self.check_server(&mut found);
        problems.extend(found.into_iter().map(|problem| RecipeProblem::at(places, problem)));
    }

    /// What each section finds wrong with itself.
    fn of_sections(&self) -> Vec<Problem> {
        let mut found = [
            self.model.problems(),
            self.data.problems(),
            self.build.problems(),
            self.lora.problems(),
            self.train.problems(),
            self.dpo.problems(),
            self.calibrated.problems(),
            self.rl.problems(),
            self.eval.problems(),
            self.output.problems(),
        ]
        .concat();
        found.extend(self.transfer.iter().flat_map(TransferConfig::problems));
        found.extend(self.sweep.iter().flat_map(|sweep| sweep.problems(self.build.n_samples)));
        found
    }

    /// What is chosen by or fitted on must be measured.
    fn check_evaluations(&self, found: &mut Vec<Problem>) {
        let (train, questions) = (&self.train, !self.data.val.is_empty());
        let by_questions = [BestMetric::Acc, BestMetric::Rel, BestMetric::Rgi];
        let by_pairs = [BestMetric::RewardAccuracies, BestMetric::RewardMargins];
        let chosen_by =
            |metrics: &[BestMetric]| train.metric_for_best.is_some_and(|it| metrics.contains(&it));
        let metric = |what| Problem::new("train.metric_for_best", format!("this `metric_for_best` {what}"));
        if chosen_by(&by_questions) && !questions {
            found.push(metric("needs `val` in [data]"));
        }
        if chosen_by(&by_pairs) && self.method().rows() != RowKind::Pair {
            found.push(metric("needs `method = \"dpo\"`"));
        }
        if train.method == MethodKind::Rl && self.lora.dropout > 0.0 {
            let what = "does not go with `method = \"rl\"`, whose samples are drawn without it";
            found.push(Problem::of_key("lora", "dropout", what));
        }
        if self.method().rows() == RowKind::OwnAnswer && self.build.stop_when_decided {
            let what =
                "does not go with `method = \"calibrated\"`: the share of wrong samples needs all of them";
            found.push(Problem::of_key("build", "stop_when_decided", what));
        }
        if train.target_refusal_rate.is_some() && !questions {
            found.push(Problem::of_key("train", "target_refusal_rate", "needs `val` in [data]"));
        }
        if self.eval.fits_on_val() && !questions {
            let what = "the thresholds of measures of doubt, such as `threshold`, are fitted on val: give `val` in [data], such as \"bank:val\"";
            found.push(Problem::new("eval.methods", what));
        }
    }

    /// A model is at one server, and what that server cannot do is not asked for.
    fn check_server(&self, found: &mut Vec<Problem>) {
        let (model, build, eval) = (&self.model, &self.build, &self.eval);
        let served = eval.served_adapters();
        if model.server_url.is_empty() {
            if let Some((name, _)) = served.first() {
                let what = format!("has `{name}` of a server: give `server_url` in [model]");
                found.push(Problem::of_key("eval", "adapters", what));
            }
            return;
        }
        if (&build.server_url, &build.server_model) != (&model.server_url, &model.server_model) {
            let what = "is not that of [model]: leave out `sampler` and `server_*` here";
            found.push(Problem::of_key("build", "server_url", what));
        }
        if model.server_api == ServerApi::OpenAi && eval.repetition_penalty != 1.0 {
            let what = "is not a field of OpenAI's API: it must be 1 with `server_api = \"openai\"`";
            found.push(Problem::of_key("eval", "repetition_penalty", what));
        }
        if model.server_api == ServerApi::OpenAi && (build.top_k != 0 || build.repetition_penalty != 1.0) {
            let what = "and `repetition_penalty` are no fields of OpenAI's API: leave them out with `server_api = \"openai\"`";
            found.push(Problem::of_key("build", "top_k", what));
        }
        if model.server_api == ServerApi::OpenAi && build.guided {
            let what = "needs a field of vLLM: it does not go with `server_api = \"openai\"`";
            found.push(Problem::of_key("build", "guided", what));
        }
        let by_letters = model.server_log_probs == Some(ServerLogProbs::Letters);
        if by_letters && (build.prompt != PromptStyle::Lettered || eval.answer_by != AnswerBy::Text) {
            let what = "\"letters\" needs answers that begin with a letter: `prompt = \"lettered\"` in [build], `answer_by = \"text\"` in [eval]";
            found.push(Problem::of_key("model", "server_log_probs", what));
        }
        if model.server_api == ServerApi::OpenAi && eval.answer_by == AnswerBy::Guided {
            let what = "needs a field of vLLM: \"guided\" does not go with `server_api = \"openai\"`";
            found.push(Problem::of_key("eval", "answer_by", what));
        }
    }

    /// Kinds of runs that do not go together, and what they need.
    fn check_experiments(&self, found: &mut Vec<Problem>) {
        if self.sweep.as_ref().is_some_and(|sweep| !sweep.k.is_empty()) {
            if self.transfer.is_some() {
                found.push(Problem::of_key("sweep", "k", "does not go with [transfer]"));
            }
            if self.build.stop_when_decided {
                let what = "needs every sample: `stop_when_decided` in [build] must be false";
                found.push(Problem::of_key("sweep", "k", what));
            }
        }
    }
}
