//! `audit init`: a log is begun, and its key shown to whoever will keep it.

use super::arguments::InitOptions;
use super::owner::{Owner, make_directory, with_rights_of};
use super::place::Place;
use super::qr;
use super::{AuditError, print_json};
use crate::failure::{Ending, Failure};
use crate::line::Line;
use crate::screen::Screen;
use pulse_audit::{InitError, LIVE, PublicKey};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

const LOG_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when no log can be begun there.
pub(crate) fn run(mut screen: Screen, options: &InitOptions) -> Result<Ending, Failure> {
    let place = Place::find(&options.place)?;
    let (log, state) = place.both()?;
    let owner = owner(options, log)?;
    make_directory(log, LOG_MODE, owner)?;
    make_directory(state, STATE_MODE, owner)?;
    let begin = || pulse_audit::init(log, state, place.settings());
    let key = with_rights_of(owner, begin)
        .map_err(InitError::Directory)
        .and_then(|begun| begun)
        .map_err(AuditError::Init)?;
    if options.json {
        print_json(&mut screen, &as_json(&key, log, state, owner))?;
    } else {
        show(&mut screen, &key, log, owner)?;
    }
    Ok(Ending::Done)
}

/// Whom the log is for; nobody in particular when that is whoever runs this.
fn owner(options: &InitOptions, log: &Path) -> Result<Option<Owner>, Failure> {
    match (&options.owner, Owner::can_be_chosen()) {
        (Some(_), false) => Err(Failure::Usage("only root can name another owner")),
        (Some(name), true) => Ok(Some(Owner::named(name)?)),
        (None, true) => Ok(Owner::of_nearest(log).filter(|owner| owner.uid != 0)),
        (None, false) => Ok(None),
    }
}

fn as_json(key: &PublicKey, log: &Path, state: &Path, owner: Option<Owner>) -> Value {
    json!({
        "key": key.to_string(),
        "log": log.join(LIVE).display().to_string(),
        "state_dir": state.display().to_string(),
        "owner": owner.map(|owner| json!({"uid": owner.uid, "gid": owner.gid})),
    })
}

/// The key, and nothing else, is the result; the rest is courtesy.
fn show(screen: &mut Screen, key: &PublicKey, log: &Path, owner: Option<Owner>) -> io::Result<()> {
    let key = key.to_string();
    screen.print_text(&key)?;
    if screen.is_terminal() {
        let gap = [Line::default()];
        screen.print(&[&gap[..], &qr::code(&key), &gap].concat())?;
    }
    let _ = io::stderr().write_all(advice(&key, log, owner).as_bytes());
    Ok(())
}

fn advice(key: &str, log: &Path, owner: Option<Owner>) -> String {
    let log = log.join(LIVE);
    let whose = match owner {
        None if Owner::can_be_chosen() => {
            "\nIts files are root's. A daemon that runs as another user cannot write them:\n\
             begin the log with --owner USER then.\n"
        }
        _ => "",
    };
    format!(
        "
This is the verification key of {}.
It is not secret, but it must not get lost or be exchanged: without it, whoever
controls this host can write a whole new log. Keep it elsewhere: print it, put it
into a password manager, give it to the collector. To check the log with it:

    pulse-sensorctl audit verify --key {key}
{whose}",
        log.display()
    )
}
