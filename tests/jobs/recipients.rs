//! Who gets what, and what does not get to them: many recipients, environments, names, groups, histories.

use std::time::{Duration, Instant};

use super::servers::{Fault, Http, Smtp};
use super::{QUICK, project, rows, run};

const AT: &str = "2025-03-03";

fn many(count: usize, addressing: &str, smtp: &Smtp) -> super::program::Folder {
    project(&format!(
        "{}addressing = \"{addressing}\"\n[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients_sql = \"select 'a' || \
         value || '@example.com' as recipient from range({count})\"\nretries = 3\n{QUICK}",
        smtp.config()
    ))
}

#[test]
fn five_thousand_recipients_get_a_mail_each_in_seconds() {
    let smtp = Smtp::start(&[]);
    let folder = many(5_000, "separate", &smtp);
    let started = Instant::now();
    run(&folder, "a", AT).says("succeeded");
    let took = started.elapsed();
    let mails = smtp.taken();
    assert_eq!(mails.len(), 5_000);
    let mut to: Vec<&str> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    to.sort_unstable();
    to.dedup();
    assert_eq!(to.len(), 5_000);
    for mail in &mails {
        assert_eq!(mail.to.len(), 1);
        let header = mail.text.split("\r\n\r\n").next().unwrap_or_default();
        assert_eq!(header.matches("@example.com").count(), 3, "{header}");
        assert!(header.contains(&format!("To: {}", mail.to[0])), "{header}");
    }
    // the content is stored once: the history has less than a kilobyte for each
    let size = std::fs::metadata(folder.path(".cxql/jobs.db")).expect("a history").len();
    assert!(size < 10 << 20, "{size}");
    eprintln!("5,000 mails in {took:?}");
    // a program without optimization on a shared machine
    assert!(took < Duration::from_secs(120), "{took:?}");
}

#[test]
fn five_thousand_hidden_recipients_get_one_mail_in_transmissions_of_a_hundred() {
    let smtp = Smtp::start(&[Fault::Busy]);
    let folder = many(5_000, "hidden", &smtp);
    run(&folder, "a", AT).says("succeeded");
    let mails = smtp.taken();
    assert_eq!(mails.iter().map(|mail| mail.to.len()).collect::<Vec<_>>(), [100; 50]);
    assert!(mails.iter().all(|mail| mail.text.contains("To: undisclosed-recipients:;\r\n")));
    assert!(mails.iter().all(|mail| !mail.text.contains("a17@example.com")));
    let mut ids = mails.iter().filter_map(|mail| mail.text.lines().find(|line| line.starts_with("Message-ID")));
    let first = ids.next();
    assert!(first.is_some() && ids.all(|id| Some(id) == first));
}

#[test]
fn one_notice_tells_of_many_deliveries_that_failed() {
    let smtp = Smtp::start(&[]);
    for n in 0..40 {
        smtp.refuse(&format!("a{n}@example.com"));
    }
    let folder = many(50, "separate", &smtp);
    folder.write(
        "cxql.toml",
        folder.read("cxql.toml").replace("retries = 3", "retries = 0\nowner = \"ops@example.com\""),
    );
    run(&folder, "a", AT).fails(1, &["40 of its deliveries failed"]);
    let mails = smtp.taken();
    let told: Vec<_> = mails.iter().filter(|mail| mail.to == ["ops@example.com"]).collect();
    assert_eq!((mails.len(), told.len()), (11, 1));
    assert!(told[0].text.contains("40 deliveries failed"), "{}", told[0].text);
}

#[test]
fn a_command_gets_no_secret_of_ours() {
    let job = "[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"pager\"\n";
    let folder = project(&format!(
        "[channels.pager]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"env > told\"]\nenvironment = [\"PAGER_KEY\"]\n{job}"
    ));
    let secrets = [("SMTP_PASSWORD", "hush"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("PAGER_KEY", "mine"), ("TZ", "UTC")];
    folder.cxql_env(&secrets, &["job", "run", "a", "--at", AT]).says("succeeded");
    let told = folder.read("told");
    assert!(!told.contains("hush"), "{told}");
    for part in ["PAGER_KEY=mine", "TZ=UTC", "CXQL_DELIVERY=a-20250303T000000Z/1", "PATH="] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn an_output_stays_inside_the_project_whatever_the_title_is() {
    let folder = project(
        "[[job]]\nname = \"a\"\nsql = \"select 1 as a\"\ntitle = \"../../../tmp/\\u001b[2Jx\"\noutputs = [\"out/{title}.csv\"]\n",
    );
    run(&folder, "a", AT).says("succeeded");
    let names = folder.names("out");
    assert!(names.len() == 1 && !names[0].contains('\u{1b}') && !names[0].starts_with('.'), "{names:?}");
    for path in ["../x.csv", "/tmp/cxql-x.csv", "a/../../x.csv"] {
        let folder = project(&format!("[[job]]\nname = \"a\"\nsql = \"select 1 as a\"\noutputs = [\"{path}\"]\n"));
        folder.cxql(&["job", "list"]).fails(2, &["job `a`", "outputs"]);
    }
    let outside = tempfile::tempdir().expect("a folder");
    let path = outside.path().display();
    let folder = project(&format!(
        "[jobs]\noutput_folders = [\"{path}\"]\n[[job]]\nname = \"a\"\nsql = \"select 1 as a\"\noutputs = [\"{path}/x.csv\"]\n"
    ));
    run(&folder, "a", AT).says("succeeded");
    assert!(outside.path().join("x.csv").exists());
}

#[test]
fn values_of_the_data_are_text_in_chats_and_logs() {
    let attack = "x<at user_id=\"all\"></at> @all [c](https://e.com) <!channel>\u{1b}[31m\nred";
    for shape in ["slack", "teams", "feishu", "dingtalk", "wecom"] {
        let http = Http::start(&[]);
        let folder = project(&format!(
            "[channels.hook]\nkind = \"webhook\"\nshape = \"{shape}\"\nurl = \"http://{}/x\"\n[[job]]\nname = \"a\"\nreport \
             = \"attack\"\nalert_recipients = \"hook\"\n",
            http.address
        ));
        folder.write("data/contacts.csv", format!("topic,n\n\"{}\",1\n", attack.replace('"', "\"\"")));
        folder.write("sql/attack.sql", "-- alert: n < 3\n-- check: n > 1\nselect topic, n from contacts");
        let ran = run(&folder, "a", AT);
        ran.says("succeeded");
        assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
        let posted = http.posted();
        assert_eq!(posted.len(), 1, "{shape}");
        // an escaped backslash begins no escape of a control character: the name of a group shows these as `\n`
        let body = posted[0].body.replace("\\\\", "");
        for part in ["<at", "@all", "](", "https://e.com", "<!channel", "\u{1b}", "\\u001b", "\\nred"] {
            assert!(!body.contains(part), "{shape}: {part} in {}", posted[0].body);
        }
    }
}

#[test]
fn groups_with_null_and_commas_are_told_apart() {
    let smtp = Smtp::start(&[]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"groups\"\nsend = \"alert\"\nalert_recipients = \"lead@example.com\"\n",
        smtp.config()
    ));
    let values = |rows: &str| format!("-- alert: n < 3\nselect * from (values {rows}) as t (a, b, n)");
    folder.write("sql/groups.sql", values("('x', 'y, b=z', 1)"));
    run(&folder, "a", "2025-03-01").says("succeeded");
    // each is a group of its own, and so is news
    for (day, rows) in
        ["('x, b=y', 'z', 1)", "(null, 'z', 1)", "('NULL', 'z', 1)", "('', 'z', 1)"].into_iter().enumerate()
    {
        folder.write("sql/groups.sql", values(rows));
        run(&folder, "a", &format!("2025-03-0{}", day + 2)).says("succeeded");
    }
    let met = "select count(distinct bad_group), count(*) from system.alerts where is_met and is_told";
    assert_eq!(rows(&folder, met), ["5,5"]);
}

#[test]
fn a_history_that_is_gone_or_empty_is_told() {
    let folder = project("[[job]]\nname = \"a\"\nreport = \"topics\"\n");
    run(&folder, "a", AT).says("jobs.db is new");
    let again = run(&folder, "a", AT);
    assert!(!again.err.contains("is new"), "{}", again.err);
    for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        // some are there
        drop(std::fs::remove_file(folder.path(&format!(".cxql/{name}"))));
    }
    run(&folder, "a", AT).says("has vanished").says("what ran before is not known");
    folder.write(".cxql/jobs.db", "");
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        drop(std::fs::remove_file(folder.path(&format!(".cxql/{name}"))));
    }
    run(&folder, "a", AT).says("was empty");
}

#[test]
fn a_history_that_is_removed_under_a_scheduler_ends_it() {
    let folder = project(
        "[[job]]\nname = \"tick\"\nsql = \"select 1 as a\"\ncron = \"* * * * * *\"\noutputs = [\"out/a.csv\"]\n",
    );
    let scheduler = super::Scheduler::start(&folder);
    super::wait_for("output", || folder.path("out/a.csv").exists());
    std::fs::remove_file(folder.path(".cxql/jobs.db")).expect("it is there");
    super::wait_for("end", || folder.read("log").contains("was removed or replaced while the program used it"));
    drop(scheduler);
}
