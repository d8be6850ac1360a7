//! `nearest_cluster(model, features)`: the cluster of a row by the model of `kmeans_fit` or `gmm_fit`.
//!
//! Formula: the cluster whose centroid is nearest, in the standardised features of the model; of `gmm_fit` the most probable.
//! Units:   the number of the cluster, 1 the largest.
//! NULL:    no model, a model without clusters, and a NULL feature give NULL.
//! Edges:   features are matched by name; of equally near clusters the first.
//! Source:  S. P. Lloyd 1982.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::design::{FeatureEncoder, FeatureKind, features, name_features};
use super::gmm::{Component, Density};
use super::kmeans::nearest;
use super::kmeans_fit::standardised;
use super::reader::list_rows;
use super::{FEATURES, page};
use crate::args::{Call, Kind, Parameter};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(NearestCluster { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "nearest_cluster",
    syntax: "nearest_cluster(model, features)",
    parameters: &[Parameter::column("model", Kind::Model), FEATURES],
    arities: &[2],
};

fn numbers(rows: &ArrayRef, name: &str) -> Option<Float64Array> {
    let column = cast(rows.as_struct_opt()?.column_by_name(name)?, &DataType::Float64).ok()?;
    column.as_primitive_opt::<Float64Type>().cloned()
}

fn strings(rows: &ArrayRef, name: &str) -> Option<StringArray> {
    let column = cast(rows.as_struct_opt()?.column_by_name(name)?, &DataType::Utf8).ok()?;
    column.as_string_opt::<i32>().cloned()
}

fn integers(rows: &ArrayRef, name: &str) -> Option<Int64Array> {
    let column = cast(rows.as_struct_opt()?.column_by_name(name)?, &DataType::Int64).ok()?;
    column.as_primitive_opt::<Int64Type>().cloned()
}

/// A column of models.
struct Models {
    scale_ends: Vec<(usize, usize)>,
    features: StringArray,
    means: Float64Array,
    deviations: Float64Array,
    cluster_ends: Vec<(usize, usize)>,
    clusters: Int64Array,
    centroid_ends: Vec<(usize, usize)>,
    values: Float64Array,
    /// Of a mixture.
    shapes: Option<Shapes>,
}

/// The weight of each cluster, and the rows of its covariance.
struct Shapes {
    weights: Float64Array,
    ends: Vec<(usize, usize)>,
    values: Float64Array,
}

/// One model for features that are given.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    /// The index of each feature, its mean and its deviation.
    scales: Vec<(usize, f64, f64)>,
    labels: Vec<i64>,
    centroids: Vec<f64>,
    /// Of a mixture.
    densities: Vec<Density>,
}

impl Models {
    fn try_new(models: &ArrayRef) -> Option<Self> {
        let models = models.as_struct_opt()?;
        let (scale_ends, scales) = list_rows(models.column_by_name("scales")?)?;
        let (cluster_ends, clusters) = list_rows(models.column_by_name("clusters")?)?;
        let (centroid_ends, centroids) = list_rows(clusters.as_struct_opt()?.column_by_name("centroid")?)?;
        let shapes = match clusters.as_struct_opt()?.column_by_name("covariance") {
            Some(covariances) => {
                let (ends, rows) = list_rows(covariances)?;
                Some(Shapes { weights: numbers(&clusters, "share_ratio")?, ends, values: numbers(&rows, "value")? })
            }
            None => None,
        };
        Some(Self {
            shapes,
            scale_ends,
            features: strings(&scales, "feature")?,
            means: numbers(&scales, "mean")?,
            deviations: numbers(&scales, "stddev")?,
            cluster_ends,
            clusters: integers(&clusters, "cluster")?,
            centroid_ends,
            values: numbers(&centroids, "value")?,
        })
    }

    /// Whether two models are the same: rows of a join often have the same one.
    fn are_equal(&self, one: usize, other: usize) -> bool {
        let of = |ends: &[(usize, usize)], index: usize| ends.get(index).copied().unwrap_or_default();
        let ((a, b), (c, d)) = (of(&self.scale_ends, one), of(&self.scale_ends, other));
        let ((e, f), (g, h)) = (of(&self.cluster_ends, one), of(&self.cluster_ends, other));
        let (i, j) = (of(&self.centroid_ends, e).0, of(&self.centroid_ends, g).0);
        let count = of(&self.centroid_ends, f.saturating_sub(1)).1.saturating_sub(i);
        let have_same_shapes = self.shapes.as_ref().is_none_or(|Shapes { weights, ends, values }| {
            let (i, j) = (of(ends, e).0, of(ends, g).0);
            let count = of(ends, f.saturating_sub(1)).1.saturating_sub(i);
            weights.values().get(e..f) == weights.values().get(g..h)
                && values.values().get(i..i + count) == values.values().get(j..j + count)
        });
        have_same_shapes
            && b - a == d - c
            && f - e == h - g
            && (0..b - a).all(|row| {
                self.features.value(a + row) == self.features.value(c + row)
                    && self.means.value(a + row) == self.means.value(c + row)
                    && self.deviations.value(a + row) == self.deviations.value(c + row)
            })
            && (0..f - e).all(|row| self.clusters.value(e + row) == self.clusters.value(g + row))
            && self.values.values().get(i..i + count) == self.values.values().get(j..j + count)
    }

    /// # Errors
    /// When a feature of the model is not given.
    fn model(&self, index: usize, encoder: &FeatureEncoder) -> Result<Option<Model>> {
        let (start, end) = self.scale_ends.get(index).copied().unwrap_or_default();
        let (first, last) = self.cluster_ends.get(index).copied().unwrap_or_default();
        if start >= end || first >= last {
            return Ok(None);
        }
        let mut scales = vec![];
        for row in start..end {
            let name = self.features.value(row);
            let Some(index) = encoder.features.iter().position(|feature| feature.name == name) else {
                let names: Vec<&str> = encoder.features.iter().map(|feature| feature.name.as_str()).collect();
                return exec_err!(
                    "nearest_cluster: the model has the feature {name}, features has {}",
                    names.join(", ")
                );
            };
            if encoder.features.get(index).is_some_and(|feature| feature.kind == FeatureKind::Text) {
                return exec_err!("nearest_cluster: feature {name} is a number in the model, got a string");
            }
            scales.push((index, self.means.value(row), self.deviations.value(row)));
        }
        let mut model = Model { scales, labels: vec![], centroids: vec![], densities: vec![] };
        for row in first..last {
            model.labels.push(self.clusters.value(row));
            let (start, end) = self.centroid_ends.get(row).copied().unwrap_or_default();
            if end - start != model.scales.len() {
                return exec_err!("nearest_cluster: a centroid of the model has {} values", end - start);
            }
            for (value, (_, mean, deviation)) in (start..end).zip(&model.scales) {
                model.centroids.push(standardised(self.values.value(value), *mean, *deviation));
            }
        }
        if let Some(Shapes { weights, ends, values }) = &self.shapes {
            let width = model.scales.len();
            for (row, mean) in (first..last).zip(model.centroids.chunks_exact(width.max(1))) {
                let (start, end) = ends.get(row).copied().unwrap_or_default();
                let value = |index: usize| {
                    let (row, column) = (model.scales[index / width].2, model.scales[index % width].2);
                    values.value(start + index) / row / column
                };
                let covariance = (0..end - start).map(value).collect::<Vec<f64>>();
                let component = Component { weight: weights.value(row), mean: mean.to_vec(), covariance };
                match Density::of(&component).filter(|_| end - start == width * width) {
                    Some(density) => model.densities.push(density),
                    None => return exec_err!("nearest_cluster: a covariance of the model is not positive definite"),
                }
            }
        }
        Ok(Some(model))
    }
}

impl Model {
    /// Of a mixture the most probable cluster, else that of the nearest centroid; of equal ones the first.
    fn cluster(&self, columns: &[Vec<f64>], row: usize, point: &mut Vec<f64>) -> Option<i64> {
        point.clear();
        for (index, mean, deviation) in &self.scales {
            let value = columns.get(*index)?.get(row).filter(|value| !value.is_nan())?;
            point.push(standardised(*value, *mean, *deviation));
        }
        let mut solved = Vec::with_capacity(point.len());
        let mut best: Option<(usize, f64)> = None;
        for (index, density) in self.densities.iter().enumerate() {
            let log = density.log(point, &mut solved);
            if best.is_none_or(|(_, largest)| log > largest) {
                best = Some((index, log));
            }
        }
        let cluster = best.map_or_else(|| nearest(point, &self.centroids).0, |(index, _)| index);
        self.labels.get(cluster).copied()
    }
}

/// Refuses what is no model of `kmeans_fit`.
fn check(data_type: &DataType) -> Result<()> {
    let fields = match data_type {
        DataType::Null => return Ok(()),
        DataType::Struct(fields) => fields,
        other => return plan_err!("nearest_cluster: model must be the struct of kmeans_fit or gmm_fit, got {other}"),
    };
    let is_list = |field: &Field| matches!(field.data_type(), DataType::List(_) | DataType::LargeList(_));
    let has = |name: &str| fields.iter().any(|field| field.name() == name && is_list(field));
    if !(has("scales") && has("clusters")) {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        return plan_err!(
            "nearest_cluster: model must be the struct of kmeans_fit or gmm_fit, with scales and clusters; got one with {}",
            names.join(", ")
        );
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NearestCluster {
    signature: Signature,
}

impl ScalarUDFImpl for NearestCluster {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = CALL.coerce(arg_types)?;
        if let [model, given] = coerced.as_slice() {
            check(model)?;
            features(CALL.function, given)?;
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn simplify(&self, mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(named) = args.get(1).and_then(name_features) else { return Ok(ExprSimplifyResult::Original(args)) };
        features(CALL.function, &info.get_data_type(&named)?)?;
        if let Some(argument) = args.get_mut(1) {
            *argument = named;
        }
        let function = Arc::new(ScalarUDF::from(Self { signature: CALL.signature() }));
        Ok(ExprSimplifyResult::Simplified(function.call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [model, given] = args.args.as_slice() else {
            return plan_err!("nearest_cluster: takes 2 arguments, {}, got {}", CALL.syntax, args.args.len());
        };
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let models = match model {
            ColumnarValue::Scalar(model) => model.to_array()?,
            ColumnarValue::Array(models) => Arc::clone(models),
        };
        let given = given.to_array(row_count)?;
        let mut encoder = FeatureEncoder::new(features(CALL.function, given.data_type())?);
        let columns = encoder.encode(&given)?;
        let mut found: Vec<Option<i64>> = vec![None; row_count];
        if !models.data_type().is_null() {
            let wrong = || exec_datafusion_err!("nearest_cluster: model is not the struct of kmeans_fit or gmm_fit");
            let parts = Models::try_new(&models).ok_or_else(wrong)?;
            let mut last: Option<(usize, Option<Model>)> = None;
            let mut point = vec![];
            for (row, found) in found.iter_mut().enumerate() {
                let at = if models.len() == 1 { 0 } else { row };
                if models.is_null(at) {
                    continue;
                }
                match &mut last {
                    Some((last, _)) if *last == at || parts.are_equal(*last, at) => *last = at,
                    _ => last = Some((at, parts.model(at, &encoder)?)),
                }
                let model = last.as_ref().and_then(|(_, model)| model.as_ref());
                *found = model.and_then(|model| model.cluster(&columns, row, &mut point));
            }
        }
        let found = Int64Array::from(found);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(found)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "The cluster of a row by a model of kmeans_fit or gmm_fit, also of a row that the model has not seen.\n\
         Formula: the cluster whose centroid has the smallest squared distance, with each feature less its mean, over its standard \
         deviation, as they are in scales of the model. Of gmm_fit the most probable one: the largest share_ratio * normal density.\n\
         Units: the number of the cluster, 1 the largest.\n\
         NULL: a NULL model, a model without clusters, and a feature of the model that is NULL, NaN or infinite give NULL.\n\
         Edges: features are matched with those of the model by name, whatever their order; others are ignored. A feature of the \
         model that is not given is an error. Of equally near clusters the first.\n\
         Source: S. P. Lloyd, IEEE Transactions on Information Theory 28 (1982) 129-137.",
    )
    .with_argument("model", "The struct that kmeans_fit or gmm_fit returned.")
    .with_argument("features", "Struct: the features, struct(a, b) or struct(x + 1 as a, y as b); numbers and Booleans.")
    .with_sql_example(
        "```sql
with customers(customer, orders, amount) as (
    values ('ann', 1, 20), ('bob', 2, 30), ('cem', 1, 25), ('dee', 9, 400), ('eva', 11, 500)
),
fitted as (select kmeans_fit(struct(orders, amount), 2) as model from customers)
select customer, nearest_cluster(model, struct(orders, amount)) as cluster
from customers cross join fitted
order by customer;
+----------+---------+
| customer | cluster |
+----------+---------+
| ann      | 1       |
| bob      | 1       |
| cem      | 1       |
| dee      | 2       |
| eva      | 2       |
+----------+---------+
```",
    )
    .with_related_udf("kmeans_fit")
    .with_related_udf("gmm_fit")
    .build()
});
