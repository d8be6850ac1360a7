//! Encrypted connections.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::Identity;

use crate::server::{Served, query, run, sample};

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `localhost` and its key.
    pub(crate) fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, folder: &Path) {
        let (certificate, key) = self.sign();
        fs::write(folder.join("key.pem"), key).unwrap();
        fs::write(folder.join("certificate.pem"), certificate).unwrap();
    }
}

const CONFIG: &str = "[serve]\ncertificate = 'certificate.pem'\nkey = 'key.pem'\n";

#[tokio::test]
async fn connections_are_encrypted_and_certificates_renewed() {
    let first = Authority::new();
    let (certificate, key) = first.sign();
    let files = [("cxql.toml", CONFIG), ("certificate.pem", certificate.as_str()), ("key.pem", key.as_str())];
    let served = Served::start(&files, &["--data", &sample()]);
    served.says("grpc+tls://");
    let mut client = served.tls_client(&first.pem(), None).await.unwrap();
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
    // broken files leave the old certificate
    fs::write(served.folder.path().join("certificate.pem"), "nothing").unwrap();
    served.tls_client(&first.pem(), None).await.unwrap();
    served.says("the old certificate stays");
    let second = Authority::new();
    second.write(served.folder.path());
    let mut renewed = served.tls_client(&second.pem(), None).await.unwrap();
    assert_eq!(query(&mut renewed, "select 1 as a").await.unwrap().num_rows(), 1);
    assert!(served.tls_client(&first.pem(), None).await.is_err());
    // connections that are there go on
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn clients_show_a_certificate_when_it_is_asked_for() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) = servers.sign();
    let config = format!("{CONFIG}client_ca = 'clients.pem'\n");
    let ca = clients.pem();
    let files = [
        ("cxql.toml", config.as_str()),
        ("certificate.pem", certificate.as_str()),
        ("key.pem", key.as_str()),
        ("clients.pem", ca.as_str()),
    ];
    let served = Served::start(&files, &["--data", &sample()]);
    let identity = |(certificate, key): (String, String)| Identity::from_pem(certificate, key);
    let mut client = served.tls_client(&servers.pem(), Some(identity(clients.sign()))).await.unwrap();
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
    for own in [None, Some(identity(others.sign()))] {
        // the refusal may come with the first request
        let refused = match served.tls_client(&servers.pem(), own).await {
            Ok(mut client) => client.get_catalogs().await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
}

#[test]
fn files_for_encryption_are_checked() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign();
    let (_, other) = authority.sign();
    for (files, text) in [
        (vec![("cxql.toml", "[serve]\ncertificate = 'certificate.pem'\n")], "needs both"),
        (vec![("cxql.toml", CONFIG)], "certificate.pem"),
        (vec![("cxql.toml", CONFIG), ("certificate.pem", "x"), ("key.pem", "x")], "no certificate in it"),
        (vec![("cxql.toml", CONFIG), ("certificate.pem", &certificate), ("key.pem", "x")], "no key in it"),
        (vec![("cxql.toml", CONFIG), ("certificate.pem", &certificate), ("key.pem", &other)], "does not fit the key"),
    ] {
        let out = run(&files, &["serve", "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains(text), "{text}: {said}");
        assert!(!said.contains(&key), "{said}");
    }
}
