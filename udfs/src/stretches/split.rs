//! `split_interval(start, end, step [, zone [, from, until]])`: a stretch in pieces, one for each half hour, day or month.
//!
//! Formula: the stretch is cut at `from` and `until`, and at every border of the step between.
//! Units:   times and an interval in; a list of (start, end, duration_s) out, one element per row after `unnest`.
//! NULL:    a NULL start or end gives NULL, as does a stretch that ends before its start; a NULL zone, from or until is none.
//! Edges:   no part between from and until, or no length: an empty list. Many pieces are an error, not a lack of memory.
//! Source:  definitions of the field: an agent's state is split over the intervals that it covers.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::borders::{Clock, Step};
use super::overlap::seconds;
use super::{Arguments, SECTION, zone_of};
use crate::args::{Call, Kind, Parameter};
use crate::times::{NANOSECONDS_PER_SECOND, Times, tick_ns};

const CALL: Call = Call {
    function: "split_interval",
    syntax: "split_interval(start, end, step [, zone [, from, until]])",
    parameters: &[
        Parameter::column("start", Kind::Time),
        Parameter::column("end", Kind::Time),
        Parameter::constant("step", Kind::Interval),
        Parameter::constant("zone", Kind::Text),
        Parameter::column("from", Kind::Time),
        Parameter::column("until", Kind::Time),
    ],
    arities: &[3, 4, 6],
};

/// Pieces of one stretch: half hours of five years, days of 270 years.
const MOST_PIECES: usize = 100_000;
/// Pieces of one batch, which are in memory at once: 24 bytes each.
const MOST_PIECES_OF_BATCH: usize = 4_000_000;

/// `split_interval`.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(SplitInterval { signature: CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SplitInterval {
    signature: Signature,
}

/// The unit and zone of the pieces: those of the start, in the finer unit of both.
fn piece_type(start: &DataType, end: &DataType) -> (TimeUnit, Option<Arc<str>>) {
    let unit = |data_type: &DataType| match data_type {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Second,
    };
    let finer = if tick_ns(unit(start)) <= tick_ns(unit(end)) { unit(start) } else { unit(end) };
    (finer, zone_of(start))
}

fn piece_fields(unit: TimeUnit, zone: Option<&Arc<str>>) -> Fields {
    let time = DataType::Timestamp(unit, zone.cloned());
    Fields::from(vec![
        Field::new("start", time.clone(), true),
        Field::new("end", time, true),
        Field::new("duration_s", DataType::Float64, true),
    ])
}

fn list_field(fields: &Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true))
}

/// The step of a constant.
fn step_of(value: &ScalarValue) -> std::result::Result<Step, String> {
    let step = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => Step::new(*interval),
        value if value.is_null() => return Err("split_interval: step must be an interval, got NULL".to_owned()),
        _ => None,
    };
    step.ok_or_else(|| {
        let shown = value.to_array().ok().and_then(|array| {
            datafusion::arrow::util::display::array_value_to_string(&array, 0).ok()
        });
        format!(
            "split_interval: step must be whole seconds that divide a day, days or months, such as interval '30 minutes', got {}",
            shown.unwrap_or_else(|| value.to_string())
        )
    })
}

/// The clock of a constant zone; without one, that of `usual`.
fn clock_of(zone: Option<&ScalarValue>, usual: Option<&str>) -> std::result::Result<Clock, String> {
    let given = zone.and_then(|zone| zone.try_as_str().flatten());
    Clock::new(given.or(usual)).ok_or_else(|| {
        format!(
            "split_interval: zone must be a time zone such as 'Europe/Berlin' or '+01:00', got '{}'",
            given.or(usual).unwrap_or_default()
        )
    })
}

/// The pieces of the stretches of a batch.
#[derive(Debug, Default)]
struct Pieces {
    starts: Vec<i64>,
    ends: Vec<i64>,
    durations_s: Vec<f64>,
}

impl Pieces {
    /// Adds the pieces of one stretch, in nanoseconds, as ticks.
    ///
    /// # Errors
    /// When they are too many, or a border is beyond the calendar.
    fn add(&mut self, start: i128, end: i128, step: Step, clock: &mut Clock, tick_ns: i64) -> Result<()> {
        let before = self.starts.len();
        let mut at = start;
        while at < end {
            if self.starts.len() - before >= MOST_PIECES {
                return exec_err!(
                    "split_interval: a stretch has more than {MOST_PIECES} pieces; take a longer step, or cut stretches with \
                     from and until"
                );
            }
            if self.starts.len() >= MOST_PIECES_OF_BATCH {
                return exec_err!(
                    "split_interval: the stretches of a batch have more than {MOST_PIECES_OF_BATCH} pieces; take a longer \
                     step, cut stretches with from and until, or set datafusion.execution.batch_size to fewer rows"
                );
            }
            let border = i64::try_from(at.div_euclid(NANOSECONDS_PER_SECOND)).ok();
            let border = border.and_then(|second| clock.border_after(second, step));
            let border = border.map(|second| i128::from(second) * NANOSECONDS_PER_SECOND);
            let next =
                border.ok_or_else(|| exec_datafusion_err!("split_interval: a time is beyond the calendar"))?.min(end);
            let ticks = |time: i128| {
                let ticks = i64::try_from(time.div_euclid(i128::from(tick_ns)));
                ticks.map_err(|_| exec_datafusion_err!("split_interval: a time is beyond the range of timestamps"))
            };
            self.starts.push(ticks(at)?);
            self.ends.push(ticks(next)?);
            self.durations_s.push(seconds(next - at));
            at = next;
        }
        Ok(())
    }

    fn into_array(self, unit: TimeUnit, zone: Option<&Arc<str>>) -> Result<ArrayRef> {
        let times = |ticks: Vec<i64>| -> ArrayRef {
            let (ticks, zone) = (Int64Array::from(ticks), zone.cloned());
            match unit {
                TimeUnit::Second => Arc::new(ticks.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone)),
                TimeUnit::Millisecond => {
                    Arc::new(ticks.reinterpret_cast::<TimestampMillisecondType>().with_timezone_opt(zone))
                }
                TimeUnit::Microsecond => {
                    Arc::new(ticks.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(ticks.reinterpret_cast::<TimestampNanosecondType>().with_timezone_opt(zone))
                }
            }
        };
        let columns: Vec<ArrayRef> =
            vec![times(self.starts), times(self.ends), Arc::new(Float64Array::from(self.durations_s))];
        Ok(Arc::new(StructArray::try_new(piece_fields(unit, zone), columns, None)?))
    }
}

impl ScalarUDFImpl for SplitInterval {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        CALL.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [start, end, ..] = arg_types else {
            return internal_err!("split_interval: planned with {} arguments", arg_types.len());
        };
        let (unit, zone) = piece_type(start, end);
        Ok(DataType::List(list_field(&piece_fields(unit, zone.as_ref()))))
    }

    /// Literals are checked while the call is planned.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_interval = |value: &&ScalarValue| value.data_type() == DataType::Interval(IntervalUnit::MonthDayNano);
        let given = |index: usize| args.scalar_arguments.get(index).copied().flatten();
        if let Some(Err(message)) = given(2).filter(|value| value.is_null() || is_interval(value)).map(step_of) {
            return plan_err!("{message}");
        }
        let zone = types.first().and_then(zone_of);
        if let Some(Err(message)) = given(3).map(|value| clock_of(Some(value), zone.as_deref())) {
            return plan_err!("{message}");
        }
        Ok(Arc::new(Field::new(CALL.function, self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |index: usize, name: &str| match args.args.get(index) {
            Some(ColumnarValue::Scalar(value)) => Ok(Some(value)),
            Some(ColumnarValue::Array(_)) => exec_err!("split_interval: {name} must be a constant, got a column"),
            None => Ok(None),
        };
        let Some(step) = constant(2, "step")? else { return internal_err!("split_interval: evaluated without a step") };
        let step = step_of(step).map_err(|message| exec_datafusion_err!("{message}"))?;
        let arguments = Arguments::new(&args.args, args.number_rows)?;
        let times = |index: usize| -> Result<Option<Times>> {
            arguments.columns.get(index).map(|(column, is_constant)| Times::new(column, *is_constant)).transpose()
        };
        let [(start_column, _), (end_column, _), ..] = arguments.columns.as_slice() else {
            return internal_err!("split_interval: evaluated with {} arguments", arguments.columns.len());
        };
        let (unit, zone) = piece_type(start_column.data_type(), end_column.data_type());
        let mut clock =
            clock_of(constant(3, "zone")?, zone.as_deref()).map_err(|message| exec_datafusion_err!("{message}"))?;
        let (starts, ends, from, until) = (times(0)?, times(1)?, times(4)?, times(5)?);
        let time = |times: &Option<Times>, row: usize| times.as_ref().and_then(|times| times.get(row));

        let mut pieces = Pieces::default();
        let mut offsets = Vec::with_capacity(arguments.row_count + 1);
        offsets.push(0_i32);
        let mut is_known = Vec::with_capacity(arguments.row_count);
        for row in 0..arguments.row_count {
            let stretch = time(&starts, row).zip(time(&ends, row)).filter(|(start, end)| start <= end);
            if let Some((start, end)) = stretch {
                let start = time(&from, row).map_or(start, |from| from.max(start));
                let end = time(&until, row).map_or(end, |until| until.min(end));
                pieces.add(start, end, step, &mut clock, tick_ns(unit))?;
            }
            is_known.push(stretch.is_some());
            // at most four million
            offsets.push(i32::try_from(pieces.starts.len()).unwrap_or(i32::MAX));
        }
        let values = pieces.into_array(unit, zone.as_ref())?;
        let field = list_field(&piece_fields(unit, zone.as_ref()));
        let lists =
            ListArray::try_new(field, OffsetBuffer::new(offsets.into()), values, Some(NullBuffer::from(is_known)))?;
        if arguments.is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lists, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "The pieces of a stretch between the borders of half hours, hours, days, weeks or months, to be unnested: a state from \
         09:50 to 11:10 is ten minutes of nine o'clock, an hour of ten and ten minutes of eleven.\n\
         Formula: the part of the stretch from from to until is cut at every border of the step.\n\
         Units: timestamps or dates and an interval in; LIST of STRUCT(start, end, duration_s) out, in order of time: the times \
         have the zone of start and the finer unit of start and end, duration_s is in seconds.\n\
         NULL: a NULL start or end gives NULL, and unnest then no row: a stretch without an end has no known length; where it is \
         to count up to now, write coalesce(ended_at, now()). A stretch that ends before its start gives NULL. A zone, from or \
         until that is NULL is taken as not given.\n\
         Edges: a stretch outside of from and until, or without a length, gives an empty list. A step of seconds, minutes or hours \
         divides a day and counts from local midnight; days count from 1970-01-01, multiples of 7 from a Monday, months from a \
         January. Where clocks are set back both hours have pieces of their own, and a day is as long as it is. A date or a time \
         without a time zone is UTC. More than 100,000 pieces of one stretch, or 4,000,000 of a batch of rows, are an error.\n\
         Source: an agent's state is split over the intervals that it covers, as interval reports of contact centers do; \
         local borders as date_trunc of PostgreSQL in a time zone.",
        CALL.syntax,
    )
    .with_argument("start", "Timestamp or date: the start of the stretch.")
    .with_argument("end", "Timestamp or date: its end, exclusive.")
    .with_argument("step", "Constant interval: the distance of the borders.")
    .with_argument("zone", "Constant string: the time zone of the borders. Default: that of start, else UTC.")
    .with_argument("from", "Timestamp or date: what is before it is left out.")
    .with_argument("until", "Timestamp or date: what is at or after it is left out.")
    .with_sql_example(
        "```sql
select state, piece['start'] as piece_at, piece['duration_s'] as duration_s
from (
    select state, unnest(split_interval(started_at, ended_at, interval '1 hour')) as piece
    from (values ('on_contact', timestamp '2025-03-03 09:50:00', timestamp '2025-03-03 11:10:00'))
        as states(state, started_at, ended_at)
)
order by piece_at;
+------------+---------------------+------------+
| state      | piece_at            | duration_s |
+------------+---------------------+------------+
| on_contact | 2025-03-03T09:50:00 | 600.0      |
| on_contact | 2025-03-03T10:00:00 | 3600.0     |
| on_contact | 2025-03-03T11:00:00 | 600.0      |
+------------+---------------------+------------+
```",
    )
    .with_related_udf("interval_overlap_s")
    .with_related_udf("max_concurrent")
    .build()
});
