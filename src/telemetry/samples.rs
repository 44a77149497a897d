//! What a page of metrics says, read back: Prometheus' text format, as far as it is written here.

use std::collections::BTreeMap;

/// One line of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric; of a histogram with `_bucket`, `_sum` or `_count` behind it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How much.
    pub value: f64,
}

impl Sample {
    /// What a label says; empty where there is none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Reads a page. What is no sample is passed over.
pub fn read(page: &str) -> impl Iterator<Item = Sample> + '_ {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample> {
    let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Labels up to their brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let page = "# HELP a_total What.\n# TYPE a_total counter\na_total 3\n\
            b{x=\"1\",y=\"a \\\"b\\\\ \\n} ä\"} NaN\nc_bucket{le=\"+Inf\"} 2\nd{} -0.5\n\nbad\nbad{x=\"1\n";
        let read: Vec<Sample> = read(page).collect();
        assert_eq!(read.len(), 4);
        assert_eq!((read[0].name.as_str(), read[0].value), ("a_total", 3.0));
        assert_eq!((read[1].label("x"), read[1].label("y")), ("1", "a \"b\\ \n} ä"));
        assert!(read[1].value.is_nan() && read[1].label("z").is_empty());
        assert_eq!((read[2].label("le"), read[3].value), ("+Inf", -0.5));
    }
}
