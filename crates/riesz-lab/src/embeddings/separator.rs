//! Tables whose fields are separated by another sign than their ending says: which one, and what to do.

/// Signs that separate fields, and what they are called.
const SIGNS: [(char, &str); 5] = [(';', "`;`"), ('\t', "tabs"), (',', "`,`"), ('|', "`|`"), (' ', "blanks")];

/// What to say of a header that is one field and would be several.
pub(super) fn of_header(header: &[String], own: u8) -> String {
    match header {
        [only] => told(own, |sign| only.split(sign).count() > 1),
        _ => String::new(),
    }
}

/// What to say of a field that is no number and would be several; `alone` if its line has no other.
pub(super) fn of_field(field: &str, alone: bool, own: u8) -> String {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    let has_comma = field.matches(',').count() == 1 && is_number(&field.replace(',', "."));
    // Tabs around it say that the comma is no separator.
    if has_comma && !(alone && own == b'\t') {
        return "; it has a comma where numbers have a point".to_owned();
    }
    let is_number_of_some_kind = |text: &str| is_number(&text.replace(',', "."));
    told(own, |sign| {
        let parts: Vec<&str> = field.split(sign).collect();
        let is_number: &dyn Fn(&str) -> bool = if sign == ',' { &is_number } else { &is_number_of_some_kind };
        parts.len() > 1 && parts.into_iter().all(is_number)
    })
}

fn told(own: u8, separates: impl Fn(char) -> bool) -> String {
    let own = char::from(own);
    let Some((sign, name)) = SIGNS.into_iter().find(|(sign, _)| *sign != own && separates(*sign)) else {
        return String::new();
    };
    let (here, ending) = if own == '\t' { ("tabs", "tsv") } else { ("`,`", "csv") };
    let advice = match sign {
        '\t' => "call it .tsv",
        ',' => "call it .csv",
        _ => "write it so, with a point in numbers",
    };
    format!("; fields are separated by {name} here, and by {here} in a .{ending}; {advice}")
}
