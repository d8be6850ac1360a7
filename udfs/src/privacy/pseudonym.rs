//! Keyed pseudonyms.

use std::fmt;

/// Separates this use of a secret from any other.
const CONTEXT: &str = "cxql 2026-11-30 pseudonyms of customers";
/// The fewest bytes of a secret: fewer can be guessed.
const LEAST_SECRET: usize = 16;
/// Hexadecimal digits of a pseudonym, 128 bits: two ids of a million have the same one with a probability of 10^-27.
const DIGITS: usize = 32;

/// The key of [`pseudonym`](super). It has no form that is shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PseudonymKey([u8; blake3::KEY_LEN]);

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(hidden)")
    }
}

/// A secret that is too short for a key. It does not say what the secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortSecret;

impl fmt::Display for ShortSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of pseudonyms must have at least {LEAST_SECRET} bytes; `openssl rand -hex 32` makes one")
    }
}

impl std::error::Error for ShortSecret {}

impl PseudonymKey {
    /// The key that belongs to a secret, such as 64 hexadecimal digits.
    ///
    /// # Errors
    /// A secret of fewer than 16 bytes.
    pub fn derive(secret: &str) -> Result<Self, ShortSecret> {
        if secret.len() < LEAST_SECRET {
            return Err(ShortSecret);
        }
        Ok(Self(blake3::derive_key(CONTEXT, secret.as_bytes())))
    }

    /// The pseudonym of an id: 32 hexadecimal digits.
    pub(super) fn pseudonym(&self, id: &str) -> String {
        let digits = blake3::keyed_hash(&self.0, id.as_bytes()).to_hex();
        digits.get(..DIGITS).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_depends_on_key_and_id_alone() {
        let key = PseudonymKey::derive("0123456789abcdef").unwrap();
        let other = PseudonymKey::derive("0123456789abcdeF").unwrap();
        assert_eq!(key.pseudonym("42"), key.pseudonym("42"));
        assert_ne!(key.pseudonym("42"), key.pseudonym("43"));
        assert_ne!(key.pseudonym("42"), other.pseudonym("42"));
        assert_eq!(key.pseudonym("").len(), 32);
    }

    #[test]
    fn the_key_is_not_shown() {
        let key = PseudonymKey::derive("0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "PseudonymKey(hidden)");
        let short = PseudonymKey::derive("0123456789abcde").unwrap_err().to_string();
        assert!(!short.contains("0123"), "{short}");
    }
}
