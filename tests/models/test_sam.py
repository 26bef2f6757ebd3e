"""A small Segment Anything of the package's own classes, with random weights."""

import numpy as np
import pytest
import segment_anything
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.methods.memo_plus.segmenters import build_segmenter
from hardy.methods.memo_plus.spec import MaskPolicy, MemoPlusSpec
from hardy.methods.memo_plus.spec import Sam as SamSpec
from hardy.models.files import content_identity
from hardy.models.sam import all_masks, checkpoint_file, load_sam
from tests.contracts.method import build_method, small_model, some_subject

SIDE, WIDTH = 64, 32
LOOSE = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


def tiny_sam(checkpoint: None = None) -> Sam:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Sam(
            image_encoder=ImageEncoderViT(
                img_size=SIDE,
                patch_size=16,
                embed_dim=16,
                depth=2,
                num_heads=2,
                out_chans=WIDTH,
                use_rel_pos=True,
                window_size=2,
                global_attn_indexes=(1,),
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=WIDTH,
                image_embedding_size=(SIDE // 16, SIDE // 16),
                input_image_size=(SIDE, SIDE),
                mask_in_chans=4,
            ),
            mask_decoder=MaskDecoder(
                transformer_dim=WIDTH,
                transformer=TwoWayTransformer(
                    depth=1, embedding_dim=WIDTH, num_heads=2, mlp_dim=32
                ),
            ),
        )


@pytest.fixture(autouse=True)
def tiny_registry(monkeypatch):
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", tiny_sam)


@pytest.fixture
def checkpoint(tmp_path):
    """Weights other than those that the builder begins with."""
    sam = tiny_sam()
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter += 0.01
    path = tmp_path / "sam.pth"
    torch.save(sam.state_dict(), path)
    return path


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(40, 56, 3)).astype(np.uint8)


def test_a_checkpoints_weights_are_loaded_frozen_and_evaluating(checkpoint):
    sam = load_sam("vit_b", checkpoint)
    stored = torch.load(checkpoint, weights_only=True)
    own = sam.state_dict()
    assert own.keys() == stored.keys()
    assert all(torch.equal(own[name], stored[name]) for name in own)
    assert not sam.training
    assert not any(p.requires_grad for p in sam.parameters())


def test_masks_are_the_generators(checkpoint):
    sam = load_sam("vit_b", checkpoint)
    masks = all_masks(sam, picture(), **LOOSE)
    records = segment_anything.SamAutomaticMaskGenerator(sam, **LOOSE).generate(picture())
    assert masks.dtype == bool
    assert masks.shape == (len(records), 40, 56)
    assert len(masks) >= 1
    for mask, record in zip(masks, records, strict=True):
        assert (mask == record["segmentation"]).all()


def test_no_mask_of_enough_quality_is_no_error(checkpoint):
    settings = LOOSE | {"stability_score_thresh": 1.0, "pred_iou_thresh": 1.0}
    assert all_masks(load_sam("vit_b", checkpoint), picture(), **settings).shape == (0, 40, 56)


def test_autocast_changes_no_mask(checkpoint):
    sam = load_sam("vit_b", checkpoint)
    plain = all_masks(sam, picture(), **LOOSE)
    with torch.autocast("cpu", torch.bfloat16):
        assert (all_masks(sam, picture(), **LOOSE) == plain).all()


def test_the_specs_defaults_are_the_generators():
    made = segment_anything.SamAutomaticMaskGenerator(tiny_sam())
    for name, value in SamSpec().model_dump(exclude={"kind", "arch", "checkpoint"}).items():
        if name == "points_per_side":
            assert len(made.point_grids[0]) == value**2
        else:
            assert getattr(made, name) == value


def test_masks_come_from_disk_without_reading_the_model(checkpoint, monkeypatch):
    spec = SamSpec(checkpoint=str(checkpoint), **LOOSE)
    first = build_segmenter(spec, torch.device("cpu"))(picture())

    def never(*_: object) -> None:
        pytest.fail("the model was read")

    monkeypatch.setattr("hardy.methods.memo_plus.segmenters.load_sam", never)
    again = build_segmenter(spec, torch.device("cpu"))(picture())
    assert (again == first).all()


def test_memo_plus_runs_through_it(checkpoint):
    spec = MemoPlusSpec(
        views={"kind": "identity", "count": 3},
        segmenter=SamSpec(checkpoint=str(checkpoint), **LOOSE),
        policy=MaskPolicy(min_area=1, keep="largest", top=2, show="blurred"),
    )
    details = build_method(spec, small_model()).predict(some_subject()).details
    assert 1 <= details["masks"] <= 2
    assert details["segmenter"] == f"sam vit_b sha256:{file_sha256(checkpoint)}"


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "sam.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="does not fit"):
        load_sam("vit_b", path)


def test_a_pickle_with_code_is_refused(tmp_path):
    path = tmp_path / "sam.pth"
    torch.save(tiny_sam(), path)
    with pytest.raises(WeightsError, match="not a plain table of tensors"):
        load_sam("vit_b", path)


def test_paths_know_variables_and_the_project(monkeypatch, tmp_path):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    (tmp_path / "sam.pth").write_bytes(b"x")
    assert checkpoint_file("${HARDY_DATA}/sam.pth", "vit_b") == tmp_path / "sam.pth"
    assert content_identity("${HARDY_DATA}/sam.pth").startswith("sha256:")
    with pytest.raises(WeightsError, match=r"looked for .*/experiments/none\.pth"):
        checkpoint_file("experiments/none.pth", "vit_h")
