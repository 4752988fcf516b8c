//! Python's pickle (protocols 2 to 5) as what it says: objects and calls, none of which is made.
//!
//! A pickle is a program for a machine with a stack, and in Python some of its steps call any function by its name. Here a call is a node
//! that remembers name and arguments, so that reading a file runs nothing. Bytes are not read, only where they lie is kept; names and
//! numbers are. What a file can make the machine hold is bounded by [`MOST_NODES`], [`MOST_STEPS`] and [`MOST_TEXT`].

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read, Result, Seek, SeekFrom};

use super::wrong;

/// Objects of a pickle.
const MOST_NODES: usize = 1 << 21;
/// Steps of its program.
const MOST_STEPS: usize = 1 << 23;
/// Bytes of all its names and texts; a text that is longer than [`LONG`] is kept as bytes.
const MOST_TEXT: usize = 64 << 20;
const LONG: u64 = 1 << 16;

/// The place of a node in [`Objects`].
pub(super) type Id = usize;

/// A Python object.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A text, and where its bytes lie.
    Text(String, u64),
    /// Bytes, or a text that is long: where they lie, and how many.
    Bytes(u64, u64),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or a class, by its name with the module's.
    Named(String),
    /// What a call would give.
    Call(Box<Call>),
    /// What the program that wrote the pickle keeps elsewhere, by what it calls it.
    Elsewhere(Id),
    /// An integer of more than 64 bits, or a set.
    Other,
}

/// A call, and what is then done to its outcome.
#[derive(Debug)]
pub(super) struct Call {
    /// What is called.
    pub(super) of: Id,
    pub(super) arguments: Id,
    /// What it is told of itself.
    pub(super) state: Option<Id>,
    /// What is put into it by keys.
    pub(super) entries: Vec<(Id, Id)>,
    /// What is appended to it.
    pub(super) items: Vec<Id>,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Objects {
    nodes: Vec<Node>,
}

impl Objects {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// The name of what a call calls, and the call.
    pub(super) fn call(&self, id: Id) -> Option<(&str, &Call)> {
        match self.node(id) {
            Node::Call(call) => match self.node(call.of) {
                Node::Named(name) => Some((name, call)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What a tuple or a list holds.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// Where bytes lie, which Python 2 wrote as it did texts, and how many.
    pub(super) fn bytes(&self, id: Id) -> Option<(u64, u64)> {
        match self.node(id) {
            Node::Text(text, start) => Some((*start, text.len() as u64)),
            Node::Bytes(start, length) => Some((*start, *length)),
            _ => None,
        }
    }

    /// A number, a truth as 0 or 1, an integer if a float can be it.
    pub(super) fn number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Int(number) => Some(*number as f64).filter(|float| *float as i64 == *number),
            Node::Float(number) => Some(*number),
            Node::Bool(is) => Some(f64::from(u8::from(*is))),
            _ => None,
        }
    }

    /// A number that counts.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A tuple or list of such.
    pub(super) fn counts(&self, id: Id) -> Option<Vec<usize>> {
        self.sequence(id)?.iter().map(|&id| self.count(id)).collect()
    }
}

/// The object that the pickle at `file` makes; `file` then stands behind it.
///
/// # Errors
/// Of the kind `InvalidData` if it is damaged, too large or of another protocol.
pub(super) fn read(file: &mut (impl BufRead + Seek), objects: &mut Objects) -> Result<Id> {
    let position = file.stream_position()?;
    let machine = Machine {
        file,
        position,
        objects,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        text: 0,
    };
    machine.run().map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => wrong("ends too early; it is damaged or truncated"),
        _ => error,
    })
}

struct Machine<'a, R> {
    file: &'a mut R,
    /// Where `file` stands.
    position: u64,
    objects: &'a mut Objects,
    stack: Vec<Id>,
    /// Lengths of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
    /// Bytes of texts so far.
    text: usize,
}

impl<R: BufRead + Seek> Machine<'_, R> {
    fn run(mut self) -> Result<Id> {
        for _ in 0..MOST_STEPS {
            let [step] = self.bytes::<1>()?;
            match step {
                // Protocol and frames.
                0x80 => {
                    let [protocol] = self.bytes::<1>()?;
                    if protocol > 5 {
                        return Err(wrong(&format!("is a pickle of protocol {protocol}; 2 to 5 are read")));
                    }
                }
                0x95 => _ = self.bytes::<8>()?,
                b'.' => return self.pop(),
                // The stack.
                b'(' => self.marks.push(self.stack.len()),
                b'0' => _ = self.pop()?,
                b'1' => _ = self.since_mark()?,
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                // The memory.
                b'q' => self.remember(Width::One)?,
                b'r' => self.remember(Width::Four)?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len() as u64, top);
                }
                b'h' => self.recall(Width::One)?,
                b'j' => self.recall(Width::Four)?,
                // Numbers.
                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                b'J' => {
                    let number = i32::from_le_bytes(self.bytes()?);
                    self.push(Node::Int(number.into()))?;
                }
                b'K' => {
                    let number = self.number(Width::One)?;
                    self.push(Node::Int(number as i64))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.bytes()?);
                    self.push(Node::Int(number.into()))?;
                }
                0x8a => self.long(Width::One)?,
                0x8b => self.long(Width::Four)?,
                b'G' => {
                    let number = f64::from_be_bytes(self.bytes()?);
                    self.push(Node::Float(number))?;
                }
                // Bytes, and texts of either Python.
                b'U' => self.old_text(Width::One)?,
                b'T' => self.old_text(Width::Four)?,
                b'C' => self.skipped(Width::One)?,
                b'B' => self.skipped(Width::Four)?,
                0x8e | 0x96 => self.skipped(Width::Eight)?,
                0x8c => self.text(Width::One)?,
                b'X' => self.text(Width::Four)?,
                0x8d => self.text(Width::Eight)?,
                0x98 => {}
                // Containers.
                b']' => self.push(Node::List(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                0x8f => self.push(Node::Other)?,
                0x85..=0x87 => {
                    let count = usize::from(step - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or_else(empty)?;
                    let items = self.stack.split_off(start);
                    self.push(Node::Tuple(items))?;
                }
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                b'l' => {
                    let items = self.since_mark()?;
                    self.push(Node::List(items))?;
                }
                b'd' => {
                    let items = self.since_mark()?;
                    self.push(Node::Dict(pairs(&items)))?;
                }
                0x91 => {
                    self.since_mark()?;
                    self.push(Node::Other)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(&items)?;
                }
                0x90 => _ = self.since_mark()?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(&items)?;
                }
                // Names, calls, and what is elsewhere.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Named(format!("{module}.{name}")))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let texts = self.objects.text(module).zip(self.objects.text(name));
                    let (module, name) = texts.ok_or_else(|| wrong("is damaged: a name that is no text"))?;
                    let named = format!("{module}.{name}");
                    self.push(Node::Named(named))?;
                }
                b'R' | 0x81 => {
                    let (arguments, of) = (self.pop()?, self.pop()?);
                    self.call(of, arguments)?;
                }
                0x92 => {
                    let (_, arguments, of) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(of, arguments)?;
                }
                b'b' => {
                    let state = self.pop()?;
                    if let Node::Call(call) = self.top_node()? {
                        call.state = Some(state);
                    }
                }
                b'Q' => {
                    let by = self.pop()?;
                    self.push(Node::Elsewhere(by))?;
                }
                b'I' | b'L' | b'F' | b'S' | b'V' | b'P' | b'p' | b'g' | b'i' | b'o' => {
                    return Err(wrong("is a pickle of protocol 0 or 1; 2 to 5 are read"));
                }
                0x97 => return Err(wrong("is a pickle whose arrays were kept elsewhere (out of band)")),
                _ => return Err(wrong(&format!("is no pickle, or damaged: it has the step {step:#04x}"))),
            }
        }
        Err(wrong(&format!("has more than {MOST_STEPS} steps")))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn number(&mut self, width: Width) -> Result<u64> {
        Ok(match width {
            Width::One => u64::from(self.bytes::<1>()?[0]),
            Width::Four => u64::from(u32::from_le_bytes(self.bytes()?)),
            Width::Eight => u64::from_le_bytes(self.bytes()?),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.file.take(LONG).read_until(b'\n', &mut line)?;
        self.position += line.len() as u64;
        if line.pop() != Some(b'\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.charged(line)
    }

    /// A text, of which there may be only so many.
    fn charged(&mut self, bytes: Vec<u8>) -> Result<String> {
        self.text += bytes.len();
        if self.text > MOST_TEXT {
            return Err(wrong(&format!("has more than {MOST_TEXT} bytes of text")));
        }
        String::from_utf8(bytes).map_err(|_| wrong("is damaged: a text that is not UTF-8"))
    }

    fn short(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes)?;
        self.position += length;
        Ok(bytes)
    }

    fn text(&mut self, width: Width) -> Result<()> {
        let (length, start) = (self.number(width)?, self.position);
        if length > LONG {
            return self.skip(length);
        }
        let bytes = self.short(length)?;
        let text = self.charged(bytes)?;
        self.push(Node::Text(text, start))
    }

    /// A text of Python 2, which may be bytes.
    fn old_text(&mut self, width: Width) -> Result<()> {
        let (length, start) = (self.number(width)?, self.position);
        if length > LONG {
            return self.skip(length);
        }
        let bytes = self.short(length)?;
        match self.charged(bytes) {
            Ok(text) => self.push(Node::Text(text, start)),
            Err(_) if self.text <= MOST_TEXT => self.push(Node::Bytes(start, length)),
            Err(error) => Err(error),
        }
    }

    fn skipped(&mut self, width: Width) -> Result<()> {
        let length = self.number(width)?;
        self.skip(length)
    }

    /// Bytes that are only passed by.
    fn skip(&mut self, length: u64) -> Result<()> {
        let start = self.position;
        let end = start.checked_add(length).ok_or(ErrorKind::UnexpectedEof)?;
        if length <= LONG {
            self.short(length)?;
        } else {
            // The last of them, as one can seek behind the end.
            self.file.seek(SeekFrom::Start(end - 1))?;
            self.file.read_exact(&mut [0])?;
            self.position = end;
        }
        self.push(Node::Bytes(start, length))
    }

    fn long(&mut self, width: Width) -> Result<()> {
        let length = self.number(width)?;
        if length > 8 {
            self.skip(length)?;
            self.pop()?;
            return self.push(Node::Other);
        }
        let bytes = self.short(length)?;
        let is_negative = bytes.last().is_some_and(|byte| *byte > 127);
        let mut whole = [if is_negative { 0xff } else { 0 }; 8];
        whole[..bytes.len()].copy_from_slice(&bytes);
        self.push(Node::Int(i64::from_le_bytes(whole)))
    }

    fn push(&mut self, node: Node) -> Result<()> {
        if self.objects.nodes.len() == MOST_NODES {
            return Err(wrong(&format!("holds more than {MOST_NODES} Python objects")));
        }
        self.stack.push(self.objects.nodes.len());
        self.objects.nodes.push(node);
        Ok(())
    }

    fn call(&mut self, of: Id, arguments: Id) -> Result<()> {
        let call = Call { of, arguments, state: None, entries: Vec::new(), items: Vec::new() };
        self.push(Node::Call(Box::new(call)))
    }

    fn pop(&mut self) -> Result<Id> {
        let is_above = self.marks.last().is_none_or(|mark| self.stack.len() > *mark);
        self.stack.pop().filter(|_| is_above).ok_or_else(empty)
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(empty)
    }

    fn top_node(&mut self) -> Result<&mut Node> {
        let top = self.top()?;
        Ok(&mut self.objects.nodes[top])
    }

    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(empty)?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, width: Width) -> Result<()> {
        let (place, top) = (self.number(width)?, self.top()?);
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, width: Width) -> Result<()> {
        let place = self.number(width)?;
        let id = self.memo.get(&place).ok_or_else(|| wrong("is damaged: it recalls what was not kept"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn append(&mut self, more: &[Id]) -> Result<()> {
        match self.top_node()? {
            Node::List(items) => items.extend(more),
            Node::Call(call) => call.items.extend(more),
            Node::Other => {}
            _ => return Err(wrong("is damaged: it appends to what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, more: &[Id]) -> Result<()> {
        match self.top_node()? {
            Node::Dict(entries) => entries.extend(pairs(more)),
            Node::Call(call) => call.entries.extend(pairs(more)),
            _ => return Err(wrong("is damaged: it puts a key into what has none")),
        }
        Ok(())
    }
}

/// How many bytes a length has.
#[derive(Clone, Copy)]
enum Width {
    One,
    Four,
    Eight,
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)).collect()
}

fn empty() -> std::io::Error {
    wrong("is damaged: a step takes what is not there")
}
