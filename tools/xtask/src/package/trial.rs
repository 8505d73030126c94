//! The programs of a package, run once: under qemu-user, where they are those of another
//! architecture.
//!
//! qemu-user has neither Landlock nor seccomp, so this proves nothing of the confinement: the programs
//! report that it is missing.

use crate::process::{self, Failure, Outcome};
use crate::products::PRODUCTS;
use crate::workspace::{root, target_dir};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has each program print its version, the tool check the packaged configuration, and the helper read
/// a sensor.
pub(super) fn run(emulator: Option<&str>, programs: &Path) -> Outcome {
    let output = |program: &str, arguments: &[&Path]| {
        let program = programs.join(program);
        let mut command = match emulator {
            Some(emulator) => Command::new(emulator),
            None => Command::new(&program),
        };
        if emulator.is_some() {
            command.arg(program);
        }
        process::capture(command.args(arguments))
    };
    for program in PRODUCTS {
        let version = format!("{program} {}\n", env!("CARGO_PKG_VERSION"));
        expect(&output(program, &[Path::new("--version")])?, &version)?;
    }
    let config = root().join("packaging/config.toml");
    let check = ["config", "check"].map(Path::new);
    expect(
        &output("pulse-sensorctl", &[check[0], check[1], &config])?,
        "no mistakes",
    )?;
    let sensors = sensors().map_err(|error| Failure::new(format!("sensor files: {error}")))?;
    let read = ["--sys-root", "read"].map(Path::new);
    let document = output("pulse-sensor-node", &[read[0], &sensors, read[1]])?;
    expect(&document, "\"temp1_input\":42.0")
}

fn expect(output: &str, part: &str) -> Outcome {
    if output.contains(part) {
        return Ok(());
    }
    Err(Failure::new(format!("no {part:?} in: {output}")))
}

/// A directory like `/sys` with one sensor, at 42 °C.
fn sensors() -> io::Result<PathBuf> {
    let sensors = target_dir().join("package/sensors");
    if sensors.exists() {
        fs::remove_dir_all(&sensors)?;
    }
    let chip = sensors.join("devices/platform/coretemp.0/hwmon/hwmon0");
    let listing = sensors.join("class/hwmon");
    for directory in [
        &chip,
        &listing,
        &sensors.join("class/thermal"),
        &sensors.join("block"),
    ] {
        fs::create_dir_all(directory)?;
    }
    fs::write(chip.join("name"), "coretemp\n")?;
    fs::write(chip.join("temp1_input"), "42000\n")?;
    symlink(
        "../../devices/platform/coretemp.0/hwmon/hwmon0",
        listing.join("hwmon0"),
    )?;
    Ok(sensors)
}
