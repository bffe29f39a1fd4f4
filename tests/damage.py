"""Damage of the files of a folder, drawn by hypothesis."""

from hypothesis import strategies as st


@st.composite
def damages(draw):
    """What to do to a folder: a list of one or two (kind, numbers); see `do_damage`."""
    number = st.integers(0, 2**31)
    kinds = st.sampled_from(["flip", "flip", "cut", "delete", "swap", "append", "repeat"])
    return draw(st.lists(st.tuples(kinds, number, number, number), min_size=1, max_size=2))


def do_damage(folder, damage):
    """Damages files of a folder and returns what was done, for the message of a failed test."""
    done = []
    for kind, which, where, how in damage:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path, other = files[which % len(files)], files[how % len(files)]
        content = bytearray(path.read_bytes())
        at = where % max(1, len(content))
        done.append((kind, str(path.relative_to(folder)), at, how))
        if kind == "delete":
            path.unlink()
            continue
        if kind == "swap":
            content, theirs = other.read_bytes(), content
            other.write_bytes(theirs)
        elif kind == "flip" and content:
            content[at] ^= 1 + how % 255
        elif kind == "cut":
            content = content[:at]
        elif kind == "append":
            content += bytes([how % 256])
        elif kind == "repeat":  # a block written twice, over its neighbour
            content[at : at + 64] = content[:64]
        path.write_bytes(content)
    return done
