"""The model's networks, untrained: SDXL's with few channels."""

import torch
from diffusers import AutoencoderKL, ControlNetModel, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

TEXT_WIDTHS = 64, 128
HEAD = 32
TIME_IDS = 6
TIME_WIDTH = 32

VAE = {
    "block_out_channels": (16, 32, 48),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 1,
    "sample_size": 256,
    "mid_block_add_attention": False,
    "force_upcast": False,
}
UNET = {
    "sample_size": 32,
    "block_out_channels": (32, 64, 128),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": sum(TEXT_WIDTHS),
    # diffusers' name; the numbers of heads.
    "attention_head_dim": (1, 2, 4),
    "transformer_layers_per_block": [1, 1, 1],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_WIDTH,
    "projection_class_embeddings_input_dim": TEXT_WIDTHS[1] + TIME_IDS * TIME_WIDTH,
    "norm_num_groups": 16,
}
CONDITION_CHANNELS = 16, 16, 32
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def text_encoders(vocabulary):
    """Both, for a vocabulary of that size whose last two tokens are the start and the end."""
    common = {"vocab_size": vocabulary, "max_position_embeddings": 77, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}

    def config(width, layers, activation, padding):
        return CLIPTextConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // HEAD,
            hidden_act=activation,
            projection_dim=width,
            pad_token_id=padding,
            **common,
        )

    first, second = TEXT_WIDTHS
    return (
        CLIPTextModel(config(first, 2, "quick_gelu", vocabulary - 1)),
        CLIPTextModelWithProjection(config(second, 3, "gelu", 0)),
    )


def denoiser():
    """UNet and ControlNet. The ControlNet's last layers are small and not zero, so that it learns from the first step."""
    unet = UNet2DConditionModel(in_channels=4, out_channels=4, **UNET)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=CONDITION_CHANNELS)
    for layer in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]:
        torch.nn.init.normal_(layer.weight, std=0.03)
    controlnet.controlnet_cond_embedding.conv_out.reset_parameters()
    return unet, controlnet


def autoencoder():
    return AutoencoderKL(in_channels=3, out_channels=3, **VAE)


def scheduler():
    return EulerDiscreteScheduler(**SCHEDULER)
