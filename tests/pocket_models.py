"""Tiny pocket-tts models with random weights, made from the library's own configuration. Needs torch."""

from pathlib import Path
from typing import Any

VOICES = ("alba", "marius")
LETTERS = (
    "▁ .,!?;:'-"
    + "".join(map(chr, range(ord("0"), ord("9") + 1)))
    + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def tiny(config: dict[str, Any], bins: int) -> dict[str, Any]:
    """`config` with everything that can be small made small; rates, kinds of layers and text rules stay."""
    flow, mimi = config["flow_lm"], config["mimi"]
    flow["flow"].update(dim=8, depth=1)
    flow["transformer"].update(d_model=16, hidden_scale=1, num_heads=2, num_layers=1)
    flow["lookup_table"].update(dim=16, n_bins=bins)
    mimi["seanet"].update(dimension=8, n_filters=2)
    small = {"d_model": 8, "num_heads": 2, "num_layers": 1, "dim_feedforward": 8}
    mimi["transformer"].update(small, input_dimension=8, output_dimensions=[8])
    mimi["quantizer"].update(dimension=4, output_dimension=8)
    mimi.update(inner_dim=4, outer_dim=8)
    return config


def build(folder: Path, name: str = "english", eos: float = -100.0, cloning: bool = True, broken: bool = False) -> Path:
    """Fill `folder` as the weights row does, with {name}.yaml besides. `eos`: 100 ends at once, -100 never does."""
    import tokenizers
    import torch
    import yaml
    from pocket_tts import TTSModel, export_model_state
    from pocket_tts.utils.config import CONFIGS_DIR
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    vocabulary = {letter: number for number, letter in enumerate(("<unk>", *LETTERS))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = tiny(yaml.safe_load((CONFIGS_DIR / f"{name}.yaml").read_text("utf-8")), len(vocabulary))
    released = yaml.safe_dump(config)  # with the hub's paths, as a user would copy it
    config["weights_path"] = config["weights_path_without_voice_cloning"] = None
    config["flow_lm"]["lookup_table"]["tokenizer_path"] = str(folder / "tokenizer.json")
    written = folder / f"{name}.yaml"
    written.write_text(yaml.safe_dump(config))
    torch.manual_seed(1)
    model = TTSModel.load_model(config=written)
    with torch.no_grad():
        model.flow_lm.speaker_proj_weight.normal_()
        for voice in VOICES:
            state = model.get_state_for_audio_prompt(0.1 * torch.randn(1, 24_000))
            export_model_state(state, folder / f"{voice}.safetensors")
        model.flow_lm.out_eos.weight.zero_()
        model.flow_lm.out_eos.bias.fill_(eos)
        for weight in model.mimi.encoder.parameters() if not cloning else ():
            weight.zero_()
        if broken:
            model.flow_lm.emb_mean.fill_(float("nan"))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    written.write_text(released)
    return folder
