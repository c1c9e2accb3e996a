//! Sampling a group of answers to every question of a batch.

use idk_common::seed::derive_seed;
use idk_model::{Adapters, Generated, Prompt, SamplingConfig, answer_log_probs, generate};

use crate::data::{Rollout, TrainingBatch};
use crate::error::TrainError;
use crate::method::features::features;
use crate::method::rl::advantage::{advantages, std};
use crate::method::rl::config::AdvantageKind;
use crate::method::rl::{Graded, Rl};

impl Rl<'_> {
    /// Replaces the answers of the batch by samples from `policy`, with their advantages and log-probabilities.
    pub(super) fn sample(
        &self,
        batch: &mut TrainingBatch,
        policy: &Adapters,
        step: u64,
    ) -> Result<(), TrainError> {
        let sampling = SamplingConfig {
            temperature: 1.0,
            max_new_tokens: self.config.max_new_tokens,
            ..SamplingConfig::default()
        };
        let seed = |row: &usize, sample: usize| {
            derive_seed(self.seed, "rl-sample", &[&step.to_string(), &row.to_string(), &sample.to_string()])
        };
        let group = self.config.group_size;
        let seeds: Vec<Vec<u64>> =
            batch.rows.iter().map(|row| (0..group).map(|sample| seed(row, sample)).collect()).collect();
        let prompts = self.prompts(batch, Some(policy))?;
        let sampled = generate(self.lalm, Some(policy), &prompts, &sampling, &seeds)?;
        let rows = batch.len();
        let at = |answer: usize| (answer % rows, answer / rows);
        let answers = rows * group;
        batch.prompt_of = (0..answers).map(|answer| at(answer).0).collect();
        let samples: Vec<&Generated> =
            (0..answers).map(at).map(|(row, sample)| &sampled[row][sample]).collect();
        batch.answers = samples.iter().map(|sample| sample.ids.clone()).collect();
        let old = samples.iter().flat_map(|sample| sample.token_log_probs.clone()).collect();
        let grades: Vec<Graded> = samples
            .iter()
            .enumerate()
            .map(|(place, sample)| self.grade(batch, place, &sample.text))
            .collect();
        let reference = if self.config.beta > 0.0 { self.reference_log_probs(batch)? } else { Vec::new() };
        let mut rewards: Vec<f64> = grades.iter().map(|graded| graded.reward).collect();
        if self.config.advantage == AdvantageKind::Rloo && self.config.beta > 0.0 {
            self.penalize(&mut rewards, &samples, &reference);
        }
        let unfinished = samples.iter().filter(|sample| !sample.finished).count();
        batch.rollout = Rollout { advantages: vec![0.0; answers], old, reference, measured: Vec::new() };
        self.settle(batch, &grades, &rewards, unfinished);
        Ok(())
    }

    /// Takes what an answer is likelier under the policy than under the reference off its reward.
    fn penalize(&self, rewards: &mut [f64], samples: &[&Generated], reference: &[f32]) {
        let mut start = 0;
        for (reward, sample) in rewards.iter_mut().zip(samples) {
            let of_answer = &reference[start..][..sample.ids.len()];
            let reference: f64 = of_answer.iter().map(|&value| f64::from(value)).sum();
            *reward -= self.config.beta * (sample.log_prob - reference);
            start += sample.ids.len();
        }
    }

    /// Advantages within each group, and what is measured of the rewards.
    fn settle(&self, batch: &mut TrainingBatch, grades: &[Graded], rewards: &[f64], unfinished: usize) {
        let rows = batch.len();
        let (mut of_groups, mut equal) = (0.0, 0);
        for row in 0..rows {
            let group: Vec<f64> = rewards.iter().skip(row).step_by(rows).copied().collect();
            for (sample, gain) in advantages(self.config.advantage, &group).into_iter().enumerate() {
                batch.rollout.advantages[sample * rows + row] = gain;
            }
            let graded: Vec<f64> = grades.iter().skip(row).step_by(rows).map(|it| it.reward).collect();
            of_groups += std(&graded);
            equal += usize::from(std(&graded) == 0.0);
        }
        let count = |counts: fn(&Graded) -> bool| grades.iter().filter(|it| counts(it)).count() as f64;
        batch.rollout.measured = vec![
            grades.len() as f64,
            rows as f64,
            grades.iter().map(|graded| graded.reward).sum(),
            of_groups,
            equal as f64,
            unfinished as f64,
            count(|graded| graded.is_right),
            count(|graded| graded.is_refusal),
        ];
    }

    /// Log-probability of every token of the batch's answers under the reference, answer by answer.
    fn reference_log_probs(&self, batch: &TrainingBatch) -> Result<Vec<f32>, TrainError> {
        let reference = self.reference.as_ref();
        let prompts = self.prompts(batch, reference)?;
        let mut of_prompts: Vec<Vec<Vec<u32>>> = vec![Vec::new(); batch.len()];
        for (answer, &prompt) in batch.answers.iter().zip(&batch.prompt_of) {
            of_prompts[prompt].push(answer.clone());
        }
        let scores = answer_log_probs(self.lalm, reference, &prompts, &of_prompts)?;
        let mut scores: Vec<_> = scores.into_iter().map(Vec::into_iter).collect();
        Ok(batch.prompt_of.iter().flat_map(|&prompt| scores[prompt].next().unwrap_or_default()).collect())
    }

    /// Log-probabilities of the batch's own answers under the reference, summed over their tokens.
    pub(super) fn score_given(&self, batch: &mut TrainingBatch) -> Result<(), TrainError> {
        if self.config.beta == 0.0 {
            return Ok(());
        }
        let mut tokens = self.reference_log_probs(batch)?.into_iter();
        let sum = |answer: &Vec<u32>| tokens.by_ref().take(answer.len()).map(f64::from).sum();
        batch.reference = batch.answers.iter().map(sum).collect();
        Ok(())
    }

    /// The prompts of the batch with what `adapters` hear; features of a frozen audio path are there already.
    fn prompts(&self, batch: &TrainingBatch, adapters: Option<&Adapters>) -> Result<Vec<Prompt>, TrainError> {
        let audio = features(self.lalm, adapters, batch.audio.clone())?;
        let prompt = |(row, audio)| Prompt { ids: batch.prompt(row), audio, guide: None };
        Ok(audio.into_iter().enumerate().map(prompt).collect())
    }
}
