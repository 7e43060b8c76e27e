"""Running the quanta of a graph to the end, over interruptions.

`plan` has what is known of a graph without its datasets.  `journal` remembers
what has been done, `unnoted` sees to what nobody has noted.  `campaign` puts
them together: it decides what is to be run, and has `local` run it.  `prepared`
has the graph and upstream's executor of single quanta, `selection` the choice
by task and data ID.  `notes` and `tally` are what is told of it, `terminal` shows
that.

With an engine (`engines`), `batches` hands out what is ready.  A worker runs
`remote`, which keeps a `server` that runs the quanta.
"""

__all__ = ()
