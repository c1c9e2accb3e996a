//! LoRA and full-parameter training: collation, losses, optimiser, schedule, checkpoints, logs
