//! What a producer has written: which method of which model, found how, with what arguments. And PHP's idea of
//! truth, by which it is read.

use plugin_api::{
    schemars::{self, JsonSchema},
    serde::Deserialize,
    serde_json::Value,
};

/// The message as the PHP library's client makes it. Its other keys are the host's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
// What lacks a name is read, too, and fails as the PHP library has it fail: the schema says what is of use.
#[schemars(extend("required" = ["model", "method"]))]
pub struct Message {
    /// Name of the model, with or without a leading backslash and a namespace.
    #[serde(default)]
    #[schemars(with = "String", extend("examples" = ["\\App\\Models\\Order"]))]
    pub(crate) model: Value,
    /// Name of the method, in any case.
    #[serde(default)]
    #[schemars(with = "String", extend("examples" = ["cancel"]))]
    pub(crate) method: Value,
    /// What to find: a primary key, conditions, or a table of them; what PHP takes for false means a new instance.
    #[serde(default, rename = "modelParams")]
    #[schemars(extend("examples" = [12]))]
    pub(crate) model_params: Value,
    /// What the method is called with: a list by position, or a table by name.
    #[serde(default, rename = "methodParams")]
    #[schemars(extend("examples" = [["late"]]))]
    pub(crate) method_params: Value,
}

/// Whether PHP takes the value for true: everything but `false`, `null`, `0`, `0.0`, `""`, `"0"` and the empty array.
///
/// An object has members here if it has any in PHP: PHP's empty array and empty object look the same in JSON.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0"),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn truth_is_as_in_php() {
        for falsy in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(-0.0),
            json!(""),
            json!("0"),
            json!([]),
            json!({}),
        ] {
            assert!(!is_truthy(&falsy), "{falsy}");
        }
        for truthy in [
            json!(true),
            json!(-1),
            json!(0.1),
            json!(" "),
            json!("0.0"),
            json!("00"),
            json!("false"),
            json!([0]),
            json!({"a": null}),
        ] {
            assert!(is_truthy(&truthy), "{truthy}");
        }
    }
}
