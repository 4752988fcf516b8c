//! Weights as the start of an encoder: files under torchvision's, timm's and riesz's names, what fits of them, and what is refused.
//! That torchvision's and timm's own files give their own features is held by the Python tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use riesz::rng::Key;
use riesz_lab::encoder::{self, Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::Engine;
use riesz_lab::pretrained::{Fitted, StartRecipe, Weights};
use riesz_lab::tensors::NamedTensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn recipe(backbone: Backbone, stem: Stem) -> EncoderRecipe {
    EncoderRecipe { backbone, stem, pixels: None, projector: ProjectorRecipe { hidden: 24, output: 12 } }
}

fn engine(backbone: Backbone, stem: Stem, size: usize, key: u64) -> Engine {
    Engine::new(recipe(backbone, stem).network(size, 3).unwrap(), Key::new(key))
}

/// Tensors of an encoder as another library would call them.
fn renamed(encoder: &Engine, name: impl Fn(&str) -> Option<String>) -> Vec<NamedTensor> {
    let tensors = encoder.named_tensors().into_iter();
    tensors.filter_map(|tensor| Some(NamedTensor { name: name(&tensor.name)?, ..tensor })).collect()
}

fn torchvisions(name: &str) -> Option<String> {
    name.strip_prefix("backbone.").map(str::to_owned)
}

/// A safetensors file of these tensors as that type, and of a counter for each batch norm.
fn written(path: &Path, tensors: &[NamedTensor], dtype: Dtype) -> PathBuf {
    let bytes = |tensor: &NamedTensor| -> Vec<u8> {
        let values = tensor.values.iter();
        match dtype {
            Dtype::F32 => values.flat_map(|x| x.to_le_bytes()).collect(),
            Dtype::F64 => values.flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
            Dtype::F16 => values.flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::BF16 => values.flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            other => panic!("{other:?}"),
        }
    };
    let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|tensor| (tensor.name.clone(), dtype, tensor.shape.clone(), bytes(tensor)))
        .collect();
    for tensor in tensors {
        if let Some(norm) = tensor.name.strip_suffix("running_mean") {
            data.push((
                format!("{norm}num_batches_tracked"),
                Dtype::I64,
                Vec::new(),
                vec![7, 0, 0, 0, 0, 0, 0, 0],
            ));
        }
    }
    let views = data.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    path.to_owned()
}

/// A file as torch wrote it before 1.6: a checkpoint of these tensors, of f32.
fn as_torch(path: &Path, tensors: &[NamedTensor]) -> PathBuf {
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let number = |number: usize| [b"J", &(number as i32).to_le_bytes()[..]].concat();
    let numbers = |numbers: &[usize]| {
        [b"(", &numbers.iter().flat_map(|&side| number(side)).collect::<Vec<u8>>()[..], b"t"].concat()
    };
    let tensor = |tensor: &NamedTensor| {
        let strides: Vec<usize> =
            (1..=tensor.shape.len()).map(|side| tensor.shape[side..].iter().product()).collect();
        let storage = [
            &b"(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text(&tensor.name),
            &text("cpu"),
            &number(tensor.values.len()),
            b"NtQ",
        ];
        [
            &text(&tensor.name),
            &b"ctorch._utils\n_rebuild_tensor_v2\n"[..],
            &storage.concat(),
            &number(0),
            &numbers(&tensor.shape),
            &numbers(&strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    };
    let pickled = |what: &[u8]| [b"\x80\x02", what, b"."].concat();
    let state: Vec<u8> = tensors.iter().flat_map(tensor).collect();
    let state = [b"ccollections\nOrderedDict\n)R(", &state[..], b"u"].concat();
    let object = [&b"}("[..], &text("epoch"), b"K\x03", &text("state_dict"), &state, b"u"].concat();
    let keys: Vec<u8> = tensors.iter().flat_map(|tensor| text(&tensor.name)).collect();
    let mut file = [
        pickled(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
        pickled(&number(1001)),
        pickled(&[&b"}"[..], &text("little_endian"), b"\x88s"].concat()),
        pickled(&object),
        pickled(&[b"](", &keys[..], b"e"].concat()),
    ]
    .concat();
    for tensor in tensors {
        file.extend((tensor.values.len() as u64).to_le_bytes());
        file.extend(tensor.values.iter().flat_map(|x| x.to_le_bytes()));
    }
    std::fs::write(path, file).unwrap();
    path.to_owned()
}

#[test]
fn what_torch_saved_gives_what_safetensors_gives() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = backbone(&engine(Backbone::ResnetSmall, Stem::Small, 20, 1));
    let plain = written(&folder.path().join("weights.safetensors"), &tensors, Dtype::F32);
    let torchs = as_torch(&folder.path().join("weights.pth"), &tensors);
    let given = [plain, torchs].map(|path| {
        let mut encoder = engine(Backbone::ResnetSmall, Stem::Small, 20, 2);
        let fitted = give(&path, &mut encoder).unwrap();
        (
            fitted.left,
            encoder.named_tensors(),
            Weights::read(&path).unwrap().recipe_keys().unwrap().split_off(1),
        )
    });
    assert_eq!(given[0], given[1]);
    assert_eq!(given[0].0, Vec::<String>::new());
}

fn give(path: &Path, encoder: &mut Engine) -> Result<Fitted, String> {
    let start =
        StartRecipe { weights: path.to_str().unwrap().to_owned(), sha256: None, trained_with_labels: false };
    start.pinned().and_then(|start| start.give(encoder)).map_err(|error| error.to_string())
}

fn backbone(encoder: &Engine) -> Vec<NamedTensor> {
    renamed(encoder, torchvisions)
}

#[test]
fn other_peoples_names_are_found_behind_any_prefix_and_in_any_precision() {
    let folder = tempfile::tempdir().unwrap();
    let forms = [
        ("", Dtype::F32, true),
        ("module.encoder_q.", Dtype::F64, true),
        ("model.", Dtype::F16, false),
        ("", Dtype::BF16, false),
    ];
    for (kind, stem, size, forms) in [
        (Backbone::ResnetSmall, Stem::Small, 32, &forms[..]),
        (Backbone::Resnet18, Stem::Imagenet, 64, &forms[..1]),
        (Backbone::Resnet50, Stem::Imagenet, 64, &forms[..1]),
        (Backbone::VitTiny, Stem::Auto, 32, &forms[1..3]),
    ] {
        let source = engine(kind, stem, size, 1);
        for &(prefix, dtype, exact) in forms {
            let mut tensors = renamed(&source, |name| Some(format!("{prefix}{}", torchvisions(name)?)));
            let head = ["fc.weight", "fc.bias"].map(|name| NamedTensor {
                name: format!("{prefix}{name}"),
                shape: vec![2],
                values: vec![0.5, 1.0],
            });
            tensors.extend(head);
            let path = written(&folder.path().join("weights.safetensors"), &tensors, dtype);
            let mut encoder = engine(kind, stem, size, 2);
            let projector = renamed(&encoder, |name| name.starts_with("projector").then(|| name.to_owned()));
            let fitted = give(&path, &mut encoder).unwrap();
            let told = fitted.told.join("; ");
            let all = backbone(&source).len();
            assert!(
                fitted.left.is_empty() && told.contains(&format!("{all} of {all} tensors of the backbone")),
                "{told}"
            );
            assert!(told.contains("begins anew") && told.contains("not used: fc.bias, fc.weight"), "{told}");
            assert!(!told.contains("num_batches") && !told.contains("first values"), "{told}");
            assert_eq!(told.contains("behind `module.encoder_q.`"), prefix.starts_with("module"), "{told}");
            for (got, want) in backbone(&encoder).iter().zip(backbone(&source)) {
                let far = got
                    .values
                    .iter()
                    .zip(&want.values)
                    .any(|(x, y)| (x - y).abs() > 0.01 * y.abs().max(0.01));
                assert!(got.values == want.values || !exact && !far, "{}", got.name);
            }
            let after = renamed(&encoder, |name| name.starts_with("projector").then(|| name.to_owned()));
            assert_eq!(after, projector);
        }
    }
}

#[test]
fn torchvisions_transformer_is_timms_by_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let source = engine(Backbone::VitTiny, Stem::Auto, 32, 1);
    let by_torchvision = |name: &str| {
        let name = torchvisions(name)?;
        let Some(rest) = name.strip_prefix("blocks.") else {
            return Some(match name.as_str() {
                "cls_token" => "class_token".to_owned(),
                "pos_embed" => "encoder.pos_embedding".to_owned(),
                other => other.replace("patch_embed.proj", "conv_proj").replace("norm.", "encoder.ln."),
            });
        };
        let (layer, part) = rest.split_once('.').unwrap();
        let part = part
            .replace("norm", "ln_")
            .replace("attn.qkv.", "self_attention.in_proj_")
            .replace("attn.proj", "self_attention.out_proj")
            .replace("mlp.fc1", "mlp.0")
            .replace("mlp.fc2", "mlp.3");
        Some(format!("encoder.layers.encoder_layer_{layer}.{part}"))
    };
    let path = written(&folder.path().join("vit.safetensors"), &renamed(&source, by_torchvision), Dtype::F32);
    let mut encoder = engine(Backbone::VitTiny, Stem::Auto, 32, 2);
    let fitted = give(&path, &mut encoder).unwrap();
    assert!(fitted.left.is_empty(), "{:?}", fitted.told);
    assert_eq!(backbone(&encoder), backbone(&source));
}

#[test]
fn what_does_not_fit_is_told_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let source = engine(Backbone::Resnet18, Stem::Imagenet, 64, 1);
    let path = written(&folder.path().join("resnet18.safetensors"), &backbone(&source), Dtype::F32);
    let mut encoder = engine(Backbone::Resnet18, Stem::Small, 64, 2);
    let before = backbone(&encoder);
    let fitted = give(&path, &mut encoder).unwrap();
    let told = fitted.told.join("; ");
    assert!(!fitted.left.is_empty(), "{told}");
    let left = "first values: conv1.weight ([64, 3, 7, 7] in the file, [64, 3, 3, 3] here)";
    assert!(told.contains("99 of 100 tensors") && told.contains(left), "{told}");
    let after = backbone(&encoder);
    for ((before, after), source) in before.iter().zip(&after).zip(backbone(&source)) {
        let expected = if after.name == "conv1.weight" { &before.values } else { &source.values };
        assert_eq!(after.values, *expected, "{}", after.name);
    }
    // Places of 64 patches for 144.
    let source = engine(Backbone::VitTiny, Stem::Auto, 32, 1);
    let path = written(&folder.path().join("vit.safetensors"), &backbone(&source), Dtype::F32);
    let mut encoder = engine(Backbone::VitTiny, Stem::Auto, 48, 2);
    let fitted = give(&path, &mut encoder).unwrap();
    assert!(
        fitted.left.is_empty() && fitted.told.join("; ").contains("65 tokens are interpolated to 145"),
        "{:?}",
        fitted.told
    );
}

#[test]
fn riesz_own_encoder_brings_its_projector_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let source = engine(Backbone::ResnetSmall, Stem::Small, 20, 1);
    let path = folder.path().join("encoder.safetensors");
    encoder::save(&path, &source, Some(&recipe(Backbone::ResnetSmall, Stem::Small)), false).unwrap();
    let mut encoder = engine(Backbone::ResnetSmall, Stem::Small, 28, 2);
    // The folder of a run is as good as the file in it.
    let fitted = give(folder.path(), &mut encoder).unwrap();
    assert!(fitted.told.join("; ").contains("the projector is taken with it"), "{:?}", fitted.told);
    assert_eq!(encoder.named_tensors(), source.named_tensors());
    let keys = Weights::read(folder.path()).unwrap().recipe_keys().unwrap().join("\n");
    assert!(
        keys.contains("resnet-small") && keys.contains("hidden = 24") && keys.contains("sha256"),
        "{keys}"
    );
    // Another projector begins anew.
    let other = EncoderRecipe {
        projector: ProjectorRecipe { hidden: 9, output: 5 },
        ..recipe(Backbone::ResnetSmall, Stem::Small)
    };
    let mut encoder = Engine::new(other.network(20, 3).unwrap(), Key::new(2));
    assert!(give(&path, &mut encoder).unwrap().told.join("; ").contains("begins anew"));
}

#[test]
fn a_file_says_of_which_network_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, stem, size, expected) in [
        (Backbone::Resnet34, Stem::Small, 32, &["encoder.backbone=resnet34", "encoder.stem=small"][..]),
        (
            Backbone::Resnet50,
            Stem::Imagenet,
            64,
            &["encoder.backbone=resnet50", "encoder.stem=imagenet", "augment.channels=3", "0.485"],
        ),
        (Backbone::ResnetSmall, Stem::Small, 32, &["encoder.backbone=resnet-small"]),
        (Backbone::VitSmall, Stem::Auto, 48, &["encoder.backbone=vit-small", "augment.size=48"]),
    ] {
        let path = folder.path().join("weights.safetensors");
        written(&path, &backbone(&engine(kind, stem, size, 1)), Dtype::F32);
        let keys = Weights::read(&path).unwrap().recipe_keys().unwrap().join("\n");
        assert!(expected.iter().all(|key| keys.contains(key)), "{keys}");
    }
    let mut deeper = backbone(&engine(Backbone::Resnet50, Stem::Imagenet, 64, 1));
    let block = deeper.iter().find(|tensor| tensor.name == "layer3.5.conv1.weight").unwrap().clone();
    deeper.push(NamedTensor { name: "layer3.6.conv1.weight".to_owned(), ..block });
    let path = written(&folder.path().join("deeper.safetensors"), &deeper, Dtype::F32);
    let refused = Weights::read(&path).unwrap().recipe_keys().unwrap_err().to_string();
    assert!(refused.contains("[3, 4, 7, 3] bottleneck blocks") && refused.contains("resnet50"), "{refused}");
    let refused = give(&path, &mut engine(Backbone::Resnet50, Stem::Imagenet, 64, 1)).unwrap_err();
    assert!(
        refused.contains("layer3.6.conv1.weight is of a layer that riesz's network does not have"),
        "{refused}"
    );
}

#[test]
fn what_is_no_such_file_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = backbone(&engine(Backbone::ResnetSmall, Stem::Small, 20, 1));
    let changed = |name: &str, change: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut tensors = good.clone();
        change(&mut tensors);
        written(&path(name), &tensors, Dtype::F32)
    };
    std::fs::write(path("zip"), b"PK\x03\x04rest").unwrap();
    std::fs::write(path("empty.pth"), b"\x80\x02}q\x01.").unwrap();
    std::fs::write(path("short.pth"), b"\x80\x02}q").unwrap();
    std::fs::write(path("old.tar"), [&[0; 257][..], b"ustar"].concat()).unwrap();
    std::fs::write(path("short.safetensors"), b"\xff\0\0\0").unwrap();
    std::fs::write(path("empty.safetensors"), b"").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let unknown =
        changed("unknown.safetensors", &|tensors| tensors.iter_mut().for_each(|t| t.name.insert(0, 'x')));
    let nan = changed("nan.safetensors", &|tensors| tensors[3].values[1] = f32::NAN);
    let small = changed("small.safetensors", &|tensors| {
        tensors.retain(|tensor| tensor.name == "layer1.0.conv1.weight");
        tensors[0].shape = vec![1, 1, 3, 3];
        tensors[0].values.truncate(9);
    });
    for (file, expected) in [
        (path("none.safetensors"), "none.safetensors"),
        (path("zip"), "its directory is damaged or missing"),
        (path("empty.pth"), "they are such as none"),
        (path("short.pth"), "ends too early"),
        (path("old.tar"), "neither safetensors nor a file of torch.save"),
        (path("short.safetensors"), "neither safetensors nor a file of torch.save"),
        (path("empty.safetensors"), "neither safetensors nor a file of torch.save"),
        (path("folder"), "has no encoder.safetensors"),
        (unknown, "neither torchvision's nor timm's"),
        (nan, "has the number NaN"),
        (small, "nothing of it fits this encoder"),
    ] {
        let refused = give(&file, &mut engine(Backbone::ResnetSmall, Stem::Small, 20, 2)).unwrap_err();
        assert!(refused.contains(expected) && !refused.contains('\n'), "{}: {refused}", file.display());
    }
    let good = written(&path("good.safetensors"), &good, Dtype::F32);
    let start = StartRecipe {
        weights: good.to_str().unwrap().to_owned(),
        sha256: Some("0".repeat(64)),
        trained_with_labels: false,
    };
    let refused = start.give(&mut engine(Backbone::ResnetSmall, Stem::Small, 20, 2)).unwrap_err().to_string();
    assert!(refused.contains("another file than the recipe says"), "{refused}");
}

fn riesz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).args(arguments).output().unwrap()
}

#[test]
fn a_run_begins_with_weights_is_judged_without_training_and_refuses_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let quick = [
        "data.limit=64",
        "evaluation.pairs=20",
        "evaluation.references=64",
        "evaluation.epoch-references=64",
        "batch=32",
        "augment.size=16",
    ];
    let train = |run: &str, more: &[&str]| {
        let run = path(run);
        let mut arguments = vec!["train", "--run", &run];
        arguments.extend(quick.iter().flat_map(|key| ["--set", key]));
        arguments.extend(more);
        let output = riesz(&arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let source = engine(Backbone::ResnetSmall, Stem::Small, 16, 1);
    let weights = written(Path::new(&path("weights.safetensors")), &backbone(&source), Dtype::F32);
    let from = ["--from", weights.to_str().unwrap()];
    // No batch has to be filled where nothing is trained.
    let (code, told) = train("judged", &[&from[..], &["--epochs", "0", "--batch", "256"]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("few for contrastive learning"), "{told}");
    let lines = [
        "tensors of the backbone are taken",
        "begins anew",
        "steps      0 = 0 epochs",
        "[0.485, 0.456, 0.406] are taken",
    ];
    for line in lines {
        assert!(told.contains(line), "{line}: {told}");
    }
    let judged = encoder::read(Path::new(&path("judged/encoder.safetensors"))).unwrap();
    let taken: Vec<&NamedTensor> =
        judged.tensors.iter().filter(|t| t.name.starts_with("backbone.")).collect();
    assert!(taken.iter().zip(backbone(&source)).all(|(got, want)| got.values == want.values));
    assert!(judged.recipe.pixels.is_some() && judged.channels == 3);
    // Whatever reads runs reads this one, and it is a start in its turn.
    let output = path("rows.npy");
    assert!(riesz(&["embed", &path("judged"), "--output", &output]).status.success());
    assert!(riesz(&["report", &path("judged")]).status.success());
    assert!(riesz(&["eval", &path("judged"), "--quiet"]).status.success());

    let more = [
        &from[..],
        &["--epochs", "1", "--freeze-through", "layer1", "--layer-decay", "0.5", "--pixels", "symmetric"],
    ]
    .concat();
    let (code, told) = train("trained", &more);
    assert_eq!(code, Some(0), "{told}");
    let metrics = std::fs::read_to_string(path("trained/metrics.json")).unwrap();
    assert!(metrics.contains("backbone at the start"), "the weights at the start have a row");
    let recipe = std::fs::read_to_string(path("trained/recipe.toml")).unwrap();
    for key in ["sha256", "freeze-through = \"layer1\"", "layer-decay = 0.5", "mean = [", "channels = 3"] {
        assert!(recipe.contains(key), "{key}: {recipe}");
    }

    // What riesz exported says what the pixels become: nothing for a run that began from nothing, else what the run had.
    let resnet = ["--epochs", "1", "--backbone", "resnet18", "--set", "augment.channels=3"];
    for (name, more) in [("raw", &[][..]), ("symmetric", &["--pixels", "symmetric"])] {
        let (code, told) = train(name, &[&resnet[..], more].concat());
        assert_eq!(code, Some(0), "{told}");
        let exported = path(&format!("{name}.safetensors"));
        assert!(riesz(&["export", &path(name), "--output", &exported]).status.success());
        let again = format!("{name}-again");
        let (code, told) =
            train(&again, &["--from", &exported, "--epochs", "0", "--set", "encoder.stem=\"small\""]);
        assert!(code == Some(0) && told.contains("(--pixels)"), "{told}");
        let recipes = [name, &again].map(|run| {
            encoder::read(Path::new(&path(&format!("{run}/encoder.safetensors")))).unwrap().recipe.pixels
        });
        assert!(recipes[0] == recipes[1] && recipes[0].is_some() == (name == "symmetric"), "{recipes:?}");
        let rows = [name, &again].map(|run| {
            let output = path(&format!("{run}.npy"));
            assert!(riesz(&["embed", &path(run), "--output", &output]).status.success());
            riesz_lab::embeddings::read(Path::new(&output), None).unwrap()
        });
        assert!(rows[0] == rows[1], "{name}");
    }

    // A stem that was chosen by the size of the images stays what it was for images of another size; what would be judged in part is not.
    let (code, told) =
        train("larger", &["--from", &path("raw"), "--epochs", "0", "--set", "augment.size=72"]);
    assert!(code == Some(0) && told.contains("small stem") && !told.contains("left at their"), "{told}");
    let other = ["--from", &path("raw"), "--epochs", "0", "--set", "encoder.stem=\"imagenet\""];
    let (code, told) = train("in-part", &other);
    assert!(code == Some(2) && told.contains("a part does not fit the encoder: conv1.weight"), "{told}");
    assert!(!Path::new(&path("in-part")).exists(), "nothing is begun");

    // The same name, another file: a finished run says so first, an unfinished one refuses it too.
    std::fs::write(path("judged/log.jsonl"), "").unwrap();
    written(
        Path::new(&path("weights.safetensors")),
        &backbone(&engine(Backbone::ResnetSmall, Stem::Small, 16, 9)),
        Dtype::F32,
    );
    let (code, told) = train("judged", &[&from[..], &["--epochs", "0", "--batch", "256"]].concat());
    assert!(code == Some(2) && told.contains("another recipe") && told.contains("sha256"), "{told}");
    let (code, told) = train("none", &["--epochs", "0"]);
    assert!(code == Some(2) && told.contains("epochs is 0"), "{told}");
}
