//! How many datasets each task has in each role.

use std::ops::Range;

use super::index::bit;
use super::index::{LineageIndex, damaged};
use super::{ROLES, Role};
use crate::Result;
use crate::parallel::shares;

/// Datasets whose edges are worth a thread of their own.
const SHARE: usize = 8192;

/// Numbers of datasets, each counted once however many quanta have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In each role.
    pub datasets: [u64; ROLES],
    /// Predicted as inputs, and used by no quantum.
    pub unused: u64,
    /// Predicted as outputs, and written by no quantum.
    pub missing: u64,
}

/// How many datasets there are with each combination of roles.
type ByRoles = [u64; 1 << ROLES];

impl Counts {
    /// Counts so many datasets that quanta have in these roles.
    fn add(&mut self, roles: u8, datasets: u64) {
        for (role, count) in self.datasets.iter_mut().enumerate() {
            *count += datasets * u64::from(roles >> role & 1);
        }
        let without = |predicted, actual| u64::from(roles & bit(predicted) != 0 && roles & bit(actual) == 0);
        self.unused += datasets * without(Role::PredictedInputs, Role::ActualInputs);
        self.missing += datasets * without(Role::PredictedOutputs, Role::ActualOutputs);
    }

    /// The sum over all combinations, of several threads.
    fn of<'a>(all: impl Iterator<Item = &'a ByRoles>) -> Self {
        let mut counts = Self::default();
        for by_roles in all {
            (0..).zip(by_roles).for_each(|(roles, datasets)| counts.add(roles, *datasets));
        }
        counts
    }
}

/// What one thread has counted: the datasets of each task, and then of all.
struct Part {
    tasks: Vec<ByRoles>,
    all: ByRoles,
}

/// The counts of each task, and of all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// In order of the tasks' numbers.
    pub tasks: Vec<Counts>,
    /// Of all tasks; a dataset of several is counted once.
    pub total: Counts,
}

impl LineageIndex {
    /// Counts the datasets, given the number of each quantum's task; the numbers are less than `tasks`.
    pub fn census(&self, task_of: &[u32], tasks: u32) -> Result<Census> {
        if task_of.len() != self.quanta() as usize || task_of.iter().any(|task| *task >= tasks) {
            return Err(damaged("its quanta are not those of the archive"));
        }
        let of_share = |range: Range<usize>| self.count(range.start as u32..range.end as u32, task_of, tasks);
        let parts = shares(self.datasets() as usize, SHARE, of_share);
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Census {
            tasks: (0..tasks as usize)
                .map(|task| Counts::of(parts.iter().map(|part| &part.tasks[task])))
                .collect(),
            total: Counts::of(parts.iter().map(|part| &part.all)),
        })
    }

    /// Counts some of the datasets.
    fn count(&self, datasets: Range<u32>, task_of: &[u32], tasks: u32) -> Result<Part> {
        let mut part = Part { tasks: vec![[0; 1 << ROLES]; tasks as usize], all: [0; 1 << ROLES] };
        let mut roles_in = vec![0; tasks as usize];
        let mut touched = Vec::new();
        for dataset in datasets {
            let neighbours = self.neighbours(dataset)?;
            for (row, roles) in neighbours.rows.iter().zip(neighbours.roles) {
                let task = task_of[(row - self.datasets()) as usize];
                if roles_in[task as usize] == 0 {
                    touched.push(task);
                }
                roles_in[task as usize] |= roles;
            }
            let mut any = 0;
            for task in touched.drain(..) {
                let roles = std::mem::take(&mut roles_in[task as usize]);
                part.tasks[task as usize][usize::from(roles)] += 1;
                any |= roles;
            }
            part.all[usize::from(any)] += 1;
        }
        Ok(part)
    }
}
