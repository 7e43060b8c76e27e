//! What can go when a file datastore's trash is emptied, and what others still need.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};

use crate::paths::is_plain;
use crate::table::filter::Filter;
use crate::table::value::Value;
use crate::{DatasetId, FileRecords, IdSet, Locations, Table};

/// Datasets in the trash of a file datastore, and what is to become of their artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trash {
    datasets: IdSet,
    artifacts: Vec<String>,
    kept: usize,
}

impl Trash {
    /// The datasets. Those without records are not among them: they stay in the trash.
    pub fn datasets(&self) -> &IdSet {
        &self.datasets
    }

    /// Paths of the files that nobody else needs.
    pub fn artifacts(&self) -> &[String] {
        &self.artifacts
    }

    /// Number of artifacts that other datasets need.
    pub fn kept(&self) -> usize {
        self.kept
    }
}

impl FileRecords {
    /// Looks through the trash, or a selection of it. Nothing if an artifact is not a plain relative path, with
    /// or without a fragment.
    ///
    /// A path is needed if a dataset outside the trash has just the same one. For a path with a fragment, the
    /// member of an archive, the archive is needed if any other dataset has a member of it, in the trash or not.
    pub fn trash(self, table: &Table, locations: &Locations, selected: Option<&IdSet>) -> Option<Trash> {
        let ids = locations.trashed(selected).into_iter().filter_map(DatasetId::as_uuid);
        let rows = self.rows_with(table, self.dataset_id, Filter::one_of(ids.map(Value::Guid)));
        let uses: Vec<_> = rows.iter().map(|(id, path)| Use::new(*id, path)).collect::<Option<_>>()?;

        let paths = rows.iter().map(|(_, path)| Value::text(path));
        let sharing = self.rows_with(table, self.path, Filter::one_of(paths));
        let held = sharing.into_iter().filter(|(id, _)| locations.present().contains(DatasetId::Uuid(*id)));
        let mut needed: HashSet<Cow<'_, str>> = held.map(|(_, path)| path).collect();
        needed.extend(self.needed_archives(table, &uses).into_iter().map(Cow::Owned));

        let mut trash = Trash { kept: needed.len(), ..Trash::default() };
        let mut seen = HashSet::with_capacity(uses.len());
        for Use { dataset, artifact, .. } in uses {
            trash.datasets.insert(DatasetId::Uuid(dataset));
            if !needed.contains(artifact) && seen.insert(artifact) {
                trash.artifacts.push(artifact.to_owned());
            }
        }
        Some(trash)
    }

    /// Drops the records of datasets in the trash, then the datasets.
    pub fn empty_trash(self, table: &mut Table, locations: &mut Locations, trash: &Trash) {
        let keys = trash.datasets.iter().filter_map(DatasetId::as_uuid).map(|uuid| vec![Value::Guid(uuid)]);
        table
            .delete(&[self.dataset_id], keys.collect())
            .expect("the column holds UUIDs, as was checked when it was found");
        locations.drop_from_trash(trash.datasets.iter());
    }

    /// Archives of which other datasets have members.
    fn needed_archives(self, table: &Table, trashed: &[Use<'_>]) -> Vec<String> {
        let archives: HashSet<_> =
            trashed.iter().filter(|one| one.is_member).map(|one| one.artifact).collect();
        let mut users: HashMap<String, HashSet<u128>> = HashMap::new();
        for archive in archives {
            // Upstream's pattern, wildcards in the name included: it counts what else they match.
            let pattern = Filter::scalar(Value::Text(format!("{archive}#%").into()));
            for (id, path) in self.rows_with(table, self.path, pattern) {
                let archive = path.rsplit_once('#').map_or(&*path, |(archive, _)| archive);
                users.entry_ref(archive).or_default().insert(id);
            }
        }
        for Use { dataset, artifact, .. } in trashed {
            if let Some(users) = users.get_mut(*artifact) {
                users.remove(dataset);
            }
        }
        users.into_iter().filter(|(_, users)| !users.is_empty()).map(|(archive, _)| archive).collect()
    }

    /// Dataset and path of the rows that meet a condition on one column.
    fn rows_with<'t>(self, table: &'t Table, column: usize, filter: Filter<'_>) -> Vec<(u128, Cow<'t, str>)> {
        let rows = table
            .select(&[(column, filter)])
            .expect("the columns hold UUIDs and text, as was checked when they were found");
        let both = |row| match table.cell(row, self.dataset_id) {
            Value::Guid(id) => Some((id, table.column(self.path).text(row as usize)?)),
            _ => None,
        };
        rows.into_iter().filter_map(both).collect()
    }
}

/// One record's use of an artifact.
struct Use<'t> {
    dataset: u128,
    artifact: &'t str,
    is_member: bool,
}

impl<'t> Use<'t> {
    /// Nothing if the path is not the same to files and to URIs.
    fn new(dataset: u128, path: &'t str) -> Option<Self> {
        let Some((artifact, fragment)) = path.rsplit_once('#') else {
            return is_plain(path).then_some(Self { dataset, artifact: path, is_member: false });
        };
        // A URI is searched for a fragment behind its last slash.
        let plain = is_plain(artifact) && is_plain(fragment) && !fragment.contains('/');
        plain.then_some(Self { dataset, artifact, is_member: true })
    }
}
