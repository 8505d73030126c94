//! Every rule by itself: a system call, one line of its arguments, one kind of
//! access to a path, the ports.

use pulse_sandbox::LandlockRules;
use pulse_sandbox::tables::{Access, ConfiguredPath, Need, PATHS, PathRule, SYSCALLS, Syscall};

/// The rules that are in force.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) calls: Vec<Syscall>,
    /// The access to each path of the daemon's table, in its order.
    paths: Vec<&'static [Access]>,
    /// True if any port may be connected to.
    ports: bool,
}

/// A rule, and the tables without it.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) need: Need,
    pub(crate) others: Tables,
}

impl Tables {
    /// The daemon's.
    pub(crate) fn whole() -> Self {
        Self {
            calls: SYSCALLS.to_vec(),
            paths: PATHS.iter().map(|path| path.access).collect(),
            ports: true,
        }
    }

    /// The daemon's rules for this machine, and of them what is in force.
    pub(crate) fn of(&self, rules: &LandlockRules) -> LandlockRules {
        let mut rules = rules.clone();
        for ((_, access), permitted) in rules.paths.iter_mut().zip(&self.paths) {
            *access = permitted;
        }
        // Landlock refuses a rule that allows nothing: ENOMSG (landlock_add_rule(2)).
        rules.paths.retain(|(_, access)| !access.is_empty());
        if !self.ports {
            rules.ports.clear();
        }
        rules
    }

    fn without(leave_out: impl FnOnce(&mut Self)) -> Self {
        let mut tables = Self::whole();
        leave_out(&mut tables);
        tables
    }
}

/// Every rule of the tables.
pub(crate) fn all() -> Vec<Rule> {
    let calls = (0..SYSCALLS.len()).flat_map(of_call);
    let paths = (0..PATHS.len()).flat_map(of_path);
    let ports = Rule {
        name: "ports".to_owned(),
        need: Need::Everywhere,
        others: Tables::without(|tables| tables.ports = false),
    };
    calls.chain(paths).chain([ports]).collect()
}

/// A call with several lines of arguments has a rule for each line.
fn of_call(index: usize) -> Vec<Rule> {
    let call = &SYSCALLS[index];
    let rule = |name, others| Rule {
        name,
        need: call.need,
        others,
    };
    if call.arguments.len() < 2 {
        let others = Tables::without(|tables| {
            tables.calls.remove(index);
        });
        return vec![rule(call.name().to_owned(), others)];
    }
    let lines = 0..call.arguments.len();
    let of_line = |line| {
        let others = Tables::without(|tables| {
            tables.calls[index].arguments = leaked(call.arguments, line);
        });
        rule(format!("{} line {line}", call.name()), others)
    };
    lines.map(of_line).collect()
}

fn of_path(index: usize) -> Vec<Rule> {
    let PathRule { path, access, .. } = PATHS[index];
    let name = match path {
        ConfiguredPath::Fixed(path) => path.to_owned(),
        _ => format!("{path:?}"),
    };
    // Landlock leaves locks alone.
    let kinds = access
        .iter()
        .enumerate()
        .filter(|(_, what)| **what != Access::Lock);
    let of_kind = |(kind, what)| Rule {
        name: format!("{name} {what:?}"),
        need: Need::Everywhere,
        others: Tables::without(|tables| tables.paths[index] = leaked(access, kind)),
    };
    kinds.map(of_kind).collect()
}

/// All but one. The tables are static; this program is short.
fn leaked<T: Copy>(lines: &[T], left_out: usize) -> &'static [T] {
    let mut rest = lines.to_vec();
    rest.remove(left_out);
    rest.leak()
}
