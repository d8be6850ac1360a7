//! `sentiment(text [, language])` and `sentiment_label(text [, language])`: how positive or negative a text is.
//!
//! Formula: sum of the rated words' valences under the rules of the language, punctuation added, brought into [-1, 1] by
//!          s / sqrt(s^2 + 15), four digits; label: positive from .05, negative to -.05, else neutral.
//! Units:   text in, score in [-1, 1] or 'positive', 'neutral', 'negative' out.
//! NULL:    a NULL text gives NULL; so does a row in a language that is not supported, and a text a fifth or more of
//!          whose letters are of a script that the language does not have. A NULL language is English.
//! Edges:   an empty text, or one without a rated word, is 0, neutral. A constant language that is not supported is an
//!          error at planning.
//! Source:  C.J. Hutto and E. Gilbert, VADER, ICWSM 2014; PyPI package vaderSentiment 3.3.2.

mod english;
mod language;
mod rows;

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use language::{Language, Scorer};
use rows::Languages;

use crate::strings::{Column, Held, is_string};

/// Scores from here on are positive, and from its opposite on down negative (Hutto and Gilbert).
const POSITIVE_FROM: f64 = 0.05;

pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    [Answer::Score, Answer::Label].map(|answer| Arc::new(ScalarUDF::from(Sentiment::new(answer)))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Score,
    Label,
}

/// Both functions: they read the same arguments and differ in what they answer.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sentiment {
    answer: Answer,
    signature: Signature,
}

impl Sentiment {
    fn new(answer: Answer) -> Self {
        // Arity and types are checked in `return_field_from_args`. A signature with an optional argument (`one_of`) would
        // report a wrong call as an internal error of DataFusion, with a request to report the bug there.
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(vec!["text".to_owned(), "language".to_owned()]);
        Self { answer, signature }
    }
}

impl ScalarUDFImpl for Sentiment {
    fn name(&self) -> &str {
        match self.answer {
            Answer::Score => "sentiment",
            Answer::Label => "sentiment_label",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.iter().map(|given| if given.is_null() { DataType::Utf8 } else { given.clone() }).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::Score => DataType::Float64,
            Answer::Label => DataType::Utf8,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = self.name();
        if !(1..=2).contains(&args.arg_fields.len()) {
            return plan_err!(
                "{name}: got {} arguments, wanted 1 or 2: {name}(text [, language])",
                args.arg_fields.len()
            );
        }
        for (argument, field) in ["text", "language"].into_iter().zip(args.arg_fields) {
            if !is_string(field.data_type()) {
                return plan_err!("{name}: {argument} must be a string, got {}", field.data_type());
            }
        }
        if let Some(Some(tag)) = args.scalar_arguments.get(1).copied().flatten().and_then(ScalarValue::try_as_str)
            && Language::from_tag(tag).is_none()
        {
            let supported = Language::ALL.map(|language| format!("'{}'", language.code())).join(", ");
            return plan_err!("{name}: language must be one of {supported}, got '{tag}'");
        }
        Ok(Arc::new(Field::new(name, self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let (text, language) = match args.args.as_slice() {
            [text] => (text, None),
            [text, language] => (text, Some(language)),
            other => return internal_err!("{}: {} arguments after planning", self.name(), other.len()),
        };
        let text = Held::new(text)?;
        let language = language.map(Held::new).transpose()?;
        let languages = language.as_ref().map(|held| held.column().map(Languages::new)).transpose()?;
        let text = text.column()?;
        let scores = scores(&text, languages.as_ref(), rows, |language| language.scorer());
        let answers: ArrayRef = match self.answer {
            Answer::Score => Arc::new(Float64Array::from_iter(scores)),
            Answer::Label => Arc::new(labels(scores, rows)),
        };
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?));
        }
        Ok(ColumnarValue::Array(answers))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.answer {
            Answer::Score => &SCORE_DOCUMENTATION,
            Answer::Label => &LABEL_DOCUMENTATION,
        })
    }
}

const SECTION: DocSection =
    DocSection { include: true, label: "Text", description: Some("What customers wrote, as figures.") };

const TEXT: &str = "The text: a string of any Arrow type, dictionaries included (each distinct value is scored once).";
const LANGUAGE: &str = "Language of the text, constant or per row: a code, tag or name in any case (`en`, `en-US`, `English`). \
    Supported: `en`. Default: `en`.";

static SCORE_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "How positive or negative a text is. The score of English is VADER's compound score.\n\
         Formula: s / sqrt(s^2 + 15), rounded to four digits. s is the sum of the valences (-4 to 4) of the rated words, \
         emoticons and emojis, each changed by the words before it: degree (very, hardly) by .293, less with distance, \
         negation (not, n't, never, no) by the factor -.74, capitals among lower case by .733, some idioms replaced; \
         before the first 'but' values count half, after it one and a half times. Each ! moves s away from 0 by .292 (four \
         at most), two or three ? by .18 each, more by .96 together.\n\
         Units: text in; score from -1 (negative) to 1 (positive) out. The scale is compressed \
         towards its ends: .8 stands for about three times the sum of .4.\n\
         NULL: a NULL text gives NULL, and so does a row in a language that is not supported. A NULL language counts as \
         English. A text of which a fifth or more of the letters are not Latin gives NULL: what stands there is not known \
         (a Chinese, Japanese or Korean character counts as three letters).\n\
         Edges: an empty text, or one without a rated word, gives 0. Emojis, digits and punctuation are no letters. White space separates \
         words; punctuation around a word is ignored, unless at most two characters would be left. A constant language that \
         is not supported is an error at planning.\n\
         Source: C.J. Hutto and E. Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, \
         ICWSM 2014. Equal to the PyPI package vaderSentiment 3.3.2 (word list and rules, MIT) on the authors' 23,703 rated \
         texts. Correlation with the mean human rating there: tweets .872, product reviews .590, film reviews .427, news .503.",
        "sentiment(text [, language])",
    )
    .with_argument("text", TEXT)
    .with_argument("language", LANGUAGE)
    .with_sql_example(
        "```sql
select
    text,
    sentiment(text) as sentiment
from (values
    ('VADER is smart, handsome, and funny!'),
    ('The book was only kind of good.'),
    ('Today only kinda sux! But I''ll get by, lol'),
    ('The order arrived on Tuesday.')
) as comments (text)
```
```text
+--------------------------------------------+-----------+
| text                                       | sentiment |
+--------------------------------------------+-----------+
| VADER is smart, handsome, and funny!       | 0.8439    |
| The book was only kind of good.            | 0.3832    |
| Today only kinda sux! But I'll get by, lol | 0.5249    |
| The order arrived on Tuesday.              | 0.0       |
+--------------------------------------------+-----------+
```",
    )
    .with_related_udf("sentiment_label")
    .build()
});

static LABEL_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a text is positive, neutral or negative.\n\
         Formula: 'positive' when sentiment(text, language) >= .05, 'negative' when it is <= -.05, else 'neutral'.\n\
         Units: text in; 'positive', 'neutral' or 'negative' out.\n\
         NULL: a NULL text gives NULL, and so does a row in a language that is not supported. A NULL language counts as \
         English. A text of which a fifth or more of the letters are not Latin gives NULL (a Chinese, Japanese or Korean \
         character counts as three letters).\n\
         Edges: an empty text, or one without a rated word, is neutral. A score of exactly .05 is positive, of -.05 negative. \
         A constant language that is not supported is an error at planning.\n\
         Source: thresholds of Hutto and Gilbert, ICWSM 2014. Share of the authors' rated texts for which the label agrees with \
         the sign of the mean human rating: tweets .921, product reviews .565, film reviews .556, news .487.",
        "sentiment_label(text [, language])",
    )
    .with_argument("text", TEXT)
    .with_argument("language", LANGUAGE)
    .with_sql_example(
        "```sql
select
    sentiment_label(text) as label,
    count(*) as comment_count
from (values
    ('Great service, thank you!'),
    ('Not helpful at all.'),
    ('I called on Monday.'),
    ('Still waiting and very disappointed.')
) as comments (text)
group by label
order by label
```
```text
+----------+---------------+
| label    | comment_count |
+----------+---------------+
| negative | 2             |
| neutral  | 1             |
| positive | 1             |
+----------+---------------+
```",
    )
    .with_related_udf("sentiment")
    .build()
});

fn labels(scores: impl Iterator<Item = Option<f64>>, rows: usize) -> StringArray {
    let mut labels = StringBuilder::with_capacity(rows, rows * "positive".len());
    for score in scores {
        labels.append_option(score.map(label));
    }
    labels.finish()
}

fn label(score: f64) -> &'static str {
    if score >= POSITIVE_FROM {
        "positive"
    } else if score <= -POSITIVE_FROM {
        "negative"
    } else {
        "neutral"
    }
}

/// One score per row. A text that many rows share (dictionary, constant) is scored once per language.
fn scores<'a>(
    texts: &'a Column<'a>,
    languages: Option<&'a Languages<'a>>,
    rows: usize,
    mut new_scorer: impl FnMut(Language) -> Box<dyn Scorer + 'a> + 'a,
) -> impl Iterator<Item = Option<f64>> + 'a {
    let mut scorers = Language::ALL.map(|_| None);
    let mut known = vec![[None; Language::ALL.len()]; if texts.is_shared() { texts.values.len() } else { 0 }];
    (0..rows).map(move |row| {
        let language = languages.map_or(Some(Language::DEFAULT), |languages| languages.get(row))?;
        let index = texts.index(row)?;
        let text = texts.values.get(index)?;
        let scorer = scorers.get_mut(language as usize)?.get_or_insert_with(|| new_scorer(language));
        let mut score = || language.reads(text).then(|| scorer.score(text));
        match known.get_mut(index).and_then(|known| known.get_mut(language as usize)) {
            Some(known) => *known.get_or_insert_with(score),
            None => score(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use datafusion::arrow::array::{Array, DictionaryArray, Int32Array, LargeStringArray, StringViewArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    // Scores of the reference: good .4404, bad -.5423, table 0.

    fn texts() -> Vec<Option<&'static str>> {
        vec![Some("good"), None, Some("bad"), Some("good"), Some("table"), Some("bad"), None, Some("good")]
    }

    fn expected() -> Vec<Option<f64>> {
        vec![Some(0.4404), None, Some(-0.5423), Some(0.4404), Some(0.0), Some(-0.5423), None, Some(0.4404)]
    }

    fn dictionary() -> DictionaryArray<Int32Type> {
        // A value that no row has, a key that is NULL and a value that is NULL.
        let values = StringArray::from(vec![Some("unused"), Some("good"), None, Some("bad"), Some("table")]);
        let keys = vec![Some(1), None, Some(3), Some(1), Some(4), Some(3), Some(2), Some(1)];
        DictionaryArray::new(Int32Array::from(keys), Arc::new(values))
    }

    fn score(array: &dyn Array) -> Vec<Option<f64>> {
        scores(&Column::new(array).unwrap(), None, array.len(), |language| language.scorer()).collect()
    }

    #[test]
    fn every_string_type_scores_the_same() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(StringArray::from(texts())),
            Arc::new(LargeStringArray::from(texts())),
            Arc::new(StringViewArray::from(texts())),
            Arc::new(dictionary()),
        ];
        for array in arrays {
            assert_eq!(score(&array), expected(), "{}", array.data_type());
        }
    }

    #[test]
    fn a_slice_scores_as_its_part_of_the_whole() {
        let arrays: [ArrayRef; 3] =
            [Arc::new(StringArray::from(texts())), Arc::new(StringViewArray::from(texts())), Arc::new(dictionary())];
        for array in arrays {
            for start in 0..texts().len() {
                for len in 0..=texts().len() - start {
                    assert_eq!(score(&array.slice(start, len)), expected()[start..start + len]);
                }
            }
        }
    }

    #[test]
    fn a_dictionary_scores_only_the_values_that_rows_have_and_each_once() {
        struct Recording<'a>(&'a RefCell<Vec<String>>);
        impl Scorer for Recording<'_> {
            fn score(&mut self, text: &str) -> f64 {
                self.0.borrow_mut().push(text.to_owned());
                0.5
            }
        }
        let scored = RefCell::new(vec![]);
        let array = dictionary();
        let column = Column::new(&array).unwrap();
        let rows = scores(&column, None, array.len(), |_| Box::new(Recording(&scored))).flatten().count();
        assert_eq!(rows, 6);
        assert_eq!(*scored.borrow(), ["good", "bad", "table"]);
    }

    #[test]
    fn the_thresholds_belong_to_the_labels() {
        assert_eq!(
            [0.05, 0.0499, 0.0, -0.0499, -0.05].map(label),
            ["positive", "neutral", "neutral", "neutral", "negative"]
        );
    }
}
