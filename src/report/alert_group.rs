//! Groups of an alert and their names: `queue=billing, team="a, b"`. Different groups have different names.

/// Columns and values that identify a group of a result; `None` is NULL.
pub(crate) type Group = Vec<(String, Option<String>)>;

/// The name of a group. A string that could be read as something else, such as one with a comma, is quoted; NULL is not.
pub(crate) fn group_name(group: &Group) -> String {
    let part = |(column, value): &(String, Option<String>)| {
        let value = value.as_ref().map_or("NULL".into(), |value| quoted(value, &[]));
        format!("{}={value}", quoted(column, &['=']))
    };
    group.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str, special: &[char]) -> String {
    let is_plain = !text.is_empty()
        && text.trim() == text
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|character: char| {
            matches!(character, ',' | '"' | '\\') || character.is_control() || special.contains(&character)
        });
    if is_plain { text.into() } else { serde_json::Value::from(text).to_string() }
}

/// The group of a name, as [`group_name`] writes it; without the parts that it would not write.
pub(crate) fn parse_group(name: &str) -> Group {
    let mut group = Group::new();
    let mut rest = name;
    while !rest.is_empty() {
        let Some((column, after)) = token(rest, '=') else { break };
        let Some(after) = after.strip_prefix('=') else { break };
        let is_null = after == "NULL" || after.starts_with("NULL, ");
        let Some((value, after)) = token(after, ',') else { break };
        group.push((column, (!is_null).then_some(value)));
        rest = after.strip_prefix(", ").unwrap_or_default();
    }
    group
}

/// The string at the beginning, quoted or up to `end`, and what follows it.
fn token(text: &str, end: char) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let value = values.next()?.ok()?;
        let after = values.byte_offset();
        return Some((value, text.get(after..)?));
    }
    let at = text.find(end).unwrap_or(text.len());
    Some((text.get(..at)?.into(), text.get(at..)?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_groups_have_different_names_and_names_are_parsed() {
        let texts = [
            None,
            Some("NULL"),
            Some("null"),
            Some(""),
            Some(" "),
            Some("a"),
            Some("a, b=c"),
            Some("a=b"),
            Some("\"a\""),
            Some("a\\"),
            Some("a\nb"),
            Some("满意, 度"),
        ];
        let mut names = HashSet::new();
        for one in texts {
            for other in texts {
                let value = |text: Option<&str>| text.map(str::to_string);
                for columns in [["x", "y"], ["x=1, y", "z"]] {
                    let group = vec![(columns[0].to_string(), value(one)), (columns[1].to_string(), value(other))];
                    let name = group_name(&group);
                    assert_eq!(parse_group(&name), group, "{name}");
                    assert!(names.insert(name.clone()), "{name}");
                }
            }
            let name = group_name(&vec![("x".to_string(), one.map(str::to_string))]);
            assert!(names.insert(name.clone()), "{name}");
        }
        let plain =
            vec![("queue".to_string(), Some("billing".to_string())), ("team".to_string(), Some("a b".to_string()))];
        assert_eq!(group_name(&plain), "queue=billing, team=a b");
    }
}
