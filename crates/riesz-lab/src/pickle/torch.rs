//! Torch's files. Since 1.6 a zip: `NAME/data.pkl` and a member `NAME/data/KEY` for each storage. Before, and where the new one was
//! declined, pickles in a row (a magic number, a version, what the machine was, the object, the storages' keys), then each storage
//! behind the number of its elements.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Read, Result, Seek};

use super::arrays::{Array, Element, Held};
use super::machine::{self, Id, Node, Objects};
use super::{Contents, Walk, in_memory, wrong};
use crate::zip::{self, Packed};

/// How the older form begins: a pickle of protocol 2 that is the number 0x1950a86a20f9469cfc6c.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The most bytes of the pickle in a zip, which is held.
const MOST_PICKLE: u64 = 128 << 20;

pub(super) fn read_zip(file: &mut (impl Read + Seek + Send), length: u64) -> Result<Contents> {
    let members = zip::members(file, length)?;
    let root = members.iter().find_map(|member| member.name.strip_suffix("data.pkl"));
    let root = root.filter(|root| root.is_empty() || root.ends_with('/'));
    let Some(root) = root else {
        return Err(wrong("is a zip without the data.pkl of a file of torch; arrays of NumPy end in .npz"));
    };
    let mut named: BTreeMap<&str, Packed> = BTreeMap::new();
    for member in &members {
        let Some(name) = member.name.strip_prefix(root) else { continue };
        if let Some(why) = member.refusal {
            return Err(wrong(&format!("its member {name} {why}")));
        }
        named.insert(name, member.packed.unless_zero());
    }
    let mut held = |name: &str, most: u64| -> Result<Option<Vec<u8>>> {
        let Some(packed) = named.get(name) else { return Ok(None) };
        let mut bytes = Vec::new();
        packed.open(&mut *file)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(wrong(&format!("its member {name} has more than {most} bytes")));
        }
        Ok(Some(bytes))
    };
    let big_endian = held("byteorder", 16)?.is_some_and(|order| order == b"big");
    let (pickle, bytes) = in_memory(held("data.pkl", MOST_PICKLE)?.unwrap_or_default());
    let mut objects = Objects::default();
    let object = machine::read(&mut Cursor::new(bytes), &mut objects)?;
    let storages = |key: &str| {
        let packed = named.get(format!("data/{key}").as_str())?;
        Some(Storage { held: Held::Member(*packed), start: 0, length: packed.size(), big_endian })
    };
    Walk::new(&objects, &pickle, &storages).contents(object)
}

pub(super) fn read_stream(file: &mut (impl BufRead + Seek), length: u64) -> Result<Contents> {
    let mut objects = Objects::default();
    let _magic = machine::read(file, &mut objects)?;
    let version = machine::read(file, &mut objects)?;
    if !matches!(objects.node(version), Node::Int(1001)) {
        return Err(wrong("is of another version of torch's older format than 1001"));
    }
    let machine = machine::read(file, &mut objects)?;
    let is = |key: Id, value: Id| {
        objects.text(key) == Some("little_endian") && matches!(objects.node(value), Node::Bool(false))
    };
    let big_endian = match objects.node(machine) {
        Node::Dict(entries) => entries.iter().any(|&(key, value)| is(key, value)),
        _ => false,
    };
    let before = objects.len();
    let object = machine::read(file, &mut objects)?;
    let of_object = before..objects.len();
    let keys = machine::read(file, &mut objects)?;
    let keys = objects.sequence(keys).ok_or_else(|| wrong("is damaged: its storages have no keys"))?;
    // How long each storage is the object says where it speaks of it.
    let mut lengths: BTreeMap<&str, u64> = BTreeMap::new();
    for id in of_object {
        if let Some(Said { key, holds: Ok(holds), count }) = said(&objects, id) {
            let bytes = holds.map_or(1, Element::bytes) as u64;
            lengths.insert(key, (count as u64).saturating_mul(bytes));
        }
    }
    let mut start = file.stream_position()?;
    let mut places: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for &key in keys {
        let known = objects.text(key).and_then(|key| Some((key, *lengths.get(key)?)));
        let (key, bytes) = known
            .ok_or_else(|| wrong("is damaged: a storage that nothing speaks of, or of an unknown type"))?;
        let end = (start + 8).checked_add(bytes).filter(|end| *end <= length);
        let end = end.ok_or_else(|| wrong("ends too early; it is damaged or truncated"))?;
        places.insert(key, [start + 8, bytes]);
        start = end;
    }
    let storages = |key: &str| {
        let [start, length] = *places.get(key)?;
        Some(Storage { held: Held::File, start, length, big_endian })
    };
    Walk::new(&objects, &Held::File, &storages).contents(object)
}

/// Where a storage lies.
pub(super) struct Storage {
    held: Held,
    start: u64,
    /// Bytes.
    length: u64,
    big_endian: bool,
}

/// What an object says of a storage that lies elsewhere.
struct Said<'a> {
    key: &'a str,
    /// Its type, `None` if it has none; or what torch calls the type that is not read.
    holds: std::result::Result<Option<Element>, String>,
    /// Elements, bytes of one without a type.
    count: usize,
}

/// `("storage", type, key, device, count)`, and since it was told of views `None`.
fn said(objects: &Objects, id: Id) -> Option<Said<'_>> {
    let Node::Elsewhere(by) = objects.node(id) else { return None };
    let &[kind, of, key, _, count, ref view @ ..] = objects.sequence(*by)? else { return None };
    let Node::Named(of) = objects.node(of) else { return None };
    if objects.text(kind) != Some("storage") {
        return None;
    }
    let is_view = view.iter().any(|view| !matches!(objects.node(*view), Node::None));
    let name = of.rsplit('.').next().unwrap_or_default();
    let holds = match name.strip_suffix("Storage").unwrap_or_default() {
        _ if is_view => Err("is a view of a storage, as torch wrote before 0.4".to_owned()),
        "Untyped" => Ok(None),
        "Half" => Ok(Some(Element::F16)),
        "BFloat16" => Ok(Some(Element::Bf16)),
        "Float" => Ok(Some(Element::F32)),
        "Double" => Ok(Some(Element::F64)),
        "Char" => Ok(Some(Element::I8)),
        "Byte" => Ok(Some(Element::U8)),
        "Short" => Ok(Some(Element::I16)),
        "Int" => Ok(Some(Element::I32)),
        "Long" => Ok(Some(Element::I64)),
        "Bool" => Ok(Some(Element::Bool)),
        _ => Err(format!("holds values of type {of}")),
    };
    Some(Said { key: objects.text(key)?, holds, count: objects.count(count)? })
}

/// The tensor that a call makes, or why it is not read; `None` if it makes something else.
pub(super) fn tensor(
    objects: &Objects,
    id: Id,
    storages: &dyn Fn(&str) -> Option<Storage>,
) -> Option<std::result::Result<Array, String>> {
    let (name, call) = objects.call(id)?;
    let arguments = objects.sequence(call.arguments)?;
    match (name, arguments) {
        // What wraps a tensor: a parameter of a module, a class of one's own.
        ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [inner, ..]) => {
            tensor(objects, *inner, storages)
        }
        ("torch._tensor._rebuild_from_type_v2", [function, _, inner, ..]) => match objects.node(*function) {
            Node::Named(function) => rebuilt(objects, function, objects.sequence(*inner)?, storages),
            _ => None,
        },
        _ => rebuilt(objects, name, arguments, storages),
    }
}

fn rebuilt(
    objects: &Objects,
    function: &str,
    arguments: &[Id],
    storages: &dyn Fn(&str) -> Option<Storage>,
) -> Option<std::result::Result<Array, String>> {
    let dtype = match function {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => None,
        "torch._utils._rebuild_tensor_v3" => Some(*arguments.get(6)?),
        _ => {
            let kind = function.strip_prefix("torch._utils._rebuild_")?;
            return Some(Err(format!("is of a kind that is not read ({kind}); write it as a dense tensor")));
        }
    };
    let &[storage, offset, shape, strides, ..] = arguments else { return None };
    let said = said(objects, storage)?;
    Some(placed(objects, said, [offset, shape, strides], dtype, storages))
}

fn placed(
    objects: &Objects,
    said: Said<'_>,
    [offset, shape, strides]: [Id; 3],
    dtype: Option<Id>,
    storages: &dyn Fn(&str) -> Option<Storage>,
) -> std::result::Result<Array, String> {
    let damaged = || "is damaged: its place, shape and strides are not numbers".to_owned();
    let element = match dtype {
        Some(dtype) => of_dtype(objects, dtype)?,
        None => said.holds?.ok_or_else(|| "is of an untyped storage".to_owned())?,
    };
    let storage =
        storages(said.key).ok_or_else(|| format!("is damaged: its storage {} is missing", said.key))?;
    let skipped =
        objects.count(offset).and_then(|offset| offset.checked_mul(element.bytes())).ok_or_else(damaged)?;
    let shape = objects.counts(shape).ok_or_else(damaged)?;
    let strides = objects.counts(strides).ok_or_else(damaged)?;
    let left = storage.length.saturating_sub(skipped as u64);
    let start = storage.start.saturating_add(skipped as u64);
    Array::new(element, storage.big_endian, [shape, strides], storage.held, [start, left])
}

/// What `torch.uint16` and the like are.
fn of_dtype(objects: &Objects, id: Id) -> std::result::Result<Element, String> {
    let Node::Named(name) = objects.node(id) else {
        return Err("is damaged: its type is not one".to_owned());
    };
    match name.as_str() {
        "torch.float16" => Ok(Element::F16),
        "torch.bfloat16" => Ok(Element::Bf16),
        "torch.float32" => Ok(Element::F32),
        "torch.float64" => Ok(Element::F64),
        "torch.int8" => Ok(Element::I8),
        "torch.uint8" => Ok(Element::U8),
        "torch.int16" => Ok(Element::I16),
        "torch.uint16" => Ok(Element::U16),
        "torch.int32" => Ok(Element::I32),
        "torch.uint32" => Ok(Element::U32),
        "torch.int64" => Ok(Element::I64),
        "torch.uint64" => Ok(Element::U64),
        "torch.bool" => Ok(Element::Bool),
        _ => Err(format!("holds values of type {name}")),
    }
}
