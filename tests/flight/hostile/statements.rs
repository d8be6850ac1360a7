//! Statements whose planning would take the stack, the memory or the time of everybody.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::server::{Served, query, sample};

/// Chains of every kind, of so many links.
fn chains(length: usize) -> Vec<String> {
    let joined = |part: &str, by: &str| vec![part; length].join(by);
    let comparisons: Vec<String> = (0..length).map(|n| format!("wait_s = {n}")).collect();
    vec![
        format!("select {}", joined("1", "+")),
        format!("select {}", joined("1", " - ")),
        format!("select {}", joined("'a'", "||")),
        format!("select {}", joined("1.5", "*")),
        format!("select {}", joined("2", "^")),
        format!("select {}", joined("1", " = ")),
        format!("select 1 where {}", joined("1", " < ")),
        format!("select {}", joined("true", " is not distinct from ")),
        format!("select make_array(1){}", "[1]".repeat(length)),
        format!("select 1{}", "::bigint".repeat(length)),
        format!("select 1{}", " is null".repeat(length)),
        format!("select 'a'{}", " like 'a'".repeat(length)),
        format!("select now(){}", " at time zone 'UTC'".repeat(length)),
        format!("select 'a'{}", " collate x".repeat(length)),
        format!("select {}1", "- ".repeat(length)),
        format!("select {}true", "not ".repeat(length)),
        format!("select a{}", ".b".repeat(length)),
        format!("select {}1{}", "abs(".repeat(length), ")".repeat(length)),
        format!("select {}1{}", "case when true then ".repeat(length), " end".repeat(length)),
        format!("select {}", joined("1 union all select ", "") + "1"),
        format!("select {}", joined("1 union select ", "") + "1"),
        format!("select {}", joined("1 except select ", "") + "1"),
        format!("select count(*) from {}", joined("surveys s", " natural join ")),
        format!("select count(*) from {}", joined("surveys", ", ")),
        format!("select queue from interactions where {}", comparisons.join(" xor ")),
        format!("select * from {}surveys{}", "(select * from ".repeat(length), ")".repeat(length)),
        format!("{}select 1", "explain ".repeat(length)),
        format!("select {}'1 day'", "interval ".repeat(length)),
        format!("select 1{}", " union all (select 1)".repeat(length)),
        format!("select cast(null as int{})", "[]".repeat(length)),
        format!("select 1{}", " = any(array[1])".repeat(length)),
    ]
}

#[tokio::test]
async fn long_chains_are_refused_in_no_time() {
    let mut served = Served::sample();
    let mut client = served.client().await;
    for length in [2_000, 13_000, 100_000] {
        for sql in chains(length) {
            let started = Instant::now();
            let error = query(&mut client, &sql).await.unwrap_err();
            let shown = &sql[..sql.len().min(60)];
            assert_eq!(error.code(), Code::InvalidArgument, "{length} of {shown}: {error:?}");
            assert!(started.elapsed() < Duration::from_secs(10), "{length} of {shown}: {:?}", started.elapsed());
        }
    }
    assert!(served.is_running());
}

/// A CUBE of n expressions is two to the power of n grouping sets; set operations wait for each other beyond the budget of a task.
#[tokio::test]
async fn cubes_and_intersections_have_limits() {
    let mut served = Served::sample();
    let mut client = served.client().await;
    let cube = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!("agent_id || '{key}'")).collect();
        format!("select count(*) as n from agents group by cube({})", keys.join(", "))
    };
    let chain = |word: &str, count: usize| format!("select 1 as a{}", format!(" {word} select 1").repeat(count));
    for sql in [cube(13), cube(30), chain("intersect", 101), chain("except", 200)] {
        let started = Instant::now();
        let error = query(&mut client, &sql).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
    assert_eq!(query(&mut client, &cube(4)).await.unwrap().num_rows(), 42 * 15 + 1);
    assert_eq!(query(&mut client, &chain("intersect", 100)).await.unwrap().num_rows(), 1);
    assert_eq!(query(&mut client, &chain("union all", 150)).await.unwrap().num_rows(), 151);
    assert!(served.is_running());
}

/// Each level of these is planned twice or more.
#[tokio::test]
async fn operands_that_are_copied_do_not_nest_without_end() {
    let served = Served::sample();
    let mut client = served.client().await;
    let nested = |form: &str, levels: usize| {
        (0..levels).fold("wait_s".to_owned(), |inner, level| form.replace('X', &inner).replace('N', &level.to_string()))
    };
    for form in [
        "coalesce(X, N)",
        "nvl(X, N)",
        "((X between N and 9)::int)",
        "((X is not distinct from N)::int)",
        "((X = any([N, 2]))::int)",
        "((X < N.5)::int::double)",
        "(case X when 1 then N else 4 end)",
    ] {
        let sql = |levels| format!("select max({}) as a from interactions", nested(form, levels));
        let error = query(&mut client, &sql(20)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{form}: {error:?}");
        assert!(error.message().contains("nest deeper than"), "{form}: {error:?}");
        let started = Instant::now();
        let below = if form.contains("any") { 2 } else { 6 };
        assert_eq!(query(&mut client, &sql(below)).await.unwrap().num_rows(), 1, "{form}");
        assert!(started.elapsed() < Duration::from_secs(20), "{form}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn chains_below_the_limit_end_no_server() {
    let mut served = Served::sample();
    let mut client = served.client().await;
    for length in [90, 240] {
        for sql in chains(length) {
            let started = Instant::now();
            // some are wrong for other reasons
            let _ = query(&mut client, &format!("explain {sql}")).await;
            let shown = &sql[..sql.len().min(60)];
            // a build for tests on a busy machine
            assert!(started.elapsed() < Duration::from_secs(90), "{length} of {shown}: {:?}", started.elapsed());
        }
    }
    assert!(served.is_running(), "{}", served.log());
}

#[tokio::test]
async fn what_tools_write_is_fast() {
    let served = Served::sample();
    let mut client = served.client().await;
    let numbers: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let names: Vec<String> = (0..2_000).map(|n| format!("queue = 'q{n}'")).collect();
    let others: Vec<String> = (0..500).map(|n| format!("queue <> 'q{n}'")).collect();
    let cases: Vec<String> = (0..300).map(|n| format!("when queue = 'q{n}' then {n}")).collect();
    for sql in [
        format!("select count(*) from interactions where wait_s in ({})", numbers.join(",")),
        format!("select count(*) from interactions where {}", names.join(" or ")),
        format!("select count(*) from interactions where {}", others.join(" and ")),
        format!("select count(case {} end) from interactions", cases.join(" ")),
    ] {
        let started = Instant::now();
        assert_eq!(query(&mut client, &sql).await.unwrap().num_rows(), 1);
        assert!(started.elapsed() < Duration::from_secs(20), "{}: {:?}", &sql[..80], started.elapsed());
    }
    let million: Vec<String> = (0..1_000_000).map(|n| n.to_string()).collect();
    let started = Instant::now();
    let error = query(&mut client, &format!("select 1 where 1 in ({})", million.join(","))).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("words and symbols") && started.elapsed() < Duration::from_secs(10), "{error:?}");
}

#[tokio::test]
async fn common_table_expressions_count_each_time_they_are_read() {
    let served = Served::sample();
    let mut client = served.client().await;
    let doubled = |count: usize| {
        let mut sql = "with a0 as (select 1 as x from surveys limit 1)".to_owned();
        for n in 1..=count {
            sql += &format!(", a{n} as (select l.x from a{} l join a{} r on l.x = r.x)", n - 1, n - 1);
        }
        format!("{sql} select count(*) from a{count}")
    };
    let error = query(&mut client, &doubled(30)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("common table expressions count each time"), "{error:?}");
    assert_eq!(query(&mut client, &doubled(3)).await.unwrap().num_rows(), 1);
}

/// Constants that are far larger than the statement.
const LARGE: [&str; 11] = [
    "select repeat('x', 1000000000)",
    "select length(lpad('x', 1000000000, 'y'))",
    "select length(rpad('x', 2000000000))",
    "select array_length(array_repeat(1, 500000000))",
    "select array_length(array_resize([1], 500000000, 2))",
    "select array_length(range(1, 5000000000))",
    "select array_length(generate_series(1, 5000000000))",
    "select array_length(range(date '2000-01-01', date '2001-01-01', interval '1 microsecond'))",
    "select length(replace(repeat('x', 1000000), 'x', repeat('y', 1000000)))",
    "select length(regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000000), 'g'))",
    "select sum(length(repeat(interaction_id, 1000000))) from interactions",
];

#[tokio::test]
async fn large_constants_are_refused_while_others_go_on() {
    let mut served = Served::start(&[], &["--data", &sample(), "--threads", "1", "--memory", "1GB"]);
    let mut other = served.client().await;
    query(&mut other, "select 1 as a").await.unwrap();
    let mut attackers = Vec::new();
    for half in LARGE.chunks(LARGE.len() / 2) {
        let mut client = served.client().await;
        attackers.push(tokio::spawn(async move {
            for sql in half {
                let started = Instant::now();
                let error = query(&mut client, sql).await.unwrap_err();
                assert_eq!(error.code(), Code::InvalidArgument, "{sql}: {error:?}");
                assert!(error.message().contains("too large"), "{sql}: {error:?}");
                assert!(started.elapsed() < Duration::from_secs(20), "{sql}: {:?}", started.elapsed());
            }
        }));
    }
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        let started = Instant::now();
        assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
    for attacker in attackers {
        attacker.await.unwrap();
    }
    assert!(served.is_running());
    // what is meant goes on
    let sql = "select repeat('ab', 3) as a, lpad('7', 3, '0') as b, length(repeat('x', 1000000)) as c";
    assert_eq!(query(&mut other, sql).await.unwrap().num_rows(), 1);
    assert_eq!(query(&mut other, "select unnest(range(1, 100000)) as a").await.unwrap().num_rows(), 99_999);
}

/// Statements whose planning takes long, on a server with one worker.
#[tokio::test]
async fn planning_holds_no_worker() {
    let served = Served::start(&[], &["--data", &sample(), "--threads", "1"]);
    let mut other = served.client().await;
    query(&mut other, "select 1 as a").await.unwrap();
    let terms: Vec<String> = (0..220).map(|n| format!("(wait_s + {n})")).collect();
    let sql = format!("select {} as a from interactions", terms.join(" * "));
    let mut planners = Vec::new();
    for _ in 0..2 {
        let (mut client, sql) = (served.client().await, sql.clone());
        planners.push(tokio::spawn(async move {
            // values overflow, which is an error or not
            let _ = query(&mut client, &sql).await;
        }));
    }
    while planners.iter().any(|planner| !planner.is_finished()) {
        let started = Instant::now();
        assert_eq!(query(&mut other, "select 1 as a").await.unwrap().num_rows(), 1);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn strings_of_an_aggregate_have_a_limit() {
    let served = Served::start(&[], &["--data", &sample(), "--memory", "2GB"]);
    let mut client = served.client().await;
    for sql in [
        "select length(string_agg(repeat(queue, 1000), ',')) from interactions",
        "select length(string_agg(repeat(queue, 1000), ',')) from interactions group by is_abandoned",
        "select length(string_agg(repeat(queue, 1000), ',' order by wait_s)) from interactions",
    ] {
        let error = query(&mut client, sql).await.unwrap_err();
        assert!(error.message().contains("string_agg: a string of more than 64 MB"), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn nobodys_statements_evict_those_of_others() {
    let add = |name: &str| format!("[users.{name}]\ntoken = \"{}\"\n", sha256_of(name));
    let config = format!("{}{}", add("ana"), add("eve"));
    let served = Served::start(&[("cxql.toml", &config)], &["--data", &sample(), "--memory", "1GB"]);
    let mut ana = served.client().await;
    ana.set_token("ana".into());
    let mut eve = served.client().await;
    eve.set_token("eve".into());
    let kept = ana.execute("select 7 as a".into(), None).await.unwrap();
    for _ in 0..2_100 {
        eve.execute("select 1 as a".into(), None).await.unwrap();
    }
    // those of eve go, and not this one
    assert_eq!(crate::server::fetch(&mut ana, kept).await.unwrap().num_rows(), 1);
}

fn sha256_of(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
