//! Fills [`Records`] from front to back.

use hashbrown::HashSet;

use super::records::{Cell, Key, Node, Records, Span, StoredKey, Value, children};

/// How many of the newest lists of column names are tried before adding one.
/// Real records have one or two; the bound keeps odd input linear.
const SHAPES_TRIED: usize = 8;

/// Makes [`Records`].  What is added belongs to the newest entry of the level
/// above: a class to the datastore before it, a row to the table before it.
#[derive(Debug, Default)]
pub struct RecordsBuilder {
    records: Records,
    row: RowInProgress,
    column_repeated: bool,
}

/// Where the row that is being added stands.
#[derive(Debug, Default)]
struct RowInProgress {
    /// Number of columns so far.
    width: usize,
    /// The shape of the row before, while this row agrees with it.
    follows: Option<u32>,
    /// Names of all columns so far, end to end, once the row disagrees.
    names: String,
    /// Where each of them ends.
    name_ends: Vec<usize>,
    /// First cell of the row before.
    above: usize,
}

impl RowInProgress {
    fn push_name(&mut self, name: &str) {
        self.names.push_str(name);
        self.name_ends.push(self.names.len());
    }

    fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.name_ends.len()).map(|index| {
            let start = index.checked_sub(1).map_or(0, |before| self.name_ends[before]);
            &self.names[start..self.name_ends[index]]
        })
    }
}

/// An index as it is stored.  Too large ones are found by `finish`.
fn stored(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl RecordsBuilder {
    /// A builder with room for what is in about so many bytes of JSON.
    pub(super) fn for_json(bytes: usize) -> Self {
        let mut builder = Self::default();
        let all = &mut builder.records;
        all.text.reserve(bytes / 4);
        all.cells.reserve(bytes / 128);
        // One row to a dataset is most usual, of half a kilobyte with the dataset's ids.
        all.datasets.reserve(bytes / 512);
        all.tables.reserve(bytes / 512);
        all.rows.reserve(bytes / 512);
        builder.row.names.reserve(64);
        builder
    }

    /// Starts a datastore.
    pub fn datastore(&mut self, name: &str) {
        let key = self.keep(name, None);
        let all = &mut self.records;
        all.datastores.push(Node { key, end: stored(all.classes.len()) });
        all.ids_end.push(stored(all.dataset_ids.len()));
    }

    /// Adds ids to the datastore's list.
    pub fn dataset_ids(&mut self, ids: &[u128]) {
        let all = &mut self.records;
        all.dataset_ids.extend_from_slice(ids);
        if let Some(end) = all.ids_end.last_mut() {
            *end = stored(all.dataset_ids.len());
        }
    }

    /// Starts a record class.
    pub fn class(&mut self, name: &str) {
        let key = self.keep(name, self.records.classes.last().map(|class| class.key));
        let all = &mut self.records;
        all.classes.push(Node { key, end: stored(all.datasets.len()) });
        end_at(&mut all.datastores, all.classes.len());
    }

    /// Starts a dataset.
    pub fn dataset(&mut self, key: Key<'_>) {
        let key = match key {
            Key::Id(id) => StoredKey::Id(id),
            Key::Text(text) => StoredKey::Text(self.keep(text, None)),
        };
        let all = &mut self.records;
        all.datasets.push(Node { key, end: stored(all.tables.len()) });
        end_at(&mut all.classes, all.datasets.len());
    }

    /// Starts an opaque table.
    pub fn table(&mut self, name: &str) {
        let key = self.keep(name, self.records.tables.last().map(|table| table.key));
        let all = &mut self.records;
        all.tables.push(Node { key, end: stored(all.rows.len()) });
        end_at(&mut all.datasets, all.tables.len());
    }

    /// Starts a row.
    pub fn row(&mut self) {
        self.row.width = 0;
        self.row.names.clear();
        self.row.name_ends.clear();
        self.row.follows = self.records.rows.last().map(|row| row.key);
        self.row.above = match self.records.rows.len() {
            0 => self.records.cells.len(),
            rows => children(&self.records.rows, rows - 1).start,
        };
    }

    /// Adds a column to the row.
    pub fn cell(&mut self, column: &str, value: Value<'_>) {
        if let Some(shape) = self.row.follows {
            let expected = self.records.shape(shape).get(self.row.width);
            if expected.is_none_or(|&name| self.records.text(name) != column) {
                self.stop_following(shape);
            }
        }
        if self.row.follows.is_none() {
            self.row.push_name(column);
        }
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Int(number) => Cell::Int(number),
            Value::Text(text) => {
                let above = match self.records.cells.get(self.row.above + self.row.width) {
                    Some(&Cell::Text(span)) => Some(span),
                    _ => None,
                };
                Cell::Text(self.keep(text, above))
            }
        };
        self.records.cells.push(cell);
        self.row.width += 1;
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        let shape = match self.row.follows {
            Some(shape) if self.records.shape(shape).len() == self.row.width => shape,
            Some(longer) => {
                self.stop_following(longer);
                self.shape_of_names()
            }
            None => self.shape_of_names(),
        };
        let all = &mut self.records;
        all.rows.push(Node { key: shape, end: stored(all.cells.len()) });
        end_at(&mut all.tables, all.rows.len());
    }

    /// What was built; `None` when a key is repeated within its parent, or when
    /// a level has 2^32 entries or the text as many bytes.
    pub fn finish(self) -> Option<Records> {
        let mut all = self.records;
        let largest = [
            all.text.len(),
            all.dataset_ids.len(),
            all.classes.len(),
            all.datasets.len(),
            all.tables.len(),
            all.rows.len(),
            all.cells.len(),
            all.columns.len(),
        ];
        if largest.into_iter().any(|length| length >= u32::MAX as usize) {
            return None;
        }
        let unique = !self.column_repeated
            && unique(all.datastores().map(|datastore| Key::Text(datastore.name())))
            && all.datastores().all(|datastore| {
                unique(datastore.classes().map(|class| Key::Text(class.name())))
                    && datastore.classes().all(|class| {
                        unique(class.datasets().map(|dataset| dataset.key()))
                            && class
                                .datasets()
                                .all(|dataset| unique(dataset.tables().map(|table| Key::Text(table.name()))))
                    })
            });
        all.text.shrink_to_fit();
        all.cells.shrink_to_fit();
        all.datasets.shrink_to_fit();
        all.tables.shrink_to_fit();
        all.rows.shrink_to_fit();
        unique.then_some(all)
    }

    /// Where `text` is kept: at `likely` if that is the same, else at the end.
    fn keep(&mut self, text: &str, likely: Option<Span>) -> Span {
        let all = &mut self.records.text;
        if let Some(span) = likely
            && all.get(span.start as usize..span.end as usize) == Some(text)
        {
            return span;
        }
        let start = stored(all.len());
        all.push_str(text);
        Span { start, end: stored(all.len()) }
    }

    /// Takes the columns so far from the shape that the row followed.
    fn stop_following(&mut self, shape: u32) {
        for &name in &self.records.shape(shape)[..self.row.width] {
            self.row.push_name(self.records.text(name));
        }
        self.row.follows = None;
    }

    /// Index of the shape that the row's columns make, added if it is new.
    fn shape_of_names(&mut self) -> u32 {
        let all = &self.records;
        let newest = (0..all.shapes.len()).rev().take(SHAPES_TRIED).map(stored);
        let same = |&shape: &u32| self.row.names().eq(all.shape(shape).iter().map(|&name| all.text(name)));
        if let Some(known) = newest.into_iter().find(same) {
            return known;
        }
        self.column_repeated |= !unique(self.row.names().map(Key::Text));
        let row = std::mem::take(&mut self.row);
        for name in row.names() {
            let name = self.keep(name, None);
            self.records.columns.push(name);
        }
        self.row = row;
        self.records.shapes.push(Node { key: (), end: stored(self.records.columns.len()) });
        stored(self.records.shapes.len() - 1)
    }
}

/// Sets where the children of the newest entry end.
fn end_at<K>(level: &mut [Node<K>], end: usize) {
    if let Some(parent) = level.last_mut() {
        parent.end = stored(end);
    }
}

/// Whether no key occurs twice.
fn unique<'a>(keys: impl ExactSizeIterator<Item = Key<'a>> + Clone) -> bool {
    // Ids that were sorted before they were written need no set.
    if keys.len() < 2 || keys.clone().is_sorted_by(|a, b| a < b) {
        return true;
    }
    let mut keys = keys;
    if keys.len() <= 8 {
        // Few are compared faster than hashed.
        while let Some(key) = keys.next() {
            if keys.clone().any(|later| later == key) {
                return false;
            }
        }
        return true;
    }
    let mut seen = HashSet::with_capacity(keys.len());
    keys.all(|key| seen.insert(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = Vec<(&'a str, Value<'a>)>;

    fn with_rows(rows: &[Row<'_>]) -> RecordsBuilder {
        let mut builder = RecordsBuilder::default();
        builder.datastore("FileDatastore@<butlerRoot>");
        builder.dataset_ids(&[5, 3, 5]);
        builder.class("Info");
        builder.dataset(Key::Id(5));
        builder.table("records");
        for row in rows {
            builder.row();
            for &(column, value) in row {
                builder.cell(column, value);
            }
            builder.end_row();
        }
        builder
    }

    fn rows_of(records: &Records) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for datastore in records.datastores() {
            for class in datastore.classes() {
                for dataset in class.datasets() {
                    for table in dataset.tables() {
                        rows.extend(table.rows().map(|row| row.cells().collect::<Vec<_>>()));
                    }
                }
            }
        }
        rows
    }

    #[test]
    fn rows_come_back_whatever_their_columns() {
        use Value::{Int, Null, Text};
        let rows = [
            vec![("a", Int(1)), ("b", Text("same"))],
            vec![("a", Int(2)), ("b", Text("same"))],
            vec![("a", Int(3))],
            vec![],
            vec![("b", Text("same")), ("a", Null)],
            vec![("a", Text("")), ("b", Null), ("c", Int(i64::MIN))],
            vec![("a", Int(1)), ("b", Text("same"))],
        ];
        let records = with_rows(&rows).finish().unwrap();
        assert_eq!(rows_of(&records), rows);
        assert_eq!(records.shapes.len(), 5, "the first shape is found again");
        let text = "FileDatastore@<butlerRoot>Inforecords";
        assert!(records.text.starts_with(&format!("{text}sameab")), "{}", records.text);
    }

    #[test]
    fn many_shapes_are_kept_apart() {
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        let rows: Vec<Row<'_>> =
            (0..200).map(|n| vec![(names[n % 20].as_str(), Value::Int(n as i64))]).collect();
        assert_eq!(rows_of(&with_rows(&rows).finish().unwrap()), rows);
    }

    #[test]
    fn levels_keep_their_children() {
        let mut builder = RecordsBuilder::default();
        builder.datastore("empty");
        builder.datastore("ids only");
        builder.dataset_ids(&[1]);
        builder.dataset_ids(&[2]);
        builder.datastore("full");
        builder.class("no datasets");
        builder.class("class");
        builder.dataset(Key::Text("no tables"));
        builder.dataset(Key::Id(1));
        builder.table("no rows");
        builder.table("table");
        builder.row();
        builder.end_row();
        let records = builder.finish().unwrap();
        let datastores: Vec<_> = records.datastores().collect();
        let names: Vec<_> = datastores.iter().map(|datastore| datastore.name()).collect();
        assert_eq!(names, ["empty", "ids only", "full"]);
        assert_eq!(datastores[1].dataset_ids(), [1, 2]);
        assert_eq!(datastores[2].dataset_ids(), [0u128; 0]);
        assert_eq!(datastores[0].classes().len(), 0);
        let classes: Vec<_> = datastores[2].classes().collect();
        assert_eq!(classes[0].datasets().len(), 0);
        let datasets: Vec<_> = classes[1].datasets().collect();
        assert_eq!((datasets[0].key(), datasets[0].tables().len()), (Key::Text("no tables"), 0));
        assert_eq!(datasets[1].key(), Key::Id(1));
        let tables: Vec<_> = datasets[1].tables().map(|table| (table.name(), table.rows().len())).collect();
        assert_eq!(tables, [("no rows", 0), ("table", 1)]);
    }

    #[test]
    fn repeated_keys_are_refused_at_every_level() {
        let refused = |add: &dyn Fn(&mut RecordsBuilder)| {
            let mut builder = with_rows(&[]);
            add(&mut builder);
            builder.finish().is_none()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|builder| builder.datastore("FileDatastore@<butlerRoot>")));
        assert!(refused(&|builder| builder.class("Info")));
        assert!(refused(&|builder| builder.dataset(Key::Id(5))));
        assert!(refused(&|builder| builder.table("records")));
        for repeated in [["a", "a"], ["b", "b"]] {
            let row = |names: &[&'static str]| names.iter().map(|&name| (name, Value::Null)).collect();
            assert!(with_rows(&[row(&["a", "b"]), row(&repeated)]).finish().is_none());
        }
    }

    #[test]
    fn a_repeated_key_is_found_among_few_and_many() {
        for count in [2, 8, 9, 100] {
            let keys = |last| (0..count - 1).rev().chain([last]).map(Key::Id).collect::<Vec<_>>();
            assert!(unique(keys(count).into_iter()), "{count}");
            for repeated in [0, (count - 2) / 2, count - 2] {
                assert!(!unique(keys(repeated).into_iter()), "{repeated} of {count}");
            }
        }
    }

    #[test]
    fn equality_ignores_the_order_of_keys_only() {
        use Value::{Int, Text};
        let rows = [vec![("a", Int(1)), ("b", Text("x"))], vec![("a", Int(2)), ("b", Text("x"))]];
        let one = with_rows(&rows).finish().unwrap();
        let turned: Vec<Row<'_>> = rows.iter().map(|row| row.iter().rev().copied().collect()).collect();
        assert_eq!(one, with_rows(&turned).finish().unwrap());
        let swapped: Vec<Row<'_>> = rows.iter().rev().cloned().collect();
        assert_ne!(one, with_rows(&swapped).finish().unwrap());
        assert_ne!(one, with_rows(&rows[..1]).finish().unwrap());

        let two = |first: &str, second: &str, id: u128| {
            let mut builder = RecordsBuilder::default();
            for name in [first, second] {
                builder.datastore(name);
                builder.dataset_ids(&[if name == "b" { id } else { 1 }]);
            }
            builder.finish().unwrap()
        };
        assert_eq!(two("a", "b", 7), two("b", "a", 7));
        assert_ne!(two("a", "b", 7), two("b", "a", 8));
        assert_ne!(two("a", "b", 7), two("a", "c", 7));
    }
}
