//! The same quantum or dataset in several graphs, as one.

use super::json::{self, Uuid};
use super::models::{Attempt, Dataset, Quantum};

/// What a graph tells, with the time at which the graph was made.
pub(super) type Told<T> = (Option<i64>, T);

/// The attempts at a quantum that several graphs tell of, in order of time: which graph, and which of its attempts.
///
/// The time of an attempt is that at which it began, or that of the one before it, or that of the graph. Attempts that
/// several graphs tell of are there once: those that took the same from the same moment on, as the first graph tells of
/// them, and those that have left nothing and come after the same ones from the first on.
pub(super) fn order_of_attempts(told: &[Told<Quantum>]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (graph, (made, quantum)) in told.iter().enumerate() {
        let mut time = None;
        for (number, attempt) in quantum.attempts.iter().enumerate() {
            time = time.max(attempt.resource_usage.as_ref().map(|usage| usage.start.micros));
            places.push((time.or(*made), graph, number));
        }
    }
    places.sort_by_key(|(time, ..)| *time);
    let attempts = |graph: usize| told[graph].1.attempts.as_slice();
    let mut kept: Vec<(usize, usize)> = Vec::with_capacity(places.len());
    for (_, graph, number) in places {
        let is_known = kept.iter().any(|&(other, other_number)| {
            let (one, two) = (&attempts(graph)[number], &attempts(other)[other_number]);
            let have_begun = one.resource_usage.is_some() && other != graph;
            have_begun && one.resource_usage == two.resource_usage
                || other_number == number
                    && attempts(graph)[..=number]
                        .iter()
                        .zip(&attempts(other)[..=number])
                        .all(|(one, two)| is_same(one, two))
        });
        if !is_known {
            kept.push((graph, number));
        }
    }
    kept
}

/// Whether two graphs tell of one attempt; its number may be another one.
fn is_same(one: &Attempt, other: &Attempt) -> bool {
    one.status == other.status
        && one.caveats == other.caveats
        && one.exception == other.exception
        && one.resource_usage == other.resource_usage
        && one.previous_process_quanta == other.previous_process_quanta
}

/// What several graphs tell of one quantum, with its attempts in an order.
pub(super) fn merge_quanta(told: &[Told<Quantum>], order: &[(usize, usize)]) -> Option<Quantum> {
    let ((_, first), others) = told.split_first()?;
    let mut merged = first.clone();
    for (_, quantum) in others {
        for (connection, ids) in &quantum.inputs {
            add_new(merged.inputs.entry(connection.clone()).or_default(), ids);
        }
        for (connection, ids) in &quantum.outputs {
            add_new(merged.outputs.entry(connection.clone()).or_default(), ids);
        }
    }
    let attempts = order.iter().enumerate().map(|(attempt, (graph, number))| Attempt {
        attempt: attempt as i64,
        ..told[*graph].1.attempts[*number].clone()
    });
    merged.attempts = attempts.collect();
    Some(merged)
}

/// The logs or the metadata of attempts in an order, out of what each graph has of them; an attempt of which a graph has
/// none has none. `None` if no graph has any.
pub(super) fn merge_texts(
    texts: &[Option<Vec<u8>>],
    order: &[(usize, usize)],
) -> Result<Option<Vec<u8>>, String> {
    let of_graphs = texts.iter().map(|text| text.as_deref().map(json::attempts).transpose());
    let of_graphs = of_graphs.collect::<Result<Vec<_>, _>>()?;
    if of_graphs.iter().all(Option::is_none) {
        return Ok(None);
    }
    let item = |(graph, number): &(usize, usize)| {
        let item = of_graphs[*graph].as_ref().and_then(|items| items.get(*number)).copied();
        item.unwrap_or(b"null")
    };
    let items: Vec<&[u8]> = order.iter().map(item).collect();
    Ok(Some([b"{\"attempts\":[".as_slice(), &items.join(&b','), b"]}"].concat()))
}

/// What several graphs tell of one dataset: one of them may have made it, others read it.
pub(super) fn merge_datasets(told: impl IntoIterator<Item = Dataset>) -> Option<Dataset> {
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
        add_new(&mut merged.consumers, &dataset.consumers);
    }
    Some(merged)
}

fn add_new(known: &mut Vec<Uuid>, others: &[Uuid]) {
    if others == known {
        return;
    }
    let mut there: hashbrown::HashSet<Uuid> = known.iter().copied().collect();
    known.extend(others.iter().filter(|id| there.insert(**id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: i8, start: Option<&str>) -> String {
        let usage = start.map_or("null".to_owned(), |start| {
            format!(
                r#"{{"memory":1.5,"start":"2026-11-30T{start}Z","prep_time":0,"init_time":0,"run_time":1,"run_time_cpu":1}}"#
            )
        });
        format!(r#"{{"status":{status},"resource_usage":{usage}}}"#)
    }

    fn quantum(attempts: &[&String]) -> Quantum {
        let text = format!(
            r#"{{"quantum_id":"00000000-0000-0000-0000-000000000001","task_label":"t","attempts":[{}]}}"#,
            attempts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(",")
        );
        json::parse(text.as_bytes()).unwrap()
    }

    fn order(told: &[&[&String]]) -> Vec<(usize, usize)> {
        let told: Vec<_> =
            told.iter().enumerate().map(|(n, attempts)| (Some(n as i64), quantum(attempts))).collect();
        order_of_attempts(&told)
    }

    #[test]
    fn attempts_are_in_order_of_time_and_told_once() {
        let [early, late] = &["01:00:00", "02:00:00"].map(|start| attempt(-1, Some(start)));
        let lost = &attempt(-3, None);
        assert_eq!(order(&[&[late], &[early]]), [(1, 0), (0, 0)]);
        assert_eq!(order(&[&[early], &[early, late]]), [(0, 0), (1, 1)]);
        assert_eq!(order(&[&[early, late], &[late]]), [(0, 0), (0, 1)]);
        assert_eq!(order(&[&[], &[late], &[]]), [(1, 0)]);
        // One that has left nothing is the same if it comes after the same ones, else another one.
        assert_eq!(order(&[&[lost], &[lost]]), [(0, 0)]);
        assert_eq!(order(&[&[early, lost], &[early, lost]]), [(0, 0), (0, 1)]);
        assert_eq!(order(&[&[early, lost], &[late, lost]]), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn texts_go_with_their_attempts() {
        let texts = [Some(br#"{"attempts": [{"a": NaN}, [1 , 2]]}"#.to_vec()), None];
        let merged = merge_texts(&texts, &[(1, 0), (0, 1), (0, 0), (0, 7)]).unwrap().unwrap();
        assert_eq!(merged, br#"{"attempts":[null,[1 , 2],{"a": NaN},null]}"#);
        assert_eq!(merge_texts(&[None, None], &[(0, 0)]), Ok(None));
        assert!(merge_texts(&[Some(b"{\"attempts\": [".to_vec())], &[]).is_err());
    }
}
