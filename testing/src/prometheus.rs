//! A real Prometheus that scrapes a daemon, with the rules of a test.

use crate::home::Home;
use crate::observe::http;
use crate::programs::find;
use crate::{unused_address, wait};
use serde_json::Value;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it: it scrapes the daemon of `home` every 2 s, and evaluates `rules`, the text of a
    /// file of rules, each second.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(home: &Home, rules: &str) -> Self {
        let rule_file = home.path("rules.yml");
        fs::write(&rule_file, rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             - job_name: pulse-sensor-proxy\n  static_configs: [{{targets: ['{}']}}]\n",
            rule_file.display(),
            home.metrics_address()
        );
        let config_file = home.path("prometheus.yml");
        fs::write(&config_file, config).unwrap();
        let address = unused_address();
        let process = Command::new(find("prometheus").unwrap())
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                home.path("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { process, address };
        wait::until("Prometheus", || TcpStream::connect(address).is_ok());
        prometheus
    }

    /// The first value of a query, if it has one.
    #[must_use]
    pub fn value(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        let value = answer["data"]["result"].get(0)?["value"][1].as_str()?;
        value.parse().ok()
    }

    /// The alerts that are pending or firing, as its interface has them. `None` while it starts.
    #[must_use]
    pub fn alerts(&self) -> Option<Vec<Value>> {
        let answer = self.get("/api/v1/alerts")?;
        Some(answer["data"]["alerts"].as_array()?.clone())
    }

    fn get(&self, path: &str) -> Option<Value> {
        let head = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
        serde_json::from_str(&http(self.address, &head).body).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
