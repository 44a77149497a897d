//! Comma-separated values, as RFC 4180 has them, that no spreadsheet takes for formulas.

/// A line of cells, with its end.
pub(super) fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.map(quoted).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// RFC 4180 § 2: "Fields containing line breaks (CRLF), double quotes, and commas should be enclosed in
/// double-quotes. If double-quotes are used to enclose fields, then a double-quote appearing inside a field must
/// be escaped by preceding it with another double quote."
fn quoted(cell: String) -> String {
    if cell.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

/// The text of somebody else, as a spreadsheet takes it for text: what begins as a formula does has an apostrophe
/// before it.
pub(super) fn defused(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{text}");
    }
    text
}

/// Reads what [`line`] wrote; `None` where a quotation does not end.
#[cfg(test)]
pub(super) fn read(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut within = false;
    while let Some(c) = chars.next() {
        match (c, within) {
            ('"', true) if chars.next_if_eq(&'"').is_some() => cell.push('"'),
            ('"', _) => within = !within,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) if chars.next_if_eq(&'\n').is_some() => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (c, _) => cell.push(c),
        }
    }
    (!within && row.is_empty() && cell.is_empty()).then_some(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_be_a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(defused(formula.to_owned()), format!("'{formula}"));
        }
        for text in ["", "login-991", "a=b", "'=1"] {
            assert_eq!(defused(text.to_owned()), text);
        }
    }

    proptest! {
        /// Whatever stands in the cells: they are read as they were written, and as many of them.
        #[test]
        fn cells_are_read_as_they_were_written(
            rows in prop::collection::vec(prop::collection::vec("[a-z\",\r\n'=é ]{0,8}", 1..5), 0..5)
        ) {
            let text: String = rows.iter().map(|row| line(row.iter().cloned())).collect();
            prop_assert_eq!(read(&text), Some(rows));
        }
    }
}
