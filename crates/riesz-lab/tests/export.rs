//! Exported encoders: an ONNX graph whose every name is made before it is read and whose numbers have their shapes, for each
//! built-in backbone; and the command. That onnxruntime and torchvision give riesz's rows is held by the Python tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::export::{Rows, loading, onnx, weights};
use riesz_lab::network::Network;
use riesz_lab::tensors::NamedTensor;

/// A field of a message: its number, and the number or bytes that it holds.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number of more than ten bytes")
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            kind => {
                let length = if kind == 5 { 4 } else { varint(&mut bytes) as usize };
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(content)
            }
        };
        found.push((tag >> 3, field));
    }
    found
}

fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let bytes = |(found, field)| match field {
        Field::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(bytes).collect()
}

fn texts(message: &[u8], number: u64) -> Vec<String> {
    all(message, number).into_iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

fn recipe(backbone: Backbone) -> EncoderRecipe {
    EncoderRecipe {
        backbone,
        stem: Stem::Auto,
        pixels: None,
        projector: ProjectorRecipe { hidden: 24, output: 12 },
    }
}

fn drawn(network: &Network) -> Vec<NamedTensor> {
    let named = |spec: riesz_lab::network::Spec| {
        let values = spec.begin(Key::new(3));
        NamedTensor { name: spec.name, shape: spec.shape, values }
    };
    network.tensors().into_iter().map(named).collect()
}

#[test]
fn every_backbone_becomes_a_sound_graph() {
    for (backbone, size, channels, operations) in [
        (
            Backbone::ResnetSmall,
            28,
            1,
            &["Conv", "BatchNormalization", "Relu", "Add", "GlobalAveragePool"][..],
        ),
        (Backbone::Resnet18, 96, 3, &["MaxPool", "Conv"]),
        (Backbone::Resnet50, 32, 3, &["Conv", "Flatten"]),
        (Backbone::VitTiny, 32, 3, &["LayerNormalization", "Softmax", "Erf", "Expand", "Gather"]),
    ] {
        let recipe = recipe(backbone);
        let encoder = recipe.network(size, channels).unwrap();
        let classifier = recipe.classifier(size, channels, 7).unwrap();
        let (h, z, logits) =
            (encoder.representation(), encoder.layers().len() - 1, classifier.layers().len() - 1);
        for (network, layer, normalized) in
            [(&encoder, h, false), (&encoder, z, true), (&classifier, logits, false)]
        {
            let tensors = drawn(network);
            let rows = Rows { layer, name: "rows".to_owned(), normalized };
            let about = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
            let model = onnx(network, &tensors, &rows, &about);
            let [graph] = all(&model, 7)[..] else { panic!("one graph") };
            let mut known: BTreeSet<String> =
                all(graph, 11).iter().flat_map(|input| texts(input, 1)).collect();
            assert_eq!(known.iter().collect::<Vec<_>>(), ["images"]);
            let mut stored = 0;
            for tensor in all(graph, 5) {
                let [shape] = all(tensor, 1)[..] else { panic!("one shape") };
                let (mut rest, mut count) = (shape, 1);
                while !rest.is_empty() {
                    count *= varint(&mut rest);
                }
                let width = match fields(tensor).iter().find(|(number, _)| *number == 2) {
                    Some((_, Field::Number(1))) => 4,
                    Some((_, Field::Number(7))) => 8,
                    _ => panic!("floats or whole numbers"),
                };
                assert_eq!(all(tensor, 9)[0].len() as u64, width * count, "{:?}", texts(tensor, 8));
                assert!(known.insert(texts(tensor, 8).remove(0)), "{:?} is stored twice", texts(tensor, 8));
                stored += 1;
            }
            assert!(stored > 10);
            let mut found = BTreeSet::new();
            let mut read = BTreeSet::new();
            for node in all(graph, 1) {
                for input in texts(node, 1) {
                    assert!(known.contains(&input), "{backbone:?}: {input} is read before it is made");
                    read.insert(input);
                }
                assert!(known.insert(texts(node, 2).remove(0)), "a name is made twice");
                found.extend(texts(node, 4));
            }
            assert!(operations.iter().all(|op| found.contains(*op)), "{backbone:?}: {found:?}");
            assert_eq!(found.contains("LpNormalization"), normalized);
            // Nothing is in the file that no row depends on.
            let unread: Vec<&String> = known.difference(&read).collect();
            assert_eq!(unread, ["rows"], "{backbone:?}");
            assert_eq!(texts(all(&model, 14)[0], 2), ["value"]);
        }
    }
}

#[test]
fn weights_have_torchvisions_names_and_lines_that_load_them() {
    let recipe = recipe(Backbone::Resnet18);
    let own = weights(drawn(&recipe.network(32, 3).unwrap()));
    let names: Vec<&str> = own.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(names.contains(&"layer4.1.bn2.running_var") && names.contains(&"conv1.weight"), "{names:?}");
    assert!(names.iter().all(|name| !name.contains("backbone") && !name.contains("projector")));
    let lines = loading(&recipe, [32, 3], &own, "w.safetensors");
    assert!(lines.contains("resnet18()") && lines.contains("Conv2d(3, 64, 3, padding=1"), "{lines}");
    let large = weights(drawn(&recipe.network(96, 3).unwrap()));
    assert!(!loading(&recipe, [96, 3], &large, "w.safetensors").contains("conv1"), "torchvision's own stem");
}

fn riesz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).args(arguments).output().unwrap()
}

#[test]
fn the_command_writes_the_encoder_and_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = path("run");
    let quick = [
        "data.limit=64",
        "evaluation.pairs=20",
        "evaluation.references=64",
        "evaluation.epoch-references=64",
        "batch=32",
        "augment.size=12",
    ];
    let mut arguments = vec!["train", "--run", &run, "--epochs", "1", "--quiet"];
    arguments.extend(quick.iter().flat_map(|key| ["--set", key]));
    let trained = riesz(&arguments);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    for (output, more, told) in [
        ("a.onnx", &[][..], "Out: `representation`, float [batch, 128]."),
        ("b.onnx", &["--part", "projector"], "`embedding`, float [batch, 128], of unit length."),
        ("c.safetensors", &[], "load_state_dict(load_file(\"c.safetensors\"))"),
    ] {
        let file = path(output);
        let exported = riesz(&[&["export", &run, "--output", &file], more].concat());
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        assert!(std::fs::metadata(&file).unwrap().len() > 100_000);
        let card = std::fs::read_to_string(std::path::Path::new(&file).with_extension("md")).unwrap();
        let pixels =
            "convert(\"L\")\n    shorter = min(image.size)\n    image = image.resize([12 * side // shorter";
        for part in [
            told,
            pixels,
            "One run (seed ",
            "MIT, © 2017 Zalando SE",
            "| trained backbone (128) |",
            "augment",
        ] {
            assert!(card.contains(part), "{part}: {card}");
        }
    }
    for (arguments, expected) in [
        (vec!["--output", "x.pt"], "x.pt: the file's name must end in .onnx or .safetensors"),
        (vec!["--output", "x.onnx", "--format", "torchvision"], "must end in .safetensors"),
        (vec!["--output", "x.safetensors", "--part", "projector"], "are for ONNX"),
    ] {
        let refused = riesz(&[&["export", run.as_str()][..], &arguments].concat());
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
