//! The page of a program with a table of its command line.

use crate::roff::Page;
use pulse_usage::Usage;

/// The page.
pub(crate) fn page<Id: Copy>(usage: &Usage<Id>, see_also: &[&str]) -> Page {
    let mut page = Page::new(usage.name, 8, usage.summary);
    page.heading("Synopsis");
    for form in usage.synopsis {
        page.paragraph(&format!("`{}` {form}", usage.name));
    }
    page.heading("Description");
    page.paragraph(usage.description);
    if !usage.commands.is_empty() {
        page.heading("Commands");
    }
    for entry in usage.commands {
        page.term(entry.term, entry.text);
    }
    page.heading("Options");
    for option in usage.options {
        page.term(&option.term(), option.text);
    }
    for section in usage.sections {
        page.heading(section.heading);
        if !section.text.is_empty() {
            page.paragraph(section.text);
        }
        for entry in section.entries {
            page.term(entry.term, entry.text);
        }
        if let Some(example) = section.example {
            page.verbatim(example);
        }
    }
    page.heading("Exit status");
    for (code, meaning) in usage.exit_codes {
        page.term(&code.to_string(), meaning);
    }
    self::see_also(&mut page, see_also);
    page
}

/// The last section: other pages than this one.
pub(crate) fn see_also(page: &mut Page, pages: &[&str]) {
    let own = format!("{}({})", page.name(), page.section());
    let others: Vec<&str> = pages.iter().copied().filter(|page| *page != own).collect();
    page.heading("See also");
    page.paragraph(&others.join(", "));
}
