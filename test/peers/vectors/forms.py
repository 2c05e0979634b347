"""Canonical values (spec/canon.md) and the fields of every kind of them."""

import base64

import cbor2
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX64 = 2**64 - 1
checks = 0


class Refused(Exception):
    """What a rule does not allow."""


def check(ok, what):
    global checks
    checks += 1
    if not ok:
        raise AssertionError(what)


# --- spec/canon.md ---------------------------------------------------------


def digest(data):
    return blake3(data).digest()


def cid(codec, data):
    return bytes([1, codec, 0x1E, 0x20]) + digest(data)


def cid_text(raw):
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


def cid_parse(text):
    if not text.startswith("b") or text != text.lower() or "=" in text:
        raise ValueError("not base32")
    raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
    if len(raw) != 36 or raw[0] != 1 or raw[1] not in (0x55, 0x71) or raw[2:4] != b"\x1e\x20":
        raise ValueError("not a CIDv1 with BLAKE3-256")
    if cid_text(raw) != text:
        raise ValueError("not the one text form")
    return raw


def from_dag_json(v):
    """Turns DAG-JSON into what cbor2 encodes."""
    if isinstance(v, dict) and list(v) == ["/"]:
        inner = v["/"]
        if isinstance(inner, str):
            return cbor2.CBORTag(42, b"\x00" + cid_parse(inner))
        return base64.b64decode(inner["bytes"] + "==")
    if isinstance(v, dict):
        return {k: from_dag_json(x) for k, x in v.items()}
    if isinstance(v, list):
        return [from_dag_json(x) for x in v]
    return v


def encode(v):
    return cbor2.dumps(v, canonical=True)


def plain(v):
    """Only what canonical values are made of."""
    if isinstance(v, cbor2.CBORTag):
        return v.tag == 42 and isinstance(v.value, bytes) and v.value[:1] == b"\x00" and len(v.value) == 37
    if isinstance(v, dict):
        return all(isinstance(k, str) and plain(x) for k, x in v.items())
    if isinstance(v, (list, tuple)):
        return all(plain(x) for x in v)
    return isinstance(v, (bool, str, bytes)) or isinstance(v, int) and 0 <= v <= MAX64


def decode(data):
    v = cbor2.loads(data)
    if not plain(v) or encode(v) != data:
        raise ValueError("not canonical")
    return v


def sealed(domain, body):
    return encode([1, domain, body])


def verified(public, domain, body, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, sealed(domain, body))
        return True
    except InvalidSignature:
        return False


# --- the fields of every kind (spec/artifact.md, job.md, receipt.md, verify.md, session.md,
# invite.md)

HASH, SIG, KEY, LINK = ("bytes", 32), ("bytes", 64), ("bytes", 32), ("link",)
INT, TEXT, BOOL, BYTES = ("int",), ("text",), ("bool",), ("bytes", None)


def array(of):
    return ("array", of)


def kind(name):
    return ("kind", name)


def row(*of):
    return ("row", of)


LOGPROBS = row(INT, array(row(INT, INT)))  # NLL of the token; ID and NLL of each of the likeliest

KINDS = {  # field: type; a trailing ? marks fields that are absent when empty
    "claim": {"chain": TEXT, "account": TEXT},
    "part": {"role": TEXT, "blob": LINK, "size": INT},
    "model": {"semantics": TEXT, "architecture": TEXT, "context": INT},
    "manifest": {"v": INT, "name": TEXT, "media": TEXT, "licence": TEXT, "consent?": TEXT,
                 "parts": array(kind("part")), "parents?": array(LINK), "model?": kind("model")},
    "declaration": {"v": INT, "name": TEXT, "digest?": TEXT},
    "price": {"input": INT, "output": INT},
    "terms": {"v": INT, "kind": TEXT, "executor": TEXT, "model": LINK, "assurance": INT, "privacy": TEXT,
              "ceiling": kind("price"), "escrow": INT, "step": INT, "patience": INT, "duration": INT,
              "excluded?": array(TEXT), "preferred?": array(TEXT), "only?": BOOL},
    "order": {"v": INT, "id": INT, "consumer": TEXT, "session_key": KEY, "terms": kind("terms"), "state": TEXT,
              "placed": INT, "expires": INT, "explanation": TEXT},
    "windows": {"close": INT, "challenge": INT},
    "escrow": {"deposited": INT, "locked": INT, "withheld": INT, "paid": INT, "refunded": INT},
    "session": {"v": INT, "id": INT, "consumer": TEXT, "provider": TEXT, "session_key": KEY, "provider_key": KEY,
                "terms": kind("terms"), "price": kind("price"), "windows": kind("windows"), "state": TEXT,
                "reason": TEXT, "opened": INT, "clock": INT, "escrow": kind("escrow"), "claim?": kind("entry")},
    "params": {"max_tokens": INT, "temperature": INT, "top_p": INT, "stop?": array(TEXT), "logprobs?": INT},
    "request": {"v": INT, "key": KEY, "counter": INT, "model": LINK, "tokens": array(INT), "params": kind("params"),
                "seed": HASH, "chat?": TEXT},
    "ask": {"chain": TEXT, "session": INT, "seq": INT, "request": HASH, "salt": HASH},
    "usage": {"input": INT, "output": INT},
    "answer": {"tokens": array(INT), "finish": TEXT, "logprobs?": array(LOGPROBS), "message?": TEXT, "usage?": kind("usage")},
    "leaf": {"session": INT, "seq": INT, "request": HASH, "answer": HASH, "input": INT, "output": INT},
    "transcript": {"ask": kind("ask"), "ask_sig": SIG, "request": kind("request"), "answer": kind("answer"), "index": INT},
    "receipt": {"chain": TEXT, "session": INT, "seq": INT, "input": INT, "output": INT, "amount": INT, "root": HASH},
    "voucher": {"chain": TEXT, "session": INT, "seq": INT, "amount": INT, "root": HASH, "final": BOOL},
    "entry": {"receipt": kind("receipt"), "receipt_sig": SIG, "voucher": kind("voucher"), "voucher_sig": SIG},
    "signed": {"receipt": kind("receipt"), "sig": SIG},
    "complaint": {"v": INT, "session": INT, "seq": INT, "consumer": TEXT, "provider": TEXT, "model": LINK,
                  "receipt": kind("signed"), "evidence": HASH, "filed": INT},
    "evidence": {"transcript": kind("transcript"), "receipt": kind("signed"), "path": array(HASH)},
    "bundle": {"v": INT, "ledger": BYTES, "manifest": BYTES, "transcript": kind("transcript"), "path": array(HASH),
               "unsettled?": kind("signed"), "sources?": array(array(TEXT))},
    "payment": {"voucher": kind("voucher"), "sig": SIG},
    "session ask": {"ask": kind("ask"), "sig": SIG, "request": kind("request"), "last?": kind("payment")},
    "opening": {"ask?": kind("session ask"), "finish?": kind("payment")},
    "word": {"stop?": BOOL, "payment?": kind("payment")},
    "done": {"finish": TEXT, "receipt": kind("receipt"), "sig": SIG, "usage?": kind("usage")},
    "refusal": {"code": TEXT, "reason": TEXT},
    "reply": {"text?": TEXT, "reasoning?": TEXT, "calls?": TEXT, "tokens?": array(INT), "done?": kind("done"), "paid?": BOOL, "refused?": kind("refusal"),
              "logprobs?": array(LOGPROBS)},
    "redeem": {"chain": TEXT, "key": KEY, "guest": TEXT},
    "invite": {"v": INT, "key": KEY, "inviter": TEXT, "grant": INT, "expires": INT, "state": TEXT, "guest": TEXT,
               "made": INT, "ended": INT},
    "line": {"v": INT, "chain": TEXT, "genesis": HASH, "height": INT, "header": HASH, "peers": array(TEXT), "seed": HASH,
             "grant": INT, "expires": INT},
}


def fits(v, t):
    match t:
        case ("int",):
            return isinstance(v, int) and not isinstance(v, bool)
        case ("text",):
            return isinstance(v, str)
        case ("bool",):
            return isinstance(v, bool)
        case ("bytes", n):
            return isinstance(v, bytes) and n in (None, len(v))
        case ("link",):
            return isinstance(v, cbor2.CBORTag)
        case ("array", of):
            return isinstance(v, (list, tuple)) and all(fits(x, of) for x in v)
        case ("row", of):
            return isinstance(v, (list, tuple)) and len(v) == len(of) and all(fits(x, t) for x, t in zip(v, of))
        case ("kind", name):
            fields = KINDS[name]
            needed = {f for f in fields if not f.endswith("?")}
            types = {f.rstrip("?"): x for f, x in fields.items()}
            return (isinstance(v, dict) and needed <= set(v) <= set(types) and all(fits(x, types[f]) for f, x in v.items())
                    and all(v[f.rstrip("?")] not in (False, 0, "", []) for f in fields if f.endswith("?") and f.rstrip("?") in v))


def read(name, data):
    v = decode(data)
    if not fits(v, kind(name)):
        raise ValueError(f"not a {name}")
    return v


DOMAINS = {"request", "ask", "answer", "leaf", "receipt", "voucher", "evidence", "redeem"}
SIGNED = {"ask", "receipt", "voucher", "claim", "redeem"}


def item(c):
    """Checks one value in all its forms and returns it."""
    name, data = c["kind"], bytes.fromhex(c["cbor"])
    check(encode(from_dag_json(c["value"])) == data, f"{name}: value and encoding differ")
    v = read(name, data)
    if "domain" in c:
        want = "daulat/" + ("provider" if name == "claim" else name)
        check((name in DOMAINS or name == "claim") and c["domain"] == want, f"{name}: domain {c['domain']}")
        check(digest(sealed(want, v)).hex() == c["digest"], f"{name}: digest")
    if "signature" in c:
        check(name in SIGNED and verified(bytes.fromhex(c["signer"]), c["domain"], v, bytes.fromhex(c["signature"])), f"{name}: signature")
    return v


def refused(do, what):
    try:
        do()
    except Exception:  # any refusal will do, whatever its type
        check(True, what)
        return
    check(False, f"accepted: {what}")
