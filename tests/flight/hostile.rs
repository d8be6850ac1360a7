//! Clients that are slow, die, talk nonsense or come in masses harm nobody else.

mod statements;
mod uploads;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::Code;
use tonic::transport::Channel;

use super::server::{Client, Served, query, sample};

/// Rows without end.
const ENDLESS: &str = "select x, repeat('abcdefghij', 100) as text from generate_series(1, 1000000000000) a(x)";

async fn begin(client: &mut Client) -> (FlightInfo, arrow_flight::decode::FlightRecordBatchStream) {
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    (info, stream)
}

/// Bytes of memory that the server holds.
fn resident(served: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn readers_that_stand_still_cost_little_and_stop_nobody() {
    let served = Served::sample();
    let mut other = served.client().await;
    query(&mut other, "select count(*) as n from interactions").await.unwrap();
    let before = resident(&served);
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = served.client().await;
        held.push((begin(&mut client).await, client));
    }
    // each reads nothing more, and others are served meanwhile
    for _ in 0..50 {
        assert_eq!(query(&mut other, "select count(*) as n from interactions").await.unwrap().num_rows(), 1);
    }
    let more = resident(&served).saturating_sub(before);
    assert!(more < 8 * (32 << 20), "{more} bytes for 8 readers that stand still");
    drop(held);
}

#[tokio::test]
async fn a_join_that_explodes_is_stopped_and_lets_others_have_their_turns() {
    let served = Served::start(&[], &["--data", &sample(), "--threads", "1"]);
    let mut client = served.client().await;
    for sql in [
        "select a.queue, count(*) from interactions a join interactions b on a.queue = b.queue \
         join interactions c on b.queue = c.queue group by a.queue",
        "select count(*) from interactions a, interactions b, interactions c where a.wait_s + b.wait_s + c.wait_s > 5",
    ] {
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err(), "{sql}");
        // others have their turns while it runs, and it ends with its client
        for held in [Some(stream), None] {
            let count = query(&mut client, "select count(*) as n from interactions");
            let count = tokio::time::timeout(Duration::from_secs(60), count).await;
            assert_eq!(count.expect("the only worker is busy").unwrap().num_rows(), 1);
            drop(held);
        }
        let running =
            "select query_id from system.queries where outcome = 'running' and statement like '%interactions c%'";
        while query(&mut client, running).await.unwrap().num_rows() > 0 {}
    }
}

/// Forwards bytes between a client and the server until its own end is cut.
fn proxy(server: String) -> (String, std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (cut, is_cut) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(server).unwrap();
        for (mut from, mut to) in [
            (client.try_clone().unwrap(), server.try_clone().unwrap()),
            (server.try_clone().unwrap(), client.try_clone().unwrap()),
        ] {
            std::thread::spawn(move || {
                let mut bytes = [0; 1 << 16];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    if to.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            });
        }
        // an end of the sender counts as well
        let _ = is_cut.recv();
        for end in [client, server] {
            // one may be closed already
            let _ = end.shutdown(Shutdown::Both);
        }
    });
    (address, cut)
}

#[tokio::test]
async fn the_query_of_a_client_that_died_ends() {
    // one query at a time: another one runs only when the first has ended
    let config = "[serve]\nmax_queries = 1\nqueue_s = 30\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample()]);
    let (address, cut) = proxy(served.address.clone());
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    let (_, stream) = begin(&mut client).await;
    cut.send(()).unwrap();
    let end = stream.try_for_each(|_| async { Ok(()) }).await;
    assert!(end.is_err(), "the connection is gone");
    let mut other = served.client().await;
    assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn nonsense_is_dropped() {
    let mut served = Served::sample();
    let words: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 4096],
    ];
    for word in words {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // the server may close before it has read all of it
        let _ = stream.write_all(word).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        // it closes the connection, whatever it says before
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 1 << 16);
    }
    let mut client = served.client().await;
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
    assert!(served.is_running() && !served.log().contains("panicked"), "{}", served.log());
}

#[tokio::test]
async fn a_statement_of_100_megabytes_is_refused() {
    let served = Served::sample();
    let mut other = served.client().await;
    let mut raw = FlightServiceClient::new(served.channel().await).max_encoding_message_size(usize::MAX);
    let sql = format!("select '{}' as a", "x".repeat(100 << 20));
    let command = CommandStatementQuery { query: sql, transaction_id: None }.as_any().encode_to_vec();
    let error = raw.get_flight_info(FlightDescriptor::new_cmd(command)).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{error:?}");
    assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn a_thousand_connections_are_held() {
    let served = Served::sample();
    let mut other = served.client().await;
    // they say hello, so that they stay
    let open: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.address).expect("the server accepts");
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the server reads");
            stream
        })
        .collect();
    assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
    let mut new = served.client().await;
    assert_eq!(query(&mut new, "select 1 as a").await.unwrap().num_rows(), 1);
    drop(open);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_without_free_connections_goes_on_when_there_are_some() {
    let mut served = Served::limited(128, &[], &["--data", &sample()]);
    let mut before = served.client().await;
    let open: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&served.address).expect("it is queued")).collect();
    served.says("no connection can be accepted");
    // who is connected is served
    assert_eq!(query(&mut before, "select 1 as a").await.unwrap().num_rows(), 1);
    drop(open);
    let mut client = served.client().await;
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
    assert!(served.is_running());
}
