//! `rpc`: a request as it is, and the response, made readable.

use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::pretty::pretty;
use crate::screen::Screen;
use serde_json::Value;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no response to show.
pub(crate) async fn run(
    client: &Client,
    mut screen: Screen,
    method: &str,
    params: Option<Value>,
) -> Result<Ending, Failure> {
    let params = params.unwrap_or(Value::Null);
    let response = client.ask(method, params).await?;
    screen.print_text(&pretty(&response.line))?;
    Ok(match response.outcome {
        Ok(_) => Ending::Done,
        Err(_) => Ending::ShownFailure,
    })
}
