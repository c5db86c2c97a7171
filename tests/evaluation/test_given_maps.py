"""`maps=` and `from=` in all their forms, and folders that are searched."""

import shutil

import pytest

from arn.config.requests import BenchRequest
from arn.data.images import read_mask, write_map
from arn.data.layout import find_dataset
from arn.data.sources import PairSource
from arn.errors import ArnError
from arn.evaluation.given_maps import map_folders, with_found_maps
from arn.evaluation.map_scan import methods_file
from arn.evaluation.map_tree import find_tree
from arn.inference.map_folder import Place

REQUEST = {"protocol": "arn2018", "columns": ["mae"]}


@pytest.fixture
def root(tiny_dataset, tmp_path, monkeypatch):
    """A data root with two sets, TINY and OTHER-SET; what it returns is where maps can be laid."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.move(tiny_dataset, data / "TINY")
    shutil.copytree(data / "TINY", data / "OTHER-SET")
    monkeypatch.setenv("ARN_DATA_DIR", str(data))
    return tmp_path / "maps"


def lay(folder, root, ending=""):
    for path in (root.parent / "data/TINY/masks").iterdir():
        write_map(folder / f"{path.stem}{ending}.png", read_mask(path))
    return folder


def request(**keys):
    return BenchRequest.of(REQUEST | keys)


def found(root, **keys):
    said = []
    resolved = with_found_maps(request(maps=str(root), **keys), said.append)
    return resolved, said


FORMS = {
    "a folder": ("DIR", Place("DIR")),
    "options": (
        {"folder": "DIR", "suffix": "_sal.png", "resize": "bilinear"},
        Place("DIR", suffix="_sal.png", resize="bilinear"),
    ),
    "by data set": ({"SOD": "DIR"}, {"SOD": Place("DIR")}),
    "by data set, options of all": ({"SOD": "DIR", "range": 255}, {"SOD": Place("DIR", range=255)}),
    "options of each": (
        {"SOD": {"folder": "DIR", "resize": "area"}, "ECSSD": "B"},
        {"SOD": Place("DIR", resize="area"), "ECSSD": Place("B")},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    given, place = FORMS[form]
    (folder,) = map_folders({"M": given})
    assert (folder.name, folder.place) == ("M", place)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"folder": "DIR", "resise": "bilinear"}, r"maps\.M\.resise.*maps\.M\.resize"),
        ({"SOD": "DIR", "sufix": "_sal"}, r"maps\.M\.sufix.*maps\.M\.suffix"),
        ({"folder": "DIR", "resize": "cubic"}, r"maps\.M\.resize=cubic: must be one of bilinear"),
        ({"folder": "DIR", "range": 0}, r"maps\.M\.range"),
        ({"folder": 3}, r"maps\.M\.folder"),
        ({"resize": "bilinear"}, "names no folder"),
        ({"SOD": {"resize": "bilinear"}}, r"maps\.M\.SOD"),
        (None, r"maps\.M"),
        (["DIR"], r"maps\.M"),
    ],
)
def test_wrong_forms_are_named(given, told):
    with pytest.raises(ArnError, match=told):
        map_folders({"M": given})


@pytest.mark.parametrize("pattern", ["{method}/{dataset}", "{dataset}/{method}", "maps/{method}/{dataset}/results"])
def test_both_ways_of_nesting(root, pattern):
    for method in ("A", "B_2"):
        lay(root / pattern.format(method=method, dataset="tiny"), root)
    lay(root / pattern.format(method="A", dataset="other_set"), root, "_sal")
    resolved, said = found(root)
    assert {method: set(of) for method, of in resolved.maps.items()} == {"A": {"TINY", "OTHER-SET"}, "B_2": {"TINY"}}
    assert (sorted(resolved.datasets), said) == (["OTHER-SET", "TINY"], [])
    for folder in map_folders(resolved.maps):
        source = PairSource(find_dataset("TINY"))
        assert not folder.find("TINY", source).missing


def test_what_is_no_map_of_a_set_is_told(root):
    lay(root / "A/TINY", root)
    lay(root / "A/HKU-IS", root)
    lay(root / "B/ECSSD", root)
    lay(root / "thumbs", root)
    resolved, said = found(root)
    assert (list(resolved.maps), resolved.datasets) == (["A"], ["TINY"])
    for words in ("thumbs: called as no data set", "maps of HKU-IS are left out", "by B: left out"):
        assert any(words in line for line in said), said
    resolved, said = found(root, datasets="TINY")
    assert any("HKU-IS is not asked for" in line for line in said)


def test_a_set_asked_for_is_known_by_its_stems(root):
    lay(root / "A", root)
    lay(root / "B", root, "_sal")
    resolved, _ = found(root, datasets=["TINY"])
    assert {method: list(of) for method, of in resolved.maps.items()} == {"A": ["TINY"], "B": ["TINY"]}
    with pytest.raises(ArnError, match="named as those of TINY and of OTHER-SET"):
        found(root, datasets=["TINY", "OTHER-SET"])


def test_pictures_and_masks_beside_maps_are_none(root):
    lay(root.parent / "data/TINY/maps/A", root)
    tree = find_tree(root.parent / "data")
    assert tree.folders == {"A": {"TINY": root.parent / "data/TINY/maps/A"}}


@pytest.mark.parametrize("above", ["TINY", "tiny/maps"])
def test_the_searched_folder_may_be_called_as_the_set(root, above):
    for method in "AB":
        lay(root / above / method, root)
    tree = find_tree(root / above)
    assert {method: list(of) for method, of in tree.folders.items()} == {"A": ["TINY"], "B": ["TINY"]}


def test_one_method_by_its_own_folder(root):
    lay(root / "TINY", root)
    assert list(found(root)[0].maps) == ["maps"]


def test_folders_of_one_method_and_set_are_named(root):
    lay(root / "A/TINY", root)
    lay(root / "A/tiny", root)
    if len(list((root / "A").iterdir())) == 2:  # not where the file system tells no case
        with pytest.raises(ArnError, match="both of A on TINY"):
            found(root)


def test_nothing_below_a_folder(root):
    root.mkdir()
    for place in (root, root / "nowhere"):
        with pytest.raises(ArnError, match=str(place)):
            found(place)


def test_options_of_a_whole_tree(root):
    lay(root / "A/TINY", root)
    resolved = with_found_maps(request(maps={"folder": str(root), "resize": "bilinear"}), print)
    assert resolved.maps["A"]["TINY"]["resize"] == "bilinear"
    with pytest.raises(ArnError, match=r"maps\.resise"):
        with_found_maps(request(maps={"folder": str(root), "resise": "bilinear"}), print)


def test_a_written_file_gives_what_was_found(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay(root / "A (ours): 1/TINY", root, "_sal")
    lay(root / "yes/TINY", root)
    lay(root / "yes/HKU-IS", root)
    write_map(root / "yes/TINY/0002.png", read_mask(root / "yes/TINY/0002.png")[::2, ::2])
    text = methods_file(root.relative_to(tmp_path), [], tmp_path / "lists")
    assert "6 of 6 pictures: 6 PNG" in text
    assert "1 of 6 resized from 32 x 32 (bilinear)" in text
    assert "not below the data root: HKU-IS" in text
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/methods.yaml").write_text(text)
    resolved = with_found_maps(request(**{"from": "lists/methods.yaml"}), print)
    assert resolved.datasets == ["TINY"]
    source = PairSource(find_dataset("TINY"))
    told = {one.name: one.find("TINY", source) for one in map_folders(resolved.maps)}
    assert list(told) == ["A (ours): 1", "yes"]
    assert told["A (ours): 1"].ending == "_sal"
    assert told["yes"].resizing == "1 of 6 resized from 32 x 32 (bilinear)"
    assert not any(one.missing or one.extra or one.misfits for one in told.values())


def test_the_command_line_stands_above_the_file(root, tmp_path):
    lay(root / "A/TINY", root)
    lay(root / "B/OTHER-SET", root)
    (tmp_path / "m.yaml").write_text(methods_file(root, [], tmp_path) + "methods: [mb]\n")
    said = []
    keys = {"from": str(tmp_path / "m.yaml"), "datasets": "TINY", "maps": {"C": str(root / "A")}}
    resolved = with_found_maps(request(**keys), said.append)
    assert (list(resolved.maps), resolved.datasets, resolved.methods) == (["A", "C"], ["TINY"], ["mb"])
    assert any("B: left out" in line for line in said)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no methods"),
        ("map: {}", "no key map"),
        ("maps: [a]", "maps takes names"),
        ("a: [", "cannot be read"),
    ],
)
def test_files_that_are_none(tmp_path, text, told):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ArnError, match=rf"m\.yaml.*{told}"):
        with_found_maps(request(**{"from": str(tmp_path / "m.yaml")}), print)
    with pytest.raises(ArnError, match=r"gone\.yaml"):
        with_found_maps(request(**{"from": "gone.yaml"}), print)


def test_data_sets_are_those_that_maps_name(root):
    lay(root / "A", root)
    assert with_found_maps(request(maps={"A": {"TINY": str(root / "A")}}), print).datasets == ["TINY"]
    assert with_found_maps(request(), print).datasets == ["scenes"]
