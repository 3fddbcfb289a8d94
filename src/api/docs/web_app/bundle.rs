//! Puts modules, and style sheets, together into one file.
//!
//! Not a parser of JavaScript. It reads lines, and knows the few forms in which `web/` writes imports and exports, each
//! beginning a line: `import { a, b as c } from './x.js';`, `export function`, `export class`, `export const`, and
//! `import('./x.js')` for what is loaded later. Any other is an error that names the line, and a test makes sure that
//! there is none. Each module becomes a function that is called once, after those of the modules that it imports:
//!
//! ```js
//! const $ui_dom = (() => {
//!   …
//!   return { h, svg };
//! })();
//! ```

use std::fmt::Write;

use crate::api::http::error::{Error, Result};

/// Reads a file of `web/`.
type Read<'a> = &'a dyn Fn(&str) -> Result<String>;
/// The address of a file of `web/`.
type AddressOf<'a> = &'a dyn Fn(&str) -> Result<String>;

/// The module at `path` and all that it imports.
pub fn script(path: &str, read: Read, address_of: AddressOf) -> Result<String> {
    let mut bundle = Script { read, address_of, text: String::new(), begun: Vec::new(), done: Vec::new() };
    bundle.add(path)?;
    Ok(bundle.text)
}

struct Script<'a> {
    read: Read<'a>,
    address_of: AddressOf<'a>,
    text: String,
    /// Modules whose imports are being added: one of these again is a circle.
    begun: Vec<String>,
    done: Vec<String>,
}

impl Script<'_> {
    /// Adds a module, unless it is there, behind those that it imports.
    fn add(&mut self, path: &str) -> Result<()> {
        if self.done.iter().any(|done| done == path) {
            return Ok(());
        }
        if self.begun.iter().any(|begun| begun == path) {
            return Err(Error::Internal(format!("web/{path} imports itself, by way of {}", self.begun.join(", "))));
        }
        self.begun.push(path.to_owned());
        let (body, exports) = self.rewritten(path)?;
        let exports = exports.join(", ");
        let name = variable(path);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "// {path}\nconst {name} = (() => {{\n{body}return {{ {exports} }};\n}})();\n\n");
        self.begun.pop();
        self.done.push(path.to_owned());
        Ok(())
    }

    /// The module with its imports taken from the other modules' variables, and the names that it exports.
    fn rewritten(&mut self, path: &str) -> Result<(String, Vec<String>)> {
        let source = (self.read)(path)?;
        let (mut body, mut exports) = (String::with_capacity(source.len()), Vec::new());
        let mut lines = source.lines();
        let mut in_comment = false;
        while let Some(line) = lines.next() {
            let wrong = || Error::Internal(format!("web/{path}: cannot put this into the bundle: {line}"));
            // Comments are for readers of `web/`, and a fifth of what a browser would load. A line of a text never begins as
            // one does.
            let text = line.trim();
            if in_comment || text.starts_with("//") || (text.starts_with("/*") && is_all_comment(text)) {
                if in_comment && !is_all_comment(text) {
                    return Err(wrong());
                }
                in_comment = (in_comment || text.starts_with("/*")) && !text.ends_with("*/");
                continue;
            }
            if line.starts_with("import ") {
                let mut statement = line.to_owned();
                while !statement.ends_with(';') {
                    statement.push_str(lines.next().ok_or_else(wrong)?.trim());
                }
                let (names, from) = parse_import(&statement).ok_or_else(wrong)?;
                let from = resolve(path, from);
                self.add(&from)?;
                let _ = writeln!(body, "const {{{}}} = {};", names.replace(" as ", ": "), variable(&from));
            } else if let Some(declaration) = line.strip_prefix("export ") {
                exports.push(declared_name(declaration).ok_or_else(wrong)?.to_owned());
                body.push_str(declaration);
                body.push('\n');
            } else if line.starts_with("export") || (line.starts_with("import") && !line.starts_with("import(")) {
                return Err(wrong());
            } else {
                body.push_str(&self.with_addresses(path, line)?);
                body.push('\n');
            }
        }
        Ok((body, exports))
    }

    /// `import('./x.js')` with the address of that file in its place.
    fn with_addresses(&self, path: &str, line: &str) -> Result<String> {
        let Some((before, rest)) = line.split_once("import('.").filter(|(before, _)| !is_comment(before)) else {
            return Ok(line.to_owned());
        };
        let (to, after) = rest.split_once('\'').unwrap_or((rest, ""));
        let address = (self.address_of)(&resolve(path, &format!(".{to}")))?;
        Ok(format!("{before}import('{address}'{after}"))
    }
}

/// Whether nothing but a comment is on a line that begins in one: not `/** @type {X} */ (value).y`.
fn is_all_comment(text: &str) -> bool {
    text.find("*/").is_none_or(|end| end + 2 == text.len())
}

fn is_comment(text: &str) -> bool {
    ["*", "/*", "//"].iter().any(|mark| text.trim_start().starts_with(mark))
}

/// The names, as they are written, and the path.
fn parse_import(statement: &str) -> Option<(&str, &str)> {
    let (names, from) = statement.strip_prefix("import {")?.split_once('}')?;
    let from = from.trim().strip_prefix("from '")?.strip_suffix("';")?;
    from.starts_with('.').then_some((names, from))
}

fn declared_name(declaration: &str) -> Option<&str> {
    let kinds = ["const ", "function ", "class ", "async function "];
    let rest = kinds.iter().find_map(|kind| declaration.strip_prefix(kind))?;
    let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
    (!name.is_empty()).then_some(name)
}

/// The variable of a module: `ui/dom.js` is `$ui_dom`.
fn variable(path: &str) -> String {
    format!("${}", path.trim_end_matches(".js").replace(['/', '.', '-'], "_"))
}

/// Where `to` leads from the file `path`.
fn resolve(path: &str, to: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The style sheet at `path` with those that it imports, `@import "x.css";` or `@import "x.css" print;`, in their places.
pub fn style(path: &str, read: Read) -> Result<String> {
    let mut text = String::new();
    for line in read(path)?.lines() {
        let Some(import) = line.strip_prefix("@import \"").and_then(|rest| rest.strip_suffix(';')) else {
            if line.starts_with("@import") {
                return Err(Error::Internal(format!("web/{path}: cannot put this into the bundle: {line}")));
            }
            let _ = writeln!(text, "{line}");
            continue;
        };
        let (to, medium) = import.split_once('"').unwrap_or((import, ""));
        let sheet = read(&resolve(path, to))?;
        if sheet.lines().any(|line| line.starts_with("@import")) {
            return Err(Error::Internal(format!(
                "web/{to} imports another sheet: browsers ignore that within a sheet"
            )));
        }
        let _ = match medium.trim() {
            "" => writeln!(text, "{sheet}"),
            medium => writeln!(text, "@media {medium} {{\n{sheet}}}"),
        };
    }
    Ok(text)
}

/// The page with the address of this content in the place of each address of a file of `web/`.
pub fn with_versions(page: &str, address_of: impl Fn(&str) -> Result<String>) -> Result<String> {
    const PREFIX: &str = "=\"/web/";
    let mut parts = page.split(PREFIX);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once('"').unwrap_or((part, ""));
        let _ = write!(text, "=\"{}\"{rest}", address_of(path)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<String> {
        let source = match path {
            "app.js" => {
                "import {\n  b as c,\n  d,\n} from './ui/b.js';\nimport { d as e } from './d.js';\nimport('./ui/late.js');\n"
            }
            "ui/b.js" => "import { d } from '../d.js';\nexport const b = d;\nexport async function f() {}\n",
            "d.js" => "/** @type {import('./ui/b.js').B} */\nexport class d {}\n",
            "circle.js" => "import { x } from './circle.js';\n",
            "default.js" => "export default 1;\n",
            "star.js" => "import * as all from './d.js';\n",
            "again.js" => "export { d } from './d.js';\n",
            "comments.js" => "/**\n * import {\n */\n  // const a = 1;\n/** @type {X} */ (b).c;\n/* d */\n",
            "behind.js" => "/* a\n b */ c();\n",
            "all.css" => "@import \"ui/a.css\";\n@import \"ui/p.css\" print;\nc {}\n",
            "single.css" => "@import 'ui/a.css';\n",
            "ui/a.css" => "a {}\n",
            "ui/p.css" => "p {}\n",
            _ => return Err(Error::Internal(path.to_owned())),
        };
        Ok(source.to_owned())
    }

    fn address(path: &str) -> Result<String> {
        Ok(format!("/web/{path}?v=1"))
    }

    #[test]
    fn each_module_stands_once_behind_those_that_it_imports() {
        let text = script("app.js", &read, &address).expect("a bundle");
        let expected = "\
// d.js
const $d = (() => {
class d {}
return { d };
})();

// ui/b.js
const $ui_b = (() => {
const { d } = $d;
const b = d;
async function f() {}
return { b, f };
})();

// app.js
const $app = (() => {
const {b: c,d,} = $ui_b;
const { d: e } = $d;
import('/web/ui/late.js?v=1');
return {  };
})();

";
        assert_eq!(text, expected);
    }

    #[test]
    fn comments_are_left_out() {
        let text = script("comments.js", &read, &address).expect("a bundle");
        assert_eq!(
            text,
            "// comments.js\nconst $comments = (() => {\n/** @type {X} */ (b).c;\nreturn {  };\n})();\n\n"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for path in ["circle.js", "default.js", "star.js", "again.js", "behind.js", "missing.js"] {
            assert!(script(path, &read, &address).is_err(), "{path}");
        }
        assert!(style("single.css", &read).is_err());
    }

    #[test]
    fn sheets_stand_where_they_are_imported() {
        assert_eq!(style("all.css", &read).expect("a sheet"), "a {}\n\n@media print {\np {}\n}\nc {}\n");
    }

    #[test]
    fn a_page_has_the_addresses_of_its_files() {
        let page = with_versions("<a href=\"/web/x.css\"><b src=\"/web/y.js\"></b>", address).expect("a page");
        assert_eq!(page, "<a href=\"/web/x.css?v=1\"><b src=\"/web/y.js?v=1\"></b>");
    }
}
