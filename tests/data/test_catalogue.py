"""The catalogue of published data sets: names, what is said of each, and downloads that are whole or not there."""

import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from typing import get_args

import pytest
from PIL import Image

from ganformer import plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.fetching import catalogue
from ganformer.data.fetching.catalogue import download, listing, named, names
from ganformer.data.fetching.download import Remote, fetch
from ganformer.data.source import Sample, open_source
from ganformer.errors import ConfigError, DataError
from tests.data.faulty_server import FaultyServer, file, status

IMAGE = ImageSpec(height=6, width=8)
KINDS = [kind for kind in plugins.names(catalogue.SOURCES) if kind in names()] + ["lsun"]
EVERY = sorted({named(name).name for name in names()})


def config_of(kind):
    return plugins.find(catalogue.SOURCES, kind).Config


def picture(colour, size=(8, 6)):
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def zipped(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Download lie below the working directory, and nothing waits between attempts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(fetch.__kwdefaults__, "sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


@pytest.fixture
def publish(monkeypatch):
    """Put an edition, of CLEVR if nothing else is said, in place of the real one."""

    def publish(name="original", *remotes, kind="clevr", **facts):
        edition = replace(config_of(kind).editions[name], **{"files": remotes, **facts})
        monkeypatch.setattr(config_of(kind), "editions", {name: edition})

    return publish


def remote(name, content, *urls, **known):
    return Remote(name, urls, **(known or {"sha256": hashlib.sha256(content).hexdigest()}))


# --------------------------------------------------------------------------------------------------------- facts


def test_all_data_sets_are_there():
    wanted = {"bedrooms", "celeba-hq", "cifar10", "cityscapes", "clevr", "ffhq", "flowers", "lsun"}
    assert set(KINDS) == wanted
    assert {"clevr-original", "cityscapes-original", "lsun-cat", "lsun-church-outdoor", "lsun-tv-monitor"} <= set(
        names()
    )
    assert len([name for name in names() if name.startswith("lsun-")]) == 30


@pytest.mark.parametrize("kind", KINDS)
def test_editions_are_those_of_the_setting(kind):
    config = config_of(kind)
    assert get_args(config.model_fields["edition"].annotation) == tuple(config.editions)
    if not config.model_fields["edition"].is_required():
        assert config(kind=kind).edition == next(iter(config.editions))


@pytest.mark.parametrize("name", EVERY)
def test_facts_are_complete(name):
    config = named(name)
    assert config.path is None
    assert config.home.startswith("https://")
    assert "icence" in config.licence
    assert "https://" in config.licence
    assert min(config.facts.counts) > 0
    assert bool(config.facts.files) != bool(config.facts.by_hand)
    assert not config.facts.is_unpacked or len(config.facts.files) == 1
    for wanted in config.facts.files:
        assert re.fullmatch("[0-9a-f]{32}", wanted.md5 or "0" * 32)
        assert re.fullmatch("[0-9a-f]{64}", wanted.sha256 or "0" * 64)
        assert all(re.match("https?://|gdrive:[-_0-9A-Za-z]{33}$", url) for url in wanted.urls)
        assert wanted.checksum or name in ("celeba-hq-jpeg", "ffhq-original")  # their publishers give none


@pytest.mark.parametrize(
    ("name", "ratio", "gamma", "count"),
    [
        ("ffhq", 1, 10, 70_000),
        ("clevr", 0.75, 40, 100_015),
        ("clevr-original", 0.75, 40, 100_000),
        ("cityscapes", 0.5, 20, 24_998),
        ("bedrooms", 188 / 256, 100, 3_033_042),
        ("lsun-bedroom", 1, None, 3_033_042),
        ("cifar10", 1, None, 50_000),
        ("flowers", 1, None, 8_189),
        ("celeba-hq", 1, None, 30_000),
    ],
)
def test_data_sets_of_the_paper_bring_its_settings(name, ratio, gamma, count):
    config = named(name)
    assert (config.crop_ratio, config.r1_gamma, config.facts.counts[0]) == (ratio, gamma, count)
    dataset = Dataset.model_validate({"source": config.model_dump(mode="json", exclude_unset=True)})
    assert (dataset.image.height, dataset.image.width) == (round(256 * ratio), 256)


def test_published_numbers_are_those_of_the_table(shared):
    rows = (shared / "reference" / "published_results.csv").read_text().splitlines()
    for name, published in [("ffhq", "FFHQ"), ("clevr", "CLEVR"), ("cityscapes", "Cityscapes")]:
        config = named(name)
        assert any(f",{published},256,all,r1_gamma,{config.r1_gamma}," in row for row in rows)
        assert any(f",{published},256,all,dataset_images,{config.facts.counts[0]}," in row for row in rows)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "clevr-original",
            "CLEVR_v1.0 has 100,000 images of 480×320 pixels (2:3). It is not the set of 100,015 images",
        ),
        ("clevr-original", "FIDs on it differ from the published ones and must not be compared"),
        ("clevr", "They are not CLEVR_v1.0"),
        ("cityscapes", "The licence of Cityscapes binds you all the same"),
        ("cityscapes-original", "It forbids commercial use and to pass the images on"),
        ("ffhq", "Creative Commons BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/)"),
        ("ffhq", "the same bytes as the ffhq-r08.tfrecords that its publishers made"),
        ("ffhq-original", "FIDs on the two must not be compared"),
        ("celeba-hq", "Neither size nor checksum of the archive is published"),
        ("lsun-cat", "its publishers name none"),
    ],
)
def test_notices(name, said):
    assert said in named(name).notice


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("clever", "did you mean 'clevr'?"), ("lsun-cats", "did you mean 'lsun-cat'?"), ("zzz", "allowed: bedrooms, ")],
)
def test_unknown_name(wrong, hint):
    with pytest.raises(ConfigError, match=re.escape(f"'{wrong}' is not in the catalogue of data sets; {hint}")):
        named(wrong)


def test_names_are_settings():
    assert named("clevr").name == named("clevr-tfrecords").name == "clevr-tfrecords"
    assert named("clevr-original").model_dump(exclude_unset=True) == {"kind": "clevr", "edition": "original"}
    assert named("celeba-hq-png").name == "celeba-hq-png"
    assert "lsun" not in names()  # no category of it is like another


def test_listing_tells_all():
    lines = listing().splitlines()
    assert len(lines) == len(EVERY)
    assert "clevr-original              100,000 images       19.0 GB  CLEVR" in lines
    assert "clevr-tfrecords             100,015 images  about 6.0 GB  CLEVR, also called clevr" in lines
    assert "celeba-hq-jpeg               30,000 images  size unknown  CelebA-HQ, also called celeba-hq" in lines
    assert "cityscapes-original          24,998 images       by hand  Cityscapes" in lines


# ----------------------------------------------------------------------------------------------------- downloads


def test_archive_is_fetched_and_read_as_it_is(server, publish, capfd):
    inside = {"CLEVR_v1.0/images/train/a.png": picture("red"), "CLEVR_v1.0/images/val/b.png": picture("blue")}
    content = zipped(**inside, **{"CLEVR_v1.0/scenes/c.png": picture("green")})
    url = server.plays("/CLEVR_v1.0.zip", file(content))
    publish("original", remote("CLEVR_v1.0.zip", content, url), counts=(2,))
    config = named("clevr-original")
    assert [str(path) for path in config.inputs] == ["results/downloads/clevr-original/download.json"]
    with pytest.raises(
        DataError,
        match=r"not downloaded \(completely\) yet; run 'ganformer data download clevr-original'"
        ", or set the source's path to where it is already",
    ):
        open_source(config, IMAGE)
    out = download(config)
    said = capfd.readouterr().err
    assert said.index("Creative Commons BY 4.0") < said.index("fetch CLEVR_v1.0.zip")
    assert str(out) == "results/downloads/clevr-original"
    assert json.loads((out / "download.json").read_text()) == {
        "name": "clevr-original",
        "title": "CLEVR",
        "home": config.home,
        "licence": config.licence,
        "files": [
            {
                "name": "CLEVR_v1.0.zip",
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "urls": [url],
            }
        ],
    }
    source = open_source(config, IMAGE)
    assert source.classes == 0
    assert [sample.name for sample in source.load(list(source.keys()))] == ["train/a.png", "val/b.png"]


def test_faces_are_fetched_from_the_second_mirror_and_read_in_their_zip(server, publish):
    content = zipped(**{f"images1024x1024/{i // 2:02d}000/{i:05d}.png": picture("red") for i in range(3)})
    urls = (server.plays("/a", status(404)), server.plays("/b", file(content)))
    publish("original", Remote("images1024x1024.zip", urls), kind="ffhq", counts=(3,))
    assert str(download(named("ffhq-original"))) == "results/downloads/ffhq-original"
    source = open_source(named("ffhq-original"), IMAGE)
    assert [sample.name[-9:] for sample in source.load(list(source.keys()))] == [f"{i:05d}.png" for i in range(3)]


def test_archive_of_tfrecords_is_unpacked(server, publish):
    records = (b"some", b"more")
    content = zipped(**{f"clevr/clevr-r03.tfrecords{i}of2": part for i, part in enumerate(records, 1)})
    publish(
        "tfrecords",
        remote("clevr.zip", content, server.plays("/a", status(500)), server.plays("/b", file(content))),
        counts=(2,),
    )
    out = download(named("clevr"))
    assert {path.name for path in (out / "unpacked" / "clevr").iterdir()} == {
        "clevr-r03.tfrecords1of2",
        "clevr-r03.tfrecords2of2",
    }
    assert named("clevr").container.path == out / "unpacked"


def test_nothing_is_done_twice(server, publish, capfd):
    content = zipped(a=b"1")
    publish("original", remote("CLEVR_v1.0.zip", content, server.plays("/a", file(content))))
    config = named("clevr-original")
    out = download(config)
    assert download(config) == out
    assert "is there already, complete" in capfd.readouterr().err
    (out / "download.json").unlink()
    download(config)
    assert len(server.requests) == 1
    (out / "CLEVR_v1.0.zip").write_bytes(content[:-1])
    download(config)
    assert len(server.requests) == 2
    assert (out / "CLEVR_v1.0.zip").read_bytes() == content


@pytest.mark.parametrize("receipt", ["{}", '{"name": "clevr-original", "files": 3}', None])
def test_receipt_of_something_else(server, publish, receipt):
    content = zipped(a=b"1")
    publish("original", remote("CLEVR_v1.0.zip", content, server.plays("/a", file(content))))
    out = download(named("clevr-original"))
    right = (out / "download.json").read_text()
    wrong = right.replace(hashlib.sha256(content).hexdigest(), "0" * 64) if receipt is None else receipt
    (out / "download.json").write_text(wrong)
    download(named("clevr-original"))
    assert (out / "download.json").read_text() == right


def test_what_was_unpacked_is_enough(server, publish):
    content = zipped(a=b"1")
    publish("tfrecords", remote("clevr.zip", content, server.plays("/a", file(content))))
    out = download(named("clevr"))
    (out / "clevr.zip").unlink()
    download(named("clevr"))
    assert len(server.requests) == 1
    (out / "unpacked" / "a").unlink()
    (out / "unpacked").rmdir()
    download(named("clevr"))
    assert len(server.requests) == 2
    assert (out / "unpacked" / "a").read_bytes() == b"1"


def test_unpacking_goes_on_where_it_was_stopped(server, publish, monkeypatch):
    content = zipped(a=b"1")
    publish("tfrecords", remote("clevr.zip", content, server.plays("/a", file(content))))

    def stopped(archive, folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(catalogue, "extract", stopped)
        download(named("clevr"))
    out = catalogue.DOWNLOADS / "clevr-tfrecords"
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {"clevr.zip"}
    download(named("clevr"))
    assert len(server.requests) == 1
    assert (out / "download.json").is_file()


def test_failed_download_leaves_no_receipt(server, publish):
    publish("original", remote("a.zip", b"right", server.plays("/a", file(b"wrong")), server.plays("/b", status(404))))
    with pytest.raises(DataError, match=r"a\.zip: could not be fetched"):
        download(named("clevr-original"))
    assert not (catalogue.DOWNLOADS / "clevr-original" / "download.json").exists()
    with pytest.raises(DataError, match="is not downloaded"):
        open_source(named("clevr-original"), IMAGE)


def test_file_without_a_known_checksum_gets_one_in_the_receipt(server, publish, tmp_path):
    content = zipped(a=b"1")
    publish("original", Remote("CLEVR_v1.0.zip", (server.plays("/a", file(content)),)))
    out = download(named("clevr-original"), tmp_path / "elsewhere")
    assert out == tmp_path / "elsewhere" / "clevr-original"
    receipt = json.loads((out / "download.json").read_text())
    assert receipt["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (
            "cityscapes-original",
            "Register at https://www.cityscapes-dataset.com, and download leftImg8bit_trainvaltest.zip",
        ),
        ("celeba-hq-png", "Make the images from CelebA"),
    ],
)
def test_what_no_program_can_fetch(name, how, capfd):
    said = rf"{re.escape(f'({name}): no program can fetch this. {how}')}.* Then set the source's path to that folder"
    with pytest.raises(DataError, match=said):
        download(named(name))
    assert named(name).licence in capfd.readouterr().err
    with pytest.raises(DataError, match=said):
        open_source(named(name), IMAGE)


# -------------------------------------------------------------------------------------------------------- counts


def test_wrong_number_of_images(server, publish, tmp_path, capfd):
    content = zipped(**{f"CLEVR_v1.0/images/{number}.png": picture("red") for number in range(3)})
    publish("original", remote("CLEVR_v1.0.zip", content, server.plays("/a", file(content))), counts=(5_000, 6_000))
    out = download(named("clevr-original"))
    said = f"{out}: 3 images of CLEVR are here, 5,000 or 6,000 were published"
    with pytest.raises(DataError, match=rf"{said}\nremove {out} and download it again, or set the source's path to it"):
        open_source(named("clevr-original"), IMAGE)
    for path in (out, out / "CLEVR_v1.0.zip"):
        mine = config_of("clevr")(kind="clevr", edition="original", path=path)
        assert mine.inputs == (out / "CLEVR_v1.0.zip",)
        assert len(open_source(mine, IMAGE)) == 3
        assert "3 images of CLEVR are here, 5,000 or 6,000 were published" in capfd.readouterr().err


def test_right_number_of_images_is_not_spoken_of(publish, tmp_path, capfd):
    publish("original", counts=(7, 2))
    for name in ("train/a.png", "val/b.png"):
        path = tmp_path / "mine" / "CLEVR_v1.0" / "images" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(picture("red"))
    for path in (tmp_path / "mine", tmp_path / "mine" / "CLEVR_v1.0" / "images"):
        source = open_source(config_of("clevr")(kind="clevr", edition="original", path=path), IMAGE)
        (first, second) = source.load(list(source.keys()))
        assert isinstance(first, Sample)
        assert (first.name, second.name, second.label) == ("train/a.png", "val/b.png", None)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("count", "more"), [(20, []), (25, ["  … and 5 more"])])
def test_missing_files_are_named_up_to_a_point(publish, tmp_path, capfd, count, more):
    publish("original", counts=(30,))
    (tmp_path / "a.png").write_bytes(picture("red"))
    config = config_of("clevr")(kind="clevr", edition="original", path=tmp_path)
    images = open_source(config, IMAGE)
    capfd.readouterr()

    class Telling(config_of("clevr")):
        def missing(self, images):
            return [f"{number}.png" for number in range(count)]

    catalogue.check_count(Telling(kind="clevr", edition="original", path=tmp_path), images)
    lines = capfd.readouterr().err.splitlines()
    assert lines[1] == "  missing: 0.png"
    assert lines[20:] == ["  missing: 19.png", *more]
