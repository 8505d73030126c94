//! The filter of system calls, made from the tables.
//!
//! What is not listed fails with `EPERM`, on every thread. Firecracker's compiler
//! makes the program: it checks the architecture first and kills what makes calls
//! of another one.

use crate::layers::Hold;
use crate::tables::{Argument, Syscall};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// Puts every thread of this process under a filter that permits these calls alone,
/// for good.
#[must_use]
pub fn permit_only(calls: &[Syscall]) -> Hold {
    let installed = program(calls, std::process::id())
        .map_err(|error| error.to_string())
        .and_then(|program| apply_filter_all_threads(&program).map_err(|e| e.to_string()));
    match installed {
        Ok(()) => Hold::Whole(format!("{} system calls", calls.len())),
        Err(error) => Hold::Missing(format!("the kernel did not take the filter: {error}")),
    }
}

/// The filter for the process with this id.
fn program(calls: &[Syscall], pid: u32) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for call in calls {
        let lines = call.arguments.iter().map(|line| rule(line, pid));
        rules.insert(call.number, lines.collect::<Result<Vec<_>, _>>()?);
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, architecture)?.try_into()
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
