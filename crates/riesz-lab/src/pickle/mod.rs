//! Files that Python wrote by pickle: torch's (`torch.save`) and NumPy's arrays in any nest of dictionaries, lists and modules. Nothing is
//! run: `machine.rs`.
//!
//! | file | what |
//! |---|---|
//! | `machine.rs` | a pickle as objects and calls |
//! | `arrays.rs` | an array's numbers, wherever they lie |
//! | `torch.rs` | torch's files: a zip since 1.6, pickles and storages before; its tensors |
//! | `numpy.rs` | NumPy's arrays |
//!
//! What is wrong with a file's content is an error of the kind `InvalidData` that says what; other errors are the disk's.

mod arrays;
mod machine;
mod numpy;
mod torch;

use std::collections::BTreeSet;
use std::io::{BufRead, Error, ErrorKind, Read, Result, Seek};
use std::sync::Arc;

pub(crate) use arrays::Array;
use arrays::Held;
use machine::{Call, Id, Node, Objects};

/// What a file holds, in its order.
pub(crate) type Contents = Vec<Thing>;

/// What lies at a path of the nest.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    /// Keys and places, joined by points; empty if the file is the thing.
    pub(crate) path: String,
    /// Where the last of them begins.
    last: usize,
    pub(crate) content: Content,
}

impl Thing {
    /// The path of what it is within, and its key there.
    pub(crate) fn within(&self) -> (&str, &str) {
        self.path.split_at(self.last)
    }
}

/// What a thing is.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Array(Array),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// A list of texts, and of numbers as text; `None` is empty.
    Texts(Vec<String>),
    /// An array that is not read, and why.
    Unread(String),
}

/// How deep things may lie within one another.
const DEEPEST: usize = 64;
/// Bytes of all paths and texts that are told, a thing counted as [`THING`].
const MOST: usize = 256 << 20;
const THING: usize = 64;

/// What names of attributes stand for nothing in a path: where a module of torch keeps its own.
const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Reads a file of `length` bytes: what is in it and where, without the numbers.
///
/// # Errors
/// If it is no pickle, damaged, or too large to be looked at.
pub(crate) fn read(mut file: impl BufRead + Seek + Send, length: u64) -> Result<Contents> {
    let mut head = Vec::new();
    file.by_ref().take(262).read_to_end(&mut head)?;
    file.rewind()?;
    if head.starts_with(b"PK") {
        return torch::read_zip(&mut file, length);
    }
    if head.starts_with(torch::MAGIC) {
        return torch::read_stream(&mut file, length);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(wrong("is a tar, as torch wrote before 2017; load it in Python and save it again"));
    }
    if head.first() != Some(&0x80) {
        return Err(wrong("is no pickle: it does not begin as one of protocol 2 to 5 does"));
    }
    torch::read_plain(&mut file)
}

/// A walk through objects.
struct Walk<'a> {
    objects: &'a Objects,
    /// What holds the bytes of the pickle itself.
    pickle: &'a Held,
    storages: torch::Storages<'a>,
    found: Contents,
    /// What the walk is within: a thing may hold itself.
    within: BTreeSet<Id>,
    /// Of [`MOST`], what is spent.
    spent: usize,
}

impl<'a> Walk<'a> {
    fn new(objects: &'a Objects, pickle: &'a Held, storages: torch::Storages<'a>) -> Self {
        Self { objects, pickle, storages, found: Vec::new(), within: BTreeSet::new(), spent: 0 }
    }

    fn contents(mut self, root: Id) -> Result<Contents> {
        self.visit(root, &Path::default(), 0)?;
        Ok(self.found)
    }

    fn visit(&mut self, id: Id, path: &Path, depth: usize) -> Result<()> {
        self.spend(path.whole.len())?;
        if depth > DEEPEST {
            return Err(wrong(&format!("holds things {DEEPEST} deep within one another")));
        }
        if !self.within.insert(id) {
            return Ok(());
        }
        match self.objects.node(id) {
            Node::Dict(entries) => self.entries(entries, path, depth)?,
            Node::List(items) | Node::Tuple(items) => self.sequence(items, path, depth)?,
            Node::Call(call) => self.called(id, call, path, depth)?,
            _ => {}
        }
        self.within.remove(&id);
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.spent += THING + bytes;
        if self.spent > MOST {
            return Err(wrong("holds more things and names than are looked at"));
        }
        Ok(())
    }

    fn find(&mut self, path: &Path, content: Content) {
        self.found.push(Thing { path: path.whole.clone(), last: path.last, content });
    }

    fn entries(&mut self, entries: &[(Id, Id)], path: &Path, depth: usize) -> Result<()> {
        for &(key, value) in entries {
            let name = match self.objects.node(key) {
                Node::Text(text, _) => text.clone(),
                Node::Int(number) => number.to_string(),
                _ => continue,
            };
            if TABLES.contains(&name.as_str()) {
                self.visit(value, path, depth + 1)?;
            } else {
                self.visit(value, &path.to(&name), depth + 1)?;
            }
        }
        Ok(())
    }

    fn sequence(&mut self, items: &[Id], path: &Path, depth: usize) -> Result<()> {
        let objects = self.objects;
        let number = |&item: &Id| objects.number(item);
        if items.is_empty() {
            return Ok(());
        }
        if let Some(numbers) = items.iter().map(number).collect() {
            self.spend(8 * items.len())?;
            self.find(path, Content::Numbers(numbers));
            return Ok(());
        }
        let mut texts = Vec::new();
        for item in items {
            let text = match objects.node(*item) {
                Node::Text(text, _) => text.clone(),
                Node::Int(number) => number.to_string(),
                Node::None => String::new(),
                _ => match number(item) {
                    Some(number) => number.to_string(),
                    None => break,
                },
            };
            self.spend(text.len())?;
            texts.push(text);
        }
        if texts.len() == items.len() {
            self.find(path, Content::Texts(texts));
            return Ok(());
        }
        for (place, &item) in items.iter().enumerate() {
            self.visit(item, &path.to(&place.to_string()), depth + 1)?;
        }
        Ok(())
    }

    fn called(&mut self, id: Id, call: &Call, path: &Path, depth: usize) -> Result<()> {
        let array = match torch::tensor(self.objects, id, self.storages) {
            Some(array) => Some(array),
            None => numpy::array(self.objects, id, self.pickle),
        };
        if let Some(array) = array {
            self.find(path, array.map_or_else(Content::Unread, Content::Array));
            return Ok(());
        }
        if let Some(list) = numpy::objects(self.objects, id) {
            return self.visit(list, path, depth + 1);
        }
        // Python 2 made an ordered dictionary of a list of pairs.
        let is_ordered = self.objects.call(id).is_some_and(|(name, _)| name == "collections.OrderedDict");
        let given = self.objects.sequence(call.arguments).unwrap_or_default();
        if let ([pairs], true) = (given, is_ordered) {
            for pair in self.objects.sequence(*pairs).unwrap_or_default() {
                if let Some(&[key, value]) = self.objects.sequence(*pair) {
                    self.entries(&[(key, value)], path, depth + 1)?;
                }
            }
        }
        self.entries(&call.entries, path, depth)?;
        if !call.items.is_empty() {
            self.sequence(&call.items, path, depth)?;
        }
        // What an object remembers, in attributes or in slots; of a dictionary that is what torch notes beside the weights.
        let Some(state) = call.state.filter(|_| !is_ordered) else { return Ok(()) };
        let parts = match self.objects.node(state) {
            Node::Tuple(parts) => parts.clone(),
            _ => vec![state],
        };
        for part in parts {
            if let Node::Dict(entries) = self.objects.node(part) {
                self.entries(entries, path, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Keys on the way to a thing.
#[derive(Default)]
struct Path {
    whole: String,
    last: usize,
}

impl Path {
    fn to(&self, key: &str) -> Self {
        let before = if self.whole.is_empty() { String::new() } else { format!("{}.", self.whole) };
        Self { last: before.len(), whole: before + key }
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// A pickle that lies in memory, as what holds bytes.
fn in_memory(bytes: Vec<u8>) -> (Held, Arc<[u8]>) {
    let bytes: Arc<[u8]> = bytes.into();
    (Held::Memory(Arc::clone(&bytes)), bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read_bytes(program: &[u8]) -> std::result::Result<Contents, String> {
        let file = [b"\x80\x04", program].concat();
        read(Cursor::new(&file), file.len() as u64).map_err(|error| error.to_string())
    }

    #[test]
    fn things_are_told_by_their_paths() {
        let found = read_bytes(
            b"}(\x8c\x01a](K\x01\x8c\x02xyNeK\x02](](K\x03e}\x8c\x01b](G?\xf8\0\0\0\0\0\0\x88eseu.",
        )
        .unwrap();
        let told: Vec<(&str, &str, &Content)> =
            found.iter().map(|thing| (thing.path.as_str(), thing.within().1, &thing.content)).collect();
        let [
            ("a", "a", Content::Texts(a)),
            ("2.0", "0", Content::Numbers(b)),
            ("2.1.b", "b", Content::Numbers(c)),
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(
            (&a[..], &b[..], &c[..]),
            (&["1", "xy", ""].map(str::to_owned)[..], &[3.0][..], &[1.5, 1.0][..])
        );
        assert!(read_bytes(b"N.").unwrap().is_empty());
        let [only] = &read_bytes(b"]\x94(h\0](K\x05ee.").unwrap()[..] else {
            panic!("a list that holds itself, and another")
        };
        assert_eq!(only.path, "1");
    }

    #[test]
    fn a_program_that_would_not_end_or_hold_too_much_is_refused() {
        // Ten lists of ten lists of …, each written once.
        let laughs = |level: u8| [b"](", &[b'h', level].repeat(10)[..], b"e\x94"].concat();
        let laughs = [&b"](Nl\x94"[..], &(0..12).flat_map(laughs).collect::<Vec<u8>>(), b"."].concat();
        let deep = [&[b'('; 70][..], b"]", &[b'l'; 70], b"."].concat();
        let many = [&vec![b'N'; (1 << 21) + 1][..], b"."].concat();
        let long = [b"]\x94(", &b"h\0".repeat(1 << 23)[..], b"e."].concat();
        for (program, expected) in [
            (&deep[..], "64 deep within one another"),
            (&laughs, "more things and names than are looked at"),
            (&many, "more than 2097152 Python objects"),
            (&long, "more than 8388608 steps"),
            (b"(0.", "takes what is not there"),
            (b"N(a.", "takes what is not there"),
            (b"e.", "takes what is not there"),
            (b"Na.", "takes what is not there"),
            (b"NNa.", "appends to what is no list"),
            (b"NNNs.", "puts a key into what has none"),
            (b"h\x07.", "recalls what was not kept"),
            (b"K\x01K\x02\x93.", "a name that is no text"),
            (b"\x8c\x02\xff\xff.", "a text that is not UTF-8"),
            (b"B\xff\xff\xff\x7f.", "ends too early"),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "ends too early"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends too early"),
            (b"\x8b\xff\xff\xff\x7f.", "ends too early"),
            (b"I1\n.", "protocol 0 or 1"),
            (b"\x97.", "out of band"),
            (b"\xff.", "has the step 0xff"),
        ] {
            let message = read_bytes(program).unwrap_err();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }
}
