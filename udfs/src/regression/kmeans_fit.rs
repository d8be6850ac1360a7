//! `kmeans_fit(features, k [, seed])`: segments of rows that are alike, and `nearest_cluster(model, features)`.
//!
//! Formula: k centroids with the smallest sum of squared distances of the rows from the nearest one, features standardised.
//! Units:   any numbers in; centroids in the units of the features.
//! NULL:    a row with a NULL is left out and counted.
//! Edges:   numbers and Booleans only: strings have no distance.
//! Source:  see `kmeans.rs`.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::design::{Feature, FeatureKind, listed};
use super::fit::{Fit, Group, fit};
use super::kmeans::{canonical_order, clusters};
use super::model::{Record, count, count_field, list, list_field, number, number_field, text, text_field};
use super::triangle::Triangle;
use super::{FEATURES, NO_ROWS, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![fit(KmeansFit)]
}

/// Most clusters.
const MAX_K: f64 = 1000.0;

const DEFAULT_SEED: i64 = 42;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) k: usize,
    pub(super) seed: i64,
}

impl Options {
    /// # Errors
    /// A planning error for a number of clusters or a seed that is none.
    pub(super) fn of(constants: &Constants) -> Result<Self> {
        let function = constants.function();
        let k = match constants.number("k")? {
            Some(k) if (1.0..=MAX_K).contains(&k) && k.fract() == 0.0 => k as usize,
            Some(k) => return plan_err!("{function}: k must be an integer from 1 to {MAX_K}, got {k}"),
            None => return plan_err!("{function}: k must be an integer from 1 to {MAX_K}, got NULL"),
        };
        let seed = match constants.number("seed")? {
            None => DEFAULT_SEED,
            Some(seed) if seed.fract() == 0.0 && seed.abs() <= 9_007_199_254_740_992.0 => seed as i64,
            Some(seed) => return plan_err!("{function}: seed must be an integer from -2^53 to 2^53, got {seed}"),
        };
        Ok(Self { k, seed })
    }
}

/// Refuses strings: they have no distance.
///
/// # Errors
/// A planning error that names the feature.
pub(super) fn refuse_strings(function: &str, features: &[Feature]) -> Result<()> {
    match features.iter().find(|feature| feature.kind == FeatureKind::Text) {
        Some(feature) => plan_err!(
            "{function}: feature {} must be a number or a Boolean, got a string: strings have no distance; make Booleans \
             of its values, or fit each value by itself with group by",
            feature.name
        ),
        None => Ok(()),
    }
}

/// The parameters of a function that finds clusters.
pub(super) const PARAMETERS: &[Parameter] =
    &[FEATURES, Parameter::constant("k", Kind::Number), Parameter::constant("seed", Kind::Number)];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct KmeansFit;

pub(super) fn scale_fields() -> Fields {
    vec![text_field("feature"), number_field("mean"), number_field("stddev")].into()
}

pub(super) fn value_fields() -> Fields {
    vec![text_field("feature"), number_field("value")].into()
}

fn cluster_fields() -> Fields {
    vec![
        count_field("cluster"),
        count_field("n"),
        number_field("share_ratio"),
        number_field("inertia"),
        list_field("centroid", &value_fields()),
    ]
    .into()
}

/// The mean and the deviation of each feature; a feature with one value has a deviation of 0.
fn scales(rows: &[f64], width: usize) -> Vec<(f64, f64)> {
    let mut triangle = Triangle::default();
    triangle.widen(width);
    let mut block = vec![];
    for rows in (super::matrix::Rows { values: rows, width }).blocks() {
        block.clear();
        (0..width).for_each(|column| block.extend(rows.iter().filter_map(|row| row.get(column))));
        triangle.absorb(&block, &vec![1.0; rows.len()]);
    }
    let n = (triangle.rows as f64).sqrt();
    let scale = |column: usize| {
        let (mean, deviation) = (triangle.mean(column), triangle.length(column) / n);
        // What is below the rounding of the mean is no spread.
        (mean, if deviation <= 16.0 * f64::EPSILON * mean.abs() { 0.0 } else { deviation })
    };
    (0..width).map(scale).collect()
}

/// The number of a feature in standardised units; 0 of one that is constant.
pub(super) fn standardised(value: f64, mean: f64, deviation: f64) -> f64 {
    if deviation > 0.0 { (value - mean) / deviation } else { 0.0 }
}

/// Rows in their canonical order, standardised.
pub(super) struct ScaledRows<'a> {
    pub(super) names: Vec<&'a str>,
    /// The mean and the deviation of each feature.
    pub(super) scales: Vec<(f64, f64)>,
    pub(super) values: Vec<f64>,
}

impl<'a> ScaledRows<'a> {
    /// # Errors
    /// The reason why there is nothing to find.
    pub(super) fn of(options: &Options, group: &Group<'a>) -> Result<Self, String> {
        let (width, rows) = (group.layout.width, group.state.rows.as_slice());
        if rows.is_empty() {
            return Err(NO_ROWS.to_owned());
        }
        let (mut values, distinct) = canonical_order(rows, width, options.seed as u64);
        if distinct < options.k {
            return Err(format!("{distinct} distinct rows for {} clusters", options.k));
        }
        let scales = scales(&values, width);
        if !scales.iter().all(|(mean, deviation)| mean.is_finite() && deviation.is_finite()) {
            return Err("values too large for Float64".to_owned());
        }
        for row in values.chunks_exact_mut(width) {
            for (value, (mean, deviation)) in row.iter_mut().zip(&scales) {
                *value = standardised(*value, *mean, *deviation);
            }
        }
        let names = group.encoder.features.iter().map(|feature| feature.name.as_str()).collect();
        Ok(Self { names, scales, values })
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    /// The features with one value.
    pub(super) fn constant(&self) -> Vec<&'a str> {
        let features = self.names.iter().zip(&self.scales);
        features.filter(|(_, (_, deviation))| *deviation == 0.0).map(|(name, _)| *name).collect()
    }

    /// The value of `scales`.
    pub(super) fn scales(&self) -> Result<ScalarValue> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(&self.names)),
            Arc::new(Float64Array::from_iter_values(self.scales.iter().map(|(mean, _)| *mean))),
            Arc::new(Float64Array::from_iter_values(self.scales.iter().map(|(_, deviation)| *deviation))),
        ];
        list(&scale_fields(), columns)
    }

    /// The lists of `centroid`, of standardised ones, in the units of the features.
    pub(super) fn centroids<'b>(&self, centroids: impl Iterator<Item = &'b [f64]>) -> Result<ArrayRef> {
        let (mut names, mut values, mut k) = (vec![], vec![], 0);
        for centroid in centroids {
            k += 1;
            names.extend(self.names.iter().copied());
            values.extend(centroid.iter().zip(&self.scales).map(|(value, (mean, deviation))| mean + value * deviation));
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from_iter_values(names)), Arc::new(Float64Array::from_iter_values(values))];
        lists(&value_fields(), columns, vec![self.width(); k])
    }
}

/// Lists of structs, of so many rows each.
pub(super) fn lists(fields: &Fields, columns: Vec<ArrayRef>, lengths: Vec<usize>) -> Result<ArrayRef> {
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    let item = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(rows), None)?))
}

/// Sets the figures; the result is why some are missing.
fn fit_clusters(options: &Options, group: &Group<'_>, record: &mut Record) -> Result<Option<String>> {
    let rows = match ScaledRows::of(options, group) {
        Ok(rows) => rows,
        Err(reason) => return Ok(Some(reason)),
    };
    let width = rows.width();
    let found = clusters(&rows.values, width, options.k, options.seed as u64);
    let n = (rows.values.len() / width) as f64;
    let inertia: f64 = found.inertias.iter().sum();
    let total: f64 = rows.values.iter().map(|value| value * value).sum();
    record.set("is_converged", ScalarValue::Boolean(Some(found.is_converged)));
    record.set("iterations", count(found.passes)).set("inertia", number(inertia));
    record.set("explained_ratio", number(1.0 - inertia / total));
    record.set("silhouette", number(found.silhouette)).set("silhouette_n", count(found.silhouette_rows as i64));
    record.set("scales", rows.scales()?);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(1..=found.sizes.len() as i64)),
        Arc::new(Int64Array::from_iter_values(found.sizes.iter().copied())),
        Arc::new(Float64Array::from_iter_values(found.sizes.iter().map(|size| *size as f64 / n))),
        Arc::new(Float64Array::from_iter_values(found.inertias.iter().copied())),
        rows.centroids(found.centroids.chunks_exact(width))?,
    ];
    record.set("clusters", list(&cluster_fields(), columns)?);
    if !found.is_converged {
        return Ok(Some("rows still change their clusters after 500 passes".to_owned()));
    }
    let constant = rows.constant();
    Ok((!constant.is_empty()).then(|| format!("left out, constant: {}", listed(&constant))))
}

impl Fit for KmeansFit {
    const CALL: Call = Call {
        function: "kmeans_fit",
        syntax: "kmeans_fit(features, k [, seed])",
        parameters: PARAMETERS,
        arities: &[2, 3],
    };
    const FEATURES: usize = 0;
    const NUMBERS: &'static [usize] = &[];
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        Options::of(constants)
    }

    fn check(features: &[Feature]) -> Result<()> {
        refuse_strings("kmeans_fit", features)
    }

    fn fields() -> Fields {
        vec![
            text_field("method"),
            count_field("n"),
            count_field("n_missing"),
            Field::new("is_converged", DataType::Boolean, true),
            text_field("reason"),
            count_field("k"),
            count_field("iterations"),
            number_field("inertia"),
            number_field("explained_ratio"),
            number_field("silhouette"),
            count_field("silhouette_n"),
            list_field("scales", &scale_fields()),
            list_field("clusters", &cluster_fields()),
        ]
        .into()
    }

    fn finish(options: &Options, group: Group<'_>) -> Result<Vec<ScalarValue>> {
        let mut record = Record::try_new(&Self::fields())?;
        let n = group.state.rows.len() / group.layout.width.max(1);
        record.set("method", text("kmeans")).set("n", count(n as i64)).set("n_missing", count(group.state.missing));
        record.set("k", count(options.k as i64)).set("is_converged", ScalarValue::Boolean(Some(false)));
        if let Some(reason) = fit_clusters(options, &group, &mut record)? {
            record.set("reason", text(reason));
        }
        Ok(record.into_values())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                KmeansFit::CALL,
                "Segments of rows that are alike: k-means. Cluster 1 is the largest. Use `nearest_cluster(model, features)` for the \
                 cluster of a row, and compare silhouette for several k.\n\
                 Formula: each feature less its mean, over its standard deviation (of n); k centroids that make inertia, the sum of \
                 squared distances of the rows from the nearest one, small: ten starts by k-means++, each moved to the means of its \
                 rows until no row changes its cluster, and the best of them. explained_ratio = 1 - inertia / the same of one cluster. \
                 silhouette = mean of (b - a) / max(a, b), a the mean distance from the other rows of its cluster, b that from the \
                 nearest other cluster.\n\
                 Units: any numbers in; centroids in the units of the features, inertia in standard deviations, silhouette from -1 to 1.\n\
                 NULL: a row with a NULL, NaN or infinity is left out and counted in n_missing. Fewer distinct rows than k: NULL, with a \
                 reason.\n\
                 Edges: a Boolean is 0 or 1; strings are refused. A constant feature has no weight and is named in reason. Of more than \
                 20,000 rows a random sample of 20,000 chooses among the ten starts, and the best goes on over all rows; silhouette is \
                 that of a random sample of silhouette_n <= 2,000 rows. The same rows give the same clusters in any order. All rows are \
                 kept, 8 bytes for each number. DISTINCT is refused.\n\
                 Source: D. Arthur and S. Vassilvitskii, SODA 2007, 1027-1035; S. P. Lloyd, IEEE Transactions on Information Theory 28 \
                 (1982) 129-137; P. J. Rousseeuw, Journal of Computational and Applied Mathematics 20 (1987) 53-65.",
            )
            .with_argument("features", "Struct: the features, struct(a, b) or struct(x + 1 as a, y as b); numbers and Booleans.")
            .with_argument("k", "Constant integer from 1 to 1000: how many clusters.")
            .with_argument("seed", "Constant integer: of the random starts. Default 42.")
            .with_sql_example(
                "```sql
select c['cluster'] as cluster, c['n'] as n, round(c['centroid'][1]['value'], 2) as orders, c['centroid'][2]['value'] as amount
from (
    select unnest(kmeans_fit(struct(orders, amount), 2)['clusters']) as c
    from (values (1, 20), (2, 30), (1, 25), (9, 400), (11, 500)) as customers(orders, amount)
)
order by cluster;
+---------+---+--------+--------+
| cluster | n | orders | amount |
+---------+---+--------+--------+
| 1       | 3 | 1.33   | 25.0   |
| 2       | 2 | 10.0   | 450.0  |
+---------+---+--------+--------+
```",
            )
            .with_related_udf("nearest_cluster")
            .with_related_udf("gmm_fit")
            .build()
        });
        &PAGE
    }
}
