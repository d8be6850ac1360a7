//! The pages of the family in the manual.

use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation};

/// What is said where a key is wanted and none is set.
pub(super) const NO_KEY: &str = "no key of pseudonyms is set; put one of at least 16 bytes (`openssl rand -hex 32`) into an environment \
     variable and write pseudonym_key = { env = \"NAME\" } under [privacy] in cxql.toml";

const SECTION: DocSection = DocSection {
    include: true,
    label: "Privacy",
    description: Some(
        "Personal data in texts, masks and pseudonyms. [privacy.md](privacy.md) has precision and recall by kind, and what is \
         not found.",
    ),
};

const TEXT: &str = "The text: a string of any Arrow type, dictionaries included (each distinct value is read once).";
const KINDS: &str = "Names of kinds, constant: a list, `['email', 'phone']`, or one string with commas. `national_id` stands for \
     the ids of all countries, `ip` for ipv4 and ipv6. Default, also for NULL: all.";
const ORDER_PATTERN: &str = "A regular expression for order numbers, constant, such as `'ORD-[0-9]{8}'`. Default: \
     order_number_pattern under `[privacy]` in cxql.toml; without either none are found.";

pub(super) static FIND: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "The personal data in a text, in the order in which it stands there.\n\
         Formula: numbers by form and check digit: card (issuer range, Luhn), iban (length and form of the country, ISO 7064), cn_id \
         (province, date, ISO 7064), national ids hk_id, tw_id, sg_id, us_ssn, gb_nino, de_tax_id, fr_nir, es_id, it_fiscal_code, \
         nl_bsn, be_id, ch_ahv, pl_pesel, se_id, fi_id, br_cpf. phone: E.164 with + or 00, the groups of North America, Chinese \
         mobile and landline numbers, numbers with an area code in parentheses or with a leading 0; other groupings and bare digits \
         only beside a word such as phone or 电话. email, ipv4, ipv6, mac; handle: @name, and accounts behind WeChat or QQ; \
         order_number by the pattern of the project. Words beside a number raise its confidence, words for something else \
         (order no., 订单号) lower it; what is below .5 is not in the list.\n\
         Units: a list of structs (kind, start, end, confidence). start and end count characters (Unicode code points) from 1, end \
         is the position after the last one: substr(text, start, end - start) is what was found. confidence is .5 to 1, an order and \
         no measured probability.\n\
         NULL: a NULL text gives NULL, a text without personal data an empty list.\n\
         Edges: full-width digits and letters count as ASCII ones, and text may follow without a space. A number inside a GUID, a \
         longer number, an amount or a name (SKU-415-555-0132) is no phone number. Findings do not overlap; where only some kinds are \
         wanted, a number of another kind is not taken for one of them. Names and street addresses of people are not found. The time \
         is linear in the length of the text (for an order pattern, that of the regex crate).\n\
         Source: ISO/IEC 7812-1 and 13616, ISO 7064, GB 11643-1999, ITU-T E.164, the rules of the issuers of national ids; kinds \
         and confidence as in Microsoft Presidio.",
        "find_pii(text [, kinds [, order_pattern]])",
    )
    .with_argument("text", TEXT)
    .with_argument("kinds", KINDS)
    .with_argument("order_pattern", ORDER_PATTERN)
    .with_sql_example(
        "```sql
select
    pii['kind'] as kind,
    substr(text, pii['start'], pii['end'] - pii['start']) as found,
    pii['confidence'] as confidence
from (
    select text, unnest(find_pii(text)) as pii
    from (values
        ('Mail anna@example.com or call +49 170 1234567'),
        ('手机号是13812345678，卡号4012888888881881')
    ) as contacts (text)
)
```
```text
+-------+------------------+------------+
| kind  | found            | confidence |
+-------+------------------+------------+
| email | anna@example.com | 0.99       |
| phone | +49 170 1234567  | 0.95       |
| phone | 13812345678      | 0.95       |
| card  | 4012888888881881 | 0.98       |
+-------+------------------+------------+
```",
    )
    .with_related_udf("redact_pii")
    .build()
});

pub(super) static REDACT: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "A text without its personal data.\n\
         Formula: what find_pii(text, kinds, order_pattern) finds is replaced: label by its kind, [phone]; mask by its mask \
         (mask_email, mask_phone, mask_card, stars for all letters and digits of other kinds); remove by nothing; pseudonym by kind \
         and pseudonym, [phone:0123..], the same one wherever the number stands and whatever its separators.\n\
         Units: text in, text out.\n\
         NULL: a NULL text gives NULL.\n\
         Edges: a text without personal data is returned as it is. What find_pii does not find stays: names, addresses, and \
         some numbers; see docs/privacy.md before texts leave the house. The mode pseudonym needs the key of pseudonym(id), and takes \
         a mail address in lower case and other numbers without separators: pseudonym('anna@example.com') is the same.\n\
         Source: as find_pii; the operators replace, mask, redact and hash of Microsoft Presidio.",
        "redact_pii(text [, kinds [, mode [, order_pattern]]])",
    )
    .with_argument("text", TEXT)
    .with_argument("kinds", KINDS)
    .with_argument("mode", "`label` (default), `mask`, `remove` or `pseudonym`; a constant.")
    .with_argument("order_pattern", ORDER_PATTERN)
    .with_sql_example(
        "```sql
select redact_pii(text) as labels, redact_pii(text, ['phone'], 'mask') as phones_masked
from (values ('Call 415-555-0132 or mail anna@example.com')) as contacts (text)
```
```text
+------------------------------+--------------------------------------------+
| labels                       | phones_masked                              |
+------------------------------+--------------------------------------------+
| Call [phone] or mail [email] | Call ***-***-0132 or mail anna@example.com |
+------------------------------+--------------------------------------------+
```",
    )
    .with_related_udf("find_pii")
    .build()
});

pub(super) static MASK_EMAIL: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "A mail address of which the first character and the domain are left.\n\
         Formula: first character of the local part, three stars whatever its length, @, domain.\n\
         Units: text in, text out.\n\
         NULL: a NULL address gives NULL.\n\
         Edges: a local part of one character is not shown. A text that is no address is three stars, an empty one stays empty. The \
         domain stays: that of a small company can tell who it is.\n\
         Source: cxql.",
        "mask_email(email)",
    )
    .with_argument("email", "The address, a string of any Arrow type.")
    .with_sql_example(
        "```sql
select mask_email('anna.schmidt@example.com') as email
```
```text
+------------------+
| email            |
+------------------+
| a***@example.com |
+------------------+
```",
    )
    .with_related_udf("redact_pii")
    .build()
});

pub(super) static MASK_PHONE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "A phone number of which the last four digits are left.\n\
         Formula: a star for each digit but the last four; of five to seven digits the last two are left, of fewer none.\n\
         Units: text or integer in, text out.\n\
         NULL: a NULL number gives NULL.\n\
         Edges: + and separators stay; letters are stars. Full-width digits count as digits.\n\
         Source: cxql.",
        "mask_phone(phone)",
    )
    .with_argument("phone", "The number, a string of any Arrow type or an integer.")
    .with_sql_example(
        "```sql
select mask_phone('+49 170 1234567') as german, mask_phone(13812345678) as chinese
```
```text
+-----------------+-------------+
| german          | chinese     |
+-----------------+-------------+
| +** *** ***4567 | *******5678 |
+-----------------+-------------+
```",
    )
    .with_related_udf("redact_pii")
    .build()
});

pub(super) static MASK_CARD: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "A card number of which the last four digits are left.\n\
         Formula: a star for each digit but the last four; of fewer than twelve digits none is left.\n\
         Units: text or integer in, text out.\n\
         NULL: a NULL number gives NULL.\n\
         Edges: separators stay; letters are stars. The number is not checked.\n\
         Source: PCI DSS 4.0, requirement 3.4, which allows the first six and the last four digits.",
        "mask_card(card)",
    )
    .with_argument("card", "The number, a string of any Arrow type or an integer.")
    .with_sql_example(
        "```sql
select mask_card('4012 8888 8888 1881') as card
```
```text
+---------------------+
| card                |
+---------------------+
| **** **** **** 1881 |
+---------------------+
```",
    )
    .with_related_udf("redact_pii")
    .build()
});

pub(super) static PSEUDONYM: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "A pseudonym of an id: the same id has the same one, and without the key nobody can tell the id.\n\
         Formula: the first 128 bits of keyed BLAKE3 over the UTF-8 bytes of the id, as 32 hexadecimal digits; the key is derived by \
         BLAKE3 from the secret of the configuration.\n\
         Units: text or integer in, text out; 42 and '42' have the same pseudonym.\n\
         NULL: a NULL id gives NULL.\n\
         Edges: ids are taken as they are: case and blanks count. Without a key a call is an error that says how to set one; the key \
         is in no plan, setting, log or error. Whoever may call the function can compare a known id with a pseudonym: give them views \
         that call it. Another key gives other pseudonyms, and nothing leads back. The example has the secret \
         'the key of the examples'.\n\
         Source: J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, BLAKE3: one function, fast everywhere, 2020.",
        "pseudonym(id)",
    )
    .with_argument("id", "The id, a string of any Arrow type or an integer.")
    .with_sql_example(
        "```sql
select id, pseudonym(id) as pseudonym
from (values ('C-1001'), ('C-1002'), ('C-1001')) as contacts (id)
```
```text
+--------+----------------------------------+
| id     | pseudonym                        |
+--------+----------------------------------+
| C-1001 | edc60535e276d40df83b0dbefbeccad7 |
| C-1002 | ad01d4f4126b84386841dfcec6c4942c |
| C-1001 | edc60535e276d40df83b0dbefbeccad7 |
+--------+----------------------------------+
```",
    )
    .with_related_udf("k_anonymous")
    .build()
});
