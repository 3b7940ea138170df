"""Which secrets prove at the broker who we are, and are their files fit to be secrets?"""

import os
import stat

from hpcdoctor.definitions.settings import Mqtt

LONGEST_PASSWORD_BYTES = 4096


class BadCredentials(Exception):
    """A file that the settings name cannot be used; says which, and what to do."""


def check_files(settings: Mqtt) -> None:
    """Refuse what OpenSSL would refuse without a name, and a key that others may read."""
    if settings.ca_file is None:
        return
    for path in (settings.ca_file, settings.cert_file):
        if path is not None and not os.access(path, os.R_OK):
            raise BadCredentials(f"{path} cannot be read; the daemon's user needs to")
    if settings.key_file is not None:
        os.close(_open_secret(settings.key_file))


def read_password(path: str) -> str:
    """Return the file's first and only line."""
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
        raise BadCredentials(f"{path} cannot be read: {error.strerror}") from None
    found = os.fstat(descriptor)
    trouble = ""
    if not stat.S_ISREG(found.st_mode):
        trouble = f"{path} is not a plain file"
    elif found.st_mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP):
        trouble = f"{path} is open to others; chmod 0600 {path}, or 0640"
    elif found.st_uid not in (0, os.geteuid()):
        trouble = f"{path} belongs to another user, who can change it; chown root {path}"
    if trouble:
        os.close(descriptor)
        raise BadCredentials(trouble)
    return descriptor
