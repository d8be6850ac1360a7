//! SQL types of columns: names that `CAST` accepts, and the answer to GetXdbcTypeInfo.

use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use datafusion::arrow::datatypes::DataType;
use tonic::Status;

use super::status;

/// A SQL type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SqlType {
    /// Its name.
    pub(super) name: &'static str,
    /// Its JDBC and ODBC type code.
    pub(super) xdbc: XdbcDataType,
    /// Its maximum size: digits, characters or bytes.
    size: Option<i32>,
    /// Prefix and suffix of a literal.
    literal: Option<(&'static str, &'static str)>,
    /// Parameters in parentheses after the name.
    create_params: &'static [&'static str],
    /// For numeric types whether they are unsigned.
    unsigned: Option<bool>,
    /// Minimum and maximum scale.
    scale: Option<(i32, i32)>,
    /// The radix of a number.
    radix: Option<i32>,
    /// For date and time types the type code without the subcode, and the subcode.
    datetime: Option<(XdbcDataType, XdbcDatetimeSubcode)>,
}

const fn number(name: &'static str, xdbc: XdbcDataType, size: i32, unsigned: bool) -> SqlType {
    SqlType {
        name,
        xdbc,
        size: Some(size),
        literal: None,
        create_params: &[],
        unsigned: Some(unsigned),
        scale: Some((0, 0)),
        radix: Some(10),
        datetime: None,
    }
}

const fn float(name: &'static str, xdbc: XdbcDataType, size: i32) -> SqlType {
    SqlType { scale: None, radix: Some(2), ..number(name, xdbc, size, false) }
}

const fn other(name: &'static str, xdbc: XdbcDataType, literal: Option<(&'static str, &'static str)>) -> SqlType {
    SqlType {
        name,
        xdbc,
        size: None,
        literal,
        create_params: &[],
        unsigned: None,
        scale: None,
        radix: None,
        datetime: None,
    }
}

const fn time(
    name: &'static str,
    xdbc: XdbcDataType,
    size: i32,
    scale: Option<(i32, i32)>,
    literal: (&'static str, &'static str),
    subcode: XdbcDatetimeSubcode,
) -> SqlType {
    SqlType {
        size: Some(size),
        scale,
        datetime: Some((XdbcDataType::XdbcDatetime, subcode)),
        ..other(name, xdbc, Some(literal))
    }
}

const BOOLEAN: SqlType = SqlType { size: Some(1), ..other("BOOLEAN", XdbcDataType::XdbcBit, None) };
const TINYINT: SqlType = number("TINYINT", XdbcDataType::XdbcTinyint, 3, false);
const SMALLINT: SqlType = number("SMALLINT", XdbcDataType::XdbcSmallint, 5, false);
const INTEGER: SqlType = number("INTEGER", XdbcDataType::XdbcInteger, 10, false);
const BIGINT: SqlType = number("BIGINT", XdbcDataType::XdbcBigint, 19, false);
const TINYINT_UNSIGNED: SqlType = number("TINYINT UNSIGNED", XdbcDataType::XdbcTinyint, 3, true);
const SMALLINT_UNSIGNED: SqlType = number("SMALLINT UNSIGNED", XdbcDataType::XdbcSmallint, 5, true);
const INTEGER_UNSIGNED: SqlType = number("INTEGER UNSIGNED", XdbcDataType::XdbcInteger, 10, true);
const BIGINT_UNSIGNED: SqlType = number("BIGINT UNSIGNED", XdbcDataType::XdbcBigint, 20, true);
const REAL: SqlType = float("REAL", XdbcDataType::XdbcReal, 24);
const DOUBLE: SqlType = float("DOUBLE", XdbcDataType::XdbcDouble, 53);
const DECIMAL: SqlType = SqlType {
    create_params: &["precision", "scale"],
    scale: Some((0, 76)),
    ..number("DECIMAL", XdbcDataType::XdbcDecimal, 76, false)
};
const VARCHAR: SqlType =
    SqlType { size: Some(i32::MAX), ..other("VARCHAR", XdbcDataType::XdbcVarchar, Some(("'", "'"))) };
const VARBINARY: SqlType =
    SqlType { size: Some(i32::MAX), ..other("BYTEA", XdbcDataType::XdbcVarbinary, Some(("X'", "'"))) };
const DATE: SqlType =
    time("DATE", XdbcDataType::XdbcDate, 10, None, ("DATE '", "'"), XdbcDatetimeSubcode::XdbcSubcodeYear);
const TIME: SqlType =
    time("TIME", XdbcDataType::XdbcTime, 18, Some((0, 9)), ("TIME '", "'"), XdbcDatetimeSubcode::XdbcSubcodeTime);
const TIMESTAMP: SqlType = time(
    "TIMESTAMP",
    XdbcDataType::XdbcTimestamp,
    29,
    Some((0, 9)),
    ("TIMESTAMP '", "'"),
    XdbcDatetimeSubcode::XdbcSubcodeTimestamp,
);
const TIMESTAMPTZ: SqlType = time(
    "TIMESTAMP WITH TIME ZONE",
    XdbcDataType::XdbcTimestamp,
    35,
    Some((0, 9)),
    ("TIMESTAMPTZ '", "'"),
    XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone,
);
const INTERVAL: SqlType = other("INTERVAL", XdbcDataType::XdbcInterval, Some(("INTERVAL '", "'")));
const ARRAY: SqlType = other("ARRAY", XdbcDataType::XdbcUnknownType, Some(("[", "]")));
const STRUCT: SqlType = other("STRUCT", XdbcDataType::XdbcUnknownType, Some(("{", "}")));
const MAP: SqlType = other("MAP", XdbcDataType::XdbcUnknownType, None);
const NULL: SqlType = other("NULL", XdbcDataType::XdbcUnknownType, None);
const UNION: SqlType = other("UNION", XdbcDataType::XdbcUnknownType, None);

/// The types that columns of tables can have. Unions and NULLs only occur in results.
const ALL: [SqlType; 23] = [
    BOOLEAN,
    TINYINT,
    SMALLINT,
    INTEGER,
    BIGINT,
    TINYINT_UNSIGNED,
    SMALLINT_UNSIGNED,
    INTEGER_UNSIGNED,
    BIGINT_UNSIGNED,
    REAL,
    DOUBLE,
    DECIMAL,
    VARCHAR,
    VARBINARY,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    ARRAY,
    STRUCT,
    MAP,
    NULL,
];

impl SqlType {
    /// The SQL type of an Arrow type.
    pub(super) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => BOOLEAN,
            DataType::Int8 => TINYINT,
            DataType::Int16 => SMALLINT,
            DataType::Int32 => INTEGER,
            DataType::Int64 => BIGINT,
            DataType::UInt8 => TINYINT_UNSIGNED,
            DataType::UInt16 => SMALLINT_UNSIGNED,
            DataType::UInt32 => INTEGER_UNSIGNED,
            DataType::UInt64 => BIGINT_UNSIGNED,
            DataType::Float16 | DataType::Float32 => REAL,
            DataType::Float64 => DOUBLE,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                DECIMAL
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => VARCHAR,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => VARBINARY,
            DataType::Date32 | DataType::Date64 => DATE,
            DataType::Time32(_) | DataType::Time64(_) => TIME,
            DataType::Timestamp(_, None) => TIMESTAMP,
            DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
            DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_) => ARRAY,
            DataType::Struct(_) => STRUCT,
            DataType::Map(..) => MAP,
            DataType::Null => NULL,
            DataType::Union(..) => UNION,
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::RunEndEncoded(_, values) => Self::of(values.data_type()),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.xdbc == XdbcDataType::XdbcVarchar
    }

    fn info(self) -> XdbcTypeInfo {
        let is_number = self.unsigned.is_some();
        XdbcTypeInfo {
            type_name: self.name.to_owned(),
            data_type: self.xdbc,
            column_size: self.size,
            literal_prefix: self.literal.map(|(prefix, _)| prefix.to_owned()),
            literal_suffix: self.literal.map(|(_, suffix)| suffix.to_owned()),
            create_params: (!self.create_params.is_empty())
                .then(|| self.create_params.iter().map(|param| (*param).to_owned()).collect()),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: self.is_text(),
            searchable: if self.is_text() { Searchable::Full } else { Searchable::Basic },
            unsigned_attribute: self.unsigned,
            fixed_prec_scale: false,
            auto_increment: is_number.then_some(false),
            local_type_name: Some(self.name.to_owned()),
            minimum_scale: self.scale.map(|(least, _)| least),
            maximum_scale: self.scale.map(|(_, greatest)| greatest),
            sql_data_type: self.datetime.map_or(self.xdbc, |(verbose, _)| verbose),
            datetime_subcode: self.datetime.map(|(_, subcode)| subcode),
            num_prec_radix: self.radix,
            interval_precision: None,
        }
    }
}

/// The answer to GetXdbcTypeInfo.
///
/// # Errors
/// When it cannot be built, which is a fault.
pub(super) fn type_info() -> Result<XdbcTypeInfoData, Status> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for sql_type in ALL {
        builder.append(sql_type.info());
    }
    builder.build().map_err(|error| status::fault(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn names_of_plain_types_are_names_in_sql() {
        for sql_type in ALL.into_iter().filter(|sql| ![ARRAY, STRUCT, MAP, NULL].contains(sql)) {
            let parsed = Parser::parse_sql(&GenericDialect {}, &format!("select cast(a as {})", sql_type.name));
            assert!(parsed.is_ok(), "{}: {parsed:?}", sql_type.name);
        }
    }

    #[test]
    fn every_type_is_listed_once() {
        let info = type_info().unwrap();
        let all = info.record_batch(None).unwrap();
        assert_eq!(all.num_rows(), ALL.len());
        assert_eq!(info.record_batch(Some(XdbcDataType::XdbcBigint as i32)).unwrap().num_rows(), 2);
        let nested = DataType::Dictionary(Arc::new(DataType::Int8).as_ref().clone().into(), Box::new(DataType::Utf8));
        assert_eq!(SqlType::of(&nested).name, "VARCHAR");
    }
}
