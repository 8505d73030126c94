//! The seccomp filter, compiled from the tables.
//!
//! A call that is not listed fails with `EPERM`, on every thread. Firecracker's `seccompiler`
//! compiles the BPF program. It checks the architecture first and kills a process that makes
//! calls of another one, whose numbers differ.

use crate::layers::LayerStatus;
use crate::tables::{Action, Syscall};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// Installs a filter on every thread of this process that permits these calls alone,
/// irrevocably.
#[must_use]
pub fn permit_only(calls: &[Syscall]) -> LayerStatus {
    match install(calls) {
        Ok(()) => LayerStatus::Full(format!("{} system calls", calls.len())),
        Err(error) => LayerStatus::Missing(format!("the kernel did not take the filter: {error}")),
    }
}

/// `seccompiler` gives a filter one action for the calls that it lists, so two filters are
/// needed for two errors. The calls that fail with `ENOSYS` have a filter of their own, and
/// the main one permits them. The kernel takes the stricter result of both filters
/// (seccomp(2)), which is the `ENOSYS` of the first.
fn install(calls: &[Syscall]) -> Result<(), seccompiler::Error> {
    // The filter for ENOSYS comes first, since the main one refuses seccomp(2) as well.
    let hidden = calls.iter().filter(|call| call.action == Action::Enosys);
    let hidden: BTreeMap<_, _> = hidden.map(|call| (call.number, Vec::new())).collect();
    if !hidden.is_empty() {
        let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        apply_filter_all_threads(&compile(hidden, SeccompAction::Allow, enosys)?)?;
    }
    apply_filter_all_threads(&program(calls, std::process::id())?)
}

/// The main filter, for the process with this ID.
fn program(calls: &[Syscall], pid: u32) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for call in calls {
        let alternatives = call.arguments.iter().map(|line| {
            let conditions = line.iter().map(|argument| {
                let (mask, value) = argument.test.mask_and_value(pid);
                // The lower half: these arguments are C integers or flags.
                SeccompCondition::new(
                    argument.index,
                    SeccompCmpArgLen::Dword,
                    SeccompCmpOp::MaskedEq(u64::from(mask)),
                    u64::from(value),
                )
            });
            SeccompRule::new(conditions.collect::<Result<_, _>>()?)
        });
        rules.insert(call.number, alternatives.collect::<Result<Vec<_>, _>>()?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    compile(rules, refuse, SeccompAction::Allow)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, others, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::SYSCALLS;

    #[test]
    fn filter_fits_the_kernels_limit() {
        let program = program(SYSCALLS, 1).unwrap();
        // BPF_MAXINSNS, linux/bpf_common.h.
        assert!((100..4096).contains(&program.len()), "{}", program.len());
    }
}
