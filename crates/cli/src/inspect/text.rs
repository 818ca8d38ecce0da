//! The report as text for people.

use super::report::Report;
use super::wit::Wit;
use crate::contents::{Common, Item, Part, Producer};
use crate::diagnostics::printable;
use crate::provided::Needs;
use crate::role::Role;

/// Writes `report` as text.
pub(crate) fn render(report: &Report) -> String {
    let mut sections = vec![headline(report)];
    sections.extend(wit(report));
    sections.extend(needs(&report.needs));
    sections.push(contents(&report.contents));
    sections.extend(made_by(&report.made_by));
    sections.join("\n")
}

fn headline(report: &Report) -> String {
    let Report { file, role, .. } = report;
    let next = match role {
        Role::Command { .. } if !report.needs.missing.is_empty() => {
            "it cannot run as it is: see below what is not provided".to_owned()
        }
        _ => role.next_step(file),
    };
    // No full stop behind what may be a command to copy.
    format!("{file} is {}.\n{}\n", role.phrase(), capitalized(&next))
}

fn wit(report: &Report) -> Option<String> {
    let mut text = String::new();
    let wit = report.wit.as_ref()?;
    match wit {
        Wit::World(wit) => {
            text.push_str("World:\n");
            push_indented(&mut text, wit);
        }
        Wit::Package(wit) => {
            text.push_str("Package:\n");
            push_indented(&mut text, wit);
        }
        Wit::Unwritable(reason) => {
            text.push_str("World: cannot be written as WIT, because\n");
            push_indented(&mut text, reason);
        }
    }
    let unwritten = |item: &&Item| match wit {
        Wit::Unwritable(_) => true,
        // The printer leaves out what WIT has no words for.
        Wit::World(_) => matches!(item.kind, "module" | "component" | "value"),
        Wit::Package(_) => false,
    };
    let common = report.contents.common();
    for (verb, items) in [("imports", &common.imports), ("exports", &common.exports)] {
        let items: Vec<&Item> = items.iter().filter(unwritten).collect();
        if !items.is_empty() {
            text.push_str(&format!("\nBeyond WIT, it {verb}:\n"));
        }
        for item in items {
            push_line(&mut text, 1, &format!("{} {}", item.kind, item.name));
        }
    }
    Some(text)
}

fn needs(needs: &Needs) -> Option<String> {
    let mut text = String::new();
    if !needs.provided.is_empty() {
        text.push_str("Needs, and is provided by `tombolo run`:\n");
        let rows = needs.provided.iter().map(|need| {
            let grant = need.grant.map(|grant| format!("{} with {}", grant.gives, grant.flag));
            (need.name.clone(), grant.unwrap_or_default())
        });
        push_table(&mut text, rows.collect());
    }
    if !needs.missing.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str("Needs, and is not provided:\n");
        push_table(
            &mut text,
            needs.missing.iter().map(|need| (need.name.clone(), need.why.clone())).collect(),
        );
    }
    (!text.is_empty()).then_some(text)
}

/// A line for each part and custom section: what it is, its size, what is in it.
fn contents(outermost: &Part) -> String {
    let mut lines: Vec<(String, String, String)> = Vec::new();
    outermost.visit(0, &mut |part, depth| {
        let indent = "  ".repeat(depth);
        let Common { name, bytes, custom_sections, .. } = part.common();
        let (kind, inside) = match part {
            Part::Component(_) => ("component", String::new()),
            Part::Module(module) => {
                let functions = match module.functions {
                    1 => "1 function".to_owned(),
                    count => format!("{count} functions"),
                };
                let (code, data) = (size(module.code_bytes), size(module.data_bytes));
                ("module", format!("{functions}, {code} of code, {data} of data"))
            }
        };
        let name = name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        lines.push((format!("{indent}{kind}{name}"), size(*bytes), inside));
        for section in custom_sections {
            let label = format!("{indent}  custom section \"{}\"", section.name);
            lines.push((label, size(section.bytes), String::new()));
        }
    });
    if let Part::Module(module) = outermost {
        for (verb, items) in [("imports", &module.common.imports), ("exports", &module.common.exports)] {
            for item in items {
                lines.push((format!("  {verb} {} {}", item.kind, item.name), String::new(), String::new()));
            }
        }
    }
    let labels = lines.iter().map(|(label, size, _)| if size.is_empty() { 0 } else { label.chars().count() });
    let width = labels.max().unwrap_or(0);
    let mut text = "Contents:\n".to_owned();
    for (label, size, inside) in lines {
        push_line(&mut text, 1, &format!("{label:width$}  {size:>9}  {inside}"));
    }
    text
}

fn made_by(producers: &[Producer]) -> Option<String> {
    let mut last = "";
    let rows = producers.iter().map(|Producer { field, name, version }| {
        let field = if std::mem::replace(&mut last, field) == field { String::new() } else { field.clone() };
        (field, format!("{name} {version}"))
    });
    let mut text = "Made by:\n".to_owned();
    push_table(&mut text, rows.collect());
    (!producers.is_empty()).then_some(text)
}

/// Two columns, the first as wide as its widest cell.
fn push_table(text: &mut String, rows: Vec<(String, String)>) {
    let width = rows.iter().map(|(first, _)| first.chars().count()).max().unwrap_or(0);
    for (first, second) in rows {
        push_line(text, 1, &format!("{first:width$}  {second}"));
    }
}

fn push_indented(text: &mut String, block: &str) {
    for line in block.trim_end().lines() {
        push_line(text, 1, line);
    }
}

/// Appends a line, without blanks at its end, and without what a terminal would take for a command.
fn push_line(text: &mut String, depth: usize, line: &str) {
    let line = line.trim_end();
    if !line.is_empty() {
        text.push_str(&"  ".repeat(depth));
    }
    text.push_str(&printable(line).replace('\n', "\\n"));
    text.push('\n');
}

fn capitalized(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

/// A size for people: three significant digits are enough.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let sizes = [0, 1023, 1024, 1536, 1 << 20, 3 << 30].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "3.0 GiB"]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut text = String::new();
        push_line(&mut text, 1, "a\u{1b}[31mb  ");
        assert_eq!(text, "  a\\u{1b}[31mb\n");
    }
}
