"""Makes the reference values beside this file from diffusers and transformers.

    python make.py [MODEL]

MODEL: the model folder whose graphs hold the weights, default gpu-worker/model.

  0/ to 3/          cases.json: edges.png and latents.f32, which stay as they are, and expected.png: what diffusers'
                    StableDiffusionXLControlNetPipeline draws of them, torch on the CPU, float32. The last is not square.
  tokens.json       strings; ids of both tokenizers, cut to 77; number of ids before the cut
  schedules.json    EulerDiscreteScheduler: configs x steps -> timesteps, sigmas, init_noise_sigma; one step of each kind
  states.json/.f32  prompts -> penultimate hidden states of both encoders side by side [n, 77, 192], then pooled [n, 128]
  half.onnx         float16 x [n], factor [] -> product: a graph to try float16 and scalars on
  condition.json    a small picture -> what VaeImageProcessor makes of it for the ControlNet
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import numpy as np
import onnx
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from pipeline_diffusers import load_pipeline
from transformers import CLIPTokenizer
from unpack import load_parts

HERE = Path(__file__).parent
MODEL = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[2] / "gpu-worker" / "model"

STRINGS = [
    "", " ", "\n", "a", "A", "!", "!!", "!!!!", "a!", "! a", "hello, world!", "a red house on a blue background",
    "A RED HOUSE ON A BLUE BACKGROUND", "  leading and   inner \t\n white space  ", "tab\there", "line\nbreak\r\nbreak",
    "no\u00a0break\u2003em\u3000ideographic", "zero\u200bwidth\u200djoin\ufeffmark", "next\u0085line",
    "don't I'll they're we've I'm she'd it's", "DON'T I'LL THEY'RE", "rock 'n' roll '90s ''quoted''", "can’t “curly”",
    "1", "1234567890", "3.14 1,000 50%", "x2 4k 8K 16:9", "½ ² Ⅻ ٣ १२३", "e\u0301 \u00e9 caf\u00e9 cafe\u0301", "A\u030angstr\u00f6m",
    "İstanbul ISPARTA ı", "ΑΣ ΟΔΥΣΣΕΥΣ σας", "ẞ straße", "ﬁ ﬂ ligatures", "ǅ titlecase", "Ⓐ Ａ fullwidth ＡＢＣ１２３",
    "中文字符", "a 中 cat", "日本語テキスト かな", "한국어 텍스트", "조합 \u1112\u1161\u11ab", "русский текст", "שלום עולם", "مرحبا بالعالم", "ภาษาไทย",
    "🎉", "a 🎉 party", "👨‍👩‍👧 family 🏳️‍🌈", "🇫🇷 👍🏽 ❤️", "𝔤𝔬𝔱𝔥𝔦𝔠 𝒇𝒂𝒏𝒄𝒚", "#hashtag @user http://example.org/a?b=c&d=e",
    "(masterpiece:1.2), [best] {quality}", "a_b-c+d=e*f/g\\h|i^j~k`l$m", "<lora:x:1> <b>html</b>", "...---...", "—–‑",
    "<|endoftext|>", "a <|startoftext|> b<|endoftext|>c", "<|ENDOFTEXT|>!! <|StartOfText|>'s", "<|endoftext", "|endoftext|>",
    "\u0000\u0001\u007f", "\u0301", "supercalifragilisticexpialidocious", "z" * 100, " ".join(["cat"] * 75),
    " ".join(["cat"] * 76), " ".join(["photo of a dog,"] * 40), "!" * 100, "é" * 200, "中" * 90,
]

SCHEDULES = [
    ({}, [1, 2, 7, 20, 25, 30, 50, 999, 1000]),
    ({"timestep_spacing": "trailing"}, [1, 3, 7, 25, 30, 999]),
    ({"timestep_spacing": "linspace"}, [1, 2, 7, 25, 30, 999]),
    ({"use_karras_sigmas": True}, [1, 2, 25, 40]),
    ({"use_karras_sigmas": True, "timestep_spacing": "trailing", "sigma_min": 0.03, "sigma_max": 14.6}, [25]),
    ({"final_sigmas_type": "sigma_min"}, [25]),
    ({"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps_offset": 0}, [10, 25]),
    ({"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, [1, 25]),
    ({"prediction_type": "v_prediction"}, [25]),
]

PROMPTS = ["", "a red house on a blue background", "A 🎉 party!! <|endoftext|> " + "with very many guests, " * 30]


def tokens():
    rows = {"strings": STRINGS}
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = CLIPTokenizer.from_pretrained(MODEL / name)
        rows[name] = tokenizer(STRINGS, truncation=True, max_length=77).input_ids
        rows[f"{name}_lengths"] = [len(ids) for ids in tokenizer(STRINGS).input_ids]
        rows[f"{name}_padded_empty"] = tokenizer("", padding="max_length", max_length=77).input_ids
    write("tokens.json", rows)


def schedules():
    base = json.loads((MODEL / "scheduler" / "scheduler_config.json").read_text())
    rows = []
    for change, counts in SCHEDULES:
        for steps in counts:
            scheduler = EulerDiscreteScheduler.from_config({**base, **change})
            scheduler.set_timesteps(steps)
            row = {"config": change, "steps": steps, "timesteps": scheduler.timesteps.tolist(),
                   "sigmas": scheduler.sigmas.tolist(), "init_noise_sigma": float(scheduler.init_noise_sigma)}
            if steps == 25:
                # Two steps from the middle on fixed numbers.
                sample, output = torch.linspace(-3, 3, 8), torch.linspace(1, -2, 8) ** 3
                scheduler.set_begin_index(12)
                row["sample"], row["output"] = sample.tolist(), output.tolist()
                row["scaled"] = scheduler.scale_model_input(sample, scheduler.timesteps[12]).tolist()
                for index in (12, 13):
                    scheduler.scale_model_input(sample, scheduler.timesteps[index])
                    sample = scheduler.step(output, scheduler.timesteps[index], sample).prev_sample
                row["stepped"] = sample.tolist()
            rows.append(row)
    write("schedules.json", rows)


def states():
    parts = load_parts(MODEL)
    hidden, pooled = [], None
    for number in ("", "_2"):
        tokenizer = CLIPTokenizer.from_pretrained(MODEL / f"tokenizer{number}")
        ids = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            output = parts[f"text_encoder{number}"](input_ids=ids, output_hidden_states=True)
        hidden.append(output.hidden_states[-2].numpy())
        pooled = output.text_embeds.numpy() if "text_embeds" in output else pooled
    hidden = np.concatenate(hidden, -1)
    write("states.json", {"prompts": PROMPTS, "hidden_states": hidden.shape, "pooled": pooled.shape})
    (HERE / "states.f32").write_bytes(hidden.astype("<f4").tobytes() + pooled.astype("<f4").tobytes())


def condition():
    picture = np.random.default_rng(1).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    processor = VaeImageProcessor(vae_scale_factor=4, do_convert_rgb=True, do_normalize=False)
    values = processor.preprocess(Image.fromarray(picture), height=16, width=32)
    write("condition.json", {"shape": picture.shape, "pixels": picture.ravel().tolist(),
                             "values": [round(float(v), 7) for v in values.numpy().ravel()]})


def half_graph():
    half = onnx.TensorProto.FLOAT16
    inputs = [onnx.helper.make_tensor_value_info("x", half, ["n"]), onnx.helper.make_tensor_value_info("factor", half, [])]
    outputs = [onnx.helper.make_tensor_value_info("product", half, ["n"])]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Mul", ["x", "factor"], ["product"])], "half", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, HERE / "half.onnx")


def pictures():
    pipeline = load_pipeline(MODEL)
    for case in json.loads((HERE / "cases.json").read_text()):
        folder = HERE / case.pop("folder")
        edges = np.asarray(Image.open(folder / "edges.png").convert("L"))
        shape = 1, 4, case["height"] // pipeline.vae_scale_factor, case["width"] // pipeline.vae_scale_factor
        latents = torch.from_numpy(np.fromfile(folder / "latents.f32", "<f4").reshape(shape))
        picture = pipeline(image=Image.fromarray(np.dstack([edges] * 3)), latents=latents, output_type="np", **case).images[0]
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(folder / "expected.png", optimize=True)


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


tokens()
schedules()
states()
condition()
pictures()
half_graph()
