//! Running independent pieces of work on several threads with the same result as on one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;

use crate::device::run_settings::is_gpu;

/// Threads that may compute on `device` at once: the CPU backend runs most element-wise work on the calling thread
/// alone, so whole batches are spread over threads there; a GPU has one queue.
#[must_use]
pub fn workers(device: &Device) -> usize {
    if is_gpu(device) { 1 } else { rayon::current_num_threads() }
}

/// `f` of every item, in the order of the items.
///
/// Plain threads and not a rayon pool: a pool thread that waits inside a matrix product would start another item and
/// hold the memory of both.
pub(crate) fn map_in_order<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    f: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    map_with(items, workers, f, |work| work())
}

/// [`map_in_order`] for pieces that are each too small to be worth spreading over threads: every worker has a pool of one
/// thread, so that the matrix products inside a piece stay on it and wait for nobody.
pub(crate) fn map_on_one_thread_each<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    f: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    map_with(items, workers, f, |work| match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        // The same values, only slower.
        Err(_) => work(),
    })
}

/// `run` calls the work of one thread.
fn map_with<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    f: impl Fn(&T) -> R + Sync,
    run: impl Fn(&mut (dyn FnMut() + Send)) + Sync,
) -> Vec<R> {
    if workers <= 1 || items.len() <= 1 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        run(&mut || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { break };
                let result = f(item);
                done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
            }
        });
    };
    std::thread::scope(|scope| {
        // The system may give fewer threads, or none.
        let start = |_: &usize| std::thread::Builder::new().spawn_scoped(scope, work).is_ok();
        if (0..workers.min(items.len())).filter(start).count() == 0 {
            work();
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_for_any_number_of_workers() {
        let items: Vec<usize> = (0..50).collect();
        for workers in [1, 2, 7, 80] {
            assert_eq!(
                map_in_order(&items, workers, |item| item * 3),
                (0..150).step_by(3).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn pieces_that_stay_on_one_thread_see_no_other_and_come_in_order() {
        let items: Vec<usize> = (0..20).collect();
        let threads = |item: &usize| (*item, rayon::current_num_threads());
        let expected: Vec<(usize, usize)> = (0..20).map(|item| (item, 1)).collect();
        assert_eq!(map_on_one_thread_each(&items, 3, threads), expected);
    }
}
