"""Operations of StyleGAN2 as plain PyTorch functions, installed as `ganformer.ops`."""
