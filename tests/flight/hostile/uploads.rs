//! Messages of clients that declare what they do not hold, or are broken.

use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
    CommandStatementIngest, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
};
use futures::{TryStreamExt, stream};
use prost::Message;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

use crate::server::{Client, Served, query, sample, status};

/// Header and body of each message of a batch.
pub(crate) fn messages(batch: &RecordBatch, codec: Option<CompressionType>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new_with_options(&mut stream, &batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    drop(writer);
    let mut found = Vec::new();
    let mut rest = &stream[..];
    while rest.len() > 8 {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        let header = rest[8..8 + length].to_vec();
        let body = arrow_ipc::root_as_message(&header).unwrap().bodyLength() as usize;
        found.push((header, rest[8 + length..8 + length + body].to_vec()));
        rest = &rest[8 + length + body..];
    }
    found
}

async fn prepare(client: &mut Client, sql: &str) -> Bytes {
    let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let action = Action { r#type: "CreatePreparedStatement".into(), body: request.as_any().encode_to_vec().into() };
    let mut answers = client.do_action(action).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    let any = Any::decode(&*answer.body).unwrap();
    any.unpack::<ActionCreatePreparedStatementResult>().unwrap().unwrap().prepared_statement_handle
}

async fn put(client: &mut Client, command: Bytes, messages: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Status> {
    let messages: Vec<FlightData> = messages
        .iter()
        .enumerate()
        .map(|(at, (header, body))| FlightData {
            flight_descriptor: (at == 0).then(|| FlightDescriptor::new_cmd(command.clone())),
            data_header: header.clone().into(),
            app_metadata: Bytes::new(),
            data_body: body.clone().into(),
        })
        .collect();
    let answers = client.do_put(stream::iter(messages)).await.map_err(status)?;
    answers.map_ok(|_| ()).try_collect().await
}

fn ingest(table: &str) -> Bytes {
    let command = CommandStatementIngest {
        table_definition_options: Some(arrow_flight::sql::TableDefinitionOptions { if_not_exist: 1, if_exists: 3 }),
        table: table.to_owned(),
        schema: None,
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: Default::default(),
    };
    command.as_any().encode_to_vec().into()
}

fn one(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("1", column)]).unwrap()
}

#[tokio::test]
async fn declared_lengths_end_no_server_and_hold_nobody_up() {
    let mut served = Served::start(&[], &["--data", &sample(), "--allow-ingest", "--memory", "1GB"]);
    let mut client = served.client().await;
    let mut other = served.client().await;
    let handle = prepare(&mut client, "select $1 + 1 as a").await;
    let bind: Bytes =
        CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any().encode_to_vec().into();
    let numbers = one(Arc::new(Int64Array::from_iter_values((0..5_000).map(|n| n / 7))));
    let mut attacks = Vec::new();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        for declared in [1i64 << 60, i64::MAX, 4 << 30, -2] {
            let mut attack = messages(&numbers, Some(codec));
            attack.last_mut().unwrap().1[..8].copy_from_slice(&declared.to_le_bytes());
            attacks.push(attack);
        }
    }
    // 3.2 GB of zeros in some hundred KB
    let zeros = one(Arc::new(Int64Array::from(vec![0; 16 << 20])));
    attacks.push(messages(&zeros, Some(CompressionType::ZSTD)));
    // rows that take nothing, and one long value a thousand times
    attacks.push(messages(&one(Arc::new(NullArray::new(1 << 40))), None));
    let long = StringArray::from(vec!["x".repeat(1 << 20)]);
    attacks
        .push(messages(&one(Arc::new(DictionaryArray::new(Int32Array::from(vec![0; 5_000]), Arc::new(long)))), None));
    for (number, attack) in attacks.iter().enumerate() {
        for command in [bind.clone(), ingest("t")] {
            let error = put(&mut client, command, attack).await.unwrap_err();
            let code = error.code();
            assert!([Code::InvalidArgument, Code::ResourceExhausted].contains(&code), "{number}: {error:?}");
            let started = Instant::now();
            assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }
    let peak = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<usize>().unwrap() < 1 << 20, "{peak} kB");
    // what is right is taken
    put(&mut client, bind, &messages(&one(Arc::new(Int64Array::from(vec![1, 2]))), None)).await.unwrap();
    put(&mut client, ingest("t"), &messages(&numbers, Some(CompressionType::ZSTD))).await.unwrap();
    let sum = query(&mut client, "select count(*) as n from scratch.t having sum(\"1\") = 1783218").await.unwrap();
    assert!(served.is_running() && sum.num_rows() <= 1, "{}", served.log());
}

#[tokio::test]
async fn rows_of_parameters_are_counted_as_they_come() {
    let served = Served::sample();
    let mut client = served.client().await;
    let handle = prepare(&mut client, "select $1 as a").await;
    let bind: Bytes =
        CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any().encode_to_vec().into();
    let batch = messages(&one(Arc::new(Int64Array::from(vec![1; 1_000]))), None);
    let descriptor = Some(FlightDescriptor::new_cmd(bind));
    let data = |(header, body): &(Vec<u8>, Vec<u8>), flight_descriptor| FlightData {
        flight_descriptor,
        data_header: header.clone().into(),
        app_metadata: Bytes::new(),
        data_body: body.clone().into(),
    };
    // an upload without end
    let mut all = vec![data(&batch[0], descriptor)];
    all.extend(std::iter::repeat_with(|| data(&batch[1], None)).take(20_000));
    let answers = client.do_put(stream::iter(all)).await;
    let error = match answers {
        Ok(answers) => answers.map_ok(|_| ()).try_collect::<()>().await.unwrap_err(),
        Err(error) => status(error),
    };
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(error.message().contains("at most 10000 rows"), "{error:?}");
}

/// Real messages with changed bits, bytes, lengths and ends.
#[tokio::test]
async fn mutated_messages_are_refused_without_a_panic() {
    let mut served = Served::start(&[], &["--data", &sample(), "--allow-ingest"]);
    let mut client = served.client().await;
    let labels: DictionaryArray<datafusion::arrow::datatypes::Int32Type> = ["a", "b", "a"].into_iter().collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("a", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("b", Arc::new(StringArray::from(vec![Some("alpha"), None, Some("gamma")]))),
        ("c", Arc::new(labels)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut random = rand_pcg::Pcg64::seed_from_u64(23);
    let mut refused = 0;
    for round in 0..600 {
        let codec = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)][round % 3];
        let mut all = messages(&batch, codec);
        let at = random.random_range(0..all.len());
        let (header, body) = &mut all[at];
        let part = if random.random_bool(0.7) || body.is_empty() { header } else { body };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..part.len());
            match random.random_range(0..3) {
                0 => part[at] ^= 1 << random.random_range(0..8),
                1 => part[at] = random.random(),
                _ => part.truncate(at.max(1)),
            }
        }
        if let Err(error) = put(&mut client, ingest("t"), &all).await {
            refused += 1;
            let code = error.code();
            assert!([Code::InvalidArgument, Code::ResourceExhausted].contains(&code), "{round}: {error:?}");
        }
    }
    assert!(refused > 100, "{refused}");
    assert!(served.is_running());
    let log = served.log();
    assert!(!log.contains("panicked") && !log.contains("a fault of"), "{log}");
}
