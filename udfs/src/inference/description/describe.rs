//! `describe(x)`: the figures that tell what is in a column, at once.
//!
//! Formula: counts, mean, sample standard deviation, quartiles by linear interpolation, skewness and kurtosis.
//! Units:   those of x.
//! NULL:    a NULL is counted and skipped; figures that are not defined are NULL, with a reason.
//! Edges:   NaN and infinities count as NULL; all values are held in memory.
//! Source:  R. J. Hyndman and Y. Fan 1996, type 7; D. N. Joanes and C. A. Gill 1998.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::moments::FourMoments;
use super::{X, X_TEXT, page, quantile};
use crate::args::{Call, Constants};
use crate::inference::cells::{ALL_EQUAL, NO_ROWS, ONE_VALUE, TOO_LARGE, Values};
use crate::inference::each_number;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Cell, Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Describe)]
}

/// All values, and how many rows have none.
#[derive(Debug, Clone, Default, PartialEq)]
struct Described {
    values: Values,
    null_count: i64,
}

impl Cell for Described {
    type Row = Option<f64>;

    const CAN_REMOVE: bool = false;
    const HEAP_BYTES_PER_NUMBER: usize = Values::HEAP_BYTES_PER_NUMBER;

    fn add(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.values.add(value),
            None => self.null_count += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        self.null_count += other.null_count;
        self.values.merge(other.values);
    }

    fn is_empty(&self) -> bool {
        self.null_count == 0 && self.values.is_empty()
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.push(self.null_count as f64);
        self.values.write(numbers);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (null_count, values) = numbers.split_first()?;
        Some(Self { null_count: *null_count as i64, values: Values::read(values)? })
    }

    fn heap_size(&self) -> usize {
        self.values.heap_size()
    }
}

/// Why a figure of sorted values is NULL; `None` if none is.
fn lack(sorted: &[f64], moments: FourMoments) -> Option<&'static str> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Some(NO_ROWS) };
    match sorted.len() {
        1 => Some(ONE_VALUE),
        _ if first == last => Some(ALL_EQUAL),
        2 | 3 => Some("too few values for skewness or kurtosis"),
        _ if moments.kurtosis().is_none() || moments.skewness().is_none() => Some(TOO_LARGE),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Describe;

impl Statistic for Describe {
    const CALL: Call = Call { function: "describe", syntax: "describe(x)", parameters: &[X], arities: &[1] };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("n", FieldType::Count),
        ("null_count", FieldType::Count),
        ("mean", FieldType::Number),
        ("stddev", FieldType::Number),
        ("min", FieldType::Number),
        ("p25", FieldType::Number),
        ("median", FieldType::Number),
        ("p75", FieldType::Number),
        ("max", FieldType::Number),
        ("skewness", FieldType::Number),
        ("kurtosis", FieldType::Number),
        ("reason", FieldType::Text),
    ];

    type Cell = Described;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], mut each: impl FnMut(Option<Option<f64>>)) -> Result<()> {
        each_number(columns, 0, |value| each(Some(value)))
    }

    fn finish((): &(), entries: &mut [Entry<Described>], _: Option<&[u8]>) -> Record {
        let null_count = entries.first().map_or(0, |entry| entry.cell.null_count);
        let sorted = entries.first_mut().map(|entry| entry.cell.values.sorted()).unwrap_or_default();
        // Of sorted values, so that the order of the rows does not change a digit.
        let moments = FourMoments::of(sorted);
        vec![
            Figure::Count(Some(sorted.len() as i64)),
            Figure::Count(Some(null_count)),
            Figure::Number(moments.mean()),
            Figure::Number(moments.stddev()),
            Figure::Number(sorted.first().copied()),
            Figure::Number(quantile(sorted, 0.25)),
            Figure::Number(quantile(sorted, 0.5)),
            Figure::Number(quantile(sorted, 0.75)),
            Figure::Number(sorted.last().copied()),
            Figure::Number(moments.skewness()),
            Figure::Number(moments.kurtosis()),
            Figure::Text(lack(sorted, moments)),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Describe::CALL,
                "What is in a column of numbers, as one STRUCT: how many values, where they lie, how far they spread, how lopsided they \
                 are.\n\
                 Formula: n values and null_count rows without one; mean; stddev is the sample standard deviation; min, p25, median, p75 \
                 and max, quartiles by linear interpolation as percentile_cont; skewness and kurtosis as the functions of these names.\n\
                 Units: those of x; none for skewness and kurtosis.\n\
                 NULL: a NULL is skipped and counted in null_count. No value left, one value, values that are all equal, and fewer than \
                 4: NULL for what is not defined, and a reason.\n\
                 Edges: NaN and infinities are no measurements and count as NULL, also in null_count. Values are held in memory, 8 bytes \
                 each. DISTINCT is refused. The statement `describe TABLE` shows columns and is another thing.\n\
                 Source: R. J. Hyndman and Y. Fan, The American Statistician 50 (1996) 361-365, definition 7; as pandas' describe.",
            )
            .with_argument("x", X_TEXT)
            .with_sql_example(
                "```sql
select d['n'] as n, d['null_count'] as null_count, d['mean'] as mean, d['p25'] as p25, d['median'] as median, d['p75'] as p75
from (
    select describe(wait_s) as d
    from (values (5), (10), (20), (30), (160), (null)) as contacts(wait_s)
);
+---+------------+------+------+--------+------+
| n | null_count | mean | p25  | median | p75  |
+---+------------+------+------+--------+------+
| 5 | 1          | 45.0 | 10.0 | 20.0   | 30.0 |
+---+------------+------+------+--------+------+
```",
            )
            .with_related_udf("histogram")
            .with_related_udf("skewness")
            .with_related_udf("kurtosis")
            .with_related_udf("mean_ci")
            .build()
        });
        &PAGE
    }
}
