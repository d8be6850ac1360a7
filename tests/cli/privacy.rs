//! The key of pseudonyms and the form of order numbers, from `[privacy]` in `cxql.toml`.

use super::program::Folder;

const BY_VARIABLE: &str = "[privacy]\npseudonym_key = { env = \"PSEUDONYM_KEY\" }\n";
const SECRET: &str = "the key of the examples";
/// The pseudonym of C-1001 with that secret, by the PyPI package blake3 1.0.11 (udfs/tests/slt/pseudonym.slt).
const PSEUDONYM: &str = "edc60535e276d40df83b0dbefbeccad7";

#[test]
fn the_key_comes_from_a_variable_or_a_file() {
    let folder = Folder::with(&[("cxql.toml", BY_VARIABLE)]);
    let sql = "select pseudonym('C-1001') as id";
    assert!(folder.cxql_env(&[("PSEUDONYM_KEY", SECRET)], &["query", sql]).out().contains(PSEUDONYM));
    let by_file = "[privacy]\npseudonym_key = { file = \"key\" }\n";
    let folder = Folder::with(&[("cxql.toml", by_file), ("key", "the key of the examples\n")]);
    assert!(folder.query(sql).out().contains(PSEUDONYM));
}

#[test]
fn without_a_key_only_pseudonym_fails_and_says_how_to_set_one() {
    let sql = "select pseudonym('C-1001')";
    Folder::new().query(sql).fails(1, &["pseudonym: no key of pseudonyms is set", "[privacy] in cxql.toml"]);
    let folder = Folder::with(&[("cxql.toml", BY_VARIABLE)]);
    assert!(folder.query("select redact_pii('a@example.com') as text").out().contains("[email]"));
    folder.query(sql).fails(1, &["PSEUDONYM_KEY is not set"]);
    let ran = folder.cxql_env(&[("PSEUDONYM_KEY", "too short")], &["query", sql]);
    ran.fails(1, &["at least 16 bytes"]);
    assert!(!ran.err.contains("too short"), "{}", ran.err);
}

#[test]
fn the_key_is_shown_nowhere() {
    let folder = Folder::with(&[("cxql.toml", BY_VARIABLE)]);
    for sql in
        ["show all", "explain verbose select pseudonym('C-1001')", "select pseudonym(1.5e0)", "select pseudonym()"]
    {
        let ran = folder.cxql_env(&[("PSEUDONYM_KEY", SECRET)], &["query", sql]);
        let shown = format!("{}{}", ran.text(), ran.err);
        assert!(!shown.is_empty() && !shown.contains(SECRET), "{sql}: {shown}");
    }
    let in_the_file = Folder::with(&[("cxql.toml", "[privacy]\npseudonym_key = \"the key of the examples\"\n")]);
    let ran = in_the_file.query("select 1");
    ran.fails(2, &["cxql.toml holds no secrets"]);
    assert!(!ran.err.contains(SECRET), "{}", ran.err);
}

#[test]
fn order_numbers_have_the_form_of_the_project() {
    let folder = Folder::with(&[("cxql.toml", "[privacy]\norder_number_pattern = 'ORD-[0-9]{8}'\n")]);
    assert!(folder.query("select redact_pii('ORD-20250101 is late') as text").out().contains("[order_number] is late"));
    let folder = Folder::with(&[("cxql.toml", "[privacy]\norder_number_pattern = '('\n")]);
    folder.query("select 1").fails(2, &["[privacy] order_number_pattern in cxql.toml"]);
}
