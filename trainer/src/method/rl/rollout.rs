//! Sampling a group of answers to every question of a batch.

use idk_common::seed::derive_seed;
use idk_model::{Adapters, Generated, SamplingConfig, generate};

use crate::data::{Rollout, TrainingBatch};
use crate::error::TrainError;
use crate::method::given::{prompts, token_log_probs};
use crate::method::graded::Graded;
use crate::method::rl::Rl;
use crate::method::rl::advantage::{advantages, std};
use crate::method::rl::config::AdvantageKind;

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
        let prompts = prompts(self.lalm, Some(policy), batch)?;
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
        let reference = if self.config.beta > 0.0 {
            token_log_probs(self.lalm, self.reference.as_ref(), batch)?
        } else {
            Vec::new()
        };
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
}
