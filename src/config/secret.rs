//! Secrets: named in `cxql.toml`, kept in the environment or in files, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::{Error, Result};

/// What is said of a secret that stands in `cxql.toml` itself.
pub(super) const MISPLACED: &str = "cxql.toml holds no secrets: write { env = \"NAME\" } or { file = \"PATH\" }";

/// Where a secret is: `{ env = "NAME" }` or `{ file = "PATH" }`, relative to the project folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// An environment variable.
    Env(String),
    /// A file; a line end after its text does not count.
    File(PathBuf),
}

/// The text of a secret. It has no form that is shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

impl SecretText {
    /// The text itself, for whom it is meant.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without this secret.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_string() } else { text.replace(&self.0, "(hidden)") }
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Secret {
    /// The secret's text.
    ///
    /// # Errors
    /// A variable that is not set or a file that cannot be read; the error names it and not what it holds.
    pub(crate) fn read(&self, folder: &Path) -> Result<SecretText> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                Error::usage(format!(
                    "the environment variable {name} is not set; it holds a secret that cxql.toml names"
                ))
            })?,
            Self::File(path) => {
                let path = folder.join(path);
                std::fs::read_to_string(&path)
                    .map_err(|cause| Error::usage(format!("cannot read the secret in {}: {cause}", path.display())))?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            let place = match self {
                Self::Env(name) => format!("the environment variable {name}"),
                Self::File(path) => path.display().to_string(),
            };
            return Err(Error::usage(format!("{place} is empty, a secret is wanted there")));
        }
        Ok(SecretText(text.to_string()))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" } or { file = \"PATH\" }")
            }

            fn visit_str<E: de::Error>(self, _text: &str) -> std::result::Result<Secret, E> {
                Err(de::Error::custom(MISPLACED))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Secret, A::Error> {
                let Some((key, value)) = map.next_entry::<String, String>()? else {
                    return Err(de::Error::custom("a secret is { env = \"NAME\" } or { file = \"PATH\" }"));
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(de::Error::custom("a secret has one place: `env` or `file`"));
                }
                match key.as_str() {
                    "env" => Ok(Secret::Env(value)),
                    "file" => Ok(Secret::File(value.into())),
                    other => Err(de::Error::unknown_field(other, &["env", "file"])),
                }
            }
        }
        deserializer.deserialize_any(Place)
    }
}

/// An address that may be a secret itself, as those of chat programs are: a text, or where the secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The address as it stands.
    Plain(String),
    /// Where it is.
    Secret(Secret),
}

impl Address {
    /// The address.
    ///
    /// # Errors
    /// As [`Secret::read`].
    pub(crate) fn read(&self, folder: &Path) -> Result<SecretText> {
        match self {
            Self::Plain(text) => Ok(SecretText(text.clone())),
            Self::Secret(secret) => secret.read(folder),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address in quotes, { env = \"NAME\" } or { file = \"PATH\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Address, E> {
                Ok(Address::Plain(text.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Address, A::Error> {
                Secret::deserialize(de::value::MapAccessDeserializer::new(map)).map(Address::Secret)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = SecretText::from("hush".to_string());
        assert_eq!(format!("{secret:?}"), "SecretText(hidden)");
        assert_eq!(secret.hide_in("535 hush is wrong"), "535 (hidden) is wrong");
    }

    #[test]
    fn a_missing_secret_is_told_by_its_place() {
        let text = Secret::Env("CXQL_TEST_NO_SUCH".into()).read(Path::new(".")).unwrap_err().to_string();
        assert!(text.contains("CXQL_TEST_NO_SUCH is not set"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "hush\n").unwrap();
        assert_eq!(Secret::File("s".into()).read(folder.path()).unwrap().expose(), "hush");
        let text = Secret::File("t".into()).read(folder.path()).unwrap_err().to_string();
        assert!(text.contains("cannot read the secret in"), "{text}");
    }
}
