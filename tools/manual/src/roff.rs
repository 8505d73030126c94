//! Manual pages in man(7)'s macros.

/// A page under construction.
pub(crate) struct Page {
    name: &'static str,
    section: u8,
    text: String,
}

impl Page {
    /// A page with its title and its NAME section; `summary` has no full stop.
    pub(crate) fn new(name: &'static str, section: u8, summary: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = Self {
            name,
            section,
            // Without a date: a page is that of its release.
            text: format!(
                ".TH {} {section} \"\" \"pulse-sensor-proxy {version}\"\n.SH NAME\n",
                escaped(&name.to_uppercase())
            ),
        };
        page.line(&format!("{} \\- {}", escaped(name), escaped(summary)));
        page
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn section(&self) -> u8 {
        self.section
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// A heading, in capital letters as pages have it.
    pub(crate) fn heading(&mut self, heading: &str) {
        self.line(&format!(".SH {}", quoted(&heading.to_uppercase())));
    }

    /// A heading below one.
    pub(crate) fn subheading(&mut self, heading: &str) {
        self.line(&format!(".SS {}", quoted(heading)));
    }

    /// A paragraph. Text between backquotes is what is typed or printed.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.begin_paragraph();
        self.prose(text);
    }

    fn begin_paragraph(&mut self) {
        // A heading begins one by itself.
        let last = self.text.lines().last().unwrap_or_default();
        if !last.starts_with(".S") {
            self.line(".PP");
        }
    }

    /// A term and its meaning.
    pub(crate) fn term(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(&format!("\\fB{}\\fR", escaped(term)));
        self.prose(if meaning.is_empty() { " " } else { meaning });
    }

    /// Another paragraph about the last term.
    pub(crate) fn continuation(&mut self, text: &str) {
        self.line(".IP");
        self.prose(text);
    }

    /// A point of a list, with its bullet or number.
    pub(crate) fn point(&mut self, mark: &str, text: &str) {
        self.line(&format!(".IP {} 4", quoted(mark)));
        self.prose(text);
    }

    /// Lines as they are.
    pub(crate) fn verbatim(&mut self, text: &str) {
        self.begin_paragraph();
        self.line(".RS 4");
        self.line(".nf");
        for line in text.lines() {
            let line = escaped(line);
            self.line(&format!("{}{line}", guard(&line)));
        }
        self.line(".fi");
        self.line(".RE");
    }

    fn prose(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let mut prose = String::new();
        for (index, part) in text.split('`').enumerate() {
            let part = escaped(part);
            if index % 2 == 1 {
                prose += &format!("\\fB{part}\\fR");
            } else {
                prose += &part;
            }
        }
        let line = format!("{}{prose}", guard(&prose));
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}

/// A line that begins with one of these would be a request; `\&` is nothing.
fn guard(line: &str) -> &'static str {
    if line.starts_with(['.', '\'']) {
        "\\&"
    } else {
        ""
    }
}

/// Text in which no character has a meaning for the formatter. Dashes are those that are typed.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\(rs",
            '-' => escaped += "\\-",
            '\'' => escaped += "\\(aq",
            '`' => escaped += "\\(ga",
            '^' => escaped += "\\(ha",
            '~' => escaped += "\\(ti",
            c if c.is_ascii() => escaped.push(c),
            c => escaped += &format!("\\[u{:04X}]", u32::from(c)),
        }
    }
    escaped
}

/// One argument of a macro.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_request() {
        let mut page = Page::new("x", 8, "a page");
        page.paragraph(".TH is `-x`\nand a\\b");
        page.verbatim("'a'\n  .b");
        let text = page.finish();
        for part in [
            "\n.PP\n\\&.TH is \\fB\\-x\\fR and a\\(rsb\n",
            "\n\\(aqa\\(aq\n  .b\n",
            "x \\- a page\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn arguments_are_one() {
        assert_eq!(quoted("a \"b\" é"), "\"a \\(dqb\\(dq \\[u00E9]\"");
    }
}
