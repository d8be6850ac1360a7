//! Exact percentiles that count values in place of keeping them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListArray, ListBuilder, UInt32Builder,
    UInt64Builder,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt32Type, UInt64Type};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

/// `percentile_cont` with the same results but for the weight between two values, which the engine rounds to six digits.
///
/// The engine keeps every value for every call. Waits and durations are mostly whole seconds below some thousands: how
/// often each occurs is all that a percentile needs, and is added up in a fraction of the time and memory. Other values
/// are kept as the engine does it, other types than double precision are left to it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PercentileCont {
    inner: Arc<AggregateUDF>,
}

impl PercentileCont {
    pub(crate) fn new(inner: Arc<AggregateUDF>) -> Self {
        Self { inner }
    }

    fn percentile(&self, args: AccumulatorArgs<'_>) -> Result<f64> {
        let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>());
        let percentile = literal.map(|literal| literal.value().cast_to(&DataType::Float64)).transpose()?;
        let is_descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        // the engine's checks and its errors
        self.inner.accumulator(args)?;
        match percentile {
            Some(ScalarValue::Float64(Some(percentile))) => {
                Ok(if is_descending { 1.0 - percentile } else { percentile })
            }
            other => internal_err!("a percentile of {other:?}"),
        }
    }
}

fn is_counted(data_type: Option<&FieldRef>, is_distinct: bool) -> bool {
    data_type.is_some_and(|field| field.data_type() == &DataType::Float64) && !is_distinct
}

impl AggregateUDFImpl for PercentileCont {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_counted(args.input_fields.first(), args.is_distinct) {
            return self.inner.state_fields(args);
        }
        Ok(state_fields(args.name))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_counted(args.expr_fields.first(), args.is_distinct) {
            return self.inner.accumulator(args);
        }
        Ok(Box::new(Percentile::new(vec![self.percentile(args)?], false).ungrouped()))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_counted(args.expr_fields.first(), args.is_distinct) {
            return self.inner.create_groups_accumulator(args);
        }
        Ok(Box::new(Percentile::new(vec![self.percentile(args)?], false)))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// `percentiles_cont(x, p, ...)`: several percentiles of the same values as a list. [`super::percentiles`] puts it in place of
/// several calls of `percentile_cont`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PercentilesCont {
    signature: Signature,
}

impl PercentilesCont {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }

    fn accumulator(args: &AccumulatorArgs<'_>) -> Result<Percentile> {
        let percentile = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Float64(Some(percentile))) => Ok(*percentile),
            _ => internal_err!("a percentile of {expr}"),
        };
        let percentiles = args.exprs.iter().skip(1).map(percentile).collect::<Result<_>>()?;
        Ok(Percentile::new(percentiles, true))
    }
}

impl AggregateUDFImpl for PercentilesCont {
    fn name(&self) -> &str {
        "percentiles_cont"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(state_fields(args.name))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Self::accumulator(&args)?.ungrouped()))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Self::accumulator(&args)?))
    }
}

/// The state of our aggregates: whole numbers that occur with their counts, and other values.
fn state_fields(name: &str) -> Vec<FieldRef> {
    let list = |part, item| {
        let items = DataType::List(Arc::new(Field::new_list_field(item, true)));
        Arc::new(Field::new(format_state_name(name, part), items, true))
    };
    vec![list("places", DataType::UInt32), list("counts", DataType::UInt64), list("values", DataType::Float64)]
}

/// The known values of one group.
#[derive(Debug, Default)]
struct Values {
    /// How often each small whole number occurs, as far as 32 bits go.
    counts: Vec<u32>,
    /// How much more often.
    beyond: BTreeMap<usize, u64>,
    /// All other values.
    others: Vec<f64>,
    len: u64,
}

impl Values {
    fn add(&mut self, value: f64) {
        self.len += 1;
        // no more places than values, so that this is never larger than a list of them
        match whole(value).filter(|&place| place < self.counts.len() || place as u64 <= self.len) {
            Some(place) => self.add_count(place, 1),
            None => self.others.push(value),
        }
    }

    fn add_count(&mut self, place: usize, count: u64) {
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        let sum = u64::from(self.counts[place]) + count;
        self.counts[place] = u32::try_from(sum).unwrap_or(u32::MAX);
        if sum > u64::from(u32::MAX) {
            *self.beyond.entry(place).or_default() += sum - u64::from(u32::MAX);
        }
    }

    /// The whole numbers that occur, from the least, and how often.
    fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        let known = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        known.map(|(place, &count)| (place, u64::from(count) + self.beyond.get(&place).copied().unwrap_or_default()))
    }

    fn remove(&mut self, value: f64) -> Result<()> {
        self.len = self.len.saturating_sub(1);
        if let Some(place) = whole(value) {
            if let Some(count) = self.beyond.get_mut(&place).filter(|count| **count > 0) {
                *count -= 1;
                return Ok(());
            }
            if let Some(count) = self.counts.get_mut(place).filter(|count| **count > 0) {
                *count -= 1;
                return Ok(());
            }
        }
        match self.others.iter().position(|other| other.total_cmp(&value).is_eq()) {
            Some(place) => {
                self.others.swap_remove(place);
                Ok(())
            }
            None => internal_err!("percentile_cont: {value} leaves a frame in which it never was"),
        }
    }

    /// The value that so many others stand before when all are sorted.
    fn at(&self, sorted: &[f64], before: u64) -> Option<f64> {
        let (mut passed, mut others) = (0, sorted.iter().copied().peekable());
        for (place, count) in self.counted() {
            let value = place as f64;
            while let Some(other) = others.next_if(|other| other.total_cmp(&value).is_lt()) {
                if passed == before {
                    return Some(other);
                }
                passed += 1;
            }
            passed += count;
            if passed > before {
                return Some(value);
            }
        }
        others.nth(usize::try_from(before - passed).ok()?)
    }

    /// The percentile, between two values by linear interpolation; `None` without values.
    fn percentile(&mut self, percentile: f64) -> Option<f64> {
        let last = self.len.checked_sub(1)?;
        let place = percentile * last as f64;
        let (lower, fraction) = ((place.floor() as u64).min(last), place.fract());
        let upper = if fraction > 0.0 { (lower + 1).min(last) } else { lower };
        let (lower, upper) = if self.counts.is_empty() {
            // no need for order beyond the two
            let (_, lower, above) = self.others.select_nth_unstable_by(lower as usize, f64::total_cmp);
            let above = above.iter().copied().min_by(f64::total_cmp);
            (*lower, if fraction > 0.0 { above.unwrap_or(*lower) } else { *lower })
        } else {
            self.others.sort_unstable_by(f64::total_cmp);
            (self.at(&self.others, lower)?, self.at(&self.others, upper)?)
        };
        // between equal infinities there is no distance
        Some(if lower == upper { lower } else { lower + (upper - lower) * fraction })
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<u32>() + self.others.capacity() * size_of::<f64>()
    }
}

/// The value as a place among the counts.
fn whole(value: f64) -> Option<usize> {
    let place = value as u32;
    // the bits: -0 is not 0
    (f64::from(place).to_bits() == value.to_bits()).then_some(place as usize)
}

/// Percentiles of all groups; of one, if it is not grouped.
#[derive(Debug)]
struct Percentile {
    percentiles: Vec<f64>,
    /// Whether a group's result is a list of all percentiles.
    is_list: bool,
    groups: Vec<Values>,
}

impl Percentile {
    fn new(percentiles: Vec<f64>, is_list: bool) -> Self {
        Self { percentiles, is_list, groups: vec![] }
    }

    fn ungrouped(mut self) -> Self {
        self.groups.push(Values::default());
        self
    }

    fn taken(&mut self, emit_to: EmitTo) -> Vec<Values> {
        emit_to.take_needed(&mut self.groups)
    }

    fn lists(groups: &[Values]) -> Vec<ArrayRef> {
        let mut places = ListBuilder::new(UInt32Builder::new());
        let mut counts = ListBuilder::new(UInt64Builder::new());
        let mut others = ListBuilder::new(Float64Builder::new());
        for group in groups {
            for (place, count) in group.counted() {
                // no place is beyond 32 bits
                places.values().append_value(place as u32);
                counts.values().append_value(count);
            }
            places.append(true);
            counts.append(true);
            others.values().append_slice(&group.others);
            others.append(true);
        }
        vec![Arc::new(places.finish()), Arc::new(counts.finish()), Arc::new(others.finish())]
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let [places, counts, others] = states else {
            return internal_err!("percentile_cont: {} states", states.len());
        };
        let lists: [&ListArray; 3] = [places.as_list(), counts.as_list(), others.as_list()];
        let [places, counts, others] = lists;
        for row in 0..counts.len() {
            let Some(group) = self.groups.get_mut(group_of(row)) else {
                return internal_err!("a group without a place");
            };
            let (places, counts) = (places.value(row), counts.value(row));
            let (places, counts) = (places.as_primitive::<UInt32Type>(), counts.as_primitive::<UInt64Type>());
            // the greatest comes last: one step makes room for all
            if let Some(&last) = places.values().last() {
                group.counts.resize(group.counts.len().max(last as usize + 1), 0);
            }
            for (&place, &count) in places.values().iter().zip(counts.values()) {
                group.len += count;
                group.add_count(place as usize, count);
            }
            for &value in others.value(row).as_primitive::<Float64Type>().values() {
                group.add(value);
            }
        }
        Ok(())
    }

    fn values(values: &[ArrayRef]) -> Result<&Float64Array> {
        match values.first().and_then(|values| values.as_primitive_opt::<Float64Type>()) {
            Some(values) => Ok(values),
            None => exec_err!("percentile_cont without its numbers"),
        }
    }
}

/// For each group its percentile, or the list of its percentiles.
fn results(groups: &mut [Values], percentiles: &[f64], is_list: bool) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(|_| percentiles.len()));
    let all = groups.iter_mut().flat_map(|group| percentiles.iter().map(|&one| group.percentile(one)));
    let all = Arc::new(all.collect::<Float64Array>());
    if is_list {
        Arc::new(ListArray::new(Arc::new(Field::new_list_field(DataType::Float64, true)), offsets, all, None))
    } else {
        all
    }
}

impl GroupsAccumulator for Percentile {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups.max(self.groups.len()), Values::default);
        let values = Self::values(values)?;
        if values.null_count() == 0 && opt_filter.is_none() {
            for (&value, &group) in values.values().iter().zip(group_indices) {
                self.groups[group].add(value);
            }
            return Ok(());
        }
        for (row, (value, &group)) in values.iter().zip(group_indices).enumerate() {
            let is_wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, is_wanted) {
                self.groups[group].add(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = self.taken(emit_to);
        Ok(results(&mut groups, &self.percentiles, self.is_list))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(Self::lists(&self.taken(emit_to)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups.max(self.groups.len()), Values::default);
        self.merge(values, |row| group_indices.get(row).copied().unwrap_or(usize::MAX))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = Self::values(values)?;
        let mut rows = Self::new(vec![], false);
        let places: Vec<usize> = (0..values.len()).collect();
        GroupsAccumulator::update_batch(&mut rows, &[Arc::new(values.clone())], &places, opt_filter, values.len())?;
        Ok(Self::lists(&rows.groups))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Values>() + self.groups.iter().map(Values::size).sum::<usize>()
    }
}

impl Accumulator for Percentile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::values(values)?;
        let group = &mut self.groups[0];
        values.iter().flatten().for_each(|value| group.add(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::values(values)?;
        let group = &mut self.groups[0];
        values.iter().flatten().try_for_each(|value| group.remove(value))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // a frame that slides asks again and again
        ScalarValue::try_from_array(&results(&mut self.groups, &self.percentiles, self.is_list), 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + GroupsAccumulator::size(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Self::lists(&self.groups).iter().map(|list| ScalarValue::try_from_array(list, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states, |_| 0)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::prelude::{SessionConfig, SessionContext};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::analyzer::merge_percentiles::MergePercentiles;

    fn percentile(values: &[f64], percentile: f64) -> Option<f64> {
        let mut all = Values::default();
        values.iter().for_each(|&value| all.add(value));
        all.percentile(percentile)
    }

    /// By hand; the second line is PostgreSQL's example of interpolation: 10 + 0.3 * (20 - 10).
    #[test]
    fn values_by_hand() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[10.0, 20.0], 0.3), Some(13.0));
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(percentile(&[0.25, 1.0, 1.0, 0.5, 1.5], 0.75), Some(1.0));
        assert_eq!(percentile(&[-3.5, 1.0, 7e9, 1.0], 1.0), Some(7e9));
        assert_eq!(percentile(&[f64::INFINITY, f64::INFINITY], 0.5), Some(f64::INFINITY));
        // a third of the way: exactly, not 0.333333
        assert_eq!(percentile(&[0.0, 3e9], 1.0 / 3.0), Some(1e9));
    }

    /// More of one value than 32 bits count: five billion ones, then three twos.
    #[test]
    fn counts_beyond_32_bits() {
        let part = |place: usize, count: u64| {
            let mut values = Values { len: count, ..Values::default() };
            values.add_count(place, count);
            values
        };
        let mut all = Percentile::new(vec![0.5], false).ungrouped();
        for part in [part(1, 3_000_000_000), part(1, 2_000_000_000), part(2, 3)] {
            all.merge(&Percentile::lists(&[part]), |_| 0).unwrap();
        }
        let values = &mut all.groups[0];
        assert_eq!(
            (values.len, values.counted().collect::<Vec<_>>()),
            (5_000_000_003, vec![(1, 5_000_000_000), (2, 3)])
        );
        assert_eq!((values.percentile(0.5), values.percentile(1.0)), (Some(1.0), Some(2.0)));
        assert_eq!((values.at(&[], 4_999_999_999), values.at(&[], 5_000_000_000)), (Some(1.0), Some(2.0)));
        values.remove(1.0).unwrap();
        assert_eq!(values.at(&[], 4_999_999_999), Some(2.0));
    }

    /// Expected are the values in order, with the weight of the definition: place (n - 1) * p.
    #[tokio::test]
    async fn any_values_grouped_merged_and_in_frames() {
        let mut random = Pcg64::seed_from_u64(5);
        let rows: Vec<(i64, Option<f64>)> = (0..20_000)
            .map(|_| {
                let value = match random.random_range(0..10) {
                    0 => None,
                    1 => Some(f64::from(random.random_range(-1000..1000)) / 8.0),
                    2 => Some(random.random_range(-1e12..1e12)),
                    3 => Some(-0.0),
                    _ => Some(f64::from(random.random_range(0..600))),
                };
                (random.random_range(0..40), value)
            })
            .collect();
        let context =
            SessionContext::new_with_config(SessionConfig::new().with_batch_size(700).with_target_partitions(3));
        let inner = Arc::clone(&context.state().aggregate_functions()["percentile_cont"]);
        context.register_udaf(AggregateUDF::from(PercentileCont::new(inner)));
        context.add_analyzer_rule(Arc::new(MergePercentiles::new()));
        let columns: [(&str, ArrayRef); 2] = [
            ("k", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
            ("v", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
        ];
        context.register_batch("t", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let expected = |wanted: &dyn Fn(i64, f64) -> bool, percentile: f64| {
            let mut values: Vec<f64> = rows.iter().filter_map(|(k, v)| v.filter(|v| wanted(*k, *v))).collect();
            values.sort_by(f64::total_cmp);
            let place = percentile * (values.len() - 1) as f64;
            let (lower, upper) = (values[place.floor() as usize], values[place.ceil() as usize]);
            if lower == upper { lower } else { lower + (upper - lower) * place.fract() }
        };
        let answer = async |sql: &str| {
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            let all = datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
            all.columns()
                .iter()
                .map(|column| column.as_primitive::<Float64Type>().values().to_vec())
                .collect::<Vec<_>>()
        };
        let found = answer(
            "select cast(k as double) as k, percentile_cont(0.5) within group (order by v) as a,
                percentile_cont(0.99) within group (order by v desc) filter (where v >= 0) as b,
                quantile_cont(v, 0.123) as c
             from t group by k order by k",
        )
        .await;
        assert_eq!(found[0].len(), 40);
        for (row, key) in (0..40).enumerate() {
            assert_eq!(found[1][row], expected(&|k, _| k == key, 0.5), "key {key}");
            assert_eq!(found[2][row], expected(&|k, v| k == key && v >= 0.0, 1.0 - 0.99), "key {key}");
            assert_eq!(found[3][row], expected(&|k, _| k == key, 0.123), "key {key}");
        }
        let found = answer("select percentile_cont(0.9) within group (order by v) as a from t where k < 7").await;
        assert_eq!(found[0], [expected(&|k, _| k < 7, 0.9)]);

        // several percentiles of the same values are one call
        let sql =
            "select percentile_cont(0.9) within group (order by v) as a, avg(v) * 0 as b, quantile_cont(v, 0.1) as c,
                percentile_cont(0.3) within group (order by v desc) as d, sum(v) filter (where k < 0) is null as e,
                percentile_cont(0.5) within group (order by v) filter (where v < 0) as f,
                percentile_cont(0.6) within group (order by v) filter (where v < 0) as g,
                percentile_cont(0.5) within group (order by v) filter (where v < -1e300) as h
             from t where k < $most group by k % 1 having count(*) > 0 and quantile_cont(v, 0.2) < 1e300";
        for (most, sql) in [(9, sql.replace("$most", "9")), (0, sql.replace("$most", "0"))] {
            let frame = context.sql(&sql).await.unwrap();
            let plan = frame.clone().into_optimized_plan().unwrap().to_string();
            let calls = plan.lines().find(|line| line.contains("Aggregate:")).unwrap_or_default();
            let count = |name| calls.matches(name).count();
            assert_eq!((count("percentiles_cont(t.v, "), count("percentile_cont(t.v, ")), (2, 1), "{plan}");
            let batches = frame.collect().await.unwrap();
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, usize::from(most > 0));
            let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { continue };
            let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h"]);
            let value = |column: usize| batch.column(column).as_primitive::<Float64Type>().value(0);
            assert_eq!(value(0), expected(&|k, _| k < most, 0.9));
            assert_eq!(value(2), expected(&|k, _| k < most, 0.1));
            assert_eq!(value(3), expected(&|k, _| k < most, 1.0 - 0.3));
            assert_eq!(value(5), expected(&|k, v| k < most && v < 0.0, 0.5));
            assert_eq!(value(6), expected(&|k, v| k < most && v < 0.0, 0.6));
            assert!(batch.column(7).is_null(0));
        }
        // frames that slide: the difference to the engine's own is at most its six digits of weight
        let found = answer(
            "select max(abs(a - b)) from (select
                quantile_cont(w, 0.4) over (order by i rows between 20 preceding and current row) as a,
                quantile_cont(narrow, 0.4) over (order by i rows between 20 preceding and current row) as b
             from (select i, w, cast(w as float) as narrow from
                (select row_number() over () as i, cast(k as double) / 4 as w from t)))",
        )
        .await;
        assert!(found[0][0] <= 2e-5, "{found:?}");
    }
}
