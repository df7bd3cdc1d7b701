//! What a source names: every path, macro and word in it, read off its tokens, so that no way of writing it (groups,
//! renames, line breaks, macro bodies, comments) makes a difference.
//!
//! It knows nothing of rooms and rules. What is compiled for tests alone is left out, and named apart.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What one module says outside of its tests. Paths are written out from the root of their crate where they begin at
/// it: `crate::net::Net` and, in `conn::timeouts`, `super::super::net::Net` are the same; `core` and `alloc` are `std`.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) paths: BTreeSet<String>,
    /// Macros that are called, but for those that are defined here: of them all is seen.
    pub(crate) macros: BTreeSet<String>,
    pub(crate) words: BTreeSet<String>,
    /// Words of attributes.
    pub(crate) attributes: BTreeSet<String>,
    /// Modules in files of their own, by their paths.
    pub(crate) children: Vec<Vec<String>>,
    /// Words of what is compiled for tests alone.
    pub(crate) test_words: BTreeSet<String>,
    own_macros: BTreeSet<String>,
}

const ITEMS: &[&str] = &[
    "const", "enum", "fn", "impl", "let", "mod", "static", "struct", "trait", "type", "use",
];

impl Names {
    /// Of the text of a module whose own path is `module`, from the root of the crate.
    pub(crate) fn of(text: &str, module: &[String]) -> Names {
        let tokens: TokenStream = text.parse().expect("it compiles");
        let mut names = Names::default();
        names.scan(tokens, module);
        for own in std::mem::take(&mut names.own_macros) {
            names.macros.remove(&own);
        }
        names
    }

    fn scan(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some((first, behind)) = rest.split_first() {
            if let Some(attributed) = behind_test_attribute(rest) {
                let behind = behind_item(attributed);
                let skipped = attributed.len() - behind.len();
                words(attributed[..skipped].iter().cloned(), &mut self.test_words);
                rest = behind;
                continue;
            }
            if let Some(attribute) = attribute(rest) {
                words(attribute.into_iter(), &mut self.attributes);
            }
            rest = match first {
                TokenTree::Group(group) => {
                    self.scan(group.stream(), module);
                    behind
                }
                TokenTree::Ident(_) => self.named(rest, module),
                // A path of another crate, with a root written out: `::mio::Poll`.
                _ => behind,
            };
        }
    }

    /// What begins with a word: a module, a macro's call or a path. Returns what lies behind it.
    fn named<'a>(&mut self, tokens: &'a [TokenTree], module: &[String]) -> &'a [TokenTree] {
        let first = word(&tokens[0]).unwrap_or_default();
        if let ("mod", Some(name)) = (first.as_str(), tokens.get(1).and_then(word)) {
            let inner = [module, &[name]].concat();
            return match &tokens[2..] {
                [TokenTree::Group(group), behind @ ..] => {
                    self.scan(group.stream(), &inner);
                    behind
                }
                behind => {
                    self.children.push(inner);
                    behind
                }
            };
        }
        if first == "macro_rules" {
            self.own_macros.extend(tokens.get(2).and_then(word));
        }
        if is_punct(tokens.get(1), '!') && matches!(tokens.get(2), Some(TokenTree::Group(_))) {
            self.words.insert(first.clone());
            self.macros.insert(first);
            return &tokens[2..];
        }
        if first == "use" {
            let tree = match is_root(&tokens[1..]) {
                true => &tokens[3..],
                false => &tokens[1..],
            };
            self.words.insert(first);
            return self.path(tree, &[], module, true);
        }
        self.path(tokens, &[], module, false)
    }

    /// A path, and all that its groups make of it. `is_use`: also one of a single word.
    fn path<'a>(
        &mut self,
        tokens: &'a [TokenTree],
        before: &[String],
        module: &[String],
        is_use: bool,
    ) -> &'a [TokenTree] {
        let mut path = before.to_vec();
        let mut rest = tokens;
        let mut is_root_behind = false;
        loop {
            match rest.first() {
                Some(TokenTree::Ident(_)) => {
                    let word = word(&rest[0]).unwrap_or_default();
                    self.words.insert(word.clone());
                    path.push(word);
                    rest = &rest[1..];
                }
                Some(TokenTree::Punct(it)) if it.as_char() == '*' && is_use => {
                    path.push("*".to_owned());
                    rest = &rest[1..];
                }
                Some(TokenTree::Group(group))
                    if is_use && group.delimiter() == Delimiter::Brace =>
                {
                    self.group(group.stream(), &path, module);
                    return &rest[1..];
                }
                _ => break,
            }
            // A macro by its path: its name is the last word.
            if is_punct(rest.first(), '!') && matches!(rest.get(1), Some(TokenTree::Group(_))) {
                self.macros.extend(path.last().cloned());
                break;
            }
            is_root_behind = is_root(rest);
            if !is_root_behind {
                break;
            }
            rest = &rest[2..];
        }
        // Also half a path, in a macro that makes the rest of it.
        let is_begun = is_root_behind || path.iter().eq(["std"]);
        if path.len() > 1 || (is_use || is_begun) && !path.is_empty() {
            self.paths.insert(absolute(&path, module));
        }
        rest
    }

    /// `{a, b::c as d, self}` behind a path.
    fn group(&mut self, tokens: TokenStream, before: &[String], module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for tree in tokens.split(|token| is_punct(Some(token), ',')) {
            if !tree.is_empty() {
                let tree = if is_root(tree) { &tree[2..] } else { tree };
                let behind = self.path(tree, before, module, true);
                words(behind.iter().cloned(), &mut self.words);
            }
        }
    }
}

/// The attribute that the tokens begin with: `#[…]` or `#![…]`.
fn attribute(tokens: &[TokenTree]) -> Option<TokenStream> {
    let (hash, behind) = tokens.split_first()?;
    let behind = match is_punct(behind.first(), '!') {
        true => &behind[1..],
        false => behind,
    };
    match behind.first()? {
        TokenTree::Group(group) if is_punct(Some(hash), '#') => Some(group.stream()),
        _ => None,
    }
}

/// What follows a `#[cfg(…)]` that only tests and fuzz targets pass, if the tokens begin with one and it stands on an
/// item.
fn behind_test_attribute(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let [hash, TokenTree::Group(attribute), behind @ ..] = tokens else {
        return None;
    };
    let attribute: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let is_test = match &attribute[..] {
        [cfg, TokenTree::Group(given)] if word_is(Some(cfg), "cfg") => is_for_tests(given, false),
        _ => false,
    };
    (is_punct(Some(hash), '#') && is_test && is_item(behind)).then_some(behind)
}

/// Whether these conditions, of which any or all must hold, hold in tests and fuzz targets alone.
fn is_for_tests(given: &Group, of_any: bool) -> bool {
    let conditions: Vec<TokenTree> = given.stream().into_iter().collect();
    let is_test = |condition: &[TokenTree]| match condition {
        [one] => word_is(Some(one), "test") || word_is(Some(one), "fuzzing"),
        [any, TokenTree::Group(given)] if word_is(Some(any), "any") => is_for_tests(given, true),
        [all, TokenTree::Group(given)] if word_is(Some(all), "all") => is_for_tests(given, false),
        _ => false,
    };
    let mut conditions = conditions.split(|token| is_punct(Some(token), ','));
    match of_any {
        true => conditions.all(is_test),
        false => conditions.any(is_test),
    }
}

/// Whether an item stands here, and not a field, an arm or an expression, whose end is harder to tell.
fn is_item(tokens: &[TokenTree]) -> bool {
    match tokens {
        [hash, TokenTree::Group(_), behind @ ..] if is_punct(Some(hash), '#') => is_item(behind),
        [first, TokenTree::Group(scope), behind @ ..]
            if word_is(Some(first), "pub") && scope.delimiter() == Delimiter::Parenthesis =>
        {
            is_item(behind)
        }
        [first, behind @ ..] if word_is(Some(first), "pub") => is_item(behind),
        [first, ..] => word(first).is_some_and(|word| ITEMS.contains(&word.as_str())),
        [] => false,
    }
}

/// What lies behind an item: it ends with its braces, or with its semicolon.
fn behind_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is_punct(Some(other), ';'),
    };
    let end = tokens
        .iter()
        .position(is_end)
        .map_or(tokens.len(), |at| at + 1);
    &tokens[end..]
}

/// A path as it is from the root of its crate.
fn absolute(path: &[String], module: &[String]) -> String {
    let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let "core" | "alloc" = path[0] {
        path[0] = "std";
    }
    if let "self" | "super" = path[0] {
        let is_up = |part: &&&str| matches!(**part, "self" | "super");
        let (ups, rest) = path.split_at(path.iter().take_while(is_up).count());
        let ups = ups.iter().filter(|part| **part == "super").count();
        let from = &module[..module.len().saturating_sub(ups)];
        let from = from.iter().map(String::as_str);
        path = std::iter::once("crate")
            .chain(from)
            .chain(rest.iter().copied())
            .collect();
    }
    // `use std::fmt::{self, Debug}` names std::fmt.
    path.join("::").trim_end_matches("::self").to_owned()
}

fn words(tokens: impl Iterator<Item = TokenTree>, into: &mut BTreeSet<String>) {
    for token in tokens {
        match &token {
            TokenTree::Group(group) => words(group.stream().into_iter(), into),
            other => into.extend(word(other)),
        }
    }
}

fn word(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => Some(ident.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn word_is(token: Option<&TokenTree>, wanted: &str) -> bool {
    token.and_then(word).is_some_and(|word| word == wanted)
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Whether `::` stands here.
fn is_root(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}
