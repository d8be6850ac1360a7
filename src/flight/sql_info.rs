//! Server capabilities: the answer to GetSqlInfo.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Documentation;
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER,
    RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_TABLE_FACTOR,
};
use tonic::Status;

use super::statements::PREPARED_IDLE;
use super::{MAX_MESSAGE_BYTES, status};
use crate::session::Session;

/// The version of the Arrow format of record batches.
const ARROW_FORMAT: &str = "1.5";

/// The answer to GetSqlInfo.
///
/// # Errors
/// When it cannot be built, which is a fault.
pub(super) fn sql_info(session: &Session, allows_ingest: bool) -> Result<SqlInfoData, Status> {
    let mut infos = SqlInfoDataBuilder::new();
    server(&mut infos, allows_ingest);
    language(&mut infos);
    limits(&mut infos);
    transactions(&mut infos);
    results(&mut infos);
    let functions = functions(&session.state());
    infos.append(SqlInfo::SqlKeywords, keywords());
    infos.append(SqlInfo::SqlNumericFunctions, functions.numeric);
    infos.append(SqlInfo::SqlStringFunctions, functions.string);
    infos.append(SqlInfo::SqlSystemFunctions, functions.system);
    infos.append(SqlInfo::SqlDatetimeFunctions, functions.datetime);
    infos.append(SqlInfo::SqlSupportsConvert, casts());
    infos.build().map_err(|error| status::fault(&error.to_string()))
}

fn server(infos: &mut SqlInfoDataBuilder, allows_ingest: bool) {
    infos.append(SqlInfo::FlightSqlServerName, "cxql");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_FORMAT);
    infos.append(SqlInfo::FlightSqlServerReadOnly, !allows_ingest);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, allows_ingest);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    let idle = i32::try_from(PREPARED_IDLE.as_millis()).unwrap_or(i32::MAX);
    infos.append(SqlInfo::FlightSqlServerStatementTimeout, idle);
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
}

fn language(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, false);
    infos.append(SqlInfo::SqlDdlTable, false);
    infos.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // quoted names keep their case, for which SqlInfo has no value
    infos.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    infos.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    infos.append(SqlInfo::SqlSearchStringEscape, "\\");
    infos.append(SqlInfo::SqlExtraNameCharacters, "$#@");
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by =
        [SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32];
    infos.append(SqlInfo::SqlSupportedGroupBy, mask(&group_by));
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, false);
    let grammar = [SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32];
    infos.append(SqlInfo::SqlSupportedGrammar, mask(&grammar));
    // the entry level
    infos.append(SqlInfo::SqlAnsi92SupportedLevel, mask(&[0]));
    infos.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    infos.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    infos.append(SqlInfo::SqlSchemaTerm, "schema");
    infos.append(SqlInfo::SqlProcedureTerm, "procedure");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
    infos.append(SqlInfo::SqlSchemasSupportedActions, 0);
    infos.append(SqlInfo::SqlCatalogsSupportedActions, 0);
    infos.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    infos.append(SqlInfo::SqlSelectForUpdateSupported, false);
    infos.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    infos.append(SqlInfo::SqlSupportedSubqueries, mask(&subqueries));
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    infos.append(SqlInfo::SqlSupportedUnions, mask(&unions));
    infos.append(SqlInfo::SqlNamedParametersSupported, false);
    infos.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    infos.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// Zero is unlimited or unknown.
fn limits(infos: &mut SqlInfoDataBuilder) {
    let unlimited = [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ];
    for info in unlimited {
        infos.append(info, 0i64);
    }
    infos.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
    infos.append(SqlInfo::SqlMaxStatementLength, MAX_MESSAGE_BYTES as i64);
}

fn transactions(infos: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    // int32 in the specification; the JDBC driver, which alone reads it, expects an int64 and fails otherwise
    infos.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(none));
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, mask(&[none]));
    infos.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    infos.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    infos.append(SqlInfo::SqlSavepointsSupported, false);
}

fn results(infos: &mut SqlInfoDataBuilder) {
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    infos.append(SqlInfo::SqlSupportedResultSetTypes, mask(&[forward]));
    let read_only = mask(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0);
    infos.append(SqlInfo::SqlBatchUpdatesSupported, false);
}

fn mask(values: &[i32]) -> i32 {
    values.iter().fold(0, |mask, value| mask | 1 << value)
}

/// Keywords that must be quoted as a name in some position.
fn keywords() -> Vec<String> {
    let reserved =
        [RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_TABLE_FACTOR];
    let reserved: BTreeSet<&Keyword> = reserved.into_iter().flatten().collect();
    ALL_KEYWORDS_INDEX
        .iter()
        .zip(ALL_KEYWORDS)
        .filter(|(keyword, _)| reserved.contains(keyword))
        .map(|(_, word)| (*word).to_owned())
        .collect()
}

#[derive(Debug, Default)]
struct Functions {
    numeric: Vec<String>,
    string: Vec<String>,
    system: Vec<String>,
    datetime: Vec<String>,
}

/// All functions by the section of their documentation; those of no other kind are system functions.
fn functions(state: &SessionState) -> Functions {
    let mut all: BTreeMap<String, Option<Documentation>> = BTreeMap::new();
    for (name, function) in state.scalar_functions() {
        all.insert(name.clone(), function.documentation().cloned());
    }
    for (name, function) in state.aggregate_functions() {
        all.insert(name.clone(), function.documentation().cloned());
    }
    for (name, function) in state.window_functions() {
        all.insert(name.clone(), function.documentation().cloned());
    }
    let mut functions = Functions::default();
    for (name, documentation) in all {
        let section = documentation.map_or("", |documentation| documentation.doc_section.label);
        let list = match section {
            "String Functions" | "Binary String Functions" | "Regular Expression Functions" | "Text" => {
                &mut functions.string
            }
            "Time and Date Functions" | "Stretches of time" => &mut functions.datetime,
            "Math Functions"
            | "General Functions"
            | "Statistical Functions"
            | "Approximate Functions"
            | "Ranking Functions"
            | "Resolution"
            | "Satisfaction"
            | "Queue"
            | "Customers"
            | "Outliers" => &mut functions.numeric,
            _ => &mut functions.system,
        };
        list.push(name);
    }
    functions
}

/// The supported casts, by source type.
fn casts() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Sql;
    let types = [
        (Sql::SqlConvertBigint, DataType::Int64),
        (Sql::SqlConvertBinary, DataType::Binary),
        (Sql::SqlConvertBit, DataType::Boolean),
        (Sql::SqlConvertChar, DataType::Utf8),
        (Sql::SqlConvertDate, DataType::Date32),
        (Sql::SqlConvertDecimal, DataType::Decimal128(38, 10)),
        (Sql::SqlConvertFloat, DataType::Float64),
        (Sql::SqlConvertInteger, DataType::Int32),
        (Sql::SqlConvertIntervalDayTime, DataType::Interval(IntervalUnit::DayTime)),
        (Sql::SqlConvertIntervalYearMonth, DataType::Interval(IntervalUnit::YearMonth)),
        (Sql::SqlConvertLongvarbinary, DataType::LargeBinary),
        (Sql::SqlConvertLongvarchar, DataType::LargeUtf8),
        (Sql::SqlConvertNumeric, DataType::Decimal128(38, 10)),
        (Sql::SqlConvertReal, DataType::Float32),
        (Sql::SqlConvertSmallint, DataType::Int16),
        (Sql::SqlConvertTime, DataType::Time64(TimeUnit::Nanosecond)),
        (Sql::SqlConvertTimestamp, DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("UTC")))),
        (Sql::SqlConvertTinyint, DataType::Int8),
        (Sql::SqlConvertVarbinary, DataType::Binary),
        (Sql::SqlConvertVarchar, DataType::Utf8),
    ];
    let targets = |from: &DataType| {
        types.iter().filter(|(_, to)| can_cast_types(from, to)).map(|(name, _)| *name as i32).collect::<Vec<_>>()
    };
    types.iter().map(|(name, from)| (*name as i32, targets(from))).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::UInt32Type;

    use super::*;

    #[tokio::test]
    async fn every_number_of_the_protocol_is_answered() {
        let session = Session::open(Default::default()).await.unwrap();
        let batch = sql_info(&session, false).unwrap().record_batch(None).unwrap();
        let answered: BTreeSet<u32> = batch.column(0).as_primitive::<UInt32Type>().values().iter().copied().collect();
        // without Substrait there are no Substrait versions
        let wanted = (0..=11).filter(|number| ![6, 7].contains(number)).chain(100..=101).chain(500..=576);
        assert_eq!(answered, wanted.collect());
    }

    #[tokio::test]
    async fn functions_have_their_kinds() {
        let session = Session::open(Default::default()).await.unwrap();
        let functions = functions(&session.state());
        for (list, name) in [
            (&functions.numeric, "abs"),
            (&functions.numeric, "sum"),
            (&functions.numeric, "nps"),
            (&functions.string, "lower"),
            (&functions.string, "sentiment"),
            (&functions.datetime, "date_trunc"),
            (&functions.system, "coalesce"),
        ] {
            assert!(list.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn keywords_are_words_that_need_quotes() {
        let words = keywords();
        assert!(words.contains(&"SELECT".to_owned()) && words.contains(&"WHERE".to_owned()));
        assert!(!words.contains(&"TOPIC".to_owned()));
    }
}
