//! The adapters: arguments in, one pass over the distinct strings, arrays out.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray, StringViewBuilder, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, exec_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::find::{Finder, Finding};
use super::kind::{Kind, Kinds};
use super::{OrderNumberPattern, PrivacySettings, mask, pages};
use crate::strings::{Held, is_string};

/// All functions of the family.
pub(super) fn scalar_functions(settings: &PrivacySettings) -> Vec<Arc<ScalarUDF>> {
    let settings = Arc::new(settings.clone());
    let search = [Search::Find, Search::Redact].map(|search| ScalarUDF::from(SearchFunction::new(search, &settings)));
    let map = [Map::Email, Map::Phone, Map::Card, Map::Pseudonym]
        .map(|map| ScalarUDF::from(MapFunction::new(map, &settings)));
    search.into_iter().chain(map).map(Arc::new).collect()
}

fn signature(parameters: &[&str]) -> Signature {
    // Arity and types are checked in `return_field_from_args`, as those of `sentiment`
    let mut signature = Signature::user_defined(Volatility::Immutable);
    signature.parameter_names = Some(parameters.iter().map(|name| (*name).to_owned()).collect());
    signature
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Search {
    Find,
    Redact,
}

/// What `redact_pii` writes in place of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `[phone]`
    Label,
    /// `*******5678`
    Mask,
    /// Nothing.
    Remove,
    /// `[phone:0123..]`
    Pseudonym,
}

impl Mode {
    const ALL: [(&'static str, Self); 4] =
        [("label", Self::Label), ("mask", Self::Mask), ("remove", Self::Remove), ("pseudonym", Self::Pseudonym)];
}

/// `find_pii` and `redact_pii`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SearchFunction {
    search: Search,
    settings: Arc<PrivacySettings>,
    signature: Signature,
}

/// The constants of a call.
struct Options<'a> {
    kinds: Kinds,
    mode: Mode,
    order_number: Option<Cow<'a, OrderNumberPattern>>,
}

impl SearchFunction {
    fn new(search: Search, settings: &Arc<PrivacySettings>) -> Self {
        Self { search, settings: Arc::clone(settings), signature: signature(Self::parameters(search)) }
    }

    fn parameters(search: Search) -> &'static [&'static str] {
        match search {
            Search::Find => &["text", "kinds", "order_pattern"],
            Search::Redact => &["text", "kinds", "mode", "order_pattern"],
        }
    }

    fn syntax(&self) -> &'static str {
        match self.search {
            Search::Find => "find_pii(text [, kinds [, order_pattern]])",
            Search::Redact => "redact_pii(text [, kinds [, mode [, order_pattern]]])",
        }
    }

    /// The constants; those that are not known yet (`None` in `constants`) are taken as not given.
    fn options(&self, constants: &[Option<&ScalarValue>]) -> Result<Options<'_>> {
        let name = self.name();
        let parameters = Self::parameters(self.search);
        let constant = |parameter: &str| {
            let index = parameters.iter().position(|known| *known == parameter)?;
            constants.get(index).copied().flatten().filter(|value| !value.is_null())
        };
        let text = |parameter: &str| match constant(parameter).map(|value| (value.try_as_str().flatten(), value)) {
            None => Ok(None),
            Some((Some(text), _)) => Ok(Some(text)),
            Some((None, value)) => plan_err!("{name}: {parameter} must be a string, got {}", value.data_type()),
        };
        let kinds = constant("kinds").map(|value| kinds(name, value)).transpose()?;
        let mode = match text("mode")? {
            None => Mode::Label,
            Some(wanted) => {
                let known = Mode::ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted.trim()));
                known.map(|(_, mode)| mode).ok_or_else(|| {
                    plan_datafusion_err!("{name}: mode must be one of label, mask, remove or pseudonym, got '{wanted}'")
                })?
            }
        };
        if let (Mode::Pseudonym, Err(reason)) = (mode, self.settings.key()) {
            return plan_err!("{name}: {reason}");
        }
        let order_number = match text("order_pattern")? {
            None => self.settings.order_number.as_ref().map(Cow::Borrowed),
            Some(pattern) => Some(Cow::Owned(OrderNumberPattern::new(pattern).map_err(|error| {
                plan_datafusion_err!("{name}: order_pattern is no regular expression for order numbers: {error}")
            })?)),
        };
        let is_pattern_open = constants.len() == parameters.len() && constants.last() == Some(&None);
        if kinds.is_some_and(|kinds| kinds != Kinds::all() && kinds.has(Kind::OrderNumber))
            && order_number.is_none()
            && !is_pattern_open
        {
            return plan_err!(
                "{name}: the form of order numbers is not known; give order_pattern, such as 'ORD-[0-9]{{8}}', or set \
                 order_number_pattern under [privacy] in cxql.toml"
            );
        }
        Ok(Options { kinds: kinds.unwrap_or_else(Kinds::all), mode, order_number })
    }

    /// What stands in place of a finding.
    fn replacement(&self, mode: Mode, finding: &Finding, found: &str) -> String {
        let kind = finding.kind.name();
        match mode {
            Mode::Label => format!("[{kind}]"),
            Mode::Mask => mask::of_kind(finding.kind, found),
            Mode::Remove => String::new(),
            Mode::Pseudonym => {
                let id = plain_form(finding.kind, found);
                let pseudonym = self.settings.pseudonym_key.as_ref().map(|key| key.pseudonym(&id)).unwrap_or_default();
                format!("[{kind}:{pseudonym}]")
            }
        }
    }

    fn redact(&self, text: &str, findings: &[Finding], mode: Mode) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut offsets = Offsets::new(text);
        let mut written = 0;
        for finding in findings {
            let Range { start, end } = offsets.bytes(&finding.span);
            redacted.push_str(text.get(written..start).unwrap_or_default());
            redacted.push_str(&self.replacement(mode, finding, text.get(start..end).unwrap_or_default()));
            written = end;
        }
        redacted.push_str(text.get(written..).unwrap_or_default());
        redacted
    }
}

/// A mail address in lower case, other kinds without separators: one pseudonym for all ways to write one number.
fn plain_form(kind: Kind, found: &str) -> String {
    match kind {
        Kind::Email | Kind::Handle | Kind::OrderNumber | Kind::Ipv4 | Kind::Ipv6 => found.trim().to_lowercase(),
        _ => {
            let mut folded = super::text::FoldedText::default();
            folded.fold(found);
            let characters = folded.bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
            characters.map(|byte| char::from(byte.to_ascii_uppercase())).collect()
        }
    }
}

/// Bytes of characters of a text, asked for in ascending order.
struct Offsets<'a> {
    characters: std::str::CharIndices<'a>,
    next: usize,
    length: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { characters: text.char_indices(), next: 0, length: text.len() }
    }

    fn bytes(&mut self, span: &Range<usize>) -> Range<usize> {
        self.byte(span.start)..self.byte(span.end)
    }

    fn byte(&mut self, index: usize) -> usize {
        for _ in self.next..index {
            self.characters.next();
        }
        self.next = self.next.max(index);
        self.characters.clone().next().map_or(self.length, |(offset, _)| offset)
    }
}

/// The kinds of an argument: names in a list, or in one string with commas.
fn kinds(function: &str, value: &ScalarValue) -> Result<Kinds> {
    let mut kinds = Kinds::NONE;
    let mut add = |name: &str| kinds.insert_named(name).map_err(|error| plan_datafusion_err!("{function}: {error}"));
    let names = match value {
        ScalarValue::List(list) if list.len() == 1 => Some(list.value(0)),
        ScalarValue::LargeList(list) if list.len() == 1 => Some(list.value(0)),
        ScalarValue::FixedSizeList(list) if list.len() == 1 => Some(list.value(0)),
        other => match other.try_as_str().flatten() {
            Some(names) => {
                names.split(',').try_for_each(&mut add)?;
                None
            }
            None => return plan_err!("{function}: kinds must be names, ['email', 'phone'], got {}", other.data_type()),
        },
    };
    if let Some(names) = names {
        cast(&names, &DataType::Utf8View)?.as_string_view().iter().flatten().try_for_each(&mut add)?;
    }
    if kinds == Kinds::NONE {
        return plan_err!("{function}: kinds is an empty list; leave it out, or NULL, for all kinds");
    }
    Ok(kinds)
}

fn is_list_of_strings(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_string(item.data_type()) || item.data_type().is_null()
        }
        other => is_string(other),
    }
}

impl ScalarUDFImpl for SearchFunction {
    fn name(&self) -> &str {
        match self.search {
            Search::Find => "find_pii",
            Search::Redact => "redact_pii",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.iter().map(|given| if given.is_null() { DataType::Utf8 } else { given.clone() }).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.search {
            Search::Find => DataType::List(finding_item()),
            Search::Redact => DataType::Utf8View,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = self.name();
        let parameters = Self::parameters(self.search);
        if !(1..=parameters.len()).contains(&args.arg_fields.len()) {
            return plan_err!(
                "{name}: got {} arguments, wanted 1 to {}: {}",
                args.arg_fields.len(),
                parameters.len(),
                self.syntax()
            );
        }
        for (parameter, field) in parameters.iter().zip(args.arg_fields) {
            let data_type = field.data_type();
            match *parameter {
                "kinds" if !is_list_of_strings(data_type) => {
                    return plan_err!("{name}: kinds must be names, ['email', 'phone'], got {data_type}");
                }
                "kinds" => {}
                parameter if !is_string(data_type) => {
                    return plan_err!("{name}: {parameter} must be a string, got {data_type}");
                }
                _ => {}
            }
        }
        self.options(args.scalar_arguments)?;
        Ok(Arc::new(Field::new(name, self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.name();
        let Some((text, constants)) = args.args.split_first() else {
            return exec_err!("{name}: called without a text");
        };
        let mut values = vec![None];
        for (parameter, constant) in Self::parameters(self.search).iter().skip(1).zip(constants) {
            let ColumnarValue::Scalar(value) = constant else {
                return exec_err!("{name}: {parameter} must be a constant");
            };
            values.push(Some(value));
        }
        let options = self.options(&values)?;
        let order_number = options.order_number.as_ref().map(|pattern| pattern.regex());
        let mut finder = Finder::default();
        let mut find = |text: &str| finder.find(text, options.kinds, order_number);
        match self.search {
            Search::Find => apply(text, args.number_rows, find, |findings| findings_array(&findings)),
            Search::Redact => {
                let redact = |text: &str| self.redact(text, &find(text), options.mode);
                apply(text, args.number_rows, redact, |texts| Ok(strings_array(&texts)))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.search {
            Search::Find => &pages::FIND,
            Search::Redact => &pages::REDACT,
        })
    }
}

/// Evaluates `compute` for each distinct string that rows share, or else for each row, and builds the array.
fn apply<T>(
    text: &ColumnarValue,
    rows: usize,
    mut compute: impl FnMut(&str) -> T,
    build: impl FnOnce(Vec<Option<Arc<T>>>) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let is_constant = matches!(text, ColumnarValue::Scalar(_));
    let rows = if is_constant { 1 } else { rows };
    let held = Held::new(text)?;
    let column = held.column()?;
    let mut known: Vec<Option<Arc<T>>> = vec![None; if column.is_shared() { column.values.len() } else { 0 }];
    let values = (0..rows).map(|row| {
        let index = column.index(row)?;
        let text = column.values.get(index)?;
        match known.get_mut(index) {
            Some(known) => Some(Arc::clone(known.get_or_insert_with(|| Arc::new(compute(text))))),
            None => Some(Arc::new(compute(text))),
        }
    });
    let array = build(values.collect())?;
    if is_constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

fn finding_fields() -> Fields {
    Fields::from(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("start", DataType::Int64, false),
        Field::new("end", DataType::Int64, false),
        Field::new("confidence", DataType::Float64, false),
    ])
}

fn finding_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(finding_fields()), true))
}

/// A list of structs for each row.
fn findings_array(rows: &[Option<Arc<Vec<Finding>>>]) -> Result<ArrayRef> {
    let findings = || rows.iter().flatten().flat_map(|findings| findings.iter());
    // character positions of SQL begin with 1
    let position = |index: usize| i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(findings().map(|finding| Some(finding.kind.name())).collect::<StringArray>()),
        Arc::new(findings().map(|finding| Some(position(finding.span.start))).collect::<Int64Array>()),
        Arc::new(findings().map(|finding| Some(position(finding.span.end))).collect::<Int64Array>()),
        Arc::new(findings().map(|finding| Some(finding.confidence)).collect::<Float64Array>()),
    ];
    let structs = StructArray::try_new(finding_fields(), columns, None)?;
    let lengths = rows.iter().map(|findings| findings.as_ref().map_or(0, |findings| findings.len()));
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    let lists =
        ListArray::try_new(finding_item(), OffsetBuffer::from_lengths(lengths), Arc::new(structs), Some(nulls))?;
    Ok(Arc::new(lists))
}

fn strings_array(rows: &[Option<Arc<String>>]) -> ArrayRef {
    let mut strings = StringViewBuilder::with_capacity(rows.len());
    for text in rows {
        strings.append_option(text.as_ref().map(|text| text.as_str()));
    }
    Arc::new(strings.finish())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Map {
    Email,
    Phone,
    Card,
    Pseudonym,
}

/// The masks and `pseudonym`: one argument, a string out.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MapFunction {
    map: Map,
    settings: Arc<PrivacySettings>,
    signature: Signature,
}

impl MapFunction {
    fn new(map: Map, settings: &Arc<PrivacySettings>) -> Self {
        Self { map, settings: Arc::clone(settings), signature: signature(&[Self::parameter(map)]) }
    }

    fn parameter(map: Map) -> &'static str {
        match map {
            Map::Email => "email",
            Map::Phone => "phone",
            Map::Card => "card",
            Map::Pseudonym => "id",
        }
    }
}

impl ScalarUDFImpl for MapFunction {
    fn name(&self) -> &str {
        match self.map {
            Map::Email => "mask_email",
            Map::Phone => "mask_phone",
            Map::Card => "mask_card",
            Map::Pseudonym => "pseudonym",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let takes_integers = self.map != Map::Email;
        let coerced = arg_types.iter().map(|given| match given {
            DataType::Null => DataType::Utf8,
            DataType::Dictionary(_, values) if takes_integers && values.is_integer() => DataType::Utf8,
            given if takes_integers && given.is_integer() => DataType::Utf8,
            given => given.clone(),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let (name, parameter) = (self.name(), Self::parameter(self.map));
        let [field] = args.arg_fields else {
            return plan_err!("{name}: got {} arguments, wanted 1: {name}({parameter})", args.arg_fields.len());
        };
        if !is_string(field.data_type()) {
            let wanted = if self.map == Map::Email { "a string" } else { "a string or an integer" };
            return plan_err!("{name}: {parameter} must be {wanted}, got {}", field.data_type());
        }
        if let (Map::Pseudonym, Err(reason)) = (self.map, self.settings.key()) {
            return plan_err!("{name}: {reason}");
        }
        Ok(Arc::new(Field::new(name, DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text] = args.args.as_slice() else {
            return exec_err!("{}: {} arguments after planning", self.name(), args.args.len());
        };
        let rows = args.number_rows;
        let build = |texts: Vec<Option<Arc<String>>>| Ok(strings_array(&texts));
        match (self.map, self.settings.key()) {
            (Map::Email, _) => apply(text, rows, mask::email, build),
            (Map::Phone, _) => apply(text, rows, mask::phone, build),
            (Map::Card, _) => apply(text, rows, mask::card, build),
            (Map::Pseudonym, Ok(key)) => apply(text, rows, |id| key.pseudonym(id), build),
            (Map::Pseudonym, Err(reason)) => exec_err!("{}: {reason}", self.name()),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.map {
            Map::Email => &pages::MASK_EMAIL,
            Map::Phone => &pages::MASK_PHONE,
            Map::Card => &pages::MASK_CARD,
            Map::Pseudonym => &pages::PSEUDONYM,
        })
    }
}
