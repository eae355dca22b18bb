HEALTHY = {}


def healthy(name, seed): ...
