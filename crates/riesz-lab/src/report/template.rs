//! Pages from templates: HTML with everything in it, in the report's style.

use minijinja::{AutoEscape, Environment, Value};

use super::{SCRIPT, STYLE};
use crate::{Error, Result};

/// A page whose template has `style` and `script` besides `values`. What is not [`Value::from_safe_string`] is escaped.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub(crate) fn fill(template: &str, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_global("style", Value::from_safe_string(STYLE.to_owned()));
    environment.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
    environment
        .add_template("page", template)
        .and_then(|()| environment.get_template("page")?.render(values))
        .map_err(|error| Error::input(format!("the page's template: {error}")))
}
