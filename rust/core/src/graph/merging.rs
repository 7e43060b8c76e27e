//! The same quantum or dataset in several graphs, as one.

use super::json::Uuid;
use super::models::{Dataset, Quantum};

/// What several graphs tell of one quantum, with the time at which each graph was made.
pub type Told<T> = (Option<i64>, T);

/// The order in which graphs tell of a quantum: by time, without those that tell the same as another.
///
/// The time is that of the first attempt that has one, else that of the graph.
pub fn order_of_quanta(told: &[Told<Quantum>]) -> Vec<usize> {
    let time = |number: &usize| {
        let (made, quantum) = &told[*number];
        let starts = quantum.attempts.iter().filter_map(|attempt| attempt.resource_usage.as_ref());
        starts.map(|usage| usage.start.micros).next().or(*made)
    };
    let mut order: Vec<usize> = (0..told.len()).collect();
    order.sort_by_key(time);
    let mut kept: Vec<usize> = Vec::with_capacity(order.len());
    for number in order {
        if !kept.iter().any(|other| told[*other].1.attempts == told[number].1.attempts) {
            kept.push(number);
        }
    }
    kept
}

/// What several graphs tell of one quantum, in order: all attempts, one after the other.
pub fn merge_quanta(told: impl IntoIterator<Item = Quantum>) -> Option<Quantum> {
    let mut told = told.into_iter();
    let mut merged = told.next()?;
    for quantum in told {
        merged.attempts.extend(quantum.attempts);
        for (connection, ids) in quantum.inputs {
            add_new(merged.inputs.entry(connection).or_default(), ids);
        }
        for (connection, ids) in quantum.outputs {
            add_new(merged.outputs.entry(connection).or_default(), ids);
        }
    }
    for (number, attempt) in merged.attempts.iter_mut().enumerate() {
        attempt.attempt = number as i64;
    }
    Some(merged)
}

/// What several graphs tell of one dataset: one of them may have made it, others read it.
pub fn merge_datasets(told: impl IntoIterator<Item = Dataset>) -> Option<Dataset> {
    let mut told = told.into_iter();
    let mut merged = told.next()?;
    for dataset in told {
        // A graph that only reads it takes it for produced; the one that should have made it knows.
        merged.produced = match (merged.producer, dataset.producer) {
            (None, Some(_)) => dataset.produced,
            (Some(_), None) => merged.produced,
            _ => merged.produced || dataset.produced,
        };
        merged.producer = merged.producer.or(dataset.producer);
        add_new(&mut merged.consumers, dataset.consumers);
    }
    Some(merged)
}

fn add_new(known: &mut Vec<Uuid>, others: Vec<Uuid>) {
    if others == *known {
        return;
    }
    let mut there: hashbrown::HashSet<Uuid> = known.iter().copied().collect();
    known.extend(others.into_iter().filter(|id| there.insert(*id)));
}
