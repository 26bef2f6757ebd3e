"""Networks that answer for each pixel.

They map normalised images (B, 3, H, W) to planes (B, outputs, H, W) of any H and W, and call what
comes before the decoder `encoder`: its parameters begin with `encoder.`, but for `unet-small`.

One with a codebook (`codebook.Coded`) also gives terms of a loss, measures of an epoch, codes and
latents.
"""
