"""What are the topics called? Every name on the broker stands here, once."""

import re

import msgspec

# No slash, plus or hash: a name is one level of a topic and never a wildcard.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


REQUESTS = "hpcdoctor.request."  # these types go to the controller's own topic


class Topics(msgspec.Struct, frozen=True):
    """The topics of one node. Only the node writes the first four, only the controller the rest."""

    cluster: str
    node: str

    def __post_init__(self) -> None:
        """Refuse names that could reach beyond the node's own topics."""
        for what, name in (("cluster", self.cluster), ("node", self.node)):
            if NAME.fullmatch(name) is None:
                raise ValueError(
                    f"`{name}` cannot be the name of a {what}: use letters, digits, dot, "
                    "underscore and hyphen, and begin with a letter or digit"
                )

    @property
    def base(self) -> str:
        return f"hpcdoctor/{self.cluster}/{self.node}"

    def event(self, type_name: str) -> str:
        """Return the topic of an event's type, as in .../event/hpcdoctor.finding.opened."""
        if NAME.fullmatch(type_name) is None:
            raise ValueError(f"`{type_name}` cannot be the type of an event")
        if type_name.startswith(REQUESTS):
            return self.request
        return f"{self.base}/event/{type_name}"

    @property
    def request(self) -> str:
        """Return where the node asks for a drain, a resume or a repair."""
        return f"{self.base}/request"

    @property
    def state(self) -> str:
        """Return where the node's state is retained."""
        return f"{self.base}/state"

    @property
    def alive(self) -> str:
        """Return where it is retained whether the node is connected; also the last will."""
        return f"{self.base}/alive"

    @property
    def grant(self) -> str:
        return f"{self.base}/grant"

    @property
    def receipt(self) -> str:
        """Return where the controller says through which number it has the events."""
        return f"{self.base}/receipt"

    @property
    def resend(self) -> str:
        """Return where a consumer that saw a gap asks for a range."""
        return f"{self.base}/resend"

    @property
    def source(self) -> str:
        """Return the `source` of this node's CloudEvents."""
        return f"/{self.base}"

    def client_id(self, role: str) -> str:
        """Return the id that this node uses at the broker in a role.

        The separator cannot be part of a name, so that no two nodes share an id and throw each
        other out; and it is no slash, since Mosquitto refuses patterns in ACLs to such ids.
        """
        return f"hpcdoctor:{self.cluster}:{self.node}:{role}"
