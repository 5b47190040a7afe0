"""Operations that exist twice: as readable PyTorch here, and compiled, under one signature."""
