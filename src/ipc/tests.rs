use datafusion::arrow::array::{
    Decimal128Array, DictionaryArray, Int32Array, NullArray, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int32Type};
use datafusion::execution::memory_pool::GreedyMemoryPool;

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};

use super::*;
use crate::session::faults::{FAULT, FaultTarget, Faults};

const MB: usize = 1 << 20;

/// Header and body of each message of a batch.
fn messages(batch: &RecordBatch, codec: Option<CompressionType>) -> Vec<(Vec<u8>, Vec<u8>)> {
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
        let body = root_as_message(&header).unwrap().bodyLength() as usize;
        found.push((header, rest[8 + length..8 + length + body].to_vec()));
        rest = &rest[8 + length + body..];
    }
    found
}

fn decode(messages: &[(Vec<u8>, Vec<u8>)], limit: usize) -> Result<Vec<RecordBatch>, IpcFault> {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(256 * MB));
    let mut decoder = IpcDecoder::of_stream(limit, &pool, "test");
    let mut batches = Vec::new();
    for (header, body) in messages {
        if let Decoded::Batch(batch) = decoder.decode(header, &Buffer::from(body.as_slice()))? {
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn one(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("a", column)]).unwrap()
}

fn numbers() -> RecordBatch {
    one(Arc::new(Int32Array::from_iter_values((0..10_000).map(|n| n / 100))))
}

#[test]
fn what_is_written_is_read() {
    let strings =
        StringViewArray::from_iter_values((0..100).map(|n| format!("a string of more than twelve bytes {n}")));
    let labels: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let fields = Fields::from(vec![Field::new("x", DataType::Utf8View, false)]);
    let nested = StructArray::new(fields, vec![Arc::new(strings.clone())], None);
    for batch in [numbers(), one(Arc::new(strings)), one(Arc::new(labels)), one(Arc::new(nested))] {
        for codec in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            assert_eq!(decode(&messages(&batch, codec), 64 * MB).unwrap(), std::slice::from_ref(&batch));
        }
    }
}

#[test]
fn a_declared_length_is_checked_before_anything_is_decoded() {
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        for declared in [1i64 << 60, i64::MAX, 3 << 30, 200 << 20, -2, i64::MIN] {
            let mut all = messages(&numbers(), Some(codec));
            let (_, body) = all.last_mut().unwrap();
            // the values; the validity buffer is empty
            body[..8].copy_from_slice(&declared.to_le_bytes());
            assert!(decode(&all, usize::MAX).is_err(), "{codec:?} {declared}");
        }
    }
}

#[test]
fn zeros_that_compress_to_nothing_have_a_limit() {
    let zeros = one(Arc::new(Int32Array::from(vec![0; 20 << 20])));
    let all = messages(&zeros, Some(CompressionType::ZSTD));
    assert!(all.last().unwrap().1.len() < MB);
    let fault = decode(&all, usize::MAX).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "buffers of 80 MB in one message, at most 64 MB are taken; send or write smaller batches"
    );
}

#[test]
fn rows_without_bytes_have_a_limit() {
    for rows in [2 << 20, 1 << 40] {
        let batch = one(Arc::new(NullArray::new(rows)));
        assert!(matches!(decode(&messages(&batch, None), 64 * MB), Err(IpcFault::TooLarge(_))), "{rows}");
    }
    let batch = one(Arc::new(NullArray::new(1000)));
    assert_eq!(decode(&messages(&batch, None), 64 * MB).unwrap()[0].num_rows(), 1000);
}

#[test]
fn values_that_share_bytes_are_added_as_if_they_did_not() {
    let long = "x".repeat(MB);
    let views = StringViewArray::from(vec![long.as_str(); 3]);
    let shared = {
        let (first, buffers) = (views.views()[0], views.data_buffers().to_vec());
        StringViewArray::try_new(vec![first; 1000].into(), buffers, None).unwrap()
    };
    let keys = Int32Array::from(vec![0; 1000]);
    let labels = DictionaryArray::new(keys, Arc::new(StringArray::from(vec![long.as_str()])));
    for batch in [one(Arc::new(shared)), one(Arc::new(labels))] {
        let fault = decode(&messages(&batch, None), 64 * MB).unwrap_err();
        assert!(fault.to_string().starts_with("values of 1000 MB in one message"), "{fault}");
    }
}

#[test]
fn memory_is_reserved_before_it_is_taken() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10_000));
    let mut decoder = IpcDecoder::of_file(usize::MAX, &pool, "test");
    let faults: Vec<_> = messages(&numbers(), Some(CompressionType::ZSTD))
        .iter()
        .filter_map(|(header, body)| decoder.decode(header, &Buffer::from(body.as_slice())).err())
        .collect();
    assert!(matches!(faults[..], [IpcFault::TooLarge(_)]), "{faults:?}");
    drop(decoder);
    assert_eq!(pool.reserved(), 0);
}

#[test]
fn decimals_with_more_digits_than_their_type_are_refused() {
    let decimals = |value: i128| {
        let column = Decimal128Array::from(vec![Some(1), None, Some(value)]).with_precision_and_scale(18, 2).unwrap();
        let fields = Fields::from(vec![Field::new("x", DataType::Decimal128(18, 2), true)]);
        one(Arc::new(StructArray::new(fields, vec![Arc::new(column)], None)))
    };
    let most = 10_i128.pow(18) - 1;
    let batch = decimals(-most);
    assert_eq!(decode(&messages(&batch, None), 64 * MB).unwrap(), [batch]);
    let fault = decode(&messages(&decimals(most + 1), None), 64 * MB).unwrap_err();
    assert!(matches!(&fault, IpcFault::Invalid(text) if text.contains("precision")), "{fault}");
}

#[test]
fn an_upload_whose_reservation_fails_is_refused_and_holds_nothing() {
    let labels: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let all = messages(&one(Arc::new(labels)), Some(CompressionType::ZSTD));
    let whole = decode(&all, 64 * MB).unwrap();
    for at in 1.. {
        let faults = Faults::new(FaultTarget::Memory, at, false);
        let pool = faults.pool(Arc::new(GreedyMemoryPool::new(256 * MB)));
        let mut decoder = IpcDecoder::of_stream(64 * MB, &pool, "test");
        let decoded: Result<Vec<_>, _> =
            all.iter().map(|(header, body)| decoder.decode(header, &Buffer::from(body.as_slice()))).collect();
        drop(decoder);
        assert_eq!(pool.reserved(), 0);
        match decoded {
            Err(fault) => assert!(matches!(&fault, IpcFault::TooLarge(text) if text.contains(FAULT)), "{fault}"),
            Ok(decoded) => {
                let last = decoded.into_iter().next_back().unwrap();
                assert!(matches!(last, Decoded::Batch(batch) if batch == whole[0]));
                assert!(at > 1 && faults.calls() < at, "{at}");
                break;
            }
        }
    }
}

/// Changes of real messages: bits, bytes, lengths, ends. None may panic or take much.
#[test]
fn mutated_messages_are_decoded_or_refused() {
    use rand::{Rng, SeedableRng};
    let labels: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let strings = StringArray::from(vec![Some("alpha"), None, Some("gamma")]);
    let views = StringViewArray::from(vec!["a string of more than twelve bytes", "x", "y"]);
    let columns: [(&str, ArrayRef); 4] = [
        ("a", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("b", Arc::new(strings)),
        ("c", Arc::new(labels)),
        ("d", Arc::new(views)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut random = rand_pcg::Pcg64::seed_from_u64(7);
    let mut refused = 0;
    for round in 0..3_000 {
        let codec = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)][round % 3];
        let mut all = messages(&batch, codec);
        let at = random.random_range(0..all.len());
        let (header, body) = &mut all[at];
        let part = if random.random_bool(0.7) || body.is_empty() { header } else { body };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..part.len());
            match random.random_range(0..4) {
                0 => part[at] ^= 1 << random.random_range(0..8),
                1 => part[at] = random.random(),
                2 if part.len() > at + 8 => {
                    let length = [i64::MAX, -1, 1 << 40, 1 << 20][random.random_range(0..4)];
                    part[at..at + 8].copy_from_slice(&length.to_le_bytes());
                }
                _ => part.truncate(at.max(1)),
            }
        }
        refused += usize::from(decode(&all, 64 * MB).is_err());
    }
    assert!((500..3_000).contains(&refused), "{refused}");
}
