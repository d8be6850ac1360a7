//! `cxql.toml`: where the data is, the limits, the jobs. Unknown keys are errors.

mod calendars;
mod engine;
mod jobs;
mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cxql_udfs::privacy::{OrderNumberPattern, PrivacySettings, PseudonymKey};
use serde::Deserialize;

pub(crate) use self::calendars::{CalendarConfig, calendars};
pub(crate) use self::engine::EngineConfig;
pub(crate) use self::jobs::{
    Addressing, CatchUp, ChannelConfig, ChannelKind, Encryption, FailedCheck, JobConfig, JobsConfig, MailConfig,
    OneOrMany, OutputConfig, Overlap, SendPolicy, Span, WebhookShape,
};
pub(crate) use self::secret::{Secret, SecretText};
use crate::error::{Error, Result};
use crate::source::nearest;

/// The file's name in a project folder.
pub(crate) const FILE_NAME: &str = "cxql.toml";

/// The contents of a `cxql.toml`; every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// Folder or address of the data, relative to the project folder; default `data`.
    pub data: Option<String>,
    /// Memory limit such as `4GB`.
    pub memory: Option<String>,
    /// Number of threads.
    pub threads: Option<usize>,
    /// Folder for spill files; default the system's temporary folder.
    pub temp_dir: Option<String>,
    /// Folder of what is known of the keys of files; default `cxql` in the user's cache folder.
    pub cache_dir: Option<String>,
    /// Time zone of days, weeks and hours in reports, and of times that are shown; default UTC.
    pub time_zone: Option<String>,
    /// False computes window functions by sorting; default true. The former name of `hash_window_agg` in `[engine]`.
    pub grouped_windows: Option<bool>,
    /// Switches and thresholds of optimizer rules and operators.
    #[serde(default)]
    pub engine: EngineConfig,
    /// Personal data: the key of pseudonyms, the form of order numbers.
    #[serde(default)]
    pub privacy: PrivacyConfig,
    /// Opening hours for business time, beside the shipped calendars.
    #[serde(default)]
    pub calendars: BTreeMap<String, CalendarConfig>,
    /// S3 and compatible stores.
    #[serde(default)]
    pub s3: S3Config,
    /// The Flight SQL server.
    #[serde(default)]
    pub serve: ServeConfig,
    /// Who may connect to the server; without any user everybody may.
    #[serde(default)]
    pub users: BTreeMap<String, UserConfig>,
    /// What users with such a role may read.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleConfig>,
    /// Columns of primary keys by table, for clients that ask.
    #[serde(default)]
    pub keys: BTreeMap<String, Vec<String>>,
    /// Tables beside those found below `data`.
    #[serde(default)]
    pub tables: BTreeMap<String, TableConfig>,
    /// Defaults of all jobs.
    #[serde(default)]
    pub jobs: JobsConfig,
    /// The jobs.
    #[serde(default)]
    pub job: Vec<JobConfig>,
    /// The mail server.
    pub mail: Option<MailConfig>,
    /// Notification channels beside mail.
    #[serde(default)]
    pub channels: BTreeMap<String, ChannelConfig>,
}

/// `[privacy]`: settings of the functions for personal data.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivacyConfig {
    /// Where the secret is from which the key of `pseudonym` is derived.
    pub pseudonym_key: Option<Secret>,
    /// A regular expression for order numbers, such as `ORD-[0-9]{8}`.
    pub order_number_pattern: Option<String>,
}

impl PrivacyConfig {
    /// The settings of the functions. A secret that cannot be read is an error of the calls that need it: others than the
    /// server need not have it.
    ///
    /// # Errors
    /// A pattern of order numbers that is none.
    pub(crate) fn settings(&self, folder: &Path) -> Result<PrivacySettings> {
        let pattern = |pattern: &String| {
            OrderNumberPattern::new(pattern)
                .map_err(|error| Error::usage(format!("[privacy] order_number_pattern in cxql.toml: {error}")))
        };
        let order_number = self.order_number_pattern.as_ref().map(pattern).transpose()?;
        let key = self.pseudonym_key.as_ref().map(|secret| {
            let secret = secret.read(folder).map_err(|error| error.to_string())?;
            PseudonymKey::derive(secret.expose())
                .map_err(|error| format!("[privacy] pseudonym_key in cxql.toml: {error}"))
        });
        let (pseudonym_key, no_key_reason) = match key {
            None => (None, None),
            Some(Ok(key)) => (Some(key), None),
            Some(Err(reason)) => (None, Some(reason)),
        };
        Ok(PrivacySettings { pseudonym_key, no_key_reason, order_number })
    }
}

/// `[serve]`: the Flight SQL server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeConfig {
    /// `HOST:PORT`; default `127.0.0.1:32010`.
    pub listen: Option<String>,
    /// Seconds that running queries have when the server is stopped; default 30.
    pub drain_s: Option<u64>,
    /// Queries that run at a time; default 32.
    pub max_queries: Option<usize>,
    /// Seconds that a query waits for its turn; default 30.
    pub queue_s: Option<u64>,
    /// Seconds that a query may take in all; default without limit.
    pub timeout_s: Option<u64>,
    /// PEM file of the server's certificate, relative to the project folder; encrypts together with `key`.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// PEM file of the authorities whose clients may connect.
    pub client_ca: Option<PathBuf>,
    /// Memory that one query may take, such as `1GB`; default as much as all together.
    pub query_memory: Option<String>,
    /// Memory for the tables that one session brings, with `--allow-ingest`; default `256MB`.
    pub ingest_memory: Option<String>,
    /// Seconds after which a session that nobody uses ends; default 12 hours.
    pub idle_s: Option<u64>,
    /// The form of the log's lines; default `text`.
    #[serde(default)]
    pub log: LogFormat,
    /// `HOST:PORT` where Prometheus reads metrics; none without.
    pub metrics: Option<String>,
}

/// The form of the server's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl ServeConfig {
    /// The files for encryption, with paths from `folder`; `None` when there are none.
    ///
    /// # Errors
    /// One file without the other that it needs.
    pub(crate) fn tls(&self, folder: &Path) -> Result<Option<TlsFiles>> {
        match (&self.certificate, &self.key, &self.client_ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), client_ca) => Ok(Some(TlsFiles {
                certificate: folder.join(certificate),
                key: folder.join(key),
                client_ca: client_ca.as_ref().map(|path| folder.join(path)),
            })),
            _ => Err(Error::usage("[serve] in cxql.toml: encryption needs both `certificate` and `key`")),
        }
    }
}

/// The files that encryption needs, all in PEM form.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities whose clients may connect; without it, clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// `[users.NAME]`: one user of the server, as `cxql user add` writes it.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserConfig {
    /// The argon2id hash of a password.
    pub password: Option<String>,
    /// The SHA-256 hash of a token, in hexadecimal digits.
    pub token: Option<String>,
    /// What the user may read: names of `[roles]`, or `admin`. Everything without roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// `[roles.NAME]`: what users with this role may read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleConfig {
    /// Schemas of which everything may be read.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Tables, views and reports that may be read: `name`, or `schema.name`.
    #[serde(default)]
    pub tables: Vec<String>,
    /// SQL conditions by table: rows that do not meet them are not there.
    #[serde(default)]
    pub rows: BTreeMap<String, SqlText>,
    /// SQL expressions by table and column, which show in place of the column.
    #[serde(default)]
    pub masks: BTreeMap<String, BTreeMap<String, SqlText>>,
}

/// A SQL expression, with its line in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SqlText {
    /// The expression.
    pub sql: String,
    /// The line, counted from 1; 0 if it is not known.
    pub line: usize,
    /// Bytes before it in the file.
    offset: usize,
}

impl<'de> Deserialize<'de> for SqlText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = toml::Spanned::<String>::deserialize(deserializer)?;
        let offset = text.span().start;
        Ok(Self { sql: text.into_inner(), line: 0, offset })
    }
}

impl std::fmt::Debug for UserConfig {
    /// Hashes are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserConfig").finish_non_exhaustive()
    }
}

/// `[s3]`: how S3 and compatible stores are reached. Keys and tokens come from the standard AWS environment variables.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Config {
    /// Address of an S3-compatible store, such as `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// Region; default from `AWS_REGION` or `us-east-1`.
    pub region: Option<String>,
    /// True allows plain http endpoints.
    #[serde(default)]
    pub allow_http: bool,
    /// True reads public buckets without signing.
    #[serde(default)]
    pub anonymous: bool,
}

/// `[tables.NAME]`: one table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableConfig {
    /// File, folder (ends with `/` or has no known ending) or address; relative to the data folder.
    pub path: String,
    /// Format; default from the path's ending.
    pub format: Option<TableFormat>,
    /// CSV: the character between fields; default the one of `,`, `;`, tab and `|` by which all lines agree.
    pub delimiter: Option<char>,
    /// CSV: whether the first line holds the names; default true.
    pub header: Option<bool>,
    /// CSV: the character around fields with delimiters or line breaks, empty for none; default `"`.
    pub quote: Option<String>,
    /// CSV: the character before a quote inside a quoted field; default a second quote, or `\` where the file has that.
    pub escape: Option<char>,
    /// CSV: lines before the header.
    pub skip_lines: Option<u64>,
    /// CSV: text that means NULL, beside the empty field.
    pub null: Option<NullWords>,
    /// CSV: `.` or `,` in numbers; default `.`.
    pub decimal: Option<char>,
    /// CSV: encoding; default UTF-8, or as the byte order mark says.
    pub encoding: Option<String>,
    /// CSV: `error`, `skip` or `fill` for rows with another number of fields than the header; default `error`.
    pub bad_rows: Option<String>,
    /// Without effect: quoted fields may always hold line breaks.
    pub multiline: Option<bool>,
    /// Declared columns `name = "text"`, which win over inferred types.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// `gzip`, `zstd`, `bzip2` or `xz`; default from the path's ending.
    pub compression: Option<String>,
}

/// One word, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum NullWords {
    /// `null = "N/A"`.
    One(String),
    /// `null = ["N/A", "-"]`.
    Many(Vec<String>),
}

impl NullWords {
    /// The words.
    pub(crate) fn words(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

/// The formats that a table can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TableFormat {
    /// Apache Parquet.
    Parquet,
    /// Separated text.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Arrow IPC file.
    Arrow,
}

impl TableConfig {
    /// A table at a path with everything else by default.
    pub(crate) fn at(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: None,
            delimiter: None,
            header: None,
            quote: None,
            escape: None,
            skip_lines: None,
            null: None,
            decimal: None,
            encoding: None,
            bad_rows: None,
            multiline: None,
            columns: BTreeMap::new(),
            compression: None,
        }
    }
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not what it should be: file, line, column, what, remedy.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Error::usage(format!("cannot read {}: {cause}", path.display())))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses the text of a file called `name`.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self> {
        let mut config = Self::parse_toml(text, name)?;
        for role in config.roles.values_mut() {
            for sql in role.masks.values_mut().flat_map(BTreeMap::values_mut).chain(role.rows.values_mut()) {
                sql.line = text.get(..sql.offset).map_or(0, |before| before.matches('\n').count() + 1);
            }
        }
        Ok(config)
    }

    fn parse_toml(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let message = error.message();
            let help = message.strip_prefix("unknown field `").and_then(|rest| {
                let (word, rest) = rest.split_once('`')?;
                let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
                Some(match nearest(word, known.iter().copied()) {
                    Some(key) => vec![format!("did you mean `{key}`?")],
                    None => vec![format!("the keys here are {}", known.join(", "))],
                })
            });
            // a secret that stands where it does not belong is not shown again
            let hidden = error.span().filter(|_| message.contains(secret::MISPLACED)).map(|span| {
                let stars = text.get(span.clone()).map_or(0, |text| text.chars().count());
                let (before, after) = (text.get(..span.start), text.get(span.end..));
                format!("{}{}{}", before.unwrap_or_default(), "*".repeat(stars), after.unwrap_or_default())
            });
            let shown = hidden.as_deref().unwrap_or(text);
            let source = crate::source::Source { name: name.into(), ..crate::source::Source::query(shown) };
            let spot = error.span().map(|span| {
                let shown = text.get(span.clone()).map_or(1, |text| text.lines().next().unwrap_or("").chars().count());
                source.spot_at(span.start, shown)
            });
            let title = message.split(", expected").next().unwrap_or(message);
            let title = if help.is_some() { title } else { message };
            let title = title
                .replace("expected usize", "a whole number is wanted")
                .replace("expected a string", "a string in quotes is wanted")
                .replace("expected a boolean", "true or false is wanted")
                .replace("unknown variant", "unknown value")
                .replace(", expected one of", "; it is one of");
            Error::usage(source.render(&title, spot, "", &help.unwrap_or_default()))
        })
    }
}

/// Parses a size such as `512MB`, `4GB`, `1.5GiB` or plain bytes; units are powers of 1024 as for memory.
///
/// # Errors
/// With what was got and what is wanted.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(format!("a size like 512MB or 4GB is wanted, got `{text}`")),
    };
    let bytes =
        number.parse::<f64>().map_err(|_| format!("a size like 512MB or 4GB is wanted, got `{text}`"))? * factor as f64;
    if bytes < (16u64 << 20) as f64 || bytes > (1u64 << 50) as f64 {
        return Err(format!("a size between 16MB and 1024TB is wanted, got `{text}`"));
    }
    Ok(bytes as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_parses() {
        let text = "data = \"s3://b/p\"\nmemory = \"4GB\"\nthreads = 2\n[s3]\nendpoint = \"http://x\"\nallow_http = true\n\
                    [tables.calls]\npath = \"calls.csv\"\nformat = \"csv\"\nnull = \"?\"\ndelimiter = \";\"\n\
                    columns = { a = \"text\" }\n";
        let config = ConfigFile::parse(text, "cxql.toml").unwrap();
        assert_eq!(config.tables["calls"].delimiter, Some(';'));
        assert_eq!(config.s3.endpoint.as_deref(), Some("http://x"));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let text = ConfigFile::parse("data = 'x'\nmemroy = '4GB'\n", "cxql.toml").unwrap_err();
        let message = text.to_string();
        assert!(message.contains("cxql.toml:2:1") && message.contains("did you mean `memory`?"), "{message}");
        assert_eq!(text.exit_code(), 2);
        let message =
            ConfigFile::parse("[tables.a]\npath = 'x'\nformat = 'cvs'\n", "cxql.toml").unwrap_err().to_string();
        assert!(message.contains("cxql.toml:3:10") && message.contains("cvs"), "{message}");
    }

    #[test]
    fn engine_options_are_read_and_wrong_ones_are_pointed_at() {
        let config =
            ConfigFile::parse("[engine]\ndictionary_scan = false\nperfect_hash_bits = 12\n", "cxql.toml").unwrap();
        let options = &config.engine.0;
        assert!(!options.dictionary_scan && options.hash_window_agg);
        assert_eq!(options.perfect_hash_bits, 12);
        for (text, place, words) in [
            ("[engine]\nhash_windw_agg = false\n", "cxql.toml:2:1", "did you mean `hash_window_agg`?"),
            ("[engine]\njoin_bloom_filter = 3\n", "cxql.toml:2:21", "is true or false, got `3`"),
            ("[engine]\nperfect_hash_bits = 99\n", "cxql.toml:2:21", "is an integer from 1 to 24, got `99`"),
        ] {
            let message = ConfigFile::parse(text, "cxql.toml").unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_pattern_of_order_numbers_is_checked() {
        let settings = |text: &str| ConfigFile::parse(text, "cxql.toml").unwrap().privacy.settings(Path::new("."));
        assert!(settings("[privacy]\norder_number_pattern = 'ORD-[0-9]{8}'\n").unwrap().order_number.is_some());
        let message = settings("[privacy]\norder_number_pattern = '('\n").unwrap_err().to_string();
        assert!(message.contains("[privacy] order_number_pattern in cxql.toml"), "{message}");
    }

    #[test]
    fn a_key_stands_nowhere_and_one_that_is_not_there_is_the_error_of_a_call() {
        let text = "[privacy]\npseudonym_key = 'a key in the file'\n";
        let message = ConfigFile::parse(text, "cxql.toml").unwrap_err().to_string();
        assert!(message.contains("cxql.toml holds no secrets") && !message.contains("a key in the file"), "{message}");
        let text = "[privacy]\npseudonym_key = { env = 'CXQL_TEST_NO_SUCH_KEY' }\n";
        let settings = ConfigFile::parse(text, "cxql.toml").unwrap().privacy.settings(Path::new(".")).unwrap();
        assert!(settings.pseudonym_key.is_none());
        assert!(settings.no_key_reason.unwrap().contains("CXQL_TEST_NO_SUCH_KEY is not set"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512MB").unwrap(), 512 << 20);
        assert_eq!(parse_size("1.5 GiB").unwrap(), 3 << 29);
        assert!(parse_size("4 apples").unwrap_err().contains("4 apples"));
        assert!(parse_size("5").is_err());
    }
}
