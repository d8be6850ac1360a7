//! Physical optimizer rules, one file each; their order is in [`crate::rules`].

pub(crate) mod build_side_selection;
pub(crate) mod clustered_aggregation;
pub(crate) mod cooperative_joins;
pub(crate) mod dictionary_evaluation;
pub(crate) mod dictionary_keys;
pub(crate) mod dictionary_scan;
pub(crate) mod duplicate_names;
pub(crate) mod equijoin_keys;
pub(crate) mod float_statistics;
pub(crate) mod hash_window_agg;
pub(crate) mod join_bloom_filter;
pub(crate) mod merge_windows;
pub(crate) mod ordering_claims;
pub(crate) mod perfect_hash_aggregation;
pub(crate) mod shared_subplans;
pub(crate) mod staged_writes;
pub(crate) mod unique_keys;
pub(crate) mod unpartitioned_window;
pub(crate) mod unsplit_partitions;
pub(crate) mod window_fetch;
pub(crate) mod window_keys;
pub(crate) mod window_memory;
