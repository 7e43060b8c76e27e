//! What a graph that has been made of others says of itself.

use serde_json::{Map, Value};

use super::files::Files;
use super::json;
use super::uniting::Counts;
use crate::Result;

/// The header of a graph made of files that are in order of time.
///
/// What all of them say stays; inputs are those of all; what was done with which command only one can say.
pub(super) fn header(files: &Files, numbers: &[usize], counts: &Counts, command: &str) -> Result<Vec<u8>> {
    let mut headers = Vec::with_capacity(numbers.len());
    for number in numbers {
        let file = files.get(*number);
        let found: Map<String, Value> =
            json::parse(&file.header_text).map_err(|what| file.damaged(format!("the header: {what}")))?;
        headers.push((*number, found));
    }
    let (_, first) = &headers[0];
    let mut united = first.clone();
    let agree = |name: &str| headers.iter().all(|(_, other)| other.get(name) == first.get(name));
    for (name, otherwise) in
        [("output", Value::Null), ("user", Value::from("")), ("command", Value::from(command))]
    {
        if !agree(name) {
            united.insert(name.to_owned(), otherwise);
        }
    }
    let mut inputs: Vec<Value> = Vec::new();
    for input in headers.iter().filter_map(|(_, header)| header.get("inputs")?.as_array()).flatten() {
        if !inputs.contains(input) {
            inputs.push(input.clone());
        }
    }
    united.insert("inputs".to_owned(), inputs.into());
    if let Some(metadata) = united.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, value| {
            headers
                .iter()
                .all(|(_, other)| other.get("metadata").and_then(|all| all.get(name)) == Some(value))
        });
    }
    // Several files of one graph each count all of it.
    let graphs: Vec<_> = headers
        .iter()
        .filter(|(number, _)| counts.groups[number] == *number)
        .map(|(_, header)| header)
        .collect();
    let sum = |name: &str| graphs.iter().filter_map(|header| header.get(name)?.as_u64()).sum::<u64>();
    let repeated: u64 = counts.repeated.values().sum();
    united.insert("n_quanta".to_owned(), sum("n_quanta").saturating_sub(repeated).into());
    united.insert("n_datasets".to_owned(), sum("n_datasets").saturating_sub(counts.datasets).into());
    let mut of_tasks: Map<String, Value> = Map::new();
    for (label, count) in
        graphs.iter().filter_map(|header| header.get("n_task_quanta")?.as_object()).flatten()
    {
        let so_far = of_tasks.get(label).and_then(Value::as_u64).unwrap_or(0);
        of_tasks.insert(label.clone(), so_far.saturating_add(count.as_u64().unwrap_or(0)).into());
    }
    for (label, count) in &counts.repeated {
        if let Some(all) = of_tasks.get_mut(label) {
            *all = all.as_u64().unwrap_or(0).saturating_sub(*count).into();
        }
    }
    united.insert("n_task_quanta".to_owned(), of_tasks.into());
    united.insert("int_size".to_owned(), 8.into());
    Ok(json::write(&united))
}

/// The versions of software of all files; where they differ, the newest file knows.
pub(super) fn packages(files: &Files, numbers: &[usize]) -> Result<Vec<u8>> {
    let mut all: Map<String, Value> = Map::new();
    for number in numbers {
        all.extend(files.get(*number).document::<Map<String, Value>>("packages")?);
    }
    Ok(json::write(&all))
}
