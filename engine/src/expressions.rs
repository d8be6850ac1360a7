//! Physical expressions that rules put in place of DataFusion's.

mod dictionary_eval;
mod distinct_results;
#[cfg(test)]
mod tests;

pub(crate) use self::dictionary_eval::{DictionaryEvalExpr, is_only_evaluated, only_evaluated};
