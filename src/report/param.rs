//! `-- param: name type domain = default  # note`: a typed parameter, bound as a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};
use crate::sqlfile::HeaderLine;
use crate::types::{Domain, ParamType};

/// A declared parameter.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// Its name, without `$`.
    pub name: String,
    /// Its type.
    pub param_type: ParamType,
    /// The values that it may have, if not all of its type.
    pub domain: Option<Domain>,
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
        // the `=` of `>= 1` is none before a default
        let is_sign = |at: &usize| !text[..*at].ends_with('>');
        let (declaration, default) = match text.match_indices('=').map(|(at, _)| at).find(is_sign) {
            Some(at) => (text[..at].trim(), Some(text[at + 1..].trim())),
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
        let (type_name, domain) = Domain::split(type_name);
        let param_type =
            ParamType::parse(type_name).map_err(|error| Error::at(source, Some(at(type_name)), error).help(form))?;
        let domain =
            Domain::parse(domain, param_type.base).map_err(|error| Error::at(source, Some(at(domain)), error))?;
        let mut param = Self { name: name.to_string(), param_type, domain, default: None, note, spot: at(name) };
        if let Some(text) = default {
            let value = param.value(text).map_err(|error| Error::at(source, Some(at(text)), error))?;
            param.default = Some((text.to_string(), value));
        }
        Ok(param)
    }

    /// Its type and its domain as in the file.
    pub(crate) fn declared_type(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{} {domain}", self.param_type.name()),
            None => self.param_type.name(),
        }
    }

    /// Parses a value.
    ///
    /// # Errors
    /// A value of another type, or outside the domain.
    pub(crate) fn value(&self, text: &str) -> Result<ScalarValue, String> {
        let value = self.param_type.value(text)?;
        if let Some(domain) = &self.domain {
            domain.check(&value).map_err(|error| format!("`{}`: {error}", text.trim()))?;
        }
        Ok(value)
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
            (Some(text), _) => param.value(text).map_err(|error| Error::Parameter {
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
        let text = error("-- param: window interval > 0 = 0 days");
        assert!(text.contains("r.sql:1:33") && text.contains("`0 days`: it must be above zero"), "{text}");
        let text = error("-- param: step date in (day) = 2025-01-01");
        assert!(text.contains("r.sql:1:21") && text.contains("`in (day)` is no domain of date"), "{text}");
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

    #[test]
    fn values_are_those_of_the_domain() {
        let header =
            "-- param: least integer >= 1 = 2\n-- param: step text in (day, week)=day\n-- param: w interval > 0";
        let params = params(header, "$least, $step, $w").unwrap();
        let bound = |pairs: [(&str, &str); 2]| {
            let given = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            bind("r", &params, &given)
        };
        assert_eq!(bound([("least", "1"), ("w", "1 day")]).unwrap()[1], ScalarValue::from("day"));
        for (name, value, message) in [
            ("least", "0", "parameter -p least: `0`: it must be at least 1"),
            ("step", "1", "parameter -p step: `1`: it must be one of day, week"),
            ("w", "-7days", "parameter -p w: `-7days`: it must be above zero, such as 7 days"),
        ] {
            let error = bound([("w", "1 day"), (name, value)]).unwrap_err().to_string();
            assert!(error.ends_with(message), "{error}");
        }
    }
}
