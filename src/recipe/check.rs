//! What is wrong with a recipe beyond the types of its values: ranges, and keys that need each other.

use idk_trainer::{BestMetric, Method};

use super::Recipe;
use super::read::Places;
use crate::error::RecipeProblem;

impl Recipe {
    /// Checks that need the meaning of a value, not only its type.
    pub(super) fn check_values(&self, places: &Places, problems: &mut Vec<RecipeProblem>) {
        let of_sections = [("train", self.train.problems()), ("dpo", self.dpo.problems())];
        for (section, found) in of_sections {
            for problem in found {
                let key = format!("{section}.{}", problem.key);
                let message = format!("`{}` in [{section}] {}", problem.key, problem.message);
                problems.push(RecipeProblem::at(places, &key, &message));
            }
        }
        if let Err(idk_dataset_builder::BuildError::Config { key, what }) = self.build.check() {
            let message = format!("`{key}` in [build] {what}");
            problems.push(RecipeProblem::at(places, &format!("build.{key}"), &message));
        }
        if let Err(idk_evaluator::EvalError::Config { key, what }) = self.eval.check() {
            let message = format!("`{key}` in [eval] {what}");
            problems.push(RecipeProblem::at(places, &format!("eval.{key}"), &message));
        }
        for (key, what) in self.lora.problems() {
            let message = format!("`{key}` in [lora] {what}");
            problems.push(RecipeProblem::at(places, &format!("lora.{key}"), &message));
        }
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                problems.push(RecipeProblem::at(places, key, message));
            }
        };
        check(self.model.pad_to <= 1024, "model.pad_to", "`pad_to` must be at most 1024 tokens");
        check(
            self.data.limit_per_task != Some(0),
            "data.limit_per_task",
            "`limit_per_task` must be 1 or more",
        );
        for (key, count) in
            [("train_questions", self.data.train_questions), ("val_questions", self.data.val_questions)]
        {
            check(count != Some(0), &format!("data.{key}"), &format!("`{key}` must be 1 or more"));
        }
        check(
            self.data.val.is_empty() || ![&self.data.train, &self.data.test].contains(&&self.data.val),
            "data.val",
            "`val` in [data] must be other questions than `train` and `test`",
        );
        self.check_validation(&mut check);
        check(
            !self.eval.fits_on_val() || !self.data.val.is_empty(),
            "eval.methods",
            "`threshold` and `agreement` in [eval] are fitted on val: give `val` in [data], such as \"bank:val\"",
        );
        check(!self.output.dir.as_os_str().is_empty(), "output.dir", "`dir` in [output] must name a folder");
        check(self.init.is_none() || self.base.is_some(), "init", "[init] needs a [base] section beside it");
        check(self.data.agreement > 0, "data.agreement", "`agreement` must be 1 or more");
        if let Some(transfer) = &self.transfer {
            check(self.base.is_none(), "transfer", "[transfer] trains adapters; it does not go with [base]");
            for (key, message) in transfer.problems() {
                check(false, &format!("transfer.{key}"), &format!("`{key}` in [transfer] {message}"));
            }
        }
        if let Some(sweep) = &self.sweep {
            for (key, message) in sweep.problems(self.build.n_samples) {
                check(false, &format!("sweep.{key}"), &format!("`{key}` in [sweep] {message}"));
            }
            if !sweep.k.is_empty() {
                let other = self.base.is_some() || self.transfer.is_some();
                check(!other, "sweep.k", "`k` in [sweep] does not go with [base] and [transfer]");
                let all = "`k` in [sweep] needs every sample: `stop_when_decided` in [build] must be false";
                check(!self.build.stop_when_decided, "sweep.k", all);
            }
        }
        if let Some(base) = &self.base {
            check(self.train.max_steps.is_some(), "train.max_steps", "a [base] recipe needs `max_steps`");
            for (key, message) in base.problems() {
                check(false, &format!("base.{key}"), &format!("`{key}` in [base] {message}"));
            }
        }
    }

    /// What is chosen by must be measured.
    fn check_validation(&self, check: &mut dyn FnMut(bool, &str, &str)) {
        let (train, questions) = (&self.train, !self.data.val.is_empty());
        let by_questions = [BestMetric::Acc, BestMetric::Rel, BestMetric::Rgi];
        let by_pairs = [BestMetric::RewardAccuracies, BestMetric::RewardMargins];
        let chosen_by =
            |metrics: &[BestMetric]| train.metric_for_best.is_some_and(|it| metrics.contains(&it));
        let key = "train.metric_for_best";
        check(!chosen_by(&by_questions) || questions, key, "this `metric_for_best` needs `val` in [data]");
        let dpo = train.method == Method::Dpo;
        check(!chosen_by(&by_pairs) || dpo, key, "this `metric_for_best` needs `method = \"dpo\"`");
        check(
            train.target_refusal_rate.is_none() || questions,
            "train.target_refusal_rate",
            "`target_refusal_rate` needs `val` in [data]",
        );
        check(
            self.base.is_none() || !train.selects(),
            "train",
            "a [base] recipe has no `metric_for_best` and no `target_refusal_rate`",
        );
    }
}
