//! The filter of system calls, made from the tables.
//!
//! What is not listed fails with `EPERM`, on every thread. Firecracker's compiler
//! makes the program: it checks the architecture first and kills what makes calls
//! of another one.

use crate::layers::Hold;
use crate::tables::{Answer, Argument, Syscall};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// Puts every thread of this process under a filter that permits these calls alone,
/// for good.
#[must_use]
pub fn permit_only(calls: &[Syscall]) -> Hold {
    match install(calls) {
        Ok(()) => Hold::Whole(format!("{} system calls", calls.len())),
        Err(error) => Hold::Missing(format!("the kernel did not take the filter: {error}")),
    }
}

fn install(calls: &[Syscall]) -> Result<(), seccompiler::Error> {
    let absent = calls.iter().filter(|call| call.answer == Answer::Absent);
    let absent: BTreeMap<_, _> = absent.map(|call| (call.number, Vec::new())).collect();
    if !absent.is_empty() {
        apply_filter_all_threads(&hide(absent)?)?;
    }
    apply_filter_all_threads(&program(calls, std::process::id())?)
}

/// A filter before the other: of two answers the kernel takes the stricter.
fn hide(calls: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram, BackendError> {
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    filter(calls, SeccompAction::Allow, absent)
}

/// The filter for the process with this id.
fn program(calls: &[Syscall], pid: u32) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for call in calls {
        let lines = call.arguments.iter().map(|line| rule(line, pid));
        rules.insert(call.number, lines.collect::<Result<Vec<_>, _>>()?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    filter(rules, refuse, SeccompAction::Allow)
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, others, listed, architecture)?.try_into()
}

fn rule(line: &[Argument], pid: u32) -> Result<SeccompRule, BackendError> {
    let conditions = line.iter().map(|argument| condition(argument, pid));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn condition(argument: &Argument, pid: u32) -> Result<SeccompCondition, BackendError> {
    let (mask, value) = argument.test.mask_and_value(pid);
    let compare = SeccompCmpOp::MaskedEq(u64::from(mask));
    let length = SeccompCmpArgLen::Dword;
    SeccompCondition::new(argument.index, length, compare, u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::SYSCALLS;

    #[test]
    fn the_tables_make_a_filter_that_the_kernel_can_take() {
        let program = program(SYSCALLS, 1).unwrap();
        // BPF_MAXINSNS, linux/bpf_common.h.
        assert!((100..4096).contains(&program.len()), "{}", program.len());
    }
}
