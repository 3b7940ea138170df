"""Which pages of docs/ are made from the code and the YAML? One module each.

python -m hpcdoctor.report.pages checks > docs/checks.md
"""
