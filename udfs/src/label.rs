//! `standard_label(column_name, label [, synonyms])`: the standard form of a label.
//!
//! Formula: the `standard_label` of the synonym with this column name and label; without one the label itself.
//! Units:   strings in and out.
//! NULL:    a NULL label gives NULL. A NULL column name has no synonyms, and a synonym with a NULL field counts for nothing.
//! Edges:   labels are compared as they are: clean case and blanks first. Of several synonyms of one label the first in the order
//!          of their standard labels counts, so that rows are never doubled as by a join.
//! Source:  data model of cxql, view `label_synonyms`. cxql adds the third argument, this crate does not know its views.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

const NAME: &str = "standard_label";
const PARAMETERS: [&str; 3] = ["column_name", "label", "synonyms"];
/// The fields of a synonym.
const FIELDS: [&str; 3] = ["column_name", "label", "standard_label"];

pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(StandardLabel::new()))]
}

/// Standard labels by column name and label.
#[derive(Debug, Default)]
struct Synonyms<'a>(HashMap<&'a str, HashMap<&'a str, &'a str>>);

impl<'a> Synonyms<'a> {
    /// Adds a synonym. Of several for one label the least standard label counts, whatever the order in which they are added.
    fn add(&mut self, column_name: &'a str, label: &'a str, standard_label: &'a str) {
        let labels = self.0.entry(column_name).or_default();
        let known = labels.entry(label).or_insert(standard_label);
        *known = (*known).min(standard_label);
    }

    fn of_column(&self, column_name: &str) -> Option<&HashMap<&'a str, &'a str>> {
        self.0.get(column_name)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StandardLabel {
    signature: Signature,
}

impl StandardLabel {
    fn new() -> Self {
        // as for sentiment, an optional argument is checked in `return_field_from_args`
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(PARAMETERS.map(str::to_owned).to_vec());
        Self { signature }
    }
}

impl ScalarUDFImpl for StandardLabel {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = arg_types.iter().enumerate().map(|(index, given)| match given {
            DataType::Null if index < 2 => DataType::Utf8,
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.get(1).cloned().unwrap_or(DataType::Utf8))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let fields = args.arg_fields;
        if fields.len() == 2 {
            return plan_err!(
                "{NAME}: the synonyms are missing: {NAME}(column_name, label, synonyms); cxql adds those of the view \
                 label_synonyms in statements and views, not in a check, alert or role"
            );
        }
        if fields.len() != 3 {
            return plan_err!("{NAME}: got {} arguments, wanted 2: {NAME}(column_name, label)", fields.len());
        }
        for (parameter, field) in PARAMETERS.iter().zip(fields).take(2) {
            if !field.data_type().is_string() {
                return plan_err!("{NAME}: {parameter} must be a string, got {}", field.data_type());
            }
        }
        if !are_synonyms(fields[2].data_type()) {
            let wanted = FIELDS.join(", ");
            return plan_err!(
                "{NAME}: synonyms must be a list of structs of the strings {wanted}, got {}",
                fields[2].data_type()
            );
        }
        Ok(Arc::new(Field::new(NAME, fields[1].data_type().clone(), fields[1].is_nullable())))
    }

    /// The synonyms count as evaluated conditionally: the optimizer would otherwise take a subquery that several calls share out
    /// of them, as a column with the whole list in each row.
    fn short_circuits(&self) -> bool {
        true
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        let (eager, lazy) = args.split_at(args.len().min(2));
        Some((eager.iter().collect(), lazy.iter().collect()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [column_name, label, synonyms] = args.args.as_slice() else {
            return exec_err!("{NAME}: {} arguments after planning", args.args.len());
        };
        let list = match synonyms {
            ColumnarValue::Scalar(ScalarValue::List(list)) if list.len() == 1 && list.is_valid(0) => {
                Some(list.value(0))
            }
            // no synonyms at all
            ColumnarValue::Scalar(list) if list.is_null() => None,
            _ => return exec_err!("{NAME}: synonyms must be a constant or a subquery that gives one value"),
        };
        let columns = list.as_ref().map(synonym_columns).transpose()?;
        let synonyms = columns.as_ref().map(synonyms_of).unwrap_or_default();
        match (column_name, label) {
            (ColumnarValue::Scalar(column_name), ColumnarValue::Scalar(label)) => {
                let labels = standard_labels(&column_name.to_array()?, &label.to_array()?, &synonyms)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&labels, 0)?))
            }
            (ColumnarValue::Scalar(column_name), ColumnarValue::Array(labels)) => {
                standard_labels(&column_name.to_array()?, labels, &synonyms).map(ColumnarValue::Array)
            }
            (ColumnarValue::Array(names), label) => {
                standard_labels(names, &label.to_array(args.number_rows)?, &synonyms).map(ColumnarValue::Array)
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// Returns true for lists of structs with the fields of a synonym, and for NULL.
fn are_synonyms(data_type: &DataType) -> bool {
    let DataType::List(item) = data_type else { return data_type.is_null() };
    let DataType::Struct(fields) = item.data_type() else { return false };
    FIELDS.iter().all(|name| fields.find(name).is_some_and(|(_, field)| field.data_type().is_string()))
}

/// The fields of a list of synonyms, each as strings.
fn synonym_columns(list: &ArrayRef) -> Result<[StringViewArray; 3]> {
    let synonyms = list.as_struct();
    let column = |name: &str| match synonyms.column_by_name(name) {
        Some(column) => string_views(column),
        None => exec_err!("{NAME}: a synonym has no {name}"),
    };
    Ok([column(FIELDS[0])?, column(FIELDS[1])?, column(FIELDS[2])?])
}

fn synonyms_of(columns: &[StringViewArray; 3]) -> Synonyms<'_> {
    let [names, labels, standard_labels] = columns;
    let mut synonyms = Synonyms::default();
    for ((name, label), standard_label) in names.iter().zip(labels).zip(standard_labels) {
        if let (Some(name), Some(label), Some(standard_label)) = (name, label, standard_label) {
            synonyms.add(name, label, standard_label);
        }
    }
    synonyms
}

fn string_views(strings: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(strings, &DataType::Utf8View)?.as_string_view().clone())
}

/// The standard form of each label, in the type of the labels. `names` has the column name of each label, or one for all.
fn standard_labels(names: &ArrayRef, labels: &ArrayRef, synonyms: &Synonyms<'_>) -> Result<ArrayRef> {
    let (names, views) = (string_views(names)?, string_views(labels)?);
    let name = |row: usize| names.is_valid(row).then(|| names.value(row));
    let standard: StringViewArray = if names.len() == 1 {
        let Some(synonyms) = name(0).and_then(|name| synonyms.of_column(name)) else { return Ok(Arc::clone(labels)) };
        views.iter().map(|label| label.map(|label| synonyms.get(label).copied().unwrap_or(label))).collect()
    } else {
        let standard = |(row, label)| {
            let synonyms = name(row).and_then(|name| synonyms.of_column(name));
            synonyms.and_then(|synonyms| synonyms.get(label).copied()).unwrap_or(label)
        };
        views.iter().enumerate().map(|(row, label)| label.map(|label| standard((row, label)))).collect()
    };
    Ok(cast(&standard, labels.data_type())?)
}

const SECTION: DocSection =
    DocSection { include: true, label: "Labels", description: Some("Names of topics, queues and the like.") };

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "The standard form of a label, from the synonyms of the project (the view `label_synonyms`, which is read once per query).\n\
         Formula: the standard_label of the synonym with this column_name and label; without one the label itself.\n\
         Units: strings in and out.\n\
         NULL: a NULL label gives NULL. A NULL column name has no synonyms, and a synonym with a NULL field is ignored.\n\
         Edges: labels are compared as they are; `contacts_clean` brings case and blanks into one form first. A column name that \
         is not in the synonyms has none. Of several synonyms of one label the first in the order of standard_label counts. \
         In a check, alert or role the function is not available: select it as a column. A restricted user needs \
         `label_synonyms` among the tables of a role, unless a view calls the function.\n\
         Source: data model of cxql, view `label_synonyms`.",
        "standard_label(column_name, label [, synonyms])",
    )
    .with_argument("column_name", "The column whose synonyms apply, such as `'topic'`, constant or per row.")
    .with_argument("label", "The label, a string.")
    .with_argument(
        "synonyms",
        "Other synonyms than those of the project: a constant list of structs of the strings column_name, label and \
         standard_label. Outside of cxql it is required.",
    )
    .with_sql_example(
        "```sql
select
    topic,
    standard_label('topic', topic, make_array(
        named_struct('column_name', 'topic', 'label', 'billing issue', 'standard_label', 'billing')
    )) as standard
from (values ('billing issue'), ('billing'), ('delivery')) as contacts (topic)
```
```text
+---------------+----------+
| topic         | standard |
+---------------+----------+
| billing issue | billing  |
| billing       | billing  |
| delivery      | delivery |
+---------------+----------+
```",
    )
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_standard_label_counts_in_any_order() {
        for order in [["billing", "payment"], ["payment", "billing"]] {
            let mut synonyms = Synonyms::default();
            for standard in order {
                synonyms.add("topic", "invoice", standard);
            }
            synonyms.add("queue", "invoice", "accounts");
            assert_eq!(synonyms.of_column("topic").unwrap()["invoice"], "billing");
            assert_eq!(synonyms.of_column("queue").unwrap()["invoice"], "accounts");
            assert!(synonyms.of_column("team").is_none());
        }
    }
}
