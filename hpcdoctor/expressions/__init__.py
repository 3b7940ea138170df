"""The language of `when:`, `where:` and `share(...)`: text to tree to closures, never `eval`.

compile.py    compile_expression(text, scope) -> Expression     errors.py  ExpressionError
types.py      Type, Types, Scope, Known, Unknown                fields.py  a Reading to a Scope
expression.py Environment, Window, Expression
tokens.py, tree.py, parse.py, operations.py, functions.py, glob.py: how it is done
"""
