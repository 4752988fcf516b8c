"""`riesz train --from`: weights of torchvision and timm give the rows that these libraries give, to 1e-4."""

import pathlib
import subprocess

import numpy
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
safetensors_torch = pytest.importorskip("safetensors.torch")

RIESZ = pathlib.Path(__file__).parents[3] / "target/release/riesz"
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
SYMMETRIC = ([0.5] * 3, [0.5] * 3)


def timm_model(name, **settings):
    timm = pytest.importorskip("timm")
    return timm.create_model(name, num_classes=0, **settings)


def residual(name):
    model = getattr(torchvision.models, name)()
    model.fc = torch.nn.Identity()
    # As after training: running statistics that are not those of the initialiser.
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.1)
    return model


def torchvision_transformer():
    settings = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    model = torchvision.models.VisionTransformer(image_size=224, patch_size=16, **settings)
    torch.nn.init.normal_(model.class_token, 0, 0.5)
    model.heads = torch.nn.Identity()
    return model


MODELS = {
    "resnet18": (lambda: residual("resnet18"), 96, IMAGENET, []),
    "resnet50": (lambda: residual("resnet50"), 224, IMAGENET, []),
    "vit-tiny": (lambda: timm_model("vit_tiny_patch16_224"), 224, SYMMETRIC, ["--pixels", "symmetric"]),
    "vit-small": (lambda: timm_model("vit_small_patch16_224"), 224, IMAGENET, []),
    "vit-tiny of torchvision": (torchvision_transformer, 224, IMAGENET, []),
}


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    """The folder of a run of no steps, its images, the model and what the model gives for them."""
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    build, size, (mean, deviation), flags = MODELS[request.param]
    torch.manual_seed(1)
    model = build().eval()
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    safetensors_torch.save_file(model.state_dict(), folder / "weights.safetensors")
    images = photos(folder / "photos", size)
    judged(folder, size, *flags)
    with torch.no_grad():
        normalized = torchvision.transforms.Normalize(mean, deviation)(torch.from_numpy(images))
        return folder, images, model, model(normalized).numpy()


def photos(folder, size):
    Image = pytest.importorskip("PIL.Image")
    folder.mkdir()
    random = numpy.random.default_rng(1)
    pixels = random.integers(0, 256, (16, 8, 8, 3)).repeat(size // 8, 1).repeat(size // 8, 2).astype(numpy.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return (pixels / numpy.float32(255)).transpose(0, 3, 1, 2)


def judged(folder, size, *flags, weights="weights.safetensors"):
    keys = ["data.labels=none", "batch=8", "evaluation.pairs=2", "evaluation.references=2", f"augment.size={size}"]
    sets = [part for key in keys for part in ("--set", key)]
    command = [RIESZ, "train", folder / "photos", "--from", folder / weights, "--epochs", "0"]
    subprocess.run([*command, "--run", folder / "run", "--quiet", *sets, *flags], check=True)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_torchs_own_files_are_read_as_safetensors_are(tmp_path, old, whole):
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    torch.manual_seed(3)
    model = residual("resnet18")
    photos(tmp_path / "photos", 32)
    torch.save(
        model if whole else {"epoch": 1, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}},
        tmp_path / "weights.pth",
        _use_new_zipfile_serialization=not old,
    )
    safetensors_torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    judged(tmp_path, 32)
    (tmp_path / "run").rename(tmp_path / "first")
    judged(tmp_path, 32, weights="weights.pth")
    first, second = (safetensors_torch.load_file(tmp_path / run / "encoder.safetensors") for run in ("first", "run"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def embedded(folder):
    output = folder / "rows.npy"
    command = [RIESZ, "embed", folder / "run", folder / "photos", "--output", output]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return numpy.load(output)


def close(rows, expected):
    numpy.testing.assert_allclose(rows, expected, atol=1e-4 * numpy.abs(expected).max())


def test_rows_are_the_librarys_own(run):
    folder, _, _, expected = run
    close(embedded(folder), expected)


def test_what_is_exported_normalizes_pixels_itself(run, monkeypatch):
    folder, images, _, expected = run
    subprocess.run([RIESZ, "export", folder / "run", "--output", folder / "again.safetensors"], check=True)
    monkeypatch.chdir(folder)
    names = {}
    exec((folder / "again.md").read_text().split("```python\n")[1].split("```")[0], names)
    with torch.no_grad():
        close(names["model"](torch.from_numpy(images)).numpy(), expected)
    onnxruntime = pytest.importorskip("onnxruntime")
    subprocess.run([RIESZ, "export", folder / "run", "--output", folder / "network.onnx"], check=True)
    session = onnxruntime.InferenceSession(str(folder / "network.onnx"))
    [rows] = session.run(["representation"], {"images": images})
    close(rows, expected)


def test_the_package_normalizes_pixels_too(run):
    riesz_torch = pytest.importorskip("riesz.torch")
    folder, images, _, expected = run
    with torch.no_grad():
        close(riesz_torch.load_encoder(folder / "run")(torch.from_numpy(images)).numpy(), expected)


def test_places_of_another_size_are_timms(tmp_path):
    layers = pytest.importorskip("timm.layers")
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    torch.manual_seed(2)
    model = timm_model("vit_tiny_patch16_224").eval()
    # Places that matter.
    torch.nn.init.normal_(model.pos_embed, 0, 0.5)
    for size in [160, 256]:
        folder = tmp_path / str(size)
        folder.mkdir()
        safetensors_torch.save_file(model.state_dict(), folder / "weights.safetensors")
        images = photos(folder / "photos", size)
        side = size // 16
        state = model.state_dict()
        state["pos_embed"] = layers.resample_abs_pos_embed(state["pos_embed"], [side, side])
        other = timm_model("vit_tiny_patch16_224", img_size=size).eval()
        other.load_state_dict(state)
        judged(folder, size, "--pixels", "raw")
        with torch.no_grad():
            close(embedded(folder), other(torch.from_numpy(images)).numpy())
