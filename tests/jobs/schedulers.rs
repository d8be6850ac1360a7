//! `cxql job run` as Airflow, cron and Kubernetes call it: again after a failure or a kill, and twice at once.

use std::process::{Child, Stdio};

use super::program::Folder;
use super::servers::{Fault, Http, Smtp};
use super::{QUICK, project, rows, run, wait_for};

const AT: &str = "2025-03-03";
const RUN: &str = "a-20250303T000000Z";

fn webhook(http: &Http, job: &str) -> String {
    format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"http://{}/x\"\ntimeout = \"20s\"\n[[job]]\nname = \"a\"\nreport = \
         \"topics\"\nrecipients = \"hook\"\n{job}{QUICK}",
        http.address
    )
}

/// A program that is killed when the test ends.
struct Caller(Child);

impl Caller {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let mut command = folder.command(args);
        Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts"))
    }

    fn kill(mut self) {
        self.0.kill().expect("it is killed");
        self.0.wait().expect("it ends");
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut stderr = self.0.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
        (self.0.wait().expect("it ends").code(), said)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // one that has ended cannot be killed
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_call_goes_on_until_everything_is_delivered() {
    // two calls fail, as with a channel that is down for a while; the third finds it up
    let http = Http::start(&[(503, "down"), (503, "down")]);
    let folder = project(&webhook(&http, "retries = 0\noutputs = [\"out/a.csv\"]\n"));
    for _ in 0..2 {
        run(&folder, "a", AT).fails(1, &[RUN, "not everything of it is delivered"]);
        assert_eq!(rows(&folder, "select state from system.runs"), ["delivering"]);
    }
    run(&folder, "a", AT).says("succeeded, 2 rows");
    run(&folder, "a", AT).says("has run already");
    // the report ran once, and the same message was sent each time
    assert_eq!(rows(&folder, "select count(*) from system.attempts"), ["1"]);
    let posted = http.posted();
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|one| one.body == posted[0].body));
}

#[test]
fn a_rejected_delivery_is_sent_again_by_the_next_call_and_what_arrived_is_not() {
    let (http, smtp) = (Http::start(&[(403, "no"), (404, "no")]), Smtp::start(&[]));
    let folder = project(&format!(
        "{}{}",
        smtp.config(),
        webhook(&http, "retries = 0\n").replace("\"hook\"\n", "[\"hook\", \"x@example.com\"]\n")
    ));
    for _ in 0..2 {
        run(&folder, "a", AT).fails(1, &["failed: 1 of its deliveries failed"]);
    }
    run(&folder, "a", AT).says("succeeded");
    assert_eq!((http.posted().len(), smtp.taken().len()), (3, 1));
    assert_eq!(rows(&folder, "select count(*) from system.attempts"), ["1"]);
}

#[test]
fn a_backfill_goes_on_with_what_is_not_delivered() {
    let http = Http::start(&[(503, "down"), (403, "no")]);
    let folder = project(&webhook(&http, "retries = 0\ncron = \"0 6 * * *\"\n"));
    let fill = ["job", "backfill", "a", "--from", "2025-03-01", "--to", "2025-03-03"];
    folder.cxql(&fill).fails(1, &["2 of 2 runs failed or are not delivered"]);
    // what the first run had not delivered was tried again after the second
    folder.cxql(&fill).says("a-20250301T060000Z has run already").says("a-20250302T060000Z succeeded");
    folder.cxql(&fill).says("a-20250302T060000Z has run already");
    assert_eq!(rows(&folder, "select distinct state from system.runs"), ["succeeded"]);
    assert_eq!(http.posted().len(), 4);
}

#[test]
fn a_process_killed_between_run_and_delivery_is_followed_by_one_that_delivers() {
    // the server takes the connection and says nothing, so that the process is killed before the mail is sent
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let smtp = Smtp::start(&[]);
    let port = |port: u16| smtp.config().replace(&smtp.address.port().to_string(), &port.to_string());
    let job = format!(
        "[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\noutputs = [\"out/a.csv\"]\nretries = \
         0\n{QUICK}"
    );
    let quiet = port(silent.local_addr().expect("an address").port());
    let folder = project(&format!("{quiet}{job}"));
    let caller = Caller::start(&folder, &["job", "run", "a", "--at", AT]);
    let claimed = "select count(*) from system.deliveries where kind = 'mail' and state = 'claimed'";
    wait_for("claimed mail", || rows(&folder, claimed) == ["1"]);
    caller.kill();
    let config = folder.read("cxql.toml").replace(&quiet, &port(smtp.address.port()));
    folder.write("cxql.toml", config);
    run(&folder, "a", AT).says("succeeded");
    assert_eq!((smtp.taken().len(), folder.names("out")), (1, vec!["a.csv".to_string()]));
    assert_eq!(rows(&folder, "select count(*) from system.attempts"), ["1"]);
}

#[test]
fn a_mail_that_may_have_arrived_is_never_reported_as_delivered() {
    let smtp = Smtp::start(&[Fault::Silent]);
    let folder = project(&format!(
        "{}[[job]]\nname = \"a\"\nreport = \"topics\"\nrecipients = \"x@example.com\"\n{QUICK}",
        smtp.config()
    ));
    for _ in 0..2 {
        run(&folder, "a", AT).fails(1, &["1 of its deliveries failed", "cxql job resend", "--again"]);
    }
    assert_eq!(smtp.taken().len(), 1);
    folder.cxql(&["job", "resend", RUN]).says("sent again");
    run(&folder, "a", AT).says("has run already");
}

#[test]
fn a_process_killed_while_it_runs_leaves_its_attempts_to_the_next_call() {
    let slow = "select count(*) as n from range(1000000000000) where value % 7 <> 1";
    let folder = project(&format!("[[job]]\nname = \"a\"\nsql = \"{slow}\"\noutputs = [\"out/a.csv\"]\nretries = 0\n"));
    let caller = Caller::start(&folder, &["job", "run", "a", "--at", AT]);
    wait_for("run", || rows(&folder, "select state from system.runs") == ["running"]);
    caller.kill();
    folder.write("cxql.toml", folder.read("cxql.toml").replace(slow, "select 1 as n"));
    // the attempt that was lost was the only one
    run(&folder, "a", AT).says("succeeded, 1 rows");
}

#[test]
fn two_callers_at_once_run_it_once_and_both_wait_for_its_end() {
    let http = Http::start(&[(503, "down"), (503, "down"), (429, "slower")]);
    let folder = project(&webhook(&http, "retries = 20\noutputs = [\"out/a.csv\"]\n"));
    let args = ["job", "run", "a", "--at", AT];
    let callers = [Caller::start(&folder, &args), Caller::start(&folder, &args)];
    for (code, said) in callers.map(Caller::end) {
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("job a failed"), "{said}");
    }
    assert_eq!(rows(&folder, "select count(*) from system.attempts"), ["1"]);
    assert_eq!(http.posted().len(), 4);
}

#[test]
fn again_runs_anew_whatever_became_of_the_run_before() {
    let http = Http::start(&[(503, "down"), (200, "ok")]);
    let folder = project(&webhook(&http, "retries = 0\noutputs = [\"out/a.csv\"]\n"));
    run(&folder, "a", AT).fails(1, &["not everything of it is delivered"]);
    let again = ["job", "run", "a", "--at", AT, "--again"];
    folder.write("data/contacts.csv", "topic,n,at\nbilling,50,2025-03-01T00:00:00Z\n");
    folder.cxql(&again).says(&format!("{RUN}-2 succeeded, 1 rows"));
    folder.cxql(&again).says(&format!("{RUN}-3 succeeded, 1 rows"));
    assert_eq!(folder.read("out/a.csv"), "topic,n\nbilling,50\n");
    let found = rows(&folder, "select run_id, row_count from system.runs where state = 'succeeded' order by run_id");
    assert_eq!(found, [format!("{RUN},2"), format!("{RUN}-2,1"), format!("{RUN}-3,1")]);
}

#[test]
fn an_output_that_is_late_does_not_replace_a_newer_one() {
    let folder = project(&format!(
        "[[job]]\nname = \"a\"\nreport = \"topics\"\noutputs = [\"out/latest.csv\"]\nretries = 0\n{QUICK}"
    ));
    // a file where the folder of the output belongs
    folder.write("out", "");
    run(&folder, "a", AT).fails(1, &["not everything of it is delivered"]);
    std::fs::remove_file(folder.path("out")).expect("it is there");
    folder.write("data/contacts.csv", "topic,n,at\nbilling,50,2025-03-01T00:00:00Z\n");
    // both are due; the older one is written first, or never
    run(&folder, "a", "2025-03-04").says("succeeded");
    assert_eq!(run(&folder, "a", AT).code, 0);
    assert_eq!(folder.read("out/latest.csv"), "topic,n\nbilling,50\n");
    let found = rows(&folder, "select state from system.runs");
    assert_eq!(found, ["succeeded", "succeeded"]);
}

#[test]
fn a_caller_that_is_asked_to_stop_while_it_waits_for_a_delivery_ends() {
    let http = Http::start(&[(503, "down")]);
    let folder = project(&webhook(&http, "retries = 5\n").replace(QUICK, "retry_delay = \"1h\"\nretry_max = \"1h\"\n"));
    let caller = Caller::start(&folder, &["job", "run", "a", "--at", AT]);
    let tried = "select tries from system.deliveries where state = 'planned'";
    wait_for("try", || rows(&folder, tried) == ["1"]);
    let ended = std::process::Command::new("kill").args(["-TERM", &caller.0.id().to_string()]).status();
    assert!(ended.expect("kill runs").success());
    let (code, said) = caller.end();
    assert!(code != Some(0), "{said}");
    assert_eq!(rows(&folder, "select state from system.runs"), ["delivering"]);
}
