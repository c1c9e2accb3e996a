//! A table of cells as Markdown, CSV or LaTeX; each format keeps text from data files from meaning anything in it.

use idk_common::text::terminal_safe;

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A number or another text of this program.
    Own(String),
    /// A name that may come from a data file.
    Name(String),
}

impl Cell {
    pub(crate) fn name(text: &str) -> Self {
        Self::Name(text.to_owned())
    }

    pub(crate) fn own(text: impl Into<String>) -> Self {
        Self::Own(text.into())
    }

    /// Its text where Markdown is printed.
    pub(crate) fn as_markdown(&self) -> String {
        match self {
            Self::Own(text) => text.clone(),
            // A bar would end the cell.
            Self::Name(text) => terminal_safe(text).replace('|', "/"),
        }
    }

    /// Its text as it is.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Own(text) | Self::Name(text) => text,
        }
    }
}

/// Rows of cells, the header first; all of the same length.
pub(crate) type TextTable = Vec<Vec<Cell>>;

/// A Markdown table: the first column to the left, the others to the right.
pub(crate) fn markdown(grid: &[Vec<Cell>]) -> String {
    let rows: Vec<Vec<String>> = grid.iter().map(|row| row.iter().map(Cell::as_markdown).collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        if index == 0 {
            let rules = widths.iter().enumerate().map(|(column, &width)| {
                if column == 0 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
            });
            text.push_str(&format!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        }
    }
    text
}

/// Comma-separated values with a header (RFC 4180).
pub(crate) fn csv(grid: &[Vec<Cell>]) -> String {
    let line = |row: &Vec<Cell>| row.iter().map(csv_cell).collect::<Vec<_>>().join(",") + "\n";
    grid.iter().map(line).collect()
}

/// A name that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection).
fn csv_cell(cell: &Cell) -> String {
    let text = match cell {
        Cell::Own(text) => text.clone(),
        Cell::Name(text) if text.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '\t', '\r']) => {
            format!("'{}", terminal_safe(text))
        }
        Cell::Name(text) => terminal_safe(text),
    };
    if text.contains([',', '"', '\n', '\r', '\'', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// A LaTeX table with the rules of the package booktabs; `text_columns` columns stand to the left. A line is drawn
/// wherever the first cell changes.
pub(crate) fn latex(grid: &[Vec<Cell>], text_columns: usize) -> String {
    let columns = grid.first().map_or(0, Vec::len);
    let left = text_columns.min(columns);
    let alignment = "l".repeat(left) + &"r".repeat(columns - left);
    let mut text = format!("% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n");
    for (index, row) in grid.iter().enumerate() {
        if index > 0 && grid[index - 1].first() != row.first() {
            text.push_str("\\midrule\n");
        }
        let cells: Vec<String> = row.iter().map(latex_cell).collect();
        text.push_str(&format!("{} \\\\\n", cells.join(" & ")));
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text
}

fn latex_cell(cell: &Cell) -> String {
    let text = match cell {
        Cell::Own(text) => text.clone(),
        Cell::Name(text) => terminal_safe(text),
    };
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '{' | '}' | '$' | '&' | '%' | '#' | '_' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            // A bracket after the end of a row would be read as its option.
            '[' => escaped.push_str("{[}"),
            ']' => escaped.push_str("{]}"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(name: &str) -> TextTable {
        vec![vec![Cell::own("test"), Cell::own("RGI")], vec![Cell::name(name), Cell::own("-0.19")]]
    }

    #[test]
    fn names_that_a_spreadsheet_would_run_are_made_text_and_numbers_stay_numbers() {
        for (name, expected) in [
            ("=1+1", "\"'=1+1\",-0.19"),
            (" @SUM(A1)", "\"' @SUM(A1)\",-0.19"),
            ("\t=cmd", "\"'\\u{9}=cmd\",-0.19"),
            ("-2", "\"'-2\",-0.19"),
            ("a \"b\", c", "\"a \"\"b\"\", c\",-0.19"),
            ("sound", "sound,-0.19"),
        ] {
            assert_eq!(csv(&grid(name)).lines().nth(1).unwrap(), expected);
        }
        assert!(!csv(&grid("\u{1b}[2J\nx")).contains('\u{1b}'));
    }

    #[test]
    fn every_character_with_a_meaning_in_latex_is_escaped() {
        let table = latex(&grid("a_b & 5% $x$ #1 {y} \\input{z} ~^<>|[]"), 1);
        let row = table.lines().find(|line| line.contains("a\\_b")).unwrap();
        assert_eq!(
            row,
            "a\\_b \\& 5\\% \\$x\\$ \\#1 \\{y\\} \\textbackslash{}input\\{z\\} \\textasciitilde{}\\textasciicircum{}\
             \\textless{}\\textgreater{}\\textbar{}{[}{]} & -0.19 \\\\"
        );
        for part in ["\\begin{tabular}{lr}", "\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}"] {
            assert_eq!(table.matches(part).count(), 1, "{part} in {table}");
        }
    }

    #[test]
    fn a_markdown_table_is_aligned_whatever_the_names_are() {
        let table = markdown(&grid("a|b\u{1b}[2J"));
        assert!(!table.contains('\u{1b}'));
        let lengths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|&length| length == lengths[0]), "{table}");
        assert!(table.lines().all(|line| line.matches('|').count() == 3), "{table}");
    }
}
