//! `forward status`: how it fares.

use super::answer::Answer;
use super::overview::{is_wrong, overview};
use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use crate::shown::shown_json;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no answer to show.
pub(super) async fn run(
    client: &Client,
    mut screen: Screen,
    json: bool,
) -> Result<Ending, Failure> {
    let answer = Answer::of(client).await?;
    let now = super::validity::now();
    if json {
        screen.print_text(&shown_json(answer.data.get()))?;
    } else {
        screen.print(&overview(&answer.status, now, screen.columns()))?;
    }
    Ok(if is_wrong(&answer.status, now) {
        Ending::ShownFailure
    } else {
        Ending::Done
    })
}
