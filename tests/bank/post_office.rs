//! A mail server that the tests start, and what it has got.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::eventually;

const INSTALL_HINT: &str = "the tests need a mail server: `apt-get install python3-aiosmtpd`";
/// Debian's Python has Debian's packages, whatever else is on the PATH.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];
pub const SENDER: &str = "Coffer <bank@example.org>";
/// Where links in mail lead.
pub const PUBLIC_URL: &str = "https://bank.example";

/// A running mail server. Ends when it is dropped.
pub struct PostOffice {
    pub port: u16,
    server: Child,
    got: Arc<Mutex<Vec<Value>>>,
}

impl PostOffice {
    /// In the clear, for everybody.
    pub fn open() -> Self {
        Self::open_with(json!({}))
    }

    /// As `smtp_server.py` takes it.
    pub fn open_with(options: Value) -> Self {
        let has_server = |python: &&str| {
            let looked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            looked.is_ok_and(|status| status.success())
        };
        let python = PYTHONS.into_iter().find(has_server).expect(INSTALL_HINT);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bank/smtp_server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(options.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("a mail server");
        let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines();
        let port = lines.next().expect("a line").expect("text").parse().expect("a port");
        let got = Arc::new(Mutex::new(Vec::new()));
        let told = got.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.lock().expect("no panic").push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { port, server, got }
    }

    /// By which a bank sends mail to it in the clear.
    pub fn flags(&self) -> [String; 6] {
        flags_of(&format!("smtp://127.0.0.1:{}?tls=none", self.port))
    }

    pub fn got(&self) -> Vec<Value> {
        self.got.lock().expect("no panic").clone()
    }

    /// The mails to an address that are about this, oldest first.
    pub fn mails(&self, to: &str, subject: &str) -> Vec<Value> {
        let is_it = |mail: &Value| mail["to"] == json!([to]) && mail["subject"] == subject;
        self.got().into_iter().filter(is_it).collect()
    }

    /// Waits for so many mails to an address about this, and returns the last.
    pub async fn nth(&self, count: usize, to: &str, subject: &str) -> Value {
        eventually(&format!("{count} of {subject:?} to {to}"), async || self.mails(to, subject).len() >= count).await;
        let mails = self.mails(to, subject);
        assert_eq!(mails.len(), count, "{mails:?}");
        mails[count - 1].clone()
    }

    /// Waits for the only mail to an address about this.
    pub async fn only(&self, to: &str, subject: &str) -> Value {
        self.nth(1, to, subject).await
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// By which a bank sends mail to this server.
pub fn flags_of(url: &str) -> [String; 6] {
    ["--smtp-url", url, "--mail-from", SENDER, "--public-url", PUBLIC_URL].map(str::to_owned)
}

/// What the link in a mail has behind its last `/`.
#[track_caller]
pub fn token_in(mail: &Value) -> String {
    let text = mail["text"].as_str().expect("a text");
    let link = text.lines().find(|line| line.starts_with(PUBLIC_URL) && line.contains("/#/")).expect("a link");
    link.rsplit('/').next().expect("a token").to_owned()
}
