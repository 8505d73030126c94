//! `audit init`: creates a log and prints its verification key, for the operator to keep.

use super::owner::{Owner, make_directory, with_rights_of};
use super::place::WritableLogOptions;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::ui::line::Line;
use crate::ui::qr;
use crate::ui::screen::{ColorOption, Screen};
use clap::{Args, ValueHint};
use pulse_audit::{InitError, LIVE};
use serde_json::json;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

const LOG_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// Create a log before the daemon does, and print its verification key
///
/// The daemon creates a log by itself when there is none; then its key is in the
/// first record. A log created here shows its key to you before anything could
/// have changed it.
///
/// Missing directories are created: the log's with mode 0750, the private one with
/// 0700. As root, all files belong to the owner of the nearest directory that
/// exists, so that the daemon's user can use them; --owner names another user.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit init
  pulse-sensorctl audit init --owner pulse-sensor-proxy
  pulse-sensorctl audit init --json | jq -r .key")]
pub(crate) struct Options {
    #[command(flatten)]
    place: WritableLogOptions,

    /// The user that the log is for; only root can name one
    #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
    owner: Option<String>,

    /// Print the key and the log's paths as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Why no log can be created.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Another user cannot give files away.
    #[error("only root can name another owner")]
    NotRoot,
    /// There is no such user.
    #[error("there is no user \"{0}\" here")]
    NoUser(String),
    /// The log cannot be created.
    #[error("cannot create an audit log")]
    Log(#[from] InitError),
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotRoot => ErrorCode::PermissionDenied,
            Self::NoUser(_) => ErrorCode::Usage,
            Self::Log(_) => ErrorCode::CannotCreate,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoUser(_) => Some("create it first, or name another with --owner".into()),
            Self::NotRoot | Self::Log(_) => None,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When no log can be created there, or stdout not written.
pub(super) fn run(options: Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let place = options.place.find()?;
    let (log, state) = (&place.directory, &place.state);
    let owner = owner(options.owner.as_deref(), log)?;
    // The log's directory first: the private one may be inside it, and gets its own mode.
    make_directory(log, LOG_MODE, owner)?;
    make_directory(state, STATE_MODE, owner)?;
    let key = with_rights_of(owner, || pulse_audit::init(log, state, place.settings))
        .map_err(InitError::Directory)
        .flatten()
        .map_err(Error::Log)?;
    if options.json {
        screen.print_json(&json!({
            "key": key.to_string(),
            "log": log.join(LIVE).display().to_string(),
            "state_dir": state.display().to_string(),
            "owner": owner.map(|owner| json!({"uid": owner.uid, "gid": owner.gid})),
        }))?;
        return Ok(Outcome::Fine);
    }
    // stdout has the key and nothing else; on a terminal its QR code too.
    let key = key.to_string();
    screen.print_text(&key)?;
    if screen.is_terminal() {
        let gap = [Line::default()];
        screen.print(&[&gap[..], &qr::code(&key), &gap].concat())?;
    }
    let ownership = if owner.is_none() && Owner::can_be_chosen() {
        "\nIts files belong to root. For a daemon that runs as another user, create the log\n\
         with --owner USER.\n"
    } else {
        ""
    };
    // The key is the result; without an stderr it is still complete.
    let _ = write!(
        io::stderr(),
        "
This is the verification key of {}.
It is not secret, but keep it elsewhere: in a password manager, on paper, at the
collector. Here, an attacker could replace it along with the log. To verify the
log with it:

    pulse-sensorctl audit verify --key {key}
{ownership}",
        log.join(LIVE).display()
    );
    Ok(Outcome::Fine)
}

/// The user that the log is for; none for this process's own.
fn owner(named: Option<&str>, log: &Path) -> Result<Option<Owner>, Error> {
    match (named, Owner::can_be_chosen()) {
        (Some(_), false) => Err(Error::NotRoot),
        (Some(name), true) => match Owner::named(name) {
            None => Err(Error::NoUser(name.to_owned())),
            owner => Ok(owner),
        },
        // Root's own directory says nothing of the daemon's user: the advice names --owner.
        (None, true) => Ok(Owner::of_nearest(log).filter(|owner| owner.uid != 0)),
        (None, false) => Ok(None),
    }
}
