//! The adapters: times and calendar in, one position in the timeline per time, arrays out.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, PrimitiveArray,
};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, Date32Type, Field, FieldRef, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::calendar::Calendars;
use super::pages;
use super::timeline::{Instant, Timeline};
use crate::args::{Call, Kind, Parameter, UTC, join_or, nearest_hint};
use crate::strings::Column;

/// All functions of the family.
pub(super) fn scalar_functions(calendars: &Arc<Calendars>) -> Vec<Arc<ScalarUDF>> {
    [Question::Seconds, Question::Add, Question::IsOpen, Question::Next]
        .map(|question| Arc::new(ScalarUDF::from(BusinessTime::new(question, calendars))))
        .to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Seconds,
    Add,
    IsOpen,
    Next,
}

const AT: Parameter = Parameter::column("at", Kind::Time);
const CALENDAR: Parameter = Parameter::column("calendar", Kind::Text);

const SECONDS: Call = Call {
    function: "business_s",
    syntax: "business_s(start, end, calendar)",
    parameters: &[Parameter::column("start", Kind::Time), Parameter::column("end", Kind::Time), CALENDAR],
    arities: &[3],
};

const ADD: Call = Call {
    function: "business_add",
    syntax: "business_add(start, s, calendar)",
    parameters: &[Parameter::column("start", Kind::Time), Parameter::column("s", Kind::Number), CALENDAR],
    arities: &[3],
};

const IS_OPEN: Call = Call {
    function: "is_business_time",
    syntax: "is_business_time(at, calendar)",
    parameters: &[AT, CALENDAR],
    arities: &[2],
};

const NEXT: Call = Call {
    function: "next_business_time",
    syntax: "next_business_time(at, calendar)",
    parameters: &[AT, CALENDAR],
    arities: &[2],
};

impl Question {
    fn call(self) -> &'static Call {
        match self {
            Self::Seconds => &SECONDS,
            Self::Add => &ADD,
            Self::IsOpen => &IS_OPEN,
            Self::Next => &NEXT,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BusinessTime {
    question: Question,
    calendars: Arc<Calendars>,
    signature: Signature,
}

impl BusinessTime {
    fn new(question: Question, calendars: &Arc<Calendars>) -> Self {
        Self { question, calendars: Arc::clone(calendars), signature: question.call().signature() }
    }

    /// The timeline of a calendar, or what is said of a name that is none.
    fn timeline(&self, name: &str) -> std::result::Result<&Timeline, String> {
        if let Some(calendar) = self.calendars.get(name) {
            return Ok(calendar.timeline());
        }
        let names: Vec<String> = self.calendars.names().map(str::to_owned).collect();
        let (function, hint) = (self.question.call().function, nearest_hint(&names, name));
        Err(format!(
            "{function}: calendar must be one of {}, got '{name}'{hint}; cxql.toml adds others under [calendars.NAME]",
            join_or(&names)
        ))
    }

    /// The timelines of the rows; those of a column are looked up once per name.
    fn timelines(&self, calendar: &ColumnarValue, rows: usize) -> Result<Timelines<'_>> {
        let named = |name: &str| self.timeline(name).or_else(|message| exec_err!("{message}"));
        let array = match calendar {
            ColumnarValue::Scalar(name) => {
                return Ok(Timelines::Same(name.try_as_str().flatten().map(named).transpose()?));
            }
            ColumnarValue::Array(array) => array,
        };
        let column = Column::new(array.as_ref())?;
        let mut known: HashMap<&str, &Timeline> = HashMap::new();
        let mut timelines = Vec::with_capacity(rows);
        for row in 0..rows {
            let Some(name) = column.index(row).and_then(|index| column.values.get(index)) else {
                timelines.push(None);
                continue;
            };
            let timeline = match known.get(name) {
                Some(timeline) => timeline,
                None => {
                    let timeline = named(name)?;
                    known.insert(name, timeline);
                    timeline
                }
            };
            timelines.push(Some(timeline));
        }
        Ok(Timelines::Rows(timelines))
    }
}

/// The timeline of each row.
enum Timelines<'a> {
    Same(Option<&'a Timeline>),
    Rows(Vec<Option<&'a Timeline>>),
}

impl<'a> Timelines<'a> {
    #[inline]
    fn of(&self, row: usize) -> Option<&'a Timeline> {
        match self {
            Self::Same(timeline) => *timeline,
            Self::Rows(timelines) => timelines.get(row).copied().flatten(),
        }
    }
}

/// The values of an argument: one for a constant, else one a row.
struct Operand<T> {
    values: T,
    nulls: Option<NullBuffer>,
    is_constant: bool,
}

enum Ticks {
    Timestamps(ScalarBuffer<i64>, TimeUnit),
    Days(ScalarBuffer<i32>),
}

impl<T> Operand<T> {
    fn new(value: &ColumnarValue, values: impl FnOnce(&ArrayRef) -> Option<T>) -> Result<Self> {
        let array = value.to_array(1)?;
        let Some(values) = values(&array) else {
            return internal_err!("got an argument of type {}, which is not one after coercion", array.data_type());
        };
        let nulls = array.nulls().cloned();
        Ok(Self { values, nulls, is_constant: matches!(value, ColumnarValue::Scalar(_)) })
    }

    /// The index of a row's value; None for NULL.
    #[inline]
    fn index(&self, row: usize) -> Option<usize> {
        let index = if self.is_constant { 0 } else { row };
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index)).then_some(index)
    }
}

impl Operand<Ticks> {
    fn times(value: &ColumnarValue) -> Result<Self> {
        fn ticks<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<ScalarBuffer<T::Native>> {
            array.as_primitive_opt::<T>().map(|array| array.values().clone())
        }
        Self::new(value, |array| match array.data_type() {
            DataType::Timestamp(unit, _) => {
                let ticks = match unit {
                    TimeUnit::Second => ticks::<TimestampSecondType>(array),
                    TimeUnit::Millisecond => ticks::<TimestampMillisecondType>(array),
                    TimeUnit::Microsecond => ticks::<TimestampMicrosecondType>(array),
                    TimeUnit::Nanosecond => ticks::<TimestampNanosecondType>(array),
                };
                ticks.map(|ticks| Ticks::Timestamps(ticks, *unit))
            }
            _ => ticks::<Date32Type>(array).map(Ticks::Days),
        })
    }

    /// The time of a row. A date is its first second by the clock of the calendar.
    #[inline]
    fn at(&self, row: usize, timeline: &Timeline) -> Option<Instant> {
        let index = self.index(row)?;
        match &self.values {
            Ticks::Timestamps(ticks, unit) => Some(instant(*ticks.get(index)?, *unit)),
            Ticks::Days(days) => Some(timeline.start_of_day(*days.get(index)?)),
        }
    }
}

#[inline]
fn instant(ticks: i64, unit: TimeUnit) -> Instant {
    #[inline]
    fn split<const PER_SECOND: i64>(ticks: i64) -> Instant {
        let nanos = ticks.rem_euclid(PER_SECOND) * (1_000_000_000 / PER_SECOND);
        Instant { second: ticks.div_euclid(PER_SECOND), nanos: u32::try_from(nanos).unwrap_or(0) }
    }
    match unit {
        TimeUnit::Second => split::<1>(ticks),
        TimeUnit::Millisecond => split::<1_000>(ticks),
        TimeUnit::Microsecond => split::<1_000_000>(ticks),
        TimeUnit::Nanosecond => split::<1_000_000_000>(ticks),
    }
}

/// The ticks of a time; what is finer than the unit is left out.
fn ticks(at: Instant, unit: TimeUnit) -> Option<i64> {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    at.second.checked_mul(per_second)?.checked_add(i64::from(at.nanos) / (1_000_000_000 / per_second))
}

/// An array of the timestamps of `times`, of the type that the call promises.
fn timestamps(data_type: &DataType, times: impl Iterator<Item = Option<Instant>>) -> Result<ArrayRef> {
    fn array<T: ArrowTimestampType>(zone: Option<Arc<str>>, times: impl Iterator<Item = Option<Instant>>) -> ArrayRef {
        let ticks = times.map(|at| at.and_then(|at| ticks(at, T::UNIT)));
        Arc::new(ticks.collect::<PrimitiveArray<T>>().with_timezone_opt(zone))
    }
    let DataType::Timestamp(unit, zone) = data_type else {
        return internal_err!("timestamps are wanted as {data_type}");
    };
    let zone = zone.clone();
    Ok(match unit {
        TimeUnit::Second => array::<TimestampSecondType>(zone, times),
        TimeUnit::Millisecond => array::<TimestampMillisecondType>(zone, times),
        TimeUnit::Microsecond => array::<TimestampMicrosecondType>(zone, times),
        TimeUnit::Nanosecond => array::<TimestampNanosecondType>(zone, times),
    })
}

impl ScalarUDFImpl for BusinessTime {
    fn name(&self) -> &str {
        self.question.call().function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.question.call().coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(match (self.question, arg_types.first()) {
            (Question::Seconds, _) => DataType::Float64,
            (Question::IsOpen, _) => DataType::Boolean,
            (_, Some(zoned @ DataType::Timestamp(..))) => zoned.clone(),
            _ => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        })
    }

    /// A calendar that is a literal is checked while the call is planned, one that comes later when it runs.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let calendar = args.scalar_arguments.last().copied().flatten();
        if let Some(name) = calendar.and_then(|value| value.try_as_str().flatten())
            && self.calendars.get(name).is_none()
            && let Err(message) = self.timeline(name)
        {
            return plan_err!("{message}");
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let (Some(first), Some(calendar)) = (args.args.first(), args.args.last()) else {
            return exec_err!("{}: called without arguments", self.name());
        };
        let timelines = self.timelines(calendar, rows)?;
        let timelines = |row: usize| timelines.of(row);
        let at = Operand::times(first)?;
        let data_type = args.return_field.data_type();
        let array: ArrayRef = match (self.question, args.args.get(1)) {
            (Question::Seconds, Some(end)) => {
                let end = Operand::times(end)?;
                let seconds = (0..rows).map(|row| {
                    let timeline = timelines(row)?;
                    timeline.seconds_between(at.at(row, timeline)?, end.at(row, timeline)?)
                });
                Arc::new(seconds.collect::<Float64Array>())
            }
            (Question::Add, Some(seconds)) => {
                let seconds = Operand::new(seconds, |array| {
                    array.as_primitive_opt::<Float64Type>().map(|array| array.values().clone())
                })?;
                let times = (0..rows).map(|row| {
                    let timeline = timelines(row)?;
                    timeline.add(at.at(row, timeline)?, *seconds.values.get(seconds.index(row)?)?)
                });
                timestamps(data_type, times)?
            }
            (Question::IsOpen, _) => {
                let is_open = (0..rows).map(|row| {
                    let timeline = timelines(row)?;
                    timeline.is_open(at.at(row, timeline)?)
                });
                Arc::new(is_open.collect::<BooleanArray>())
            }
            (Question::Next, _) => {
                let times = (0..rows).map(|row| {
                    let timeline = timelines(row)?;
                    timeline.next_open(at.at(row, timeline)?)
                });
                timestamps(data_type, times)?
            }
            (_, None) => return exec_err!("{}: {} arguments after planning", self.name(), args.args.len()),
        };
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.question {
            Question::Seconds => &pages::SECONDS,
            Question::Add => &pages::ADD,
            Question::IsOpen => &pages::IS_OPEN,
            Question::Next => &pages::NEXT,
        })
    }
}
