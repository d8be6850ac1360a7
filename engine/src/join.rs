//! Join operators: [`BloomFilterJoinExec`] drops probe rows without a match before they reach DataFusion's hash join.

mod bloom_filter;

pub use self::bloom_filter::BloomFilterJoinExec;
