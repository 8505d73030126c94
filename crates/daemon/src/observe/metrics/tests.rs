use super::*;
use crate::observe::recorder::Nothing;

fn nothing() -> Arc<dyn Recorder> {
    Arc::new(Nothing)
}

#[test]
fn names_are_those_of_the_contract() {
    let metrics = Metrics::new(&nothing(), None);
    let node = NodeName::parse("pve1").unwrap();
    metrics.rpc("get_status", "success", Duration::from_millis(1));
    metrics.exchange(&node, "success", Duration::from_millis(1));
    metrics.host_key_changed(&node);
    metrics.oversized(&node);
    metrics.dropped(&node, 2);
    metrics.sensors(
        &node,
        SensorCounts {
            omitted: 65,
            answering: [0, 3, 0, 1],
        },
    );
    metrics.forced_command_missing(&node, true);
    metrics.node_failing(&node, true);
    metrics.clock(
        &node,
        Some(NodeClock {
            node: 10,
            here: 100,
        }),
        true,
    );
    metrics.set_file_problems(&[FileProblem::new(WatchedFile::KnownHosts, "x")]);
    metrics.refused("rate", &PeerId::Uid(1));
    metrics.penalised("invalid_request", &PeerId::Uid(1));
    metrics.node_refused("node_not_allowlisted");
    let text = metrics.encode();
    for sample in [
        "pulse_proxy_rpc_requests_total{method=\"get_status\",result=\"success\"} 1",
        "pulse_proxy_rpc_latency_seconds_bucket{le=\"+Inf\",method=\"get_status\"} 1",
        "pulse_proxy_ssh_requests_total{node=\"pve1\",result=\"success\"} 1",
        "pulse_proxy_ssh_latency_seconds_count{node=\"pve1\"} 1",
        "pulse_proxy_queue_depth 0",
        "pulse_proxy_rate_limit_hits_total 1",
        "pulse_proxy_limiter_rejections_total{reason=\"rate\",peer=\"uid:1\"} 1",
        "pulse_proxy_limiter_penalties_total{reason=\"invalid_request\",peer=\"uid:1\"} 1",
        "pulse_proxy_limiter_active_peers 0",
        "pulse_proxy_global_concurrency_inflight 0",
        "pulse_proxy_node_validation_failures_total{reason=\"node_not_allowlisted\"} 1",
        "pulse_proxy_read_timeouts_total 0",
        "pulse_proxy_write_timeouts_total 0",
        "pulse_proxy_hostkey_changes_total{node=\"pve1\"} 1",
        "pulse_proxy_ssh_output_oversized_total{node=\"pve1\"} 1",
        "pulse_proxy_implausible_values_total{node=\"pve1\"} 2",
        "pulse_proxy_omitted_sensors{node=\"pve1\"} 65",
        "pulse_proxy_sensor_chips{node=\"pve1\",state=\"pending\"} 0",
        "pulse_proxy_sensor_chips{node=\"pve1\",state=\"slow\"} 3",
        "pulse_proxy_sensor_chips{node=\"pve1\",state=\"unreadable\"} 1",
        "pulse_proxy_forced_command_missing{node=\"pve1\"} 1",
        "pulse_proxy_node_failing{node=\"pve1\"} 1",
        "pulse_proxy_node_clock_offset_seconds{node=\"pve1\"} -90",
        "pulse_proxy_node_clock_wrong{node=\"pve1\"} 1",
        "pulse_proxy_file_problem{file=\"known_hosts\"} 1",
        "pulse_proxy_file_problem{file=\"socket\"} 0",
        "pulse_proxy_build_info{version=",
        "pulse_proxy_audit_available 1",
        "pulse_proxy_audit_refused_total 0",
        "pulse_proxy_audit_queue_depth 0",
    ] {
        assert!(text.contains(sample), "{sample} is missing from\n{text}");
    }
}

#[test]
fn callers_beyond_the_cap_share_a_label() {
    let metrics = Metrics::new(&nothing(), None);
    for uid in 0..1000 {
        metrics.refused("rate", &PeerId::Uid(uid));
    }
    let text = metrics.encode();
    let labels = text
        .lines()
        .filter(|l| l.contains("limiter_rejections_total{"));
    assert_eq!(labels.count(), MAX_PEERS + 1);
    assert!(text.contains("peer=\"other\"} 936"));
}
