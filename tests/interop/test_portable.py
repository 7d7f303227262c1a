from jssl.backbones import ResNet, VisionTransformer
from jssl.interop.portable import portable


def test_the_choice_of_attention_is_taken_and_nothing_else() -> None:
    network = VisionTransformer(img_size=8, patch_size=4, dtype='bfloat16')
    assert portable(network) == network.clone(implementation='xla')
    asked = network.clone(implementation='cudnn')
    assert portable(asked) is asked
    without = ResNet(depth=10)
    assert portable(without) is without
