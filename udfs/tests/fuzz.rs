//! A fuzz target of the functions of strings: changed texts have a score, a label or NULL, the same in every Arrow type.

#[path = "../../fuzz/mutate.rs"]
mod mutate;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use rand::Rng;

const WORDS: [&str; 24] = [
    "good",
    "bad",
    "NOT ",
    "never",
    "very ",
    "kind of ",
    "but ",
    "at least ",
    "!!!",
    "??",
    ":)",
    ":-(",
    "😀",
    "❤️",
    "\u{200d}",
    "\u{301}",
    "\u{0}",
    "很好",
    "хорошо",
    "\u{202e}",
    "'",
    "n't",
    "\t",
    "GREAT ",
];

const LANGUAGES: [Option<&str>; 6] = [Some("en"), Some("en-US"), Some("English"), Some("de"), Some(""), None];

/// The functions over the columns `text` and `language`, for columns of a type.
struct Functions {
    schema: DFSchema,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
}

impl Functions {
    fn new(context: &SessionContext, synonyms: &Expr, data_type: DataType) -> Self {
        let schema = DFSchema::try_from(batch("", None, &data_type).schema().as_ref().clone()).unwrap();
        let call = |name: &str, arguments: Vec<Expr>| context.udf(name).unwrap().call(arguments);
        let expressions = [
            call("sentiment", vec![col("text")]),
            call("sentiment_label", vec![col("text")]),
            call("sentiment", vec![col("text"), col("language")]),
            call("standard_label", vec![lit("topic"), col("text"), synonyms.clone()]),
        ];
        let physical = |expression| context.create_physical_expr(expression, &schema).unwrap();
        Self { expressions: expressions.into_iter().map(physical).collect(), schema, data_type }
    }

    /// The results as strings, for one text.
    fn evaluate(&self, text: &str, language: Option<&str>) -> Vec<Option<String>> {
        let batch = batch(text, language, &self.data_type);
        assert_eq!(batch.schema().as_ref(), self.schema.as_arrow());
        let value = |expression: &Arc<dyn PhysicalExpr>| -> ArrayRef {
            expression.evaluate(&batch).unwrap().into_array(1).unwrap()
        };
        let shown = |column: ArrayRef| {
            let strings = cast(&column, &DataType::Utf8).unwrap();
            strings.is_valid(0).then(|| strings.as_string::<i32>().value(0).to_owned())
        };
        if let Some(score) = value(&self.expressions[0]).as_primitive::<Float64Type>().iter().next().flatten() {
            assert!((-1.0..=1.0).contains(&score), "{text:?}: {score}");
        }
        self.expressions.iter().map(|expression| shown(value(expression))).collect()
    }
}

fn batch(text: &str, language: Option<&str>, data_type: &DataType) -> RecordBatch {
    let column = |value: Option<&str>| cast(&StringArray::from(vec![value]), data_type).unwrap();
    RecordBatch::try_from_iter_with_nullable([("text", column(Some(text)), true), ("language", column(language), true)])
        .unwrap()
}

/// Of two labels, one of them twice.
async fn synonyms(context: &SessionContext) -> Expr {
    let one = |label: &str, standard: &str| {
        format!("named_struct('column_name', 'topic', 'label', '{label}', 'standard_label', '{standard}')")
    };
    let rows = [one("billing issue", "billing"), one("billing issue", "bills"), one("", "nothing")].join(", ");
    let batches = context.sql(&format!("select make_array({rows})")).await.unwrap().collect().await.unwrap();
    Expr::Literal(ScalarValue::try_from_array(batches[0].column(0), 0).unwrap(), None)
}

#[tokio::test]
async fn fuzzed_texts_have_a_score_and_a_label() {
    let context = SessionContext::new();
    cxql_udfs::register_all(&mut *context.state_ref().write()).unwrap();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let types = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary];
    let synonyms = synonyms(&context).await;
    let functions = types.map(|data_type| Functions::new(&context, &synonyms, data_type));
    let lines =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/text/lines.txt")).unwrap();
    let corpus: Vec<Vec<u8>> = lines.lines().map(|line| line.as_bytes().to_vec()).collect();
    let mut labels = std::collections::BTreeSet::new();
    mutate::run("text", 3_000, &corpus, &WORDS, |random, input| {
        let text = String::from_utf8_lossy(&input);
        let language = *mutate::pick(random, &LANGUAGES);
        let results = functions[0].evaluate(&text, language);
        let other = &functions[random.random_range(1..functions.len())];
        assert_eq!(other.evaluate(&text, language), results, "{}", other.data_type);
        let [score, label, of_language, standard] = &results[..] else { panic!("four functions") };
        let expected = score.as_ref().map(|score| match score.parse::<f64>().unwrap() {
            score if score >= 0.05 => "positive",
            score if score <= -0.05 => "negative",
            _ => "neutral",
        });
        assert_eq!(label.as_deref(), expected, "{text:?}: {score:?}");
        let is_english = !matches!(language, Some("de" | ""));
        assert_eq!(of_language, if is_english { score } else { &None }, "{text:?} in {language:?}");
        let standard_label = match &*text {
            "billing issue" => "billing",
            "" => "nothing",
            other => other,
        };
        assert_eq!(standard.as_deref(), Some(standard_label));
        labels.extend(label.clone());
    });
    assert!(std::env::var("CXQL_FUZZ_CASE").is_ok() || labels.len() == 3, "{labels:?}");
}
