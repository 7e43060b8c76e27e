//! Work on many items, shared out among threads that live no longer than the call.
//!
//! A pool of threads would not survive a fork of the process.

use std::num::NonZero;
use std::ops::Range;
use std::thread;

/// Items that are worth a thread of their own. Starting one takes as long as looking for some ten files.
const SHARE: usize = 512;

/// Threads that work at the same time.
///
/// More than there are cores, because a file system that is on another machine is waited for.
const MOST_THREADS: usize = 8;

/// Applies a function to each item, in shares if there are many, and returns the results in order.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], apply: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let of_share = |range: Range<usize>| items[range].iter().map(&apply).collect::<Vec<_>>();
    shares(items.len(), SHARE, of_share).into_iter().flatten().collect()
}

/// Applies a function to shares of the numbers below `count`, each of which is worth a thread if it has at
/// least `worth` of them, and returns the results in order.
pub(crate) fn shares<R: Send>(count: usize, worth: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    among(MOST_THREADS, count, worth, work)
}

/// The same for work that waits for nothing, by as many threads as there are cores.
pub(crate) fn busy_shares<R: Send>(
    count: usize,
    worth: usize,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    among(thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS), count, worth, work)
}

fn among<R: Send>(
    most: usize,
    count: usize,
    worth: usize,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let threads = (count / worth).clamp(1, most);
    let size = count.div_ceil(threads).max(1);
    let share = |number: usize| (number * size).min(count)..((number + 1) * size).min(count);
    let work = &work;
    thread::scope(|scope| {
        let others: Vec<_> = (1..count.div_ceil(size))
            .map(share)
            .map(|share| {
                let range = share.clone();
                (share, thread::Builder::new().spawn_scoped(scope, move || work(range)))
            })
            .collect();
        let mut results = vec![work(share(0))];
        for (share, thread) in others {
            results.push(match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(found)) => found,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                // There may be no more threads than a process is allowed.
                Err(_) => work(share),
            });
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_make_no_difference(items in prop::collection::vec(any::<u16>(), 0..SHARE * (MOST_THREADS + 2))) {
            let apply = |item: &u16| u32::from(*item) + 1;
            prop_assert_eq!(map(&items, apply), items.iter().map(apply).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_in_a_share_is_a_panic() {
        let items: Vec<usize> = (0..4 * SHARE).collect();
        let last = items.len() - 1;
        let panics = std::panic::catch_unwind(|| map(&items, |item| assert_ne!(*item, last)));
        assert!(panics.is_err());
    }
}
