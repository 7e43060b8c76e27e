//! What datasets were made from, or what was made from them.

use super::Role;
use super::index::{LineageIndex, bit};
use crate::Result;

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the quanta that wrote a dataset, and to their inputs.
    Up,
    /// To the quanta that read a dataset, and to their outputs.
    Down,
}

/// How to go through the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Which way.
    pub direction: Direction,
    /// Whether by what was really used and written, or by what was predicted.
    pub actual: bool,
    /// The most quanta between a dataset and where it begins.
    pub depth: Option<u32>,
}

impl Plan {
    /// The role of an input.
    pub fn input(self) -> u8 {
        bit(if self.actual { Role::ActualInputs } else { Role::PredictedInputs })
    }

    /// The role of an output.
    pub fn output(self) -> u8 {
        bit(if self.actual { Role::ActualOutputs } else { Role::PredictedOutputs })
    }

    /// The roles in which a dataset is left for a quantum, and that quantum for other datasets.
    fn steps(self) -> [u8; 2] {
        match self.direction {
            Direction::Up => [self.output(), self.input()],
            Direction::Down => [self.input(), self.output()],
        }
    }
}

/// A part of the graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// Rows of datasets, and how many quanta are between each and where it begins; in order of that
    /// distance and then of the rows.
    pub datasets: Vec<(u32, u32)>,
    /// The same of quanta; their distance counts themselves.
    pub quanta: Vec<(u32, u32)>,
}

/// A dataset that a quantum of the same part of the graph has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Where the quantum is in [`Closure::quanta`].
    pub quantum: u32,
    /// Where the dataset is in [`Closure::datasets`].
    pub dataset: u32,
    /// Whether the quantum wrote it or read it.
    pub output: bool,
}

/// A set of rows.
struct Seen(Vec<u64>);

impl Seen {
    fn new(rows: u32) -> Self {
        Self(vec![0; (rows as usize).div_ceil(64)])
    }

    /// Whether the row is new.
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.0[row as usize / 64], 1 << (row % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

impl LineageIndex {
    /// All that can be reached from the datasets in those rows.
    pub fn closure(&self, datasets: &[u32], plan: Plan) -> Result<Closure> {
        let [there, back] = plan.steps();
        let mut seen = Seen::new(self.nodes());
        let mut found = Closure::default();
        let mut level: Vec<u32> = datasets.iter().copied().filter(|row| seen.insert(*row)).collect();
        let mut distance = 0;
        loop {
            // Memory is read in one direction, and the order is the same whatever the way here.
            level.sort_unstable();
            found.datasets.extend(level.iter().map(|row| (*row, distance)));
            if level.is_empty() || plan.depth == Some(distance) {
                return Ok(found);
            }
            distance += 1;
            let mut quanta = Vec::new();
            for dataset in level.drain(..) {
                for quantum in self.neighbours(dataset)?.in_roles(there) {
                    if seen.insert(quantum) {
                        self.confirm(dataset, quantum, there)?;
                        quanta.push(quantum);
                    }
                }
            }
            quanta.sort_unstable();
            for quantum in &quanta {
                let next = self.neighbours(*quantum)?.in_roles(back);
                level.extend(next.filter(|dataset| seen.insert(*dataset)));
            }
            found.quanta.extend(quanta.iter().map(|row| (*row, distance)));
        }
    }

    /// The edges within a part of the graph, in order of its quanta and, of each of these, inputs first.
    pub fn edges(&self, part: &Closure, plan: Plan) -> Result<Vec<Edge>> {
        let mut places: Vec<_> = (0..).zip(&part.datasets).map(|(place, (row, _))| (*row, place)).collect();
        places.sort_unstable();
        let mut edges = Vec::new();
        for (quantum, (row, _)) in (0..).zip(&part.quanta) {
            let neighbours = self.neighbours(*row)?;
            for (roles, output) in [(plan.input(), false), (plan.output(), true)] {
                let known = neighbours.in_roles(roles).filter_map(|dataset| {
                    let place = places.binary_search_by_key(&dataset, |(row, _)| *row).ok()?;
                    Some(Edge { quantum, dataset: places[place].1, output })
                });
                edges.extend(known);
            }
        }
        Ok(edges)
    }
}
