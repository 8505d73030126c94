//! `rpc`: a request as it is, and the response.

use crate::client::DaemonOptions;
use crate::error::{CommandResult, Outcome};
use crate::runtime::block_on;
use crate::ui::escape::escape_json;
use crate::ui::line::Line;
use crate::ui::screen::Screen;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Send a request as it is and show the response
///
/// The methods are get_status, get_temperature, get_temperatures and register_nodes,
/// and for administrators get_forwarding, replay_forwarding and accept_forwarding_loss.
/// The exit code is 1 when the response has "success": false.
///
/// The response is shown over several lines, its members in the order of their names.
/// With --json it is one line, as the daemon sent it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl rpc get_status
  pulse-sensorctl rpc get_temperature '{\"node\": \"pve1\"}'
  pulse-sensorctl rpc get_temperatures '{\"nodes\": [\"pve1\", \"pve2\"]}'
  pulse-sensorctl rpc get_status --json | jq .response.data.capabilities")]
pub(crate) struct Options {
    /// The method
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    method: String,

    /// Its parameters: a JSON object
    #[arg(value_parser = parameters)]
    params: Option<Value>,

    /// Print the response as JSON, below "response"
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    daemon: DaemonOptions,
}

#[derive(Serialize)]
struct Received<'a> {
    response: &'a RawValue,
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout. A response that says that the request failed is a
/// finding.
pub(super) fn run(options: Options) -> CommandResult {
    let client = options.daemon.client();
    // The method is not checked here: a newer daemon may have more.
    let response = block_on(client.ask(&options.method, options.params.unwrap_or(Value::Null)))?;
    let mut screen = Screen::plain();
    if options.json {
        screen.print_json(&Received {
            response: &response.line,
        })?;
    } else {
        screen.print(&pretty(&response.line))?;
    }
    Ok(Outcome::fine_if(response.outcome.is_ok()))
}

/// JSON over several lines. Numbers keep their value, not their digits: 1.50 becomes 1.5.
fn pretty(json: &RawValue) -> Vec<Line> {
    let value: Value = serde_json::from_str(json.get()).unwrap_or_default();
    // Split first: escaping would also escape the newlines of the layout. JSON has none in strings.
    format!("{value:#}")
        .lines()
        .map(|line| Line::plain(escape_json(line)))
        .collect()
}

fn parameters(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("expected a JSON object, such as {\"node\": \"pve1\"}".to_owned()),
        Err(error) => Err(format!("this is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_has_the_same_value() {
        let text = "{\"b\":1.50,\"a\\\\\":[\"\u{9b}2J\\u001b\u{202e}\\n\",[],{\"e\":-1e-9}]}";
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let lines: Vec<String> = pretty(&raw).iter().map(|line| line.render(false)).collect();
        let printed = lines.join("\n");
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&printed), parse(text));
        assert!(!printed.contains(['\u{9b}', '\u{202e}']), "{printed}");
        assert_eq!(lines.last().map(String::as_str), Some("}"));
    }
}
