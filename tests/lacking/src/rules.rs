//! Every rule by itself: a system call, one line of its arguments, one kind of
//! access to a path, the ports.

use pulse_confine::tables::{Need, PATHS, Path, SYSCALLS, Syscall, Whose};

/// What is in force.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) calls: Vec<Syscall>,
    pub(crate) paths: Vec<Path>,
    /// Whether any port may be connected to.
    pub(crate) ports: bool,
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
            paths: PATHS.to_vec(),
            ports: true,
        }
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

/// A call whose arguments have several lines is needed if each of them is.
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
    let Path { whose, access, .. } = PATHS[index];
    let kinds = access.iter().enumerate();
    let of_kind = |(kind, what)| Rule {
        name: format!("{} {what:?}", name_of(whose)),
        need: Need::Everywhere,
        others: Tables::without(|tables| match access.len() {
            1 => drop(tables.paths.splice(index..=index, [])),
            _ => tables.paths[index].access = leaked(access, kind),
        }),
    };
    kinds.map(of_kind).collect()
}

fn name_of(whose: Whose) -> String {
    match whose {
        Whose::Fixed(path) => path.to_owned(),
        _ => format!("{whose:?}"),
    }
}

/// All but one. The tables are static; this program is short.
fn leaked<T: Copy>(lines: &[T], left_out: usize) -> &'static [T] {
    let mut rest = lines.to_vec();
    rest.remove(left_out);
    rest.leak()
}
