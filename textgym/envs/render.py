def render_row(state, row, mode):
    return None
