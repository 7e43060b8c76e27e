"""Options of aggregation."""

from __future__ import annotations

__all__ = ("Compression", "IngestOptions")

from dataclasses import dataclass


@dataclass(frozen=True)
class Compression:
    """Options for compressing the blocks of a graph. The dictionary is as large as upstream's.

    Parameters
    ----------
    level : `int`, optional
        Level of zstandard.
    dictionary : `int`, optional
        Bytes of the dictionary; with 0 there is none.
    samples : `int`, optional
        Blocks of each kind that it is trained with.
    """

    # Readers do not care. Of records and metadata of realistic size, level 5 makes blocks some 2 % larger
    # than upstream's are, in a third of the time of level 10. Level 1 would make them 10 % larger. With more
    # samples the graph is not smaller, and the dictionary takes longer.
    level: int = 5
    dictionary: int = 32768
    samples: int = 128


@dataclass(frozen=True)
class IngestOptions:
    """Options for registering the datasets of a run in its repository.

    Parameters
    ----------
    graph : `bool`, optional
        Register the provenance graph, too, and in it what quanta have left in small files: metadata, logs and
        configurations. The small files are removed.
    batch : `int`, optional
        Datasets that are registered at once.
    defensive : `bool`, optional
        Expect that datasets are registered already. Else this is found out by a conflict.
    register_dataset_types : `bool`, optional
        Register the types of outputs.
    update_output_chain : `bool`, optional
        Put the output run at the beginning of the output chain, which is made if there is none.
    dry_run : `bool`, optional
        Change nothing in the repository. Where the graph has no name, none is written.
    promise_graph : `bool`, optional
        Leave out metadata, logs and configurations, since ``butler ingest-graph`` will register them.
    lenient : `bool`, optional
        Do not mind if the run has left nothing at all in the repository.
    """

    graph: bool = True
    batch: int = 10000
    defensive: bool = False
    register_dataset_types: bool = True
    update_output_chain: bool = True
    dry_run: bool = False
    promise_graph: bool = False
    lenient: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"a batch has one dataset at least, not {self.batch}")
