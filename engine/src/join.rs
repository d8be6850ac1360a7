//! Joins: a Bloom filter before the hash table of DataFusion's join ([`BloomFilterJoinExec`]).

mod bloom_filter;

pub use self::bloom_filter::BloomFilterJoinExec;
