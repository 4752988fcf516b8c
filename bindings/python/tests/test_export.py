"""What `riesz export` writes, in onnxruntime and torchvision: the rows that `riesz embed` gives, to 1e-4, and the answers of
`riesz finetune`."""

import json
import pathlib
import shutil
import subprocess

import numpy
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

RIESZ = pathlib.Path(__file__).parents[3] / "target/release/riesz"
SIZE = 32
# Every encoder that a recipe can name.
ENCODERS = ["resnet-small", "resnet18", "resnet34", "resnet50", "vit-tiny", "vit-small", "vit-base"]


@pytest.fixture(scope="module", params=ENCODERS)
def run(request, tmp_path_factory):
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    Image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp(request.param)
    random = numpy.random.default_rng(1)
    (folder / "photos").mkdir()
    smooth = random.integers(0, 256, (96, 4, 4, 3)).repeat(SIZE // 4, 1).repeat(SIZE // 4, 2).astype(numpy.uint8)
    for index, pixels in enumerate(smooth):
        Image.fromarray(pixels).save(folder / f"photos/{index:03}.png")
    keys = ["data.labels=none", "batch=32", "evaluation.pairs=8", "encoder.projector={hidden=32,output=16}"]
    sets = [part for key in keys for part in ("--set", key)]
    command = [RIESZ, "train", folder / "photos", "--recipe", "folder-32", "--epochs", "1", "--quiet"]
    subprocess.run([*command, "--run", folder / "run", "--backbone", request.param, *sets], check=True)
    return folder, (smooth / numpy.float32(255)).transpose(0, 3, 1, 2)


def embedded(folder, part):
    output = folder / f"{part}.npy"
    run = [RIESZ, "embed", folder / "run", folder / "photos", "--part", part, "--output", output]
    subprocess.run(run, check=True, stderr=subprocess.DEVNULL)
    return numpy.load(output)


def close(rows, expected):
    numpy.testing.assert_allclose(rows, expected, atol=1e-4 * numpy.abs(expected).max())


@pytest.mark.parametrize("part,name", [("backbone", "representation"), ("projector", "embedding")])
def test_onnxruntime_gives_the_rows(run, part, name):
    folder, images = run
    output = folder / f"{part}.onnx"
    subprocess.run([RIESZ, "export", folder / "run", "--part", part, "--output", output], check=True)
    session = onnxruntime.InferenceSession(str(output))
    for count in [len(images), 1]:
        [rows] = session.run([name], {"images": images[:count]})
        close(rows, embedded(folder, part)[:count])


def test_onnxruntime_gives_the_answers_of_the_classifier(run, monkeypatch):
    folder, images = run
    if not folder.name.startswith(("resnet-small", "resnet18", "vit-tiny")):
        pytest.skip("a training of a large network takes minutes")
    lines = [f"{index:03}.png,{['gravel', 'sand', 'moss'][index % 3]}\n" for index in range(len(images))]
    (folder / "labels.csv").write_text("name,label\n" + "".join(lines))
    tune = [RIESZ, "finetune", folder / "run", "--labels", folder / "labels.csv", "--steps", "2", "--batch", "8"]
    subprocess.run([*tune, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    output = folder / "classifier.onnx"
    subprocess.run([RIESZ, "export", folder / "run", "--classifier", "--output", output], check=True)
    session = onnxruntime.InferenceSession(str(output))
    found = json.loads((folder / "run/finetune/finetune.json").read_text())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == found["classes"]
    asked = images[[int(pathlib.Path(name).stem) for name in found["names"]]]
    [logits] = session.run(["logits"], {"images": asked})
    [answers] = [stage["answers"] for stage in found["stages"] if stage["stage"] == "finetuned"]
    # The class that riesz said has the largest logit, but for rounding.
    said = logits[range(len(asked)), answers]
    numpy.testing.assert_allclose(said, logits.max(1), atol=1e-4 * numpy.abs(logits).max())
    # The lines of the card say the same of a picture.
    pytest.importorskip("PIL.Image")
    shutil.copy(folder / "photos" / found["names"][0], folder / "photo.jpg")
    lines = (folder / "classifier.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names = {}
    exec(lines, names)
    close(names["logits"][0], logits[0])
    assert names["answers"] == [found["classes"][names["logits"][0].argmax()]]


def test_the_lines_of_the_card_load_the_weights(run, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    folder, images = run
    if "vit" in folder.name:
        pytest.importorskip("timm")
    else:
        pytest.importorskip("torchvision")
    subprocess.run([RIESZ, "export", folder / "run", "--output", folder / "weights.safetensors"], check=True)
    card = (folder / "weights.md").read_text()
    lines = card.split("```python\n")[1].split("```")[0]
    shutil.copy(folder / "photos/000.png", folder / "photo.jpg")
    monkeypatch.chdir(folder)
    names = {}
    exec(lines, names)
    close(names["rows"].numpy(), embedded(folder, "backbone")[:1])
    with torch.no_grad():
        rows = names["model"](torch.from_numpy(images)).numpy()
    close(rows, embedded(folder, "backbone"))


def test_the_lines_of_the_card_prepare_photos_as_riesz_does(run, monkeypatch):
    """A photo that lies on its side, of another shape: turned, resized and cut as riesz does, but for rounding to bytes."""
    Image = pytest.importorskip("PIL.Image")
    folder, _ = run
    smooth = numpy.random.default_rng(2).integers(0, 256, (6, 9, 3)).astype(numpy.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "odd").mkdir()
    Image.fromarray(smooth).resize((91, 57), Image.Resampling.BICUBIC).save(folder / "odd/photo.png", exif=exif)
    shutil.copy(folder / "odd/photo.png", folder / "photo.jpg")
    subprocess.run([RIESZ, "export", folder / "run", "--output", folder / "card.onnx"], check=True)
    lines = (folder / "card.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names = {}
    exec(lines, names)
    output = folder / "odd.npy"
    command = [RIESZ, "embed", folder / "run", folder / "odd", "--output", output, "--labels", "none"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    [row], [expected] = names["rows"], numpy.load(output)
    assert numpy.abs(row - expected).max() < 0.02 * numpy.abs(expected).max()
