//! The filter of system calls that container runtimes put on: the `linux.seccomp` of
//! the OCI runtime specification, as `--security-opt seccomp=` takes it too.
//!
//! It holds from the start, so it permits what the daemon does until it serves. What
//! it does not list fails with `EPERM`.

use crate::tables::{Answer, Argument, SYSCALLS, Syscall, Test, startup};
use serde::Serialize;

/// What the tables call absent fails with this, so that the C library falls back to an
/// older call, whose arguments can be seen.
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

/// The daemon's, a rule on each line.
pub(crate) fn daemon() -> String {
    let calls = SYSCALLS.iter().chain(startup::SYSCALLS);
    let rules = calls.chain(startup::RUNTIME).flat_map(rules);
    let lines = rules.filter_map(|rule| serde_json::to_string(&rule).ok());
    let lines: Vec<String> = lines.map(|line| format!("    {line}")).collect();
    format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_AARCH64\"],\n  \
         \"syscalls\": [\n{}\n  ]\n}}\n",
        lines.join(",\n")
    )
}

/// One rule for each line of arguments: it is enough that one of them fits.
fn rules(call: &'static Syscall) -> Vec<Rule> {
    let rule = |args| Rule {
        names: [call.name()],
        action: "SCMP_ACT_ALLOW",
        errno_ret: None,
        args,
        comment: call.reason,
    };
    if call.answer == Answer::Absent {
        let mut refused = rule(Vec::new());
        refused.action = "SCMP_ACT_ERRNO";
        refused.errno_ret = Some(ENOSYS);
        return vec![refused];
    }
    match call.arguments {
        [] => vec![rule(Vec::new())],
        lines => lines.iter().map(|line| rule(comparisons(line))).collect(),
    }
}

fn comparisons(line: &[Argument]) -> Vec<Comparison> {
    line.iter().filter_map(comparison).collect()
}

/// `None` for the process's own id, which nobody knows yet: a container has its own.
fn comparison(argument: &Argument) -> Option<Comparison> {
    let (value, value_two) = match argument.test {
        Test::OwnPid => return None,
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
    fn what_is_not_listed_is_refused_and_no_process_can_be_made() {
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
        // Without CLONE_THREAD it would make a process.
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
