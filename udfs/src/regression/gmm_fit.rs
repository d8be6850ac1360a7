//! `gmm_fit(features, k [, seed])`: segments as a mixture of normal distributions.
//!
//! Formula: the k normal distributions with weights that maximize the likelihood of the rows, by expectation and maximization.
//! Units:   any numbers in; centroids and covariances in the units of the features.
//! NULL:    a row with a NULL is left out and counted.
//! Edges:   numbers and Booleans only; a constant feature is a reason.
//! Source:  see `gmm.rs`.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::design::{Feature, listed};
use super::fit::{Fit, Group, fit};
use super::gmm::{Component, mixture};
use super::kmeans::clusters;
use super::kmeans_fit::{Options, PARAMETERS, ScaledRows, lists, refuse_strings, scale_fields, value_fields};
use super::model::{Record, count, count_field, list, list_field, number, number_field, text, text_field};
use super::page;
use crate::args::{Call, Constants};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![fit(GmmFit)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GmmFit;

fn covariance_fields() -> Fields {
    vec![text_field("feature"), text_field("other"), number_field("value")].into()
}

fn cluster_fields() -> Fields {
    vec![
        count_field("cluster"),
        count_field("n"),
        number_field("share_ratio"),
        list_field("centroid", &value_fields()),
        list_field("covariance", &covariance_fields()),
    ]
    .into()
}

/// The lists of `covariance`, in the units of the features.
fn covariances(rows: &ScaledRows<'_>, components: &[Component]) -> Result<ArrayRef> {
    let width = rows.width();
    let (mut features, mut others, mut values) = (vec![], vec![], vec![]);
    for component in components {
        let lines = component.covariance.chunks_exact(width).zip(rows.names.iter().zip(&rows.scales));
        for (line, (feature, (_, deviation))) in lines {
            for (value, (other, (_, other_deviation))) in line.iter().zip(rows.names.iter().zip(&rows.scales)) {
                features.push(*feature);
                others.push(*other);
                values.push(value * deviation * other_deviation);
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(features)),
        Arc::new(StringArray::from_iter_values(others)),
        Arc::new(Float64Array::from_iter_values(values)),
    ];
    lists(&covariance_fields(), columns, vec![width * width; components.len()])
}

/// Sets the figures; the result is why some are missing.
fn fit_mixture(options: &Options, group: &Group<'_>, record: &mut Record) -> Result<Option<String>> {
    let rows = match ScaledRows::of(options, group) {
        Ok(rows) => rows,
        Err(reason) => return Ok(Some(reason)),
    };
    let constant = rows.constant();
    if !constant.is_empty() {
        return Ok(Some(format!("constant, leave it out: {}", listed(&constant))));
    }
    let width = rows.width();
    let begin = clusters(&rows.values, width, options.k, options.seed as u64);
    let Some(found) = mixture(&rows.values, width, &begin) else {
        return Ok(Some("a cluster has no rows left; choose a smaller k".to_owned()));
    };
    record.set("is_converged", ScalarValue::Boolean(Some(found.is_converged))).set("iterations", count(found.passes));
    let n = (rows.values.len() / width) as f64;
    // The density of what is not standardised is smaller by the deviations.
    let log_likelihood =
        found.log_likelihood - n * rows.scales.iter().map(|(_, deviation)| deviation.ln()).sum::<f64>();
    let (k, width) = (options.k as f64, width as f64);
    let parameters = k * (width + width * (width + 1.0) / 2.0) + k - 1.0;
    record.set("log_likelihood", number(log_likelihood));
    record.set("aic", number(2.0 * parameters - 2.0 * log_likelihood));
    record.set("bic", number(parameters * n.ln() - 2.0 * log_likelihood));
    record.set("scales", rows.scales()?);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(1..=found.components.len() as i64)),
        Arc::new(Int64Array::from_iter_values(found.sizes.iter().copied())),
        Arc::new(Float64Array::from_iter_values(found.components.iter().map(|component| component.weight))),
        rows.centroids(found.components.iter().map(|component| component.mean.as_slice()))?,
        covariances(&rows, &found.components)?,
    ];
    record.set("clusters", list(&cluster_fields(), columns)?);
    Ok((!found.is_converged).then(|| "the likelihood still grows after 2000 passes".to_owned()))
}

impl Fit for GmmFit {
    const CALL: Call =
        Call { function: "gmm_fit", syntax: "gmm_fit(features, k [, seed])", parameters: PARAMETERS, arities: &[2, 3] };
    const FEATURES: usize = 0;
    const NUMBERS: &'static [usize] = &[];
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        Options::of(constants)
    }

    fn check(features: &[Feature]) -> Result<()> {
        refuse_strings("gmm_fit", features)
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
            number_field("log_likelihood"),
            number_field("aic"),
            number_field("bic"),
            list_field("scales", &scale_fields()),
            list_field("clusters", &cluster_fields()),
        ]
        .into()
    }

    fn finish(options: &Options, group: Group<'_>) -> Result<Vec<ScalarValue>> {
        let mut record = Record::try_new(&Self::fields())?;
        let n = group.state.rows.len() / group.layout.width.max(1);
        record.set("method", text("gmm")).set("n", count(n as i64)).set("n_missing", count(group.state.missing));
        record.set("k", count(options.k as i64)).set("is_converged", ScalarValue::Boolean(Some(false)));
        if let Some(reason) = fit_mixture(options, &group, &mut record)? {
            record.set("reason", text(reason));
        }
        Ok(record.into_values())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                GmmFit::CALL,
                "Segments as a mixture of normal distributions: clusters of different sizes, and long ones, which k-means cuts. Use \
                 `nearest_cluster(model, features)` for the most probable cluster of a row, and the k with the smallest bic.\n\
                 Formula: share_ratio, centroid and covariance of k normal distributions that maximize the likelihood of the rows, by \
                 expectation and maximization from the clusters of kmeans_fit, until a pass gains less than 1e-10 per row; features \
                 standardised, 1e-6 added to each variance. n = rows that are most probable in the cluster. aic = 2 p - 2 \
                 log_likelihood, bic = p ln n - 2 log_likelihood with p = k (d + d (d + 1) / 2) + k - 1 for d features.\n\
                 Units: any numbers in; centroids and covariances in the units of the features.\n\
                 NULL: a row with a NULL, NaN or infinity is left out and counted in n_missing. Fewer distinct rows than k, or a constant \
                 feature: NULL, with a reason.\n\
                 Edges: a Boolean is 0 or 1; strings are refused. Cluster 1 has the largest share_ratio. The same rows give the same \
                 clusters in any order. All rows are kept, 8 bytes for each number. DISTINCT is refused.\n\
                 Source: A. P. Dempster, N. M. Laird and D. B. Rubin, Journal of the Royal Statistical Society B 39 (1977) 1-38; \
                 G. Schwarz, Annals of Statistics 6 (1978) 461-464 (bic).",
            )
            .with_argument("features", "Struct: the features, struct(a, b) or struct(x + 1 as a, y as b); numbers and Booleans.")
            .with_argument("k", "Constant integer from 1 to 1000: how many clusters.")
            .with_argument("seed", "Constant integer: of the random starts. Default 42.")
            .with_sql_example(
                "```sql
select c['cluster'] as cluster, round(c['share_ratio'], 2) as share_ratio, round(c['centroid'][1]['value'], 1) as orders
from (
    select unnest(gmm_fit(struct(orders, amount), 2)['clusters']) as c
    from (values (1, 20), (2, 30), (1, 25), (2, 45), (9, 400), (11, 500), (10, 380)) as customers(orders, amount)
)
order by cluster;
+---------+-------------+--------+
| cluster | share_ratio | orders |
+---------+-------------+--------+
| 1       | 0.57        | 1.5    |
| 2       | 0.43        | 10.0   |
+---------+-------------+--------+
```",
            )
            .with_related_udf("kmeans_fit")
            .with_related_udf("nearest_cluster")
            .build()
        });
        &PAGE
    }
}
