"""Which secrets prove at the broker who we are, and are their files fit to be secrets?"""

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from hpcdoctor.definitions.settings import CREDENTIAL, Mqtt

LONGEST_PASSWORD_BYTES = 4096
# Where systemd lays what LoadCredential= names, for this service alone (systemd.exec(5)).
DIRECTORY = "CREDENTIALS_DIRECTORY"


class BadCredentials(Exception):
    """A file that the settings name cannot be used; says which, and what to do."""


def locate(written: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the path behind `credential:NAME`, and any other text as it is.

    Raise BadCredentials where systemd has handed over no such credential.
    """
    if not written.startswith(CREDENTIAL):
        return written
    name = written.removeprefix(CREDENTIAL)
    fix = (
        f"write LoadCredential={name}:/etc/hpcdoctor/{name} below [Service] "
        "(systemctl edit hpcdoctor), then: systemctl restart hpcdoctor"
    )
    folder = environment.get(DIRECTORY)
    if not folder:
        raise BadCredentials(f"{written}: systemd has handed over no credentials; {fix}")
    path = Path(folder) / name
    if not path.exists():
        raise BadCredentials(f"{written}: systemd has not handed over this one; {fix}")
    return str(path)


def located(settings: Mqtt) -> dict[str, str | None]:
    """Return the four files that the settings name, each as a path; raise BadCredentials."""
    return {
        key: None if written is None else locate(written)
        for key, written in files_of(settings).items()
    }


def files_of(settings: Mqtt) -> dict[str, str | None]:
    """Return the four files as they are written."""
    return {
        "ca_file": settings.ca_file,
        "cert_file": settings.cert_file,
        "key_file": settings.key_file,
        "password_file": settings.password_file,
    }


SECRET = ("key_file", "password_file")


def check_files(settings: Mqtt) -> None:
    """Refuse what OpenSSL would refuse without a name, and a key that others may read."""
    if settings.ca_file is None:
        return
    files = located(settings)
    for key in ("ca_file", "cert_file"):
        path = files[key]
        if path is not None and not os.access(path, os.R_OK):
            raise BadCredentials(f"{path} cannot be read; the daemon's user needs to")
    if files["key_file"] is not None:
        os.close(_open_secret(files["key_file"]))


def why_not(path: str, *, secret: bool, user: int, groups: Collection[int]) -> str:
    """Return why the daemon, which runs as `user`, cannot use this file; "" where it can.

    For a person who asks before the daemon does, as another user. The content is not read.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if trouble := _trouble(path, found, user) if secret else "":
        return trouble.removeprefix(f"{path} ")
    if user == 0:
        return ""
    for part in (Path(path), *Path(path).absolute().parents):
        status = part.stat()
        owner, group, other = (
            (stat.S_IRUSR, stat.S_IRGRP, stat.S_IROTH)
            if part == Path(path)
            else (stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH)
        )
        bit = owner if status.st_uid == user else group if status.st_gid in groups else other
        if not status.st_mode & bit:
            what = "cannot be read" if part == Path(path) else f"lies in {part}, which is closed"
            return f"{what} for the daemon's user"
    return ""


def read_password(written: str) -> str:
    """Return the file's first and only line."""
    path = locate(written)
    descriptor = _open_secret(path)
    try:
        content = os.read(descriptor, LONGEST_PASSWORD_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > LONGEST_PASSWORD_BYTES:
        raise BadCredentials(f"{path} is too long for a password; is it the right file?")
    try:
        password = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadCredentials(f"{path} is not UTF-8 text; write the password as such") from None
    if not password:
        raise BadCredentials(f"{path} is empty; write the password into it")
    return password


def _open_secret(path: str) -> int:
    """Open first and look then, so that what is looked at is what is read."""
    try:
        # A pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        fix = ""
        if isinstance(error, PermissionError):
            fix = f"; chown root:GROUP {path} and chmod 0640 {path}, with the daemon's group"
        elif isinstance(error, FileNotFoundError):
            fix = "; write it, or mend its path in hpcdoctor.yaml"
        raise BadCredentials(f"{path} cannot be read: {error.strerror}{fix}") from None
    if trouble := _trouble(path, os.fstat(descriptor), os.geteuid()):
        os.close(descriptor)
        raise BadCredentials(trouble)
    return descriptor


def _trouble(path: str, found: os.stat_result, user: int) -> str:
    """Say why a file is not fit to be a secret of `user`."""
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a plain file"
    if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP):
        return f"{path} is open to others; chmod 0600 {path}, or 0640"
    if found.st_uid not in (0, user):
        return f"{path} belongs to another user, who can change it; chown root {path}"
    return ""
