//! JSON Schema, as much of it as our schemas use.

use std::collections::BTreeSet;

use serde_json::Value;

/// The part of JSON Schema that our schema uses; anything else in it is an error.
pub(crate) struct Schema(Value);

impl Schema {
    /// Reads a schema.
    pub(crate) fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// Whether a value fits; if not, where and why.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.check_at(&self.0, value, "report")
    }

    /// Every key is required, so that a program may rely on each.
    pub(crate) fn assert_requires_all_keys(&self) {
        walk(&self.0);
    }

    fn check_at(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{at}: {why}: {value}"));
        for (keyword, argument) in schema.as_object().ok_or("a schema is an object")? {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let name = argument.as_str().unwrap().strip_prefix('#').unwrap();
                    let definition = self.0.pointer(name).ok_or_else(|| name.to_owned())?;
                    self.check_at(definition, value, at)?;
                    true
                }
                "anyOf" => argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|choice| self.check_at(choice, value, at).is_ok()),
                "const" => value == argument,
                "enum" => argument.as_array().unwrap().contains(value),
                "type" => match argument {
                    Value::Array(types) => types.iter().any(|name| is_type(name, value)),
                    name => is_type(name, value),
                },
                "minimum" => value
                    .as_f64()
                    .is_none_or(|v| v >= argument.as_f64().unwrap()),
                "minItems" => len(value) >= argument.as_u64(),
                "maxItems" => len(value) <= argument.as_u64(),
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check_at(argument, item, &format!("{at}[{place}]"))?;
                    }
                    true
                }
                "required" => {
                    let names = argument.as_array().unwrap().iter();
                    names
                        .map(|name| name.as_str().unwrap())
                        .all(|name| value.get(name).is_some())
                }
                "properties" | "additionalProperties" => {
                    self.check_properties(schema, value, at)?;
                    true
                }
                other => return fail(&format!("the schema says {other}")),
            };
            if !holds {
                return fail(&format!("{keyword} is {argument}"));
            }
        }
        Ok(())
    }

    fn check_properties(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for (name, member) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            match (
                schema["properties"].get(name),
                &schema["additionalProperties"],
            ) {
                (Some(known), _) => self.check_at(known, member, &at)?,
                (None, Value::Bool(false)) => return Err(format!("{at} is not in the schema")),
                (None, others) => self.check_at(others, member, &at)?,
            }
        }
        Ok(())
    }
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    }
}

fn len(value: &Value) -> Option<u64> {
    Some(value.as_array()?.len() as u64)
}

fn walk(schema: &Value) {
    if let Some(properties) = schema.get("properties") {
        let names: BTreeSet<&str> = properties
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let required = schema["required"].as_array().unwrap().iter();
        assert_eq!(names, required.map(|name| name.as_str().unwrap()).collect());
    }
    match schema {
        Value::Object(members) => members.values().for_each(walk),
        Value::Array(items) => items.iter().for_each(walk),
        _ => {}
    }
}
