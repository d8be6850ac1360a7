//! Personal data in texts: `find_pii`, `redact_pii`, masks and pseudonyms.
//!
//! Formula: numbers by their form and check digit, names of accounts by their marks; words beside a number raise or lower its
//!          confidence, and what is below .5 is not reported.
//! Units:   positions count characters from 1, as `substr` does; the end is the position after the last one.
//! NULL:    a NULL text gives NULL; a text without personal data an empty list, or the text itself.
//! Edges:   a number inside a GUID, a longer number or a name is no phone number.
//! Source:  the standards named in `checks.rs` and `phone.rs`; docs/privacy.md has precision and recall.

mod checks;
mod cues;
mod find;
mod functions;
mod ids;
mod kind;
mod mask;
mod network;
mod pages;
mod phone;
mod pseudonym;
mod text;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::registry::FunctionRegistry;
use regex::Regex;

use self::pages::NO_KEY;
pub use self::pseudonym::{PseudonymKey, ShortSecret};

/// What a project sets for these functions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PrivacySettings {
    /// The key of `pseudonym`, which is an error without.
    pub pseudonym_key: Option<PseudonymKey>,
    /// What the error says where there is no key; by default how to set one.
    pub no_key_reason: Option<String>,
    /// The form of the project's order numbers; without it none are found.
    pub order_number: Option<OrderNumberPattern>,
}

impl PrivacySettings {
    /// The key, or what the error says.
    pub(crate) fn key(&self) -> std::result::Result<&PseudonymKey, &str> {
        self.pseudonym_key.as_ref().ok_or_else(|| self.no_key_reason.as_deref().unwrap_or(NO_KEY))
    }
}

/// A regular expression for order numbers.
#[derive(Clone)]
pub struct OrderNumberPattern(Regex);

impl OrderNumberPattern {
    /// Compiles a pattern in the syntax of the `regex` crate, such as `ORD-\d{8}`.
    ///
    /// # Errors
    /// What is wrong with the pattern; one that matches the empty string is refused.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        if regex.is_match("") {
            return Err(format!("it matches the empty string: {pattern}"));
        }
        Ok(Self(regex))
    }

    pub(crate) fn regex(&self) -> &Regex {
        &self.0
    }
}

impl fmt::Debug for OrderNumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrderNumberPattern").field(&self.0.as_str()).finish()
    }
}

impl PartialEq for OrderNumberPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for OrderNumberPattern {}

impl Hash for OrderNumberPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// Registers the functions of this family with a project's settings, in place of those without.
///
/// # Errors
/// When the registry refuses a function.
pub fn register(registry: &mut dyn FunctionRegistry, settings: &PrivacySettings) -> Result<()> {
    for function in functions::scalar_functions(settings) {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// The functions without settings.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    functions::scalar_functions(&PrivacySettings::default())
}
