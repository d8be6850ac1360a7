//! `tukey_outlier(x)`: whether a value lies beyond Tukey's fences of its partition.
//!
//! Formula: x < Q1 - k (Q3 - Q1) or x > Q3 + k (Q3 - Q1), quartiles by linear interpolation.
//! Units:   any number in, Boolean out.
//! NULL:    a NULL is left out of the quartiles and gives NULL.
//! Edges:   a value on a fence is no outlier; NaN and infinities count as NULL; the whole partition counts, whatever the frame.
//! Source:  J. W. Tukey, Exploratory Data Analysis, Addison-Wesley 1977; R. J. Hyndman and Y. Fan 1996, type 7.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Documentation;

use super::SECTION;
use crate::aggregate::numbers;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::grouped::ranges;
use crate::partition::{PartitionFunction, known_numbers};

/// Tukey's fences.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fences {
    low: f64,
    high: f64,
    /// What values are multiplied with before they are compared: less than 1 where a distance leaves the range of a Float64.
    scale: f64,
}

impl Fences {
    /// Those of values, which are reordered; `None` without a value.
    fn of(values: &mut [f64], k: f64) -> Option<Self> {
        let least = values.iter().copied().reduce(f64::min)?;
        let greatest = values.iter().copied().reduce(f64::max)?;
        let scale = if (greatest - least).is_finite() { 1.0 } else { 0.25 };
        if scale < 1.0 {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        let (lower, upper) = (quantile(values, 0.25)?, quantile(values, 0.75)?);
        let width = k * (upper - lower);
        Some(Self { low: lower - width, high: upper + width, scale })
    }

    fn is_beyond(&self, value: f64) -> bool {
        let value = value * self.scale;
        value < self.low || value > self.high
    }
}

/// The value at the position `share` (n - 1), between two values in proportion: type 7 of Hyndman and Fan, that of R and numpy.
fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let position = share * values.len().checked_sub(1)? as f64;
    let below = position.floor();
    let (_, &mut lower, above) = values.select_nth_unstable_by(below as usize, f64::total_cmp);
    let part = position - below;
    let upper = above.iter().copied().reduce(f64::min).filter(|_| part > 0.0);
    Some(upper.map_or(lower, |upper| lower + part * (upper - lower)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TukeyOutlier;

impl PartitionFunction for TukeyOutlier {
    const CALL: Call = Call {
        function: "tukey_outlier",
        syntax: "tukey_outlier(x [, k]) over (partition by agent_id)",
        parameters: &[Parameter::column("x", Kind::Number), Parameter::constant("k", Kind::Number)],
        arities: &[1, 2],
    };
    const ORDER: Option<&'static str> = None;
    /// The width of the fences.
    type Options = f64;

    fn result_type() -> DataType {
        DataType::Boolean
    }

    fn bind(constants: &Constants, _given: usize) -> Result<f64> {
        constants.not_negative("k", 1.5)
    }

    fn evaluate(k: &f64, columns: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let x = numbers(columns, 0)?;
        let mut is_outlier = Vec::with_capacity(bounds.last().copied().unwrap_or_default());
        let mut values = vec![];
        for range in ranges(bounds) {
            values.clear();
            values.extend(known_numbers(x, range.clone()).flatten());
            let fences = Fences::of(&mut values, *k);
            is_outlier.extend(known_numbers(x, range).map(|value| Some(fences?.is_beyond(value?))));
        }
        Ok(Arc::new(BooleanArray::from(is_outlier)))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a value lies beyond Tukey's fences of its partition, those of a box plot. Up to a quarter of the values on either side \
         can be outliers without moving a fence. Of normal values 0.7 % are beyond the usual fences; of skewed ones such as handle \
         times 5 to 8 %, so take their logarithm before.\n\
         Formula: x < Q1 - k (Q3 - Q1) or x > Q3 + k (Q3 - Q1) with the quartiles Q1 and Q3 of the partition by linear interpolation \
         (type 7: at the positions (n - 1) / 4 and 3 (n - 1) / 4 of the ordered values, from 0).\n\
         Units: any number in; Boolean out.\n\
         NULL: a NULL is left out of the quartiles, and gives NULL.\n\
         Edges: a value on a fence is no outlier. Where half of the values are equal and both quartiles with them, every other value is \
         beyond. NaN and infinities are no measurements and count as NULL. The whole partition counts for every row: a frame or ORDER \
         BY in the OVER clause has no effect.\n\
         Source: J. W. Tukey, Exploratory Data Analysis, Addison-Wesley 1977; R. J. Hyndman and Y. Fan, The American Statistician 50 \
         (1996) 361-365 (quartiles).",
        TukeyOutlier::CALL.syntax,
    )
    .with_argument("x", "The values: integers, floats or decimals.")
    .with_argument(
        "k",
        "Constant number >= 0: how many interquartile ranges the fences are from the quartiles. Default 1.5; 3 for far outliers.",
    )
    .with_sql_example(
        "```sql
select handle_s, tukey_outlier(handle_s) over () as is_outlier
from (values (280), (290), (300), (310), (2000)) as contacts (handle_s)
order by handle_s
```
```text
+----------+------------+
| handle_s | is_outlier |
+----------+------------+
| 280      | false      |
| 290      | false      |
| 300      | false      |
| 310      | false      |
| 2000     | true       |
+----------+------------+
```",
    )
    .with_related_udf("modified_zscore")
    .with_related_udf("mad")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn fences(values: &[f64], k: f64) -> Option<(f64, f64)> {
        Fences::of(&mut values.to_vec(), k).map(|fences| (fences.low / fences.scale, fences.high / fences.scale))
    }

    #[test]
    fn fences_by_hand() {
        // positions 1 and 3: Q1 290, Q3 310; fences 290 - 30 and 310 + 30
        assert_eq!(fences(&[2000.0, 280.0, 310.0, 290.0, 300.0], 1.5), Some((260.0, 340.0)));
        // positions .75 and 2.25: Q1 1.75, Q3 3.25
        assert_eq!(fences(&[4.0, 3.0, 2.0, 1.0], 1.0), Some((0.25, 4.75)));
        assert_eq!(fences(&[7.0], 1.5), Some((7.0, 7.0)));
        assert_eq!(fences(&[], 1.5), None);
    }

    #[test]
    fn the_whole_range_of_numbers_has_fences() {
        let values = [-f64::MAX, -f64::MAX, f64::MAX, f64::MAX];
        let fences = Fences::of(&mut values.to_vec(), 0.0).unwrap();
        assert!(values.iter().all(|value| !fences.is_beyond(*value)), "{fences:?}");
        let fences = Fences::of(&mut [-f64::MAX, 0.0, 1.0, 2.0, f64::MAX].to_vec(), 1.5).unwrap();
        assert!(fences.is_beyond(f64::MAX) && fences.is_beyond(-f64::MAX) && !fences.is_beyond(2.0), "{fences:?}");
    }
}
