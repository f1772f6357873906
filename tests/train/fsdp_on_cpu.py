"""The command line with FSDP2 on CPUs, which accelerate gives to GPUs alone: what it would set there is set here.

torchrun --standalone --nproc_per_node 2 fsdp_on_cpu.py train SHARDS ...
"""

import os

WRAPPED = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_CPU": "1",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}


def main() -> None:
    os.environ.update(WRAPPED)
    os.environ.setdefault("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT")
    from accelerate import state
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    made = state.AcceleratorState.__init__

    def make(self, *arguments, **keywords):
        made(self, *arguments, **keywords)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = getattr(self, "fsdp_plugin", None) or FullyShardedDataParallelPlugin()
            if os.environ.get("FSDP_BF16"):
                # what `mixed_precision: bf16` in the launcher's configuration does
                self.fsdp_plugin.set_mixed_precision("bf16")

    state.AcceleratorState.__init__ = make
    from avcurate.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
