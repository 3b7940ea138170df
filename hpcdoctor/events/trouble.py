"""What went wrong on the way to the broker, in a sentence that says what to look at?"""

import socket
import ssl

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from hpcdoctor.definitions.settings import Mqtt

# Of CONNACK (MQTT 5.0, section 3.2.2.2).
CLIENT_ID_REFUSED, BAD_USER, NOT_AUTHORIZED, BANNED = 0x85, 0x86, 0x87, 0x8A
# Of OpenSSL (X509_V_ERR_...).
NOT_YET_VALID, EXPIRED, HOST_MISMATCH, ADDRESS_MISMATCH = 9, 10, 62, 64
UNKNOWN_SIGNER = (2, 18, 19, 20, 21)


def explain(error: BaseException, settings: Mqtt) -> str:
    """Return the sentence; the broker's name is not in it, since it goes to the log."""
    match error:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(error, settings)
        case ssl.SSLError():
            return f"TLS with the broker fails ({error.reason}); does it speak TLS on mqtt.port?"
        case ConnectionRefusedError():
            return "nobody listens at mqtt.host and mqtt.port; is the broker running?"
        case socket.gaierror():
            return "the name in mqtt.host is not known; check it, and the name servers"
        case TimeoutError():
            return "the broker does not answer in time; check mqtt.host, mqtt.port, firewalls"
        case aiomqtt.MqttCodeError(rc=ReasonCode(value=code)) if code in (BAD_USER, NOT_AUTHORIZED):
            return (
                f"the broker refuses us (reason 0x{code:02x}); check mqtt.username, the password "
                "and the client certificate, and who may connect there"
            )
        case aiomqtt.MqttCodeError(rc=ReasonCode(value=code)) if code == CLIENT_ID_REFUSED:
            return "the broker refuses the client id; check that it is tied to this node's name"
        case OSError():
            return f"the broker cannot be reached: {error.strerror or error}"
        case _:
            return str(error) or type(error).__name__


def _explain_certificate(error: ssl.SSLCertVerificationError, settings: Mqtt) -> str:
    if error.verify_code in UNKNOWN_SIGNER:
        return (
            f"the broker's certificate is not signed by the authority in {settings.ca_file}; "
            "check mqtt.ca_file, and who answers at mqtt.host"
        )
    if error.verify_code in (HOST_MISMATCH, ADDRESS_MISMATCH):
        return (
            "the broker's certificate is for another name than mqtt.host; use the name that the "
            "certificate has as a subjectAltName"
        )
    if error.verify_code == EXPIRED:
        return "the broker's certificate has expired; renew it, or check this node's clock"
    if error.verify_code == NOT_YET_VALID:
        return "the broker's certificate is not valid yet; check this node's clock"
    return f"the broker's certificate is refused: {error.verify_message}"
