//! `cxql.toml`, limits, and what beats what: flag, environment, file, default.

use super::program::Folder;

#[test]
fn a_fault_of_the_file_is_shown_at_its_place() {
    let faults: [(&str, &str, &[&str]); 11] = [
        ("data = \"data\"\nmemroy = \"4GB\"\n", "2:1", &["`memroy`", "did you mean `memory`?"]),
        ("[s3]\nendpont = \"x\"\n", "2:1", &["`endpont`", "did you mean `endpoint`?"]),
        ("[tables.a]\npath = \"a.csv\"\ntype = \"csv\"\n", "3:1", &["`type`", "format", "delimiter"]),
        ("[tables.a]\n", "1:1", &["`path`"]),
        ("[tables.a]\npath = \"a.csv\"\nformat = \"cvs\"\n", "3:10", &["`cvs`", "csv", "parquet"]),
        ("[tables.a]\npath = \"a.csv\"\ndelimiter = \"ab\"\n", "3:13", &["ab", "character"]),
        ("memory = 4\n", "1:10", &["4", "string"]),
        ("threads = \"two\"\n", "1:11", &["two"]),
        ("threads = -1\n", "1:11", &["-1"]),
        ("memory = \"1GB\"\nmemory = \"2GB\"\n", "2:1", &["duplicate key"]),
        ("data = \n", "1:8", &[]),
    ];
    for (text, place, wanted) in faults {
        let folder = Folder::with(&[("cxql.toml", text)]);
        let ran = folder.query("select 1 as a");
        ran.fails(2, wanted).fails(2, &[&format!("cxql.toml:{place}\n")]);
    }
}

#[test]
fn an_unusable_value_of_the_file_is_named() {
    let said = |text: &str, wanted: &[&str]| {
        Folder::with(&[("cxql.toml", text)]).query("select 1 as a").fails(2, wanted);
    };
    said("memory = \"lots\"\n", &["cxql.toml", "memory", "`lots`", "4GB"]);
    said("threads = 0\n", &["cxql.toml", "threads", "at least 1"]);
    said("data = \"nowhere\"\n", &["nowhere", "no data folder"]);
    said("time_zone = \"Mars\"\n", &["`Mars`", "no time zone", "Europe/Berlin"]);
    said("temp_dir = \"nowhere\"\n", &["nowhere", "folder"]);
    let folder = Folder::new();
    folder.write("cxql.toml", b"data = \"caf\xe9\"\n");
    folder.query("select 1 as a").fails(2, &["cxql.toml", "UTF-8"]);
    folder.cxql(&["query", "select 1 as a", "--config", "nowhere.toml"]).fails(2, &["nowhere.toml"]);
}

/// Expected values: PostgreSQL 15 with `set time zone 'Europe/Berlin'`. 22:30 UTC is after midnight in Berlin.
#[test]
fn days_are_those_of_the_time_zone() {
    let calls = "id,at\n1,2025-06-01T21:30:00Z\n2,2025-06-01T22:30:00Z\n3,2025-06-02T08:00:00Z\n";
    let folder = Folder::with(&[("data/calls.csv", calls)]);
    let columns = "[tables.calls]\npath = \"calls.csv\"\ncolumns = { at = \"timestamp\" }\n";
    folder.write("cxql.toml", format!("time_zone = \"Europe/Berlin\"\n{columns}"));
    let days = "select date_trunc('day', at) as day, count(*) as n from calls group by 1 order by 1";
    let local = "day,n\n2025-06-01T00:00:00+02:00,1\n2025-06-02T00:00:00+02:00,2\n";
    assert_eq!(folder.query(days).out(), local);
    let hours = "select extract(hour from at) as h, cast(at as date) as d from calls order by id limit 2";
    assert_eq!(folder.query(hours).out(), "h,d\n23,2025-06-01\n0,2025-06-02\n");
    let since =
        "select count(*) as n from calls where at >= date '2025-06-02' and at < timestamptz '2025-06-02 09:00Z'";
    assert_eq!(folder.query(since).out(), "n\n2\n");
    folder.write("cxql.toml", columns);
    assert_eq!(folder.query(days).out(), "day,n\n2025-06-01T00:00:00Z,2\n2025-06-02T00:00:00Z,1\n");
}

/// Times of the model without a zone are UTC: 23:30 on 1 June is 01:30 on 2 June in Berlin. Dates are local days.
#[test]
fn times_of_the_model_are_utc_in_any_time_zone() {
    let folder = Folder::new();
    let row = "select 'a' as interaction_id, 'c' as customer_id, timestamp '2025-06-01 23:30:00' as started_at";
    folder.make("data/interactions.parquet", row);
    folder.make("data/customers.parquet", "select 'c' as customer_id, date '2025-06-01' as signed_up_at");
    let point = "select count(*) as n from interactions where started_at = timestamptz '2025-06-01 23:30:00Z'";
    let shown =
        "select started_at, cast(started_at as date) as day, extract(hour from started_at) as h from interactions";
    let signed = "select cast(signed_up_at as date) as day from customers";
    for (zone, expected) in [
        ("UTC", "started_at,day,h\n2025-06-01T23:30:00Z,2025-06-01,23\n"),
        ("Europe/Berlin", "started_at,day,h\n2025-06-02T01:30:00+02:00,2025-06-02,1\n"),
        ("America/New_York", "started_at,day,h\n2025-06-01T19:30:00-04:00,2025-06-01,19\n"),
    ] {
        folder.write("cxql.toml", format!("time_zone = \"{zone}\"\n"));
        assert_eq!(folder.query(point).out(), "n\n1\n", "{zone}");
        assert_eq!(folder.query(shown).out(), expected, "{zone}");
        // views over UNION too
        for view in ["contacts_unique", "contacts_clean", "contact_outcomes"] {
            let shown = shown.replace("from interactions", &format!("from {view}"));
            assert_eq!(folder.query(&shown).out(), expected, "{zone}: {view}");
        }
        assert_eq!(folder.query(signed).out(), "day\n2025-06-01\n", "{zone}");
    }
}

#[test]
fn a_table_whose_file_is_missing_is_named() {
    let folder = Folder::with(&[("cxql.toml", "[tables.calls]\npath = \"calls.csv\"\n")]);
    let ran = folder.query("select * from calls");
    ran.fails(1, &["`calls`", "cxql.toml", "no such file"]);
    assert!(ran.err.contains(&folder.path("calls.csv").display().to_string()), "a relative path does not tell where");
    // it hurts only those who read it
    assert_eq!(folder.query("select 1 as a").out(), "a\n1\n");
    let folder = Folder::with(&[("data/calls.csv", "x\n1\n"), ("cxql.toml", "[tables.calls]\npath = \"calls.csv\"\n")]);
    assert_eq!(folder.query("select * from calls").out(), "x\n1\n");
}

#[test]
fn a_table_can_be_described() {
    let table = |keys: &str| format!("[tables.calls]\npath = \"calls.txt\"\nformat = \"csv\"\n{keys}\n");
    let folder = Folder::with(&[("data/calls.txt", "id;amount\n007;-\n8;2.5\n")]);
    folder.write("cxql.toml", table("delimiter = \";\"\nnull = \"-\"\ncolumns = { id = \"text\" }"));
    assert_eq!(folder.query("select * from calls order by id").out(), "id,amount\n007,\n8,2.5\n");
    folder.write("cxql.toml", table("delimiter = \";\"\nheader = false"));
    assert_eq!(folder.query("select count(*) as n from calls").out(), "n\n3\n");
    folder.write("cxql.toml", table("delimiter = \";\"\ncolumns = { amuont = \"text\" }"));
    folder.query("select * from calls").fails(2, &["calls", "`amuont`", "did you mean `amount`?"]);
    folder.write("cxql.toml", table("delimiter = \";\"\ncolumns = { id = \"intt\" }"));
    folder.query("select * from calls").fails(2, &["calls", "intt", "integer"]);
    folder.write("cxql.toml", table("compression = \"lz\""));
    folder.query("select * from calls").fails(2, &["calls", "`lz`", "gzip"]);
}

#[test]
fn an_unusable_limit_is_a_fault_of_usage() {
    let folder = Folder::new();
    let run = |args: &[&str]| folder.cxql(&[&["query", "select 1 as a"], args].concat());
    run(&["--memory", "lots"]).fails(2, &["--memory", "`lots`", "4GB"]);
    run(&["--memory", "1KB"]).fails(2, &["--memory", "`1KB`", "16MB"]);
    run(&["--memory", "-4GB"]).fails(2, &["-4"]);
    run(&["--threads", "0"]).fails(2, &["threads", "at least 1"]);
    run(&["--threads", "two"]).fails(2, &["--threads", "two"]);
    run(&["--threads", "1000000"]).fails(2, &["threads", "1000000"]);
    run(&["--temp-dir", "nowhere/deep"]).fails(2, &["--temp-dir", "nowhere/deep"]);
    run(&["--project", "nowhere"]).fails(2, &["--project", "nowhere"]);
    assert_eq!(run(&["--memory", "64MB", "--threads", "1"]).out(), "a\n1\n");
    assert!(folder.names(".").is_empty(), "{:?}", folder.names("."));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let folder = Folder::new();
    for (name, number) in [("data", 1), ("file", 2), ("env", 3), ("flag", 4)] {
        folder.make(&format!("{name}/t.parquet"), &format!("select {number} as n"));
    }
    let ask = |env: &[(&str, &str)], args: &[&str]| {
        folder.cxql_env(env, &[&["query", "select n from t"], args].concat()).out()
    };
    assert_eq!(ask(&[], &[]), "n\n1\n");
    folder.write("cxql.toml", "data = \"file\"\nmemory = \"64MB\"\n");
    assert_eq!(ask(&[], &[]), "n\n2\n");
    assert_eq!(ask(&[("CXQL_DATA", "env")], &[]), "n\n3\n");
    assert_eq!(ask(&[("CXQL_DATA", "env")], &["--data", "flag"]), "n\n4\n");
    // an empty variable is none
    assert_eq!(ask(&[("CXQL_DATA", "")], &[]), "n\n2\n");
    // the same for limits: what is beaten is not even read
    folder.cxql_env(&[("CXQL_MEMORY", "lots")], &["query", "select 1 as a"]).fails(2, &["lots"]);
    assert_eq!(ask(&[("CXQL_MEMORY", "lots")], &["--memory", "64MB"]), "n\n2\n");
    folder.write("cxql.toml", "data = \"file\"\nmemory = \"lots\"\n");
    assert_eq!(ask(&[("CXQL_MEMORY", "64MB")], &[]), "n\n2\n");
    // another configuration file, and another project folder; its paths are its own
    folder.write("other/cxql.toml", "data = \"../env\"\n");
    assert_eq!(ask(&[], &["--project", "other"]), "n\n3\n");
    assert_eq!(ask(&[("CXQL_PROJECT", "other")], &[]), "n\n3\n");
    let ran =
        folder.cxql(&["query", "show datafusion.execution.target_partitions", "--threads", "3", "--memory", "1GB"]);
    assert!(ran.out().ends_with(",3\n"), "{}", ran.text());
}

/// What a command learnt of the keys of files is found by the next in the folder that an option, a variable or the file names, else
/// in the user's cache folder.
#[test]
fn keys_of_files_are_read_once() {
    let folder = Folder::new();
    let rows = "select i as id, i % 7 as v from generate_series(1, 500) as s(i) union all select 5, 5";
    folder.make("data/t.parquet", rows);
    folder.write("cxql.toml", "cache_dir = \"of file\"\n[engine]\nunique_keys_min_rows = 0\n");
    let latest = "explain analyze select sum(v) as s from \
                  (select *, row_number() over (partition by id order by v desc) as n from t) where n = 1";
    let scans = |env: &[(&str, &str)], args: &[&str]| {
        let text = folder.cxql_env(env, &[&["query", latest], args].concat()).out();
        let scans = text.split("key_scans=").nth(1).and_then(|rest| rest.split(',').next());
        scans.unwrap_or_else(|| panic!("{text}")).to_string()
    };
    let variable = [("CXQL_CACHE_DIR", "of variable")];
    for name in ["of option", "of variable", "of file"] {
        let (env, args): (&[_], &[_]) = match name {
            "of option" => (&variable, &["--cache-dir", name]),
            "of variable" => (&variable, &[]),
            _ => (&[], &[]),
        };
        assert_eq!((scans(env, args).as_str(), folder.names(&format!("{name}/keys")).len()), ("1", 1));
        assert_eq!(scans(env, args), "0");
    }
    folder.write("cxql.toml", "[engine]\nunique_keys_min_rows = 0\n");
    assert_eq!((scans(&[], &[]), scans(&[], &[])), ("1".into(), "0".into()));
    assert_eq!(folder.names(".cache/cxql/keys").len(), 1);
    assert_eq!(scans(&[("XDG_CACHE_HOME", "elsewhere")], &[]), "1");
    // a file of the same size in the place of the old
    folder.make("data/t.parquet", &rows.replace("% 7", "% 5"));
    assert_eq!((scans(&[], &[]), scans(&[], &[])), ("1".into(), "0".into()));
    folder.write("cxql.toml", "[engine]\nunique_keys_min_rows = 0\nkey_cache = false\n");
    assert_eq!(scans(&[], &[]), "1");
    // where the folder cannot be made, the keys are read
    folder.write("cxql.toml", "[engine]\nunique_keys_min_rows = 0\n");
    assert_eq!(scans(&[("CXQL_CACHE_DIR", "cxql.toml")], &[]), "1");
}
