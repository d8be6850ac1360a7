//! `[engine]`: switches and thresholds of optimizer rules and operators.

use std::fmt;

use cxql_engine::EngineOptions;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

/// `[engine]`: the options of [`EngineOptions`] by name, and their default values where none is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct EngineConfig(pub(crate) EngineOptions);

impl<'de> Deserialize<'de> for EngineConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Options;

        impl<'de> Visitor<'de> for Options {
            type Value = EngineOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of engine options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut options = EngineOptions::default();
                while let Some(name) = map.next_key_seed(OptionName)? {
                    options = map.next_value_seed(OptionValue { options, name })?;
                }
                Ok(options)
            }
        }

        deserializer.deserialize_map(Options).map(Self)
    }
}

/// The name of an option; an unknown one is an error at its place in the file.
struct OptionName;

impl<'de> DeserializeSeed<'de> for OptionName {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let name = String::deserialize(deserializer)?;
        if EngineOptions::NAMES.contains(&name.as_str()) {
            Ok(name)
        } else {
            Err(D::Error::unknown_field(&name, EngineOptions::NAMES))
        }
    }
}

/// The value of an option, which is set in `options`.
struct OptionValue {
    options: EngineOptions,
    name: String,
}

impl<'de> DeserializeSeed<'de> for OptionValue {
    type Value = EngineOptions;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EngineOptions, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let text = match &value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.options.with_option(&self.name, &text).map_err(|error| D::Error::custom(error.message()))
    }
}
