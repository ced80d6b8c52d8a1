"""Certificates for tests, made by the openssl program, and clients that speak TLS."""

import socket
import ssl
import subprocess
from pathlib import Path


def openssl(*arguments, cwd=None):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


class Certificates:
    """Certificates in a directory of their own."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.serial = 0

    def path(self, name):
        return str(self.directory / name)

    def make(self, name, common_name="test", days=90, signed_by=None, rsa=None, into=None, signs=False):
        """A certificate, by itself or by another one. Gives back the settings that name it."""
        self.serial += 1
        certificate, key = (Path(into or self.directory) / f"{name}.{kind}" for kind in ("crt", "key"))
        if rsa:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{rsa}", "-out", key)
        else:
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        request, extensions = self.directory / "request", self.directory / "extensions"
        openssl("req", "-new", "-key", key, "-subj", f"/CN={common_name}", "-out", request)
        extensions.write_text(
            "basicConstraints=critical,CA:TRUE\n" if signs else "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n")
        signer = ["-signkey", key] if signed_by is None else ["-CA", self.path(f"{signed_by}.crt"), "-CAkey", self.path(f"{signed_by}.key")]
        openssl("x509", "-req", "-in", request, *signer, "-days", days, "-set_serial", self.serial, "-extfile", extensions, "-out", certificate)
        return {"cert": str(certificate), "key": str(key)}


def free_port(address="127.0.0.1"):
    """One that was free a moment ago; for daemons that take a number only."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def settings(files, port=None, **more):
    """Settings of a daemon with TLS beside the plain port; with `port=0`, instead of it."""
    return {"server": {"tls": {"enabled": True, "port": free_port() if port is None else port, **files, **more}}}


def context(files=None, ca=None, lowest=None, highest=None, ciphers=None, alpn=("http/1.1",)):
    """What a client speaks. `files`: its own certificate; `ca`: whom it trusts, nobody in particular without."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if ca:
        made.load_verify_locations(ca)
        made.check_hostname, made.verify_mode = True, ssl.CERT_REQUIRED
    if files:
        made.load_cert_chain(files["cert"], files["key"])
    if ciphers:
        made.set_ciphers(ciphers)
    if lowest:
        made.minimum_version = lowest
    if highest:
        made.maximum_version = highest
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def serial(sock):
    """The number of the server's certificate."""
    text = ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True))
    done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=text, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().split("=")[1], 16)
