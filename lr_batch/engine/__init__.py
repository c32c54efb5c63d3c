"""Compiles the programs of a study and runs its chunks: clocks, threads, memory.

This is the door for what is built on the compiled chunk (a store, `hparam.tuning`) or takes it apart (`runs.bench`):
the plan of a chunk and its programs from here, and what is traced from `lr_batch.lanes`.
"""

from lr_batch.engine.cadence import ROWS, Cadence, cadence_at, cadence_of, evaluation_steps
from lr_batch.engine.chunk import Checkpoint, Chunk, ChunkResult, ChunkStore, fingerprint
from lr_batch.engine.chunk_plan import ChunkPlan, HandOut, Task, halved, is_out_of_memory, run_within_memory
from lr_batch.engine.chunk_run import restored, run_chunk
from lr_batch.engine.execution_choice import choose_execution
from lr_batch.engine.expected_steps import expected_steps
from lr_batch.engine.identity import Identity, program_hash, train_rows
from lr_batch.engine.memory import chunk_memory, chunk_width
from lr_batch.engine.memory_choice import within_memory
from lr_batch.engine.mesh_choice import with_mesh
from lr_batch.engine.place import Place, devices_of, places, refuse_mesh
from lr_batch.engine.products import Product, products
from lr_batch.engine.programs import Engine, Programs
from lr_batch.engine.segments import Source, gather_lanes, run_segment, segment_cadence
from lr_batch.engine.step_cost import is_expensive
from lr_batch.engine.task_run import run_task
from lr_batch.engine.terms import padded, terms_of
from lr_batch.engine.workers import Program, run_tasks, worker_devices
from lr_batch.lanes.batch_pass import batch_value_and_grad
from lr_batch.lanes.execution import BLOCK, over_lanes
from lr_batch.lanes.held_out_blocks import EVAL_BLOCK, in_blocks, shuffled
from lr_batch.lanes.lane import Draw, Lane, LaneState, make_lane
from lr_batch.lanes.micro_batch import MicroBatch, micro_batches_of
from lr_batch.lanes.order import epoch_order
from lr_batch.lanes.race import Carry, Terms, crossing_step, state_axes
from lr_batch.problem.brisk import BRISK, SAFETY
from lr_batch.problem.reaching import average_weights, averaged
from lr_batch.problem.workload import AUTO, VMAP

__all__ = [
    "AUTO",
    "BLOCK",
    "BRISK",
    "EVAL_BLOCK",
    "ROWS",
    "SAFETY",
    "VMAP",
    "Cadence",
    "Carry",
    "Chunk",
    "ChunkResult",
    "ChunkStore",
    "Draw",
    "Engine",
    "HandOut",
    "Identity",
    "Lane",
    "LaneState",
    "Checkpoint",
    "ChunkPlan",
    "MicroBatch",
    "Place",
    "Product",
    "Program",
    "Programs",
    "Source",
    "Task",
    "Terms",
    "average_weights",
    "averaged",
    "batch_value_and_grad",
    "cadence_at",
    "cadence_of",
    "choose_execution",
    "chunk_memory",
    "chunk_width",
    "crossing_step",
    "devices_of",
    "epoch_order",
    "evaluation_steps",
    "expected_steps",
    "fingerprint",
    "gather_lanes",
    "halved",
    "in_blocks",
    "is_expensive",
    "is_out_of_memory",
    "make_lane",
    "micro_batches_of",
    "over_lanes",
    "padded",
    "places",
    "products",
    "program_hash",
    "refuse_mesh",
    "restored",
    "run_chunk",
    "run_segment",
    "run_task",
    "run_tasks",
    "run_within_memory",
    "segment_cadence",
    "shuffled",
    "state_axes",
    "terms_of",
    "train_rows",
    "with_mesh",
    "within_memory",
    "worker_devices",
]
