//! Names as numbers: of 10^9 different names, two have the same number once in 10^20 runs.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::{Error, Result};

/// What a column has to be.
const UNFIT: Error = Error::UnfitColumn { column: "of names", expected: "integers or texts" };

/// The numbers of the names of a table, by rows.
#[derive(Debug, Default)]
pub struct Names(Vec<u128>);

impl Names {
    /// The numbers.
    pub fn numbers(&self) -> &[u128] {
        &self.0
    }

    /// Adds rows. A name is the values of all columns that are not null; integers of the columns in `texts` are
    /// the same as texts that read like them.
    pub fn add(&mut self, batch: &RecordBatch, texts: &[String]) -> Result<()> {
        let first = self.0.len();
        if first + batch.num_rows() > u32::MAX as usize {
            return Err(Error::TooManyNodes);
        }
        self.0.resize(first + batch.num_rows(), 0);
        let schema = batch.schema_ref();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let name = field.name();
            add_column(&mut self.0[first..], name, column, texts.contains(name))?;
        }
        Ok(())
    }
}

/// Adds the values of a column to the numbers of its rows; a sum does not depend on the order of columns.
fn add_column(numbers: &mut [u128], name: &str, column: &dyn Array, as_text: bool) -> Result<()> {
    let seed = xxh3_64(name.as_bytes());
    let of = |value: &[u8]| xxh3_128_with_seed(value, seed);
    match column.data_type() {
        DataType::Null => {}
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            sum(numbers, column, |row| {
                let value = values.value(row);
                if as_text { of(value.to_string().as_bytes()) } else { of(&value.to_le_bytes()) }
            });
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            sum(numbers, column, |row| of(values.value(row).as_bytes()));
        }
        DataType::LargeUtf8 => {
            let values = column.as_string::<i64>();
            sum(numbers, column, |row| of(values.value(row).as_bytes()));
        }
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            sum(numbers, column, |row| of(values.value(row)));
        }
        DataType::Dictionary(..) => {
            let column = column.as_dictionary_opt::<Int32Type>().ok_or(UNFIT)?;
            let texts = column.values().as_string_opt::<i32>().ok_or(UNFIT)?;
            // A text that is null is no value.
            let known: Vec<_> = texts.iter().map(|text| text.map_or(0, |text| of(text.as_bytes()))).collect();
            let keys = column.keys();
            if !known.is_empty() {
                sum(numbers, keys, |row| known[keys.value(row) as usize]);
            }
        }
        _ => return Err(UNFIT),
    }
    Ok(())
}

/// Adds something to the number of each row whose value is not null.
fn sum(numbers: &mut [u128], column: &dyn Array, of: impl Fn(usize) -> u128) {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, number) in numbers.iter_mut().enumerate() {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            *number = number.wrapping_add(of(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    fn numbers<const COUNT: usize>(columns: [(&str, ArrayRef); COUNT], texts: &[&str]) -> Vec<u128> {
        let mut names = Names::default();
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        names.add(&RecordBatch::try_from_iter(columns).unwrap(), &texts).unwrap();
        names.0
    }

    fn integers(values: [Option<i64>; 3]) -> ArrayRef {
        Arc::new(values.into_iter().collect::<Int64Array>())
    }

    fn texts(values: [Option<&str>; 3]) -> ArrayRef {
        Arc::new(values.into_iter().collect::<StringArray>())
    }

    #[test]
    fn a_name_is_its_values_by_column_in_any_order() {
        let (visit, band) = (integers([Some(1), Some(2), Some(1)]), texts([Some("r"), Some("r"), None]));
        let one = numbers([("visit", visit.clone()), ("band", band.clone())], &[]);
        assert_eq!(one, numbers([("band", band.clone()), ("visit", visit.clone())], &[]));
        assert!(one[0] != one[1] && one[0] != one[2] && one[1] != one[2]);
        // What is null is no value, and a value of another column another one.
        assert_eq!(one[2], numbers([("visit", visit.clone())], &[])[0]);
        assert_ne!(numbers([("exposure", visit.clone())], &[]), numbers([("visit", visit)], &[]));
    }

    #[test]
    fn integers_are_texts_only_where_that_is_wanted() {
        let (numeric, text) = (integers([Some(-7), None, Some(70)]), texts([Some("-7"), None, Some("70")]));
        assert_eq!(
            numbers([("patch", numeric.clone())], &["patch"]),
            numbers([("patch", text.clone())], &[])
        );
        assert_ne!(numbers([("patch", numeric)], &[]), numbers([("patch", text)], &[]));
    }

    #[test]
    fn other_columns_are_refused() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let batch = RecordBatch::try_from_iter([("visit", column)]).unwrap();
        assert!(Names::default().add(&batch, &[]).is_err());
    }
}
