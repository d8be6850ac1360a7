//! CSV files as exports are: what is read is what other programs read, and what cannot be read says so.
//!
//! Expected rows are DuckDB 1.4's (`read_csv`, defaults) and pandas' (`read_csv`, `dtype=str`) where they agree; where they
//! do not, the comment says whose.

use std::path::{Path, PathBuf};

use super::program::{Folder, Ran};

/// A file's rows, by `select *`.
fn rows(bytes: &[u8]) -> String {
    read(bytes).out()
}

fn read(bytes: &[u8]) -> Ran {
    let folder = Folder::new();
    folder.write("x.csv", bytes);
    folder.query("select * from 'x.csv'")
}

/// A table of the project, with these settings.
fn table(bytes: &[u8], settings: &str) -> Folder {
    let folder = Folder::new();
    folder.write("data/x.csv", bytes);
    folder.write("cxql.toml", format!("[tables.x]\npath = \"x.csv\"\n{settings}\n"));
    folder
}

#[test]
fn line_breaks_inside_quotes_are_read_by_any_number_of_threads() {
    const ROWS: u64 = 60_000;
    let mut text = String::from("id,text,n\n");
    let mut length = 0;
    for row in 0..ROWS {
        let field = format!("line one\nline, \"\"two\"\" {row}\r\n");
        // two quotes are one
        length += field.len() as u64 - 2;
        text.push_str(&format!("{row},\"{field}\",{}\n", row % 7));
    }
    let sum: u64 = (0..ROWS).map(|row| row % 7).sum();
    let expected = format!("c,s,d,l\n{ROWS},{sum},{ROWS},{length}\n");
    let folder = Folder::with(&[
        ("big.csv", &text),
        ("data/one/big.csv", &text),
        ("cxql.toml", "[tables.big]\npath = \"one/*.csv\"\nmultiline = true\n"),
    ]);
    for from in ["'big.csv'", "big"] {
        let sql =
            format!("select count(*) as c, sum(n) as s, count(distinct id) as d, sum(length(text)) as l from {from}");
        for threads in ["1", "2", "7"] {
            assert_eq!(folder.cxql(&["query", &sql, "--threads", threads]).out(), expected, "{from} {threads}");
        }
    }
}

#[test]
fn a_large_file_is_split_between_threads() {
    let mut text = String::from("id,text\n");
    (0..200_000).for_each(|row| text.push_str(&format!("{row},\"a\nb\"\n")));
    let folder = Folder::with(&[("big.csv", &text)]);
    let plan = folder.cxql(&["query", "explain select * from 'big.csv'", "--threads", "2"]).out();
    assert!(plan.contains("file_groups={2 groups"), "{plan}");
}

#[test]
fn ids_stay_as_they_are_written() {
    let text = b"zip,serial,phone,card,mixed\n007412,32E0134,+4912,1234567890123456,12\n12,1,2,3,00A\n";
    assert_eq!(rows(text), String::from_utf8_lossy(text));
    // numbers are numbers, here by their sum
    let folder = Folder::with(&[("x.csv", "a,b,c\n1,2.5,1.5e-1\n-3,.5,2\n")]);
    assert_eq!(folder.query("select sum(a) as a, sum(b) as b, sum(c) as c from 'x.csv'").out(), "a,b,c\n-2,3.0,2.15\n");
}

#[test]
fn all_values_decide_the_type_of_a_column() {
    let mut text = String::from("id,code\n");
    (0..150_000).for_each(|row| text.push_str(&format!("{row},{row}\n")));
    text.push_str("150000,007\n");
    let folder = Folder::with(&[("x.csv", &text)]);
    assert_eq!(folder.query("select code from 'x.csv' where id = 150000").out(), "code\n007\n");
}

#[test]
fn a_timestamp_with_an_offset_keeps_it() {
    let folder =
        Folder::with(&[("x.csv", "at\n2025-01-01T10:00:00Z\n2025-01-01 10:00:00+02:00\n2025-01-01 10:00:00 UTC\n")]);
    // by hand: Shanghai is eight hours ahead of UTC
    let sql = "select date_part('hour', at at time zone 'Asia/Shanghai') as h from 'x.csv' order by 1";
    assert_eq!(folder.query(sql).out(), "h\n16\n18\n18\n");
    // without an offset the clock of the zone is meant
    let folder = Folder::with(&[("x.csv", "at\n2025-01-01T10:00:00\n")]);
    let sql = "select date_part('hour', (at at time zone 'Asia/Shanghai') at time zone 'UTC') as h from 'x.csv'";
    assert_eq!(folder.query(sql).out(), "h\n2\n");
    let mixed = read(b"at\n2025-01-01T10:00:00Z\n2025-01-01T10:00:00\n");
    assert_eq!(mixed.out(), "at\n2025-01-01T10:00:00Z\n2025-01-01T10:00:00\n");
    mixed.says("`at` is text").says("offset");
}

#[test]
fn dates_of_unknown_order_and_words_stay_text() {
    let text = "day,flag,word\n03/04/2025,yes,N/A\n13/04/2025,no,null\n";
    assert_eq!(rows(text.as_bytes()), text);
    read(b"n\n1\nN/A\n").says("'N/A' (line 3)").says("null = \"N/A\"");
    let folder = table(b"n,m\n1,2\nN/A,-\n", "null = [\"N/A\", \"-\"]");
    assert_eq!(folder.query("select sum(n) as n, sum(m) as m from x").out(), "n,m\n1,2\n");
}

#[test]
fn the_delimiter_is_recognised() {
    for delimiter in [';', '\t', '|', ','] {
        let text = format!("a{delimiter}b\n1{delimiter}2\n3{delimiter}4\n");
        let folder = Folder::with(&[("x.csv", &text)]);
        assert_eq!(folder.query("select sum(b) as b from 'x.csv'").out(), "b\n6\n", "{delimiter}");
    }
    assert_eq!(rows(b"sep=;\r\na;b\r\n1;2\r\n"), "a,b\n1,2\n");
    // DuckDB's types: b is text
    let decimal = read(b"a;b\n1;2,5\n3;4,25\n");
    assert_eq!(decimal.out(), "a,b\n1,\"2,5\"\n3,\"4,25\"\n");
    decimal.says("decimal = \",\"");
    let folder = table(b"a;b\n1;2,5\n3;4,25\n", "decimal = \",\"");
    assert_eq!(folder.query("select sum(b) as b from x").out(), "b\n6.75\n");
}

#[test]
fn files_of_one_table_are_matched_by_the_names_of_their_columns() {
    let folder = Folder::with(&[
        ("m/1.csv", "a,b,c\n1,x,2025-01-01\n"),
        ("m/2.csv", "c;a;b\n2025-01-02;2;y\n"),
        ("m/3.csv", "a,d\n3,7\n"),
    ]);
    let ran = folder.query("select * from 'm/*.csv' order by a");
    // DuckDB, union_by_name = true
    assert_eq!(ran.out(), "a,b,c,d\n1,x,2025-01-01,\n2,y,2025-01-02,\n3,,,7\n");
    ran.says("`b` is NULL for files that do not have it").says("3.csv");
}

#[test]
fn quotes_are_escaped_by_quotes_or_by_a_backslash() {
    assert_eq!(rows(b"a,b\n\"x \"\"q\"\"\",1\n"), "a,b\n\"x \"\"q\"\"\",1\n");
    assert_eq!(rows(b"a,b\n\"x \\\"q\\\" y\",2\n\"z\",3\n"), "a,b\n\"x \"\"q\"\" y\",2\nz,3\n");
    // a path that ends with a backslash is no escape
    assert_eq!(rows(b"a,b\n\"C:\\dir\\\",2\n"), "a,b\nC:\\dir\\,2\n");
    read(b"a,b\n1,2\n\"x,3\n4,5\n").fails(1, &["x.csv", "line 3", "does not end"]);
    read(b"a,b\n1,2\n\"x\"y,3\n").fails(1, &["x.csv", "line 3", "after the quote"]);
}

#[test]
fn quotes_can_mean_nothing() {
    let text = b"size\ttext\n5\"\t\"open\n";
    let folder = Folder::new();
    folder.write("data/x.tsv", text);
    folder.write("cxql.toml", "[tables.x]\npath = \"x.tsv\"\n");
    folder.query("select * from x").fails(1, &["line 2", "does not end", "quote = \"\""]);
    folder.write("cxql.toml", "[tables.x]\npath = \"x.tsv\"\nquote = \"\"\n");
    assert_eq!(folder.query("select count(*) as n, max(length(text)) as l from x").out(), "n,l\n1,5\n");
}

#[test]
fn a_ragged_row_is_an_error_that_can_be_left_out_or_filled() {
    let text = b"a,b\n1,x\n2\n3,z\n";
    read(text).fails(1, &["x.csv", "line 3", "1 field", "2", "bad_rows", "skip_lines"]);
    let folder = table(text, "bad_rows = \"skip\"");
    let ran = folder.query("select * from x");
    assert_eq!(ran.out(), "a,b\n1,x\n3,z\n");
    ran.says("1 row is left out").says("line 3");
    let folder = table(text, "bad_rows = \"fill\"");
    assert_eq!(folder.query("select * from x").out(), "a,b\n1,x\n2,\n3,z\n");
    // a row with too many is not shortened
    let folder = table(b"a,b\n1,x,y\n", "bad_rows = \"fill\"");
    folder.query("select * from x").fails(1, &["line 2", "3 fields"]);
    // an unquoted comma in a row that ends with an empty field moves its values
    read(b"id,name,n\n1,Ann,\n2,Smith, John,\n").fails(1, &["line 3", "4 fields"]);
    // a delimiter at the end of every line is none
    assert_eq!(rows(b"a,b\n1,2,\n3,4,\n"), "a,b\n1,2\n3,4\n");
    // lines before the header
    let folder = table(b"Report\nof today, all\n\na,b\n1,2\n", "skip_lines = 2");
    assert_eq!(folder.query("select * from x").out(), "a,b\n1,2\n");
}

#[test]
fn a_header_may_be_long_quoted_empty_or_missing() {
    let names: Vec<String> = (0..4_000).map(|column| format!("a_column_with_a_long_name_{column}")).collect();
    let values: Vec<String> = (0..4_000).map(|column| column.to_string()).collect();
    let text = format!("{}\n{}\n", names.join(","), values.join(","));
    assert!(text.find('\n').unwrap() > 100_000);
    let folder = Folder::with(&[("x.csv", &text)]);
    assert_eq!(folder.query("select a_column_with_a_long_name_3999 as x from 'x.csv'").out(), "x\n3999\n");
    let repeated = format!("{},{}\n", names.join(","), names[17]);
    read(repeated.as_bytes()).fails(1, &["a_column_with_a_long_name_17", "twice"]);
    read(b"\"a\",a\n1,2\n").fails(1, &["`a`", "twice"]);
    // the index that pandas writes
    assert_eq!(rows(b",b\n0,2\n"), "column_1,b\n0,2\n");
    assert_eq!(rows(b"\"a\nb\",c\n1,2\n"), "\"a\nb\",c\n1,2\n");
    read(b"1001,2025-01-01\n1002,2025-01-02\n").says("looks like a row").says("header = false");
    let folder = table(b"1001,2025-01-01\n1002,2025-01-02\n", "header = false");
    assert_eq!(folder.query("select sum(column_1) as n from x").out(), "n\n2003\n");
}

#[test]
fn line_ends_blank_lines_and_empty_fields_are_those_of_other_programs() {
    assert_eq!(rows(b"a,b\r\n1,2\r\n\r\n3,4"), "a,b\n1,2\n3,4\n");
    assert_eq!(rows(b"a,b\r1,2\r3,4\r"), "a,b\n1,2\n3,4\n");
    // in a file of one column an empty line is a NULL, as DuckDB has it
    let folder = Folder::with(&[("x.csv", "a\n1\n\n3\n")]);
    assert_eq!(folder.query("select count(*) as n, count(a) as a from 'x.csv'").out(), "n,a\n3,2\n");
    let folder = Folder::with(&[("x.csv", "a,b\n\"\",1\n,2\nx,3\n")]);
    assert_eq!(folder.query("select count(*) as n, count(a) as a from 'x.csv'").out(), "n,a\n3,1\n");
    assert_eq!(rows(b"a,b\nx\0y,1\n"), "a,b\nx\0y,1\n");
}

#[test]
fn encodings_are_decoded_or_named() {
    assert_eq!(rows(b"\xef\xbb\xbfa,b\n1,2\n"), "a,b\n1,2\n");
    let utf16 = |text: &str, mark: &[u8], big: bool| {
        let units = text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
        [mark, &units.collect::<Vec<u8>>()].concat()
    };
    let text = "a,b\n电话,é\n";
    assert_eq!(rows(&utf16(text, b"\xff\xfe", false)), text);
    assert_eq!(rows(&utf16(text, b"\xfe\xff", true)), text);
    assert_eq!(rows(&utf16("a,b\n1,2\n", b"", false)), "a,b\n1,2\n");
    // GBK of 电话
    let gbk = b"id,channel\n1,\xb5\xe7\xbb\xb0\n";
    read(gbk).fails(1, &["line 2 is not UTF-8", "gb18030", "encoding = "]);
    let folder = table(gbk, "encoding = \"gbk\"");
    assert_eq!(folder.query("select * from x").out(), "id,channel\n1,电话\n");
    let folder = table(b"a\ncaf\xe9\n", "encoding = \"latin1\"");
    assert_eq!(folder.query("select * from x").out(), "a\ncafé\n");
    table(b"a\n1\n", "encoding = \"klingon\"").query("select * from x").fails(2, &["klingon", "gb18030"]);
}

#[test]
fn a_declared_type_that_does_not_fit_names_the_value() {
    let folder = table(b"id,n\n1,5\n2,x7\n", "columns = { n = \"integer\" }");
    folder.query("select sum(n) as n from x").fails(1, &["x.csv", "line 3", "'x7'", "`n`", "bigint", "cxql.toml"]);
    // leading zeros and plus signs are numbers where that is declared
    let folder =
        table(b"n,at\n007,2025-01-01\n+5,2025-01-02 10:00\n", "columns = { n = \"integer\", at = \"timestamp\" }");
    assert_eq!(folder.query("select sum(n) as n, min(at) as at from x").out(), "n,at\n12,2025-01-01T00:00:00Z\n");
}

#[test]
fn compressed_files_of_several_parts_are_read_to_their_end() {
    // Python's gzip.compress of "a\n1\n" and of "2\n", one after the other
    let folder = Folder::new();
    let gzip: [&[u8]; 2] = [
        &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 228, 50, 228, 2, 0, 0, 36, 193, 137, 4, 0, 0, 0],
        &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 51, 226, 2, 0, 144, 175, 124, 76, 2, 0, 0, 0],
    ];
    folder.write("x.csv.gz", gzip.concat());
    assert_eq!(folder.query("select sum(a) as a from 'x.csv.gz'").out(), "a\n3\n");
}

#[test]
fn ids_in_json_strings_stay_strings() {
    let folder = Folder::with(&[("x.ndjson", "{\"id\":\"007\",\"n\":1}\n{\"id\":\"8\",\"n\":2,\"late\":true}\n")]);
    assert_eq!(folder.query("select id, n, late from 'x.ndjson'").out(), "id,n,late\n007,1,\n8,2,true\n");
}

#[test]
fn a_column_of_a_late_json_line_is_a_column() {
    let mut text = String::new();
    (0..120_000).for_each(|row| text.push_str(&format!("{{\"n\":{row}}}\n")));
    text.push_str("{\"n\":1,\"late\":\"x\"}\n");
    let folder = Folder::with(&[("x.ndjson", &text)]);
    assert_eq!(folder.query("select count(*) as c, count(late) as l from 'x.ndjson'").out(), "c,l\n120001,1\n");
}

#[test]
fn json_numbers_that_a_float_would_round_are_refused() {
    let read = |text: &str| Folder::with(&[("x.ndjson", text)]).query("select * from 'x.ndjson'");
    // all digits of a 64-bit integer are kept
    assert_eq!(read("{\"id\":9007199254740993}\n").out(), "id\n9007199254740993\n");
    read("{\"id\":1}\n{\"id\":12345678901234567890}\n")
        .fails(1, &["x.ndjson", "line 2", "12345678901234567890", "`id`"]);
    read("{\"v\":9007199254740993}\n{\"v\":0.5}\n").fails(1, &["x.ndjson", "line 1", "9007199254740993", "strings"]);
}

/// The CSV files of a folder of real ones.
fn shared_files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(folder);
    let Ok(root) = root.canonicalize() else {
        println!("skipped: ../shared/data/{folder} is not here");
        return Vec::new();
    };
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|ending| ending.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("csv" | "tsv") => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[test]
fn real_exports_have_the_rows_that_duckdb_counts() {
    // files that are no table, or only with a setting: of them the error must name file and line or encoding
    let refused = [
        "csv-141",
        "sample1",
        "testCSV85",
        "gbk",
        "bad",
        "bad_skip_lines",
        "test_empty_columns",
        "test_extra_header",
        "test_latin1",
        "converterCsv",
        "issue-811_first200",
        "skip-rows-before-headers",
        "structure-errors",
        "table-infer-iso-8859-7",
        "table-with-accents",
        "inputcommenttest",
        "inputskiptest",
        "snifftest-flexible",
        "snifftest",
        "essential",
        "essential-dos",
        "essential-mac",
        "multi_schema",
        "event_data",
    ];
    let expected = include_str!("../expected/csv_rows.txt");
    let expected: Vec<(&str, &str)> = expected.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    for folder in ["csv_torture", "messy_exports", "vendor_exports"] {
        let place = Folder::new();
        for file in shared_files(folder) {
            let path = file.display().to_string();
            let ran = place.query(&format!("select count(*) as n from '{path}'"));
            let known = expected.iter().find(|(name, _)| path.ends_with(name));
            match known {
                Some((_, count)) => assert_eq!(ran.out(), format!("n\n{count}\n"), "{path}"),
                None => {
                    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    assert!(refused.iter().any(|name| stem.ends_with(name)), "{path}: {}", ran.err);
                    ran.fails(1, &[&path]);
                }
            }
        }
    }
}

// expected numbers by hand
#[test]
fn numbers_with_signs_are_text_and_a_note_says_how_to_read_them() {
    let folder = Folder::with(&[(
        "x.csv",
        "id,share,cost,back,name,\n1,45%,$5.00,\"-$1,234.50\",a 5%,\n2,5 %,6,€2,%,\n3,,$7,3,b,\n",
    )]);
    let ran = folder.query(
        "select sum(try_cast(replace(share, '%', '') as double) / 100) as share, \
         sum(try_cast(replace(cost, '$', '') as double)) as cost from 'x.csv'",
    );
    assert_eq!(ran.out(), "share,cost\n0.5,18.0\n");
    for note in [
        "the column `share` is text: '45%' (line 2) has a `%`; try_cast(replace(share, '%', '') as double) / 100",
        "the column `cost` is text: '$5.00' (line 2) has a `$`; try_cast(replace(cost, '$', '') as double) is its number",
        "try_cast(replace(replace(back, '$', ''), ',', '') as double)",
        "the column `column_6` has no name and no values: the lines end with a delimiter",
    ] {
        ran.says(note);
    }
    assert!(!ran.err.contains("`name`"), "{}", ran.err);
    // a comma is what the example shows
    let files = [
        ("de.csv", "a;b;c;d;e\n€ 1.234,50;1.234,50;2,25;1,234;1,234,567\n€ 2,00;2.000,25;1,5;2,000;5\n"),
        ("us.csv", "a,b\n\"$1,234.50\",\"1,234.50\"\n$2,7\n"),
    ];
    let folder = Folder::with(&files);
    let ran = folder.query(
        "select sum(try_cast(replace(replace(replace(a, '€', ''), '.', ''), ',', '.') as double)) as a, \
         sum(try_cast(replace(replace(b, '.', ''), ',', '.') as double)) as b from 'de.csv'",
    );
    assert_eq!(ran.out(), "a,b\n1236.5,3234.75\n");
    for note in [
        "has a `€`; try_cast(replace(replace(replace(a, '€', ''), '.', ''), ',', '.') as double) is its number",
        "'1.234,50' (line 2) has a decimal comma; try_cast(replace(replace(b, '.', ''), ',', '.') as double) is its",
        "'2,25' (line 2) has a decimal comma; decimal = \",\" reads it as a number",
        "'1,234' (line 2) has a comma; if it stands between thousands, try_cast(replace(d, ',', '') as double)",
        "'1,234,567' (line 2) has a comma between thousands; try_cast(replace(e, ',', '') as double) is its number",
    ] {
        ran.says(note);
    }
    let ran = folder.query("select * from 'us.csv'");
    ran.says("try_cast(replace(replace(a, '$', ''), ',', '') as double) is its number");
    ran.says("'1,234.50' (line 2) has a comma between thousands; try_cast(replace(b, ',', '') as double)");
    // rows of one field more than the header alone are read without it
    assert_eq!(rows(b"id,n\n1,2,\n3,4,\n"), "id,n\n1,2\n3,4\n");
}
