//! Words beside a number that say what it is: "phone", "卡号", "order no.".

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

use super::kind::{Kind, Kinds};
use super::text::FoldedText;

/// Characters before a number in which cues are looked for.
const BEFORE: usize = 48;
/// Characters after a number in which its label may stand: "555 0132 (office)".
const AFTER: usize = 12;
/// A word for something else counts only so many characters before the number: "order no. 123", but not "my order was
/// paid with 123".
const OTHER_WITHIN: usize = 10;
/// A label counts as directly before a number within so many characters.
const LABEL_WITHIN: usize = 12;

/// What a word says of the number beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cue {
    Of(Kind),
    /// An order, a ticket, a version: no personal number.
    Other,
}

/// The words of each cue, in lower case. English ones count as whole words.
const WORDS: &[(Cue, &[&str])] = &[
    (
        Cue::Of(Kind::Phone),
        &[
            "phone",
            "phones",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "cellphone",
            "fax",
            "call",
            "calls",
            "called",
            "calling",
            "callback",
            "dial",
            "dialed",
            "dialled",
            "text",
            "sms",
            "whatsapp",
            "reach",
            "ring",
            "hotline",
            "desk",
            "office",
            "answering",
            "voicemail",
            "messages to",
            "contact number",
            "phone number",
            "registered",
            "telefon",
            "telefonnummer",
            "rufnummer",
            "handy",
            "handynummer",
            "mobil",
            "mobilnummer",
            "anrufen",
            "rückruf",
            "telefono",
            "telefoon",
            "teléfono",
            "téléphone",
            "portable",
            "móvil",
            "cellulare",
            "numéro de téléphone",
            "whatsapp number",
            "ph",
            "mob",
            "手机",
            "手机号",
            "手机号码",
            "电话",
            "电话号码",
            "座机",
            "联系电话",
            "联系方式",
            "致电",
            "拨打",
            "回电",
            "来电",
            "短信",
            "打给",
            "号码是",
            "固话",
            "传真",
            "热线",
            "電話",
            "手機",
            "微信同号",
            "分机",
        ],
    ),
    (
        Cue::Of(Kind::Card),
        &[
            "card",
            "cards",
            "credit card",
            "debit card",
            "cc",
            "visa",
            "mastercard",
            "maestro",
            "amex",
            "unionpay",
            "card number",
            "kreditkarte",
            "kreditkartennummer",
            "kartennummer",
            "carte",
            "tarjeta",
            "carta",
            "卡号",
            "银行卡",
            "信用卡",
            "借记卡",
            "储蓄卡",
            "银联卡",
            "尾号",
            "卡片",
            "账号",
            "账户",
        ],
    ),
    (
        Cue::Of(Kind::CnId),
        &["身份证", "身份证号", "身份证号码", "证件号", "证件号码", "身份證", "公民身份号码", "id card", "chinese id"],
    ),
    (Cue::Of(Kind::HkId), &["hkid", "香港身份证", "hong kong id"]),
    (Cue::Of(Kind::TwId), &["taiwan id", "台湾身份证", "身分證"]),
    (Cue::Of(Kind::SgId), &["nric", "fin"]),
    (Cue::Of(Kind::UsSsn), &["ssn", "social security", "social security number", "soc sec"]),
    (Cue::Of(Kind::GbNino), &["nino", "ni number", "national insurance", "national insurance number"]),
    (
        Cue::Of(Kind::DeTaxId),
        &[
            "steuer-id",
            "steuerid",
            "steuer-idnr",
            "steueridentifikationsnummer",
            "identifikationsnummer",
            "tax id",
            "idnr",
        ],
    ),
    (Cue::Of(Kind::FrNir), &["nir", "sécurité sociale", "securite sociale", "insee", "numéro de sécu"]),
    (Cue::Of(Kind::EsId), &["dni", "nie", "nif"]),
    (Cue::Of(Kind::ItFiscalCode), &["codice fiscale"]),
    (Cue::Of(Kind::NlBsn), &["bsn", "burgerservicenummer", "sofinummer"]),
    (Cue::Of(Kind::BeId), &["rijksregisternummer", "registre national", "numéro national", "national register number"]),
    (Cue::Of(Kind::ChAhv), &["ahv", "avs", "ahv-nummer", "ahvn13"]),
    (Cue::Of(Kind::PlPesel), &["pesel"]),
    (Cue::Of(Kind::SeId), &["personnummer", "samordningsnummer"]),
    (Cue::Of(Kind::FiId), &["henkilötunnus", "hetu"]),
    (Cue::Of(Kind::BrCpf), &["cpf"]),
    (
        Cue::Other,
        &[
            "order",
            "orders",
            "order no",
            "order number",
            "order id",
            "ticket",
            "ticket number",
            "case",
            "case number",
            "invoice",
            "invoice number",
            "tracking",
            "tracking number",
            "ref",
            "reference",
            "reference number",
            "article",
            "item",
            "sku",
            "isbn",
            "ean",
            "version",
            "ver",
            "v",
            "build",
            "serial",
            "serial number",
            "parcel",
            "shipment",
            "customer id",
            "customer number",
            "transaction",
            "booking",
            "bestellung",
            "bestellnummer",
            "auftrag",
            "auftragsnummer",
            "rechnung",
            "rechnungsnummer",
            "kundennummer",
            "sendung",
            "sendungsnummer",
            "commande",
            "pedido",
            "factura",
            "订单",
            "订单号",
            "订单编号",
            "单号",
            "运单",
            "运单号",
            "快递单号",
            "物流单号",
            "工单",
            "工单号",
            "流水号",
            "编号",
            "发票号",
            "序列号",
            "版本",
            "型号",
            "会员号",
            "金额",
            "共计",
            "合计",
            "交易号",
            "货号",
            "條碼",
            "条码",
            "訂單",
        ],
    ),
];

/// Finds all words, in the order of their ends.
struct Matcher {
    automaton: AhoCorasick,
    cues: Vec<Cue>,
}

static MATCHER: LazyLock<Option<Matcher>> = LazyLock::new(|| {
    let words = WORDS.iter().flat_map(|(cue, words)| words.iter().map(move |word| (*cue, *word)));
    let (cues, words): (Vec<Cue>, Vec<&str>) = words.unzip();
    let mut builder = AhoCorasickBuilder::new();
    let builder = builder.ascii_case_insensitive(true);
    Some(Matcher { automaton: builder.build(words).ok()?, cues })
});

/// What the words around one number say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    /// Kinds that are named before the number, and not followed by a word for something else.
    kinds: Kinds,
    /// The nearest word is one for something else.
    pub(super) is_other: bool,
    /// A word for a phone is directly before the number, or directly after it.
    pub(super) is_labelled_phone: bool,
}

impl Context {
    /// The words around the characters `number` of a text.
    pub(super) fn of(text: &str, folded: &FoldedText, number: &Range<usize>) -> Self {
        let mut context = Self { kinds: Kinds::NONE, is_other: false, is_labelled_phone: false };
        let from = number.start.saturating_sub(BEFORE);
        let before = folded.slice(text, from..number.start);
        each_cue(before, |cue, end| {
            let distance = before.get(end..).map_or(0, |rest| rest.chars().count());
            match cue {
                Cue::Of(kind) => {
                    context.kinds.insert(kind);
                    context.is_other = false;
                    context.is_labelled_phone = kind == Kind::Phone && distance <= LABEL_WITHIN;
                }
                Cue::Other if distance <= OTHER_WITHIN => {
                    context = Self { kinds: Kinds::NONE, is_other: true, is_labelled_phone: false };
                }
                Cue::Other => {}
            }
        });
        let after = folded.slice(text, number.end..(number.end + AFTER).min(folded.len()));
        let is_near = |end: usize| after.get(..end).is_some_and(|label| !label.contains(['\n', '。', '？', ',', '，']));
        each_cue(after, |cue, end| {
            if cue == Cue::Of(Kind::Phone) && is_near(end) && is_label_after(after) {
                context.kinds.insert(Kind::Phone);
                context.is_labelled_phone |= !context.is_other;
            }
        });
        context
    }

    /// Returns true if a word for this kind is near.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds.has(kind)
    }
}

/// Labels after a number: "office", "-Fax", "(mobile)", "（手机）".
fn is_label_after(after: &str) -> bool {
    let word = after.trim_start_matches([' ', '-', '(', '[', '（', '\t']).to_lowercase();
    ["office", "fax", "mobile", "cell", "phone", "desk", "手机", "电话", "座机", "传真"]
        .into_iter()
        .any(|label| word.starts_with(label))
}

/// Returns true if the word that ends at a character is one for a phone, as in "tel-0301234" and "Tel.0301234".
pub(super) fn is_phone_word_before(text: &str, folded: &FoldedText, end: usize) -> bool {
    let before = folded.slice(text, end.saturating_sub(BEFORE)..end);
    let mut is_phone = false;
    each_cue(before, |cue, end| is_phone |= end == before.len() && cue == Cue::Of(Kind::Phone));
    is_phone
}

/// Calls `visit` with each cue in a text and the byte at which it ends, in the order of their ends.
fn each_cue(text: &str, mut visit: impl FnMut(Cue, usize)) {
    let Some(matcher) = MATCHER.as_ref() else { return };
    for found in matcher.automaton.find_overlapping_iter(text) {
        let range = found.range();
        let is_letter = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
        let word = text.get(range.clone()).unwrap_or_default();
        let is_latin = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphabetic());
        let begins_inside = is_latin(word.chars().next())
            && is_letter(text.get(..range.start).and_then(|text| text.chars().next_back()));
        let ends_inside =
            is_latin(word.chars().next_back()) && is_latin(text.get(range.end..).and_then(|text| text.chars().next()));
        if let (false, false, Some(cue)) = (begins_inside, ends_inside, matcher.cues.get(found.pattern().as_usize())) {
            visit(*cue, range.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(text: &str) -> Context {
        let mut folded = FoldedText::default();
        folded.fold(text);
        let start = folded.bytes.iter().position(u8::is_ascii_digit).unwrap();
        let length = folded.bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        Context::of(text, &folded, &(start..start + length))
    }

    #[test]
    fn every_word_compiles() {
        assert!(MATCHER.is_some());
    }

    #[test]
    fn words_before_and_labels_after_are_cues() {
        assert!(context("Call me on 12345").has(Kind::Phone));
        assert!(context("我的手机号是12345").has(Kind::Phone));
        assert!(context("12345 office").has(Kind::Phone) && context("12345（手机）").has(Kind::Phone));
        assert!(!context("12345, then call").has(Kind::Phone));
        assert!(context("card 12345").has(Kind::Card));
    }

    #[test]
    fn words_count_whole() {
        assert!(!context("discard 12345").has(Kind::Card));
        assert!(!context("recall 12345").has(Kind::Phone));
        assert!(!context("cardigan 12345").has(Kind::Card));
        // "order no" is none, "order" is
        assert!(context("order notes 12345").is_other);
    }

    #[test]
    fn a_word_for_something_else_ends_what_was_said_before() {
        let order = context("call me about order no. 12345");
        assert!(order.is_other && !order.has(Kind::Phone));
        let paid = context("my order was paid with card 12345");
        assert!(!paid.is_other && paid.has(Kind::Card));
        assert!(context("订单号：12345").is_other);
    }

    #[test]
    fn labels_stand_directly_before() {
        assert!(context("Phone: 12345").is_labelled_phone);
        assert!(!context("I called you about something and got 12345").is_labelled_phone);
    }
}
