"""Builtin functions that call a method of an argument, and check or convert what it returns.

``TABLE`` has the function, the place of that argument, the method, and further arguments if it
calls the method in another way when there are some. A function that tries several methods has an
entry for each, in the order in which it tries them. The C core proves by
this table which method runs below which function (src/fiber/crossing_conversions.c), after
pickletask/_distances.py has run each entry; pickletask/_bridges.py does the rest of the work.
"""

import math
import operator
import os

TABLE = (
    (abs, 0, "__abs__"),
    (aiter, 0, "__aiter__"),
    (ascii, 0, "__repr__"),
    (bin, 0, "__index__"),
    (bool, 0, "__bool__"),
    (bool, 0, "__len__"),
    (bytes, 0, "__bytes__"),
    (chr, 0, "__index__"),
    (complex, 0, "__complex__"),
    (complex, 0, "__float__"),
    (complex, 0, "__index__"),
    (dir, 0, "__dir__"),
    (float, 0, "__float__"),
    (float, 0, "__index__"),
    (format, 0, "__format__"),
    (format, 0, "__str__"),
    (format, 0, "__repr__"),
    (hash, 0, "__hash__"),
    (hex, 0, "__index__"),
    (int, 0, "__int__"),
    (int, 0, "__index__"),
    (isinstance, 1, "__instancecheck__"),
    (issubclass, 1, "__subclasscheck__"),
    (iter, 0, "__iter__"),
    (len, 0, "__len__"),
    (math.ceil, 0, "__ceil__"),
    (math.floor, 0, "__floor__"),
    (math.trunc, 0, "__trunc__"),
    (oct, 0, "__index__"),
    (operator.index, 0, "__index__"),
    (os.fspath, 0, "__fspath__"),
    (repr, 0, "__repr__"),
    (reversed, 0, "__reversed__"),
    (round, 0, "__round__"),
    (round, 0, "__round__", 1),
    (str, 0, "__str__"),
    (str, 0, "__repr__"),
)
