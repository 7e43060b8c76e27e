//! What provenance graphs tell of quanta that have succeeded, from plans and from what was put.
//!
//! This is for what upstream's executor writes of a success at the first attempt. Anything else is left to upstream's
//! own classes, which say what it means.

use hashbrown::HashSet;
use indexmap::IndexMap;
use jiter::{Jiter, JiterError, NumberAny, NumberInt, Peek};
use serde::Deserialize;

use super::json::{self, Scalar, Time, Uuid};
use super::models::{Attempt, Connections, Dataset, PlannedDataset, PlannedQuantum, Quantum, Resources};
use super::predicted::PredictedGraph;
use super::provenance::BlockKind;
use super::writer::Block;
use crate::log::{read_any_time, read_time, unpack};
use crate::{Result, parallel, uuid_text};

/// Quanta that are worth a thread of their own.
const SHARE: usize = 32;

/// Names of the connections that each quantum has.
const METADATA: &str = "_metadata";
const LOG: &str = "_log";

/// Upstream's code of a success, and all flags that it has for them.
const SUCCESSFUL: i8 = 1;
const CAVEATS: u32 = 127;

/// The version of upstream's logs.
const LOG_VERSION: i64 = 2;

/// What a log has of a quantum.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    /// Its id.
    pub quantum_id: u128,
    /// Number of the dictionary.
    pub dictionary: i64,
    /// Its metadata and its log, packed.
    pub contents: [Option<&'a str>; 2],
}

/// What has been made of some quanta.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Blocks of them and of their datasets.
    pub blocks: Vec<Block>,
    /// Those that were taken.
    pub taken: Vec<u128>,
}

/// Makes blocks of a graph.
pub struct Gatherer {
    graph: PredictedGraph,
    /// Edges from datasets to the quanta that are to read them, by dataset.
    datasets: Vec<u128>,
    quanta: Vec<u128>,
    /// What the run is to write.
    outputs: HashSet<u128>,
    /// What is there, and was told already.
    inputs: HashSet<u128>,
    /// What failed or blocked quanta were to write.
    lost: HashSet<u128>,
}

impl Gatherer {
    /// For a graph with these edges, which are sorted by dataset, and with what it is to write.
    pub fn new(
        graph: PredictedGraph,
        datasets: Vec<u128>,
        quanta: Vec<u128>,
        outputs: impl Iterator<Item = u128>,
    ) -> Self {
        let (inputs, lost) = (HashSet::new(), HashSet::new());
        Self { graph, datasets, quanta, outputs: outputs.collect(), inputs, lost }
    }

    /// Takes notice of what failed or blocked quanta were to write.
    pub fn lose(&mut self, datasets: impl Iterator<Item = u128>) {
        self.lost.extend(datasets);
    }

    /// Makes blocks of those quanta that can be told in this way.
    pub fn gather(&mut self, logged: &[Logged<'_>]) -> Result<Gathered> {
        let this = &*self;
        let share = |range: std::ops::Range<usize>| {
            logged[range].iter().map(|one| this.told(one)).collect::<Result<Vec<_>>>()
        };
        let mut gathered = Gathered::default();
        for share in parallel::shares(logged.len(), SHARE, share) {
            for told in share?.into_iter().flatten() {
                gathered.taken.push(told.quantum_id);
                gathered.blocks.extend(told.blocks);
                for (id, text) in told.inputs {
                    if self.inputs.insert(id) {
                        gathered.blocks.push(dataset_block(id, text));
                    }
                }
            }
        }
        Ok(gathered)
    }

    fn told(&self, logged: &Logged<'_>) -> Result<Option<Told>> {
        let planned = self.graph.quantum(logged.quantum_id)?;
        Ok(planned.and_then(|(_, planned)| self.success(&planned, logged)))
    }

    /// What is told of a success; `None` for anything else.
    fn success(&self, planned: &PlannedQuantum, logged: &Logged<'_>) -> Option<Told> {
        let is_lost = |dataset: &PlannedDataset| self.lost.contains(&dataset.dataset_id.0);
        if planned.inputs.values().flatten().any(is_lost) {
            return None;
        }
        let unpacked = |packed: Option<&str>| unpack(logged.dictionary, packed?.as_bytes()).ok();
        let [metadata, log] = logged.contents.map(unpacked);
        let (metadata, log) = (metadata?, log?);
        let metadata_id = only(&planned.outputs, METADATA)?;
        let log_id = only(&planned.outputs, LOG)?;
        let (attempt, mut written) = attempt_of(&planned.task_label, &metadata)?;
        written.extend([metadata_id, log_id]);
        let (records, previous_process_quanta) = records_of(&log).ok().flatten()?;
        let ids = |datasets: &Connections<Vec<PlannedDataset>>| {
            let ids = |all: &Vec<PlannedDataset>| all.iter().map(|one| one.dataset_id).collect();
            datasets.iter().map(|(name, all)| (name.clone(), ids(all))).collect()
        };
        let quantum = Quantum {
            quantum_id: planned.quantum_id,
            task_label: planned.task_label.clone(),
            data_coordinate: planned.data_coordinate.clone(),
            inputs: ids(&planned.inputs),
            outputs: ids(&planned.outputs),
            attempts: vec![Attempt { previous_process_quanta, ..attempt }],
        };
        let id = logged.quantum_id;
        let block = |kind, dataset, text| Block { kind, id, dataset, text };
        let one = |item: &[u8]| [b"{\"attempts\":[", item, b"]}"].concat();
        let mut blocks = vec![
            block(BlockKind::Quanta, None, json::write(&quantum)),
            block(BlockKind::Logs, Some(log_id.0), one(records)),
            block(BlockKind::Metadata, Some(metadata_id.0), one(&metadata)),
        ];
        for dataset in planned.outputs.values().flatten() {
            let produced = written.contains(&dataset.dataset_id);
            let text = self.dataset(dataset, produced, Some(planned.quantum_id));
            blocks.push(dataset_block(dataset.dataset_id.0, text));
        }
        let is_new = |dataset: &&PlannedDataset| {
            let id = &dataset.dataset_id.0;
            !self.outputs.contains(id) && !self.inputs.contains(id)
        };
        let new = planned.inputs.values().flatten().filter(is_new);
        let inputs = new.map(|one| (one.dataset_id.0, self.dataset(one, true, None))).collect();
        Some(Told { quantum_id: id, blocks, inputs })
    }

    fn dataset(&self, planned: &PlannedDataset, produced: bool, producer: Option<Uuid>) -> Vec<u8> {
        let id = planned.dataset_id.0;
        let start = self.datasets.partition_point(|dataset| *dataset < id);
        let same = self.datasets[start..].iter().take_while(|dataset| **dataset == id).count();
        let mut consumers: Vec<Uuid> = self.quanta[start..start + same].iter().copied().map(Uuid).collect();
        if same > 1 {
            // One may read it by two connections.
            let mut seen = HashSet::with_capacity(same);
            consumers.retain(|one| seen.insert(*one));
        }
        json::write(&Dataset {
            dataset_id: planned.dataset_id,
            dataset_type_name: planned.dataset_type_name.clone(),
            data_coordinate: planned.data_coordinate.clone(),
            run: planned.run.clone(),
            produced,
            producer,
            consumers,
        })
    }
}

/// What is told of a quantum.
struct Told {
    quantum_id: u128,
    blocks: Vec<Block>,
    /// Ids and texts of datasets that were there before the run.
    inputs: Vec<(u128, Vec<u8>)>,
}

fn dataset_block(id: u128, text: Vec<u8>) -> Block {
    Block { kind: BlockKind::Datasets, id, dataset: None, text }
}

/// The one dataset of a connection.
fn only(outputs: &Connections<Vec<PlannedDataset>>, name: &str) -> Option<Uuid> {
    match outputs.get(name)?.as_slice() {
        [one] => Some(one.dataset_id),
        _ => None,
    }
}

/// Upstream's `TaskMetadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskMetadata {
    #[serde(default)]
    scalars: IndexMap<String, Scalar>,
    #[serde(default)]
    arrays: IndexMap<String, Vec<Scalar>>,
    #[serde(default)]
    metadata: IndexMap<String, TaskMetadata>,
}

impl TaskMetadata {
    /// Whether upstream's model has room for it.
    fn is_valid(&self) -> bool {
        let same = |one: &Scalar, other: &Scalar| kind_of(one).is_some() && kind_of(one) == kind_of(other);
        self.scalars.values().all(|value| kind_of(value).is_some())
            && self.arrays.values().all(|values| values.iter().all(|value| same(value, &values[0])))
            && self.metadata.values().all(Self::is_valid)
    }

    fn has(&self, name: &str) -> bool {
        self.scalars.contains_key(name) || self.arrays.contains_key(name) || self.metadata.contains_key(name)
    }

    /// A value; of an array the last one.
    fn value(&self, name: &str) -> Option<&Scalar> {
        self.scalars.get(name).or_else(|| self.arrays.get(name)?.last())
    }

    fn time(&self, name: &str) -> Option<Time> {
        match self.value(name)? {
            Scalar::Text(text) => utc(text),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Scalar::Int(number) => Some(*number as f64),
            Scalar::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// A time in UTC as Python writes it, with microseconds unless there are none.
fn utc(text: &str) -> Option<Time> {
    let plain = text.strip_suffix("+00:00")?;
    let fraction = if plain.contains('.') { "" } else { ".000000" };
    Some(Time { micros: read_time(&format!("{plain}{fraction}Z"))?, text: format!("{plain}Z") })
}

/// Which type a value has in Python; `None` if metadata has none such.
fn kind_of(value: &Scalar) -> Option<u8> {
    match value {
        Scalar::Null => None,
        Scalar::Bool(_) => Some(0),
        Scalar::Int(_) | Scalar::Large(_) => Some(1),
        Scalar::Float(_) => Some(2),
        Scalar::Text(_) => Some(3),
    }
}

/// How an attempt went by its metadata, and what it has written.
fn attempt_of(task_label: &str, text: &[u8]) -> Option<(Attempt, Vec<Uuid>)> {
    // Upstream's models have their own ways with what JSON has no name for.
    let plain = std::str::from_utf8(text).ok()?;
    if plain.contains("NaN") || plain.contains("Infinity") {
        return None;
    }
    let metadata: TaskMetadata = json::parse(text).ok()?;
    let quantum = metadata.metadata.get("quantum").filter(|_| metadata.is_valid())?;
    if metadata.has("failure") || metadata.metadata.get(task_label).is_some_and(|task| task.has("failure")) {
        return None;
    }
    let caveats = match quantum.value("caveats") {
        None => None,
        Some(Scalar::Int(flags)) => Some(u32::try_from(*flags).ok().filter(|flags| flags & !CAVEATS == 0)?),
        Some(_) => return None,
    };
    let (prep, init) = (quantum.time("prepUtc")?, quantum.time("initUtc")?);
    let (start, end) = (quantum.time("startUtc")?, quantum.time("endUtc")?);
    let seconds = |from: &Time, to: &Time| (to.micros - from.micros) as f64 / 1e6;
    let usage = Resources {
        memory: quantum.number("endMaxResidentSetSize")?,
        prep_time: seconds(&prep, &init),
        init_time: seconds(&init, &start),
        run_time: seconds(&start, &end),
        start: prep,
        run_time_cpu: quantum.number("endCpuTime")? - quantum.number("startCpuTime")?,
    };
    let id = |value: &Scalar| match value {
        Scalar::Text(text) => uuid_text::parse_any(text).map(Uuid),
        _ => None,
    };
    let written = quantum.arrays.get("outputs")?.iter().map(id).collect::<Option<Vec<_>>>()?;
    let attempt = Attempt {
        attempt: 0,
        status: SUCCESSFUL,
        caveats,
        exception: None,
        resource_usage: Some(usage),
        previous_process_quanta: Vec::new(),
    };
    Some((attempt, written))
}

/// Text of records, and quanta.
type Records<'a> = (&'a [u8], Vec<Uuid>);

/// The text of the records of a log that tells of no failure, and the quanta that its process had run before.
fn records_of(log: &[u8]) -> std::result::Result<Option<Records<'_>>, JiterError> {
    let mut reader = Jiter::new(log).with_allow_inf_nan();
    let (mut records, mut version, mut previous) = (None, None, Vec::new());
    let mut key = reader.next_object()?.map(str::to_owned);
    while let Some(name) = key {
        let peek = reader.peek()?;
        match name.as_str() {
            "extended" if peek == Peek::True => reader.known_skip(peek)?,
            "version" => match reader.known_number(peek)? {
                NumberAny::Int(NumberInt::Int(number)) => version = Some(number),
                _ => return Ok(None),
            },
            "records" if peek == Peek::Array && records.is_none() => {
                let start = reader.current_index();
                let mut item = reader.known_array()?;
                while let Some(peek) = item {
                    if peek != Peek::Object || !is_record(&mut reader)? {
                        return Ok(None);
                    }
                    item = reader.array_step()?;
                }
                records = Some(start..reader.current_index());
            }
            "previous_process_quanta" if peek == Peek::Array => {
                let mut item = reader.known_array()?;
                while item.is_some() {
                    let Some(id) = uuid_text::parse_any(reader.next_str()?) else { return Ok(None) };
                    previous.push(Uuid(id));
                    item = reader.array_step()?;
                }
            }
            "exception" | "metadata" if peek == Peek::Null => reader.known_skip(peek)?,
            "logs" | "previous_attempts" if peek == Peek::Array => {
                if reader.known_array()?.is_some() {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        key = reader.next_key()?.map(str::to_owned);
    }
    reader.finish()?;
    // Upstream leaves out an empty list.
    let records = records.map_or(&b"[]"[..], |records| &log[records]);
    Ok((version == Some(LOG_VERSION)).then_some((records, previous)))
}

/// Whether an object is a record of a log as upstream writes it.
fn is_record(reader: &mut Jiter<'_>) -> std::result::Result<bool, JiterError> {
    let mut seen = 0_u16;
    let mut key = reader.known_object()?.map(field_of);
    while let Some(field) = key {
        let Some((number, kind)) = field.filter(|(number, _)| seen & (1 << number) == 0) else {
            return Ok(false);
        };
        seen |= 1 << number;
        let peek = reader.peek()?;
        match (kind, peek) {
            (Field::Text | Field::Perhaps, Peek::String) => {
                reader.known_str()?;
            }
            (Field::Perhaps, Peek::Null) => reader.known_null()?,
            (Field::Time, Peek::String) if read_any_time(reader.known_str()?).is_some() => {}
            (Field::Number, _) if peek.is_num() => match reader.known_int(peek)? {
                NumberInt::Int(_) => {}
                NumberInt::BigInt(_) => return Ok(false),
            },
            (Field::Texts, Peek::Object) => {
                let mut name = reader.known_object()?.is_some();
                while name {
                    if reader.peek()? != Peek::String {
                        return Ok(false);
                    }
                    reader.known_str()?;
                    name = reader.next_key()?.is_some();
                }
            }
            _ => return Ok(false),
        }
        key = reader.next_key()?.map(field_of);
    }
    // Upstream leaves out what is null.
    let needed = FIELDS.iter().enumerate().filter(|(_, (_, kind))| !matches!(kind, Field::Perhaps));
    Ok(needed.into_iter().all(|(number, _)| seen & (1 << number) != 0))
}

/// What a field of a record has.
#[derive(Debug, Clone, Copy)]
enum Field {
    Text,
    Perhaps,
    Time,
    Number,
    Texts,
}

/// The fields of a record, in upstream's order.
const FIELDS: [(&str, Field); 13] = [
    ("name", Field::Text),
    ("asctime", Field::Time),
    ("message", Field::Text),
    ("levelno", Field::Number),
    ("levelname", Field::Text),
    ("filename", Field::Text),
    ("pathname", Field::Text),
    ("lineno", Field::Number),
    ("funcName", Field::Perhaps),
    ("process", Field::Number),
    ("processName", Field::Text),
    ("exc_info", Field::Perhaps),
    ("MDC", Field::Texts),
];

fn field_of(name: &str) -> Option<(usize, Field)> {
    FIELDS.iter().position(|(known, _)| *known == name).map(|number| (number, FIELDS[number].1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA_TEXT: &str = r#"{"scalars":{},"arrays":{},"metadata":{"one":{"scalars":{"x":0.5},"arrays":{},
"metadata":{}},"quantum":{"scalars":{"caveats":2},"arrays":{"prepUtc":["2026-11-30T09:14:39.500000+00:00"],
"initUtc":["2026-11-30T09:14:40+00:00"],"startUtc":["2026-11-30T09:14:42.250000+00:00"],
"endUtc":["2026-11-30T09:15:42.250001+00:00"],"startCpuTime":[1.5],"endCpuTime":[4.0],
"endMaxResidentSetSize":[1024],"outputs":["00000000-0000-0000-0000-000000000007"]},"metadata":{}}}}"#;
    const LOG_TEXT: &str = r#"{"extended":true,"version":2,"records":[{"name":"a","asctime":"2026-11-30T09:14:39Z",
"message":"b \u00e9","levelno":20,"levelname":"INFO","filename":"c","pathname":"d","lineno":7,"funcName":null,
"process":1,"processName":"e","exc_info":null,"MDC":{"LABEL":"f"}}],"exception":null,
"previous_process_quanta":["00000000-0000-0000-0000-000000000009"],"logs":[],"previous_attempts":[]}"#;

    #[test]
    fn a_success_is_told() {
        let (attempt, written) = attempt_of("one", METADATA_TEXT.as_bytes()).unwrap();
        assert_eq!((attempt.status, attempt.caveats, written), (1, Some(2), vec![Uuid(7)]));
        let usage = attempt.resource_usage.unwrap();
        assert_eq!((usage.prep_time, usage.init_time, usage.run_time), (0.5, 2.25, 60.000_001));
        assert_eq!((usage.run_time_cpu, usage.memory), (2.5, 1024.0));
        assert_eq!(usage.start.text, "2026-11-30T09:14:39.500000Z");
        let (records, previous) = records_of(LOG_TEXT.as_bytes()).unwrap().unwrap();
        assert!(records.starts_with(b"[{\"name\"") && records.ends_with(b"}}]"));
        assert_eq!(previous, vec![Uuid(9)]);
        let without = LOG_TEXT.replacen("\"funcName\":null,", "", 1).replacen("\"exc_info\":null,", "", 1);
        assert!(matches!(records_of(without.as_bytes()), Ok(Some(_))));
        let none =
            LOG_TEXT.replacen(&format!("\"records\":{},", std::str::from_utf8(records).unwrap()), "", 1);
        assert_eq!(records_of(none.as_bytes()).unwrap().unwrap().0, b"[]");
    }

    #[test]
    fn anything_else_is_left_to_others() {
        for (from, to) in [
            ("\"x\":0.5", "\"x\":null"),
            ("\"x\":0.5", "\"x\":NaN"),
            ("\"x\":0.5", "\"failure\":1"),
            ("[1.5]", "[1.5,1]"),
            ("[1.5]", "[\"1.5\"]"),
            ("\"caveats\":2", "\"caveats\":128"),
            ("\"caveats\":2", "\"caveats\":2.0"),
            ("\"outputs\":", "\"others\":"),
            ("0000-000000000007", "0000-00000000000"),
            ("\"initUtc\":", "\"others\":"),
            ("40+00:00", "40"),
            ("40+00:00", "60+00:00"),
            ("\"quantum\":", "\"other\":"),
            ("\"scalars\":{},", "\"scalars\":{},\"more\":1,"),
            ("[4.0]", "[Infinity]"),
        ] {
            assert!(METADATA_TEXT.contains(from), "{from}");
            let changed = METADATA_TEXT.replacen(from, to, 1);
            assert!(attempt_of("one", changed.as_bytes()).is_none(), "{to}");
        }
        for (from, to) in [
            ("\"exception\":null", "\"exception\":{}"),
            ("\"previous_attempts\":[]", "\"previous_attempts\":[{}]"),
            ("\"logs\":[]", "\"logs\":[{}]"),
            ("\"version\":2", "\"version\":3"),
            ("\"extended\":true", "\"extended\":false"),
            ("\"extended\"", "\"more\":1,\"extended\""),
            ("\"records\":[", "\"others\":["),
            ("\"name\":\"a\"", "\"name\":null"),
            ("\"name\":\"a\",", ""),
            ("\"name\":\"a\",", "\"name\":\"a\",\"name\":\"a\","),
            ("\"name\":\"a\",", "\"name\":\"a\",\"more\":1,"),
            ("39Z", "39"),
            ("\"levelno\":20", "\"levelno\":2e1"),
            ("\"lineno\":7", "\"lineno\":70000000000000000000"),
            ("\"funcName\":null", "\"funcName\":1"),
            ("\"LABEL\":\"f\"", "\"LABEL\":1"),
            ("\"MDC\":{", "\"MDC\":[{"),
            ("]}", "]"),
        ] {
            assert!(LOG_TEXT.contains(from), "{from}");
            let changed = LOG_TEXT.replacen(from, to, 1);
            assert!(!matches!(records_of(changed.as_bytes()), Ok(Some(_))), "{to}");
        }
    }
}
