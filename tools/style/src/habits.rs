//! The habits of one file, from its syntax tree.

use crate::checkout::{Source, is_for_tests, is_test};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::ops::{AddAssign, RangeInclusive};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Block, Expr, ExprLit, ExprMatch, ExprMethodCall, ExprPath, ImplItemFn, Item,
    ItemFn, ItemImpl, ItemMod, Lit, Local, Macro, Meta, Pat, PatIdent, TraitItemFn, Visibility,
};

/// Words that open a doc comment with a clause instead of a noun.
const CLAUSES: [&str; 5] = ["What", "Where", "Whether", "How", "Who"];

/// A habit that one place shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// An immutable binding of one line whose name the function has once more, on the next line.
    BindingUsedOnce,
    /// A private function whose name its file has once more.
    FunctionCalledOnce,
    /// `match` with `true` or `false` as a pattern.
    MatchOnBool,
    /// A doc comment that opens with one of [`CLAUSES`].
    Clause,
}

/// One place that shows a habit.
#[derive(Debug)]
pub(crate) struct Sign {
    pub(crate) habit: Habit,
    /// From 1, in the file that was counted.
    pub(crate) line: usize,
}

/// Places and counts outside tests, and the names of tests.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    pub(crate) signs: Vec<Sign>,
    /// Functions without `pub`, those of traits included.
    pub(crate) private_functions: usize,
    pub(crate) doc_comments: usize,
    /// Lengths in characters.
    pub(crate) test_names: Vec<usize>,
}

impl AddAssign for Habits {
    fn add_assign(&mut self, other: Self) {
        self.signs.extend(other.signs);
        self.private_functions += other.private_functions;
        self.doc_comments += other.doc_comments;
        self.test_names.extend(other.test_names);
    }
}

impl Habits {
    /// Counts `source`; the ranges are the lines (from 1) of its tests.
    pub(crate) fn count(source: &Source) -> (Self, Vec<RangeInclusive<usize>>) {
        let mut counter = Counter {
            in_tests: source.is_test,
            ..Counter::default()
        };
        counter.visit_file(&source.tree);
        let mut habits = counter.habits;
        habits.private_functions = counter.private.len();
        for (name, line) in counter.private {
            // The definition is not among them: it is no expression.
            if counter.named.get(&name) == Some(&1) {
                habits.add(Habit::FunctionCalledOnce, line);
            }
        }
        habits.signs.sort_by_key(|sign| sign.line);
        (habits, counter.test_lines)
    }

    /// The number of places that show `habit`.
    pub(crate) fn count_of(&self, habit: Habit) -> usize {
        self.signs.iter().filter(|sign| sign.habit == habit).count()
    }

    fn add(&mut self, habit: Habit, line: usize) {
        self.signs.push(Sign { habit, line });
    }
}

/// Walks a file; within tests it looks for their names alone.
#[derive(Default)]
struct Counter {
    habits: Habits,
    in_tests: bool,
    last_doc_line: Option<usize>,
    /// Names and lines of private functions.
    private: Vec<(String, usize)>,
    /// The times that a name ends a path, is a method that is called, or an argument of a macro.
    named: BTreeMap<String, usize>,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Counter {
    fn item<'a, T: Spanned>(
        &mut self,
        item: &'a T,
        attributes: &[Attribute],
        visit: impl FnOnce(&mut Self, &'a T),
    ) {
        // A test within a test is within its lines already.
        if self.in_tests || !is_for_tests(attributes) {
            return visit(self, item);
        }
        let span = item.span();
        self.test_lines.push(span.start().line..=span.end().line);
        self.in_tests = true;
        visit(self, item);
        self.in_tests = false;
    }

    fn function(
        &mut self,
        name: &syn::Ident,
        visibility: &Visibility,
        attributes: &[Attribute],
        body: Option<&Block>,
    ) {
        let line = name.span().start().line;
        let name = name.to_string();
        // Also within tests, of which nothing else is counted.
        if attributes.iter().any(is_test) {
            self.habits.test_names.push(name.chars().count());
        } else if !self.in_tests && !is_for_tests(attributes) {
            if matches!(visibility, Visibility::Inherited) {
                self.private.push((name, line));
            }
            for line in body.map(Bindings::used_once).unwrap_or_default() {
                self.habits.add(Habit::BindingUsedOnce, line);
            }
        }
    }

    fn name(&mut self, name: String) {
        if !self.in_tests {
            *self.named.entry(name).or_default() += 1;
        }
    }
}

impl<'a> Visit<'a> for Counter {
    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.function(&item.sig.ident, &item.vis, &item.attrs, Some(&item.block));
        self.item(item, &item.attrs, visit::visit_item_fn);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        self.function(&item.sig.ident, &item.vis, &item.attrs, Some(&item.block));
        self.item(item, &item.attrs, visit::visit_impl_item_fn);
    }

    fn visit_trait_item_fn(&mut self, item: &'a TraitItemFn) {
        self.function(
            &item.sig.ident,
            &Visibility::Inherited,
            &item.attrs,
            item.default.as_ref(),
        );
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'a ItemImpl) {
        self.item(item, &item.attrs, visit::visit_item_impl);
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        self.item(item, &item.attrs, visit::visit_item_mod);
    }

    /// Doc comments are attributes, one for each line.
    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        if self.in_tests {
            return;
        }
        if let Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let Expr::Lit(literal) = &meta.value
            && let Lit::Str(text) = &literal.lit
        {
            let line = text.span().start().line;
            // Only the first line of a comment opens it; the parser has each by itself.
            if self.last_doc_line.is_none_or(|last| line != last + 1) {
                self.habits.doc_comments += 1;
                let text = text.value();
                let word = text.trim_start().split(|c: char| !c.is_alphabetic()).next();
                if word.is_some_and(|word| CLAUSES.contains(&word)) {
                    self.habits.add(Habit::Clause, line);
                }
            }
            self.last_doc_line = Some(line);
        }
    }

    fn visit_expr_path(&mut self, path: &'a ExprPath) {
        if let Some(end) = path.path.segments.last() {
            self.name(end.ident.to_string());
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        self.name(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_match(&mut self, expression: &'a ExprMatch) {
        let is_bool = |arm: &Arm| {
            let Pat::Lit(ExprLit { lit, .. }) = &arm.pat else {
                return false;
            };
            matches!(lit, Lit::Bool(_))
        };
        if !self.in_tests && expression.arms.iter().any(is_bool) {
            self.habits
                .add(Habit::MatchOnBool, expression.match_token.span.start().line);
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        let mut words = Vec::new();
        collect_words(called.tokens.clone(), &mut words);
        // `proptest!` and its like hold whole tests: `#[test]`, `fn`, the name.
        for three in words.windows(3) {
            if let [(attribute, _), (keyword, _), (name, _)] = three
                && (attribute.as_str(), keyword.as_str()) == ("test", "fn")
            {
                self.habits.test_names.push(name.chars().count());
            }
        }
        for (word, _) in words {
            self.name(word);
        }
    }
}

/// The variables of one function.
#[derive(Default)]
struct Bindings {
    /// Names and lines of `let NAME = …;` on a line of its own.
    simple: Vec<(String, usize)>,
    /// The lines that have a name, as a pattern or an expression.
    lines: BTreeMap<String, Vec<usize>>,
}

impl Bindings {
    /// The lines of bindings whose name the next line has, and no other.
    fn used_once(body: &Block) -> Vec<usize> {
        let mut bindings = Self::default();
        bindings.visit_block(body);
        let Self { simple, lines } = bindings;
        simple
            .iter()
            .filter(|(name, line)| {
                lines
                    .get(name)
                    // A shadowed name has more lines: both are left alone.
                    .is_some_and(|lines| *lines == [*line, line + 1])
            })
            .map(|(_, line)| *line)
            .collect()
    }

    fn add(&mut self, name: String, line: usize) {
        self.lines.entry(name).or_default().push(line);
    }
}

impl<'a> Visit<'a> for Bindings {
    /// A function within a function is counted by itself.
    fn visit_item(&mut self, _: &'a Item) {}

    fn visit_local(&mut self, binding: &'a Local) {
        let span = binding.span();
        let pattern = match &binding.pat {
            Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        // A test (`else`) and a variable that changes cannot become a part of the next expression.
        if let Pat::Ident(name) = pattern
            && let Some(init) = &binding.init
            && init.diverge.is_none()
            && name.mutability.is_none()
            && span.start().line == span.end().line
        {
            self.simple
                .push((name.ident.to_string(), span.start().line));
        }
        visit::visit_local(self, binding);
    }

    fn visit_pat_ident(&mut self, pattern: &'a PatIdent) {
        self.add(pattern.ident.to_string(), pattern.ident.span().start().line);
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_expr_path(&mut self, path: &'a ExprPath) {
        if let Some(name) = path.path.get_ident() {
            self.add(name.to_string(), name.span().start().line);
        }
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        let mut words = Vec::new();
        collect_words(called.tokens.clone(), &mut words);
        for (word, line) in words {
            self.add(word, line);
        }
    }
}

/// The identifiers among a macro's arguments, those that format strings capture included, with
/// their lines.
fn collect_words(tokens: TokenStream, into: &mut Vec<(String, usize)>) {
    for token in tokens {
        let line = token.span().start().line;
        // The tokens of a macro have no tree, so every identifier counts as a use.
        match token {
            TokenTree::Group(group) => collect_words(group.stream(), into),
            TokenTree::Ident(word) => into.push((word.to_string(), line)),
            TokenTree::Literal(literal) => {
                // `{{` is a brace that is printed.
                for capture in literal.to_string().replace("{{", "").split('{').skip(1) {
                    let name = capture.split(['}', ':']).next().unwrap_or_default();
                    into.push((name.to_owned(), line));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Habits {
        let source = Source {
            path: "lib.rs".into(),
            text: text.to_owned(),
            tree: syn::parse_file(text).unwrap(),
            is_test: false,
        };
        Habits::count(&source).0
    }

    #[test]
    fn bindings() {
        let once = |body: &str| {
            let text = format!("fn f() {{\n{body}\n}}");
            count(&text).count_of(Habit::BindingUsedOnce)
        };
        assert_eq!(once("let x = 1;\ng(x);"), 1);
        assert_eq!(once("let x = 1;\nprintln!(\"{x}\");"), 1);
        assert_eq!(once("let x = 1;\ng();\nh(x);"), 0, "not the next line");
        assert_eq!(once("let x = 1;\ng(x, x);"), 0, "twice");
        assert_eq!(once("let x = 1;\nlet x = x?;\ng(x);"), 0, "a chain");
        assert_eq!(
            once("let mut x = 1;\ng(&mut x);"),
            0,
            "no temporary would do"
        );
        assert_eq!(once("let Some(x) = y else { return };\ng(x);"), 0, "a test");
    }

    #[test]
    fn private_functions() {
        let text = "fn once() {}\nfn twice() {}\npub fn f() { once(); twice(); self.twice() }";
        let habits = count(text);
        assert_eq!(habits.private_functions, 2);
        assert_eq!(habits.count_of(Habit::FunctionCalledOnce), 1);
        assert_eq!(habits.signs[0].line, 1);
    }

    #[test]
    fn doc_comments() {
        let text = "//! Whether.\n//! What.\n\n/// A noun.\nfn f() {}\n\n/// How it is.\nfn g() {}";
        let habits = count(text);
        assert_eq!(habits.doc_comments, 3);
        assert_eq!(habits.count_of(Habit::Clause), 2);
    }

    #[test]
    fn match_on_bool() {
        let text = "fn f() { match x { true => 1, false => 2 }; match y { Some(true) => 1 } }";
        assert_eq!(count(text).count_of(Habit::MatchOnBool), 1);
    }

    #[test]
    fn tests_are_named_only() {
        let text = "#[cfg(test)]\nmod tests {\n/// What.\n#[test]\nfn four() {}\nfn helper() {}\n}\n\
                    proptest! { #[test] fn of_macro(x: u8) {} }";
        let habits = count(text);
        assert_eq!(habits.test_names, [4, 8]);
        assert_eq!((habits.private_functions, habits.doc_comments), (0, 0));
    }
}
