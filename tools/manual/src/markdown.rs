//! A page from a document in Markdown: the parts of it that our documents use.

use crate::roff::Page;

/// The page of a document in section 5.
pub(crate) fn page(name: &'static str, summary: &str, document: &str) -> Page {
    let mut page = Page::new(name, 5, summary);
    let mut lines = document.lines().peekable();
    let mut is_described = false;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            page.heading(heading);
            is_described = true;
        } else if line.starts_with("# ") || line.is_empty() {
            // The title is NAME.
        } else if let Some(heading) = line.strip_prefix("### ") {
            page.subheading(heading);
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            table(&mut page, &rows);
        } else if let Some(first) = line.strip_prefix("    ") {
            let mut text = first.to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
                text += &format!("\n{}", &more[4..]);
            }
            page.verbatim(&text);
        } else {
            let mut text = line.to_owned();
            // A paragraph or a point of a list goes on until an empty line or the next point.
            let goes_on = |line: &&str| {
                !line.is_empty() && !line.starts_with(['|', '#']) && mark(line).is_none()
            };
            while let Some(more) = lines.next_if(goes_on) {
                text += &format!(" {}", more.trim());
            }
            if !is_described {
                page.heading("Description");
                is_described = true;
            }
            match mark(&text) {
                Some(("*" | "-", text)) => page.point("\u{2022}", &inline(text)),
                Some((number, text)) => page.point(number, &inline(text)),
                None => page.paragraph(&inline(&text)),
            }
        }
    }
    page
}

/// The mark of a list's point, and its text.
fn mark(line: &str) -> Option<(&str, &str)> {
    let (mark, text) = line.split_once(' ')?;
    let number = mark.strip_suffix('.').unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || mark == "*" || mark == "-").then_some((mark, text))
}

fn cells(row: &str) -> Vec<&str> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    row.split('|').map(str::trim).collect()
}

/// Each row is a term, which is its first cell, and the other cells with the heads of their columns.
fn table(page: &mut Page, rows: &[Vec<&str>]) {
    let [heads, _, rows @ ..] = rows else {
        return;
    };
    for row in rows {
        let [term, cells @ ..] = &row[..] else {
            continue;
        };
        let filled = heads.iter().skip(1).zip(cells);
        let filled = filled.filter(|(_, cell)| !cell.is_empty());
        let meaning: Vec<String> = filled
            .map(|(head, cell)| {
                // One other column speaks for itself.
                if cells.len() == 1 {
                    inline(cell)
                } else {
                    format!("{head}: {}.", inline(cell))
                }
            })
            .collect();
        page.term(&term.replace('`', ""), &meaning.join(" "));
    }
}

/// Text without links' targets and emphasis. Text between backquotes stays so.
fn inline(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain += before;
        match after.split_once("](") {
            Some((label, target)) if !label.contains([' ', '`']) || target.contains(')') => {
                plain += label;
                rest = target.split_once(')').map_or("", |(_, rest)| rest);
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain += rest;
    plain.replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_document() {
        let document = "# Title\n\nFirst, see [a page](a.md#x).\nSecond.\n\n## Files\n\n\
            | file | contents |\n|---|---|\n| `a` | one |\n\n1. A point\n   goes on.\n2. Next.\n\n    {\"a\": 1}\n";
        let text = page("x", "y", document).finish();
        let expected = ".SH \"DESCRIPTION\"\nFirst, see a page. Second.\n.SH \"FILES\"\n.TP\n\
            \\fBa\\fR\none\n.IP \"1.\" 4\nA point goes on.\n.IP \"2.\" 4\nNext.\n.PP\n.RS 4\n.nf\n\
            {\"a\": 1}\n.fi\n.RE\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn brackets_without_a_target_stay() {
        assert_eq!(inline("a `[audit]` **b**"), "a `[audit]` b");
    }
}
