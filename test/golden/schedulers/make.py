"""Makes runs.json from diffusers' schedulers, for what test/golden/pipeline/requirements.txt pins.

    python make.py

A run: a class made from SDXL's scheduler config with some fields changed, a number of steps -> timesteps,
init_noise_sigma, and what 16 numbers are after the first two steps and after the last one. They start as
torch.randn(16) of generator 7 times init_noise_sigma; the model says cos(3 x) / 2 + x / 4 of what it is shown, which keeps
them of a picture's size; noise comes from the same generator.
"""

import json
from pathlib import Path

import diffusers
import torch

HERE = Path(__file__).parent
BASE = json.loads((HERE.parents[2] / "gpu-worker" / "model" / "scheduler" / "scheduler_config.json").read_text())
SPACINGS = [{}, {"timestep_spacing": "trailing"}, {"timestep_spacing": "linspace"}]
VELOCITY = {"prediction_type": "v_prediction"}
ZERO_SNR = {**VELOCITY, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
LINEAR = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps_offset": 0}

RUNS = {
    "EulerDiscreteScheduler": [(change, [1, 4, 25]) for change in [*SPACINGS, VELOCITY, {"use_karras_sigmas": True}]],
    "EulerAncestralDiscreteScheduler": [(change, [1, 4, 25, 30]) for change in [*SPACINGS, VELOCITY, LINEAR]]
    + [(ZERO_SNR, [25])],
    "DPMSolverMultistepScheduler": [(change, [1, 2, 3, 8, 14, 15, 25, 30]) for change in SPACINGS]
    + [
        (VELOCITY, [8, 25]),
        (LINEAR, [25]),
        ({"use_karras_sigmas": True}, [1, 8, 25]),
        ({"use_karras_sigmas": True, "sigma_min": 0.03, "sigma_max": 14.6}, [25]),
        ({"final_sigmas_type": "sigma_min"}, [8, 14, 15, 25]),
        ({"final_sigmas_type": "sigma_min", "euler_at_final": True}, [25]),
        ({"final_sigmas_type": "sigma_min", "lower_order_final": False}, [8]),
    ],
    "LCMScheduler": [({}, [1, 2, 4, 8, 15, 25, 49, 50]), (VELOCITY, [4]), (LINEAR, [4])]
    + [({"original_inference_steps": 100, "timestep_scaling": 0.02}, [7])],
}


def model(shown):
    return torch.cos(3 * shown) / 2 + shown / 4


def run(name, change, steps):
    # As a model's folder is read: the config's own class first, so that fields of other classes are known as such.
    scheduler = getattr(diffusers, name).from_config({**BASE, **change})
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(16, generator=generator) * scheduler.init_noise_sigma
    states = []
    options = {"generator": generator} if name != "EulerDiscreteScheduler" else {}
    for timestep in scheduler.timesteps:
        output = model(scheduler.scale_model_input(latents, timestep))
        latents = scheduler.step(output, timestep, latents, **options).prev_sample
        states.append([round(value, 7) for value in latents.tolist()])
    return {
        "scheduler": name,
        "config": change,
        "steps": steps,
        "timesteps": [round(value, 4) for value in scheduler.timesteps.tolist()],
        "init_noise_sigma": float(scheduler.init_noise_sigma),
        "early": states[:2],
        "last": states[-1],
    }


rows = [run(name, change, count) for name, runs in RUNS.items() for change, counts in runs for count in counts]
(HERE / "runs.json").write_text("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")
