//! Users, tokens and what belongs to whom.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use arrow_flight::Action;
use tonic::Code;

use crate::server::{Client, Served, command, fetch, query, sample, status};

fn add(folder: &Path, name: &str, password: &str) -> Output {
    let mut child = command(folder, &["user", "add", name, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // one that refuses the name reads no password
    let _ = child.stdin.take().expect("a pipe").write_all(format!("{password}\n").as_bytes());
    child.wait_with_output().expect("it ends")
}

/// A server with the users ana and ben and a token of tool.
fn served() -> (Served, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("cxql.toml"), "# mine\n[serve]\ndrain_s = 1\n").unwrap();
    for name in ["ana", "ben"] {
        let out = add(folder.path(), name, &format!("{name} is secret"));
        assert!(out.status.success(), "{out:?}");
    }
    let out = command(folder.path(), &["user", "add", "tool", "--token"]).output().expect("it runs");
    let token = String::from_utf8(out.stdout).unwrap().trim().to_owned();
    let config = fs::read_to_string(folder.path().join("cxql.toml")).unwrap();
    assert!(config.starts_with("# mine\n[serve]\ndrain_s = 1\n\n[users.\"ana\"]\npassword = \"$argon2id$"), "{config}");
    assert!(!config.contains("is secret") && !config.contains(&token), "{config}");
    (Served::start(&[("cxql.toml", &config)], &["--data", &sample()]), token)
}

/// The client wraps what the server says.
async fn login(served: &Served, name: &str, password: &str) -> Result<Client, String> {
    let mut client = served.client().await;
    client.handshake(name, password).await.map_err(|error| error.to_string())?;
    Ok(client)
}

#[tokio::test]
async fn only_users_are_let_in() {
    let (served, token) = served();
    served.says("with login, 3 users");
    let mut nobody = served.client().await;
    let error = query(&mut nobody, "select 1").await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert_eq!(status(nobody.get_catalogs().await.unwrap_err()).code(), Code::Unauthenticated);
    for (name, password) in [("ana", "wrong"), ("nobody", "ana is secret"), ("tool", ""), ("ana", "")] {
        let refused = login(&served, name, password).await.err();
        assert!(refused.is_some_and(|text| text.contains("the user or the password is wrong")), "{name}");
    }
    let mut ana = login(&served, "ana", "ana is secret").await.unwrap();
    assert_eq!(query(&mut ana, "select 1 as a").await.unwrap().num_rows(), 1);
    let mut tool = served.client().await;
    tool.set_token(token.clone());
    assert_eq!(query(&mut tool, "select 1 as a").await.unwrap().num_rows(), 1);
    let mut basic = served.client().await;
    // ben:ben is secret
    basic.set_header("authorization", "Basic YmVuOmJlbiBpcyBzZWNyZXQ=");
    assert_eq!(query(&mut basic, "select 1 as a").await.unwrap().num_rows(), 1);
    for secret in ["is secret", &token, "YmVuOmJlbiBpcyBzZWNyZXQ="] {
        assert!(!served.log().contains(secret), "{}", served.log());
    }
}

#[tokio::test]
async fn what_one_user_has_another_does_not_find() {
    let (served, _) = served();
    let mut ana = login(&served, "ana", "ana is secret").await.unwrap();
    let mut ben = login(&served, "ben", "ben is secret").await.unwrap();
    let info = ana.execute("select 1 as a".to_owned(), None).await.unwrap();
    assert_eq!(fetch(&mut ben, info.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut prepared = ana.prepare("select 2 as a".to_owned(), None).await.unwrap();
    let descriptor = prepared.execute().await.unwrap().flight_descriptor.unwrap();
    let token = ben.token().cloned().unwrap();
    let mut request = tonic::Request::new(descriptor);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let error = ben.inner_mut().get_flight_info(request).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(fetch(&mut ana, info).await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn a_closed_session_is_over() {
    let (served, token) = served();
    let mut ana = login(&served, "ana", "ana is secret").await.unwrap();
    let close = || Action { r#type: "CloseSession".into(), body: Default::default() };
    let answer = ana.do_action(close()).await.unwrap().message().await.unwrap().unwrap();
    assert_eq!(answer.body.as_ref(), [8, 1]);
    assert_eq!(query(&mut ana, "select 1").await.unwrap_err().code(), Code::Unauthenticated);
    // a token of the configuration stays
    let mut tool = served.client().await;
    tool.set_token(token);
    let answer = tool.do_action(close()).await.unwrap().message().await.unwrap().unwrap();
    assert_eq!(answer.body.as_ref(), [8, 3]);
    assert_eq!(query(&mut tool, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[test]
fn users_are_added_once_and_with_usable_names() {
    let folder = tempfile::tempdir().unwrap();
    assert!(add(folder.path(), "ana", "x").status.success());
    for (name, password, text) in
        [("ana", "y", "already"), ("a b", "y", "no name of a user"), ("eve", "", "a password has")]
    {
        let out = add(folder.path(), name, password);
        assert_eq!(out.status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(text), "{out:?}");
    }
    fs::write(folder.path().join("cxql.toml"), "[users.ana]\npassword = 'plain'\n").unwrap();
    let out = command(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no argon2id hash"), "{out:?}");
}
