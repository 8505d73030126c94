//! `confine-probe`: attempts at what the confinement has to stop, with their outcomes.

use crate::startup::confinement::daemon_paths;
use crate::startup::settings;
use crate::startup::{Failure, find_user};
use pulse_sandbox::probe::{self, Findings, Outcome, ProbeLayers};
use pulse_sandbox::{Kernel, LayerStatus};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Confines this process as the configuration says, or by fewer layers, and makes all
/// attempts; gives the text to print.
///
/// # Errors
/// [`Failure::LetThrough`], with the text, when an attempt succeeded or could not be made;
/// else what could not be read or opened.
pub(crate) fn run(
    named: Option<PathBuf>,
    layers: ProbeLayers,
    json: bool,
) -> Result<String, Failure> {
    let path = settings::config_path(named);
    let config = settings::load(&path)?.config;
    if !config.ssh_dir.exists() {
        // ENOENT would count as an attempt that was let through.
        return Err(Failure::NotStartedYet(config.ssh_dir));
    }
    let user = find_user(&pulse_trust::service_user())?;
    let daemon_paths = daemon_paths(&path, &config);
    let findings = probe::run(&Kernel, layers, &user, &daemon_paths).map_err(Failure::Probe)?;
    let text = if json {
        format!("{}\n", as_json(&findings))
    } else {
        as_table(&findings)
    };
    if is_tight(&findings) {
        Ok(text)
    } else {
        Err(Failure::LetThrough(text))
    }
}

/// True if every attempt was made and stopped.
fn is_tight(findings: &Findings) -> bool {
    findings
        .attempts
        .iter()
        .all(|tried| matches!(tried.outcome, Outcome::Stopped { .. }))
}

/// An outcome's result, and the layer that stopped the attempt.
fn words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Stopped { error, by } => (error, by.as_str()),
        Outcome::LetThrough(result) => (result, "NOTHING: LET THROUGH"),
        Outcome::NotTried => (
            "not tried",
            "without a layer that stops it, it could do harm",
        ),
    }
}

fn hold_words(hold: &LayerStatus) -> (&'static str, &str) {
    match hold {
        LayerStatus::Full(detail) => ("whole", detail),
        LayerStatus::Partial(detail) => ("partly", detail),
        LayerStatus::Missing(detail) => ("missing", detail),
    }
}

fn as_table(findings: &Findings) -> String {
    let mut text = format!("outside: {}\n", findings.outside);
    for (layer, hold) in &findings.layers {
        let (state, detail) = hold_words(hold);
        text.push_str(&format!("{layer}: {state}, {detail}\n"));
    }
    text.push_str(&format!("\n{:<44}{:<16}stopped by\n", "attempt", "outcome"));
    for tried in &findings.attempts {
        let (outcome, by) = words(tried.outcome);
        text.push_str(&format!("{:<44}{outcome:<16}{by}\n", tried.attempt));
    }
    let count = |matching: fn(&Outcome) -> bool| {
        findings
            .attempts
            .iter()
            .filter(|tried| matching(&tried.outcome))
            .count()
    };
    text + &format!(
        "\n{} stopped, {} let through, {} not tried\n",
        count(|outcome| matches!(outcome, Outcome::Stopped { .. })),
        count(|outcome| matches!(outcome, Outcome::LetThrough(_))),
        count(|outcome| matches!(outcome, Outcome::NotTried))
    )
}

fn as_json(findings: &Findings) -> Value {
    let layers = findings.layers.iter().map(|(layer, hold)| {
        let (state, detail) = hold_words(hold);
        json!({"layer": layer.to_string(), "state": state, "detail": detail})
    });
    let attempts = findings.attempts.iter().map(|tried| {
        let (outcome, by) = words(tried.outcome);
        let stopped = matches!(tried.outcome, Outcome::Stopped { .. });
        let by = stopped.then_some(by);
        json!({"attempt": tried.attempt, "outcome": outcome, "stopped": stopped, "by": by})
    });
    json!({
        "outside": findings.outside.to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "attempts": attempts.collect::<Vec<_>>(),
        "tight": is_tight(findings),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_sandbox::probe::AttemptResult;
    use pulse_sandbox::probe::StoppedBy;
    use pulse_sandbox::{Layer, OuterConfinement};

    fn findings(outcome: Outcome) -> Findings {
        let attempt = "reboot";
        Findings {
            outside: OuterConfinement::default(),
            layers: vec![(Layer::Seccomp, LayerStatus::Missing("none".into()))],
            attempts: vec![AttemptResult { attempt, outcome }],
        }
    }

    #[test]
    fn successful_attempt_is_a_failure() {
        let error = "EPERM";
        let by = StoppedBy::Seccomp;
        assert!(is_tight(&findings(Outcome::Stopped { error, by })));
        for (outcome, word) in [
            (Outcome::LetThrough("EINVAL"), "LET THROUGH"),
            (Outcome::NotTried, "not tried"),
        ] {
            let findings = findings(outcome);
            assert!(!is_tight(&findings));
            let table = as_table(&findings);
            assert!(
                table.contains(word) && table.contains("seccomp: missing, none"),
                "{table}"
            );
            let json = as_json(&findings);
            assert_eq!(
                (&json["tight"], &json["attempts"][0]["stopped"]),
                (&json!(false), &json!(false))
            );
            assert_eq!(json["attempts"][0]["by"], Value::Null);
        }
    }
}
