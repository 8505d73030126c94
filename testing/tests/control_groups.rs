//! Control groups that users make and name give no other identity.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python;
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, ControlGroup};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A user with delegated control groups, and another user.
const USER: u32 = 4001;
const OTHER: u32 = 4002;

/// The limiter's defaults (`packaging/config.toml`).
const BURST: usize = 2;
const INTERVAL: Duration = Duration::from_secs(5);

const GROUPS: u32 = 8;
const REQUESTS: usize = 5;

/// Reads the node several times as a user in a group, each time on a new connection.
fn read(socket: &Path, user: u32, group: &ControlGroup, times: usize) -> Vec<Value> {
    let request = json!({"method": "get_temperature", "params": {"node": "pve1"}});
    let (user, request) = (user.to_string(), request.to_string());
    let mut arguments = vec![
        group.entry().to_str().unwrap(),
        &user,
        socket.to_str().unwrap(),
    ];
    arguments.extend(vec![request.as_str(); times]);
    let said = python::run(python::GROUPED, None, &arguments);
    let answers = said.lines().map(|line| serde_json::from_str(line).unwrap());
    answers.collect()
}

/// The user's groups have names of containers, below the group that systemd delegates.
#[test]
fn user_has_one_budget_in_all_groups() {
    if skipped(&[Need::Root, Need::ControlGroups, Need::Program("python3")]) {
        return;
    }
    let config = Config::new()
        .with_default_limits()
        .set("allowed_peers", "[4001, 4002]");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let socket = fleet.daemon.home().socket();
    let delegated = "user.slice/user-4001.slice/user@4001.service";
    let process = std::process::id();
    let container = format!("lxc/{process}");

    let start = Instant::now();
    let mut names: Vec<_> = (1..GROUPS)
        .map(|number| format!("{delegated}/libpod-{number}.scope"))
        .collect();
    names.push(format!("{delegated}/{container}"));
    let mut answers = Vec::new();
    for name in names {
        let group = ControlGroup::new(&name).unwrap();
        answers.extend(read(&socket, USER, &group, REQUESTS));
    }
    let elapsed = start.elapsed();

    let readings = |answers: &[Value]| {
        let readings = answers.iter().filter(|answer| answer["success"] == true);
        readings.count()
    };
    let earned = elapsed.as_secs() / INTERVAL.as_secs();
    let budget = BURST + usize::try_from(earned).unwrap();
    let read_by_user = readings(&answers);
    assert!(
        (1..=budget).contains(&read_by_user),
        "{read_by_user} readings in {elapsed:?}: {answers:?}"
    );
    let refused =
        |answer: &&Value| answer["error"] == "node \"pve1\" not read: rate limit exceeded";
    let refusals = answers.iter().filter(refused).count();
    assert_eq!(read_by_user + refusals, answers.len(), "{answers:?}");

    // A container of this name has a separate budget.
    let group = ControlGroup::new(&container).unwrap();
    let others = read(&socket, OTHER, &group, BURST);
    assert_eq!(readings(&others), BURST, "{others:?}");

    let records = fleet.daemon.home().records();
    let of = |user: u32| {
        let of_user = move |record: &&Value| record["peer_uid"] == user;
        records.iter().filter(of_user)
    };
    for user in [USER, OTHER] {
        assert!(of(user).count() > 0);
        for record in of(user) {
            assert_eq!(record["peer"], format!("uid:{user}"), "{record}");
        }
    }
    for record in of(USER) {
        // In a v1 hierarchy the tests themselves may be in a group.
        let described = record["container"].as_str().unwrap_or_default();
        assert!(!described.contains("libpod"), "{record}");
        assert_ne!(described, container, "{record}");
    }
}
