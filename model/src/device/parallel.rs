//! Running independent pieces of work on several threads with the same result as on one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use burn::tensor::Device;

use crate::device::run_settings::is_gpu;

/// Threads that may compute on `device` at once: the CPU backend runs most element-wise work on the calling thread
/// alone, so whole batches are spread over threads there; a GPU has one queue.
#[must_use]
pub fn workers(device: &Device) -> usize {
    if is_gpu(device) { 1 } else { rayon::current_num_threads() }
}

/// `f` of every item, in the order of the items; see [`each_in_order`].
pub fn map_in_order<T: Sync, R: Send>(items: &[T], device: &Device, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let mut results = Vec::with_capacity(items.len());
    each_in_order(items, device, |_, item| f(item), |result| results.push(result));
    results
}

/// Calls `take` with `f(index, item)` of every item, in the order of the items, as soon as it is there; on the CPU several
/// items are worked on at once.
///
/// Each worker has a pool of its own, which holds its share of the threads: what an item does in parallel starts inside
/// that pool. From a thread outside of it every product would be handed to another core and waited for, which costs
/// more than a small product. Nor can a thread that waits take up another item and hold the memory of both.
pub fn each_in_order<T: Sync, R: Send>(
    items: &[T],
    device: &Device,
    f: impl Fn(usize, &T) -> R + Sync,
    mut take: impl FnMut(R),
) {
    let threads = workers(device);
    let workers = threads.min(items.len());
    let one_by_one = |take: &mut dyn FnMut(R)| {
        for (index, item) in items.iter().enumerate() {
            take(if is_gpu(device) { f(index, item) } else { on_pool(|| f(index, item)) });
        }
    };
    if workers <= 1 {
        return one_by_one(&mut take);
    }
    let next = AtomicUsize::new(0);
    let (sender, results) = std::sync::mpsc::channel();
    let work = |sender: Sender<(usize, R)>| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            if sender.send((index, f(index, item))).is_err() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        let work = &work;
        let start = |worker: &usize| {
            let threads = threads / workers + usize::from(*worker < threads % workers);
            let sender = sender.clone();
            let on_own_pool = move || match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
                Ok(pool) => pool.install(|| work(sender)),
                // The same values, only slower.
                Err(_) => work(sender),
            };
            std::thread::Builder::new().spawn_scoped(scope, on_own_pool).is_ok()
        };
        // The system may give fewer threads, or none.
        if (0..workers).filter(start).count() == 0 {
            return one_by_one(&mut take);
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        for (index, result) in results {
            early.insert(index, result);
            while let Some(result) = early.remove(&wanted) {
                take(result);
                wanted += 1;
            }
        }
    });
}

/// Runs `f` inside of the pool that is current.
fn on_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { f() } else { rayon::join(f, || ()).0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_for_any_number_of_threads() {
        let items: Vec<usize> = (0..50).collect();
        for threads in [1, 2, 7, 80] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| map_in_order(&items, &Device::flex(), |item| item * 3));
            assert_eq!(found, (0..150).step_by(3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn items_share_out_the_threads_and_compute_inside_of_their_pool() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
        let threads = |_: &usize| (rayon::current_num_threads(), rayon::current_thread_index().is_some());
        let found = |items: &[usize]| pool.install(|| map_in_order(items, &Device::flex(), threads));
        assert_eq!(found(&[0; 20]), [(1, true); 20]);
        let mut two = found(&[0; 2]);
        two.sort_unstable();
        assert!(
            [vec![(2, true), (3, true)], vec![(2, true); 2], vec![(3, true); 2]].contains(&two),
            "{two:?}"
        );
        assert_eq!(found(&[0]), [(5, true)]);
        assert!(map_in_order(&[0], &Device::flex(), threads)[0].1);
    }
}
