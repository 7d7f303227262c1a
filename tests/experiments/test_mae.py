import pytest

from experiments import mae

ARCH = {'embed_dims': 16, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 32}
DECODER = {'decoder_embed_dim': 8, 'decoder_depth': 1, 'decoder_num_heads': 2}


def test_measures_encoder_and_whole_steps() -> None:
    sizes = {'img_size': 16, 'patch_size': 4, 'dtype': 'float32'}
    numbers = mae.measure(ARCH, 2, 2, DECODER, **sizes)
    few, many = numbers['encoder_ms']
    assert few > 0 < many
    lowest, highest = numbers['encoder_ratios']
    assert lowest <= numbers['encoder_ratio'] <= highest
    for step in numbers['steps'].values():
        assert step['images_per_second'] == pytest.approx(2e3 / step['step_ms'])
        assert step['program_bytes'] > 0
    rows = mae.table(numbers)
    assert 'images per second' in rows['step, rematerialised']
    assert 'images per second' in rows['step, a loop, rematerialised']
    assert rows['ratio'].startswith(f'{numbers["encoder_ratio"]:.2f}')


def test_an_unknown_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert mae.main(['--arch=smal', '--batch=1']) == 2
    said = capsys.readouterr().err.strip()
    assert "'smal'" in said
    assert '\n' not in said
