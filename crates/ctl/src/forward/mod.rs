//! `forward`: bringing the audit log to a collector.
//!
//! The daemon does it, or rsyslog. Of the daemon it is asked how it fares and to send
//! again; the way itself can be tried without it.
//!
//! | module | is about |
//! |---|---|
//! | `arguments` | what is asked, and its help |
//! | `answer` | what the daemon says of it |
//! | `status`, `overview` | how it fares, and showing that |
//! | `attempt`, `steps` | the way to each collector, step by step |
//! | `replay` | sending again |
//! | `validity` | how long certificates are still good |
//! | `render` | the configuration for rsyslog |

mod answer;
mod arguments;
mod attempt;
mod overview;
mod render;
mod replay;
mod status;
mod steps;
mod validity;

pub(crate) use arguments::ForwardCommand;

use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;

/// Carries one of the commands out.
///
/// # Errors
/// [`Failure`] when it cannot do what it is for.
pub(crate) async fn run(
    client: &Client,
    screen: Screen,
    command: ForwardCommand,
) -> Result<Ending, Failure> {
    match command {
        ForwardCommand::Status { json } => status::run(client, screen, json).await,
        ForwardCommand::Test(options) => attempt::run(screen, &options).await,
        ForwardCommand::Replay(options) => replay::run(client, screen, &options).await,
        ForwardCommand::Render(command) => render::run(screen, command),
    }
}
