//! Simulated nodes in a separate process, so that benchmarks can measure the daemon's CPU time
//! and memory without theirs.

mod options;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pulse_simnode::{Behaviour, Counters, PublicKey, SimConfig, SimNode};
use tokio::sync::oneshot;

use crate::options::{Options, USAGE};

/// Descriptors besides those of connections and listeners.
const SPARE_DESCRIPTORS: usize = 64;

/// Exit status 0 when standard input closed, 1 when serving failed, 2 for a
/// wrong command line.
fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(mistake) => return complain(&format!("{mistake}\n\n{USAGE}"), 2),
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string(), 1),
    }
}

fn complain(text: &str, status: u8) -> ExitCode {
    eprintln!("pulse-simnode: {text}");
    ExitCode::from(status)
}

fn run(options: &Options) -> io::Result<()> {
    let document = std::fs::read_to_string(&options.document)?;
    let document = document.trim_end();
    // A newline ends a response of `serve`.
    if document.is_empty() || document.contains('\n') {
        return Err(io::Error::other("the document must be exactly one line"));
    }
    let key = options
        .authorized_key
        .as_ref()
        .map(PublicKey::read_openssh_file);
    let config = SimConfig {
        authorized_key: key.transpose().map_err(io::Error::other)?,
        ..SimConfig::new(Behaviour::Synthetic {
            document: document.into(),
        })
    };
    let needed = options.nodes + options.listeners + SPARE_DESCRIPTORS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    // Reported now: later, accepting a connection would fail.
    if hard < needed as u64 {
        return Err(io::Error::other(format!(
            "needs {needed} open files, the hard limit is {hard}"
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options, &config))
}

async fn serve(options: &Options, config: &SimConfig) -> io::Result<()> {
    let mut nodes = Vec::with_capacity(options.listeners);
    for _ in 0..options.listeners {
        nodes.push(SimNode::start(config.clone()).await?);
    }
    // Numbers, an address and base64 need no escaping.
    let listeners: Vec<String> = nodes
        .iter()
        .zip(options.shares())
        .map(|(node, share)| {
            format!(
                "{{\"port\":{},\"nodes\":{share},\"host_key\":\"{}\"}}",
                node.addr().port(),
                node.host_key_line("127.0.0.1")
            )
        })
        .collect();
    let (total, listeners) = (options.nodes, listeners.join(","));
    announce(&format!(
        "{{\"nodes\":{total},\"listeners\":[{listeners}]}}"
    ))?;
    // Until standard input closes. A thread reads it, so that the blocking read does not delay
    // the runtime's end.
    let (closed, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _closed = closed;
        let mut ignored = [0_u8; 256];
        while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
    });
    // The thread drops its half and never sends.
    let _ = wait.await;
    let sum = |count: fn(&Counters) -> u64| -> u64 {
        nodes.iter().map(|node| count(&node.counters())).sum()
    };
    announce(&format!(
        "{{\"connections\":{},\"auth_refusals\":{},\"execs\":{},\"readings\":{}}}",
        sum(|counters| counters.connections),
        sum(|counters| counters.auth_refusals),
        sum(|counters| counters.execs),
        sum(|counters| counters.readings),
    ))
}

fn announce(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
