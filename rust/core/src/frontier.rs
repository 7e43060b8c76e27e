//! Which quanta of a graph can run now.
//!
//! Quanta are numbered from 0 in the order in which they should start. The graph is two arrays, so that one of
//! ten million quanta takes a few hundred megabytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Error, Result};

/// How far a quantum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Quanta before it are not done.
    Waiting,
    /// It can run.
    Ready,
    /// It was handed out.
    Active,
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// A quantum before it failed.
    Blocked,
}

impl State {
    fn is_complete(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Blocked)
    }
}

/// The quanta of a graph, and which of them can run.
///
/// Order and blocking are those of upstream's `GraphWalker`.
#[derive(Debug)]
pub struct Frontier {
    /// Where the successors of each quantum begin, and the end of the last ones.
    offsets: Vec<u32>,
    successors: Vec<u32>,
    /// How many quanta before each one are not done.
    waits_for: Vec<u32>,
    states: Vec<State>,
    /// Numbers that can run; some of them may have been completed without being handed out.
    ready: BinaryHeap<Reverse<u32>>,
    left: u32,
}

impl Frontier {
    /// Makes a frontier of so many quanta, where `before[i]` must be done before `after[i]` can run.
    pub fn new(quanta: u32, before: &[u32], after: &[u32]) -> Result<Self> {
        if before.len() != after.len() {
            return Err(Error::UnevenEdges { before: before.len(), after: after.len() });
        }
        if u32::try_from(before.len()).is_err() {
            return Err(Error::TooManyEdges);
        }
        let count = quanta as usize;
        if let Some(number) = before.iter().chain(after).find(|number| **number >= quanta) {
            return Err(Error::NoSuchQuantum { number: *number });
        }
        let mut waits_for = vec![0; count];
        for number in after {
            waits_for[*number as usize] += 1;
        }
        let (offsets, successors) = sort_by_first(count, before, after);
        let mut frontier = Self {
            offsets,
            successors,
            waits_for,
            states: vec![State::Waiting; count],
            ready: BinaryHeap::new(),
            left: quanta,
        };
        frontier.refuse_circles()?;
        for number in 0..quanta {
            if frontier.waits_for[number as usize] == 0 {
                frontier.make_ready(number);
            }
        }
        Ok(frontier)
    }

    /// Fails if a quantum comes, over others, before itself.
    fn refuse_circles(&self) -> Result<()> {
        let mut waits_for = self.waits_for.clone();
        let mut free: Vec<u32> =
            (0..).zip(&waits_for).filter(|(_, most)| **most == 0).map(|(number, _)| number).collect();
        let mut visited = 0;
        while let Some(number) = free.pop() {
            visited += 1;
            for next in self.after(number) {
                let most = &mut waits_for[*next as usize];
                *most -= 1;
                if *most == 0 {
                    free.push(*next);
                }
            }
        }
        if visited == waits_for.len() {
            return Ok(());
        }
        let in_circle = waits_for.iter().position(|most| *most > 0).unwrap_or_default();
        Err(Error::CircularGraph { number: in_circle as u32 })
    }

    fn after(&self, number: u32) -> &[u32] {
        let number = number as usize;
        &self.successors[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    fn make_ready(&mut self, number: u32) {
        self.states[number as usize] = State::Ready;
        self.ready.push(Reverse(number));
    }

    /// How many quanta are neither done nor failed nor blocked.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Whether a quantum can be handed out now.
    pub fn has_ready(&mut self) -> bool {
        while let Some(Reverse(number)) = self.ready.peek() {
            if self.states[*number as usize] == State::Ready {
                return true;
            }
            self.ready.pop();
        }
        false
    }

    /// Hands out quanta that can run, at most so many, those of the lowest numbers first.
    pub fn take(&mut self, most: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(Reverse(number)) = self.ready.pop()
        {
            let state = &mut self.states[number as usize];
            if *state == State::Ready {
                *state = State::Active;
                taken.push(number);
            }
        }
        taken
    }

    /// Takes back quanta that were handed out, to be handed out again.
    pub fn give_back(&mut self, numbers: &[u32]) -> Result<()> {
        for number in numbers {
            if self.state(*number)? != State::Active {
                return Err(Error::NotHandedOut { number: *number });
            }
            self.make_ready(*number);
        }
        Ok(())
    }

    /// Notes quanta that have succeeded, whether or not they were handed out.
    pub fn finish(&mut self, numbers: &[u32]) -> Result<()> {
        for number in numbers {
            self.complete(*number, State::Done)?;
            let number = *number as usize;
            for place in self.offsets[number] as usize..self.offsets[number + 1] as usize {
                let next = self.successors[place];
                let waits_for = &mut self.waits_for[next as usize];
                *waits_for -= 1;
                if *waits_for == 0 && self.states[next as usize] == State::Waiting {
                    self.make_ready(next);
                }
            }
        }
        Ok(())
    }

    /// Notes a quantum that has failed, and returns those that cannot run because of it, in their order.
    pub fn fail(&mut self, number: u32) -> Result<Vec<u32>> {
        self.complete(number, State::Failed)?;
        let mut blocked = Vec::new();
        let mut failed = vec![number];
        while let Some(number) = failed.pop() {
            let number = number as usize;
            for place in self.offsets[number] as usize..self.offsets[number + 1] as usize {
                let next = self.successors[place];
                // What is done already has all that it needs, and so has what comes after that.
                if !self.states[next as usize].is_complete() {
                    self.complete(next, State::Blocked)?;
                    blocked.push(next);
                    failed.push(next);
                }
            }
        }
        blocked.sort_unstable();
        Ok(blocked)
    }

    fn complete(&mut self, number: u32, state: State) -> Result<()> {
        if self.state(number)?.is_complete() {
            return Err(Error::CompleteQuantum { number });
        }
        self.states[number as usize] = state;
        self.left -= 1;
        Ok(())
    }

    fn state(&self, number: u32) -> Result<State> {
        self.states.get(number as usize).copied().ok_or(Error::NoSuchQuantum { number })
    }
}

/// Sorts pairs by the first number of each; returns where those of each number begin, and the second ones.
fn sort_by_first(count: usize, first: &[u32], second: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0; count + 1];
    for number in first {
        offsets[*number as usize + 1] += 1;
    }
    for place in 0..count {
        offsets[place + 1] += offsets[place];
    }
    let mut sorted = vec![0; second.len()];
    // Each offset moves to the end of its number's pairs, which is where those of the next number begin.
    for (number, other) in first.iter().zip(second) {
        let place = &mut offsets[*number as usize];
        sorted[*place as usize] = *other;
        *place += 1;
    }
    offsets.rotate_right(1);
    offsets[0] = 0;
    (offsets, sorted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn frontier(quanta: u32, edges: &[(u32, u32)]) -> Result<Frontier> {
        let (before, after): (Vec<_>, Vec<_>) = edges.iter().copied().unzip();
        Frontier::new(quanta, &before, &after)
    }

    #[test]
    fn a_diamond_in_order() {
        let mut quanta = frontier(5, &[(4, 0), (4, 1), (0, 2), (1, 2)]).unwrap();
        assert_eq!(quanta.take(9), [3, 4]);
        assert!(!quanta.has_ready());
        quanta.finish(&[4]).unwrap();
        assert_eq!(quanta.take(1), [0]);
        quanta.give_back(&[0]).unwrap();
        assert_eq!(quanta.take(9), [0, 1]);
        quanta.finish(&[1]).unwrap();
        assert!(!quanta.has_ready());
        quanta.finish(&[0]).unwrap();
        assert_eq!(quanta.take(9), [2]);
        assert_eq!(quanta.left(), 2);
    }

    #[test]
    fn a_failure_blocks_all_after_it_once() {
        let mut quanta = frontier(6, &[(0, 2), (1, 2), (2, 3), (3, 4), (1, 5)]).unwrap();
        assert_eq!(quanta.take(9), [0, 1]);
        assert_eq!(quanta.fail(0).unwrap(), [2, 3, 4]);
        assert_eq!(quanta.fail(1).unwrap(), [5]);
        assert_eq!(quanta.left(), 0);
    }

    #[test]
    fn what_was_done_before_is_not_handed_out() {
        let mut quanta = frontier(4, &[(0, 1), (1, 2), (2, 3)]).unwrap();
        quanta.finish(&[1]).unwrap();
        quanta.finish(&[0]).unwrap();
        assert_eq!(quanta.take(9), [2]);
        let mut quanta = frontier(3, &[(0, 1), (1, 2)]).unwrap();
        quanta.finish(&[1]).unwrap();
        assert!(quanta.fail(0).unwrap().is_empty());
        assert_eq!(quanta.take(9), [2]);
    }

    #[test]
    fn what_is_no_graph_and_no_state() {
        assert!(matches!(frontier(3, &[(0, 1), (1, 2), (2, 1)]), Err(Error::CircularGraph { number: 1 })));
        assert!(matches!(frontier(1, &[(0, 0)]), Err(Error::CircularGraph { .. })));
        assert!(matches!(frontier(1, &[(0, 1)]), Err(Error::NoSuchQuantum { number: 1 })));
        assert!(matches!(Frontier::new(2, &[0], &[]), Err(Error::UnevenEdges { .. })));
        let mut quanta = frontier(2, &[(0, 1)]).unwrap();
        assert!(matches!(quanta.finish(&[2]), Err(Error::NoSuchQuantum { number: 2 })));
        assert!(matches!(quanta.give_back(&[0]), Err(Error::NotHandedOut { number: 0 })));
        quanta.finish(&[0]).unwrap();
        assert!(matches!(quanta.fail(0), Err(Error::CompleteQuantum { number: 0 })));
    }

    proptest! {
        /// Against sets, as slow as they are plain.
        #[test]
        fn all_runs_after_what_it_needs(
            quanta in 1u32..40,
            pairs in prop::collection::vec((any::<u32>(), any::<u32>()), 0..120),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4), 0..80),
        ) {
            let edges: Vec<_> = pairs.iter().map(|(a, b)| (a % quanta, b % quanta)).filter(|(a, b)| a < b).collect();
            let mut frontier = frontier(quanta, &edges).unwrap();
            let (mut done, mut gone, mut active) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
            for (index, deed) in steps {
                for number in frontier.take(2) {
                    prop_assert!(edges.iter().all(|(a, b)| *b != number || done.contains(a)));
                    prop_assert!(!gone.contains(&number) && !active.contains(&number));
                    active.push(number);
                }
                if active.is_empty() {
                    break;
                }
                let number = active.swap_remove(index.index(active.len()));
                match deed {
                    0 => {
                        let blocked = frontier.fail(number).unwrap();
                        gone.insert(number);
                        gone.extend(blocked);
                    }
                    1 => frontier.give_back(&[number]).unwrap(),
                    _ => {
                        frontier.finish(&[number]).unwrap();
                        done.insert(number);
                        gone.insert(number);
                    }
                }
                prop_assert_eq!(frontier.left() as usize, quanta as usize - gone.len());
            }
        }
    }
}
