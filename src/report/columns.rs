//! A table in the making of a Parquet file: rows are collected column by column and written in groups.

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// Rows of a group: what is in memory at a time.
const GROUP: usize = 1 << 18;

/// What a column holds. Every cell may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// 64 bits with a sign.
    Int,
    /// 64 bits without one.
    Unsigned,
    /// Nanoseconds since 1970, UTC.
    Time,
    /// 64 bits.
    Float,
    /// Yes or no.
    Bool,
}

/// One cell; its kind must be that of its column.
#[derive(Clone, Debug)]
pub enum Cell {
    /// For [`Kind::Text`]. Cloning one is cheap.
    Text(Option<ByteArray>),
    /// For [`Kind::Int`], [`Kind::Unsigned`] and [`Kind::Time`], which are all stored as 64 bits.
    Int(Option<u64>),
    /// For [`Kind::Float`].
    Float(Option<f64>),
    /// For [`Kind::Bool`].
    Bool(Option<bool>),
}

impl Cell {
    /// A text; none when it is empty.
    pub fn text(text: &str) -> Cell {
        Cell::Text((!text.is_empty()).then(|| ByteArray::from(text)))
    }

    /// A number.
    pub fn int(value: impl Into<u64>) -> Cell {
        Cell::Int(Some(value.into()))
    }
}

/// The cells of a column that are not written yet, and which of them are there.
enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

struct Column {
    values: Values,
    /// 1 for a cell with a value, 0 for an empty one.
    levels: Vec<i16>,
}

/// A Parquet file that is being written.
pub struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

impl<W: Write + Send> Table<W> {
    /// A table with these columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, name: &str, columns: &[(&str, Kind)]) -> Result<Table<W>> {
        let fields: Result<Vec<_>> = columns
            .iter()
            .map(|(name, kind)| field(name, *kind))
            .collect();
        let schema = Type::group_type_builder(name)
            .with_fields(fields?.into_iter().map(Arc::new).collect())
            .build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("gocc {}", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Table {
            writer: SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?,
            columns: columns.iter().map(|(_, kind)| Column::new(*kind)).collect(),
            rows: 0,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Those of `out`; when cells and columns do not fit together.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<()> {
        let mut columns = self.columns.iter_mut();
        for cell in cells {
            columns.next().ok_or_else(misfit)?.push(cell)?;
        }
        if columns.next().is_some() {
            return Err(misfit());
        }
        self.rows += 1;
        if self.rows >= GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            if let Some(mut writer) = group.next_column()? {
                column.write(&mut writer)?;
                writer.close()?;
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left, and the file's end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.close().map(|_| ())
    }
}

fn misfit() -> ParquetError {
    ParquetError::General("a row does not fit its table".to_owned())
}

fn field(name: &str, kind: Kind) -> Result<Type> {
    let (physical, logical) = match kind {
        Kind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Int => (PhysicalType::INT64, Some(LogicalType::integer(64, true))),
        Kind::Unsigned => (PhysicalType::INT64, Some(LogicalType::integer(64, false))),
        Kind::Time => (
            PhysicalType::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        ),
        Kind::Float => (PhysicalType::DOUBLE, None),
        Kind::Bool => (PhysicalType::BOOLEAN, None),
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

impl Column {
    fn new(kind: Kind) -> Column {
        let values = match kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Int | Kind::Unsigned | Kind::Time => Values::Int(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Column {
            values,
            levels: Vec::new(),
        }
    }

    fn push(&mut self, cell: Cell) -> Result<()> {
        let level = match (&mut self.values, cell) {
            (Values::Text(values), Cell::Text(value)) => push(values, value),
            // The two's complement is what Parquet stores for numbers without a sign.
            (Values::Int(values), Cell::Int(value)) => {
                push(values, value.map(|value| value as i64))
            }
            (Values::Float(values), Cell::Float(value)) => push(values, value),
            (Values::Bool(values), Cell::Bool(value)) => push(values, value),
            _ => return Err(misfit()),
        };
        self.levels.push(level);
        Ok(())
    }

    /// Writes and forgets the cells.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = std::mem::take(&mut self.levels);
        match &mut self.values {
            Values::Text(values) => write::<ByteArrayType>(writer, values, &levels),
            Values::Int(values) => write::<Int64Type>(writer, values, &levels),
            Values::Float(values) => write::<DoubleType>(writer, values, &levels),
            Values::Bool(values) => write::<BoolType>(writer, values, &levels),
        }
    }
}

fn push<T>(values: &mut Vec<T>, value: Option<T>) -> i16 {
    let level = i16::from(value.is_some());
    values.extend(value);
    level
}

fn write<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<()> {
    let values = std::mem::take(values);
    writer
        .typed::<T>()
        .write_batch(&values, Some(levels), None)?;
    Ok(())
}
