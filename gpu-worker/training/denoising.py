"""The denoiser as training runs it."""

import torch
from diffusers import EulerDiscreteScheduler


class Denoiser:
    """Text encoders and the fused UNet and ControlNet; `alphas` [1000]: each timestep's product of alphas, as the scheduler has it."""

    def __init__(self, fused, text_encoders, scheduler_config):
        # Half the time of the usual layout.
        self.fused, self.text_encoders = fused.to(memory_format=torch.channels_last), text_encoders
        self.alphas = EulerDiscreteScheduler.from_config(scheduler_config).alphas_cumprod.float()

    def text(self, ids, ids_2):
        """Hidden states of both encoders side by side [n, 77, c], pooled [n, c]."""
        first = self.text_encoders[0](input_ids=ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoders[1](input_ids=ids_2, output_hidden_states=True)
        return torch.cat([first, second.hidden_states[-2]], -1), second.text_embeds

    def noise(self, noisy, times, hidden, pooled, conditions, scales):
        """The noise in latents [n, 4, h, w] of square pictures, by timesteps and ControlNet scales [n]."""
        side = conditions.shape[-1]
        sizes = torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32).expand(len(noisy), -1)
        return self.fused(noisy.contiguous(memory_format=torch.channels_last), times, hidden, pooled, sizes, conditions, scales)
