import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Calendar;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.TimeZone;
import java.util.TreeSet;

/** The Flight SQL JDBC driver as Tableau, DBeaver and the like use it. Arguments: HOST:PORT. */
public final class Jdbc {
    private interface Check {
        void run() throws Exception;
    }

    private static final Calendar UTC = Calendar.getInstance(TimeZone.getTimeZone("UTC"));

    private static int failures = 0;
    private static Connection connection;

    private static void check(String call, Check check) {
        try {
            check.run();
            System.out.println(call + "\tyes");
        } catch (Throwable error) {
            failures++;
            String text = String.valueOf(error).replaceAll("\\s+", " ");
            System.out.println(call + "\tFAIL " + text.substring(0, Math.min(300, text.length())));
            error.printStackTrace();
        }
        System.out.flush();
    }

    /** A call that the driver itself cannot make; why goes into the table. */
    private static void limit(String call, String why, Check check) {
        try {
            check.run();
            failures++;
            System.out.println(call + "\tFAIL it works now");
        } catch (Throwable error) {
            System.out.println(call + "\tno: " + why);
        }
        System.out.flush();
    }

    private interface Setter {
        void set(PreparedStatement statement) throws SQLException;
    }

    private static long count(String table, String condition, Setter setter) throws SQLException {
        String sql = "select count(*) from " + table + " where " + condition;
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            setter.set(statement);
            try (ResultSet rows = statement.executeQuery()) {
                holds(rows.next(), "no row");
                return rows.getLong(1);
            }
        }
    }

    /** A condition with parameters finds the rows of one without, which are some and not all. */
    private static void divides(String condition, Setter setter, String literal) throws SQLException {
        long wanted = count("interactions", literal, statement -> { });
        holds(wanted > 0 && wanted < count("interactions", "true", statement -> { }), literal + " does not divide the rows");
        long got = count("interactions", condition, setter);
        holds(got == wanted, condition + ": got " + got + ", wanted " + wanted);
    }

    private static void same(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError("got " + got + ", wanted " + wanted);
        }
    }

    private static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    private static Object single(String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            holds(rows.next(), "no row");
            return rows.getObject(1);
        }
    }

    private static SQLException refused(String sql, String text) {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            holds(String.valueOf(error).contains(text), "no `" + text + "` in " + error);
            return error;
        }
        throw new AssertionError("no error: " + sql);
    }

    public static void main(String[] args) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + args[0] + "/?useEncryption=false";
        check("connect and query", () -> {
            connection = DriverManager.getConnection(url);
            same(((Number) single("select 1 as a")).intValue(), 1);
        });
        if (connection == null) {
            System.exit(1);
        }
        check("connect with a user that nobody asked for", () -> {
            Properties login = new Properties();
            login.put("user", "somebody");
            login.put("password", "something");
            try (Connection other = DriverManager.getConnection(url, login); Statement statement = other.createStatement()) {
                holds(statement.executeQuery("select 1").next(), "no row");
            }
        });
        check("session options", () -> {
            // the driver has one, the catalog
            Connection other = DriverManager.getConnection(url + "&catalog=cxql");
            try (Statement statement = other.createStatement()) {
                holds(statement.executeQuery("select count(*) from reports.fcr_by_topic").next(), "no row");
            }
            try {
                other.close();
            } catch (SQLException twice) {
                // up to 18.3 it ends its session twice: https://github.com/apache/arrow-java/issues/863
                holds(twice.getMessage().contains("Channel shutdown invoked"), twice.getMessage());
            }
            try {
                DriverManager.getConnection(url + "&catalog=nothing");
                throw new AssertionError("a catalog that is not there was taken");
            } catch (SQLException wanted) {
                holds(wanted.getMessage().toLowerCase().contains("catalog"), wanted.getMessage());
            }
        });
        check("empty result", () -> {
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("select topic, wait_s from interactions where 1 = 0")) {
                holds(!rows.next(), "a row");
                // this driver doubles the columns of empty results, see docs/clients.md
                same(rows.getMetaData().getColumnName(1), "topic");
            }
        });
        check("types", Jdbc::types);
        check("columns of a result", () -> {
            String sql = "select score, survey_id, score + 1 as more from surveys";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                ResultSetMetaData columns = statement.getMetaData();
                same(columns.getColumnName(1), "score");
                same(columns.getColumnType(1), Types.INTEGER);
                same(columns.getTableName(2), "surveys");
                same(columns.getSchemaName(2), "public");
                same(columns.getColumnTypeName(2), "VARCHAR");
                same(columns.isReadOnly(1), true);
            }
        });
        check("prepared statement, 12 parameters", () -> {
            String sql = "select " + String.join(" || ',' || ", new ArrayList<>(java.util.Collections.nCopies(12, "?")));
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                same(statement.getParameterMetaData().getParameterCount(), 12);
                List<String> wanted = new ArrayList<>();
                for (int round = 0; round < 2; round++) {
                    wanted.clear();
                    for (int at = 1; at <= 12; at++) {
                        statement.setString(at, "v" + (at + round));
                        wanted.add("v" + (at + round));
                    }
                    try (ResultSet rows = statement.executeQuery()) {
                        holds(rows.next(), "no row");
                        same(rows.getString(1), String.join(",", wanted));
                    }
                }
            }
        });
        check("parameters $1 and types", () -> {
            String sql = "select count(*) from interactions where channel = $1 and wait_s > $2 and started_at >= $3 "
                    + "and is_resolved = $4";
            Object wanted = single("select count(*) from interactions where channel = 'phone' and wait_s > 30 and is_resolved "
                    + "and started_at >= timestamptz '2025-06-01T00:00:00Z'");
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                // smaller integers are announced as this one
                same(statement.getParameterMetaData().getParameterType(2), Types.BIGINT);
                statement.setString(1, "phone");
                statement.setInt(2, 30);
                statement.setTimestamp(3, Timestamp.valueOf("2025-06-01 00:00:00"));
                statement.setBoolean(4, true);
                try (ResultSet rows = statement.executeQuery()) {
                    holds(rows.next(), "no row");
                    same(rows.getObject(1), wanted);
                }
            }
        });
        check("parameters of each type", Jdbc::parameters);
        limit("a fraction for an integer", "the driver cuts it off; write `cast(? as double)`", () ->
                same(count("interactions", "wait_s = ?", statement -> statement.setDouble(1, 30.5)), 0L));
        check("a fraction for an integer, cast in the statement", () -> {
            same(count("interactions", "wait_s = cast(? as double)", statement -> statement.setDouble(1, 30.5)), 0L);
            divides("wait_s > cast(? as double)", statement -> statement.setDouble(1, 30.5), "wait_s > 30");
        });
        limit("getObject of a timestamp with time zone", "the driver throws; `x-cxql-timestamps=utc` in the address", () ->
                holds(single("select min(started_at) from interactions") != null, "NULL"));
        check("timestamps in UTC without a time zone", () -> {
            try (Connection other = DriverManager.getConnection(url + "&x-cxql-timestamps=utc");
                    PreparedStatement statement = other.prepareStatement("select min(started_at) from interactions where started_at >= ?")) {
                statement.setTimestamp(1, Timestamp.valueOf("2025-06-01 00:00:00"), UTC);
                try (ResultSet rows = statement.executeQuery()) {
                    same(rows.getMetaData().getColumnType(1), Types.TIMESTAMP);
                    holds(rows.next(), "no row");
                    same(rows.getTimestamp(1, UTC), rows.getObject(1));
                    holds(rows.getTimestamp(1).toInstant().isAfter(Instant.parse("2025-05-31T23:59:59Z")), rows.getString(1));
                }
            }
        });
        check("the schema in the address", () -> {
            try (Connection other = DriverManager.getConnection(url + "&schema=reports"); Statement statement = other.createStatement()) {
                holds(statement.executeQuery("select * from kpi_overview").next(), "no row");
            }
        });
        limit("setSchema", "the driver does not tell the server; `schema=NAME` in the address", () -> {
            try (Connection other = DriverManager.getConnection(url); Statement statement = other.createStatement()) {
                other.setSchema("reports");
                holds(statement.executeQuery("select * from kpi_overview").next(), "no row");
            }
        });
        check("NULL as a parameter", () -> {
            String sql = "select count(*) from interactions where wait_s = ? or ? is null";
            Object wanted = single("select count(*) from interactions");
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setNull(1, Types.INTEGER);
                statement.setNull(2, Types.VARCHAR);
                try (ResultSet rows = statement.executeQuery()) {
                    holds(rows.next(), "no row");
                    same(rows.getObject(1), wanted);
                }
            }
        });
        check("large result", () -> {
            String sql = "select x, repeat('abcdefghij', 20) as t from generate_series(1, 200000) a(x)";
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                same(count, 200000);
            }
        });
        metadata();
        check("error with its place", () -> {
            refused("select 1,\n  colour from surveys", "there is no column `colour`");
            refused("select 1,\n  colour from surveys", "<query>:2:3");
        });
        check("writing is refused", () -> {
            refused("insert into surveys values (1)", "only reads");
            refused("create table t as select 1", "only reads");
            refused("drop table interactions", "only reads");
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("delete from surveys");
                throw new AssertionError("no error");
            } catch (SQLException error) {
                holds(String.valueOf(error).contains("only reads"), String.valueOf(error));
            }
        });
        check("cancel", () -> {
            try (Statement statement = connection.createStatement()) {
                ResultSet rows = statement.executeQuery("select x from generate_series(1, 1000000000000) a(x)");
                holds(rows.next(), "no row");
                statement.cancel();
                boolean ended = false;
                try {
                    for (int count = 0; count < 50_000_000 && rows.next(); count++) {
                        continue;
                    }
                } catch (SQLException error) {
                    ended = true;
                }
                holds(ended, "the query went on");
            }
            same(((Number) single("select 1")).intValue(), 1);
        });
        check("reports", () -> holds(((Number) single("select count(*) from reports.fcr_by_topic")).intValue() > 1, "no rows"));
        connection.close();
        System.exit(failures == 0 ? 0 : 1);
    }

    /** Each way to bind a value that the driver has for the type that is announced. */
    private static void parameters() throws SQLException {
        String june = "started_at >= timestamptz '2025-06-01T00:00:00Z'";
        divides("wait_s > ?", statement -> statement.setInt(1, 30), "wait_s > 30");
        divides("wait_s > ?", statement -> statement.setLong(1, 30), "wait_s > 30");
        divides("wait_s > ?", statement -> statement.setShort(1, (short) 30), "wait_s > 30");
        divides("wait_s * 0.5 > ?", statement -> statement.setDouble(1, 15.25), "wait_s > 30");
        divides("wait_s * 0.5 > ?", statement -> statement.setFloat(1, 15.25f), "wait_s > 30");
        divides("wait_s * 0.5 > ?", statement -> statement.setBigDecimal(1, new BigDecimal("15.25")), "wait_s > 30");
        divides("cast(wait_s as decimal(10, 2)) > ?", statement -> statement.setBigDecimal(1, new BigDecimal("30.50")), "wait_s > 30");
        divides("channel = ?", statement -> statement.setString(1, "phone"), "channel = 'phone'");
        divides("channel like ?", statement -> statement.setString(1, "ph%"), "channel like 'ph%'");
        divides("is_resolved = ?", statement -> statement.setBoolean(1, false), "not is_resolved");
        divides("cast(started_at as date) >= ?", statement -> statement.setDate(1, Date.valueOf("2025-06-01")), june);
        // the driver sends what a clock in the time zone of the calendar shows
        Timestamp local = Timestamp.valueOf("2025-06-01 00:00:00");
        divides("started_at >= ?", statement -> statement.setTimestamp(1, local), june);
        Timestamp instant = Timestamp.from(Instant.parse("2025-06-01T00:00:00Z"));
        divides("started_at >= ?", statement -> statement.setTimestamp(1, instant, UTC), june);
        divides("cast(started_at as timestamp) >= ?", statement -> statement.setTimestamp(1, instant, UTC), june);
        divides("started_at >= date_trunc('day', ?)", statement -> statement.setTimestamp(1, new Timestamp(instant.getTime() + 3_600_000), UTC), june);
        divides("started_at >= ? - interval '1 day'", statement -> statement.setTimestamp(1, new Timestamp(instant.getTime() + 86_400_000), UTC), june);
        divides("started_at >= ? - ?", statement -> {
            statement.setTimestamp(1, new Timestamp(instant.getTime() + 86_400_000), UTC);
            statement.setString(2, "1 day");
        }, june);
        divides("started_at between ? and ? + interval '1 day'", statement -> {
            statement.setTimestamp(1, instant, UTC);
            statement.setTimestamp(2, instant, UTC);
        }, "started_at between timestamptz '2025-06-01T00:00:00Z' and timestamptz '2025-06-02T00:00:00Z'");
        divides("started_at > now() - ?", statement -> statement.setString(1, "1 day"), "started_at > now() - interval '1 day'");
        String times = "(values (time '09:30:00'), (time '12:30:00'), (time '18:00:00')) as t(at)";
        same(count(times, "at > ?", statement -> statement.setTime(1, Time.valueOf("12:00:00"))), 2L);
        same(count("generate_series(1, ?)", "true", statement -> statement.setLong(1, 3)), 3L);
        same(count("reports.fcr_by_topic(since => ?)", "true", statement -> statement.setTimestamp(1, local)), single("select count(*) from reports.fcr_by_topic(since => timestamp '2025-06-01')"));
    }

    private static void types() throws SQLException {
        String sql = "select true as a, cast(1 as smallint) as b, 2 as c, 1.5 as d, cast('3.25' as decimal(10, 2)) as e, "
                + "'text' as f, x'00ff' as g, date '2025-01-31' as h, timestamp '2025-01-31 09:00:00' as i, [1, null] as j, "
                + "null as k, arrow_cast('coded', 'Dictionary(Int32, Utf8)') as l, arrow_cast('view', 'Utf8View') as m, "
                + "cast(1.5 as float) as n, time '01:02:03' as o";
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            holds(rows.next(), "no row");
            same(rows.getBoolean("a"), true);
            same(rows.getShort("b"), (short) 1);
            same(rows.getLong("c"), 2L);
            same(rows.getDouble("d"), 1.5);
            same(rows.getBigDecimal("e"), new BigDecimal("3.25"));
            same(rows.getString("f"), "text");
            holds(Arrays.equals(rows.getBytes("g"), new byte[] {0, (byte) 0xff}), "bytes");
            same(rows.getDate("h").toLocalDate(), Date.valueOf("2025-01-31").toLocalDate());
            same(rows.getTimestamp("i").toLocalDateTime(), Timestamp.valueOf("2025-01-31 09:00:00").toLocalDateTime());
            holds(rows.getObject("j") != null, "list");
            holds(rows.getObject("k") == null && rows.wasNull(), "null");
            same(rows.getString("l"), "coded");
            same(rows.getString("m"), "view");
            same(rows.getFloat("n"), 1.5f);
            same(rows.getTime("o").toLocalTime().toString(), "01:02:03");
        }
    }

    /** What Tableau and DBeaver ask when they connect. */
    private static void metadata() throws SQLException {
        DatabaseMetaData meta = connection.getMetaData();
        check("catalogs", () -> same(column(meta.getCatalogs(), "TABLE_CAT"), List.of("cxql")));
        check("schemas", () -> {
            same(new TreeSet<>(column(meta.getSchemas(), "TABLE_SCHEM")),
                    // beside the tables that a client before this one brought
                    new TreeSet<>(List.of("information_schema", "public", "reports", "scratch", "system")));
            same(column(meta.getSchemas("cxql", "p%"), "TABLE_SCHEM"), List.of("public"));
            same(column(meta.getSchemas(null, "rep_rts"), "TABLE_SCHEM"), List.of("reports"));
        });
        check("tables and views", () -> {
            holds(column(meta.getTables(null, null, "%", null), "TABLE_NAME").contains("interactions"), "interactions");
            holds(column(meta.getTables("cxql", "public", "%", new String[] {"VIEW"}), "TABLE_NAME").contains("contacts_clean"), "view");
            same(column(meta.getTables("cxql", "public", "agent\\_%", null), "TABLE_NAME"), List.of("agent_names", "agent_states"));
            same(column(meta.getTables("other", null, "%", null), "TABLE_NAME"), List.of());
            same(column(meta.getTables(null, "reports", "kpi_overview", new String[] {"TABLE", "VIEW"}), "TABLE_TYPE"), List.of("VIEW"));
        });
        check("columns", () -> {
            try (ResultSet rows = meta.getColumns("cxql", "public", "surveys", "s%")) {
                List<String> names = new ArrayList<>();
                while (rows.next()) {
                    names.add(rows.getString("COLUMN_NAME"));
                    if (rows.getString("COLUMN_NAME").equals("score")) {
                        same(rows.getInt("DATA_TYPE"), Types.INTEGER);
                        same(rows.getString("IS_NULLABLE"), "YES");
                        same(rows.getString("REMARKS"), "the answer on the scale of its kind");
                    }
                }
                same(new TreeSet<>(names), new TreeSet<>(List.of("score", "survey_id")));
            }
        });
        check("columns of every table", () -> holds(column(meta.getColumns(null, null, "%", "%"), "COLUMN_NAME").size() > 200, "few"));
        check("table types", () -> holds(column(meta.getTableTypes(), "TABLE_TYPE").containsAll(List.of("TABLE", "VIEW")), "types"));
        check("primary keys", () -> same(column(meta.getPrimaryKeys("cxql", "public", "surveys"), "COLUMN_NAME"), List.of("survey_id")));
        check("foreign keys", () -> {
            same(column(meta.getImportedKeys("cxql", "public", "surveys"), "FKCOLUMN_NAME"), List.of());
            same(column(meta.getExportedKeys("cxql", "public", "surveys"), "FKCOLUMN_NAME"), List.of());
            same(column(meta.getCrossReference("cxql", "public", "surveys", "cxql", "public", "interactions"), "FKCOLUMN_NAME"), List.of());
        });
        check("server information", () -> {
            same(meta.getDatabaseProductName(), "cxql");
            // the server of this test takes tables in
            same(meta.isReadOnly(), false);
            same(meta.getIdentifierQuoteString(), "\"");
            same(meta.getSearchStringEscape(), "\\");
            same(meta.supportsTransactions(), false);
            same(meta.supportsUnionAll(), true);
            same(meta.supportsCorrelatedSubqueries(), true);
            same(meta.supportsColumnAliasing(), true);
            same(meta.supportsGroupByUnrelated(), true);
            same(meta.supportsOrderByUnrelated(), true);
            same(meta.getSchemaTerm(), "schema");
            same(meta.getCatalogTerm(), "catalog");
            same(meta.isCatalogAtStart(), true);
            same(meta.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY), true);
            same(meta.supportsStoredProcedures(), false);
            same(meta.supportsBatchUpdates(), false);
            holds(meta.getNumericFunctions().contains("abs"), "abs");
            holds(meta.getStringFunctions().contains("lower"), "lower");
            holds(meta.getTimeDateFunctions().contains("date_trunc"), "date_trunc");
            holds(meta.getSystemFunctions().contains("coalesce"), "coalesce");
            holds(meta.getSQLKeywords().contains("SELECT"), "keywords");
            same(meta.getMaxStatementLength(), 16 << 20);
            meta.getDatabaseProductVersion();
            meta.getDriverName();
            meta.getURL();
            meta.getUserName();
            meta.getExtraNameCharacters();
            meta.getDefaultTransactionIsolation();
            meta.supportsMixedCaseQuotedIdentifiers();
            meta.supportsSubqueriesInIns();
            meta.supportsLikeEscapeClause();
            meta.allTablesAreSelectable();
            meta.getMaxColumnsInSelect();
        });
    }
}
