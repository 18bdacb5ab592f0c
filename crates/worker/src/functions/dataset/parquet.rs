//! Parquet: rows put together from columns. Held are one row, and of each column one page and the
//! values of some rows ahead.
//!
//! What the library says of trouble may hold values of a file, so its texts go nowhere.

use std::collections::VecDeque;

use base::value::{Map, Num, array, int, string};
use base::{Timestamp, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::basic::{Compression, ConvertedType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::ColumnDescriptor;

use super::source::{Bad, Broken, Source};
use crate::functions::reading::Cancelled;

/// What a file says of itself at its end: read as a whole, and larger in memory.
const FOOTER_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Bytes of one column in one group of rows, unpacked. Writers make pages of a megabyte, but a page may
/// be as large as its column.
const COLUMN_BYTES_MAX: i64 = 512 * 1024 * 1024;

/// Columns, those inside of others counted one by one: each holds a page in memory.
const COLUMNS_MAX: usize = 4_096;

/// Values of each column that are unpacked ahead: enough that one row costs little.
const ROWS_AHEAD: usize = 256;

/// The mark at the end of a file, with the length of what it says of itself before.
const TAIL_BYTES: u64 = 8;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The years 0001 to 9999: others have no RFC 3339 text.
const TIMES_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_207_200_999;

pub(super) struct Table<R: ChunkReader> {
    reader: SerializedFileReader<R>,
    /// Groups that are still to be read.
    groups: VecDeque<usize>,
    /// Rows of the one that is being read.
    rows: Option<ReaderIter>,
    row: Option<Row>,
    cancelled: Cancelled,
}

impl<R: ChunkReader + 'static> Table<R> {
    pub(super) fn open(from: R, cancelled: Cancelled) -> Result<Self, Broken> {
        check_tail(&from)?;
        let reader = SerializedFileReader::new(from).map_err(|error| unreadable(&error))?;
        check_metadata(reader.metadata())?;
        let groups = (0..reader.num_row_groups()).collect();
        Ok(Self { reader, groups, rows: None, row: None, cancelled })
    }

    /// Begins the next group. `false` where there is none.
    fn begin(&mut self) -> Result<bool, Broken> {
        let Some(group) = self.groups.pop_front() else { return Ok(false) };
        let group = self.reader.get_row_group(group).map_err(|error| unreadable(&error))?;
        let schema = self.reader.metadata().file_metadata().schema_descr_ptr();
        let rows = TreeBuilder::new().with_batch_size(ROWS_AHEAD).as_iter(schema, &*group);
        self.rows = Some(rows.map_err(|error| unreadable(&error))?);
        Ok(true)
    }

    fn rows_of(&self, group: usize) -> u64 {
        u64::try_from(self.reader.metadata().row_group(group).num_rows()).unwrap_or(0)
    }
}

impl<R: ChunkReader + 'static> Source for Table<R> {
    fn advance(&mut self) -> Result<Option<Result<(), Bad>>, Broken> {
        if self.cancelled.is_so() {
            return Err(Broken::Io(std::io::Error::other("cancelled")));
        }
        loop {
            match self.rows.as_mut().and_then(Iterator::next) {
                Some(row) => {
                    self.row = Some(row.map_err(|error| unreadable(&error))?);
                    return Ok(Some(Ok(())));
                }
                None if self.begin()? => {}
                None => return Ok(None),
            }
        }
    }

    fn value(&mut self) -> Result<Value, Bad> {
        let row = self.row.take().ok_or(Bad::Value)?;
        let row = group(row)?;
        base::value::check(&row).map_err(|_| Bad::Value)?;
        Ok(row)
    }

    fn line(&self) -> Option<u64> {
        None
    }

    fn columns(&self) -> Option<Vec<&str>> {
        let schema = self.reader.metadata().file_metadata().schema();
        Some(schema.get_fields().iter().map(|field| field.name()).collect())
    }

    /// Groups that are skipped as a whole are not read.
    fn skip(&mut self, rows: u64) -> Result<u64, Broken> {
        let mut left = rows;
        while let Some(group) = self.groups.front().copied() {
            if self.rows_of(group) > left {
                break;
            }
            left -= self.rows_of(group);
            self.groups.pop_front();
        }
        while left > 0 && self.advance()?.is_some() {
            left -= 1;
        }
        Ok(rows - left)
    }
}

/// Looked at before anything of that size is read.
fn check_tail(from: &impl ChunkReader) -> Result<(), Broken> {
    let no_parquet = || Broken::Wrong("it is not a Parquet file".to_owned());
    let start = from.len().checked_sub(TAIL_BYTES).ok_or_else(no_parquet)?;
    let tail = from.get_bytes(start, TAIL_BYTES as usize).map_err(|error| unreadable(&error))?;
    let (length, mark) = tail.split_first_chunk::<4>().ok_or_else(no_parquet)?;
    match mark {
        b"PAR1" => {}
        b"PARE" => return Err(Broken::Wrong("it is encrypted".to_owned())),
        _ => return Err(no_parquet()),
    }
    if u32::from_le_bytes(*length) > FOOTER_BYTES_MAX {
        let what = format!(
            "what the file says of itself is larger than {FOOTER_BYTES_MAX} bytes; write it with fewer columns or larger row groups"
        );
        return Err(Broken::Wrong(what));
    }
    Ok(())
}

fn check_metadata(metadata: &ParquetMetaData) -> Result<(), Broken> {
    let schema = metadata.file_metadata().schema_descr();
    if schema.num_columns() > COLUMNS_MAX {
        return Err(Broken::Wrong(format!("it has more than {COLUMNS_MAX} columns")));
    }
    if let Some(odd) = schema.columns().iter().find(|it| !is_known(it)) {
        let what = format!("the column `{}` is of a type that is not read here", odd.name());
        return Err(Broken::Wrong(what));
    }
    metadata.row_groups().iter().try_for_each(check_group)
}

/// The library ends the process's thread at others.
fn is_known(column: &ColumnDescriptor) -> bool {
    use ConvertedType as Kind;
    let kind = column.converted_type();
    match column.physical_type() {
        Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::INT32 => matches!(
            kind,
            Kind::NONE
                | Kind::INT_8
                | Kind::INT_16
                | Kind::INT_32
                | Kind::UINT_8
                | Kind::UINT_16
                | Kind::UINT_32
                | Kind::DATE
                | Kind::TIME_MILLIS
                | Kind::DECIMAL
        ),
        Physical::INT64 => matches!(
            kind,
            Kind::NONE
                | Kind::INT_64
                | Kind::UINT_64
                | Kind::TIME_MICROS
                | Kind::TIMESTAMP_MILLIS
                | Kind::TIMESTAMP_MICROS
                | Kind::DECIMAL
        ),
        Physical::BYTE_ARRAY => matches!(
            kind,
            Kind::NONE | Kind::UTF8 | Kind::ENUM | Kind::JSON | Kind::BSON | Kind::DECIMAL
        ),
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(kind, Kind::NONE | Kind::DECIMAL),
    }
}

fn check_group(group: &RowGroupMetaData) -> Result<(), Broken> {
    for column in group.columns() {
        check_codec(column.compression()).map_err(|name| {
            Broken::Wrong(format!(
                "it is packed with {name}, which is not read here; write it with snappy, gzip, or not packed"
            ))
        })?;
        if column.uncompressed_size() > COLUMN_BYTES_MAX {
            return Err(Broken::Wrong(format!(
                "a column has more than {COLUMN_BYTES_MAX} bytes in one row group; write it with smaller row groups"
            )));
        }
    }
    Ok(())
}

/// Those that need no second library in C. Names another.
fn check_codec(codec: Compression) -> Result<(), String> {
    match codec {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => Ok(()),
        other => {
            let name = format!("{other:?}").to_lowercase();
            Err(name.split('(').next().unwrap_or(&name).to_owned())
        }
    }
}

fn unreadable(error: &ParquetError) -> Broken {
    let what = match error {
        ParquetError::NYI(_) => {
            "it uses what is not read here; write it with an older version of the format"
        }
        ParquetError::EOF(_) => "it breaks off",
        _ => "it is damaged, or cannot be read",
    };
    Broken::Wrong(what.to_owned())
}

fn group(row: Row) -> Result<Value, Bad> {
    let mut fields = Map::with_capacity_and_hasher(row.len(), Default::default());
    for (name, field) in row.into_columns() {
        fields.insert(string(&name), value(&field)?);
    }
    Ok(Value::obj(fields))
}

fn value(field: &Field) -> Result<Value, Bad> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(it) => Value::Bool(*it),
        Field::Byte(it) => int((*it).into()),
        Field::Short(it) => int((*it).into()),
        Field::Int(it) => int((*it).into()),
        Field::Long(it) => int(*it),
        Field::UByte(it) => int((*it).into()),
        Field::UShort(it) => int((*it).into()),
        Field::UInt(it) => int((*it).into()),
        Field::ULong(it) => match i64::try_from(*it) {
            Ok(small) => int(small),
            Err(_) => base::value::parse(it.to_string().as_bytes()).map_err(|_| Bad::Value)?,
        },
        Field::Float16(it) => float(it.to_f64()),
        // The shortest text that says it, and not what lies nearest with twice the digits.
        Field::Float(it) => float(it.to_string().parse().unwrap_or(f64::NAN)),
        Field::Double(it) => float(*it),
        // Exact, as a number of JSON would not be.
        Field::Decimal(_) => string(&field.to_string()),
        Field::Str(it) => string(it),
        Field::Bytes(it) => string(&STANDARD.encode(it.data())),
        Field::Date(days) => date(i64::from(*days))?,
        Field::TimeMillis(ms) => time_of_day(i64::from(*ms) * 1000)?,
        Field::TimeMicros(us) => time_of_day(*us)?,
        Field::TimestampMillis(ms) => time(*ms)?,
        Field::TimestampMicros(us) => time_exact(*us)?,
        Field::Group(row) => group(row.clone())?,
        Field::ListInternal(list) => {
            array(list.elements().iter().map(value).collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let mut fields = Map::with_capacity_and_hasher(map.len(), Default::default());
            for (key, item) in map.entries() {
                let Field::Str(key) = key else { return Err(Bad::Value) };
                fields.insert(string(key), value(item)?);
            }
            Value::obj(fields)
        }
    })
}

/// Where a table has no number, many programs write one that is none.
fn float(number: f64) -> Value {
    if number.is_finite() { Value::Num(Num::Float(number)) } else { Value::Null }
}

fn at(ms: i64) -> Result<Timestamp, Bad> {
    if TIMES_MS.contains(&ms) { Ok(Timestamp::from_millis(ms)) } else { Err(Bad::Value) }
}

fn time(ms: i64) -> Result<Value, Bad> {
    Ok(string(&at(ms)?.to_string()))
}

/// With all its digits, where it has more than three.
fn time_exact(us: i64) -> Result<Value, Bad> {
    let text = at(us.div_euclid(1000))?.to_string();
    let rest = us.rem_euclid(1000);
    Ok(match text.strip_suffix('Z') {
        Some(text) if rest != 0 => string(&format!("{text}{rest:03}Z")),
        _ => string(&text),
    })
}

fn date(days: i64) -> Result<Value, Bad> {
    let text = at(days.checked_mul(DAY_MS).ok_or(Bad::Value)?)?.to_string();
    Ok(string(text.split('T').next().unwrap_or(&text)))
}

fn time_of_day(us: i64) -> Result<Value, Bad> {
    if !(0..DAY_MS * 1000).contains(&us) {
        return Err(Bad::Value);
    }
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    Ok(string(&format!("{hours:02}:{minutes:02}:{:02}.{fraction:06}", seconds % 60)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::column::writer::ColumnWriter;
    use parquet::data_type::ByteArray;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::functions::reading::CancelOnDrop;

    /// What a group puts into each of its columns.
    type Put<'a> = &'a dyn Fn(usize, &mut ColumnWriter<'_>);

    /// A file of these groups.
    fn file(schema: &str, compression: Compression, groups: &[Put<'_>]) -> Bytes {
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, properties.into()).expect("a writer");
        for put in groups {
            let mut group = writer.next_row_group().expect("a group");
            let mut at = 0;
            while let Some(mut column) = group.next_column().expect("a column") {
                put(at, column.untyped());
                column.close().expect("written");
                at += 1;
            }
            group.close().expect("written");
        }
        writer.close().expect("written");
        bytes.into()
    }

    fn open(bytes: Bytes) -> Result<Table<Bytes>, String> {
        let guard = Box::leak(Box::new(CancelOnDrop::default()));
        Table::open(bytes, guard.flag()).map_err(|broken| match broken {
            Broken::Wrong(what) => what,
            Broken::Io(error) => error.to_string(),
        })
    }

    fn rest(table: &mut Table<Bytes>) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(next) = table.advance().expect("readable") {
            out.push(match next.and_then(|()| table.value()) {
                Ok(row) => base::value::to_json_string(&row),
                Err(bad) => bad.code().to_owned(),
            });
        }
        out
    }

    fn numbers(from: i64, to: i64) -> impl Fn(usize, &mut ColumnWriter<'_>) {
        move |_, column| {
            let ColumnWriter::Int64ColumnWriter(column) = column else { panic!("no numbers") };
            let values: Vec<i64> = (from..to).collect();
            column.write_batch(&values, None, None).expect("written");
        }
    }

    const NUMBERS: &str = "message m { required int64 n; }";

    /// Mutation: lose the last row of a group, read groups that are skipped, or skip one row too many.
    #[test]
    fn rows_come_out_of_all_groups_and_whole_groups_are_skipped() {
        let groups: [Put<'_>; 3] = [&numbers(0, 3), &numbers(3, 5), &numbers(5, 9)];
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            let bytes = file(NUMBERS, compression, &groups);
            let all: Vec<String> = (0..9).map(|n| format!("{{\"n\":{n}}}")).collect();
            for skipped in 0..=12 {
                let mut table = open(bytes.clone()).expect("a table");
                assert_eq!(table.columns(), Some(vec!["n"]));
                assert_eq!(table.skip(skipped).expect("readable"), skipped.min(9));
                let from = usize::try_from(skipped.min(9)).expect("small");
                assert_eq!(rest(&mut table), all[from..], "{skipped}");
            }
        }
        let mut table = open(file(NUMBERS, Compression::SNAPPY, &groups)).expect("a table");
        table.skip(4).expect("readable");
        assert_eq!(table.groups.len(), 1, "the second is begun, the first was not");
        let mut table = open(file(NUMBERS, Compression::SNAPPY, &groups)).expect("a table");
        table.skip(5).expect("readable");
        assert!(table.groups.len() == 1 && table.rows.is_none(), "neither of the two was");
    }

    /// Mutation: say a decimal or a time as a number, lose digits of one, or call what JSON cannot say
    /// null.
    #[test]
    fn columns_become_what_json_can_say() {
        let schema = "message m {
            required int32 day (DATE); required int64 at (TIMESTAMP_MICROS);
            required int32 price (DECIMAL(9,2)); optional double x; required binary raw;
            required binary text (UTF8); required int64 large (UINT_64);
            required group in { required int32 a; required int64 b (TIME_MICROS); } }";
        let put = |at: usize, column: &mut ColumnWriter<'_>| {
            let text = |text: &[u8]| [ByteArray::from(text.to_vec()), ByteArray::from("ä")];
            match (at, column) {
                (0, ColumnWriter::Int32ColumnWriter(it)) => {
                    it.write_batch(&[20_000, -1], None, None)
                }
                (1, ColumnWriter::Int64ColumnWriter(it)) => {
                    it.write_batch(&[1_800_000_000_123_456, i64::MAX], None, None)
                }
                (2, ColumnWriter::Int32ColumnWriter(it)) => it.write_batch(&[-1205, 7], None, None),
                (3, ColumnWriter::DoubleColumnWriter(it)) => {
                    it.write_batch(&[f64::NAN], Some(&[0, 1]), None)
                }
                (4, ColumnWriter::ByteArrayColumnWriter(it)) => {
                    it.write_batch(&text(b"\xff"), None, None)
                }
                (5, ColumnWriter::ByteArrayColumnWriter(it)) => {
                    it.write_batch(&text(b"a"), None, None)
                }
                (6, ColumnWriter::Int64ColumnWriter(it)) => it.write_batch(&[-1, 1], None, None),
                (7, ColumnWriter::Int32ColumnWriter(it)) => it.write_batch(&[1, 2], None, None),
                (8, ColumnWriter::Int64ColumnWriter(it)) => {
                    it.write_batch(&[3_723_000_004, 0], None, None)
                }
                _ => panic!("column {at} is of another type"),
            }
            .expect("written");
        };
        let mut table = open(file(schema, Compression::SNAPPY, &[&put])).expect("a table");
        let expected = r#"{"day":"2024-10-04","at":"2027-01-15T08:00:00.123456Z","price":"-12.05","x":null,"raw":"/w==","text":"a","large":18446744073709551615,"in":{"a":1,"b":"01:02:03.000004"}}"#;
        // The second row has a time that no text has.
        assert_eq!(rest(&mut table), [expected, "value"]);
    }

    /// Mutation: give an item of a list that is not there, or the keys of a map as values.
    #[test]
    fn lists_are_arrays_and_maps_are_objects() {
        let schema = "message m {
            optional group tags (LIST) { repeated group list { optional binary element (UTF8); } }
            optional group counts (MAP) { repeated group key_value { required binary key (UTF8); optional int32 value; } } }";
        let put = |at: usize, column: &mut ColumnWriter<'_>| {
            match (at, column) {
                (0, ColumnWriter::ByteArrayColumnWriter(it)) => {
                    let values = [ByteArray::from("a"), ByteArray::from("b")];
                    it.write_batch(&values, Some(&[3, 3, 1, 0]), Some(&[0, 1, 0, 0]))
                }
                (1, ColumnWriter::ByteArrayColumnWriter(it)) => {
                    it.write_batch(&[ByteArray::from("k")], Some(&[2, 0, 0]), Some(&[0, 0, 0]))
                }
                (2, ColumnWriter::Int32ColumnWriter(it)) => {
                    it.write_batch(&[7], Some(&[3, 0, 0]), Some(&[0, 0, 0]))
                }
                _ => panic!("column {at} is of another type"),
            }
            .expect("written");
        };
        let mut table = open(file(schema, Compression::UNCOMPRESSED, &[&put])).expect("a table");
        let expected = [
            r#"{"tags":["a","b"],"counts":{"k":7}}"#,
            r#"{"tags":[],"counts":null}"#,
            r#"{"tags":null,"counts":null}"#,
        ];
        assert_eq!(rest(&mut table), expected);
    }

    /// Mutation: read on where a file is cut, take one that is no table, or one whose end says that it is
    /// endless.
    #[test]
    fn what_is_no_table_is_refused_with_the_way_out() {
        let whole = file(NUMBERS, Compression::SNAPPY, &[&numbers(0, 1000)]);
        let refused = |bytes: Vec<u8>| match open(bytes.into()) {
            Ok(mut table) => {
                let mut last = Ok(None);
                while matches!(last, Ok(None)) {
                    last = match table.advance() {
                        Ok(Some(_)) => Ok(None),
                        Ok(None) => Ok(Some(())),
                        Err(Broken::Wrong(what)) => Err(what),
                        Err(Broken::Io(error)) => Err(error.to_string()),
                    };
                }
                last.expect_err("it is broken")
            }
            Err(what) => what,
        };
        assert_eq!(refused(b"PAR1".to_vec()), "it is not a Parquet file");
        assert_eq!(refused(b"a,b\n1,2\n3,4\n".to_vec()), "it is not a Parquet file");
        for cut in [1, 9, 100] {
            let what = refused(whole[..whole.len() - cut].to_vec());
            assert_eq!(what, "it is not a Parquet file", "{cut}");
        }
        let mut endless = whole.to_vec();
        let at = endless.len() - 8;
        endless[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(refused(endless).contains("larger than"));
        // What a page holds is gone, and its length is as it was.
        let mut damaged = whole.to_vec();
        damaged[30..200].fill(0xff);
        let what = refused(damaged);
        assert!(what.starts_with("it "), "{what}");
        let brotli = Compression::BROTLI(parquet::basic::BrotliLevel::default());
        assert_eq!(check_codec(brotli), Err("brotli".to_owned()));
        assert_eq!(check_codec(Compression::SNAPPY), Ok(()));
    }

    /// Mutation: read on when nobody waits.
    #[test]
    fn a_cancelled_table_is_not_read_to_its_end() {
        let guard = CancelOnDrop::default();
        let bytes = file(NUMBERS, Compression::SNAPPY, &[&numbers(0, 10)]);
        let mut table = Table::open(bytes, guard.flag()).unwrap_or_else(|_| panic!("a table"));
        assert!(table.advance().is_ok());
        drop(guard);
        assert!(table.advance().is_err());
    }
}
