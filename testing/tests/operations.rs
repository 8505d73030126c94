//! The commands of `docs/operations.md`, run as the page has them: an operator who follows it
//! has a verified record at the collector.
//!
//! Differences from the page: files are below a temporary directory, addresses are loopback
//! addresses, the daemon's user is that of all tests, and nothing is installed. Services that
//! the page restarts are started by the test.

use pulse_e2e::forwarding::is_queue_empty;
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::rsyslog::Rsyslog;
use pulse_e2e::{Config, Daemon, Home, service, unused_address, wait};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const PAGE: &str = include_str!("../../docs/operations.md");
const NEEDS: [Need; 2] = [Need::Root, Need::Collector];
/// The address on the page.
const ADDRESS: &str = "192.0.2.7";

/// The indented blocks below a heading; continued lines are joined.
fn blocks(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).expect(heading);
    let section = section.split("\n#").next().unwrap();
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut is_inside = false;
    for line in section.replace("\\\n", "").lines() {
        match line.strip_prefix("    ") {
            Some(code) if is_inside => blocks.last_mut().unwrap().push(code.to_owned()),
            Some(code) => blocks.push(vec![code.to_owned()]),
            None => (),
        }
        is_inside = line.starts_with("    ");
    }
    blocks
}

/// Splits a line into words: variables and double quotes, the part of shell syntax that the
/// page uses.
fn words(line: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut line = line.to_owned();
    for (name, value) in variables {
        line = line.replace(&format!("${name}"), value);
    }
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// An operator who follows the page.
struct Operator {
    home: Arc<Home>,
    listen: SocketAddr,
    /// A copy of `pulse-sensorctl` that every user may start.
    control: PathBuf,
    directory: PathBuf,
    /// The machine of the present section, which has its own directory of files.
    machine: &'static str,
    collector: Option<Rsyslog>,
    daemon: Option<Daemon>,
    /// The arguments of `systemctl`, in order.
    asked: Vec<String>,
}

impl Operator {
    fn new() -> Self {
        let home = Arc::new(Home::new());
        let control = home.path("pulse-sensorctl");
        programs::copy(&programs::control(), &control);
        let directory = home.path("authority");
        fs::create_dir(&directory).unwrap();
        fs::create_dir_all(home.path("collector/etc/rsyslog.d")).unwrap();
        Self {
            listen: SocketAddr::new(unused_address().ip(), 6514),
            control,
            directory,
            machine: "collector",
            home,
            collector: None,
            daemon: None,
            asked: Vec::new(),
        }
    }

    /// A word of the page, with the test's paths, address and user.
    fn here(&self, word: &str) -> String {
        let word = word.replace(ADDRESS, &self.listen.ip().to_string());
        for top in ["/etc/", "/var/"] {
            if let Some(at) = word.find(top) {
                return format!("{}{}{}", &word[..at], self.root(), &word[at..]);
            }
        }
        match word.as_str() {
            "pulse-sensorctl" => self.control.display().to_string(),
            "pulse-sensor-proxy" => "nobody".to_owned(),
            _ => word,
        }
    }

    /// A program's output, with the test's paths.
    fn relocated(&self, text: &str) -> String {
        let root = self.root();
        text.replace("\"/etc/", &format!("\"{root}/etc/"))
            .replace("\"/var/", &format!("\"{root}/var/"))
    }

    fn root(&self) -> String {
        self.home.path(self.machine).display().to_string()
    }

    /// A file of the machine.
    fn file(&self, name: &str) -> PathBuf {
        self.home.path(self.machine).join(name)
    }

    /// Runs the commands of a block.
    fn follow(&mut self, block: &[String]) -> Vec<Output> {
        let mut variables = BTreeMap::new();
        self.follow_with(block, &mut variables)
    }

    fn follow_with(
        &mut self,
        block: &[String],
        variables: &mut BTreeMap<String, String>,
    ) -> Vec<Output> {
        let mut lines = block.iter();
        let mut outputs = Vec::new();
        while let Some(line) = lines.next() {
            if let Some((name, value)) = line.split_once('=')
                && name.chars().all(|c| c.is_ascii_uppercase())
            {
                // A given value takes precedence: the block is run for several names.
                variables.entry(name.to_owned()).or_insert(value.to_owned());
                continue;
            }
            let mut words = words(line, variables);
            let target = words.iter().position(|word| word.starts_with('>'));
            let target = target.map(|at| words.remove(at));
            let target = target.map(|word| PathBuf::from(self.here(&word[1..])));
            if words.last().is_some_and(|word| word == "<<END") {
                let text = lines.by_ref().take_while(|line| *line != "END");
                let text: String = text.map(|line| self.here(line) + "\n").collect();
                fs::write(target.unwrap(), text).unwrap();
                continue;
            }
            if let Some(output) = self.run(&words) {
                assert!(output.status.success(), "{line}: {output:?}");
                if let Some(target) = target {
                    fs::write(target, self.relocated(&text(&output))).unwrap();
                }
                outputs.push(output);
            }
        }
        outputs
    }

    fn run(&mut self, words: &[String]) -> Option<Output> {
        match words[0].as_str() {
            "umask" | "apt-get" => return None,
            "systemctl" => {
                self.systemd(&words[1..]);
                return None;
            }
            "rsyslogd" => {
                assert_eq!(
                    Rsyslog::check(&self.collectors_file()),
                    (String::new(), false)
                );
                return None;
            }
            _ => (),
        }
        let words: Vec<String> = words.iter().map(|word| self.here(word)).collect();
        // The word after `-g` is a group.
        let words = words.iter().enumerate().map(|(at, word)| {
            let is_group = at > 0 && words[at - 1] == "-g";
            if is_group {
                service::user().gid.to_string()
            } else {
                word.clone()
            }
        });
        let words: Vec<String> = words.collect();
        let program = programs::find(&words[0]).unwrap_or_else(|| PathBuf::from(&words[0]));
        let mut command = Command::new(program);
        command
            .args(&words[1..])
            .current_dir(&self.directory)
            .env("PULSE_SENSOR_PROXY_SOCKET", self.home.socket())
            .env(
                "PULSE_SENSOR_PROXY_CONTROL_SOCKET",
                self.home.control_socket(),
            )
            .env("PULSE_SENSOR_PROXY_CONFIG", self.home.config_file());
        Some(command.output().unwrap())
    }

    fn systemd(&mut self, words: &[String]) {
        self.asked.push(words.join(" "));
        match words.last().map(String::as_str) {
            Some("rsyslog") => {
                self.collector = Some(Rsyslog::with_configuration(
                    &self.collectors_file(),
                    Some(self.listen),
                ));
            }
            Some("pulse-sensor-proxy") => {
                let daemon = Daemon::start_with(&self.home, &[]);
                wait::until("the queue to become empty", || is_queue_empty(&daemon));
                self.daemon = Some(daemon);
            }
            _ => (),
        }
    }

    fn collectors_file(&self) -> String {
        fs::read_to_string(self.file("etc/rsyslog.d/pulse-collector.conf")).unwrap()
    }

    fn credentials(&self) -> PathBuf {
        self.file("etc/pulse/log-forwarding")
    }
}

fn mode(path: &Path) -> (u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.permissions().mode() & 0o777, metadata.gid())
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn page_leads_to_a_verified_record() {
    if skipped(&NEEDS) {
        return;
    }
    let mut operator = Operator::new();
    certificates(&mut operator);
    the_collector(&mut operator);
    the_host(&mut operator);
    check_it(&mut operator);
    assert_eq!(
        operator.asked,
        [
            "restart rsyslog",
            "daemon-reload",
            "restart pulse-sensor-proxy"
        ]
    );
}

fn certificates(operator: &mut Operator) {
    let [authority, machine] = &blocks("### Certificates")[..] else {
        panic!("there are two blocks");
    };
    operator.follow(authority);
    for name in ["logs.example.org", "pve1.example.org"] {
        let mut variables = BTreeMap::from([("NAME".to_owned(), name.to_owned())]);
        let outputs = operator.follow_with(machine, &mut variables);
        assert!(
            text(outputs.last().unwrap()).ends_with(": OK\n"),
            "{outputs:?}"
        );
    }
}

fn the_collector(operator: &mut Operator) {
    let blocks = blocks("### The collector");
    operator.directory = operator.home.path("authority/logs.example.org");
    operator.follow(&blocks[0]);
    assert_eq!(mode(&operator.credentials()).0, 0o700);
}

fn the_host(operator: &mut Operator) {
    let [files, configuration, begin] = &blocks("### The host")[..] else {
        panic!("there are three blocks");
    };
    operator.directory = operator.home.path("authority/pve1.example.org");
    operator.machine = "host";
    operator.follow(files);
    let group = service::user().gid;
    assert_eq!(mode(&operator.credentials()), (0o750, group));
    assert_eq!(
        mode(&operator.credentials().join("key.pem")),
        (0o640, group)
    );
    operator.home.write_config(&Config::new());
    let file = operator.home.config_file();
    let before = fs::read_to_string(&file).unwrap();
    // The harness's configuration ends with the section [forward], which the page starts.
    let added = configuration[1..]
        .join("\n")
        .replace(ADDRESS, &operator.listen.ip().to_string());
    assert_eq!(configuration[0], "[forward]");
    let credentials = format!("credentials = {:?}\n", operator.home.credentials());
    let own = format!("credentials = {:?}\n", operator.credentials());
    fs::write(
        &file,
        format!("{}{added}\n", before.replace(&credentials, &own)),
    )
    .unwrap();
    let outputs = operator.follow(begin);
    let printed: Vec<String> = outputs.iter().map(text).collect();
    let printed = printed.join("\n");
    for part in ["the collector speaks RELP", "logs.example.org:6514  up"] {
        assert!(printed.contains(part), "{part} is not in:\n{printed}");
    }
    let dropped_in = "etc/systemd/system/pulse-sensor-proxy.service.d/collector.conf";
    let dropped_in = fs::read_to_string(operator.file(dropped_in)).unwrap();
    let expected = format!("[Service]\nIPAddressAllow={}\n", operator.listen.ip());
    assert_eq!(dropped_in, expected);
}

fn check_it(operator: &mut Operator) {
    operator.machine = "collector";
    let first = &operator.home.records()[0];
    let key = first["audit_key"].as_str().map(str::to_owned);
    let log = operator.daemon.as_ref().unwrap().log();
    let printed = log
        .split("verification key where this host cannot change it: ")
        .nth(1);
    let printed = printed
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::to_owned);
    let key = key.or(printed).unwrap();
    // Stopping the daemon seals the log, which proves every record.
    operator.daemon.take().unwrap().stop();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let block: Vec<String> = blocks("### Check it").concat();
    let block: Vec<String> = block
        .iter()
        .map(|line| {
            line.replace("KEY", &key)
                .replace("pve1.audit", &format!("{}.audit", host.trim()))
        })
        .collect();
    let outputs = operator.follow(&block);
    assert!(text(&outputs[0]).starts_with("intact"), "{outputs:?}");
}

#[test]
fn commands_on_the_page_exist() {
    for line in PAGE
        .lines()
        .filter(|line| line.contains("pulse-sensorctl forward"))
    {
        let (_, command) = line
            .split_once("pulse-sensorctl forward ")
            .unwrap_or(("", "status"));
        let word: String = command
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect();
        let known = ["status", "test", "replay", "render", "accept-loss"];
        assert!(known.contains(&word.as_str()), "{line}");
    }
}
