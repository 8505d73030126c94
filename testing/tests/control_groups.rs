//! Control groups that users make and name: no way to another identity.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python;
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, ControlGroup};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A user that systemd gives control groups of its own, and another one.
const USER: u32 = 4001;
const OTHER: u32 = 4002;

/// The limiter's defaults (`packaging/config.toml`).
const BURST: usize = 2;
const INTERVAL: Duration = Duration::from_secs(5);

const GROUPS: u32 = 8;
const REQUESTS: usize = 5;

/// Reads the node so many times, each on a connection of its own, as a user in a group.
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

/// The names are those of containers, at the place where systemd lets the user make groups.
#[test]
fn user_has_one_budget_in_all_groups() {
    if skipped(&[Need::Root, Need::ControlGroups, Need::Program("python3")]) {
        return;
    }
    let config = Config::new()
        .with_default_limits()
        .set("allowed_peers", "[4001, 4002]");
    let fleet = Fleet::start(config, [("pve1", sim::well())]);
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
    let refused = |answer: &&Value| answer["error"] == "rate limit exceeded";
    let refusals = answers.iter().filter(refused).count();
    assert_eq!(read_by_user + refusals, answers.len(), "{answers:?}");

    // The container of this name still has all of its own.
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
        // Older hierarchies may have put the tests themselves into a group.
        let described = record["container"].as_str().unwrap_or_default();
        assert!(!described.contains("libpod"), "{record}");
        assert_ne!(described, container, "{record}");
    }
}
