//! Jobs as a user meets them: the real program, mail servers, webhooks and schedulers that fail and recover.

#[allow(dead_code)]
#[path = "../cli/program.rs"]
mod program;
mod recipients;
mod schedulers;
mod servers;

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use self::program::{Folder, Ran};
use self::servers::{Fault, Http, Smtp};

const REPORT: &str = "-- title: Contacts by topic\n-- param: since timestamp = 2025-01-01\n\
                      -- chart: bar x=topic y=n\n-- check: n > 0\n-- alert: n < 3 severity error for 2 good runs\n\
                      select topic, n from contacts where at >= $since order by topic";

const CONTACTS: &str = "topic,n,at\nbilling,5,2025-03-01T00:00:00Z\ndelivery,7,2025-03-02T00:00:00Z\n";

/// What most jobs here have: short waits.
const QUICK: &str = "retry_delay = \"1ms\"\nretry_max = \"20ms\"\n";

fn project(config: &str) -> Folder {
    let config = format!("[tables.contacts]\npath = \"contacts.csv\"\n{config}");
    Folder::with(&[("sql/topics.sql", REPORT), ("data/contacts.csv", CONTACTS), ("cxql.toml", &config)])
}

fn rows(folder: &Folder, sql: &str) -> Vec<String> {
    folder.cxql(&["query", sql, "-f", "csv"]).out().lines().skip(1).map(str::to_string).collect()
}

fn run(folder: &Folder, name: &str, at: &str) -> Ran {
    folder.cxql(&["job", "run", name, "--at", at])
}

#[test]
fn a_job_writes_its_outputs_and_sends_its_mail_once() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"weekly\"\nreport = \"topics\"\ncron = \"0 8 * * MON\"\ntimezone = \"Europe/Berlin\"\n\
         parameters = {{ since = \"start of last week\" }}\noutputs = [\"out/{{job}}/{{date:%Y}}/{{scheduled}}.html\", \
         \"out/latest.csv\"]\nrecipients = [\"Ada <ada@example.com>\", \"bob@example.com\"]\nattach = \"xlsx\"\n\
         subject = \"{{title}}, {{date}}\"\n{QUICK}",
        smtp.config()
    ));
    run(&folder, "weekly", "2025-03-03T08:00").says("weekly-20250303T070000Z succeeded, 2 rows");
    assert_eq!(folder.names("out/weekly/2025"), ["20250303T070000Z.html"]);
    assert!(folder.read("out/latest.csv").starts_with("topic,n\n"));
    let mails = smtp.taken();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, ["ada@example.com", "bob@example.com"]);
    for wanted in [
        "Message-ID: <weekly-20250303T070000Z.r@example.com>",
        "Subject: Contacts by topic, 2025-03-03",
        "Content-ID: <chart1.weekly-20250303T070000Z@cxql>",
        "topics-2025-03-03.xlsx",
    ] {
        assert!(mails[0].text.contains(wanted), "{wanted}\n{}", mails[0].text);
    }
    run(&folder, "weekly", "2025-03-03T07:00:00Z").says("has run already");
    assert_eq!(smtp.taken().len(), 1);
    // exactly what was sent is sent once more
    folder.cxql(&["job", "resend", "weekly-20250303T070000Z"]).says("sent again");
    let mails = smtp.taken();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].text, mails[1].text);
    let found = rows(&folder, "select kind, state from system.deliveries order by kind, target");
    assert_eq!(found, ["mail,sent", "output,sent", "output,sent"]);
    // the week before 3 March begins on 24 February, in Berlin an hour before midnight UTC
    let found = rows(&folder, "select parameters, state from system.runs");
    assert_eq!(found, ["since=2025-02-23T23:00:00Z,succeeded"]);
    let list = folder.cxql(&["job", "list", "-f", "csv"]).out();
    assert!(list.contains("\nweekly,topics,20") && list.contains(",2025-03-03T07:00:00Z,succeeded,"), "{list}");
    let history = folder.cxql(&["job", "history", "weekly", "-f", "csv"]).out();
    assert!(history.contains("weekly-20250303T070000Z,2025-03-03T07:00:00Z,manual,succeeded,1,"), "{history}");
}

#[test]
fn a_run_records_its_notes_and_mails_them() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"noted\"\nrecipients = [\"x@example.com\"]\n{QUICK}",
        smtp.config()
    ));
    let text = "select topic, n from contacts;\n-- notes:\nselect sum(n) || ' contacts in all' from contacts";
    folder.write("sql/noted.sql", text);
    let ran = run(&folder, "a", "2025-03-03");
    ran.says("note: a-20250303T000000Z succeeded, 2 rows").says("note: 12 contacts in all");
    assert_eq!(rows(&folder, "select state, error from system.runs"), ["succeeded,note: 12 contacts in all"]);
    let mails = smtp.taken();
    // the plain part is base64, for its table; the HTML part is quoted-printable
    assert!(mails[0].plain().contains("<li>12 contacts in all</li>"), "{}", mails[0].text);
}

#[test]
fn a_mail_server_that_fails_is_asked_again_and_gets_one_mail() {
    let smtp = Smtp::start(&[Fault::Closed, Fault::Busy]);
    smtp.refuse("gone@example.com");
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = [\"x@example.com\", \"gone@example.com\"]\n\
         owner = \"ops@example.com\"\nretries = 5\n{QUICK}",
        smtp.config()
    ));
    run(&folder, "a", "2025-03-03").says("succeeded");
    let mails = smtp.taken();
    assert_eq!(mails.iter().filter(|mail| mail.to == ["x@example.com"]).count(), 1);
    // who was refused is told to the owner
    let told: Vec<_> = mails.iter().filter(|mail| mail.to == ["ops@example.com"]).collect();
    assert_eq!(told.len(), 1, "{mails:?}");
    assert!(told[0].plain().contains("did not reach everybody"), "{}", told[0].text);
}

#[test]
fn a_mail_that_may_have_arrived_is_not_sent_twice_and_the_owner_is_told() {
    let smtp = Smtp::start(&[Fault::Silent]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\nowner = \"ops@example.com\"\n{QUICK}",
        smtp.config()
    ));
    run(&folder, "a", "2025-03-03").fails(1, &["1 of its deliveries failed"]);
    let mails = smtp.taken();
    assert_eq!(mails.iter().filter(|mail| mail.to == ["x@example.com"]).count(), 1);
    assert!(
        mails.iter().any(|mail| mail.to == ["ops@example.com"] && mail.plain().contains("may have arrived or not"))
    );
    assert_eq!(rows(&folder, "select state from system.deliveries where purpose = 'result'"), ["uncertain"]);
}

#[test]
fn a_job_that_fails_tells_its_owner_after_its_last_retry() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "[tables.nothing_here]\npath = \"nothing_here.csv\"\n{}[[job]]\nname = \"a\"\nsql = \"select * from nothing_here\"\nowner = \"ops@example.com\"\nretries = 2\n{QUICK}",
        smtp.config()
    ));
    run(&folder, "a", "2025-03-03").fails(1, &["a-20250303T000000Z failed", "nothing_here"]);
    let mails = smtp.taken();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].text.contains("Subject: job a failed") && mails[0].plain().contains("tried 3 times"), "{mails:?}");
    let found = rows(&folder, "select attempt, outcome from system.attempts order by attempt");
    assert_eq!(found, ["1,failed", "2,failed", "3,failed"]);
    // mended, the same run succeeds
    folder.write("data/nothing_here.csv", "a\n1\n");
    run(&folder, "a", "2025-03-03").says("succeeded, 1 rows");
}

#[test]
fn secrets_stay_secret() {
    let smtp = Smtp::start(&[]);
    let http = Http::start(&[(500, "no hush-hook"), (403, "hush-hook is wrong")]);
    let folder = project(&format!(
        "{}user = \"me\"\npassword = {{ env = \"PASS\" }}\n[channels.hook]\nkind = \"webhook\"\nurl = {{ file = \"hook\" \
         }}\nsecret = {{ env = \"HOOK\" }}\n[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = [\"x@example.com\", \
         \"hook\"]\nretries = 1\n{QUICK}",
        smtp.config()
    ));
    folder.write("hook", format!("http://{}/hush-path\n", http.address));
    let args = ["job", "run", "a", "--at", "2025-03-03"];
    folder.cxql(&args).fails(2, &["the environment variable PASS is not set"]);
    let ran = folder.cxql_env(&[("PASS", "hush-hush"), ("HOOK", "hush-hook")], &args);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(!smtp.logins().is_empty());
    // it was used, and repeated by both servers
    let posted = http.posted();
    assert_eq!((posted.len(), posted[0].path.as_str()), (2, "/hush-path"));
    assert!(posted[0].header("x-cxql-signature").starts_with("v1="), "{posted:?}");
    let all = format!("{}{}", ran.err, rows(&folder, "select * from system.deliveries").join("\n"));
    assert!(all.contains("(hidden)"), "{all}");
    assert!(!all.contains("hush"), "{all}");
}

#[test]
fn mails_go_over_tls_to_a_server_that_an_authority_vouches_for() {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let (smtp, asked) = (Smtp::encrypted(Arc::clone(&config), false), Smtp::encrypted(config, true));
    let mail = |smtp: &Smtp, encryption: &str, ca: &str| {
        format!(
            "[mail]\nfrom = \"reports@example.com\"\nhost = \"localhost\"\nport = {}\nencryption = \"{encryption}\"\n{ca}\
             [[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\nretries = 0\n{QUICK}",
            smtp.address.port()
        )
    };
    for (smtp, encryption) in [(&smtp, "tls"), (&asked, "starttls")] {
        let folder = project(&mail(smtp, encryption, "ca = \"ca.pem\"\n"));
        folder.write("ca.pem", authority.pem());
        run(&folder, "a", "2025-03-03").says("succeeded");
        assert_eq!(smtp.taken().len(), 1, "{encryption}");
        // without the authority nothing is sent
        let folder = project(&mail(smtp, encryption, ""));
        run(&folder, "a", "2025-03-03").fails(1, &["is not delivered", "certificate"]);
    }
    // a server without encryption is not given a mail that wants it
    let plain = Smtp::start(&[]);
    let text = plain.config().replace("\"none\"", "\"starttls\"");
    let folder =
        project(&format!("{text}[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\n"));
    run(&folder, "a", "2025-03-03").fails(1, &["offers no STARTTLS"]);
    assert_eq!((smtp.taken().len(), asked.taken().len(), plain.taken().len()), (1, 1, 0));
}

#[test]
fn a_webhook_is_repeated_under_the_same_name() {
    let http = Http::start(&[(503, "later"), (429, "slower")]);
    let folder = project(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"http://{}/x\"\nsecret = {{ env = \"HOOK\" }}\n[[job]]\nname = \"a\"\n\
         report = \"topics\"\nrecipients = \"hook\"\nretries = 5\n{QUICK}",
        http.address
    ));
    folder.cxql_env(&[("HOOK", "key")], &["job", "run", "a", "--at", "2025-03-03"]).says("succeeded");
    let posted = http.posted();
    assert_eq!(posted.len(), 3);
    // 503 is tried again after milliseconds; 429 came with `Retry-After: 1`
    let waited = posted[2].at - posted[1].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    let names: BTreeSet<&str> = posted.iter().map(|posted| posted.header("x-cxql-delivery")).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a-20250303T000000Z/1"]);
    assert!(posted.iter().all(|one| one.body == posted[0].body));
    assert!(posted[0].body.contains("\"title\":\"Contacts by topic\""), "{}", posted[0].body);
}

#[test]
fn a_command_gets_the_message() {
    let folder = project(
        "[channels.pager]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat > told.json\"]\n[[job]]\nname = \"a\"\n\
         report = \"topics\"\nrecipients = \"pager\"\n",
    );
    run(&folder, "a", "2025-03-03").says("succeeded");
    assert!(folder.read("told.json").contains("\"run\":\"a-20250303T000000Z\""));
}

#[test]
fn an_alert_is_told_once_until_it_has_been_good_for_two_runs() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"topics\"\nsend = \"alert\"\nalert_recipients_sql = \"select 'lead@example.com' \
         as recipient, 'billing' as topic\"\n",
        smtp.config()
    ));
    let mut told = Vec::new();
    // bad, bad, good, bad, good, good, bad: the one good run does not count
    for (day, billing) in [2, 1, 5, 2, 5, 5, 1].into_iter().enumerate() {
        folder.write(
            "data/contacts.csv",
            format!("topic,n,at\nbilling,{billing},2025-03-01T00:00:00Z\nother,1,2025-03-01T00:00:00Z\n"),
        );
        run(&folder, "a", &format!("2025-03-0{}", day + 1)).says("succeeded");
        told.push(smtp.taken().len());
    }
    assert_eq!(told, [1, 1, 1, 1, 1, 2, 3]);
    let mails = smtp.taken();
    assert!(mails[0].text.contains("Subject: [error] Contacts by topic"), "{}", mails[0].text);
    // the lead hears of billing and not of the others
    assert!(
        mails[0].plain().contains("topic=billing") && !mails[0].plain().contains("topic=other"),
        "{}",
        mails[0].plain()
    );
    assert!(mails[1].text.contains("[good again]"), "{}", mails[1].text);
    let met = "select count(*) filter (where is_met), count(*) filter (where is_told) from system.alerts where bad_group = \
               'topic=billing'";
    assert_eq!(rows(&folder, met), ["4,3"]);
}

#[test]
fn a_run_waits_for_data_until_its_deadline() {
    let folder = project(&format!(
        "[[job]]\nname = \"a\"\nreport = \"topics\"\nwait_for = \"newest(contacts.at) >= yesterday\"\nwait_every = \"10ms\"\n\
         wait_deadline = \"300ms\"\n{QUICK}"
    ));
    run(&folder, "a", "2025-03-03").says("succeeded");
    run(&folder, "a", "2025-03-09")
        .fails(1, &["in vain: newest contacts.at is 2025-03-02T00:00:00Z, at or after 2025-03-08T00:00:00Z is wanted"]);
}

#[test]
fn a_job_runs_after_those_that_it_depends_on() {
    let folder = project(&format!(
        "[[job]]\nname = \"load\"\nsql = \"select 1 as a\"\n[[job]]\nname = \"a\"\nreport = \"topics\"\ndepends_on = \
         \"load\"\nwait_every = \"10ms\"\nwait_deadline = \"200ms\"\n{QUICK}"
    ));
    run(&folder, "a", "2025-03-03").fails(1, &["job load for 2025-03-03 00:00:00 UTC: has not run"]);
    run(&folder, "load", "2025-03-03").says("succeeded");
    run(&folder, "a", "2025-03-03").says("succeeded");
}

#[test]
fn a_backfill_runs_each_time_once_and_keeps_the_newest() {
    let folder = project(
        "[[job]]\nname = \"a\"\nreport = \"topics\"\ncron = \"0 6 * * *\"\nparameters = { since = \"yesterday\" }\n\
         outputs = [{ path = \"out/{date}.csv\", keep = 2 }]\n",
    );
    let fill = ["job", "backfill", "a", "--from", "2025-03-01", "--to", "2025-03-04"];
    let times = folder.cxql(&[&fill[..], &["--dry-run"]].concat()).out();
    assert_eq!(times.lines().count(), 3, "{times}");
    folder.cxql(&fill).says("a-20250303T060000Z succeeded, 1 rows");
    assert_eq!(folder.names("out"), ["2025-03-02.csv", "2025-03-03.csv"]);
    folder.cxql(&fill).says("a-20250301T060000Z has run already");
    // each run binds the day before its own time
    let found = rows(&folder, "select parameters from system.runs order by scheduled_at");
    assert_eq!(found, ["since=2025-02-28", "since=2025-03-01", "since=2025-03-02"]);
}

#[test]
fn each_run_of_a_backfill_has_the_figures_of_its_own_time() {
    // n contacts on day n of March
    let contacts: String = (1..=20)
        .flat_map(|day| (0..day).map(move |n| format!("{day}-{n},c{n},2025-03-{day:02}T09:00:00Z\n")))
        .collect();
    let config = "[[job]]\nname = \"kpi\"\nreport = \"kpi_overview\"\ncron = \"0 6 * * *\"\nparameters = { period = \"1 \
                  day\", until = \"today\" }\noutputs = [\"out/{date}.csv\"]\n[tables.interactions]\npath = \
                  \"interactions.csv\"\n";
    let folder = Folder::with(&[
        ("data/interactions.csv", &format!("interaction_id,customer_id,started_at\n{contacts}")),
        ("cxql.toml", config),
    ]);
    folder.cxql(&["job", "backfill", "kpi", "--from", "2025-03-05", "--to", "2025-03-08"]).says("succeeded");
    let contacts = |day: u32| {
        let text = folder.read(&format!("out/2025-03-0{day}.csv"));
        text.lines().find(|line| line.starts_with("contacts,")).unwrap_or_default().to_string()
    };
    // on the 5th the newest whole day is the 4th with four contacts, after three on the 3rd
    assert!(contacts(5).starts_with("contacts,count,4.0,3.0,1.0,4"), "{}", contacts(5));
    assert!(contacts(7).starts_with("contacts,count,6.0,5.0,1.0,6"), "{}", contacts(7));
}

#[test]
fn an_interval_without_a_unit_is_a_fault_of_the_configuration() {
    for (line, wanted) in [
        ("parameters = { period = 7 }", "parameter `period`: `7` has no unit; write `7 days`"),
        ("parameters = { period = \"7\" }", "parameter `period`: `7` has no unit"),
        ("timeout = 30", "30 has no unit; write \"30s\", \"30m\" or \"30h\""),
        ("timeout = \"30\"", "a duration such as 90s, 5m, 2h or 1d is wanted, got `30`"),
    ] {
        let folder = project(&format!("[[job]]\nname = \"a\"\nreport = \"kpi_overview\"\n{line}\n"));
        run(&folder, "a", "2025-03-03").fails(2, &[wanted]);
    }
}

#[test]
fn a_job_without_data_fails_and_sends_nothing() {
    let smtp = Smtp::start(&[]);
    let config = format!(
        "{}[[job]]\nname = \"kpi\"\nreport = \"kpi_overview\"\noutputs = [\"out/kpi.csv\"]\nrecipients = \
         \"x@example.com\"\nowner = \"ops@example.com\"\nretries = 0\n[[job]]\nname = \"volume\"\nreport = \
         \"service_level_by_hour_of_week\"\nretries = 0\n[[job]]\nname = \"early\"\nreport = \"kpi_overview\"\n\
         parameters = {{ until = \"2020-01-01\" }}\nretries = 0\n",
        smtp.config()
    );
    let folder = Folder::with(&[("cxql.toml", &config)]);
    folder.make("data/agents.parquet", "select '1' as agent_id, 'Ada' as name");
    run(&folder, "kpi", "2025-03-03").fails(1, &["no data: ", "the data has no table `interactions`"]);
    assert!(!folder.path("out/kpi.csv").exists());
    let told: Vec<Vec<String>> = smtp.taken().into_iter().map(|mail| mail.to).collect();
    assert_eq!(told, [["ops@example.com"]]);
    // 168 rows of zero contacts
    run(&folder, "volume", "2025-03-03").fails(1, &["no data: ", "`interactions`"]);
    let found = rows(&folder, "select job, state, left(error, 8) from system.runs order by job");
    assert_eq!(found, ["kpi,failed,no data:", "volume,failed,no data:"]);
    // a period before the data
    folder.make(
        "data/interactions.parquet",
        "select 'a' as interaction_id, 'b' as customer_id, timestamp '2025-03-01T09:00:00' as started_at",
    );
    run(&folder, "early", "2025-03-03").fails(1, &["no data: all figures of the 14 rows are NULL"]);
    run(&folder, "kpi", "2025-03-04").says("succeeded");
}

#[test]
fn an_alert_over_no_rows_is_unknown_and_told_once() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\nalert_recipients = \
         \"lead@example.com\"\n",
        smtp.config()
    ));
    let mut told = Vec::new();
    // bad, no rows since 2025, no rows, bad still
    for (day, at) in ["2025-03-01", "2024-03-01", "2024-03-01", "2025-03-01"].into_iter().enumerate() {
        folder.write("data/contacts.csv", format!("topic,n,at\nbilling,1,{at}T00:00:00Z\n"));
        let ran = run(&folder, "a", &format!("2025-03-0{}", day + 1));
        ran.says("succeeded");
        if at.starts_with("2024") {
            ran.says("unknown: whether `n < 3` is met: the result has no rows");
        }
        told.push(smtp.taken().iter().filter(|mail| mail.to == ["lead@example.com"]).count());
    }
    assert_eq!(told, [1, 2, 2, 2]);
    let mails = smtp.taken();
    let unknown: Vec<_> = mails.iter().filter(|mail| mail.text.contains("Subject: [unknown]")).collect();
    assert_eq!(unknown.len(), 1, "{mails:?}");
    // the result says so each time
    let results =
        mails.iter().filter(|mail| mail.to == ["x@example.com"] && mail.plain().contains("is met: the result"));
    assert_eq!(results.count(), 2);
    let found = rows(&folder, "select outcome, is_met, is_told, figures from system.alerts order by evaluated_at");
    let unknown = "unknown,,true,the result has no rows";
    assert_eq!(found, ["met,true,true,n=1", unknown, "unknown,,false,the result has no rows", "met,true,false,n=1"]);
    let history = folder.cxql(&["job", "history", "a-20250302T000000Z"]);
    history.says("unknown: whether `n < 3` is met");
}

#[test]
fn a_full_disk_is_told_and_the_run_succeeds_when_there_is_room() {
    let sql = "select value as n, md5(cast(value as text)) as t from range(80000)";
    let folder =
        project(&format!("[[job]]\nname = \"a\"\nsql = \"{sql}\"\noutputs = [\"out/a.csv\"]\nretries = 1\n{QUICK}"));
    // about 3 MB do not fit, the history does
    let args = ["job", "run", "a", "--at", "2025-03-03"];
    let ran = Ran::of(folder.command_after("trap '' XFSZ\nulimit -f 2048", &args), None);
    ran.fails(1, &["no space left"]);
    assert_eq!(rows(&folder, "select state, attempt from system.runs"), ["failed,2"]);
    assert!(!folder.path("out/a.csv").exists());
    run(&folder, "a", "2025-03-03").says("succeeded, 80000 rows");
    assert_eq!(folder.read("out/a.csv").lines().count(), 80_001);
    // nothing waits any more
    assert!(!folder.path(".cxql/runs/a-20250303T000000Z").exists());
}

/// A scheduler, which does not outlive its test.
struct Scheduler(Child);

impl Scheduler {
    fn start(folder: &Folder) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path("log")).expect("a file");
        Self(folder.command(&["schedule"]).stdout(Stdio::null()).stderr(log).spawn().expect("the program starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it is killed");
        self.0.wait().expect("it ends");
    }

    /// Asks it to end; its exit code.
    fn stop(mut self) -> Option<i32> {
        let ended = std::process::Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(ended.expect("kill runs").success());
        self.0.wait().expect("the program ends").code()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // one that has ended cannot be killed
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < Duration::from_secs(60), "no {what} after a minute");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_schedulers_run_each_time_once_and_stop_in_good_order() {
    let folder = project(
        "[[job]]\nname = \"tick\"\nsql = \"select 1 as a\"\ncron = \"* * * * * *\"\noverlap = \"queue\"\noutputs = \
         [\"out/{scheduled}.csv\"]\n[[job]]\nname = \"after\"\nsql = \"select 2 as a\"\ndepends_on = \"tick\"\noutputs = \
         [\"after/{scheduled}.csv\"]\n",
    );
    let (one, two) = (Scheduler::start(&folder), Scheduler::start(&folder));
    let count = |name: &str| std::fs::read_dir(folder.path(name)).map_or(0, Iterator::count);
    wait_for("outputs", || count("out") >= 4 && count("after") >= 2);
    let ended = (one.stop(), two.stop());
    let log = folder.read("log");
    assert_eq!(ended, (Some(0), Some(0)), "{log}");
    let twice = "select count(*) from (select run_id from system.attempts where outcome = 'made' group by run_id having \
                 count(*) > 1)";
    assert_eq!(rows(&folder, twice), ["0"]);
    let starts: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(" info tick-"))
        .filter(|(_, rest)| rest.contains(" starts"))
        .map(|(_, rest)| rest)
        .collect();
    let unique: BTreeSet<&str> = starts.iter().copied().collect();
    assert_eq!(starts.len(), unique.len(), "{log}");
    assert!(!log.contains("error"), "{log}");
}

#[test]
fn a_new_run_ends_the_one_before_it_when_the_job_says_so() {
    let folder = project(
        "[jobs]\ndrain = \"1ms\"\n[[job]]\nname = \"slow\"\nsql = \"select count(*) as n from \
         range(1000000000000) where value % 7 <> 1\"\ncron = \"* * * * * *\"\ncatch_up = \"none\"\noverlap = \"kill\"\n\
         outputs = [\"out/{scheduled}.csv\"]\n",
    );
    let child = Scheduler::start(&folder);
    let stopped = "select count(*) > 1 from system.runs where state = 'stopped'";
    wait_for("run that was stopped", || rows(&folder, stopped) == ["true"]);
    let code = child.stop();
    let log = folder.read("log");
    assert_eq!(code, Some(0), "{log}");
    // one at a time: each begins when the one before it has ended
    let mut running = None;
    let events = log.lines().filter_map(|line| line.split_once(" slow-")?.1.split_once(' '));
    for (run, event) in events.filter(|(_, event)| *event != "is due") {
        match running {
            None => assert!(event.starts_with("starts"), "{log}"),
            Some(running) => assert!(running == run && !event.starts_with("starts"), "{log}"),
        }
        running = event.starts_with("starts").then_some(run);
    }
    assert!(!folder.path("out").exists(), "{log}");
}

#[test]
fn a_history_that_cannot_be_written_is_told_and_nothing_runs() {
    let folder = project("[[job]]\nname = \"a\"\nreport = \"topics\"\noutputs = [\"out/a.csv\"]\n");
    // a file where the folder of the history belongs: no rights help, root's neither
    folder.write(".cxql", "");
    run(&folder, "a", "2025-03-03").fails(1, &[".cxql"]);
    let output = folder.command(&["schedule"]).output().expect("the program ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains(".cxql"), "{told}");
    assert!(!folder.path("out").exists());
    // a history that is none
    let folder = project("[[job]]\nname = \"a\"\nreport = \"topics\"\noutputs = [\"out/a.csv\"]\n");
    run(&folder, "a", "2025-03-03").says("succeeded");
    std::fs::remove_file(folder.path("out/a.csv")).expect("it is there");
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        // they are there or not
        drop(std::fs::remove_file(folder.path(&format!(".cxql/{name}"))));
    }
    folder.write(".cxql/jobs.db", "this is no database, whatever its name says, and it is long enough for a page");
    run(&folder, "a", "2025-03-04").fails(1, &["jobs.db"]);
    assert!(!folder.path("out/a.csv").exists());
}

#[test]
fn a_scheduler_that_was_killed_goes_on_and_tells_what_it_missed() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"slow\"\nsql = \"select count(*) as n from range(3000) a cross join range(200000) b\"\ncron = \
         \"* * * * * *\"\ncatch_up = \"none\"\nretries = 100\noutputs = [\"out/{{scheduled}}.csv\"]\n{QUICK}",
        smtp.config()
    ));
    let mut child = Scheduler::start(&folder);
    wait_for("run", || folder.path(".cxql/runs").exists());
    child.kill();
    let open = "select count(*) from system.runs where state = 'running'";
    assert_eq!(rows(&folder, open), ["1"]);
    let child = Scheduler::start(&folder);
    let done = "select count(*) from system.runs where state = 'succeeded' and attempt > 1";
    wait_for("second try", || rows(&folder, done) == ["1"]);
    let code = child.stop();
    let log = folder.read("log");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("was cut off"), "{log}");
    let lost = "select count(*) from system.attempts where outcome = 'lost'";
    assert_eq!(rows(&folder, lost), ["1"]);
}

#[test]
fn wrong_jobs_are_told_before_anything_runs() {
    let smtp = "[mail]\nfrom = \"a@example.com\"\nhost = \"x\"\n";
    for (job, wanted) in [
        ("report = \"topcis\"", "did you mean `topics`?"),
        ("report = \"topics\"\ncron = \"61 * * * *\"", "cron expression"),
        ("report = \"topics\"\ntimezone = \"Europe/Berln\"", "did you mean `Europe/Berlin`?"),
        ("report = \"topics\"\nparameters = { sinc = \"today\" }", "did you mean `since`?"),
        ("report = \"topics\"\nparameters = { since = \"soon\" }", "start of last week"),
        ("report = \"topics\"\noutputs = [\"{jbo}.csv\"]", "is not known"),
        ("report = \"topics\"\noutputs = [\"a.doc\"]", "outputs"),
        ("report = \"topics\"\nrecipients = \"opss\"", "no mail address and no channel"),
        ("report = \"topics\"\ndepends_on = \"b\"", "there is no job `b`"),
        ("report = \"topics\"\nwait_for = \"soon\"", "newest(TABLE.COLUMN)"),
        ("report = \"topics\"\nsql = \"select 1\"", "both `report` and `sql`"),
    ] {
        let folder = project(&format!("{smtp}[[job]]\nname = \"a\"\n{job}\n"));
        folder.cxql(&["job", "list"]).fails(2, &["job `a`", wanted]);
    }
    project("").cxql(&["schedule"]).fails(2, &["has no [[job]]"]);
    project("").cxql(&["job", "run", "a"]).fails(2, &["there is no job `a`"]);
}
