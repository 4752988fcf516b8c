//! Torch's files. Since 1.6 a zip: `NAME/data.pkl` and a member `NAME/data/KEY` for each storage. Before, and where the new one was
//! declined, pickles in a row (a magic number, a version, what the machine was, the object, the storages' keys), then each storage
//! behind the number of its elements.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Read, Result, Seek, SeekFrom};

use super::arrays::{Array, Held};
use super::machine::{self, Id, Node, Objects};
use super::{Contents, Walk, in_memory, wrong};
use crate::number::Number;
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
    let storages = |id: Id| {
        let said = said(&objects, id)?;
        let packed = named.get(format!("data/{}", said.key).as_str());
        let storage = packed.map(|packed| Storage {
            held: Held::Member(*packed),
            start: 0,
            length: packed.size(),
            big_endian,
        });
        Some((said, storage))
    };
    Walk::new(&objects, &pickle, &storages).contents(object)
}

pub(super) fn read_stream(file: &mut (impl BufRead + Seek), length: u64) -> Result<Contents> {
    let mut objects = Objects::default();
    let (object, places) = stream(file, length, &mut objects)?;
    let storages = |id: Id| {
        let said = said(&objects, id)?;
        let storage = places.get(said.key).cloned();
        Some((said, storage))
    };
    Walk::new(&objects, &Held::File, &storages).contents(object)
}

/// Storages that lie within a plain pickle, each as a file of the older form: so `pickle.dump` writes tensors.
pub(super) fn read_plain(file: &mut (impl BufRead + Seek)) -> Result<Contents> {
    let mut objects = Objects::default();
    let object = machine::read(file, &mut objects)?;
    // Each by where its file lies, which several may share.
    let mut files: BTreeMap<(u64, u64), (Id, BTreeMap<String, Storage>)> = BTreeMap::new();
    for id in 0..objects.len() {
        let Some((start, length)) = file_within(&objects, id).filter(|place| !files.contains_key(place))
        else {
            continue;
        };
        file.seek(SeekFrom::Start(start))?;
        files.insert((start, length), stream(file, start + length, &mut objects)?);
    }
    let storages = |id: Id| {
        let (object, places) = files.get(&file_within(&objects, id)?)?;
        let said = said(&objects, *object)?;
        let storage = places.get(said.key).cloned();
        Some((said, storage))
    };
    Walk::new(&objects, &Held::File, &storages).contents(object)
}

/// Where the file lies that a call reads a storage from.
fn file_within(objects: &Objects, id: Id) -> Option<(u64, u64)> {
    let (name, call) = objects.call(id)?;
    let bytes = *objects.sequence(call.arguments)?.first()?;
    (name == "torch.storage._load_from_bytes").then(|| objects.bytes(bytes)).flatten()
}

/// The object of the older form that begins where `file` stands and ends at the byte `length`, and where its storages lie.
fn stream(
    file: &mut (impl BufRead + Seek),
    length: u64,
    objects: &mut Objects,
) -> Result<(Id, BTreeMap<String, Storage>)> {
    let _magic = machine::read(file, objects)?;
    let version = machine::read(file, objects)?;
    if !matches!(objects.node(version), Node::Int(1001)) {
        return Err(wrong("is of another version of torch's older format than 1001"));
    }
    let machine = machine::read(file, objects)?;
    let is = |key: Id, value: Id| {
        objects.text(key) == Some("little_endian") && matches!(objects.node(value), Node::Bool(false))
    };
    let big_endian = match objects.node(machine) {
        Node::Dict(entries) => entries.iter().any(|&(key, value)| is(key, value)),
        _ => false,
    };
    let before = objects.len();
    let object = machine::read(file, objects)?;
    let of_object = before..objects.len();
    let keys = machine::read(file, objects)?;
    let keys = objects.sequence(keys).ok_or_else(|| wrong("is damaged: its storages have no keys"))?;
    // How long each storage is the object says where it speaks of it.
    let mut lengths: BTreeMap<&str, u64> = BTreeMap::new();
    for id in of_object {
        if let Some(Said { key, holds: Ok(holds), count }) = said(objects, id) {
            let bytes = holds.map_or(1, Number::bytes) as u64;
            lengths.insert(key, (count as u64).saturating_mul(bytes));
        }
    }
    let mut start = file.stream_position()?;
    let mut places = BTreeMap::new();
    for &key in keys {
        let known = objects.text(key).and_then(|key| Some((key, *lengths.get(key)?)));
        let (key, bytes) = known
            .ok_or_else(|| wrong("is damaged: a storage that nothing speaks of, or of an unknown type"))?;
        let end =
            start.checked_add(8).and_then(|start| start.checked_add(bytes)).filter(|end| *end <= length);
        let end = end.ok_or_else(|| wrong("ends too early; it is damaged or truncated"))?;
        places.insert(
            key.to_owned(),
            Storage { held: Held::File, start: start + 8, length: bytes, big_endian },
        );
        start = end;
    }
    Ok((object, places))
}

/// What is said of the storage that an object stands for, and where it lies, if it does.
pub(super) type Storages<'a> = &'a dyn Fn(Id) -> Option<(Said<'a>, Option<Storage>)>;

/// Where a storage lies.
#[derive(Clone)]
pub(super) struct Storage {
    held: Held,
    start: u64,
    /// Bytes.
    length: u64,
    big_endian: bool,
}

/// What an object says of a storage that lies elsewhere.
pub(super) struct Said<'a> {
    key: &'a str,
    /// Its type, `None` if it has none; or what torch calls the type that is not read.
    holds: std::result::Result<Option<Number>, String>,
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
        "Half" => Ok(Some(Number::F16)),
        "BFloat16" => Ok(Some(Number::Bf16)),
        "Float" => Ok(Some(Number::F32)),
        "Double" => Ok(Some(Number::F64)),
        "Char" => Ok(Some(Number::I8)),
        "Byte" => Ok(Some(Number::U8)),
        "Short" => Ok(Some(Number::I16)),
        "Int" => Ok(Some(Number::I32)),
        "Long" => Ok(Some(Number::I64)),
        "Bool" => Ok(Some(Number::Bool)),
        _ => Err(format!("holds values of type {of}")),
    };
    Some(Said { key: objects.text(key)?, holds, count: objects.count(count)? })
}

/// The tensor that a call makes, or why it is not read; `None` if it makes something else.
pub(super) fn tensor(
    objects: &Objects,
    id: Id,
    storages: Storages<'_>,
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
    storages: Storages<'_>,
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
    let storage = storages(storage)?;
    Some(placed(objects, storage, [offset, shape, strides], dtype))
}

fn placed(
    objects: &Objects,
    (said, storage): (Said<'_>, Option<Storage>),
    [offset, shape, strides]: [Id; 3],
    dtype: Option<Id>,
) -> std::result::Result<Array, String> {
    let damaged = || "is damaged: its place, shape and strides are not numbers".to_owned();
    let element = match dtype {
        Some(dtype) => of_dtype(objects, dtype)?,
        None => said.holds?.ok_or_else(|| "is of an untyped storage".to_owned())?,
    };
    let storage = storage.ok_or_else(|| format!("is damaged: its storage {} is missing", said.key))?;
    let skipped =
        objects.count(offset).and_then(|offset| offset.checked_mul(element.bytes())).ok_or_else(damaged)?;
    let shape = objects.counts(shape).ok_or_else(damaged)?;
    let strides = objects.counts(strides).ok_or_else(damaged)?;
    let left = storage.length.saturating_sub(skipped as u64);
    let start = storage.start.saturating_add(skipped as u64);
    Array::new(element, storage.big_endian, [shape, strides], storage.held, [start, left])
}

/// What `torch.uint16` and the like are.
fn of_dtype(objects: &Objects, id: Id) -> std::result::Result<Number, String> {
    let Node::Named(name) = objects.node(id) else {
        return Err("is damaged: its type is not one".to_owned());
    };
    match name.as_str() {
        "torch.float16" => Ok(Number::F16),
        "torch.bfloat16" => Ok(Number::Bf16),
        "torch.float32" => Ok(Number::F32),
        "torch.float64" => Ok(Number::F64),
        "torch.int8" => Ok(Number::I8),
        "torch.uint8" => Ok(Number::U8),
        "torch.int16" => Ok(Number::I16),
        "torch.uint16" => Ok(Number::U16),
        "torch.int32" => Ok(Number::I32),
        "torch.uint32" => Ok(Number::U32),
        "torch.int64" => Ok(Number::I64),
        "torch.uint64" => Ok(Number::U64),
        "torch.bool" => Ok(Number::Bool),
        _ => Err(format!("holds values of type {name}")),
    }
}
