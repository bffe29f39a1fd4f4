"""Damage of the files of a folder, drawn by hypothesis."""

from hypothesis import strategies as st

KINDS = ["flip", "digit", "digit", "cut", "delete", "swap", "append", "repeat"]


NUMBER = st.integers(0, 2**31)


def damage_to(file=NUMBER, kinds=KINDS):
    """One (kind, three numbers) for `do_damage`; 2 n + 1 is the n-th of its favourites, sorted."""
    return st.tuples(st.sampled_from(kinds), file, NUMBER, NUMBER)


def damages():
    """What to do to a folder."""
    return st.lists(damage_to(), min_size=1, max_size=3)


def do_damage(folder, damage, favourites=()):
    """Damages files of a folder, half of the time these, the names of a few that matter most.

    Returns:
        What was done, for the message of a failed test.
    """
    done = []
    for kind, which, where, how in damage:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        likely = [path for path in files if str(path.relative_to(folder)) in favourites]
        among = likely if which % 2 and likely else files
        path = among[which // 2 % len(among)]
        content = bytearray(path.read_bytes())
        at = where % max(1, len(content))
        done.append((kind, str(path.relative_to(folder)), at, how))
        digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
        if kind == "delete":
            path.unlink()
            continue
        if kind == "swap":
            other = files[how % len(files)]
            theirs = other.read_bytes()
            other.write_bytes(content)
            content = theirs
        elif kind == "digit" and digits:  # another number, in a file that can still be read
            content[digits[where % len(digits)]] = 48 + how % 10
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
