"""The core's layers, lowest first: a module imports from its own layer and from lower ones."""

LAYERS = [
    line.split()
    for line in """
        __init__
        errors
        contract
        files
        registry
        loading quantized_tensors
        nn ops transforms io draw
        features models utils compat
        running
        testing
        cli
        __main__
    """.strip().splitlines()
]
