//! Operators earn their room: each of the engine's operators, and each mark of a plan that a rule leaves, is in the plans of
//! shipped reports or of the plain questions of `bench/questions`.

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
fn each_operator_is_in_the_plans_of_reports_or_plain_questions() {
    let project = Project::shipped();
    let mut plans: Vec<(String, String)> = vec![];
    for kind in ["descriptive", "diagnostic", "quality"] {
        for file in std::fs::read_dir(root().join("sql").join(kind)).unwrap() {
            let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string();
            let plan = project.output(&["run", &name, "--explain"]);
            plans.push((name, plan));
        }
    }
    let report_count = plans.len();
    for folder in std::fs::read_dir(root().join("bench/questions")).unwrap() {
        let folder = folder.unwrap();
        let file = folder.path().join("cxql.sql");
        // the others are shipped reports
        if !file.exists() {
            continue;
        }
        let sql = std::fs::read_to_string(file).unwrap();
        plans.push((folder.file_name().into_string().unwrap(), project.output(&["query", &sql, "--explain"])));
    }
    assert!(report_count > 30 && plans.len() > report_count + 15);
    for word in WORDS {
        let names: Vec<&str> =
            plans.iter().filter(|(_, plan)| plan.contains(word)).map(|(name, _)| name.as_str()).collect();
        println!("{word}: {}", names.join(", "));
        assert!(!names.is_empty(), "`{word}` is in no plan");
    }
    // the operators themselves in reports that analysts run
    for operator in
        ["HashWindowAggExec", "ClusteredAggregateExec", "PerfectHashAggregateExec", ", bloom_filter", "dictionary=["]
    {
        assert!(plans[..report_count].iter().any(|(_, plan)| plan.contains(operator)), "{operator} is in no report");
    }
}
