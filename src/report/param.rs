//! `-- param: name type = default  # note`: a typed parameter, bound as a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};
use crate::sqlfile::HeaderLine;
use crate::types::ParamType;

/// A declared parameter.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// Its name, without `$`.
    pub name: String,
    /// Its type.
    pub param_type: ParamType,
    /// Its default as written and as a value; `None` if it is required.
    pub default: Option<(String, ScalarValue)>,
    /// The comment after `#`.
    pub note: Option<String>,
    /// The position of its name.
    pub spot: Spot,
}

/// Values of a report's parameters, in the order of their declaration.
pub(crate) type BoundValues = Vec<ScalarValue>;

impl Param {
    pub(super) fn parse(source: &Arc<Source>, line: &HeaderLine) -> Result<Self> {
        let (text, note) = match line.value.split_once(" #") {
            Some((text, note)) => (text.trim(), Some(note.trim().to_string())),
            None => (line.value.as_str(), None),
        };
        let (declaration, default) = match text.split_once('=') {
            Some((declaration, default)) => (declaration.trim(), Some(default.trim())),
            None => (text, None),
        };
        let at = |part: &str| {
            let offset = line.value.find(part).map_or(0, |bytes| line.value[..bytes].chars().count());
            Spot { column: line.value_spot.column + offset, length: part.chars().count(), ..line.value_spot }
        };
        let form = "write `-- param: name type = default  # note`";
        let Some((name, type_name)) = declaration.split_once(char::is_whitespace) else {
            let error = Error::at(source, Some(at(declaration)), format!("the parameter `{declaration}` has no type"));
            return Err(error.help(form));
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            return Err(Error::at(source, Some(at(name)), format!("`{name}` is no name of a parameter"))
                .help("names are lower case letters, digits and `_`")
                .help(form));
        }
        let type_name = type_name.trim();
        let param_type =
            ParamType::parse(type_name).map_err(|error| Error::at(source, Some(at(type_name)), error).help(form))?;
        let default = match default {
            Some(text) => {
                let value = param_type.value(text).map_err(|error| Error::at(source, Some(at(text)), error))?;
                Some((text.to_string(), value))
            }
            None => None,
        };
        Ok(Self { name: name.to_string(), param_type, default, note, spot: at(name) })
    }
}

/// Binds a report's parameters: the given values, and defaults for the rest.
///
/// # Errors
/// An undeclared name, a value that does not fit its type, a required parameter without a value.
pub(super) fn bind(report: &str, params: &[Param], given: &BTreeMap<String, String>) -> Result<BoundValues> {
    for name in given.keys() {
        if !params.iter().any(|param| param.name == *name) {
            let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if names.is_empty() => "; it has none".to_string(),
                None => format!("; it has {}", names.join(", ")),
            };
            return Err(Error::Parameter { message: format!("report '{report}' has no parameter `{name}`{hint}") });
        }
    }
    params
        .iter()
        .map(|param| match (given.get(&param.name), &param.default) {
            (Some(text), _) => param.param_type.value(text).map_err(|error| Error::Parameter {
                message: format!("report '{report}', parameter -p {}: {error}", param.name),
            }),
            (None, Some((_, value))) => Ok(value.clone()),
            (None, None) => Err(Error::Parameter {
                message: format!(
                    "report '{report}' needs -p {}=<{}>, such as -p {}='{}'; see cxql show {report}",
                    param.name,
                    param.param_type.name(),
                    param.name,
                    param.param_type.base.example().split(" or ").next().unwrap_or_default()
                ),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    fn params(header: &str, uses: &str) -> Result<Vec<Param>> {
        let source = Arc::new(Source { name: "r.sql".into(), ..Source::query(&format!("{header}\nselect {uses}")) });
        Report::parse("r", &source).map(|report| report.params)
    }

    #[test]
    fn faults_are_shown_at_their_place() {
        let error = |header: &str| params(header, "1").unwrap_err().to_string();
        assert!(error("-- param: since").contains("r.sql:1:11"));
        let text = error("-- param: since timestmp = 2025-01-01");
        assert!(text.contains("r.sql:1:17") && text.contains("did you mean `timestamp`?"), "{text}");
        let text = error("-- param: since date = soon # note");
        assert!(text.contains("r.sql:1:24") && text.contains("`soon` is no date"), "{text}");
        assert!(error("-- param: Since date").contains("lower case"));
    }

    #[test]
    fn values_are_bound_in_order() {
        let params = params("-- param: b integer = 2\n-- param: a text", "$a, $b").unwrap();
        let given = |pairs: &[(&str, &str)]| {
            let given = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            bind("r", &params, &given)
        };
        assert_eq!(given(&[("a", "x")]).unwrap(), [ScalarValue::from(2i64), ScalarValue::from("x")]);
        assert_eq!(
            given(&[]).unwrap_err().to_string(),
            "report 'r' needs -p a=<text>, such as -p a='billing'; see cxql show r"
        );
        assert!(given(&[("a", "x"), ("b", "two")]).unwrap_err().to_string().contains("-p b: `two` is no integer"));
        assert!(given(&[("aa", "x")]).unwrap_err().to_string().contains("did you mean `a`?"));
    }
}
