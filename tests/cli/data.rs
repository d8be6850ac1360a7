//! Data that cannot be read: which file, what is wrong, what to do.

use std::fs;

use super::program::Folder;

/// `gzip -n` of "a,b\n1,x\n", by gzip 1.12.
pub(crate) const GZIPPED: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b, 0xd4, 0x49, 0xe2, 0x32, 0xd4, 0xa9, 0xe0, 0x02,
    0x00, 0xf4, 0xa0, 0x01, 0x00, 0x08, 0x00, 0x00, 0x00,
];

/// A project with a whole Parquet file of 5,000 rows, and the file's bytes.
fn project() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    folder.make("data/good.parquet", "select value as n, md5(cast(value as text)) as t from range(5000)");
    let bytes = fs::read(folder.path("data/good.parquet")).unwrap();
    (folder, bytes)
}

#[test]
fn a_parquet_file_that_is_not_whole_is_named() {
    let (folder, bytes) = project();
    folder.write("data/truncated.parquet", &bytes[..bytes.len() / 2]);
    let mut footer = bytes.clone();
    let end = footer.len() - 12;
    footer[end - 150..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
    folder.write("data/footer.parquet", &footer);
    let mut magic = bytes.clone();
    *magic.last_mut().unwrap() = b'2';
    folder.write("data/magic.parquet", &magic);
    folder.write("data/text.parquet", "these are no columns\n".repeat(20));
    folder.write("data/short.parquet", "PAR1");
    for name in ["truncated", "footer", "magic", "text", "short"] {
        let ran = folder.query(&format!("select count(t) as n from {name}"));
        ran.fails(1, &[&format!("data/{name}.parquet"), "Parquet", "write it again or move it away"]);
        assert_eq!(ran.text(), "", "{name}");
    }
    let ran = folder.query("select * from good limit 1");
    assert!(ran.out().starts_with("n,t\n0,"), "a broken table must hurt only those who read it");
}

#[test]
fn a_damaged_page_behind_a_good_footer_is_named() {
    let (folder, mut bytes) = project();
    bytes[4..400].iter_mut().for_each(|byte| *byte ^= 0x5a);
    folder.write("data/damaged.parquet", &bytes);
    let wanted = ["data/damaged.parquet", "Parquet", "write it again or move it away"];
    folder.query("select sum(n) as n, max(t) as t from damaged").fails(1, &wanted);
    // among other files of its table
    folder.write("data/many/a.parquet", fs::read(folder.path("data/good.parquet")).unwrap());
    folder.write("data/many/b.parquet", &bytes);
    folder.query("select sum(n) as n, max(t) as t from many").fails(1, &["data/many/b.parquet"]);
}

#[test]
fn a_broken_file_in_a_table_folder_is_named() {
    let (folder, bytes) = project();
    folder.write("data/t/a.parquet", &bytes);
    folder.write("data/t/b.parquet", &bytes[..bytes.len() - 20]);
    folder.query("select count(*) as n from t").fails(1, &["data/t/b.parquet"]);
}

#[test]
fn a_file_without_bytes_is_named() {
    let folder = Folder::with(&[("data/nothing.parquet", ""), ("nothing.csv", "")]);
    folder.query("select * from nothing").fails(1, &["data/nothing.parquet", "empty"]);
    folder.query("select * from 'nothing.csv'").fails(1, &["nothing.csv", "empty"]);
}

#[test]
fn files_of_a_table_that_disagree_are_named_with_the_column() {
    let folder = Folder::new();
    folder.make("data/t/first.parquet", "select 1 as a, 'x' as same");
    folder.make("data/t/second.parquet", "select 'one' as a, 'x' as same");
    let ran = folder.query("select * from t");
    ran.fails(1, &["`t`", "`a`", "data/t/first.parquet", "data/t/second.parquet", "cast"]);
    assert!(!ran.err.contains("`same`"), "{}", ran.err);
}

#[test]
fn a_column_that_only_newer_files_have_is_null_in_the_older() {
    let folder = Folder::new();
    folder.make("data/t/1.parquet", "select 1 as a");
    folder.make("data/t/2.parquet", "select 2 as a, 'new' as b");
    assert_eq!(folder.query("select a, b from t order by a").out(), "a,b\n1,\n2,new\n");
}

#[test]
fn an_empty_data_folder_says_how_to_get_data() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("data")).unwrap();
    let ran = folder.query("select * from calls");
    ran.fails(1, &["there is no table or view `calls`", "<query>:1:15", "--data"]).points_at("calls");
    assert!(ran.err.contains(&folder.path("data").display().to_string()), "{}", ran.err);
    let ran = folder.cxql(&["run", "kpi_overview"]);
    ran.fails(1, &["`interactions`", "--data", "sql/views/interactions.sql"]);
}

#[test]
fn an_empty_table_folder_is_named() {
    let (folder, _) = project();
    fs::create_dir_all(folder.path("data/calls")).unwrap();
    folder.query("select * from calls").fails(1, &["`calls`", "hold no Parquet files", "data/calls/"]);
}

#[test]
fn a_data_folder_that_is_none_is_a_fault_of_usage() {
    let folder = Folder::with(&[("file.csv", "a\n1\n")]);
    let run = |data: &str| folder.cxql(&["query", "select 1 as a", "--data", data]);
    run("nowhere").fails(2, &["nowhere", "--data", "cxql demo"]);
    run("file.csv").fails(2, &["file.csv", "folder"]);
    run("ftp://host/x").fails(2, &["ftp://", "s3://"]);
    run("s3://").fails(2, &["bucket", "s3://BUCKET"]);
    // no data folder at all: said in a sentence that is one
    let ran = folder.query("select * from calls");
    ran.fails(1, &["`calls`", "--data"]);
    assert!(!ran.err.contains("below (no data folder)"), "{}", ran.err);
}

#[test]
fn a_csv_line_with_too_few_or_too_many_fields_is_named_by_its_number() {
    let folder = Folder::with(&[("few.csv", "a,b\n1,x\n2\n3,z\n"), ("many.csv", "a,b\n1,x\n2,y,z\n")]);
    folder.query("select * from 'few.csv'").fails(1, &["few.csv", "line 3", "2", "1"]);
    folder.query("select * from 'many.csv'").fails(1, &["many.csv", "line 3", "2", "3"]);
}

#[test]
fn a_csv_file_that_is_not_utf8_says_how_to_convert_it() {
    let folder = Folder::new();
    folder.write("latin.csv", b"a,b\n1,caf\xe9\n");
    folder.query("select * from 'latin.csv'").fails(1, &["latin.csv", "line 2", "not UTF-8", "iconv"]);
}

#[test]
fn a_late_csv_value_that_is_no_number_makes_its_column_text() {
    let mut text = String::from("id,amount\n");
    (0..100_001).for_each(|row| text.push_str(&format!("{row},{row}\n")));
    text.push_str("100001,oops\n");
    let folder = Folder::with(&[("late.csv", &text)]);
    assert_eq!(folder.query("select count(*) as n, max(amount) as m from 'late.csv'").out(), "n,m\n100002,oops\n");
    folder.query("select sum(amount) as n from 'late.csv'").fails(1, &["sum", "text"]);
}

#[test]
fn a_csv_header_that_has_a_name_twice_says_so() {
    let folder = Folder::with(&[("twice.csv", "a,a\n1,2\n")]);
    folder.query("select * from 'twice.csv'").fails(1, &["twice.csv", "`a`", "twice"]);
}

#[test]
fn a_csv_file_with_a_header_alone_has_no_rows() {
    let folder = Folder::with(&[("header.csv", "a,b\n")]);
    assert_eq!(folder.query("select count(*) as n from 'header.csv'").out(), "n\n0\n");
}

#[test]
fn broken_json_is_named() {
    let folder = Folder::with(&[
        ("cut.ndjson", "{\"a\":1}\n{\"a\":\n"),
        ("mixed.ndjson", "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":[1]}\n"),
        ("array.json", "[{\"a\":1},{\"a\":2}]"),
    ]);
    folder.query("select * from 'cut.ndjson'").fails(1, &["cut.ndjson"]);
    folder.query("select * from 'mixed.ndjson'").fails(1, &["mixed.ndjson"]);
    folder.query("select * from 'array.json'").fails(1, &["array.json", "object", "jq -c '.[]' FILE"]);
    // as helpdesks write them
    folder.write("lines.json", "[\n  {\n    \"a\": 1\n  }\n]\n");
    folder.query("select * from 'lines.json'").fails(1, &["lines.json", "holds an array", "jq -c '.[]' FILE"]);
    folder.write("object.json", "{\n  \"tickets\": [{\"a\": 1}]\n}\n");
    folder.query("select * from 'object.json'").fails(1, &["object.json", "jq -c '.LIST[]' FILE"]);
}

#[test]
fn a_file_that_is_not_what_its_ending_says_is_named() {
    let folder = Folder::with(&[("bad.arrow", "hello"), ("bad.csv.gz", "hello"), ("bad.parquet", "hello, hello")]);
    for name in ["bad.arrow", "bad.csv.gz", "bad.parquet"] {
        let ran = folder.query(&format!("select * from '{name}'"));
        ran.fails(1, &["cannot read", name]);
        assert!(!ran.err.contains("try later"), "{}", ran.err);
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = Folder::with(&[("calls.csv", "a\n1\n"), ("what.xyz", "a\n1\n")]);
    folder.query("select * from 'nowhere.csv'").fails(1, &["nowhere.csv"]);
    folder.query("select * from 'nowhere/'").fails(1, &["nowhere/"]);
    folder.query("select * from 'no*.csv'").fails(1, &["no*.csv"]);
    let ran = folder.query("select * from 'what.xyz'");
    ran.fails(1, &["what.xyz", "ending", "format"]);
    assert!(!ran.err.contains("[tables.what.xyz]"), "{}", ran.err);
    // a file without quotes is no table
    folder.query("select * from calls.csv").fails(1, &["`calls.csv`", "'calls.csv'"]).points_at("calls.csv");
}

/// Categories of pandas: a dictionary column in two files, one of them NULL throughout. Expected rows: by hand.
#[test]
fn categories_in_a_file_of_nulls_do_not_end_a_query() {
    let folder = Folder::new();
    let category = |value: &str, rows: &str| {
        format!("select arrow_cast({value}, 'Dictionary(Int8, Utf8)') as q, column2 as n from (values {rows}) as v")
    };
    folder.make("data/d/a.parquet", &category("column1", "('x', 1), ('y', 2), ('x', 3)"));
    folder.make("data/d/b.parquet", &category("cast(null as text)", "(1, 4), (1, 5)"));
    let sql = "select q, count(*) as c from d where n > 0 group by q having count(*) > 1 order by q";
    assert_eq!(folder.query(sql).out(), "q,c\nx,2\n,2\n");
}
