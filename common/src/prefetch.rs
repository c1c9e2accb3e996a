//! Prefetching: a separate thread makes the next items while the current one is used.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

/// Items made ahead of the one that is used: memory does not grow with the number of items.
pub const ITEMS_AHEAD: usize = 2;

/// Makes `items` on another thread, [`ITEMS_AHEAD`] of them in advance, while `consume` takes them one by one.
///
/// The other thread ends as soon as `consume` does, however many items are left.
pub fn prefetch<T: Send, R>(
    items: impl Iterator<Item = T> + Send,
    consume: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(ITEMS_AHEAD);
        let items = Arc::new(Mutex::new(Some(items)));
        let theirs = Arc::clone(&items);
        let thread = std::thread::Builder::new().spawn_scoped(scope, move || {
            for item in take(&theirs).into_iter().flatten() {
                if sender.send(item).is_err() {
                    return;
                }
            }
        });
        match thread {
            // Dropped with the closure that owns it, which is what ends the other thread.
            Ok(_) => consume(&mut receiver.into_iter()),
            // Where the system gives no thread, each item is made when it is needed.
            Err(_) => consume(&mut take(&items).into_iter().flatten()),
        }
    })
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_come_in_order_and_no_more_than_a_few_are_made_ahead() {
        let made = AtomicUsize::new(0);
        let items = (0..1000).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        let seen = prefetch(items, |items| {
            let mut seen = Vec::new();
            for item in items.take(20) {
                seen.push(item);
                std::thread::sleep(std::time::Duration::from_millis(1));
                // In the channel, one waiting to be sent, one being made.
                assert!(made.load(Ordering::SeqCst) <= item + 1 + ITEMS_AHEAD + 2);
            }
            seen
        });
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        assert!(made.load(Ordering::SeqCst) < 30, "the thread ends with its consumer");
    }
}
