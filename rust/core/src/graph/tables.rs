//! Whole graphs as Arrow tables, batch by batch.

use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashSet;

use super::columns::{
    Attempts, DataIds, OptionalUuids, UuidLists, attempt_fields, data_id_fields, optional_uuid_field,
    uuid_list_field,
};
use super::files::{Files, Walk};
use super::models::{Dataset, Quantum};
use super::pipeline::KeyKind;
use super::provenance::{BlockKind, ProvenanceGraph};
use crate::Result;
use crate::arrow_columns::{RepeatingBuilder, UuidBuilder, repeating_field, uuid_field};

/// A batch is given out before it has more text than this.
const MOST_TEXT: usize = 1 << 28;

/// A batch is given out before it has more edges or attempts than this.
pub(super) const MOST_MEMBERS: usize = 1 << 22;

/// The tables of some quanta.
#[derive(Debug)]
pub struct QuantaBatch {
    /// One row for each quantum.
    pub quanta: RecordBatch,
    /// One row for each attempt, in the order of the quanta.
    pub attempts: RecordBatch,
    /// One row for each dataset that a quantum was to read or write, in the order of the quanta.
    pub edges: RecordBatch,
}

/// All dimensions that data IDs of a graph have.
pub(super) fn all_dimensions(files: &Files) -> Result<Vec<(String, KeyKind)>> {
    let mut all: Vec<(String, KeyKind)> = Vec::new();
    let mut pipelines = HashSet::new();
    for number in 0..files.len() {
        let pipeline = files.pipeline(number)?;
        if pipelines.insert(Arc::as_ptr(pipeline)) {
            for dimension in &pipeline.dimensions {
                match all.iter().find(|(name, _)| *name == dimension.0) {
                    None => all.push(dimension.clone()),
                    Some((_, kind)) if *kind == dimension.1 => {}
                    Some((name, _)) => {
                        let what = format!("{name} has values of another type than in the files before");
                        return Err(files.get(number).damaged(what));
                    }
                }
            }
        }
    }
    Ok(all)
}

/// The fields that quanta and datasets begin with.
pub(super) fn with_names(first: Field, name: &str, dimensions: &[(String, KeyKind)]) -> Vec<Field> {
    vec![
        first,
        repeating_field(name, DataType::Int32, false),
        repeating_field("run", DataType::Int32, false),
        Field::new("data_id", DataType::Struct(data_id_fields(dimensions)), false),
    ]
}

/// The schema of `QuantaBatch::quanta`.
pub(super) fn quanta_schema(dimensions: &[(String, KeyKind)]) -> SchemaRef {
    let mut fields = with_names(uuid_field("quantum_id"), "task_label", dimensions);
    fields.extend(attempt_fields());
    fields.push(Field::new("attempts", DataType::Int32, false));
    fields.push(Field::new("source", DataType::Int32, false));
    Arc::new(Schema::new(fields))
}

/// The schema of datasets.
pub(super) fn datasets_schema(dimensions: &[(String, KeyKind)]) -> SchemaRef {
    let mut fields = with_names(uuid_field("dataset_id"), "dataset_type", dimensions);
    fields.push(Field::new("produced", DataType::Boolean, false));
    fields.push(optional_uuid_field("producer"));
    fields.push(Field::new("source", DataType::Int32, false));
    Arc::new(Schema::new(fields))
}

/// The schema of `QuantaBatch::attempts`.
pub(super) static ATTEMPTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![uuid_field("quantum_id"), Field::new("attempt", DataType::Int32, false)];
    fields.extend(attempt_fields());
    fields.push(uuid_list_field("previous_process_quanta"));
    Arc::new(Schema::new(fields))
});

/// The schema of edges.
pub(super) static EDGES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        uuid_field("quantum_id"),
        uuid_field("dataset_id"),
        repeating_field("connection", DataType::Int32, false),
        Field::new("is_input", DataType::Boolean, false),
    ]))
});

pub(super) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.clone(), columns).expect("the columns are those of the schema, equally long")
}

/// Collects edges.
#[derive(Default)]
pub(super) struct Edges {
    quanta: UuidBuilder,
    datasets: UuidBuilder,
    connections: RepeatingBuilder,
    inputs: Vec<bool>,
}

impl Edges {
    pub(super) fn push(&mut self, quantum: u128, dataset: u128, connection: &str, is_input: bool) {
        self.quanta.push(quantum);
        self.datasets.push(dataset);
        self.connections.push(Some(connection));
        self.inputs.push(is_input);
    }

    pub(super) fn len(&self) -> usize {
        self.inputs.len()
    }

    pub(super) fn finish(self) -> RecordBatch {
        let Self { quanta, datasets, connections, inputs } = self;
        let inputs = Arc::new(BooleanArray::from(inputs));
        batch(&EDGES, vec![quanta.finish(), datasets.finish(), connections.finish(), inputs])
    }
}

/// Reads all quanta, in the order in which they were written.
pub struct QuantaReader {
    graph: Arc<ProvenanceGraph>,
    walk: Walk,
    rows: usize,
    dimensions: Vec<(String, KeyKind)>,
    schema: SchemaRef,
    begun: bool,
}

impl QuantaReader {
    /// Reads so many quanta at once, or fewer where these have much to tell.
    pub fn new(graph: Arc<ProvenanceGraph>, rows: usize) -> Result<Self> {
        let dimensions = all_dimensions(graph.files())?;
        let schema = quanta_schema(&dimensions);
        let walk = Walk::new(BlockKind::Quanta.member());
        Ok(Self { graph, walk, rows: rows.max(1), dimensions, schema, begun: false })
    }

    /// The next ones, if there are any; a graph without any gives one empty batch.
    pub fn next_batch(&mut self) -> Result<Option<QuantaBatch>> {
        let (mut ids, mut tasks, mut runs) =
            (UuidBuilder::default(), RepeatingBuilder::default(), RepeatingBuilder::default());
        let mut data_ids = DataIds::new(&self.dimensions);
        let (mut last, mut counts, mut sources) = (Attempts::default(), Vec::new(), Vec::new());
        let (mut of_attempts, mut numbers, mut previous) =
            (UuidBuilder::default(), Vec::new(), UuidLists::default());
        let (mut attempts, mut edges) = (Attempts::default(), Edges::default());
        while ids.len() < self.rows
            && attempts.text() < MOST_TEXT
            && edges.len() < MOST_MEMBERS
            && numbers.len() < MOST_MEMBERS
        {
            let Some((number, quantum)) = self.walk.next::<Quantum>(self.graph.files())? else { break };
            let file = self.graph.files().get(number);
            let task = self.graph.files().pipeline(number)?.tasks.get(&quantum.task_label);
            let task = task
                .ok_or_else(|| file.damaged(format!("the pipeline has no task {:?}", quantum.task_label)))?;
            data_ids.push(&task.dimensions, &quantum.data_coordinate).map_err(|what| file.damaged(what))?;
            let id = quantum.quantum_id.0;
            ids.push(id);
            tasks.push(Some(&quantum.task_label));
            runs.push(Some(&file.header.output_run));
            last.push(quantum.attempts.last());
            counts.push(quantum.attempts.len() as i32);
            sources.push(number as i32);
            for (number, attempt) in quantum.attempts.iter().enumerate() {
                of_attempts.push(id);
                numbers.push(number as i32);
                previous.push(&attempt.previous_process_quanta);
                attempts.push(Some(attempt));
            }
            for (connections, is_input) in [(&quantum.inputs, true), (&quantum.outputs, false)] {
                for (connection, datasets) in connections {
                    datasets.iter().for_each(|dataset| edges.push(id, dataset.0, connection, is_input));
                }
            }
        }
        if ids.is_empty() && self.begun {
            return Ok(None);
        }
        self.begun = true;
        let mut quanta = vec![ids.finish(), tasks.finish(), runs.finish(), data_ids.finish()];
        quanta.extend(last.finish());
        quanta.extend([Arc::new(Int32Array::from(counts)) as ArrayRef, Arc::new(Int32Array::from(sources))]);
        let mut of_attempts = vec![of_attempts.finish(), Arc::new(Int32Array::from(numbers))];
        of_attempts.extend(attempts.finish());
        of_attempts.push(previous.finish());
        let [quanta, attempts] = [batch(&self.schema, quanta), batch(&ATTEMPTS, of_attempts)];
        Ok(Some(QuantaBatch { quanta, attempts, edges: edges.finish() }))
    }
}

/// Reads all datasets, in the order in which they were written.
pub struct DatasetsReader {
    graph: Arc<ProvenanceGraph>,
    walk: Walk,
    rows: usize,
    dimensions: Vec<(String, KeyKind)>,
    schema: SchemaRef,
    begun: bool,
}

impl DatasetsReader {
    /// Reads so many at once.
    pub fn new(graph: Arc<ProvenanceGraph>, rows: usize) -> Result<Self> {
        let dimensions = all_dimensions(graph.files())?;
        let schema = datasets_schema(&dimensions);
        let walk = Walk::new(BlockKind::Datasets.member());
        Ok(Self { graph, walk, rows: rows.max(1), dimensions, schema, begun: false })
    }

    /// The next ones, if there are any; a graph without any gives one empty batch.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = DatasetRows::new(&self.dimensions);
        while rows.len() < self.rows {
            let Some((number, dataset)) = self.walk.next::<Dataset>(self.graph.files())? else { break };
            let file = self.graph.files().get(number);
            let found = self.graph.files().pipeline(number)?.dataset_types.get(&dataset.dataset_type_name);
            let found = found.ok_or_else(|| {
                file.damaged(format!("the pipeline has no dataset type {:?}", dataset.dataset_type_name))
            })?;
            rows.data_ids
                .push(&found.dimensions, &dataset.data_coordinate)
                .map_err(|what| file.damaged(what))?;
            rows.ids.push(dataset.dataset_id.0);
            rows.types.push(Some(&dataset.dataset_type_name));
            rows.runs.push(Some(&dataset.run));
            rows.produced.push(dataset.produced);
            rows.producers.push(dataset.producer);
            rows.sources.push(number as i32);
        }
        let is_last = rows.len() == 0 && self.begun;
        self.begun = true;
        Ok((!is_last).then(|| rows.finish(&self.schema)))
    }
}

/// Collects datasets.
struct DatasetRows {
    ids: UuidBuilder,
    types: RepeatingBuilder,
    runs: RepeatingBuilder,
    data_ids: DataIds,
    produced: Vec<bool>,
    producers: OptionalUuids,
    sources: Vec<i32>,
}

impl DatasetRows {
    fn new(dimensions: &[(String, KeyKind)]) -> Self {
        Self {
            ids: UuidBuilder::default(),
            types: RepeatingBuilder::default(),
            runs: RepeatingBuilder::default(),
            data_ids: DataIds::new(dimensions),
            produced: Vec::new(),
            producers: OptionalUuids::with_capacity(0),
            sources: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.sources.len()
    }

    fn finish(self, schema: &SchemaRef) -> RecordBatch {
        let columns = vec![
            self.ids.finish(),
            self.types.finish(),
            self.runs.finish(),
            self.data_ids.finish(),
            Arc::new(BooleanArray::from(self.produced)),
            self.producers.finish(),
            Arc::new(Int32Array::from(self.sources)),
        ];
        batch(schema, columns)
    }
}
