//! The helper on a node: reads `/sys`, answers one line per request.
//!
//! It runs as the forced command of an unprivileged user whose key belongs to
//! `pulse-sensor-proxy`. A reading there must cost next to nothing, need no root,
//! start no program, and take no part in deciding what is plausible: it says what
//! the kernel says, under the names that lm-sensors would use, and the daemon
//! judges.
//!
//! | module | is about |
//! |---|---|
//! | [`arguments`] | what is asked, by whom |
//! | [`confinement`] | what the kernel holds the helper to |
//! | [`serve()`] | the long-lived channel |
//! | [`Reader`] | one reading after another |
//! | `layout` | what one look at every device found |
//! | `hwmon`, `thermal`, `disk` | where devices are, and what they say |
//! | `bus` | chip names as lm-sensors makes them |
//! | `chip`, `attribute` | values that are read again and again |
//! | `lane` | reads that may hang |
//! | `sysfs` | bounded reads below one root |
//! | [`sensors_json`], [`ipmitool`] | for callers that know nothing of the helper |

pub mod arguments;
mod attribute;
mod bus;
mod chip;
mod clock;
pub mod confinement;
mod disk;
mod failure;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hwmon;
pub mod ipmitool;
mod lane;
mod layout;
mod reader;
pub mod sensors_json;
mod serve;
mod sysfs;
mod thermal;

pub use failure::{EXIT_CODES, Failure};
pub use reader::{MAX_DOCUMENT_BYTES, Reader, to_line};
pub use serve::serve;

use arguments::{Invocation, Request, VERSION_LINE};
use confinement::Confinement;
use pulse_sandbox::{Kernel, Layers};
use pulse_sensors::command::NodeCommand;
use pulse_sensors::document::Document;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Instant, SystemTime};

/// The helper's version, as its documents and its greeting say it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What sshd puts the caller's command into when it runs a forced one.
const ORIGINAL_COMMAND: &str = "SSH_ORIGINAL_COMMAND";

/// Does what the process was asked to do, and gives its exit code.
#[must_use]
pub fn run() -> u8 {
    run_under(&Kernel)
}

/// The same, under what these layers are.
#[must_use]
pub fn run_under(layers: &dyn Layers) -> u8 {
    let original = std::env::var_os(ORIGINAL_COMMAND);
    let arguments = std::env::args_os().skip(1);
    let invocation = Invocation::parse(arguments, original.as_deref());
    match invocation.and_then(|invocation| perform(&invocation, layers)) {
        Ok(()) => 0,
        Err(failure) if failure.is_hang_up() => 0,
        Err(failure) => {
            // Nobody may be there to read it; the exit code says it too.
            let _ = writeln!(io::stderr(), "pulse-sensor-node: {failure}");
            failure.exit_code()
        }
    }
}

fn perform(invocation: &Invocation, layers: &dyn Layers) -> Result<(), Failure> {
    let confinement = Confinement::new(invocation.confinement, layers);
    match invocation.request {
        Request::Help => print(arguments::help().as_bytes()),
        Request::Version => print(VERSION_LINE.as_bytes()),
        Request::Command(command) => obey(command, &invocation.sys_root, &confinement),
    }
}

fn obey(command: NodeCommand, root: &Path, confinement: &Confinement) -> Result<(), Failure> {
    let open = || {
        confinement.for_readings(root)?;
        Reader::open(root)
    };
    match command {
        NodeCommand::Read => print(to_line(read(open()?)).as_bytes()),
        NodeCommand::Serve => serve(io::stdin().lock(), io::stdout().lock(), &mut open()?),
        NodeCommand::Version => print(VERSION_LINE.as_bytes()),
        NodeCommand::SensorsJson => print(sensors_json::to_sensors_json(&read(open()?)).as_bytes()),
        NodeCommand::IpmitoolSdr(_) | NodeCommand::IpmitoolSensor => {
            print(&ask_bmc(command, confinement)?)
        }
    }
}

fn read(mut reader: Reader) -> Document {
    reader.read(SystemTime::now(), Instant::now())
}

fn ask_bmc(command: NodeCommand, confinement: &Confinement) -> Result<Vec<u8>, Failure> {
    confinement.before_ipmitool()?;
    let running = ipmitool::start(&ipmitool::PLACES, command, ipmitool::Limits::DEFAULT)?;
    confinement.beside_ipmitool()?;
    running.output()
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output.write_all(bytes);
    written
        .and_then(|()| output.flush())
        .map_err(Failure::Channel)
}
