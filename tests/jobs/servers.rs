//! Servers of the tests' own, on loopback: one that takes mails, one that takes webhooks. Both can fail.

use base64::Engine;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mail as the server took it.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Taken {
    /// The text without the line breaks and signs that its transport adds, with parts in base64 decoded.
    pub(crate) fn plain(&self) -> String {
        let mut text = self.text.replace("=\r\n", "").replace("=3D", "=");
        const ENCODED: &str = "Content-Transfer-Encoding: base64\r\n\r\n";
        for part in self.text.split(ENCODED).skip(1) {
            let lines: String = part.lines().take_while(|line| !line.starts_with("--")).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(lines);
            text += &String::from_utf8_lossy(&decoded.unwrap_or_default());
        }
        text
    }
}

/// What goes wrong with one mail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The connection is closed before anything is said.
    Closed,
    /// `MAIL FROM` gets 451.
    Busy,
    /// The content gets 554.
    Refused,
    /// The content is taken, and the connection closed before the answer.
    Silent,
}

#[derive(Debug, Default)]
struct Mails {
    taken: Vec<Taken>,
    faults: VecDeque<Fault>,
    refused: Vec<String>,
    logins: Vec<String>,
}

/// A mail server without encryption.
pub(crate) struct Smtp {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Mails>>,
}

impl Smtp {
    /// A server that meets these faults first, one for each connection.
    pub(crate) fn start(faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mails = Arc::new(Mutex::new(Mails { faults: faults.iter().copied().collect(), ..Mails::default() }));
        let shared = Arc::clone(&mails);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mails = Arc::clone(&shared);
                // a client that goes away ends its conversation
                thread::spawn(move || drop(talk(stream, &mails, true)));
            }
        });
        Self { address, mails }
    }

    /// A server that encrypts from the first byte, or once it is asked to.
    pub(crate) fn encrypted(config: Arc<ServerConfig>, is_asked: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mails = Arc::new(Mutex::new(Mails::default()));
        let shared = Arc::clone(&mails);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let mails = Arc::clone(&shared);
                thread::spawn(move || {
                    if is_asked && !matches!(talk_until_encrypted(&mut stream), Ok(true)) {
                        return;
                    }
                    drop(talk(StreamOwned::new(connection, stream), &mails, !is_asked));
                });
            }
        });
        Self { address, mails }
    }

    /// Refuses an address from now on.
    pub(crate) fn refuse(&self, address: &str) {
        locked(&self.mails).refused.push(address.into());
    }

    /// The mails that it took.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        locked(&self.mails).taken.clone()
    }

    /// What clients logged in with.
    pub(crate) fn logins(&self) -> Vec<String> {
        locked(&self.mails).logins.clone()
    }

    /// `[mail]` for this server.
    pub(crate) fn config(&self) -> String {
        format!(
            "[mail]\nfrom = \"Reports <reports@example.com>\"\nhost = \"127.0.0.1\"\nport = {}\nencryption = \"none\"\n\
             timeout = \"5s\"\n",
            self.address.port()
        )
    }
}

/// What is said before encryption; whether the client asked for it.
fn talk_until_encrypted(stream: &mut TcpStream) -> std::io::Result<bool> {
    // nothing is read ahead: what follows is encrypted
    let line = |stream: &mut TcpStream| -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") && stream.read(&mut byte)? == 1 {
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_uppercase())
    };
    stream.write_all(b"220 test\r\n")?;
    loop {
        let line = line(stream)?;
        match line.as_str() {
            "" => return Ok(false),
            "STARTTLS" => return stream.write_all(b"220 go on\r\n").map(|()| true),
            _ if line.starts_with("EHLO") => stream.write_all(b"250-test\r\n250 STARTTLS\r\n")?,
            _ => stream.write_all(b"530 5.7.0 STARTTLS first\r\n")?,
        }
    }
}

fn talk(stream: impl Read + Write, mails: &Mutex<Mails>, greets: bool) -> std::io::Result<()> {
    let fault = locked(mails).faults.pop_front();
    if fault == Some(Fault::Closed) {
        return Ok(());
    }
    let mut reader = BufReader::new(stream);
    macro_rules! say {
        ($text:expr) => {
            reader.get_mut().write_all(format!("{}\r\n", $text).as_bytes()).and_then(|()| reader.get_mut().flush())
        };
    }
    if greets {
        say!("220 test")?;
    }
    let mut to = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let upper = line.to_uppercase();
        if upper.starts_with("EHLO") {
            say!("250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN")?;
        } else if let Some(secret) = line.strip_prefix("AUTH PLAIN ") {
            locked(mails).logins.push(secret.to_string());
            // a server that repeats what it was told must not bring it into a log
            say!("535 5.7.8 hush-hush is no password")?;
        } else if upper.starts_with("MAIL FROM") {
            say!(if fault == Some(Fault::Busy) { "451 try later" } else { "250 ok" })?;
        } else if upper.starts_with("RCPT TO") {
            let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_string();
            if locked(mails).refused.contains(&address) {
                say!("550 no such user")?;
            } else {
                to.push(address);
                say!("250 ok")?;
            }
        } else if upper == "DATA" {
            say!("354 go on")?;
            let mut text = String::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line == ".\r\n" {
                    break;
                }
                text.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
            if fault == Some(Fault::Refused) {
                say!("554 not wanted")?;
                continue;
            }
            locked(mails).taken.push(Taken { to: std::mem::take(&mut to), text });
            if fault == Some(Fault::Silent) {
                return Ok(());
            }
            say!("250 taken")?;
        } else if upper == "QUIT" {
            return say!("221 bye");
        } else {
            say!("250 ok")?;
        }
    }
}

/// A request as the server took it.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A server that takes webhooks.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Http {
    /// A server that gives these answers first, and then 200. With 429 it asks to wait a second.
    pub(crate) fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let posted = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&posted);
        let mut answers: VecDeque<(u16, String)> =
            answers.iter().map(|(code, body)| (*code, (*body).to_string())).collect();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (code, body) = answers.pop_front().unwrap_or((200, "ok".into()));
                // a client that goes away ends its request
                drop(answer(&stream, code, &body, &shared));
            }
        });
        Self { address, posted }
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        locked(&self.posted).clone()
    }
}

fn answer(stream: &TcpStream, code: u16, body: &str, posted: &Mutex<Vec<Posted>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_string();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_string()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut content = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut content)?;
    locked(posted).push(Posted {
        path,
        headers,
        body: String::from_utf8_lossy(&content).into_owned(),
        at: Instant::now(),
    });
    let wait = if code == 429 { "retry-after: 1\r\n" } else { "" };
    let head = format!("HTTP/1.1 {code} x\r\n{wait}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    (&mut &*stream).write_all(head.as_bytes())
}
