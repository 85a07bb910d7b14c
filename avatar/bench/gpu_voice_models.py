"""The voices of gpu_models.py: F5-TTS with Vocos, and CosyVoice 3, which needs vllm-omni.

CosyVoice's talker (642 M with its embeddings), flow (332 M), vocoder (21 M) and speech tokenizer (242 M) are made from
their own configurations. Speakers are told apart by a small matrix in the place of CAM++ (7 M, on the CPU, once a
voice). The talker says random speech tokens: for how long depends on chance, between its bounds.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

VOCOS = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": 24_000, "n_fft": 1_024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 100, "dim": 512, "intermediate_dim": 1_536, "num_layers": 8},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 512, "n_fft": 1_024, "hop_length": 256, "padding": "center"},
    },
}


def f5(folder: Path, small: dict[str, int] | None = None) -> Path:
    """F5-TTS v1 Base (337 M) and Vocos (13.5 M) as avatar.engines.f5 reads them. `small`: other sizes, for tests."""
    from importlib.resources import files

    import torch
    import yaml
    from f5_tts.model import CFM, DiT
    from f5_tts.model.utils import get_tokenizer
    from safetensors.torch import save_file
    from vocos import Vocos

    folder.mkdir(parents=True, exist_ok=True)
    described = yaml.safe_load(files("f5_tts").joinpath("configs/F5TTS_v1_Base.yaml").read_text("utf-8"))
    arch = described["model"]["arch"]
    vocoder_config = json.loads(json.dumps(VOCOS))
    if small:
        arch.update(small)
        vocoder_config["backbone"]["init_args"].update(dim=32, intermediate_dim=32, num_layers=1)
        vocoder_config["head"]["init_args"].update(dim=32)
        (folder / "model.yaml").write_text(yaml.safe_dump({"model": {"arch": arch}}))
    _, count = get_tokenizer(str(files("f5_tts").joinpath("infer/examples/vocab.txt")), "custom")
    torch.manual_seed(0)
    model = CFM(transformer=DiT(**arch, text_num_embeds=count, mel_dim=100), mel_spec_kwargs={"mel_spec_type": "vocos"})
    for weight in model.parameters():
        if weight.ndim >= 2:  # its own beginning has zeros that would pass nothing on
            torch.nn.init.normal_(weight, std=0.02)
    kind = torch.float32 if small else torch.float16
    state = {f"ema_model.{name}": value.to(kind).contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model_1250000.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(vocoder_config))
    vocoder = Vocos.from_hparams(str(folder / "config.yaml"))
    torch.save(vocoder.state_dict(), folder / "pytorch_model.bin")
    return folder


# -- CosyVoice 3 ----------------------------------------------------------------------------------------------------
BLANK = "CosyVoice-BlankEN"
QWEN = {  # Qwen2-0.5B
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4_864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 32_768,
    "max_window_layers": 24,
    "use_sliding_window": False,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "bos_token_id": 151_643,
    "eos_token_id": 151_643,
}
SPEECH = 6_761  # its speech tokens, 200 that end it among them
SPEAKER = 192


def cosyvoice(folder: Path, tokenizer: Path) -> Path:
    """5 GB; `tokenizer` is that of another model: Qwen's own is in no wheel."""
    import torch

    (folder / BLANK).mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    bpe = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in bpe["merges"]]
    (folder / BLANK / "vocab.json").write_text(json.dumps(bpe["vocab"]))
    (folder / BLANK / "merges.txt").write_text("\n".join(merges) + "\n")
    (folder / BLANK / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    (folder / BLANK / "config.json").write_text(json.dumps(QWEN))
    torch.save(_talker(), folder / "llm.pt")
    flow, vocoder = _code2wav()
    torch.save(flow, folder / "flow.pt")
    torch.save(vocoder, folder / "hift.pt")
    _speakers(folder / "campplus.onnx")
    _speech_tokenizer(folder / "speech_tokenizer_v3.onnx")
    return folder


def _talker() -> dict[str, Any]:
    import torch

    width, inner = 896, 4_864
    state = {"speech_embedding.weight": _some(SPEECH, width), "llm_decoder.weight": _some(SPEECH, width)}
    at = "llm.model.model."
    state[at + "embed_tokens.weight"] = _some(151_936, width)
    state[at + "norm.weight"] = torch.ones(width)
    for layer in range(24):
        here = f"{at}layers.{layer}."
        for name, rows in (("q", width), ("k", 128), ("v", 128)):
            state[f"{here}self_attn.{name}_proj.weight"] = _some(rows, width)
            state[f"{here}self_attn.{name}_proj.bias"] = torch.zeros(rows)
        state[f"{here}self_attn.o_proj.weight"] = _some(width, width)
        for name in ("gate", "up"):
            state[f"{here}mlp.{name}_proj.weight"] = _some(inner, width)
        state[f"{here}mlp.down_proj.weight"] = _some(width, inner)
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"{here}{name}.weight"] = torch.ones(width)
    return state


def _code2wav() -> tuple[dict[str, Any], dict[str, Any]]:
    import torch
    from vllm_omni.model_executor.models.cosyvoice3.cosyvoice3_code2wav import CosyVoice3Code2Wav
    from vllm_omni.transformers_utils.configs.cosyvoice3 import CosyVoice3Config

    made = CosyVoice3Code2Wav(CosyVoice3Config())
    for weight in made.flow_model.parameters():
        if weight.ndim >= 2:  # its own beginning has zeros that would pass nothing on
            torch.nn.init.normal_(weight, std=0.02)
    return made.flow_model.state_dict(), made.hift.state_dict()


def _speakers(file: Path) -> None:
    """Spectrum (1, frames, 80) -> speaker (1, SPEAKER)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = numpy_helper.from_array(np.random.default_rng(0).standard_normal((80, SPEAKER)).astype(np.float32), "w")
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["output"]),
    ]
    sound = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "frames", 80])
    speaker = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, SPEAKER])
    graph = helper.make_graph(nodes, "campplus", [sound], [speaker], [matrix])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(file))


def _speech_tokenizer(file: Path) -> None:
    """The weights of s3tokenizer's own model under the names by which it finds them in the published file."""
    import onnx
    from onnx import helper, numpy_helper
    from s3tokenizer import S3TokenizerV3

    nodes, kept = [], []
    for name, value in S3TokenizerV3("v3").state_dict().items():
        at, _, kind = name.removeprefix("encoder.").rpartition(".")
        matrix = value.ndim == 2
        initializer = name.removeprefix("encoder.") if "fsmn_block" in name else f"of {name}"
        if "quantizer" in name:
            initializer = "quantizer.project_in.bias" if kind == "bias" else initializer
        kept.append(numpy_helper.from_array((value.T if matrix else value).contiguous().numpy(), initializer))
        if at.startswith("conv"):
            if kind == "weight":
                nodes.append(
                    helper.make_node("Conv", ["x", f"of {name}", f"of encoder.{at}.bias"], ["y"], f"/{at}/Conv")
                )
        elif "quantizer" in name:
            if kind == "weight":
                nodes.append(helper.make_node("MatMul", ["x", initializer], ["y"], "/quantizer/MatMul"))
        elif "fsmn_block" not in name:
            path = "/" + ".".join(at.split(".")[:2]) + "/" + "/".join(at.split(".")[2:]).replace("mlp/", "mlp/mlp.")
            does = (
                ("MatMul" if kind == "weight" else "Add") if "_ln" not in at else {"weight": "Mul", "bias": "Add"}[kind]
            )
            nodes.append(helper.make_node(does, ["x", initializer], ["y"], f"{path}/{does}"))
    onnx.save(helper.make_model(helper.make_graph(nodes, "speech_tokenizer_v3", [], [], kept)), str(file))


def _some(*shape: int) -> Any:
    import torch

    return torch.randn(*shape) * 0.02
