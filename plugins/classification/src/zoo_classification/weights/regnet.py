"""RegNet's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import (
    BSD,
    NEW_RECIPE,
    REFERENCES,
    SIMPLE,
    STRONGER,
    TIMM,
    imagenet1k,
    swag_end_to_end,
    swag_linear,
)

v1_small = partial(imagenet1k, recipe=f"{REFERENCES}#small-models", docs=SIMPLE)
v1_medium = partial(imagenet1k, recipe=f"{REFERENCES}#medium-models", docs=SIMPLE)
v1_large = partial(imagenet1k, recipe=f"{REFERENCES}#large-models", docs=SIMPLE)
v2 = partial(imagenet1k, license=BSD, extra=TIMM, recipe=NEW_RECIPE, docs=STRONGER, resize=232)
v2_fixres = partial(imagenet1k, license=BSD, extra=TIMM, recipe=f"{NEW_RECIPE}-with-fixres", docs=STRONGER, resize=232)
swag_e2e = partial(swag_end_to_end, crop=384, resize=384)


class RegNet_Y_400MF_Weights(WeightsEnum, builder="regnet_y_400mf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_y_400mf-c65dace8.pth", params=4_344_144, acc=(74.046, 91.716), gflops=0.402, mb=16.806
    )
    IMAGENET1K_V2 = v2("regnet_y_400mf-e6988f5f.pth", params=4_344_144, acc=(75.804, 92.742), gflops=0.402, mb=16.806)
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_800MF_Weights(WeightsEnum, builder="regnet_y_800mf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_y_800mf-1b27b58c.pth", params=6_432_512, acc=(76.420, 93.136), gflops=0.834, mb=24.774
    )
    IMAGENET1K_V2 = v2("regnet_y_800mf-58fc7688.pth", params=6_432_512, acc=(78.828, 94.502), gflops=0.834, mb=24.774)
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_1_6GF_Weights(WeightsEnum, builder="regnet_y_1_6gf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_y_1_6gf-b11a554e.pth", params=11_202_430, acc=(77.950, 93.966), gflops=1.612, mb=43.152
    )
    IMAGENET1K_V2 = v2("regnet_y_1_6gf-0d7bc02a.pth", params=11_202_430, acc=(80.876, 95.444), gflops=1.612, mb=43.152)
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_3_2GF_Weights(WeightsEnum, builder="regnet_y_3_2gf"):
    IMAGENET1K_V1 = v1_medium(
        "regnet_y_3_2gf-b5a9779c.pth", params=19_436_338, acc=(78.948, 94.576), gflops=3.176, mb=74.567
    )
    IMAGENET1K_V2 = v2("regnet_y_3_2gf-9180c971.pth", params=19_436_338, acc=(81.982, 95.972), gflops=3.176, mb=74.567)
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_8GF_Weights(WeightsEnum, builder="regnet_y_8gf"):
    IMAGENET1K_V1 = v1_medium(
        "regnet_y_8gf-d0d0e4a8.pth", params=39_381_472, acc=(80.032, 95.048), gflops=8.473, mb=150.701
    )
    IMAGENET1K_V2 = v2("regnet_y_8gf-dc2b1b54.pth", params=39_381_472, acc=(82.828, 96.330), gflops=8.473, mb=150.701)
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_16GF_Weights(WeightsEnum, builder="regnet_y_16gf"):
    IMAGENET1K_V1 = v1_large(
        "regnet_y_16gf-9e6ed7dd.pth", params=83_590_140, acc=(80.424, 95.240), gflops=15.912, mb=319.490
    )
    IMAGENET1K_V2 = v2("regnet_y_16gf-3e4a00f9.pth", params=83_590_140, acc=(82.886, 96.328), gflops=15.912, mb=319.490)
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "regnet_y_16gf_swag-43afe44d.pth", params=83_590_140, acc=(86.012, 98.054), gflops=46.735, mb=319.490
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_linear(
        "regnet_y_16gf_lc_swag-f3ec0043.pth", params=83_590_140, acc=(83.976, 97.244), gflops=15.912, mb=319.490
    )
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_32GF_Weights(WeightsEnum, builder="regnet_y_32gf"):
    IMAGENET1K_V1 = v1_large(
        "regnet_y_32gf-4dee3f7a.pth", params=145_046_770, acc=(80.878, 95.340), gflops=32.280, mb=554.076
    )
    IMAGENET1K_V2 = v2(
        "regnet_y_32gf-8db6d4b5.pth", params=145_046_770, acc=(83.368, 96.498), gflops=32.280, mb=554.076
    )
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "regnet_y_32gf_swag-04fdfa75.pth", params=145_046_770, acc=(86.838, 98.362), gflops=94.826, mb=554.076
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_linear(
        "regnet_y_32gf_lc_swag-e1583746.pth", params=145_046_770, acc=(84.622, 97.480), gflops=32.280, mb=554.076
    )
    DEFAULT = IMAGENET1K_V2


class RegNet_Y_128GF_Weights(WeightsEnum, builder="regnet_y_128gf"):
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "regnet_y_128gf_swag-c8ce3e52.pth", params=644_812_894, acc=(88.228, 98.682), gflops=374.570, mb=2461.564
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_linear(
        "regnet_y_128gf_lc_swag-cbe8ce12.pth", params=644_812_894, acc=(86.068, 97.844), gflops=127.518, mb=2461.564
    )
    DEFAULT = IMAGENET1K_SWAG_E2E_V1


class RegNet_X_400MF_Weights(WeightsEnum, builder="regnet_x_400mf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_x_400mf-adf1edd5.pth", params=5_495_976, acc=(72.834, 90.950), gflops=0.414, mb=21.258
    )
    IMAGENET1K_V2 = v2_fixres(
        "regnet_x_400mf-62229a5f.pth", params=5_495_976, acc=(74.864, 92.322), gflops=0.414, mb=21.257
    )
    DEFAULT = IMAGENET1K_V2


class RegNet_X_800MF_Weights(WeightsEnum, builder="regnet_x_800mf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_x_800mf-ad17e45c.pth", params=7_259_656, acc=(75.212, 92.348), gflops=0.800, mb=27.945
    )
    IMAGENET1K_V2 = v2_fixres(
        "regnet_x_800mf-94a99ebd.pth", params=7_259_656, acc=(77.522, 93.826), gflops=0.800, mb=27.945
    )
    DEFAULT = IMAGENET1K_V2


class RegNet_X_1_6GF_Weights(WeightsEnum, builder="regnet_x_1_6gf"):
    IMAGENET1K_V1 = v1_small(
        "regnet_x_1_6gf-e3633e7f.pth", params=9_190_136, acc=(77.040, 93.440), gflops=1.603, mb=35.339
    )
    IMAGENET1K_V2 = v2_fixres(
        "regnet_x_1_6gf-a12f2b72.pth", params=9_190_136, acc=(79.668, 94.922), gflops=1.603, mb=35.339
    )
    DEFAULT = IMAGENET1K_V2


class RegNet_X_3_2GF_Weights(WeightsEnum, builder="regnet_x_3_2gf"):
    IMAGENET1K_V1 = v1_medium(
        "regnet_x_3_2gf-f342aeae.pth", params=15_296_552, acc=(78.364, 93.992), gflops=3.177, mb=58.756
    )
    IMAGENET1K_V2 = v2("regnet_x_3_2gf-7071aa85.pth", params=15_296_552, acc=(81.196, 95.430), gflops=3.177, mb=58.756)
    DEFAULT = IMAGENET1K_V2


class RegNet_X_8GF_Weights(WeightsEnum, builder="regnet_x_8gf"):
    IMAGENET1K_V1 = v1_medium(
        "regnet_x_8gf-03ceed89.pth", params=39_572_648, acc=(79.344, 94.686), gflops=7.995, mb=151.456
    )
    IMAGENET1K_V2 = v2("regnet_x_8gf-2b70d774.pth", params=39_572_648, acc=(81.682, 95.678), gflops=7.995, mb=151.456)
    DEFAULT = IMAGENET1K_V2


class RegNet_X_16GF_Weights(WeightsEnum, builder="regnet_x_16gf"):
    IMAGENET1K_V1 = v1_medium(
        "regnet_x_16gf-2007eb11.pth", params=54_278_536, acc=(80.058, 94.944), gflops=15.941, mb=207.627
    )
    IMAGENET1K_V2 = v2("regnet_x_16gf-ba3796d7.pth", params=54_278_536, acc=(82.716, 96.196), gflops=15.941, mb=207.627)
    DEFAULT = IMAGENET1K_V2


class RegNet_X_32GF_Weights(WeightsEnum, builder="regnet_x_32gf"):
    IMAGENET1K_V1 = v1_large(
        "regnet_x_32gf-9d47f8d0.pth", params=107_811_560, acc=(80.622, 95.248), gflops=31.736, mb=412.039
    )
    IMAGENET1K_V2 = v2(
        "regnet_x_32gf-6eb8fdc6.pth", params=107_811_560, acc=(83.014, 96.288), gflops=31.736, mb=412.039
    )
    DEFAULT = IMAGENET1K_V2
