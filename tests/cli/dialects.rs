//! SQL as users of PostgreSQL, DuckDB and Snowflake type it: it works, or an error says what was got and what to write.

use super::program::Folder;

/// The row of a statement.
fn row(sql: &str) -> String {
    Folder::new().query(sql).out().lines().skip(1).collect::<Vec<_>>().join("|")
}

// expected rows of DuckDB 1.4, except `bit_count` of a negative number, which has 64 bits here; those of listagg and the
// year 0 are PostgreSQL's and Snowflake's documentation
#[test]
fn functions_of_other_databases() {
    for (sql, expected) in [
        ("select mod(7, 3), mod(-7, 3), mod(7.5, 2)", "1,-1,1.5"),
        ("select mod(a, b + 1) from (values (7, 2)) as t (a, b)", "1"),
        ("select sign(-3), sign(2.5), sign(0)", "-1.0,1.0,0.0"),
        (
            "select variance(x), variance(x) filter (where x > 9) from (values (1), (2), (4)) as t (x)",
            "2.333333333333333,",
        ),
        ("select variance(distinct x) from (values (1), (1), (3)) as t (x)", "2.0"),
        (
            "select x, percentile_cont(0.5) within group (order by x) over (partition by k) from (values (1, 1), (4, 1), (9, 2)) as t (x, k) order by x",
            "1,2.5|4,2.5|9,9.0",
        ),
        ("select age(date '2025-03-31', date '2024-02-29'), age(current_date)", "1 year 1 mon 2 days,00:00:00"),
        ("select bit_count(7), bit_count(-1), bit_count(null), bit_count(0)", "3,64,,0"),
        (
            "select arg_max(x, y), max_by(x, y), arg_min(x, y), min_by(x, y) \
             from (values (1, 5), (null, 9), (2, 4), (3, null)) as t (x, y)",
            "1,1,2,2",
        ),
        ("select arg_max(x, y) filter (where x > 1 or y > 9) from (values (1, 5), (2, 4)) as t (x, y)", "2"),
        ("select max_by(x, y + 1) from (values ('a', 1), ('b', 2)) as t (x, y)", "b"),
        ("select listagg(x, ', ') within group (order by x desc) from (values ('a'), ('b')) as t (x)", "\"b, a\""),
        ("select listagg(x) within group (order by x) from (values ('a'), ('b')) as t (x)", "ab"),
        (
            "select string_agg(x, ',') within group (order by x desc), array_agg(x) within group (order by x) from (values ('a'), ('b')) as t (x)",
            "\"b,a\",\"[a, b]\"",
        ),
        ("select every(x > 0), every(x > 1) from (values (1), (2), (null)) as t (x)", "true,false"),
        ("select listagg(x, '-' order by x) from (values ('b'), ('a')) as t (x)", "a-b"),
        (
            "select extract(decade from d), extract(century from d), extract(millennium from d) \
             from (values (date '2025-01-01')) as t (d)",
            "202,21,3",
        ),
        ("select extract(century from date '2000-12-31'), date_part('century', timestamp '2001-01-01')", "20,21"),
        ("select extract(millennium from date '2000-12-31'), date_part('decade', date '1999-01-01')", "2,199"),
        ("select 7 // 2, -7 // 2, x // 3 from (values (10)) as t (x)", "3,-3,3"),
        ("select ~5, ~x, ~(x + 1) from (values (-1)) as t (x)", "-6,0,-1"),
        ("select lag(s, 1, d) over (order by s) from (values (1, 7), (2, 8), (3, 9)) as t (s, d) order by s", "7|1|2"),
        (
            "select lead(s, 1, s + d) over w from (values (1, 7), (2, 8)) as t (s, d) window w as (order by s) order by s",
            "2|10",
        ),
        // the row is there and its value NULL: no default
        (
            "select lag(x, 1, d) over (order by s) from (values (1, null, 7), (2, 5, 8)) as t (s, x, d) order by s",
            "7|\"\"",
        ),
        (
            "select lag(x, 1, d) ignore nulls over (order by s) from (values (1, null, 7), (2, 5, 8), (3, 6, 9)) as t (s, x, d) order by s",
            "7|8|5",
        ),
        (
            "select interval '1 day' between '2 hours' and '2 days', interval '3 days' not between '1 day' and interval '2 days'",
            "true,true",
        ),
        (
            "select b - a between '1 day' and '2 days' from (values (timestamp '2025-01-01', timestamp '2025-01-03')) as t (a, b)",
            "true",
        ),
        ("select x from (values (1), (5)) as t (x) where x in (values (1), (3))", "1"),
        ("select x, y from (values (1, 2), (5, 6)) as t (x, y) where (x, y) in (values (1, 2), (3, 4))", "1,2"),
    ] {
        assert_eq!(row(sql), expected, "{sql}");
    }
    // headings are as typed
    let out = Folder::new().query("select mod(7, 3), arg_max(x, x) from (values (1)) as t (x)").out();
    assert_eq!(out, "\"mod(7, 3)\",\"arg_max(x, x)\"\n1,1\n");
}

#[test]
fn what_does_not_work_says_what_to_write() {
    let folder = Folder::new();
    let spans = "(values (interval '1 day', timestamp '2025-01-01', 2.5, 'a')) as t (i, at, x, k)";
    for (sql, parts) in [
        ("select i between '1 day' and '5' from {t}", &["'5'", "has no unit", "5 days"][..]),
        ("select x between i and i from {t}", &["BETWEEN", "do not fit", "cast"]),
        ("select coalesce(i, '5') from {t}", &["`coalesce`", "interval", "interval '5 days'"]),
        ("select lag(x, x) over (order by at) from {t}", &["offset", "constant"]),
        ("select 7.5 // 2", &["`//` divides integers", "floor(x / y)"]),
        ("select sqrt(-1)", &["square root of a negative number", "greatest(x, 0)", "1:8"]),
        ("select abs(-9223372036854775808)", &["abs(-9223372036854775808) is beyond bigint", "1:8"]),
        ("select cast('123456' as decimal(4, 1))", &["123456.0 does not fit decimal(4,1)", "999.9", "try_cast"]),
        ("select cast(123456 as decimal(4, 1))", &["does not fit decimal(4,1)", "999.9", "wider type"]),
        ("select (1, 2) in (values (1, 2), (3, 4))", &["WHERE only", "exists"]),
        ("select median(i) from {t}", &["`median` cannot be used with interval", "median(date_part('epoch', x))"]),
        ("select approx_distinct(x) from {t}", &["`approx_distinct` cannot be used with double", "count(distinct x)"]),
        (
            "select unnest(generate_series(timestamp '2262-01-01', timestamp '2263-01-01', interval '3 months'))",
            &["1677 and 2262", "date '2300-01-01'"],
        ),
        (
            "select * from generate_series(timestamp '2262-01-01', timestamp '2263-01-01', interval '3 months')",
            &["1677 and 2262", "date '2300-01-01'"],
        ),
        ("select to_char(x, '999') from {t}", &["`to_char` cannot be used with (double, text)", "round(x, 2)"]),
        ("select to_date('2025-01-01', 'YYYY-MM-DD')", &["`YYYY-MM-DD` is no format", "'%Y-%m-%d'", "1:30"]),
        ("select date_trunc('decade', at) from {t}", &["date_trunc has no `decade`", "extract(decade from at)"]),
        ("select age(x) from {t}", &["age: one or two timestamps or dates", "age(ended_at, started_at)"]),
        (
            "select percentile_cont(0.9) within group (order by x desc) over () from {t}",
            &["WITHIN GROUP and OVER", "percentile_cont(x, 0.9) over (partition by y)"],
        ),
        (
            "select array_agg(x order by x) over () from {t}",
            &["has no ORDER BY of its own", "array_agg(x) over (order by x rows between"],
        ),
        ("select count(distinct x, at) from {t}", &["count takes one value", "count(distinct (x, y))", "1:8"]),
        (
            "select (at, at) overlaps (at, at) from {t}",
            &["rows of several values", "a.from_at < b.to_at and b.from_at < a.to_at"],
        ),
        ("select -s from (select 'a' as s)", &["a minus stands before signed numbers", "-try_cast(x as double)"]),
        (
            "select sum(x) over (order by at rows between unbounded preceding and current row exclude current row) from {t}",
            &["frames of windows have no EXCLUDE", "coalesce(x, 0)"],
        ),
        (
            "select timestamp '2195-01-01' - timestamp '1900-01-01'",
            &["beyond the 292 years of nanoseconds", "cast(x as timestamp(6)) - cast(y as timestamp(6))"],
        ),
        ("select cast(at as timestamp(1)) from {t}", &["no type `TIMESTAMP(1)`", "0, 3, 6 or 9 digits"]),
        ("select cast(at as time(0)) from {t}", &["no type `TIME(0)`", "write time"]),
        (
            "select max_by(x, at) over (order by at) from {t}",
            &["`max_by` is computed over whole partitions", "max_by(x, y) over (partition by ...)", "1:8"],
        ),
        ("select max_by(x) from {t}", &["no function `max_by`", "write max_by(x, y)"]),
        ("select length('a') filter (where false)", &["computed from one row", "case when false then", "1:8"]),
        ("select corr(distinct x, x) from {t}", &["`corr` has no DISTINCT", "select distinct x, y", "1:8"]),
        ("select x from {t} tablesample (10)", &["TABLESAMPLE", "random() < 0.1"]),
        ("select bit_count(x) from {t}", &["bit_count", "whole number"]),
    ] {
        let ran = folder.query(&sql.replace("{t}", spans));
        ran.fails(1, parts);
        assert!(!ran.err.contains("fault of the program"), "{sql}: {}", ran.err);
    }
}
