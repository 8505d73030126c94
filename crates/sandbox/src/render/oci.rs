//! The seccomp profile for container runtimes: `linux.seccomp` of the OCI runtime
//! specification, which `--security-opt seccomp=` takes too.
//!
//! It is in force from the start, so it also permits the calls before the daemon serves. A call
//! that it does not list fails with `EPERM`.

use crate::tables::{Action, Argument, SYSCALLS, Syscall, Test, outer, startup};
use serde::Serialize;

const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: [&'static str; 1],
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Comparison>,
    comment: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    index: u8,
    value: u32,
    value_two: u32,
    op: &'static str,
}

/// The daemon's profile, one rule a line.
pub(crate) fn daemon() -> String {
    let lines: Vec<String> = SYSCALLS
        .iter()
        .chain(startup::SYSCALLS)
        .chain(outer::RUNTIME_SYSCALLS)
        .flat_map(rules)
        .filter_map(|rule| serde_json::to_string(&rule).ok())
        .map(|rule| format!("    {rule}"))
        .collect();
    format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_AARCH64\"],\n  \
         \"syscalls\": [\n{}\n  ]\n}}\n",
        lines.join(",\n")
    )
}

/// One rule for each line of arguments: the runtime permits a call that passes one of them.
fn rules(call: &'static Syscall) -> Vec<Rule> {
    let rule = |args| Rule {
        names: [call.name()],
        action: "SCMP_ACT_ALLOW",
        errno_ret: None,
        args,
        comment: call.reason,
    };
    if call.action == Action::Enosys {
        return vec![Rule {
            action: "SCMP_ACT_ERRNO",
            errno_ret: Some(ENOSYS),
            ..rule(Vec::new())
        }];
    }
    match call.arguments {
        [] => vec![rule(Vec::new())],
        lines => lines
            .iter()
            .map(|line| rule(line.iter().filter_map(comparison).collect()))
            .collect(),
    }
}

/// `None` for the daemon's own process ID, which is not known before the container starts.
fn comparison(argument: &Argument) -> Option<Comparison> {
    let (value, value_two) = match argument.test {
        Test::OwnPid => return None,
        // Only `OwnPid` uses the process ID.
        test => test.mask_and_value(0),
    };
    Some(Comparison {
        index: argument.index,
        value,
        value_two,
        op: "SCMP_CMP_MASKED_EQ",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn profile_refuses_unlisted_calls() {
        let profile: Value = serde_json::from_str(&daemon()).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().unwrap();
        let of = |name: &str| {
            let named = rules.iter().filter(move |rule| rule["names"][0] == name);
            named.cloned().collect::<Vec<_>>()
        };
        for never in [
            "fork", "vfork", "execveat", "ptrace", "mount", "bpf", "setuid",
        ] {
            assert!(of(never).is_empty(), "{never}");
        }
        let clone = &of("clone")[0];
        // CLONE_THREAD: without it clone(2) creates a process.
        assert_eq!(clone["args"][0]["value"], 0x10000);
        assert_eq!(clone["args"][0]["valueTwo"], 0x10000);
        assert_eq!(of("clone3")[0]["errnoRet"], 38);
        assert!(
            of("socket")
                .iter()
                .all(|rule| !rule["args"].as_array().unwrap().is_empty())
        );
    }
}
