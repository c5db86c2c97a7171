"""Order, ranks, workers, caches and splits: what a run trains and is scored on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from arn.config.instantiate import instantiate
from arn.data.datamodule import SaliencyDataModule
from arn.data.datasets import SizeSchedule, SquareCache
from arn.data.samplers import EpochSampler, shard
from arn.errors import ArnError


def module(**options):
    given = {"train_limit": 12, "val": 4, "test_limit": 3, "size": 32, "batch_size": 4, "workers": 0} | options
    made = SaliencyDataModule(**given)
    made.setup()
    return made


def epoch_of(made, epoch):
    loader = made.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [batch["picture"].clone() for batch in loader]


def test_batches_are_bytes_in_channels_last():
    batch = next(iter(module().train_dataloader()))
    assert batch["picture"].shape == (4, 3, 32, 32)
    assert batch["mask"].shape == (4, 1, 32, 32)
    assert batch["picture"].dtype == batch["mask"].dtype == torch.uint8
    assert batch["picture"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_a_batch(workers):
    augment = {"flip": 0.5, "crop": 0.7, "colour": 1.0}
    alone, together = module(augment=augment), module(augment=augment, workers=workers)
    for one, other in zip(epoch_of(alone, 2), epoch_of(together, 2), strict=True):
        assert torch.equal(one, other)


def test_batches_from_workers_stay_as_they_are():
    """All batches of an epoch are kept while others are made, at two sizes and with a break."""
    options = {"train_limit": 44, "batch_size": 2, "sizes": {0: 48, 1: 32}}
    alone, together = module(**options).train_dataloader(), module(**options, workers=2).train_dataloader()
    for epoch in (0, 1, 0):
        for loader in (alone, together):
            loader.sampler.set_epoch(epoch)
        kept = list(zip(alone, together, strict=True))
        assert len(kept) == 22
        for one, other in kept:
            assert one["picture"].shape[-1] == (32 if epoch else 48)
            assert torch.equal(one["picture"], other["picture"])
            assert torch.equal(one["mask"], other["mask"])
        for index, _ in enumerate(together):  # an epoch that is left, as by limit_train_batches
            if index == 3:
                break


def test_epochs_differ_in_order_and_runs_repeat():
    one, two, again = epoch_of(module(), 0), epoch_of(module(), 1), epoch_of(module(), 0)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_cache_changes_nothing_at_its_own_side():
    plain, cached = module(augment={"flip": 0.0}), module(augment={"flip": 0.0}, cache=32)
    for epoch in (0, 1):
        for one, other in zip(epoch_of(plain, epoch), epoch_of(cached, epoch), strict=True):
            assert torch.equal(one, other)


def make_large_set(root, size=(500, 700)):
    from PIL import Image

    from arn.data.scenes import draw_scene

    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        picture, mask = draw_scene(0, index, size)
        Image.fromarray(picture).save(root / "images" / f"{index}.jpg", quality=95)
        Image.fromarray(np.asarray(mask, np.uint8)).save(root / "masks" / f"{index}.png")


@pytest.mark.parametrize(("options", "shape"), [({}, (250, 350)), ({"augment": {"crop": 0.3}}, (500, 700))])
def test_large_training_pictures_are_decoded_at_a_fraction(tmp_path, options, shape):
    """As small as the size and the smallest crop allow; what is validated and tested on is whole."""
    make_large_set(tmp_path / "large")
    given = {"train": [str(tmp_path / "large")], "test": [str(tmp_path / "large")], "train_limit": None}
    made = module(**given, val=2, size=128, batch_size=2, **options)
    picture, mask = made.training_source.read(0)
    assert picture.shape[:2] == mask.shape == shape
    assert made.validation_source.read(0)[0].shape[:2] == (500, 700)
    assert all(source.read(0)[0].shape[:2] == (500, 700) for source in made.test_sources.values())
    whole = module(**given, val=2, size=128, batch_size=2, reduced=False, **options)
    for one, other in zip(epoch_of(made, 0), epoch_of(whole, 0), strict=True):
        assert (one.float() - other.float()).abs().mean() < 3
    assert module(**given, val=2, size=300, batch_size=2).training_source.read(0)[0].shape[:2] == (500, 700)


def test_a_mask_of_another_size_is_refused_at_a_fraction_too(tmp_path):
    from PIL import Image

    make_large_set(tmp_path / "large")
    Image.fromarray(np.zeros((500, 690), np.uint8)).save(tmp_path / "large" / "masks" / "0.png")
    made = module(train=[str(tmp_path / "large")], test=[], train_limit=None, val=1, size=64, batch_size=1)
    held_out = "0" in made.validation_source.stems
    source = made.validation_source if held_out else made.training_source
    with pytest.raises(ArnError, match=r"0\.png"):
        source.read(source.stems.index("0"))


@pytest.mark.parametrize("augment", [{}, {"colour": 1.0, "gray": 0.5}, {"crop": 0.6}])
def test_cache_of_another_side_is_resized_once_and_the_same(augment):
    """What the cache holds at the training size is what resizing from its own side each epoch gives, byte for byte."""
    made = module(augment=augment, cache=48)
    loader = made.train_dataloader()
    held = loader.dataset.cache
    assert held.held == (48 if augment.get("crop") else 32)
    slow = SquareCache(12, 48)
    for epoch in (0, 1):
        for batch, start in zip(epoch_of_loader(loader, epoch), range(0, 12, 4), strict=True):
            loader.sampler.set_epoch(epoch)
            keys = list(loader.sampler)[start : start + 4]
            for picture, key in zip(batch["picture"], keys, strict=True):
                wanted, _ = made.augmentation(*slow.get(made.training_source, key[1]), 32, *key)
                assert np.array_equal(picture.permute(1, 2, 0).numpy(), wanted)


def epoch_of_loader(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_cached_pairs_cannot_be_changed():
    made = module(cache=32)
    picture, mask = made.train_dataloader().dataset.cache.get(made.training_source, 0)
    with pytest.raises(ValueError, match="read-only"):
        picture[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = 0


def test_cache_reads_each_picture_once():
    class Counting:
        stems = ("a", "b")
        reads = 0

        def read(self, index):
            self.reads += 1
            return np.full((9, 7, 3), index + 1, np.uint8), np.full((9, 7), 255, np.uint8)

    source, cache = Counting(), SquareCache(2, 8)
    for _ in range(3):
        for index in (0, 1):
            picture, mask = cache.get(source, index)
            assert picture.shape == (8, 8, 3)
            assert (picture == index + 1).all()
            assert (mask == 255).all()
    assert source.reads == 2


@pytest.mark.parametrize("world", [1, 2, 4])
def test_global_batches_are_the_same_on_any_number_of_ranks(world):
    alone = [list(EpochSampler(50, 8, seed=3))[start : start + 8] for start in range(0, 48, 8)]
    each = 8 // world
    ranks = [list(EpochSampler(50, each, seed=3, rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(alone):
        together = [key for rank in ranks for key in rank[number * each : (number + 1) * each]]
        assert sorted(together) == sorted(batch)


def test_sampler_goes_on_in_the_middle_of_an_epoch():
    whole, rest = EpochSampler(40, 4, seed=0), EpochSampler(40, 4, seed=0)
    rest.start = 3
    assert list(rest) == list(whole)[12:]
    assert list(rest) == list(whole), "only the first epoch after a resume is cut"


def test_loader_state_counts_batches_handed_out():
    loader = module().train_dataloader()
    batches = iter(loader)
    next(batches)
    assert loader.state_dict() == {"batches": 1}
    other = module().train_dataloader()
    other.load_state_dict(loader.state_dict())
    for one, two in zip(batches, other, strict=True):
        assert torch.equal(one["picture"], two["picture"])
    assert other.state_dict() == {"batches": 0}, "a finished epoch leaves nothing to skip"


@pytest.mark.parametrize(("count", "world"), [(7, 2), (7, 4), (1, 4), (8, 2), (1000, 3)])
def test_shards_hold_every_picture_once(count, world):
    shards = [list(shard(count, rank, world)) for rank in range(world)]
    assert sorted(index for one in shards for index in one) == list(range(count))
    assert all(len(shard(count, rank, world)) == len(one) for rank, one in enumerate(shards))


def test_size_schedule():
    schedule = SizeSchedule(224, {"0": 96, 2: 160, 5: 224})
    assert [schedule.at(epoch) for epoch in range(7)] == [96, 96, 160, 160, 160, 224, 224]
    assert (schedule.smallest, schedule.largest) == (96, 224)
    assert SizeSchedule(224).at(9) == SizeSchedule(224).smallest == 224
    assert SizeSchedule(224, {3: 320}).at(2) == 224


def test_progressive_sizes_reach_the_batches():
    made = module(sizes={0: 32, 1: 48})
    assert epoch_of(made, 0)[0].shape[-1] == 32
    assert epoch_of(made, 1)[0].shape[-1] == 48


def test_evaluation_keeps_masks_at_native_size():
    batch = next(iter(module().val_dataloader()))
    assert batch["picture"].shape[-2:] == (32, 32)
    assert all(tuple(mask.shape) != (32, 32) for mask in batch["mask"])
    assert len(batch["stem"]) == len(batch["mask"]) == 4


def test_validation_pictures_are_not_trained_on(tiny_dataset):
    made = SaliencyDataModule(train=[str(tiny_dataset)], test=[], val=2, size=32, batch_size=2, workers=0)
    made.setup()
    train, val = set(made.training_source.stems), set(made.validation_source.stems)
    assert (len(train), len(val), train & val) == (4, 2, set())


def test_limit_draws_by_seed(tiny_dataset):
    def drawn(seed):
        options = {"train": [str(tiny_dataset)], "test": [], "val": 1, "train_limit": 2, "batch_size": 1, "seed": seed}
        made = SaliencyDataModule(**options, size=32, workers=0)
        made.setup()
        return tuple(made.training_source.stems)

    assert drawn(0) == drawn(0)
    assert len({drawn(seed) for seed in range(8)}) > 1


def make_set(root, name, stems):
    from PIL import Image

    for folder, mode in (("images", "RGB"), ("masks", "L")):
        (root / name / folder).mkdir(parents=True)
        for stem in stems:
            Image.new(mode, (4, 4), 255 if mode == "L" else (9, 9, 9)).save(root / name / folder / f"{stem}.png")


def test_paper_split_trains_and_tests_on_different_pictures(tmp_path, monkeypatch):
    """The counts are the paper's, so the data sets are too; at 4 x 4 px."""
    import arn.data.splits as splits

    monkeypatch.setattr(splits, "PAPER_TRAIN", {"MSRA10K": 6, "DUT-OMRON": 3})
    make_set(tmp_path, "MSRA10K", [f"m{i}" for i in range(10)])
    make_set(tmp_path, "DUT-OMRON", [f"o{i}" for i in range(5)])
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    made = SaliencyDataModule(
        train=["MSRA10K", "DUT-OMRON"],
        test=["DUT-OMRON@rest", "MSRA10K@rest"],
        split="paper",
        val=2,
        batch_size=2,
        workers=0,
    )
    made.setup()
    used = {stem.split("/")[1] for stem in made.training_source.stems + made.validation_source.stems}
    tested = {stem for source in made.test_sources.values() for stem in source.stems}
    assert len(used) == 9
    assert len(tested) == 6
    assert not used & tested
    digest = made.write_splits(tmp_path / "splits.json")
    assert splits.load_split(tmp_path / "splits.json") == made.stems
    assert digest == splits.split_hash(made.stems)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"split": "papers"}, "papers"),
        ({"train": ["scenes", "ECSSD"]}, "data.train"),
        ({"split": "paper", "train": ["ECSSD"]}, "MSRA10K"),
        ({"test": ["DUT-OMRON@rest"]}, "@rest"),
        ({"batch_size": 13}, "data.batch_size"),
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"eval_batch_size": 0}, "data.eval_batch_size=0"),
        ({"val": -1}, "data.val=-1"),
        ({"train_limit": 0}, "data.train_limit=0"),
        ({"test_limit": 0}, "data.test_limit=0"),
        ({"cache": 0}, "data.cache=0"),
        ({"workers": -1}, "data.workers=-1"),
        ({"sizes": {0: 32, 3: 0}}, r"data.sizes\[3\]=0"),
        ({"augment": {"flip": 1.5}}, "data.augment.flip=1.5"),
    ],
)
def test_bad_options_name_their_key(options, names, tmp_path, monkeypatch):
    make_set(tmp_path, "ECSSD", ["a", "b"])
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    with pytest.raises(ArnError, match=names):
        module(**options)


@pytest.mark.real
def test_duts_tr_splits_and_reads(data_dir):
    made = SaliencyDataModule(train=["DUTS-TR"], test=["ECSSD", "SOD"], val=300, size=64, batch_size=8, workers=0)
    made.setup()
    assert len(made.training_source.stems) == 10_553 - 300
    assert len(made.validation_source.stems) == 300
    assert {name: len(source.stems) for name, source in made.test_sources.items()} == {"ECSSD": 1000, "SOD": 300}
    batch = next(iter(made.train_dataloader()))
    share = (batch["mask"] > 127).float().mean()
    assert 0.02 < float(share) < 0.7


def test_no_more_processes_than_batches_to_make():
    made = module(workers=2)
    assert made.train_dataloader().num_workers == 2
    assert made.val_dataloader().num_workers == 1  # four pictures


def test_loader_processes_follow_from_the_processors_of_a_rank(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    module = SaliencyDataModule(val=2)
    assert module.workers == 6
    module.trainer = SimpleNamespace(num_devices=2, global_rank=0, world_size=2)  # ranks of one machine share it
    assert module.workers == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")  # of each rank, which is a task of its own
    assert module.workers == 2
    assert SaliencyDataModule(val=2, workers=5).workers == 5
    with pytest.raises(ArnError, match="start_method"):
        instantiate({"_target_": "arn.data.datamodule.SaliencyDataModule", "val": 2, "start_method": "thread"}, "data")
