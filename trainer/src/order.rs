//! The order in which the rows of an epoch are visited.

use std::ops::Range;

use idk_common::seed::{Rng, derive_seed};

/// Order of the `n` rows in `epoch`: a permutation that depends on the arguments alone.
///
/// No loader state exists, so a checkpoint needs only the step number to go on with the same rows.
pub fn epoch_order(run_seed: u64, epoch: u64, n: usize, shuffle: bool) -> Vec<usize> {
    if !shuffle {
        return (0..n).collect();
    }
    let seed = derive_seed(run_seed, "order", &[&epoch.to_string()]);
    Rng::new(seed).permutation(n)
}

/// Where step `step` (counted from 0) lies: its epoch, and the part of that epoch's order that it takes.
///
/// The last step of an epoch takes what is left; rows of two epochs never mix in a step.
pub fn step_rows(step: u64, n: usize, rows_per_step: usize) -> (u64, Range<usize>) {
    let steps_per_epoch = n.div_ceil(rows_per_step.max(1)).max(1) as u64;
    let start = (step % steps_per_epoch) as usize * rows_per_step;
    (step / steps_per_epoch, start.min(n)..(start + rows_per_step).min(n))
}

#[cfg(test)]
mod tests {
    use super::*;

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
