//! The load of `bench/run flight`: clients of a Flight SQL server, each asking one thing after the other.
//!
//! usage: flight_load ADDRESS SECONDS CLIENTS all|queries|transport SQL_SMALL SQL_LARGE
//!
//! `all` mixes metadata, small and large queries, prepared statements, cancellations and bad SQL; `queries` asks the small
//! and the large query only; `transport` fetches the large one once and counts rows. The result is one JSON object on
//! standard output: for each kind of request its count and latencies in milliseconds, and every error that is the
//! server's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetTables, SqlInfo};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use datafusion::arrow::array::{Int64Array, RecordBatch};
use futures::TryStreamExt;
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tonic::Code;
use tonic::transport::Channel;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Client = FlightSqlServiceClient<Channel>;

/// Rows without end, so that there is something to cancel.
const ENDLESS: &str = "select x, x * 2 as y from generate_series(1, 1000000000000) a(x)";

/// Statements that are wrong, each in its own way.
const BAD: [&str; 4] =
    ["selct 1", "select nothing_of_the_kind from interactions", "select * from nowhere", "drop table interactions"];

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// Milliseconds by kind of request.
    took: BTreeMap<&'static str, Vec<f64>>,
    /// Errors that are the server's, and how often.
    errors: BTreeMap<String, usize>,
    rows: usize,
}

struct Statements {
    small: String,
    large: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, clients, mix, small, large] = arguments.as_slice() else {
        return Err("usage: flight_load ADDRESS SECONDS CLIENTS all|queries|transport SQL_SMALL SQL_LARGE".into());
    };
    let statements = Arc::new(Statements { small: small.clone(), large: large.clone() });
    if mix == "transport" {
        let started = Instant::now();
        let mut client = connect(address).await?;
        let rows = fetch(&mut client, large).await?;
        println!("{{\"rows\": {rows}, \"seconds\": {:.4}}}", started.elapsed().as_secs_f64());
        return Ok(());
    }
    let (seconds, clients): (u64, u64) = (seconds.parse()?, clients.parse()?);
    let only_queries = match mix.as_str() {
        "all" => false,
        "queries" => true,
        other => return Err(format!("all, queries or transport is wanted, got `{other}`").into()),
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let end = Instant::now() + Duration::from_secs(seconds);
    let tasks = (0..clients).map(|number| {
        let (address, statements, seen) = (address.clone(), Arc::clone(&statements), Arc::clone(&seen));
        tokio::spawn(async move {
            let mut client = connect(&address).await.map_err(|error| error.to_string())?;
            let mut random = Pcg32::seed_from_u64(number);
            while Instant::now() < end {
                one(&mut client, &statements, only_queries, &mut random, &seen).await;
            }
            Ok::<_, String>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    print_seen(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

async fn connect(address: &str) -> Result<Client, Error> {
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
    Ok(FlightSqlServiceClient::new(channel))
}

/// One request, drawn by chance, and what came of it.
async fn one(client: &mut Client, sql: &Statements, only_queries: bool, random: &mut Pcg32, seen: &Mutex<Seen>) {
    let draw = if only_queries { random.random_range(30..75) } else { random.random_range(0..100) };
    let (place, started) = (random.random_range(0..BAD.len()), Instant::now());
    let (kind, result) = match draw {
        0..10 => ("tables", tables(client).await),
        10..20 => ("catalogs", catalogs(client).await),
        20..30 => ("sql info", sql_info(client).await),
        30..70 => ("small query", fetch(client, &sql.small).await),
        70..75 => ("large query", fetch(client, &sql.large).await),
        75..85 => ("prepared", prepared(client, i64::from(random.random::<u16>())).await),
        85..90 => ("cancelled", cancelled(client).await),
        90..95 => ("left", left(client).await),
        _ => ("bad", bad(client, BAD[place]).await),
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.took.entry(kind).or_default().push(started.elapsed().as_secs_f64() * 1e3);
    match result {
        Ok(rows) => seen.rows += rows,
        Err(error) => *seen.errors.entry(format!("{kind}: {error}")).or_default() += 1,
    }
}

async fn rows_of(client: &mut Client, info: FlightInfo) -> Result<usize, FlightError> {
    let mut rows = 0;
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.ok_or_else(|| FlightError::protocol("an endpoint without a ticket"))?;
        let mut stream = client.do_get(ticket).await?;
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows();
        }
    }
    Ok(rows)
}

async fn fetch(client: &mut Client, sql: &str) -> Result<usize, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    let rows = rows_of(client, info).await?;
    if rows == 0 { Err(FlightError::protocol("no rows")) } else { Ok(rows) }
}

async fn tables(client: &mut Client) -> Result<usize, FlightError> {
    let request = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let info = client.get_tables(request).await?;
    rows_of(client, info).await
}

async fn catalogs(client: &mut Client) -> Result<usize, FlightError> {
    let info = client.get_catalogs().await?;
    rows_of(client, info).await
}

async fn sql_info(client: &mut Client) -> Result<usize, FlightError> {
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::SqlKeywords]).await?;
    rows_of(client, info).await
}

async fn prepared(client: &mut Client, value: i64) -> Result<usize, FlightError> {
    let sql = "select count(*) as n from interactions where wait_s > ?";
    let mut statement = client.prepare(sql.to_owned(), None).await?;
    let values: Vec<(&str, _)> = vec![("1", Arc::new(Int64Array::from(vec![value % 600])) as _)];
    statement.set_parameters(RecordBatch::try_from_iter(values)?)?;
    let info = statement.execute().await?;
    let rows = rows_of(client, info).await?;
    statement.close().await?;
    Ok(rows)
}

/// Cancels a query after its first rows: what comes then is a cancellation.
async fn cancelled(client: &mut Client) -> Result<usize, FlightError> {
    let info = client.execute(ENDLESS.to_owned(), None).await?;
    let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone());
    let mut stream = client.do_get(ticket.ok_or_else(|| FlightError::protocol("no ticket"))?).await?;
    stream.try_next().await?;
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec().into();
    let mut answer = client.do_action(Action { r#type: "CancelFlightInfo".into(), body }).await?;
    answer.message().await.map_err(|status| FlightError::Tonic(Box::new(status)))?;
    loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(FlightError::protocol("a cancelled query ended like a whole one")),
            Err(FlightError::Tonic(status)) if status.code() == Code::Cancelled => return Ok(0),
            Err(error) => return Err(error),
        }
    }
}

/// Leaves a query after its first rows.
async fn left(client: &mut Client) -> Result<usize, FlightError> {
    let info = client.execute(ENDLESS.to_owned(), None).await?;
    let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone());
    let mut stream = client.do_get(ticket.ok_or_else(|| FlightError::protocol("no ticket"))?).await?;
    stream.try_next().await?;
    Ok(0)
}

/// A wrong statement, which is told as the client's fault.
async fn bad(client: &mut Client, sql: &str) -> Result<usize, FlightError> {
    match client.execute(sql.to_owned(), None).await {
        Ok(_) => Err(FlightError::protocol(format!("`{sql}` was taken"))),
        Err(error) => match &error {
            FlightError::Tonic(status)
                if matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::PermissionDenied) =>
            {
                Ok(0)
            }
            _ => Err(error),
        },
    }
}

fn print_seen(seen: &mut Seen) {
    let kinds = seen.took.iter_mut().map(|(kind, took)| {
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took.get(((took.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
        let values = (took.len(), at(0.5), at(0.99), at(1.0));
        format!(
            "\"{kind}\": {{\"count\": {}, \"p50\": {:.3}, \"p99\": {:.3}, \"max\": {:.3}}}",
            values.0, values.1, values.2, values.3
        )
    });
    let kinds: Vec<String> = kinds.collect();
    let errors = seen.errors.iter().map(|(error, count)| format!("{:?}: {count}", error.replace('\\', "/")));
    let errors: Vec<String> = errors.collect();
    println!("{{\"rows\": {}, \"kinds\": {{{}}}, \"errors\": {{{}}}}}", seen.rows, kinds.join(", "), errors.join(", "));
}
