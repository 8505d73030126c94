//! The helper on a node: reads the sensor files below `/sys` and replies to requests, one line
//! each.
//!
//! sshd runs it as the forced command of an unprivileged user, for the key of
//! `pulse-sensor-proxy`. A reading needs no root, starts no program and takes little processor
//! time. The helper reports the values of the kernel under the names of lm-sensors and does not
//! judge them: plausibility is the daemon's decision.
//!
//! | module | contents |
//! |---|---|
//! | [`arguments`] | the command, its options and their source |
//! | `confinement` | Landlock and seccomp for the helper |
//! | [`serve()`] | the request loop of the `serve` command |
//! | [`SensorReader`] | repeated readings |
//! | `schedule` | the order of reads, and the devices for which a reading waits |
//! | `pool` | the threads that read |
//! | `device` | the entries of the listings, their scans and reads |
//! | `hwmon`, `thermal`, `disk` | scans of the three kinds of devices |
//! | `bus` | chip names as lm-sensors makes them |
//! | `chip`, `attribute` | values that are read repeatedly |
//! | `leftover` | devices that hold an earlier helper |
//! | `quota` | limits that all devices share |
//! | `assembly` | the document of a reading |
//! | `sysfs` | bounded reads below one root |
//! | [`sensors_json`], [`ipmitool`] | output for callers that do not use the helper's protocol |

pub mod arguments;
mod assembly;
mod attribute;
mod bus;
mod chip;
mod clock;
mod confinement;
mod device;
mod disk;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hwmon;
pub mod ipmitool;
mod leftover;
mod pool;
mod quota;
mod reader;
mod schedule;
pub mod sensors_json;
mod serve;
mod sysfs;
mod thermal;

pub use arguments::USAGE;
pub use error::{EXIT_CODES, HelperError};
pub use reader::{MAX_DOCUMENT_BYTES, SensorReader, to_line};
pub use serve::serve;

use arguments::{Invocation, Request, VERSION_LINE};
use confinement::Confinement;
use pulse_sandbox::{Kernel, Layers};
use pulse_sensors::command::NodeCommand;
use pulse_sensors::document::Document;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Instant, SystemTime};

/// The version, as documents and the greeting have it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the helper with the arguments of this process and returns its exit code.
#[must_use]
pub fn run() -> u8 {
    run_under(&Kernel)
}

/// As [`run`], with replaced layers.
#[must_use]
pub fn run_under(layers: &dyn Layers) -> u8 {
    // sshd sets this variable to the client's command when it runs a forced command (sshd(8)).
    let original = std::env::var_os("SSH_ORIGINAL_COMMAND");
    let invocation = Invocation::parse(std::env::args_os().skip(1), original.as_deref());
    match invocation.and_then(|invocation| perform(&invocation, layers)) {
        Ok(()) => 0,
        // The daemon closes the channel when it needs no more readings.
        Err(error) if error.is_broken_pipe() => 0,
        Err(error) => {
            let cause = error
                .source()
                .map_or_else(String::new, |cause| format!(": {cause}"));
            // If stderr is closed, the exit code still tells the error.
            let _ = writeln!(io::stderr(), "pulse-sensor-node: {error}{cause}");
            error.exit_code()
        }
    }
}

fn perform(invocation: &Invocation, layers: &dyn Layers) -> Result<(), HelperError> {
    let confinement = Confinement::new(invocation.confinement, layers);
    // Only a reading opens the tree; help and version work without it.
    let open = || {
        // Before the confinement, which permits no access to /proc.
        let held = leftover::held_devices(Path::new(leftover::PROC), pulse_sandbox::own_uid());
        confinement.for_readings(&invocation.sys_root)?;
        SensorReader::without(&invocation.sys_root, held)
    };
    let command = match invocation.request {
        Request::Help => return print(USAGE.help().as_bytes()),
        Request::Version => return print(VERSION_LINE.as_bytes()),
        Request::Command(command) => command,
    };
    match command {
        NodeCommand::Read => print(to_line(read(open()?)).as_bytes()),
        NodeCommand::Serve => serve(io::stdin().lock(), io::stdout().lock(), &mut open()?),
        NodeCommand::Version => print(VERSION_LINE.as_bytes()),
        NodeCommand::SensorsJson => print(sensors_json::to_sensors_json(read(open()?)).as_bytes()),
        NodeCommand::IpmitoolSdr(_) | NodeCommand::IpmitoolSensor => {
            // Landlock before the start, because ipmitool inherits it. The filter of system calls
            // after it, because it forbids execve(2).
            confinement.before_ipmitool()?;
            let running = ipmitool::start(&ipmitool::PROGRAMS, command, ipmitool::Limits::DEFAULT)?;
            confinement.after_starting_ipmitool()?;
            print(&running.output()?)
        }
    }
}

fn read(mut reader: SensorReader) -> Document {
    reader.read(SystemTime::now(), Instant::now())
}

fn print(bytes: &[u8]) -> Result<(), HelperError> {
    write_flushed(&mut io::stdout().lock(), bytes)
}

fn write_flushed(output: &mut impl Write, bytes: &[u8]) -> Result<(), HelperError> {
    output
        .write_all(bytes)
        .and_then(|()| output.flush())
        .map_err(HelperError::Channel)
}
