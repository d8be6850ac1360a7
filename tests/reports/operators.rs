//! Operators earn their room: each of the engine's operators is in the plans of shipped reports.

use super::program::{Project, root};

/// What a plan shows of an operator or rule.
const WORDS: &[&str] = &[
    "HashWindowAggExec",
    "ClusteredAggregateExec",
    "PerfectHashAggregateExec",
    "input=clustered",
    "batches=unsplit",
    "dictionary=[",
    ", bloom_filter",
    "utc_plus(",
    "percentiles_cont(",
];

#[test]
fn each_operator_is_in_the_plans_of_two_shipped_reports() {
    let project = Project::shipped();
    let mut plans: Vec<(String, String)> = vec![];
    for kind in ["descriptive", "diagnostic", "quality"] {
        for file in std::fs::read_dir(root().join("sql").join(kind)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            let plan = project.output(&["run", &name, "--explain"]);
            plans.push((name, plan));
        }
    }
    for word in WORDS {
        let names: Vec<&str> =
            plans.iter().filter(|(_, plan)| plan.contains(word)).map(|(name, _)| name.as_str()).collect();
        println!("{word}: {}", names.join(", "));
        assert!(names.len() >= 2, "`{word}` is in the plans of {names:?} alone");
    }
}
