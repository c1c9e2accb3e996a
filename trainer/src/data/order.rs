//! The order in which the rows of an epoch are visited.

use std::ops::Range;

use idk_common::seed::{Rng, derive_seed};

use crate::config::TrainConfig;

/// Order of the `n` rows in `epoch`: a permutation that depends on the arguments alone.
///
/// No loader state exists, so a checkpoint needs only the step number to continue with the same rows.
pub(crate) fn epoch_order(run_seed: u64, epoch: u64, n: usize, shuffle: bool) -> Vec<usize> {
    if !shuffle {
        return (0..n).collect();
    }
    let seed = derive_seed(run_seed, "order", &[&epoch.to_string()]);
    Rng::new(seed).permutation(n)
}

/// Where step `step` (counted from 0) lies: its epoch, and the part of that epoch's order that it takes.
///
/// The last step of an epoch takes what is left; rows of two epochs never mix in a step.
pub(crate) fn step_rows(step: u64, n: usize, rows_per_step: usize) -> (u64, Range<usize>) {
    let steps_per_epoch = n.div_ceil(rows_per_step.max(1)).max(1) as u64;
    let start = (step % steps_per_epoch) as usize * rows_per_step;
    (step / steps_per_epoch, start.min(n)..(start + rows_per_step).min(n))
}

/// Sorts the rows of every `window_steps` steps by length. With `shuffle_seed` the steps of a window then follow each
/// other at random; a last one that is not full stays the last. 0 steps: the order stays as it is.
pub(crate) fn group_by_length(
    order: &mut [usize],
    lengths: &[usize],
    rows_per_step: usize,
    window_steps: u64,
    shuffle_seed: Option<u64>,
) {
    let window_rows = usize::try_from(window_steps).unwrap_or(usize::MAX).saturating_mul(rows_per_step);
    if window_rows == 0 {
        return;
    }
    for (number, window) in order.chunks_mut(window_rows).enumerate() {
        // A stable sort: rows of the same length stay in the order of the epoch.
        window.sort_by_key(|&row| lengths[row]);
        let Some(seed) = shuffle_seed else { continue };
        let mut rng = Rng::new(derive_seed(seed, "window", &[&number.to_string()]));
        let sorted = window.to_vec();
        let full = sorted.chunks_exact(rows_per_step);
        for (step, from) in window.chunks_exact_mut(rows_per_step).zip(rng.permutation(full.len())) {
            step.copy_from_slice(&sorted[from * rows_per_step..][..rows_per_step]);
        }
    }
}

/// The rows of each step of a run, cut into micro-batches: a function of seed, configuration, lengths and step alone.
#[derive(Debug)]
pub(crate) struct StepOrder<'a> {
    run_seed: u64,
    config: &'a TrainConfig,
    lengths: &'a [usize],
    /// Most rows of a micro-batch.
    at_once: usize,
    /// The epoch of `order`, once there is one.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl<'a> StepOrder<'a> {
    /// Of rows that are so many tokens long; a micro-batch has at most `at_once` of them.
    pub(crate) fn new(run_seed: u64, config: &'a TrainConfig, lengths: &'a [usize], at_once: usize) -> Self {
        Self { run_seed, config, lengths, at_once, epoch: None, order: Vec::new() }
    }

    /// The micro-batches of a step, counted from 0.
    pub(crate) fn micro_batches(&mut self, step: u64) -> Vec<Vec<usize>> {
        let (rows_per_step, shuffle) = (self.config.rows_per_step(), self.config.shuffle);
        let (epoch, range) = step_rows(step, self.lengths.len(), rows_per_step);
        if self.epoch != Some(epoch) {
            self.order = epoch_order(self.run_seed, epoch, self.lengths.len(), shuffle);
            let seed = shuffle.then(|| derive_seed(self.run_seed, "windows", &[&epoch.to_string()]));
            let window = self.config.group_by_length;
            group_by_length(&mut self.order, self.lengths, rows_per_step, window, seed);
            self.epoch = Some(epoch);
        }
        let parts = self.order[range].chunks(self.config.batch_size);
        parts.flat_map(|part| part.chunks(self.at_once)).map(<[usize]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 11] = [9, 1, 8, 2, 7, 3, 6, 4, 5, 5, 30];

    fn grouped(window_steps: u64, seed: Option<u64>) -> Vec<usize> {
        let mut order = epoch_order(7, 0, LENGTHS.len(), true);
        group_by_length(&mut order, &LENGTHS, 4, window_steps, seed);
        order
    }

    #[test]
    fn a_window_of_one_step_sorts_the_rows_of_each_step_and_moves_none_to_another() {
        let order = epoch_order(7, 0, LENGTHS.len(), true);
        assert_eq!(grouped(0, Some(1)), order);
        for (sorted, step) in grouped(1, Some(1)).chunks(4).zip(order.chunks(4)) {
            let mut expected = step.to_vec();
            expected.sort_by_key(|&row| LENGTHS[row]);
            assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn a_wider_window_puts_like_lengths_into_a_step_and_shuffles_the_steps() {
        let spread = |order: &[usize]| -> usize {
            let of_step = |step: &[usize]| {
                let lengths = step.iter().map(|&row| LENGTHS[row]);
                lengths.clone().max().unwrap() - lengths.min().unwrap()
            };
            order.chunks(4).map(of_step).sum()
        };
        let wide = grouped(3, Some(1));
        assert!(spread(&wide) < spread(&grouped(0, None)));
        let mut rows = wide.clone();
        rows.sort_unstable();
        assert_eq!(rows, (0..11).collect::<Vec<_>>(), "every row once");
        let orders: std::collections::BTreeSet<_> = (0..8).map(|seed| grouped(3, Some(seed))).collect();
        assert_eq!(orders.len(), 2, "two full steps in either order, the last one stays");
        assert_eq!(grouped(3, Some(1)), wide);
    }

    #[test]
    fn micro_batches_of_a_step_do_not_depend_on_the_steps_asked_for_before() {
        let config = TrainConfig {
            batch_size: 2,
            gradient_accumulation_steps: 2,
            group_by_length: 2,
            ..TrainConfig::default()
        };
        let mut all = StepOrder::new(3, &config, &LENGTHS, 2);
        let whole: Vec<_> = (0..7).map(|step| all.micro_batches(step)).collect();
        for (step, expected) in whole.iter().enumerate() {
            assert_eq!(&StepOrder::new(3, &config, &LENGTHS, 2).micro_batches(step as u64), expected);
            let apart = StepOrder::new(3, &config, &LENGTHS, 1).micro_batches(step as u64);
            assert_eq!((apart.len(), apart.concat()), (expected.concat().len(), expected.concat()));
        }
        assert_eq!(whole[2].concat().len(), 3);
        assert_ne!(whole[0], whole[3], "another epoch, another order");
    }

    #[test]
    fn every_row_is_visited_once_an_epoch() {
        for n in [0, 1, 2, 17, 500] {
            let mut order = epoch_order(7, 3, n, true);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_changes_with_the_epoch_and_the_seed_and_with_nothing_else() {
        let order = epoch_order(7, 0, 100, true);
        assert_eq!(order, epoch_order(7, 0, 100, true));
        assert_ne!(order, epoch_order(7, 1, 100, true));
        assert_ne!(order, epoch_order(8, 0, 100, true));
        assert_ne!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn without_shuffling_the_rows_keep_their_order() {
        assert_eq!(epoch_order(7, 1, 4, false), [0, 1, 2, 3]);
    }

    #[test]
    fn steps_cover_an_epoch_without_gap_or_overlap_and_then_start_over() {
        let slices: Vec<_> = (0..4).map(|step| step_rows(step, 10, 4)).collect();
        assert_eq!(slices, [(0, 0..4), (0, 4..8), (0, 8..10), (1, 0..4)]);
    }
}
