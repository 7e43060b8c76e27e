//! The table of what datasets are called.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use hashbrown::HashMap;

use crate::arrow_columns::{RepeatingBuilder, UuidBuilder, repeating_field, uuid_field};
use crate::log::{DataIdValue, NamedDatasets};

/// About how many bytes a row takes, and a value in it.
const ROW: usize = 30;
const VALUE: usize = 9;

/// Collects what datasets are called: `dataset_id`, `dataset_type`, `run`, `storage_class`, and a column for each
/// dimension that one of them has, of whole numbers or of texts.
#[derive(Default)]
pub(super) struct NamesBuilder {
    ids: UuidBuilder,
    dataset_types: RepeatingBuilder,
    runs: RepeatingBuilder,
    storage_classes: RepeatingBuilder,
    dimensions: Vec<Dimension>,
    numbers: HashMap<String, usize>,
    values: usize,
}

/// Values of one dimension; there are none of the last rows if the columns are shorter.
#[derive(Default)]
struct Dimension {
    name: String,
    integers: Vec<Option<i64>>,
    texts: RepeatingBuilder,
    has_texts: bool,
}

impl Dimension {
    fn fill(&mut self, rows: usize) {
        while self.integers.len() < rows {
            self.integers.push(None);
            self.texts.push(None);
        }
    }

    fn push(&mut self, rows: usize, value: &DataIdValue<'_>) {
        self.fill(rows);
        match value {
            DataIdValue::Int(number) => {
                self.integers.push(Some(*number));
                self.texts.push(None);
            }
            DataIdValue::Text(text) => {
                self.has_texts = true;
                self.integers.push(None);
                self.texts.push(Some(text));
            }
        }
    }

    fn finish(mut self, rows: usize) -> (Field, ArrayRef) {
        self.fill(rows);
        if !self.has_texts {
            let column = Arc::new(Int64Array::from(self.integers));
            return (Field::new(self.name, DataType::Int64, true), column);
        }
        let field = repeating_field(&self.name, DataType::Int32, true);
        if self.integers.iter().all(Option::is_none) {
            return (field, self.texts.finish());
        }
        // Who gives a dimension now numbers and now texts gets texts.
        let mut column = RepeatingBuilder::with_capacity(rows);
        for row in 0..rows {
            match self.integers[row] {
                Some(number) => column.push(Some(&number.to_string())),
                None => column.push(self.texts.get(row)),
            }
        }
        (field, column.finish())
    }
}

impl NamesBuilder {
    /// About how many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        ROW * self.ids.len() + VALUE * self.values
    }

    /// Adds datasets of one type and run.
    pub(super) fn push(&mut self, group: &NamedDatasets<'_>) {
        let width = group.dimensions.len();
        let columns: Vec<usize> = group.dimensions.iter().map(|name| self.column(name)).collect();
        for (number, id) in group.ids.iter().enumerate() {
            let row = self.ids.len();
            self.ids.push(*id);
            self.dataset_types.push(Some(&group.dataset_type));
            self.runs.push(Some(&group.run));
            self.storage_classes.push(group.storage_class.as_deref());
            for (column, value) in columns.iter().zip(&group.values[number * width..(number + 1) * width]) {
                self.dimensions[*column].push(row, value);
            }
            self.values += width;
        }
    }

    fn column(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.dimensions.len();
        self.dimensions.push(Dimension { name: name.to_owned(), ..Dimension::default() });
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The table.
    pub(super) fn finish(self) -> RecordBatch {
        let rows = self.ids.len();
        let mut fields = vec![
            uuid_field("dataset_id"),
            repeating_field("dataset_type", DataType::Int32, true),
            repeating_field("run", DataType::Int32, true),
            repeating_field("storage_class", DataType::Int32, true),
        ];
        let mut columns: Vec<ArrayRef> = vec![
            self.ids.finish(),
            self.dataset_types.finish(),
            self.runs.finish(),
            self.storage_classes.finish(),
        ];
        for dimension in self.dimensions {
            let (field, column) = dimension.finish(rows);
            fields.push(field);
            columns.push(column);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .expect("each row has a cell in each column")
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};

    use super::*;

    fn group(
        dataset_type: &str,
        dimensions: &[&str],
        ids: &[u128],
        values: &[DataIdValue<'static>],
    ) -> NamedDatasets<'static> {
        NamedDatasets {
            dataset_type: dataset_type.to_owned().into(),
            run: "run".into(),
            dimensions: dimensions.iter().map(|name| (*name).to_owned().into()).collect(),
            ids: ids.to_vec(),
            values: values.to_vec(),
            ..NamedDatasets::default()
        }
    }

    #[test]
    fn each_dimension_has_a_column() {
        let mut names = NamesBuilder::default();
        let (int, text) = (DataIdValue::Int, |text: &'static str| DataIdValue::Text(text.into()));
        names.push(&group("schema", &[], &[1], &[]));
        names.push(&group("raw", &["a", "b"], &[2, 3], &[text("x"), int(4), text("y"), int(5)]));
        names.push(&group("odd", &["b"], &[4], &[text("z")]));
        let table = names.finish();
        assert_eq!(
            table.schema().fields().iter().skip(4).map(|field| field.name().as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        let texts = |name: &str| {
            let column = table[name].as_dictionary::<Int32Type>();
            let values = column.values().as_string::<i32>();
            let at = |row: usize| column.key(row).map(|key| values.value(key).to_owned());
            (0..4).map(at).collect::<Vec<_>>()
        };
        assert_eq!(texts("a"), [None, Some("x".into()), Some("y".into()), None]);
        assert_eq!(texts("b"), [None, Some("4".into()), Some("5".into()), Some("z".into())]);
        let mut names = NamesBuilder::default();
        names.push(&group("raw", &["b"], &[2], &[int(-4)]));
        names.push(&group("schema", &[], &[3], &[]));
        let table = names.finish();
        let numbers = table["b"].as_primitive::<Int64Type>();
        assert_eq!((numbers.value(0), numbers.is_null(1)), (-4, true));
        assert_eq!(NamesBuilder::default().finish().num_columns(), 4);
    }
}
