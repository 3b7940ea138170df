"""How do the answers that a machine gave become a tree of files, links and folders with an end?"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from hpcdoctor.prober.tracing import Seen

MOST_BYTES = 64 << 20
MOST_ENTRIES = 50_000
LONGEST_NAME = 255
MOST_PARTS = 40  # of a path, and links in a row
MOST_LINKS = 5000
MOST_ROUNDS = 5
BEHIND_LINKS = ".links"
ORDER = {"file": 0, "ran": 1, "folder": 2, "there": 3}
NOT_RECORDED = b"not recorded\n"  # a file that is there and that no probe reads

Folder = dict[str, "Node"]


class Link(msgspec.Struct, frozen=True):
    """A link inside the tree; `target` is below the root."""

    target: str


Node = Folder | bytes | Link


def build(seen: Iterable[Seen], left_out: list[str]) -> Folder:
    """Make a tree of what was seen. Links lead inside it, and never in a circle.

    A probe wants the name at the end of `device` or `driver`, and what lies behind it; who walks
    the tree wants an end. What was read by way of a link that leads back gets a place of its own.
    """
    answers = list(seen)
    links = {one.path: one.target for one in answers if one.kind == "link"}
    tree, too_much = _laid_out(answers, where := settled(links))
    for _ in range(MOST_ROUNDS):
        circles = leading_back(tree)
        if not circles:
            break
        for path, target in circles.items():
            name = target.rpartition("/")[2]
            where[path] = f"{BEHIND_LINKS}/{path.replace('/', '_')[-200:]}/{name}"
        tree, too_much = _laid_out(answers, where := settled(where))
    for path in leading_back(tree):
        parent, _, name = path.rpartition("/")
        folder = node_at(tree, parent) if parent else tree
        if isinstance(folder, dict):
            del folder[name]
    left_out += too_much
    return tree


def _laid_out(answers: Iterable[Seen], links: Mapping[str, str]) -> tuple[Folder, list[str]]:
    """Return the tree, and what of it was too much."""
    tree: Folder = {}
    too_much: list[str] = []
    size = entries = 0
    for one in sorted(answers, key=lambda one: ORDER.get(one.kind, len(ORDER))):
        path = f"commands/{one.path}" if one.kind == "ran" else one.path
        place = canonical(path, links)
        data = _node_of(one, path)
        if place is None or place in links or data is None:
            continue
        length = len(data) if isinstance(data, bytes) else 0
        if size + length > MOST_BYTES or entries >= MOST_ENTRIES:
            too_much.append(path)
            continue
        if put(tree, place, data, over=one.kind in ("file", "ran")):
            size, entries = size + length, entries + 1
        if one.kind == "ran" and one.status:
            put(tree, f"{place}.status", b"%d\n" % one.status, over=True)
    for path, target in sorted(links.items())[:MOST_LINKS]:
        whole = canonical(target, links, last=False)
        if whole is not None:
            put(tree, path, Link(whole), over=False)
    return tree, too_much


def _node_of(one: Seen, path: str) -> Node | None:
    if one.kind in ("file", "ran"):
        return one.data
    if one.kind == "folder" or (one.kind == "there" and one.folder):
        return {}
    if one.kind == "there":
        return b"" if one.empty or path.startswith(("proc/", "sys/")) else NOT_RECORDED
    return None


def settled(links: Mapping[str, str]) -> dict[str, str]:
    """Return the links by where they lie: what was asked for by way of one lies behind it."""
    found = dict(links)
    for _ in range(MOST_PARTS):
        now = {}
        for path, target in found.items():
            parent, _, name = path.rpartition("/")
            place = canonical(parent, found)
            if place is not None and name:
                now[f"{place}/{name}".lstrip("/")] = target
        if now == found:
            break
        found = now
    return found


def canonical(path: str, links: Mapping[str, str], *, last: bool = True) -> str | None:
    """Return the path with the links on it followed; None where it has no end, or no sense."""
    todo = path.split("/")[::-1]
    done: list[str] = []
    steps = 0
    while todo:
        steps += 1
        name = todo.pop()
        if steps > 10 * MOST_PARTS or len(done) > MOST_PARTS or len(name.encode()) > LONGEST_NAME:
            return None
        if name in ("", "."):
            continue
        if name == "..":
            done = done[:-1]
            continue
        if "\0" in name:
            return None
        here = "/".join([*done, name])
        if here in links and (todo or last):
            done = []
            todo += links[here].split("/")[::-1]
        else:
            done.append(name)
    return "/".join(done)


def put(tree: Folder, path: str, node: Node, *, over: bool) -> bool:
    """Lay a node into the tree; what has more to say stays. Tell whether an entry was made."""
    *parents, name = path.split("/")
    if not name:
        return False
    folder = tree
    for parent in parents:
        below = folder.setdefault(parent, {})
        if not isinstance(below, dict):
            if isinstance(below, Link):
                return False
            below = folder[parent] = {}
        folder = below
    before = folder.get(name)
    if before is None or (over and isinstance(before, bytes)):
        folder[name] = node
    return before is None


def walk(tree: Folder, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every node with its path, folders before what is in them, in order of name."""
    for name in sorted(tree):
        node = tree[name]
        here = f"{path}/{name}" if path else name
        yield here, node
        if isinstance(node, dict):
            yield from walk(node, here)


def node_at(tree: Folder, path: str) -> Node | None:
    node: Node | None = tree
    for name in path.split("/"):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def leading_back(tree: Folder) -> dict[str, str]:
    """Return the links, with their targets, by which a walk of the tree would have no end."""
    found: dict[str, str] = {}
    below: dict[str, list[str]] = {}  # folder: where its links lead to, those of its folders too
    for path, link in list(walk(tree)):
        if not isinstance(link, Link):
            continue
        parent = path.rpartition("/")[0]
        if _leads_back(tree, below, link.target, parent):
            found[path] = link.target
            continue
        while True:
            below.setdefault(parent, []).append(link.target)
            if not parent:
                break
            parent = parent.rpartition("/")[0]
    return found


def _leads_back(tree: Folder, below: dict[str, list[str]], target: str, start: str) -> bool:
    """Tell whether walking the folder `target`, with the links so far, comes to `start`."""
    todo, seen = [target], set()
    while todo:
        here = todo.pop()
        if here in seen or not isinstance(node_at(tree, here), dict):
            continue
        seen.add(here)
        if not here or start == here or start.startswith(here + "/"):
            return True
        todo += below.get(here, [])
    return False


def write(tree: Folder, folder: Path) -> None:
    """Write the tree into a folder of our own, which is empty."""
    for path, node in walk(tree):
        place = folder / path
        if isinstance(node, dict):
            place.mkdir()
        elif isinstance(node, bytes):
            place.write_bytes(node)
        else:
            depth = path.count("/")
            place.symlink_to("../" * depth + node.target)
