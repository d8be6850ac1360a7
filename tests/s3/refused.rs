//! What a server refuses: each with its exit code, the place, and what to do, within seconds.

use crate::program::User;
use crate::server::Server;
use crate::server_with_sample;

const REPORT: [&str; 6] = ["run", "kpi_overview", "-f", "csv", "--data", "s3://desk/sample"];

#[test]
fn a_missing_bucket_is_named() {
    let server = server_with_sample();
    let user = User::of(&server);
    let run = user.cxql(&["run", "kpi_overview", "--data", "s3://dusk/sample"]);
    run.fails(1, &["s3://dusk/sample", "bucket does not exist", "check its name"]);
    let run = user.cxql(&["query", "select * from 's3://dusk/calls.csv'"]);
    run.fails(1, &["s3://dusk/calls.csv"]);
    let run = user.cxql(&["query", "select 1 as one", "-o", "s3://dusk/one.csv"]);
    run.fails(1, &["s3://dusk/one.csv", "check the bucket"]);
}

#[test]
fn a_missing_object_is_named() {
    let server = server_with_sample();
    let run = User::of(&server).cxql(&["query", "select * from 's3://desk/sample/agnets.parquet'"]);
    run.fails(1, &["s3://desk/sample/agnets.parquet", "there is no such file"]);
}

#[test]
fn an_empty_prefix_is_named() {
    let server = server_with_sample();
    let user = User::of(&server);
    let run = user.cxql(&["query", "select count(*) from interactions", "--data", "s3://desk/smaple"]);
    run.fails(1, &["s3://desk/smaple", "--data"]);
}

#[test]
fn a_wrong_key_is_told() {
    let server = server_with_sample();
    for (name, value) in [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")] {
        let user = User::of(&server).with(name, value);
        user.cxql(&REPORT).fails(1, &["s3://desk/sample", "access denied", name]);
        let run = user.cxql(&["query", "select 1 as one", "-o", "s3://desk/one.csv"]);
        run.fails(1, &["s3://desk/one.csv", "credentials"]);
        assert!(!server.folder().join("desk/one.csv").exists());
        // the secret itself never shows
        assert!(!run.stderr.contains("wrong"), "{run:?}");
    }
}

#[test]
fn missing_credentials_are_told() {
    let server = server_with_sample();
    let user = User::of(&server).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    user.cxql(&REPORT).fails(1, &["no S3 credentials", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    assert!(server.take_requests().is_empty());
}

#[test]
fn plain_http_is_used_only_when_asked() {
    let server = server_with_sample();
    let user = User::of(&server).without("CXQL_ALLOW_HTTP");
    user.cxql(&REPORT).fails(2, &[&server.url(), "plain http", "--allow-http"]);
    let output = ["query", "select 1 as one", "-o", "s3://desk/one.csv"];
    user.cxql(&output).fails(2, &[&server.url(), "plain http", "--allow-http"]);
    assert!(server.take_requests().is_empty());

    let mut allowed = REPORT.to_vec();
    allowed.push("--allow-http");
    user.cxql(&allowed).output();
}

#[test]
fn the_endpoint_may_stand_on_the_line() {
    let server = server_with_sample();
    let user = User::of(&server).without("CXQL_S3_ENDPOINT").without("CXQL_ALLOW_HTTP");
    let mut args = REPORT.to_vec();
    let url = server.url();
    args.extend(["--s3-endpoint", &url, "--allow-http"]);
    user.cxql(&args).output();
}

#[test]
fn an_endpoint_where_nobody_listens_is_named() {
    let gone = {
        let server = Server::s3();
        server.url()
    };
    let user = User::of(&server_with_sample()).with("CXQL_S3_ENDPOINT", &gone);
    user.cxql(&REPORT).fails(1, &["s3://desk/sample", "check the endpoint", &gone]);
}
