//! The two formats in which metrics are served.
//!
//! Prometheus asks for `OpenMetrics` and gets it. Clients that do not ask (browsers, curl,
//! `promtool check metrics`, older agents) get the text format, converted from the same
//! text: there a counter is declared by its full name, and there is no end marker.

use std::collections::HashSet;

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// The format that the value of an `Accept` header asks for.
    #[must_use]
    pub(crate) fn accepted(accept: &[u8]) -> Self {
        let wanted = b"application/openmetrics-text";
        let mut parts = accept.windows(wanted.len());
        if parts.any(|part| part.eq_ignore_ascii_case(wanted)) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of the `Content-Type` header.
    #[must_use]
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts `OpenMetrics` text into this format.
    #[must_use]
    pub(crate) fn convert(self, open_metrics: String) -> String {
        if self == Self::OpenMetrics {
            return open_metrics;
        }
        // Two passes: the library writes `HELP` before `TYPE`, and both name the counter.
        let counters: HashSet<&str> = open_metrics
            .lines()
            .filter_map(|line| match declaration(line)? {
                ("TYPE", name, "counter") => Some(name),
                _ => None,
            })
            .collect();
        let mut text = String::with_capacity(open_metrics.len());
        for line in open_metrics.lines().filter(|line| *line != "# EOF") {
            match declaration(line).filter(|(_, name, _)| counters.contains(name)) {
                Some((keyword, name, rest)) => {
                    text.extend(["# ", keyword, " ", name, "_total ", rest, "\n"]);
                }
                None => text.extend([line, "\n"]),
            }
        }
        text
    }
}

/// Keyword, name and rest of a line like `# TYPE name counter`.
fn declaration(line: &str) -> Option<(&str, &str, &str)> {
    let (keyword, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((keyword, name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_must_be_asked_for() {
        let prometheus = b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in [
            &b""[..],
            b"*/*",
            b"text/plain;version=0.0.4",
            b"application/json",
        ] {
            assert_eq!(Format::accepted(other), Format::Text);
        }
    }

    #[test]
    fn counters_have_their_full_name() {
        let open_metrics = "# HELP a_requests Requests.\n# TYPE a_requests counter\n\
            a_requests_total{x=\"# TYPE\"} 1\n# HELP a_depth # deep.\n# TYPE a_depth gauge\n\
            a_depth 0\n# EOF\n";
        let text = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n\
            a_requests_total{x=\"# TYPE\"} 1\n# HELP a_depth # deep.\n# TYPE a_depth gauge\n\
            a_depth 0\n";
        assert_eq!(Format::Text.convert(open_metrics.into()), text);
        assert_eq!(
            Format::OpenMetrics.convert(open_metrics.into()),
            open_metrics
        );
    }
}
