//! [`AggregateOverride`]: aggregate functions of DataFusion with exact sums, rounded averages, NaN as the largest value, and
//! sliding frames that forget what has left them.
//!
//! | function | DataFusion 55.2 | here |
//! |---|---|---|
//! | `sum` of integers, decimals, durations | wraps | exact, an error if the result does not fit ([`sum`]) |
//! | `sum`, `avg` of doubles over a sliding frame | subtracts: digits are lost, NaN stays | [`sliding`] |
//! | `var_*`, `stddev*`, `covar_*`, `corr`, `regr_*` over a sliding frame | subtracts, as above | [`sliding`] |
//! | `covar_*`, `corr`, `regr_*` | boxed states, or power sums that lose digits | six moments for each group ([`moment_groups`]) |
//! | `sum(distinct x)`, `avg(distinct x)`, ... over a sliding frame | an error but for integers | [`sliding_distinct`] |
//! | `stddev*(distinct x)` | an error but where it is the only aggregate of its query | [`distinct`], [`sliding_distinct`] |
//! | `avg` of decimals | truncates | rounds half away from zero ([`decimal_avg`]) |
//! | `count`, `sum`, `avg`, `var_*`, `stddev_*` of DISTINCT values | a boxed set for each group | one set for all groups ([`distinct`]) |
//! | `array_agg`, `string_agg` of DISTINCT values in two orders | both in the first order: the second is computed in reverse, but sorts its values | each in its order |
//! | `array_agg` of many groups | keeps whole input columns | keeps the rows of its groups ([`compact`]) |
//! | `array_agg`, `string_agg` with ORDER BY of many groups | boxed values, sorted and merged for each group | columns, sorted once ([`ordered`]) |
//! | `string_agg` of many groups | counts half of what its strings take | counts what they take ([`concat`]) |
//! | `bool_and`, `bool_or`, `bit_*`, `string_agg` over a sliding frame | an error | [`sliding_bits`] |
//! | `min`, `max` of floats | order-dependent with NaN and infinities | NaN is the largest value ([`extremes`]) |
//!
//! Everything else of a function (signature, states of its partial aggregate, documentation) is that of the wrapped one.

pub(crate) mod compact;
mod concat;
pub(crate) mod decimal_avg;
pub(crate) mod distinct;
pub(crate) mod extremes;
pub(crate) mod moment_groups;
pub(crate) mod moments;
mod ordered;
pub(crate) mod sliding;
pub(crate) mod sliding_bits;
pub(crate) mod sliding_distinct;
pub(crate) mod sum;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs, Volatility,
};
use datafusion::physical_expr::PhysicalSortExpr;

use self::compact::CompactGroups;
use self::concat::{ConcatAccumulator, ConcatGroups};
use self::distinct::{DistinctCount, DistinctGroups};
use self::moment_groups::{MomentAccumulator, MomentGroups};
use self::moments::Statistic;
use self::ordered::OrderedGroups;
use self::sliding::{SlidingFloats, SlidingMoments};
use self::sliding_bits::{BitOperation, SlidingBits, SlidingConcat};
use self::sliding_distinct::SlidingDistinct;
use self::sum::{CheckedGroups, CheckedSum};
use crate::functions::delegate::delegate_to_inner;

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AggregateRepair {
    Count,
    Collect,
    Concat,
    Sum,
    Average,
    Extreme { is_max: bool },
    Moments(Statistic),
    Bits(BitOperation),
}

impl AggregateRepair {
    /// The repair of a function of DataFusion.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "array_agg" => Self::Collect,
            "string_agg" => Self::Concat,
            "sum" => Self::Sum,
            "avg" => Self::Average,
            "min" => Self::Extreme { is_max: false },
            "max" => Self::Extreme { is_max: true },
            name => match BitOperation::of(name) {
                Some(operation) => Self::Bits(operation),
                None => Self::Moments(Statistic::of(name)?),
            },
        })
    }

    /// The statistic of pairs that is computed here.
    fn pair_statistic(self, is_distinct: bool) -> Option<Statistic> {
        match self {
            Self::Moments(statistic) if statistic.is_of_pairs() && !is_distinct => Some(statistic),
            _ => None,
        }
    }

    /// Standard deviations, of which DataFusion has no DISTINCT form.
    fn is_deviation(self) -> bool {
        matches!(self, Self::Moments(Statistic::DeviationSample | Statistic::DeviationPopulation))
    }

    /// Whether [`DistinctGroups`] computes the function of DISTINCT values of these arguments.
    fn is_distinct_here(self, arguments: &[FieldRef]) -> bool {
        let has_distinct_form = match self {
            Self::Count | Self::Sum | Self::Average => true,
            // smallest and largest values are the same with DISTINCT
            Self::Extreme { .. } => false,
            // NULL is one of the values, which may have an order
            Self::Collect | Self::Concat => false,
            Self::Bits(_) => false,
            Self::Moments(statistic) => {
                self.is_deviation() || matches!(statistic, Statistic::VarianceSample | Statistic::VariancePopulation)
            }
        };
        has_distinct_form && matches!(arguments, [field] if distinct::is_supported(field.data_type()))
    }
}

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct AggregateOverride {
    inner: Arc<AggregateUDF>,
    repair: AggregateRepair,
    signature: Signature,
}

impl AggregateOverride {
    pub(crate) fn new(inner: Arc<AggregateUDF>, repair: AggregateRepair) -> Self {
        let signature = match has_own_types(repair) {
            true => Signature::user_defined(Volatility::Immutable),
            false => inner.signature().clone(),
        };
        Self { inner, repair, signature }
    }
}

/// Sums of unsigned integers are `Int64`, and errors of `sum` and `avg` say what to write.
fn has_own_types(repair: AggregateRepair) -> bool {
    matches!(repair, AggregateRepair::Sum | AggregateRepair::Average)
}

fn is_exact_sum(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Duration(_)) || data_type.is_decimal()
}

fn is_averaged_here(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..))
}

impl AggregateOverride {
    /// The accumulator of `array_agg` or `string_agg` without groups.
    fn collector(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct && args.is_reversed {
            let order_bys: Vec<PhysicalSortExpr> = args.order_bys.iter().map(PhysicalSortExpr::reverse).collect();
            return self.inner.accumulator(AccumulatorArgs { order_bys: &order_bys, is_reversed: false, ..args });
        }
        self.inner.accumulator(args)
    }
}

impl AggregateUDFImpl for AggregateOverride {
    delegate_to_inner! { name, aliases, return_type, documentation }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if !has_own_types(self.repair) {
            return self.inner.coerce_types(arg_types);
        }
        let field = |data_type: &DataType| -> FieldRef {
            Arc::new(datafusion::arrow::datatypes::Field::new("value", data_type.clone(), true))
        };
        let fields: Vec<FieldRef> = arg_types.iter().map(field).collect();
        let coerced = match fields_with_udf(&fields, self.inner.as_ref()) {
            Ok(coerced) => coerced,
            Err(_) if arg_types.iter().any(|found| matches!(found, DataType::Interval(_))) => {
                let name = self.name();
                return plan_err!("{name} takes a number, got an interval; write {name}(extract(epoch from x))");
            }
            Err(_) if self.repair == AggregateRepair::Sum => {
                let types = arg_types.iter().map(|found| match found {
                    found if found.is_string() => "text".into(),
                    found => found.to_string(),
                });
                let types: Vec<String> = types.collect();
                return plan_err!("sum takes a number, got {}; write sum(try_cast(x as double))", types.join(", "));
            }
            Err(error) => return Err(error),
        };
        let signed = |field: FieldRef| match field.data_type() {
            DataType::UInt64 if self.repair == AggregateRepair::Sum => DataType::Int64,
            // a column that is NULL throughout
            DataType::Null if self.repair == AggregateRepair::Sum => DataType::Int64,
            DataType::Null => DataType::Float64,
            other => other.clone(),
        };
        Ok(coerced.into_iter().map(signed).collect())
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if self.repair.pair_statistic(args.is_distinct).is_some() {
            return Ok(moment_groups::state_fields(args.name));
        }
        if args.is_distinct && self.repair.is_deviation() {
            return Ok(vec![sliding_distinct::state_field(args.name)]);
        }
        match self.repair {
            AggregateRepair::Average if is_averaged_here(args.return_field.data_type()) && !args.is_distinct => {
                Ok(decimal_avg::state_fields(args.name, args.return_field.data_type(), args.input_fields))
            }
            AggregateRepair::Count if args.is_distinct => match args.input_fields {
                [field] => match distinct::state_field(args.name, field.data_type()) {
                    Some(state) => Ok(vec![state]),
                    None => self.inner.state_fields(args),
                },
                _ => self.inner.state_fields(args),
            },
            _ => self.inner.state_fields(args),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if let Some(statistic) = self.repair.pair_statistic(args.is_distinct) {
            return Ok(Box::new(MomentAccumulator::new(statistic)));
        }
        if args.is_distinct && self.repair.is_deviation() {
            // it need not slide
            return self.create_sliding_accumulator(args);
        }
        let data_type = args.return_field.data_type().clone();
        if self.repair == AggregateRepair::Concat {
            let delimiter_bytes = concat::delimiter(&args).map_or(0, |delimiter| delimiter.len());
            return Ok(Box::new(ConcatAccumulator::new(self.collector(args)?, delimiter_bytes)));
        }
        match self.repair {
            AggregateRepair::Collect => self.collector(args),
            AggregateRepair::Count if args.is_distinct => match args.expr_fields {
                [field] if distinct::is_interned(field.data_type()) => {
                    Ok(Box::new(DistinctCount::new(field.data_type())?))
                }
                _ => self.inner.accumulator(args),
            },
            AggregateRepair::Sum if is_exact_sum(&data_type) && args.is_distinct => {
                Ok(Box::new(sum::DistinctSum::new(self.inner.accumulator(args)?, data_type)))
            }
            AggregateRepair::Sum if is_exact_sum(&data_type) => Ok(Box::new(CheckedSum::new(data_type))),
            AggregateRepair::Average if is_averaged_here(&data_type) => {
                let scale = decimal_avg::input_scale(args.expr_fields);
                if args.is_distinct {
                    let inner = self.inner.accumulator(args)?;
                    return Ok(Box::new(decimal_avg::DistinctAverage::new(inner, data_type, scale)));
                }
                Ok(Box::new(decimal_avg::AverageAccumulator::new(data_type, scale)))
            }
            AggregateRepair::Extreme { is_max } if data_type.is_floating() => {
                Ok(Box::new(extremes::ExtremeAccumulator::new(data_type, is_max)))
            }
            _ => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.return_field.data_type().clone();
        // `min(distinct x)` is `min(x)`, lists have NULL as a value; DataFusion has no DISTINCT of several columns
        let is_number = !matches!(
            self.repair,
            AggregateRepair::Extreme { .. } | AggregateRepair::Collect | AggregateRepair::Concat
        );
        if args.is_distinct && args.exprs.len() == 1 && is_number {
            let inner = self.create_sliding_accumulator(AccumulatorArgs { is_distinct: false, ..args })?;
            return Ok(Box::new(SlidingDistinct::new(inner)));
        }
        match self.repair {
            AggregateRepair::Sum if is_exact_sum(&data_type) => Ok(Box::new(CheckedSum::new(data_type))),
            AggregateRepair::Sum | AggregateRepair::Average if data_type == DataType::Float64 => {
                Ok(Box::new(SlidingFloats::new(self.repair == AggregateRepair::Average)))
            }
            AggregateRepair::Average if is_averaged_here(&data_type) => self.accumulator(args),
            AggregateRepair::Extreme { is_max } if data_type.is_floating() => {
                Ok(Box::new(extremes::SlidingExtreme::new(data_type, is_max)))
            }
            AggregateRepair::Moments(statistic) => Ok(Box::new(SlidingMoments::new(statistic))),
            AggregateRepair::Bits(operation) => Ok(Box::new(SlidingBits::new(operation, data_type))),
            AggregateRepair::Concat => match concat::delimiter(&args) {
                Some(delimiter) => Ok(Box::new(SlidingConcat::new(delimiter, args.is_distinct, data_type))),
                None => self.inner.create_sliding_accumulator(args),
            },
            _ => self.inner.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let is_collected = matches!(self.repair, AggregateRepair::Collect | AggregateRepair::Concat);
        let is_ordered = is_collected && OrderedGroups::is_for(&args);
        if is_ordered || self.repair.pair_statistic(args.is_distinct).is_some() {
            return true;
        }
        let is_distinct = args.is_distinct && !self.repair.is_distinct_here(args.expr_fields);
        self.inner.groups_accumulator_supported(AccumulatorArgs { is_distinct, ..args })
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if let Some(statistic) = self.repair.pair_statistic(args.is_distinct) {
            return Ok(Box::new(MomentGroups::new(statistic)));
        }
        let data_type = args.return_field.data_type().clone();
        if args.is_distinct
            && self.repair.is_distinct_here(args.expr_fields)
            && let [field] = args.expr_fields
        {
            let states = self.state_fields(StateFieldsArgs {
                name: args.name,
                input_fields: args.expr_fields,
                return_field: Arc::clone(&args.return_field),
                ordering_fields: &[],
                is_distinct: true,
            })?;
            let [state] = states.as_slice() else { return plan_err!("{} of DISTINCT values", self.name()) };
            let inner = self.create_groups_accumulator(AccumulatorArgs { is_distinct: false, ..args })?;
            return Ok(Box::new(DistinctGroups::new(inner, field.data_type(), state.data_type())?));
        }
        match self.repair {
            AggregateRepair::Collect if OrderedGroups::is_for(&args) => Ok(Box::new(OrderedGroups::list(&args)?)),
            AggregateRepair::Concat if OrderedGroups::is_for(&args) => match OrderedGroups::text(&args)? {
                Some(groups) => Ok(Box::new(groups)),
                None => self.inner.create_groups_accumulator(args),
            },
            AggregateRepair::Concat => match ConcatGroups::of(&args) {
                Some(groups) => Ok(Box::new(groups)),
                None => self.inner.create_groups_accumulator(args),
            },
            AggregateRepair::Collect => Ok(Box::new(CompactGroups::new(self.inner.create_groups_accumulator(args)?))),
            AggregateRepair::Sum if is_exact_sum(&data_type) => {
                Ok(Box::new(CheckedGroups::new(self.inner.create_groups_accumulator(args)?, data_type)))
            }
            AggregateRepair::Average if is_averaged_here(&data_type) => {
                let scale = decimal_avg::input_scale(args.expr_fields);
                Ok(Box::new(decimal_avg::AverageGroups::new(data_type, scale)))
            }
            AggregateRepair::Extreme { is_max } if data_type.is_floating() => {
                extremes::groups_accumulator(&data_type, is_max)
            }
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.repair {
            // its accumulators sort, so that the input needs no sort and each call may have an order of its own
            AggregateRepair::Concat => AggregateOrderSensitivity::SoftRequirement,
            _ => self.inner.order_sensitivity(),
        }
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        if self.repair == AggregateRepair::Concat {
            return Ok(Some(self));
        }
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(beneficial_ordering)?;
        Ok(inner.map(|inner| Arc::new(Self::new(Arc::new(inner), self.repair)) as _))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner)
                if matches!(self.repair, AggregateRepair::Collect | AggregateRepair::Concat) =>
            {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::from(Self::new(inner, self.repair))))
            }
            ReversedUDAF::Reversed(_) => ReversedUDAF::NotSupported,
            other => other,
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        // statistics of floats leave NaN out, those of sums may have wrapped
        let is_usable = match self.repair {
            AggregateRepair::Extreme { .. } => !args.return_type.is_floating(),
            AggregateRepair::Count => true,
            _ => false,
        };
        if is_usable { self.inner.value_from_stats(args) } else { None }
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}
