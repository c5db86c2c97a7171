"""How a network is trained: the task, its losses, callbacks, and the checkpoints they leave."""
