"""Programs that suspend; each public function without parameters is one case.

A case calls ``suspend(value)``, which gives VALUE to whoever runs the case and returns it when the
case goes on. What a case returns, or raises, tells all that it has seen on its way: it must be the
same whether the case ran straight through or was pickled wherever it suspended. ``programs.py`` in
the folder above finds, runs and compares them.

Cases that start with ``make_`` return a generator or coroutine, which is then pickled by itself.
"""
