"""ViT-BYOL's vision transformer for CIFAR-10, or another of stated sizes."""

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from hardy.data.preprocess import Preprocess
from hardy.models.spec import HardyModel


def build_vit(spec: HardyModel) -> tuple[nn.Module, Preprocess]:
    """Build timm's transformer of stated sizes; its tensors are called as timm calls them."""
    sizes, (height, width) = spec.vit, spec.sides
    means = sizes["pool"] == "mean"
    network = VisionTransformer(
        img_size=(height, width),
        patch_size=sizes["patch"],
        num_classes=spec.classes,
        global_pool="avg" if means else "token",
        pool_include_prefix=means,
        embed_dim=sizes["dim"],
        depth=sizes["depth"],
        num_heads=sizes["heads"],
        mlp_ratio=sizes["mlp"] / sizes["dim"],
        pos_drop_rate=sizes["dropout"],
        proj_drop_rate=sizes["dropout"],
        attn_drop_rate=sizes["dropout"],
    )
    # The statistics of CIFAR-10, with which ViT-BYOL prepared its images.
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    size = height if height == width else (height, width)
    return network, Preprocess(size, None, "bilinear", mean, std, fit="squeeze")
