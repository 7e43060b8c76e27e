//! What a table looks like: its columns, its keys, and the rows that fit.

use crate::table::value::{Kind, Value};
use crate::{ColumnSpec, Error, Result};

/// The shape of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    name: String,
    columns: Vec<ColumnSpec>,
    primary_key: Vec<usize>,
    unique: Vec<Vec<usize>>,
    indexes: Vec<Vec<usize>>,
    /// Text columns with the most characters that they take.
    lengths: Vec<(usize, usize)>,
}

impl Schema {
    /// A table with a name and some columns, and no key yet.
    pub fn new(name: impl Into<String>, columns: Vec<ColumnSpec>) -> Self {
        let (primary_key, unique, indexes, lengths) = Default::default();
        Self { name: name.into(), columns, primary_key, unique, indexes, lengths }
    }

    /// Names the columns of the primary key, which then must have a value in each row.
    pub fn with_primary_key(mut self, names: &[impl AsRef<str>]) -> Result<Self> {
        self.primary_key = self.positions(names)?;
        for column in &self.primary_key {
            self.columns[*column].nullable = false;
        }
        Ok(self)
    }

    /// Names columns whose values together no two rows may share.
    pub fn with_unique(mut self, names: &[impl AsRef<str>]) -> Result<Self> {
        self.unique.push(self.positions(names)?);
        Ok(self)
    }

    /// Names columns that rows are often looked up by.
    pub fn with_index(mut self, names: &[impl AsRef<str>]) -> Result<Self> {
        self.indexes.push(self.positions(names)?);
        Ok(self)
    }

    /// Limits the text in a column to between one and so many characters.
    pub fn with_length(mut self, name: &str, most: usize) -> Result<Self> {
        self.lengths.push((self.position(name)?, most));
        Ok(self)
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns, in the order in which rows hold them.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// Positions of the primary key's columns.
    pub fn primary_key(&self) -> &[usize] {
        &self.primary_key
    }

    pub(crate) fn unique(&self) -> &[Vec<usize>] {
        &self.unique
    }

    pub(crate) fn indexes(&self) -> &[Vec<usize>] {
        &self.indexes
    }

    /// Position of a column.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .ok_or_else(|| Error::UnknownColumn { table: self.name.clone(), column: name.to_owned() })
    }

    fn positions(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.position(name.as_ref())).collect()
    }

    /// The error for a value of another type, which `found` names, in a column.
    pub fn wrong_type(&self, column: usize, found: impl Into<String>) -> Error {
        let ColumnSpec { name, kind, .. } = &self.columns[column];
        let (table, column) = (self.name.clone(), name.clone());
        Error::WrongType { table, column, expected: kind.name(), found: found.into() }
    }

    /// Refuses a value that its column cannot hold; null passes.
    pub(crate) fn check_kind(&self, column: usize, value: &Value<'_>) -> Result<()> {
        match value.kind() {
            Some(kind) if kind != self.columns[column].kind => Err(self.wrong_type(column, kind.name())),
            _ => Ok(()),
        }
    }

    /// Refuses a row that does not fit.
    pub(crate) fn check(&self, row: &[Value<'_>]) -> Result<()> {
        for (position, (value, column)) in row.iter().zip(&self.columns).enumerate() {
            self.check_kind(position, value)?;
            if value.is_null() && !column.nullable {
                let (table, column) = (self.name.clone(), column.name.clone());
                return Err(Error::MissingValue { table, column });
            }
        }
        for &(position, most) in &self.lengths {
            if let Value::Text(text) = &row[position]
                && (text.is_empty() || (text.len() > most && text.chars().count() > most))
            {
                let (table, column) = (self.name.clone(), self.columns[position].name.clone());
                return Err(Error::WrongLength { table, column, text: text.to_string(), most });
            }
        }
        Ok(())
    }

    /// The error for a row that repeats a key.
    pub(crate) fn duplicate_key(&self, key: &[usize], row: &[Value<'_>]) -> Error {
        let names: Vec<_> = key.iter().map(|column| self.columns[*column].name.as_str()).collect();
        let values: Vec<_> = key.iter().map(|column| row[*column].show()).collect();
        Error::DuplicateKey { table: self.name.clone(), columns: names.join(", "), values: values.join(", ") }
    }

    pub(crate) fn kind(&self, column: usize) -> Kind {
        self.columns[column].kind
    }
}

/// Rows on their way into a table, one after the other.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    width: usize,
    values: Vec<Value<'a>>,
}

impl<'a> Rows<'a> {
    /// Room for `capacity` rows of a table.
    pub fn with_capacity(schema: &Schema, capacity: usize) -> Self {
        let width = schema.columns.len();
        Self { width, values: Vec::with_capacity(width * capacity) }
    }

    /// Adds a row of nulls, to be filled in.
    pub fn add(&mut self) -> &mut [Value<'a>] {
        let start = self.values.len();
        self.values.resize(start + self.width, Value::Null);
        &mut self.values[start..]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &[Value<'a>]> {
        self.values.chunks_exact(self.width.max(1))
    }
}
