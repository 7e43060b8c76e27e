//! Predicted graphs as Arrow tables, batch by batch.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashSet;

use super::columns::{DataIds, OptionalUuids, optional_uuid_field};
use super::files::Walk;
use super::json::Uuid;
use super::models::{PlannedDataset, PlannedQuantum};
use super::pipeline::{Dimensions, KeyKind};
use super::predicted::{BLOCKS, PredictedGraph};
use super::tables::{Edges, MOST_MEMBERS, all_dimensions, batch, with_names};
use crate::Result;
use crate::arrow_columns::{RepeatingBuilder, UuidBuilder, uuid_field};

/// What upstream calls the type of the versions of software; no pipeline has it.
const PACKAGES: &str = "packages";

static NO_DIMENSIONS: Dimensions = Dimensions { names: Vec::new(), required: 0 };

/// Reads all planned quanta with their edges.
pub struct PlannedQuantaReader {
    graph: Arc<PredictedGraph>,
    walk: Walk,
    rows: usize,
    dimensions: Vec<(String, KeyKind)>,
    schema: SchemaRef,
    begun: bool,
}

impl PlannedQuantaReader {
    /// Reads so many quanta at once, or fewer where these have many datasets.
    pub fn new(graph: Arc<PredictedGraph>, rows: usize) -> Result<Self> {
        let dimensions = all_dimensions(graph.files())?;
        let mut fields = with_names(uuid_field("quantum_id"), "task_label", &dimensions);
        fields.push(Field::new("source", DataType::Int32, false));
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { graph, walk: Walk::new(BLOCKS), rows: rows.max(1), dimensions, schema, begun: false })
    }

    /// The next quanta and their edges, if there are any; a graph without any gives one empty batch.
    pub fn next_batch(&mut self) -> Result<Option<(RecordBatch, RecordBatch)>> {
        let mut ids = UuidBuilder::default();
        let (mut tasks, mut runs) = (RepeatingBuilder::default(), RepeatingBuilder::default());
        let (mut data_ids, mut sources) = (DataIds::new(&self.dimensions), Vec::new());
        let mut edges = Edges::default();
        while ids.len() < self.rows && edges.len() < MOST_MEMBERS {
            let Some((number, quantum)) = self.walk.next::<PlannedQuantum>(self.graph.files())? else {
                break;
            };
            let files = self.graph.files();
            let file = files.get(number);
            let task = files.pipeline(number)?.tasks.get(&quantum.task_label);
            let task = task
                .ok_or_else(|| file.damaged(format!("the pipeline has no task {:?}", quantum.task_label)))?;
            data_ids.push(&task.dimensions, &quantum.data_coordinate).map_err(|what| file.damaged(what))?;
            let id = quantum.quantum_id.0;
            ids.push(id);
            tasks.push(Some(&quantum.task_label));
            runs.push(Some(&file.header.output_run));
            sources.push(number as i32);
            for (connections, is_input) in [(&quantum.inputs, true), (&quantum.outputs, false)] {
                for (connection, datasets) in connections {
                    datasets.iter().for_each(|one| edges.push(id, one.dataset_id.0, connection, is_input));
                }
            }
        }
        if ids.is_empty() && self.begun {
            return Ok(None);
        }
        self.begun = true;
        let sources = Arc::new(Int32Array::from(sources));
        let columns = vec![ids.finish(), tasks.finish(), runs.finish(), data_ids.finish(), sources];
        Ok(Some((batch(&self.schema, columns), edges.finish())))
    }
}

/// A dataset, the quantum that is to write it, and the number of the file that says so.
type Planned = (PlannedDataset, Option<Uuid>, usize);

/// Reads all planned datasets, each once: outputs with their quanta, then overall inputs.
pub struct PlannedDatasetsReader {
    graph: Arc<PredictedGraph>,
    walk: Walk,
    rows: usize,
    dimensions: Vec<(String, KeyKind)>,
    schema: SchemaRef,
    waiting: VecDeque<Planned>,
    told: HashSet<u128>,
    of_inputs: bool,
    begun: bool,
}

impl PlannedDatasetsReader {
    /// Reads so many at once. All ids are in memory towards the end.
    pub fn new(graph: Arc<PredictedGraph>, rows: usize) -> Result<Self> {
        let dimensions = all_dimensions(graph.files())?;
        let mut fields = with_names(uuid_field("dataset_id"), "dataset_type", &dimensions);
        fields.push(optional_uuid_field("producer"));
        fields.push(Field::new("source", DataType::Int32, false));
        let schema = Arc::new(Schema::new(fields));
        let (waiting, told) = (VecDeque::new(), HashSet::new());
        let mut reader = Self {
            graph,
            walk: Walk::new(BLOCKS),
            rows: rows.max(1),
            dimensions,
            schema,
            waiting,
            told,
            of_inputs: false,
            begun: false,
        };
        for (number, quantum) in reader.graph.init_quanta()? {
            reader.add(number, quantum);
        }
        Ok(reader)
    }

    /// The next ones, if there are any; a graph without any gives one empty batch.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut ids = UuidBuilder::default();
        let (mut types, mut runs) = (RepeatingBuilder::default(), RepeatingBuilder::default());
        let (mut data_ids, mut sources) = (DataIds::new(&self.dimensions), Vec::new());
        let mut producers = OptionalUuids::with_capacity(0);
        while ids.len() < self.rows {
            let Some((dataset, producer, number)) = self.next()? else { break };
            let files = self.graph.files();
            let file = files.get(number);
            let name = &dataset.dataset_type_name;
            let known = files.pipeline(number)?.dataset_types.get(name).map(|found| &found.dimensions);
            let dimensions = known.or((name == PACKAGES).then_some(&NO_DIMENSIONS));
            let dimensions = dimensions
                .ok_or_else(|| file.damaged(format!("the pipeline has no dataset type {name:?}")))?;
            data_ids.push(dimensions, &dataset.data_coordinate).map_err(|what| file.damaged(what))?;
            ids.push(dataset.dataset_id.0);
            types.push(Some(name));
            runs.push(Some(&dataset.run));
            producers.push(producer);
            sources.push(number as i32);
        }
        if ids.is_empty() && self.begun {
            return Ok(None);
        }
        self.begun = true;
        let sources = Arc::new(Int32Array::from(sources));
        let columns =
            vec![ids.finish(), types.finish(), runs.finish(), data_ids.finish(), producers.finish(), sources];
        Ok(Some(batch(&self.schema, columns)))
    }

    fn next(&mut self) -> Result<Option<Planned>> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Ok(Some(next));
            }
            if let Some((number, quantum)) = self.walk.next::<PlannedQuantum>(self.graph.files())? {
                self.add(number, quantum);
            } else if self.of_inputs {
                return Ok(None);
            } else {
                // Only when all outputs are known it is clear which inputs are none of them.
                self.of_inputs = true;
                self.walk = Walk::new(BLOCKS);
                for (number, quantum) in self.graph.init_quanta()? {
                    self.add(number, quantum);
                }
            }
        }
    }

    fn add(&mut self, number: usize, quantum: PlannedQuantum) {
        let (connections, producer) = match self.of_inputs {
            true => (quantum.inputs, None),
            false => (quantum.outputs, Some(quantum.quantum_id)),
        };
        for dataset in connections.into_values().flatten() {
            if self.told.insert(dataset.dataset_id.0) {
                self.waiting.push_back((dataset, producer, number));
            }
        }
    }
}
