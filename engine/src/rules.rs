//! The one ordered list of all rules, each with the reason for its position among DataFusion's. Programs and tests use it.
//!
//! A rule is placed at the start, before a rule of DataFusion that is found by its name, or at the end; rules with the same
//! position keep the order of the list. Each has a switch of its own name in [`EngineOptions`], which is checked here, for
//! every rule alike.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::EngineOptions;
use crate::analyzer::exact_arithmetic::ExactArithmeticRule;
use crate::analyzer::float_equality::FloatEquality;
use crate::analyzer::interval_comparison::IntervalComparison;
use crate::analyzer::like_escape::LikeEscape;
use crate::analyzer::merge_percentiles::MergePercentiles;
use crate::analyzer::mixed_types::MixedTypes;
use crate::analyzer::multiset_operations::MultisetOperations;
use crate::analyzer::plain_window_strings::PlainWindowStrings;
use crate::analyzer::range_frames::RangeFrames;
use crate::analyzer::session_time_zone::SessionTimeZone;
use crate::analyzer::subqueries::Subqueries;
use crate::analyzer::temporal_casts::TemporalCasts;
use crate::analyzer::timestamp_comparison::TimestampComparison;
use crate::analyzer::utc_interval_arithmetic::UtcIntervalArithmetic;
use crate::optimizer::build_side_selection::BuildSideSelection;
use crate::optimizer::clustered_aggregation::ClusteredAggregation;
use crate::optimizer::cooperative_joins::CooperativeJoins;
use crate::optimizer::dictionary_evaluation::DictionaryEvaluation;
use crate::optimizer::dictionary_keys::DictionaryKeys;
use crate::optimizer::dictionary_scan::DictionaryScan;
use crate::optimizer::duplicate_names::DuplicateNames;
use crate::optimizer::float_statistics::FloatStatistics;
use crate::optimizer::hash_window_agg::HashWindowAgg;
use crate::optimizer::join_bloom_filter::JoinBloomFilter;
use crate::optimizer::merge_windows::MergeWindows;
use crate::optimizer::ordering_claims::OrderingClaims;
use crate::optimizer::perfect_hash_aggregation::PerfectHashAggregation;
use crate::optimizer::shared_subplans::SharedSubplans;
use crate::optimizer::staged_writes::StagedWrites;
use crate::optimizer::unique_keys::UniqueKeys;
use crate::optimizer::unpartitioned_window::UnpartitionedWindow;
use crate::optimizer::unsplit_partitions::UnsplitPartitions;
use crate::optimizer::window_fetch::WindowFetch;
use crate::optimizer::window_memory::WindowMemory;

/// Where a rule stands among those of DataFusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before all of them.
    First,
    /// Before the rule of this name.
    Before(&'static str),
    /// After all of them.
    Last,
}

/// A rule with its position and the reason for that.
#[derive(Debug)]
pub struct PlacedRule<R: ?Sized> {
    /// The rule, which does nothing when its switch is off.
    pub rule: Arc<R>,
    /// Where it stands.
    pub position: Position,
    /// Why there.
    pub reason: &'static str,
}

/// A rule of the logical plan.
pub type PlacedAnalyzerRule = PlacedRule<dyn AnalyzerRule + Send + Sync>;
/// A rule of the physical plan.
pub type PlacedOptimizerRule = PlacedRule<dyn PhysicalOptimizerRule + Send + Sync>;

/// The name of DataFusion's rule that adds sorts and exchanges.
const ENSURE_REQUIREMENTS: &str = "EnsureRequirements";

/// The analyzer rules, in order.
pub fn analyzer_rules() -> Vec<PlacedAnalyzerRule> {
    fn placed(
        rule: impl AnalyzerRule + Send + Sync + 'static,
        position: Position,
        reason: &'static str,
    ) -> PlacedAnalyzerRule {
        PlacedRule { rule: Arc::new(Switched(rule)), position, reason }
    }
    vec![
        placed(
            SessionTimeZone,
            Position::First,
            "changes the types of columns: all rules below, and type coercion, must see the new ones",
        ),
        placed(
            Subqueries,
            Position::First,
            "makes comparisons of what type coercion would otherwise coerce as IN and ANY; windows of limits for the next rules",
        ),
        placed(
            MultisetOperations,
            Position::First,
            "while set operations are the only joins in which NULL equals NULL; makes windows for the next rule",
        ),
        placed(LikeEscape, Position::First, "while patterns are the literals that were written"),
        placed(
            PlainWindowStrings,
            Position::First,
            "changes the types of columns: type coercion must see the new ones",
        ),
        placed(
            MixedTypes,
            Position::First,
            "before type coercion gives decimals and floats a type of its own; before ExactArithmeticRule, which makes decimals of literals beside decimals that are left",
        ),
        placed(
            RangeFrames,
            Position::First,
            "reads the offsets of frames as they are written, before type coercion; after PlainWindowStrings, whose types it asks for",
        ),
        placed(
            ExactArithmeticRule,
            Position::First,
            "widens integers before type coercion settles on their types, and before it casts unsigned ones to decimals",
        ),
        placed(
            IntervalComparison::of_windows(),
            Position::First,
            "type coercion refuses windows that are ordered by a duration or an interval",
        ),
        placed(
            TimestampComparison,
            Position::Last,
            "compares what type coercion has cast; before TemporalCasts, which makes functions of casts",
        ),
        placed(
            TemporalCasts,
            Position::Last,
            "reaches the casts that type coercion adds; before IntervalComparison, which looks into casts of durations only",
        ),
        placed(
            IntervalComparison::new(),
            Position::Last,
            "asks for the types of both sides, which type coercion has settled; before UtcIntervalArithmetic, whose calls it need not know",
        ),
        placed(
            UtcIntervalArithmetic::new(),
            Position::Last,
            "asks for the types of both sides, which type coercion has settled",
        ),
        placed(
            MergePercentiles::new(),
            Position::Last,
            "compares arguments, which are equal only after the same casts were added to them",
        ),
        placed(
            FloatEquality::new(),
            Position::Last,
            "after type coercion, by which constants have the type of the columns beside them; comparisons that other rules make are included",
        ),
    ]
}

/// The physical optimizer rules, in order. `footers` are those of the session's runtime environment.
pub fn optimizer_rules(footers: Arc<FileMetadataCache>) -> Vec<PlacedOptimizerRule> {
    fn placed(
        rule: impl PhysicalOptimizerRule + Send + Sync + 'static,
        position: Position,
        reason: &'static str,
    ) -> PlacedOptimizerRule {
        PlacedRule { rule: Arc::new(Switched(rule)), position, reason }
    }
    let before_requirements = Position::Before(ENSURE_REQUIREMENTS);
    vec![
        placed(DuplicateNames, Position::First, "before filters are pushed down"),
        placed(DictionaryKeys, Position::First, "before exchanges by the keys of joins are added"),
        placed(
            FloatStatistics,
            Position::First,
            "before AggregateStatistics and every other rule that reads statistics",
        ),
        placed(
            BuildSideSelection,
            before_requirements,
            "swapping sides and collecting one changes the exchanges that a join needs",
        ),
        placed(
            HashWindowAgg,
            before_requirements,
            "no sort is added below, and what stands above and needs an order gets one",
        ),
        placed(
            MergeWindows,
            before_requirements,
            "after HashWindowAgg, whose operators it merges; before the rules below, which limit and move them",
        ),
        placed(
            UnpartitionedWindow,
            before_requirements,
            "after HashWindowAgg, which takes the windows with PARTITION BY; before the sorts that it makes superfluous",
        ),
        placed(
            WindowFetch,
            before_requirements,
            "after HashWindowAgg, whose operators it limits; before UniqueKeys, which moves them away from their filters' inputs",
        ),
        placed(
            UniqueKeys::default(),
            before_requirements,
            "after HashWindowAgg, whose operators it looks for; before ClusteredAggregation, which finds its output clustered",
        ),
        placed(
            ClusteredAggregation,
            before_requirements,
            "after HashWindowAgg, whose output it needs; before exchanges, which would break the clustering",
        ),
        placed(
            UnsplitPartitions,
            before_requirements,
            "after both rules above, which make the operators that it connects",
        ),
        placed(
            OrderingClaims::BeforeSorts,
            before_requirements,
            "after all rules that swap or replace joins; before the sorts that wrong claims would leave out",
        ),
        placed(
            OrderingClaims::AfterSorts,
            Position::Last,
            "after EnsureRequirements, whose sorts below ordered aggregates bring claims back",
        ),
        placed(
            DictionaryEvaluation,
            Position::Last,
            "after DataFusion's rules, which look into expressions and move them into scans; before PerfectHashAggregation, which replaces aggregates with expressions in them",
        ),
        placed(
            PerfectHashAggregation,
            Position::Last,
            "replaces the partial aggregates that are left when DataFusion has combined or split them",
        ),
        placed(
            DictionaryScan::new(footers),
            Position::Last,
            "after PerfectHashAggregation and DictionaryEvaluation, whose operator and expressions take dictionaries; before JoinBloomFilter, through which columns are not traced",
        ),
        placed(
            CooperativeJoins,
            Position::Last,
            "after EnsureCooperative, and before JoinBloomFilter wraps joins into another operator",
        ),
        placed(WindowMemory, Position::Last, "after all rules that look for a window below an operator"),
        placed(
            JoinBloomFilter,
            Position::Last,
            "after FilterPushdown in its post-optimization phase, whose dynamic filters belong to the join",
        ),
        placed(StagedWrites, Position::Last, "after EnsureRequirements, which adds the exchange below a sink"),
        placed(
            SharedSubplans,
            Position::Last,
            "after all rules that rewrite operators: shared subplans are optimized by themselves",
        ),
    ]
}

/// DataFusion's rules with ours in their positions.
///
/// # Errors
/// A rule beside which one of ours stands is not among them.
pub fn place<R: RuleName + ?Sized>(mut rules: Vec<Arc<R>>, ours: Vec<PlacedRule<R>>) -> Result<Vec<Arc<R>>> {
    let mut first_count = 0;
    for PlacedRule { rule, position, .. } in ours {
        let index = match position {
            Position::First => {
                first_count += 1;
                first_count - 1
            }
            Position::Before(name) => match rules.iter().position(|rule| rule.rule_name() == name) {
                Some(index) => index,
                None => {
                    let known: Vec<&str> = rules.iter().map(|rule| rule.rule_name()).collect();
                    return plan_err!(
                        "the rule {} stands before {name}, which is not among the rules {}",
                        rule.rule_name(),
                        known.join(", ")
                    );
                }
            },
            Position::Last => rules.len(),
        };
        rules.insert(index, rule);
    }
    Ok(rules)
}

/// The name of a rule of either kind.
pub trait RuleName {
    /// The name.
    fn rule_name(&self) -> &str;
}

impl RuleName for dyn AnalyzerRule + Send + Sync {
    fn rule_name(&self) -> &str {
        self.name()
    }
}

impl RuleName for dyn PhysicalOptimizerRule + Send + Sync {
    fn rule_name(&self) -> &str {
        self.name()
    }
}

/// A rule that leaves plans alone when its switch is off.
#[derive(Debug)]
struct Switched<R>(R);

impl<R: AnalyzerRule> AnalyzerRule for Switched<R> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if EngineOptions::of(config).is_on(self.0.name()) { self.0.analyze(plan, config) } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl<R: PhysicalOptimizerRule> PhysicalOptimizerRule for Switched<R> {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if EngineOptions::of(config).is_on(self.0.name()) { self.0.optimize(plan, config) } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::runtime_env::RuntimeEnv;
    use datafusion::optimizer::analyzer::Analyzer;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    fn footers() -> Arc<FileMetadataCache> {
        RuntimeEnv::default().cache_manager.get_file_metadata_cache()
    }

    #[test]
    fn every_rule_has_a_switch_of_its_name() {
        let analyzer = analyzer_rules().into_iter().map(|placed| placed.rule.name().to_string());
        let optimizer = optimizer_rules(footers()).into_iter().map(|placed| placed.rule.name().to_string());
        for name in analyzer.chain(optimizer) {
            assert!(EngineOptions::default().is_on(&name), "{name} has no switch");
            assert!(!EngineOptions::off().is_on(&name), "{name} cannot be switched off");
        }
    }

    #[test]
    fn rules_stand_in_their_positions() {
        let rules = place(Analyzer::new().rules, analyzer_rules()).unwrap();
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let ours = [
            "session_time_zone",
            "subqueries",
            "multiset_operations",
            "like_escape",
            "plain_window_strings",
            "mixed_types",
            "range_frames",
            "exact_arithmetic",
            "interval_comparison",
        ];
        assert_eq!(names[..ours.len()], ours);
        let ours = [
            "timestamp_comparison",
            "temporal_casts",
            "interval_comparison",
            "utc_interval_arithmetic",
            "merge_percentiles",
            "float_equality",
        ];
        assert_eq!(names[names.len() - ours.len()..], ours);
        let rules = place(PhysicalOptimizer::new().rules, optimizer_rules(footers())).unwrap();
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let ours = [
            "build_side_selection",
            "hash_window_agg",
            "merge_windows",
            "unpartitioned_window",
            "window_fetch",
            "unique_keys",
            "clustered_aggregation",
            "unsplit_partitions",
            "ordering_claims",
        ];
        let end = names.iter().position(|name| *name == ENSURE_REQUIREMENTS).unwrap();
        assert_eq!(names[end - ours.len()..end], ours);
        let ours = [
            "ordering_claims",
            "dictionary_evaluation",
            "perfect_hash_aggregation",
            "dictionary_scan",
            "cooperative_joins",
            "window_memory",
            "join_bloom_filter",
            "staged_writes",
            "shared_subplans",
        ];
        assert_eq!(names[names.len() - ours.len()..], ours);
    }

    #[test]
    fn a_rule_that_is_not_found_is_an_error() {
        let error = place(vec![], optimizer_rules(footers())).unwrap_err().to_string();
        assert!(error.contains("build_side_selection stands before EnsureRequirements, which is not among"), "{error}");
    }
}
