//! Learning rate: linear warm-up, then cosine, linear or constant.

use crate::config::{Schedule, TrainConfig};

/// Steps of linear warm-up in a run of `total_steps`.
///
/// `warmup_steps` if it is set, else `warmup_ratio` of the run rounded up, as the Hugging Face trainer counts it.
pub(crate) fn warmup_steps(config: &TrainConfig, total_steps: u64) -> u64 {
    config.warmup_steps.unwrap_or_else(|| (config.warmup_ratio * total_steps as f64).ceil() as u64)
}

/// Learning rate of step `step` (counted from 0) in a run of `total_steps`.
///
/// A pure function, so a resumed run needs no scheduler state. Warm-up step `i` of `w` has `(i + 1) / w` of the
/// peak: unlike the Hugging Face schedules, no step is spent at a rate of 0.
pub(crate) fn learning_rate(config: &TrainConfig, step: u64, total_steps: u64) -> f64 {
    let peak = config.learning_rate;
    let warmup = warmup_steps(config, total_steps);
    if step < warmup {
        return peak * (step + 1) as f64 / warmup as f64;
    }
    let decay_steps = total_steps.saturating_sub(warmup).max(1);
    let progress = ((step - warmup) as f64 / decay_steps as f64).min(1.0);
    let floor = config.min_lr_ratio;
    let shape = match config.schedule {
        Schedule::Cosine => floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        Schedule::Linear => floor + (1.0 - floor) * (1.0 - progress),
        Schedule::Constant => 1.0,
    };
    peak * shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: Schedule, warmup: u64, min_lr_ratio: f64) -> TrainConfig {
        TrainConfig {
            learning_rate: 2.0,
            schedule,
            warmup_steps: Some(warmup),
            min_lr_ratio,
            ..TrainConfig::default()
        }
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    #[test]
    fn warm_up_rises_linearly_and_never_wastes_a_step_at_zero() {
        let config = config(Schedule::Cosine, 4, 0.0);
        let rates: Vec<f64> = (0..5).map(|step| learning_rate(&config, step, 20)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0]);
    }

    #[test]
    fn cosine_is_half_way_down_in_the_middle_and_ends_at_the_floor() {
        let config = config(Schedule::Cosine, 4, 0.1);
        assert!(close(learning_rate(&config, 12, 20), 2.0 * (0.1 + 0.9 * 0.5)));
        assert!(close(learning_rate(&config, 8, 20), 2.0 * (0.1 + 0.9 * (0.5 + 0.5 * 0.5_f64.sqrt()))));
        assert!(close(learning_rate(&config, 20, 20), 0.2));
    }

    #[test]
    fn linear_falls_by_the_same_amount_each_step() {
        let config = config(Schedule::Linear, 0, 0.0);
        let rates: Vec<f64> = (0..4).map(|step| learning_rate(&config, step, 4)).collect();
        assert_eq!(rates, [2.0, 1.5, 1.0, 0.5]);
    }

    #[test]
    fn constant_stays_at_the_peak_after_warm_up() {
        let config = config(Schedule::Constant, 2, 0.3);
        assert!(close(learning_rate(&config, 0, 10), 1.0));
        assert!(close(learning_rate(&config, 9, 10), 2.0));
    }

    #[test]
    fn the_warm_up_share_is_rounded_up() {
        let config = TrainConfig { warmup_ratio: 0.1, ..TrainConfig::default() };
        assert_eq!(warmup_steps(&config, 63), 7);
        assert_eq!(warmup_steps(&TrainConfig { warmup_ratio: 0.0, ..config }, 63), 0);
    }
}
