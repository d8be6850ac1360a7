//! `cxql serve` as clients meet it: the real program on a free port, and the Flight SQL client of arrow-rs.

mod access;
mod changes;
mod hostile;
mod ingest;
mod logins;
mod metadata;
mod operations;
mod params;
mod queries;
mod server;
mod sessions;
mod tls;
mod values;
