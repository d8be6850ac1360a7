//! The combined policy of a user's roles: row filters and column masks as expressions over a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, or};

use super::role::{Role, RoleExpr, TableName, display_name};
use super::security_barrier::BarrierTable;
use crate::error::Error;
use crate::source::nearest;
use crate::types::type_name;

/// The combined policy of a user's roles.
pub(in crate::session) struct AccessPolicy {
    pub(super) roles: Vec<Arc<Role>>,
    /// Plans what is behind a security barrier. Its settings are the project's, whatever a user sets.
    pub(super) state: SessionState,
}

impl fmt::Debug for AccessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        f.debug_struct("AccessPolicy").field("roles", &names).finish_non_exhaustive()
    }
}

/// Row filter and column masks of one table.
#[derive(Debug, Default)]
pub(super) struct RowColumnPolicy {
    /// The rows that are visible; `None` shows all.
    pub(super) filter: Option<Expr>,
    /// Masks by column name; other columns are shown as they are.
    pub(super) columns: HashMap<String, Expr>,
}

impl AccessPolicy {
    pub(super) fn new(roles: Vec<Arc<Role>>, state: SessionState) -> Self {
        Self { roles, state }
    }

    /// Returns true if a role grants the table.
    pub(super) fn grants(&self, name: &TableName) -> bool {
        self.roles.iter().any(|role| role.grants(name))
    }

    /// The roles that apply to a table: those that grant it. If none does, the table is read through a view, and every
    /// role that restricts it applies.
    fn applicable_roles(&self, name: &TableName) -> Vec<&Role> {
        let granting: Vec<&Role> = self.roles.iter().map(Arc::as_ref).filter(|role| role.grants(name)).collect();
        if !granting.is_empty() {
            return granting;
        }
        self.roles.iter().map(Arc::as_ref).filter(|role| role.restricts(name)).collect()
    }

    /// Combines the roles' restrictions of a table: a row is visible if one of the roles shows it, and each of its columns
    /// is as open as the most permissive of the roles that show the row.
    fn row_column_policy(&self, name: &TableName, input: &LogicalPlan) -> DataFusionResult<RowColumnPolicy> {
        let roles = self.applicable_roles(name);
        let mut filters = Vec::with_capacity(roles.len());
        for role in &roles {
            filters.push(match role.rows.get(name) {
                None => None,
                Some(expr) => {
                    let filter = expr.plan(&self.state, input)?;
                    match filter.get_type(input.schema()).map_err(|error| expr.located(error))? {
                        DataType::Boolean => Some(filter),
                        DataType::Null => Some(cast(filter, DataType::Boolean)),
                        other => {
                            let got = type_name(&other);
                            return Err(expr.error(format!("a condition is wanted, this is {got}")));
                        }
                    }
                }
            });
        }
        let mut policy = RowColumnPolicy::default();
        if filters.iter().all(Option::is_some) {
            policy.filter = filters.iter().flatten().cloned().reduce(or);
        }
        let masked: BTreeSet<&String> =
            roles.iter().filter_map(|role| role.masks.get(name)).flat_map(BTreeMap::keys).collect();
        for column in masked {
            let exprs: Vec<Option<&RoleExpr>> =
                roles.iter().map(|role| role.masks.get(name).and_then(|masks| masks.get(column))).collect();
            let (index, data_type) = self.masked_column(name, column, &exprs, input)?;
            let unmasked = Expr::Column(Column::from(input.schema().qualified_field(index)));
            let mut values = Vec::with_capacity(exprs.len());
            for expr in &exprs {
                values.push(match expr {
                    None => None,
                    Some(expr) => {
                        let value = expr.plan(&self.state, input)?;
                        let got = value.get_type(input.schema()).map_err(|error| expr.located(error))?;
                        if got != data_type && got != DataType::Null && !can_cast_types(&got, &data_type) {
                            let (got, wanted) = (type_name(&got), type_name(&data_type));
                            return Err(expr.error(format!("`{column}` is {wanted}, this is {got}")));
                        }
                        Some(cast(value, data_type.clone()))
                    }
                });
            }
            if let Some(mask) = mask_expr(&filters, &values, &unmasked) {
                policy.columns.insert(column.clone(), mask);
            }
        }
        Ok(policy)
    }

    /// Evaluates the row filter and the masks of one role over a row of NULLs: `'hidden'` in a column of integers can be
    /// planned, but not computed.
    ///
    /// # Errors
    /// An expression that cannot be computed, with its position.
    pub(super) fn evaluate_once(&self, role: &Role, name: &TableName, input: &LogicalPlan) -> DataFusionResult<()> {
        let schema = input.schema();
        let fields: Vec<Field> = schema.fields().iter().map(|field| Field::clone(field).with_nullable(true)).collect();
        let nulls = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), nulls, &options)?;
        let evaluate = |expr: &RoleExpr, wanted: &DataType| {
            let value = cast(expr.plan(&self.state, input)?, wanted.clone());
            let evaluated = self.state.create_physical_expr(value, schema).and_then(|value| value.evaluate(&row));
            evaluated.map(drop).map_err(|error| expr.located(error))
        };
        if let Some(filter) = role.rows.get(name) {
            evaluate(filter, &DataType::Boolean)?;
        }
        for (column, mask) in role.masks.get(name).into_iter().flatten() {
            let (_, data_type) = self.masked_column(name, column, &[Some(mask)], input)?;
            evaluate(mask, &data_type)?;
        }
        Ok(())
    }

    /// Index and type of a masked column.
    fn masked_column(
        &self,
        name: &TableName,
        column: &str,
        exprs: &[Option<&RoleExpr>],
        input: &LogicalPlan,
    ) -> DataFusionResult<(usize, DataType)> {
        let found = input.schema().fields().iter().enumerate().find(|(_, field)| field.name() == column);
        match found {
            Some((index, field)) => Ok((index, field.data_type().clone())),
            None => {
                let names = input.schema().fields().iter().map(|field| field.name().as_str());
                let near = nearest(column, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let title = format!("`{}` has no column `{column}`{near}", display_name(name));
                Err(match exprs.iter().flatten().next() {
                    Some(expr) => Error::at(&expr.source, None, title).into(),
                    None => DataFusionError::Plan(title),
                })
            }
        }
    }

    /// Wraps a table that the roles restrict in a barrier with its row filter and masks. Returns other tables unchanged.
    pub(super) fn filtered(
        &self,
        name: &TableName,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        if !self.applicable_roles(name).iter().any(|role| role.restricts(name)) {
            return Ok(table);
        }
        let reference = TableReference::partial(name.0.clone(), name.1.clone());
        let scan = LogicalPlanBuilder::scan(reference, provider_as_source(Arc::clone(&table)), None)?.build()?;
        let policy = self.row_column_policy(name, &scan)?;
        Ok(Arc::new(BarrierTable::new(display_name(name), scan, table.table_type(), policy, self.state.clone())))
    }

    /// Wraps a granted view in a barrier, so that statements do not see what it is made of. Returns tables unchanged.
    pub(super) fn authorized(
        &self,
        name: &TableName,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        if table.get_logical_plan().is_none() {
            return Ok(table);
        }
        let reference = TableReference::partial(name.0.clone(), name.1.clone());
        let scan = LogicalPlanBuilder::scan(reference, provider_as_source(Arc::clone(&table)), None)?.build()?;
        Ok(Arc::new(BarrierTable::new(
            display_name(name),
            scan,
            table.table_type(),
            RowColumnPolicy::default(),
            self.state.clone(),
        )))
    }
}

/// The expression for a masked column, from each role's row filter (`None`: all rows) and mask (`None`: unmasked).
/// `None` if the column is unmasked in all visible rows.
fn mask_expr(filters: &[Option<Expr>], values: &[Option<Expr>], unmasked: &Expr) -> Option<Expr> {
    let mut roles: Vec<(&Option<Expr>, &Expr)> =
        filters.iter().zip(values).map(|(filter, value)| (filter, value.as_ref().unwrap_or(unmasked))).collect();
    // roles that do not mask the column come first
    roles.sort_by_key(|(_, value)| *value != unmasked);
    let mut cases = Vec::new();
    let mut otherwise = None;
    for (filter, value) in roles {
        match filter {
            // a condition that is NULL shows no row
            Some(filter) => cases.push((Box::new(filter.clone().is_true()), Box::new(value.clone()))),
            None => {
                otherwise = Some(Box::new(value.clone()));
                break;
            }
        }
    }
    // rows that no role shows are filtered out: the last role decides for the remaining ones
    let otherwise = otherwise.or_else(|| cases.pop().map(|(_, value)| value))?;
    let mask = if cases.iter().all(|(_, value)| *value == otherwise) {
        *otherwise
    } else {
        Expr::Case(Case::new(None, cases, Some(otherwise)))
    };
    (mask != *unmasked).then_some(mask)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn combined(roles: &[(Option<&str>, Option<&str>)]) -> String {
        let filters: Vec<_> = roles.iter().map(|(filter, _)| filter.map(col)).collect();
        let values: Vec<_> = roles.iter().map(|(_, value)| value.map(lit)).collect();
        mask_expr(&filters, &values, &col("raw")).map_or("raw".to_owned(), |mask| mask.to_string())
    }

    #[test]
    fn a_column_is_as_open_as_the_most_permissive_role_that_shows_the_row() {
        // one role
        assert_eq!(combined(&[(None, Some("mask"))]), "Utf8(\"mask\")");
        assert_eq!(combined(&[(Some("row"), Some("mask"))]), "Utf8(\"mask\")");
        // one that shows all of it wherever it shows the row
        assert_eq!(combined(&[(None, Some("mask")), (None, None)]), "raw");
        let case = "CASE WHEN row IS TRUE THEN raw ELSE Utf8(\"mask\") END";
        assert_eq!(combined(&[(None, Some("mask")), (Some("row"), None)]), case);
        assert_eq!(combined(&[(Some("other"), Some("mask")), (Some("row"), None)]), case);
        // equal masks are one
        assert_eq!(combined(&[(Some("a"), Some("mask")), (Some("b"), Some("mask"))]), "Utf8(\"mask\")");
        assert_eq!(combined(&[(Some("a"), None), (Some("b"), None)]), "raw");
    }
}
