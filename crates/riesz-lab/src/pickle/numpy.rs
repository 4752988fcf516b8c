//! NumPy's arrays in a pickle: `_reconstruct` of an empty one, which is then told version, shape, type, order and bytes; since
//! protocol 5 `_frombuffer` of bytes, type, shape and order.

use super::arrays::{Array, Held};
use super::machine::{Id, Node, Objects};
use crate::number::Number;

/// What a call says of an array.
struct Said {
    shape: Id,
    dtype: Id,
    by_columns: bool,
    bytes: Id,
}

/// The array that a call makes, or why it is not read; `None` if it makes something else.
pub(super) fn array(objects: &Objects, id: Id, pickle: &Held) -> Option<Result<Array, String>> {
    let said = said(objects, id)?;
    // Of an array of objects the bytes are a list.
    let ((start, length), held) = match objects.bytes(said.bytes) {
        Some(bytes) => (bytes, pickle.clone()),
        None => (text_of_bytes(objects, said.bytes)?, Held::Text(Box::new(pickle.clone()))),
    };
    let array = || {
        let shape = objects.counts(said.shape).ok_or("is damaged: its shape is not one")?;
        let (element, big_endian) = element(objects, said.dtype)?;
        let strides = Array::plain_strides(&shape, said.by_columns);
        Array::new(element, big_endian, [shape, strides], held, [start, length])
    };
    Some(array())
}

/// Where the text lies whose letters, up to U+00FF, are the bytes: so Python 3 writes them by protocol 2.
fn text_of_bytes(objects: &Objects, id: Id) -> Option<(u64, u64)> {
    let (name, call) = objects.call(id)?;
    match objects.sequence(call.arguments)? {
        &[text, code] if name == "_codecs.encode" && objects.text(code) == Some("latin1") => {
            objects.bytes(text)
        }
        _ => None,
    }
}

/// The list of an array of objects.
pub(super) fn objects(objects: &Objects, id: Id) -> Option<Id> {
    let bytes = said(objects, id)?.bytes;
    matches!(objects.node(bytes), Node::List(_)).then_some(bytes)
}

fn said(objects: &Objects, id: Id) -> Option<Said> {
    let (name, call) = objects.call(id)?;
    match name {
        "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
            let &[_, shape, dtype, by_columns, bytes] = objects.sequence(call.state?)? else { return None };
            let by_columns = matches!(objects.node(by_columns), Node::Bool(true) | Node::Int(1));
            Some(Said { shape, dtype, by_columns, bytes })
        }
        "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => {
            let &[bytes, dtype, shape, order] = objects.sequence(call.arguments)? else { return None };
            Some(Said { shape, dtype, by_columns: objects.text(order) == Some("F"), bytes })
        }
        _ => None,
    }
}

/// What `numpy.dtype("f4", False, True)` with the state `(3, "<", …)` says.
fn element(objects: &Objects, id: Id) -> Result<(Number, bool), String> {
    let damaged = || "is damaged: its type is not one".to_owned();
    let (name, call) = objects.call(id).ok_or_else(damaged)?;
    let kind = objects.sequence(call.arguments).and_then(|of| of.first()).and_then(|of| objects.text(*of));
    let kind = kind.filter(|_| name == "numpy.dtype").ok_or_else(damaged)?;
    let element = match kind {
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        "i1" => Number::I8,
        "u1" => Number::U8,
        "i2" => Number::I16,
        "u2" => Number::U16,
        "i4" => Number::I32,
        "u4" => Number::U32,
        "i8" => Number::I64,
        "u8" => Number::U64,
        "b1" => Number::Bool,
        other => return Err(format!("holds values of type {other}")),
    };
    let order = call.state.and_then(|state| objects.sequence(state)?.get(1).copied());
    Ok((element, order.is_some_and(|order| objects.text(order) == Some(">"))))
}
