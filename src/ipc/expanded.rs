//! The bytes of values that share bytes in their message.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, RecordBatch};
use datafusion::arrow::datatypes::DataType;

/// The bytes of all values of a batch, as [`bytes`].
pub(crate) fn value_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes).fold(0, usize::saturating_add)
}

/// The bytes that the values of an array take when each is written out; an upper bound for nested types.
fn bytes(array: &ArrayRef) -> usize {
    let product = |count: usize, values: &ArrayRef| count.saturating_mul(bytes(values));
    match array.data_type() {
        DataType::Utf8View => viewed(array.as_string_view().views()),
        DataType::BinaryView => viewed(array.as_binary_view().views()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            match lengths(values) {
                Some(lengths) => {
                    let keys = dictionary.normalized_keys();
                    keys.iter().map(|key| lengths.get(*key).copied().unwrap_or(0)).fold(0, usize::saturating_add)
                }
                None => match values.data_type().primitive_width() {
                    Some(width) => array.len().saturating_mul(width),
                    None => product(array.len(), values),
                },
            }
        }
        DataType::RunEndEncoded(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
            let values = array.to_data().child_data().last().cloned().map(datafusion::arrow::array::make_array);
            values.map_or(0, |values| match values.data_type().primitive_width() {
                Some(width) if matches!(array.data_type(), DataType::RunEndEncoded(..)) => {
                    array.len().saturating_mul(width)
                }
                _ => product(array.len(), &values),
            })
        }
        DataType::List(_) => bytes(array.as_list::<i32>().values()),
        DataType::LargeList(_) => bytes(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => bytes(array.as_fixed_size_list().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().map(bytes).fold(0, usize::saturating_add),
        DataType::Struct(_) => array.as_struct().columns().iter().map(bytes).fold(0, usize::saturating_add),
        _ => array.get_buffer_memory_size(),
    }
}

fn viewed(views: &[u128]) -> usize {
    views.iter().map(|view| ByteView::from(*view).length as usize + size_of::<u128>()).fold(0, usize::saturating_add)
}

/// The length of each value of a column of strings or bytes.
fn lengths(values: &ArrayRef) -> Option<Vec<usize>> {
    fn of_offsets<T: Copy + Into<i64>>(offsets: &[T]) -> Vec<usize> {
        offsets.windows(2).map(|pair| usize::try_from(pair[1].into() - pair[0].into()).unwrap_or(0)).collect()
    }
    match values.data_type() {
        DataType::Utf8 => Some(of_offsets(values.as_string::<i32>().value_offsets())),
        DataType::LargeUtf8 => Some(of_offsets(values.as_string::<i64>().value_offsets())),
        DataType::Binary => Some(of_offsets(values.as_binary::<i32>().value_offsets())),
        DataType::LargeBinary => Some(of_offsets(values.as_binary::<i64>().value_offsets())),
        DataType::Utf8View => Some(values.as_string_view().iter().map(|value| value.map_or(0, str::len)).collect()),
        DataType::BinaryView => {
            Some(values.as_binary_view().iter().map(|value| value.map_or(0, <[u8]>::len)).collect())
        }
        _ => None,
    }
}
