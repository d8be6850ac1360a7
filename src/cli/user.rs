//! `cxql user`: the users of the server.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{self, ConfigFile};
use crate::error::{Error, Result};
use crate::flight;
use crate::project::CliOptions;
use crate::session::ADMIN;
use crate::temporary::TemporaryFile;

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user of the server to cxql.toml; the password is asked for and kept as a hash
    Add(AddArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The user's name: letters, digits, `.`, `_`, `-` and `@`
    name: String,
    /// Make a token in place of a password; it is shown once
    #[arg(long, conflicts_with = "password_stdin")]
    token: bool,
    /// What the user may read: a role of cxql.toml, or `admin`; may be given more than once
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(args: UserArgs, options: &CliOptions) -> Result<ExitCode> {
    let UserCommand::Add(args) = args.command;
    let name = &args.name;
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        return Err(Error::usage(format!(
            "`{name}` is no name of a user: up to 64 letters, digits, `.`, `_`, `-` and `@` are wanted"
        )));
    }
    let project = options.project.clone().unwrap_or_else(|| PathBuf::from("."));
    let path = options.config.clone().unwrap_or_else(|| project.join(config::FILE_NAME));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(Error::Io { action: "read", path, cause }),
    };
    let config = ConfigFile::parse(&text, &path.display().to_string())?;
    if let Some(role) = args.roles.iter().find(|role| *role != ADMIN && !config.roles.contains_key(*role)) {
        return Err(Error::usage(format!("there is no [roles.{role}] in {}; write it first", path.display())));
    }
    if config.users.contains_key(name) {
        return Err(Error::usage(format!(
            "there is a user `{name}` already; remove [users.\"{name}\"] from {} first",
            path.display()
        )));
    }
    let (key, hash, token) = if args.token {
        let (token, hash) = flight::new_token();
        ("token", hash, Some(token))
    } else {
        ("password", flight::hash_password(&password(args.password_stdin)?)?, None)
    };
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let roles = match args.roles.as_slice() {
        [] => String::new(),
        roles => format!("roles = [\"{}\"]\n", roles.join("\", \"")),
    };
    let text = format!("{text}{gap}[users.\"{name}\"]\n{key} = \"{hash}\"\n{roles}");
    // validate the new file before it replaces the old one
    ConfigFile::parse(&text, &path.display().to_string())?;
    replace(&path, &text)?;
    super::note(&format!("user `{name}` is in {}; a running server knows it after a restart", path.display()));
    if let Some(token) = token {
        super::print(&format!("{token}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn password(from_stdin: bool) -> Result<String> {
    let failed = |cause| Error::Io { action: "read", path: "the password".into(), cause };
    if from_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("password: ").map_err(failed)?;
    if rpassword::prompt_password("the same again: ").map_err(failed)? != first {
        return Err(Error::usage("the two passwords differ"));
    }
    Ok(first)
}

/// Replaces a file by writing a temporary file and renaming it. Permissions are kept; a new file is private to its
/// owner.
fn replace(path: &Path, text: &str) -> Result<()> {
    let failed = |cause| Error::Io { action: "write", path: path.to_path_buf(), cause };
    let mut new = TemporaryFile::beside(path, false).map_err(failed)?;
    if let Ok(metadata) = path.metadata() {
        new.file.set_permissions(metadata.permissions()).map_err(failed)?;
    }
    new.file.write_all(text.as_bytes()).map_err(failed)?;
    new.persist(path).map_err(failed)
}
